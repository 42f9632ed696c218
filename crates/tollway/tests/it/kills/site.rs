//! The platform as its clients reach it at the moment, and a backend that answers everything.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::platform::{PATIENCE, User};

/// What an operation path of the API answers when a call is let through.
pub(crate) const CALL: &str = "/t/1.0.0/x";

/// Where one process of the platform listens.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) http: Client,
    pub(crate) control: String,
    pub(crate) gateway: String,
    /// The admin's token.
    token: String,
}

/// No answer, or one that promises nothing: whether it was done nobody knows.
#[derive(Debug)]
pub(crate) struct Lost;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// A member of a JSON object, which is there.
    #[track_caller]
    pub(crate) fn member(&self, name: &str) -> String {
        let member = self.json()[name].as_str().map(str::to_owned);
        member.unwrap_or_else(|| panic!("no {name}: {} {}", self.status, self.text))
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.status, 200 | 201 | 204 | 303)
    }
}

impl Site {
    pub(crate) fn of(user: &User) -> Self {
        let session = std::fs::read(user.path("config/tollway/session.json")).unwrap();
        let session: Value = serde_json::from_slice(&session).unwrap();
        // The second attempt to install it fails, and that is well.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()
            .unwrap();
        Self {
            http,
            control: user.platform.control.clone(),
            gateway: user.platform.gateway.clone(),
            token: session["token"].as_str().unwrap().to_owned(),
        }
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Answer, Lost> {
        let answer = request.send().await.map_err(|_| Lost)?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.map_err(|_| Lost)?;
        // 5xx: the database is gone. 202: stored, and not in force yet.
        if status >= 500 || status == 202 {
            return Err(Lost);
        }
        Ok(Answer {
            status,
            headers,
            text,
        })
    }

    /// A call of the control API as admin.
    pub(crate) async fn admin(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answer, Lost> {
        let url = format!("{}/api/v1{path}", self.control);
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.send(request).await
    }

    /// [`Site::admin`], for what has to work.
    pub(crate) async fn made(&self, path: &str, body: Value) -> Result<Answer, Lost> {
        let answer = self.admin(Method::POST, path, Some(body)).await?;
        assert!(
            answer.is_done(),
            "{path}: {} {}",
            answer.status,
            answer.text
        );
        Ok(answer)
    }

    /// A form of a client that proves itself by its secret.
    pub(crate) async fn form(
        &self,
        client: &Secret,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<Answer, Lost> {
        let basic = STANDARD.encode(format!("{}:{}", client.id, client.secret));
        let request = self
            .http
            .post(format!("{}{path}", self.control))
            .header("authorization", format!("Basic {basic}"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(query(fields));
        self.send(request).await
    }

    /// Registers a client by itself (RFC 7591).
    pub(crate) async fn register(&self, token: &str) -> Result<Answer, Lost> {
        let request = self
            .http
            .post(format!("{}/oauth2/register", self.control))
            .bearer_auth(token)
            .json(&json!({"client_name": "till", "grant_types": ["client_credentials"]}));
        self.send(request).await
    }

    /// The status of a call through the gateway.
    pub(crate) async fn call(&self, header: &str, value: &str) -> u16 {
        let request = self.http.get(format!("{}{CALL}", self.gateway));
        let answer = request.header(header, value).send().await;
        answer.expect("the gateway serves").status().as_u16()
    }

    /// Whether the gateway lets a token in.
    pub(crate) async fn lets_in(&self, token: &str) -> bool {
        let status = self.call("authorization", &format!("Bearer {token}")).await;
        assert!(matches!(status, 200 | 401), "{status}");
        status == 200
    }
}

/// A client and its secret.
#[derive(Clone, Debug)]
pub(crate) struct Secret {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// `application/x-www-form-urlencoded`.
pub(crate) fn query(fields: &[(&str, &str)]) -> String {
    let mut url = reqwest::Url::parse("http://x/").unwrap();
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

/// A backend that answers every request with 200; it ends with the process.
pub(crate) struct Backend(pub(crate) SocketAddr);

impl Backend {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                std::thread::spawn(move || {
                    let mut head = Vec::new();
                    let mut bytes = [0; 4096];
                    while let Ok(length @ 1..) = stream.read(&mut bytes) {
                        head.extend_from_slice(&bytes[..length]);
                        if head.ends_with(b"\r\n\r\n") {
                            head.clear();
                            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                            if stream.write_all(answer).is_err() {
                                return;
                            }
                        }
                    }
                });
            }
        });
        Self(address)
    }
}
