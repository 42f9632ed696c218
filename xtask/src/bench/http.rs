//! Calls of the control API, and looks at what is served.

use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::Value;

/// Longest time a call may take; hundreds of APIs are applied in one.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A client that waits long and follows nothing.
pub(crate) fn client() -> anyhow::Result<reqwest::Client> {
    // The second attempt to install it fails, and that is well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    Ok(client)
}

/// Whether a GET is answered with 200.
pub(crate) async fn answers(client: &reqwest::Client, url: &str) -> bool {
    client
        .get(url)
        .send()
        .await
        .is_ok_and(|answer| answer.status() == 200)
}

/// The control API of one platform, and somebody who is logged in.
pub(crate) struct Control {
    client: reqwest::Client,
    url: String,
    token: String,
}

impl Control {
    /// Logs in as `admin`.
    pub(crate) async fn login(
        client: reqwest::Client,
        url: String,
        password: &str,
    ) -> anyhow::Result<Self> {
        let mut control = Self {
            client,
            url,
            token: String::new(),
        };
        let body = serde_json::json!({"username": "admin", "password": password});
        let answer = control.call(Method::POST, "/login", Some(&body)).await?;
        control.token = answer["accessToken"]
            .as_str()
            .context("a login gives a token")?
            .to_owned();
        Ok(control)
    }

    /// A JSON call that must succeed.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let mut request = self
            .client
            .request(method, format!("{}/api/v1{path}", self.url));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{path} answered {status}: {text}");
        Ok(if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text)?
        })
    }
}
