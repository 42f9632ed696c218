//! A tab of a browser without scripts, at the pages of the authorization server.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use reqwest::header::{LOCATION, SET_COOKIE};
use reqwest::{Client, RequestBuilder, StatusCode, Url};

use crate::Sandbox;

/// Where users are sent back to.
pub const CALLBACK: &str = "https://app.example/cb";
/// A PKCE verifier and its challenge (RFC 7636, Appendix B).
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// See [`VERIFIER`].
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A tab: cookies, forms, redirects.
pub struct Tab {
    http: Client,
    /// Where the server is reached; its public URL is another one.
    server: String,
    issuer: String,
    cookies: BTreeMap<String, String>,
}

/// A page, read whole.
struct Page {
    status: StatusCode,
    location: Option<String>,
    text: String,
}

impl Tab {
    /// A new tab without cookies.
    #[must_use]
    pub fn new(sandbox: &Sandbox) -> Self {
        Self {
            http: sandbox.http.clone(),
            server: sandbox.running.control_url(),
            issuer: "http://tollway.test".to_owned(),
            cookies: BTreeMap::new(),
        }
    }

    /// A code for a client that asks this user for some scopes: logs in and allows, as far as that is asked for.
    ///
    /// # Errors
    /// When no code comes of it.
    pub async fn code(
        &mut self,
        client_id: &str,
        scope: &str,
        (user, password): (&str, &str),
    ) -> anyhow::Result<String> {
        let url = Url::parse_with_params(
            &format!("{}/oauth2/authorize", self.server),
            [
                ("response_type", "code"),
                ("client_id", client_id),
                ("redirect_uri", CALLBACK),
                ("scope", scope),
                ("code_challenge", CHALLENGE),
                ("code_challenge_method", "S256"),
                ("nonce", "n"),
            ],
        )?;
        let mut page = self.send(self.http.get(url)).await?;
        for _ in 0..4 {
            if let Some(location) = &page.location {
                let back = Url::parse(location)?;
                let found = back.query_pairs().find(|(name, _)| name == "code");
                let (_, code) = found.with_context(|| format!("no code: {location}"))?;
                return Ok(code.into_owned());
            }
            let fields = if page.text.contains("name=\"password\"") {
                vec![("username", user), ("password", password)]
            } else {
                vec![("decision", "allow")]
            };
            page = self.submit(&page, fields).await?;
        }
        bail!("the pages have no end: {} {}", page.status, page.text)
    }

    async fn submit(&mut self, page: &Page, mut fields: Vec<(&str, &str)>) -> anyhow::Result<Page> {
        let (action, flow) = (attribute(page, "action")?, attribute(page, "value")?);
        fields.push(("flow", &flow));
        // Only the encoding is wanted of it.
        let form = Url::parse_with_params("http://x/", fields)?;
        let path = action.strip_prefix(&self.issuer).unwrap_or(&action);
        let request = self
            .http
            .post(format!("{}{path}", self.server))
            .header("origin", &self.issuer)
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.query().unwrap_or_default().to_owned());
        self.send(request).await
    }

    async fn send(&mut self, request: RequestBuilder) -> anyhow::Result<Page> {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let answer = request.header("cookie", cookies.join("; ")).send().await?;
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let cookie = cookie.to_str()?.split(';').next().unwrap_or_default();
            let (name, value) = cookie.split_once('=').context("a cookie has a value")?;
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let location = answer.headers().get(LOCATION);
        Ok(Page {
            status: answer.status(),
            location: location
                .map(|url| url.to_str().map(str::to_owned))
                .transpose()?,
            text: answer.text().await?,
        })
    }
}

/// The first attribute of this name in the first form.
fn attribute(page: &Page, name: &str) -> anyhow::Result<String> {
    let missing = || format!("no form with {name}: {} {}", page.status, page.text);
    let (_, form) = page.text.split_once("<form").with_context(missing)?;
    let begin = form
        .split_once(&format!("{name}=\""))
        .with_context(missing)?;
    let (value, _) = begin.1.split_once('"').with_context(missing)?;
    Ok(value.replace("&#x2f;", "/").replace("&amp;", "&"))
}
