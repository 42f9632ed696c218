//! One application that may do everything; look-ups as cheap as they can be.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use base::{ApplicationId, Clock, CredentialId, Org, SubscriptionId, SystemClock};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use parts::pki::Authority;
use policy::services::{NoAnswer, ServiceAnswer, ServiceCall, Services};
use policy::{
    ApiKeyView, Asking, Client, ClientCertificate, ClientView, Core, Directory, Guessed, Issuer,
    LocalFuture, PasswordGuess, Passwords, Plan, RequestCx, Runtime, Secrets, Slots,
    SubscriptionView, Trace, Window,
};
use serde_json::json;

const KEY: &str = "twk_abcdefghijkmnpqrstuvwxyz23456789abcdefghijkmnpqrstuvixdc7di";

struct OneApplication {
    org: Org,
    application: ApplicationId,
    credential: CredentialId,
    issuer: Arc<Issuer>,
    keys: HashMap<String, ()>,
    subscription: SubscriptionView,
}

impl Directory for OneApplication {
    fn version(&self) -> u64 {
        1
    }

    fn issuer(&self, _: &Org, _: &str) -> Option<Arc<Issuer>> {
        Some(Arc::clone(&self.issuer))
    }

    fn client(&self, _: &str) -> Option<ClientView> {
        Some(ClientView {
            org: self.org.clone(),
            application: self.application,
            credential: self.credential,
            environment: base::Environment::Production,
        })
    }

    fn api_key(&self, presented: &str) -> Option<ApiKeyView> {
        self.keys.get(presented)?;
        Some(ApiKeyView {
            org: self.org.clone(),
            application: self.application,
            credential: self.credential,
            mark: base::KeyMark::of(&base::Digest::from_bytes([7; 32])),
            environment: base::Environment::Production,
            expires_unix_s: None,
            limited: None,
        })
    }

    fn subscription(&self, _: ApplicationId, _: &str) -> Option<SubscriptionView> {
        Some(self.subscription.clone())
    }

    fn is_revoked(&self, _: &base::TokenMarks) -> bool {
        false
    }
}

/// A core, and calls of the one application.
pub(crate) struct World {
    core: Rc<Core>,
    /// The node's folder of secrets.
    _secrets: tempfile::TempDir,
    unix_ms: u64,
    monotonic_ms: u64,
    headers: HeaderMap,
    /// An access token with its prefix.
    pub(crate) bearer: HeaderValue,
    /// A client certificate, as its connection has it.
    pub(crate) certificate: Arc<ClientCertificate>,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = SystemClock::new();
        let (unix_ms, monotonic_ms) = (clock.unix_ms(), clock.monotonic_ms());
        let key = jose::SigningKey::generate_es256().unwrap();
        let claims = json!({
            "iss": "https://id.example.com", "sub": "c", "aud": "gateway", "client_id": "c", "jti": "t",
            "exp": unix_ms / 1000 + 3600, "iat": unix_ms / 1000, "scope": "orders:read orders:write",
        });
        let token = key.sign(jose::TYP_ACCESS_TOKEN, &claims).unwrap();
        let issuer = Issuer {
            name: "resident".to_owned(),
            issuer: "https://id.example.com".to_owned(),
            audience: "gateway".to_owned(),
            keys: jose::KeySet::from_keys(vec![key.public_jwk().clone()]).unwrap(),
            outside: None,
        };
        let plan = Plan {
            name: "Gold".to_owned(),
            quota: Some(Window {
                requests: u64::from(u32::MAX / 4),
                window_ms: 60_000,
                measure: policy::Measure::Requests,
            }),
            burst: None,
        };
        let directory = OneApplication {
            org: Org::default_org(),
            application: ApplicationId::generate(),
            credential: CredentialId::generate(),
            issuer: Arc::new(issuer),
            keys: HashMap::from([(KEY.to_owned(), ())]),
            subscription: SubscriptionView {
                id: SubscriptionId::generate(),
                plan: Some(Arc::new(plan)),
            },
        };
        let limits = Arc::new(limits::Authority::local(limits::Quotas::new(
            limits::Room::for_keys(1000),
        )));
        let secrets = tempfile::tempdir().unwrap();
        write_key(secrets.path());
        let certificate = write_callers(secrets.path());
        let runtime = Runtime {
            secrets: Secrets::at(secrets.path().to_owned()),
            passwords: Arc::new(Right),
            ..Runtime::new(Arc::new(directory), limits, Arc::new(clock))
        };
        let core = Core::new(Arc::new(runtime));
        core.serve_by(Rc::new(Yes));
        Self {
            _secrets: secrets,
            core,
            unix_ms,
            monotonic_ms,
            headers: headers(),
            bearer: HeaderValue::from_str(&format!("Bearer {token}")).unwrap(),
            certificate,
        }
    }

    /// A request without a credential.
    pub(crate) fn request(&self) -> RequestCx {
        RequestCx {
            method: Method::GET,
            path: "/pets/1.0.0/pets/4711".to_owned(),
            rest_at: 11,
            query: None,
            headers: self.headers.clone(),
            client: Client {
                ip: [127, 0, 0, 1].into(),
                tls: false,
            },
            trace: Trace {
                trace_id: [1; 16],
                span_id: [1; 8],
                flags: 0,
            },
            unix_ms: self.unix_ms,
            monotonic_ms: self.monotonic_ms,
            timeout_ms: None,
            body_bytes_max: None,
            principal: None,
            subscription: None,
            slots: Slots::default(),
            core: Rc::clone(&self.core),
        }
    }

    /// Forgets verified tokens.
    pub(crate) fn forget_tokens(&self) {
        *self
            .core
            .memory::<policies::token_cache::TokenCache>()
            .borrow_mut() = Default::default();
    }
}

/// A service that lets every call pass, at once.
struct Yes;

impl Services for Yes {
    fn call(
        &self,
        _: &RequestCx,
        _: ServiceCall,
    ) -> LocalFuture<'static, Result<ServiceAnswer, NoAnswer>> {
        let answer = ServiceAnswer {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            // A frame with a `CheckResponse` whose status is OK.
            body: Bytes::from_static(b"\0\0\0\0\x02\x0a\0"),
            trailers: HeaderMap::new(),
        };
        Box::pin(std::future::ready(Ok(answer)))
    }
}

/// Every password is right, at once: what checking one costs is not ours.
struct Right;

impl Passwords for Right {
    fn check(&self, _: PasswordGuess) -> Asking<Guessed> {
        Box::pin(std::future::ready(Ok(Guessed::Right)))
    }
}

/// Who may call: one user, and an authority for certificates. Returns a certificate of it.
fn write_callers(secrets: &Path) -> Arc<ClientCertificate> {
    let root = Authority::root("partners");
    let user = "alice:$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA\n";
    std::fs::create_dir(secrets.join("callers")).unwrap();
    for (file, text) in [("users", user), ("ca.crt", &root.pem())] {
        std::fs::write(secrets.join("callers").join(file), text).unwrap();
    }
    let shown = root.issue("till-7", 7, |_| {});
    Arc::new(ClientCertificate::new(vec![shown.der.into()], false).unwrap())
}

/// What is shown to backends: the key that tokens are signed with, and a password.
fn write_key(secrets: &Path) {
    let key = jose::SigningKey::generate_es256().unwrap();
    let text = STANDARD.encode(key.to_pkcs8().unwrap().expose());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    std::fs::create_dir(secrets.join("backend")).unwrap();
    for (file, text) in [
        ("tls.key", pem.as_str()),
        ("username", "gate"),
        ("password", "secret"),
    ] {
        std::fs::write(secrets.join("backend").join(file), text).unwrap();
    }
}

/// What a browser's call brings.
pub(crate) fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "api.example.com"),
        ("user-agent", "curl/8.5.0"),
        ("accept", "*/*"),
        ("accept-encoding", "gzip"),
        ("origin", "https://shop.example.com"),
        ("x-request-id", "1234"),
        ("x-old", "1234"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
}

/// The name and the password of the one user.
pub(crate) fn password() -> HeaderValue {
    HeaderValue::from_static("Basic YWxpY2U6aHVudGVyMg==")
}

/// The one API key.
pub(crate) fn key() -> HeaderValue {
    HeaderValue::from_static(KEY)
}
