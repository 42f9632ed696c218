//! Calls of the control API.

use std::time::Duration;

use base::Problem;
use control::api::{List, paths};
use reqwest::{Method, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::failure::Failure;
use super::session::Session;

/// Longest time a call may take, beside what its user wants to wait for gateways; imports compile.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A client of one platform.
pub(crate) struct Client {
    http: reqwest::Client,
    server: String,
    token: Option<String>,
    timeout: Duration,
}

impl Client {
    /// A client in a session.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn new(session: Session) -> Result<Self, Failure> {
        let mut client = Self::anonymous(session.server)?;
        client.token = Some(session.token);
        Ok(client)
    }

    /// A client that is not logged in.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub(crate) fn anonymous(server: String) -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Failure::Usage(format!("TLS cannot be set up: {error}")))?;
        Ok(Self {
            http,
            server,
            token: None,
            timeout: TIMEOUT,
        })
    }

    /// The client, as much more patient.
    pub(crate) fn patient(mut self, longer: Duration) -> Self {
        self.timeout = TIMEOUT.saturating_add(longer);
        self
    }

    /// GET.
    ///
    /// # Errors
    /// [`Failure::Refused`] or [`Failure::Unreachable`].
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.call(Method::GET, path, None::<&()>).await
    }

    /// GET of a whole list, part by part. `path` may have a query.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, Failure> {
        let glue = if path.contains('?') { '&' } else { '?' };
        let mut items = Vec::new();
        let mut after = String::new();
        loop {
            let part: List<T> = self.get(&format!("{path}{glue}limit=500{after}")).await?;
            items.extend(part.items);
            match part.next {
                Some(next) => after = format!("&after={}", paths::escaped(&next)),
                None => return Ok(items),
            }
        }
    }

    /// POST with a JSON body.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// PATCH with a JSON body.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.call(Method::PATCH, path, Some(body)).await
    }

    /// PUT with a JSON body.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.call(Method::PUT, path, Some(body)).await
    }

    /// DELETE of something that has an answer.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn delete_answered<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<T, Failure> {
        self.call(Method::DELETE, path, None::<&()>).await
    }

    /// DELETE.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn delete(&self, path: &str) -> Result<(), Failure> {
        self.send(Method::DELETE, path, None::<&()>).await.map(drop)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Failure> {
        let bytes = self.send(method, path, body).await?;
        // An empty answer (204) reads as null, which is `()`.
        let bytes = if bytes.is_empty() {
            b"null".as_slice().into()
        } else {
            bytes
        };
        serde_json::from_slice(&bytes)
            .map_err(|error| self.stranger(&format!("its answer cannot be read: {error}")))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Vec<u8>, Failure> {
        let url = format!("{}{path}", self.server);
        let mut request = self.http.request(method, url).timeout(self.timeout);
        if let Some(token) = &self.token {
            let mut value =
                header::HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
                    Failure::Usage("the token holds characters that no token has".into())
                })?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let unreachable = |error: reqwest::Error| self.stranger(&causes(&error));
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(unreachable)?;
        if status.is_success() {
            return Ok(bytes.to_vec());
        }
        Err(self.refused(status, &bytes))
    }

    fn refused(&self, status: StatusCode, bytes: &[u8]) -> Failure {
        match serde_json::from_slice::<Problem>(bytes) {
            Ok(problem) => Failure::Refused(Box::new(problem)),
            Err(_) => self.stranger(&format!("it answered {status} without a problem")),
        }
    }

    fn stranger(&self, cause: &str) -> Failure {
        Failure::Unreachable(format!("{}: {cause}", self.server))
    }
}

/// The innermost cause is what people need ("connection refused"); the outer ones repeat the URL.
fn causes(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
