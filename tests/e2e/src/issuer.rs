//! An issuer of tokens that is not the platform.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use jose::SigningKey;
use parts::pki::Issued;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// An issuer on a free port of loopback; it ends with the value.
///
/// It has metadata (OpenID Connect Discovery), a set of keys, and answers at `/introspect` what was said of a token.
pub struct OutsideIssuer {
    /// Its `iss`.
    pub url: String,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    answers: Mutex<HashMap<String, (u16, HeaderMap, String)>>,
    tokens: Mutex<HashMap<String, Value>>,
    seen: Mutex<Vec<Call>>,
    down: AtomicBool,
    delay: Mutex<Duration>,
}

/// A request that reached it.
#[derive(Clone, Debug)]
pub struct Call {
    /// The path.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

impl Drop for OutsideIssuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl OutsideIssuer {
    /// Starts one with these keys, without TLS.
    pub async fn start(keys: &[&SigningKey]) -> anyhow::Result<Self> {
        Self::start_with(keys, None).await
    }

    /// Starts one with these keys that shows this certificate.
    pub async fn start_tls(keys: &[&SigningKey], shows: &Issued) -> anyhow::Result<Self> {
        let chain = vec![CertificateDer::from(shows.der.clone())];
        let private = PrivateKeyDer::from_pem_slice(shows.key_pem.as_bytes())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, private)?;
        Self::start_with(keys, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start_with(keys: &[&SigningKey], tls: Option<TlsAcceptor>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr()?);
        let state = Arc::<State>::default();
        let of_task = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, tls) = (Arc::clone(&of_task), tls.clone());
                if state.down.load(Ordering::SeqCst) {
                    continue;
                }
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, state).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, state).await;
                            }
                        }
                    }
                });
            }
        });
        let issuer = Self { url, state, task };
        issuer.answer("/.well-known/openid-configuration", &issuer.metadata());
        issuer.keys(keys);
        Ok(issuer)
    }

    /// What its metadata says.
    #[must_use]
    pub fn metadata(&self) -> Value {
        let url = &self.url;
        json!({
            "issuer": url, "jwks_uri": format!("{url}/keys"), "introspection_endpoint": format!("{url}/introspect"),
        })
    }

    /// Publishes these keys in place of those that it had.
    pub fn keys(&self, keys: &[&SigningKey]) {
        let keys: Vec<Value> = keys.iter().map(|key| json!(key.public_jwk())).collect();
        self.answer("/keys", &json!({ "keys": keys }));
    }

    /// Answers a path with JSON from now on.
    pub fn answer(&self, path: &str, body: &Value) {
        self.answer_with(path, 200, &[], &body.to_string());
    }

    /// Answers a path from now on.
    ///
    /// # Panics
    /// For what is no header.
    pub fn answer_with(
        &self,
        path: &str,
        status: u16,
        headers: &[(&'static str, &str)],
        body: &str,
    ) {
        let headers = headers.iter().map(|(name, value)| {
            (
                http::HeaderName::from_static(name),
                value.parse().expect("a header"),
            )
        });
        let answer = (status, headers.collect(), body.to_owned());
        lock(&self.state.answers).insert(path.to_owned(), answer);
    }

    /// Says of a token what it stands for; `null` takes it back.
    pub fn token(&self, token: &str, answer: Value) {
        lock(&self.state.tokens).insert(token.to_owned(), answer);
    }

    /// Whether it hangs up on whoever comes.
    pub fn down(&self, down: bool) {
        self.state.down.store(down, Ordering::SeqCst);
    }

    /// How long each answer takes.
    pub fn delay(&self, delay: Duration) {
        *lock(&self.state.delay) = delay;
    }

    /// What reached a path.
    #[must_use]
    pub fn seen(&self, path: &str) -> Vec<Call> {
        let seen = lock(&self.state.seen);
        seen.iter()
            .filter(|call| call.path == path)
            .cloned()
            .collect()
    }

    /// Good claims of a token of this client for `aud`.
    #[must_use]
    pub fn claims(&self, client: &str, aud: &str) -> Value {
        let now_s = now_s();
        json!({
            "iss": self.url, "sub": "user-1", "aud": aud, "exp": now_s + 600, "iat": now_s, "jti": "outside-1",
            "client_id": client,
        })
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<State>) {
    let service = hyper::service::service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(state.answer(request).await) }
    });
    let server = hyper::server::conn::http1::Builder::new();
    // A client that goes away is no fault of the issuer's.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

/// Seconds since 1970.
#[must_use]
pub fn now_s() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes);
        let body = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
        let path = head.uri.path().to_owned();
        lock(&self.seen).push(Call {
            path: path.clone(),
            headers: head.headers,
            body: body.clone(),
        });
        let delay = *lock(&self.delay);
        tokio::time::sleep(delay).await;
        let (status, headers, text) = self.found(&path, &body);
        let mut answer = Response::new(Full::new(Bytes::from(text)));
        *answer.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
        *answer.headers_mut() = headers;
        answer
    }

    fn found(&self, path: &str, body: &str) -> (u16, HeaderMap, String) {
        let written = lock(&self.answers).get(path).cloned();
        if let Some(written) = written {
            return written;
        }
        if path == "/introspect" {
            let tokens = lock(&self.tokens);
            let said = tokens
                .iter()
                .find(|(token, _)| body.contains(&format!("token={token}&")))
                .map(|(_, said)| said.clone());
            let said = said.filter(Value::is_object);
            let said = said.unwrap_or_else(|| json!({"active": false}));
            return (200, HeaderMap::new(), said.to_string());
        }
        (404, HeaderMap::new(), String::new())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
