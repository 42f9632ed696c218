//! Somebody's browser, as far as the pages can tell: cookies, forms, redirects.

use std::collections::BTreeMap;

use reqwest::Method;

use super::site::{Answer, Lost, Secret, Site, query};

pub(crate) const CALLBACK: &str = "https://app.example/cb";
/// RFC 7636, appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const ISSUER: &str = "http://tollway.test";

/// A browser of one user.
#[derive(Clone)]
pub(crate) struct Tab {
    cookies: BTreeMap<String, String>,
    name: String,
    password: String,
}

impl Tab {
    pub(crate) fn of(name: &str, password: &str) -> Self {
        Self {
            cookies: BTreeMap::new(),
            name: name.to_owned(),
            password: password.to_owned(),
        }
    }

    async fn send(
        &mut self,
        site: &Site,
        method: Method,
        path: &str,
        form: Option<String>,
    ) -> Result<Answer, Lost> {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut request = site
            .http
            .request(method, format!("{}{path}", site.control))
            .header("cookie", cookies.join("; "));
        if let Some(form) = form {
            request = request
                .header("origin", ISSUER)
                .header("sec-fetch-site", "same-origin")
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form);
        }
        let answer = site.send(request).await?;
        for cookie in answer.headers.get_all("set-cookie") {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            if rest.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                let value = rest.split(';').next().unwrap();
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(answer)
    }

    async fn submit(
        &mut self,
        site: &Site,
        page: &Answer,
        fields: &[(&str, &str)],
    ) -> Result<Answer, Lost> {
        let (action, flow) = (
            attribute(&page.text, "action"),
            attribute(&page.text, "value"),
        );
        let mut all = vec![("flow", flow.as_str())];
        all.extend(fields);
        self.send(site, Method::POST, &action, Some(query(&all)))
            .await
    }

    /// A code of a client; login and consent as far as they are asked for.
    pub(crate) async fn code(&mut self, site: &Site, client: &Secret) -> Result<String, Lost> {
        let path = authorize(client, &[]);
        let mut answer = self.send(site, Method::GET, &path, None).await?;
        if answer.text.contains("name=\"password\"") {
            let (name, password) = (self.name.clone(), self.password.clone());
            let fields = [("username", name.as_str()), ("password", &password)];
            answer = self.submit(site, &answer, &fields).await?;
        }
        if answer.text.contains("name=\"decision\"") {
            answer = self.submit(site, &answer, &[("decision", "allow")]).await?;
        }
        Ok(answered(&answer, "code").unwrap_or_else(|| panic!("no code: {:?}", answer.headers)))
    }

    /// Whether somebody is logged in who has allowed the client something.
    pub(crate) async fn is_logged_in(&self, site: &Site, client: &Secret) -> bool {
        let path = authorize(client, &[("prompt", "none")]);
        let answer = self.clone().send(site, Method::GET, &path, None).await;
        let answer = answer.unwrap();
        match answered(&answer, "error").as_deref() {
            None => true,
            Some("login_required") => false,
            Some(other) => panic!("{other}"),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A code without a question, or the error instead.
    pub(crate) async fn silent(
        &mut self,
        site: &Site,
        client: &Secret,
    ) -> Result<Result<String, String>, Lost> {
        let path = authorize(client, &[("prompt", "none")]);
        let answer = self.send(site, Method::GET, &path, None).await?;
        let error = answered(&answer, "error");
        Ok(error.map_or_else(|| Ok(answered(&answer, "code").expect("one of both")), Err))
    }

    /// Ends something on the user's own page; where nobody is logged in any more there is nothing left to end.
    pub(crate) async fn end_on_page(&mut self, site: &Site, what: &str) -> Result<Answer, Lost> {
        let page = self.send(site, Method::GET, "/account", None).await?;
        if page.text.contains("name=\"password\"") {
            return Ok(page);
        }
        self.submit(site, &page, &[("end", what)]).await
    }

    /// Logs out, with an ID token of the session.
    pub(crate) async fn log_out(&mut self, site: &Site, id_token: &str) -> Result<Answer, Lost> {
        let query = query(&[("id_token_hint", id_token)]);
        let path = format!("/oauth2/logout?{query}");
        self.send(site, Method::GET, &path, None).await
    }
}

fn authorize(client: &Secret, more: &[(&str, &str)]) -> String {
    let usual = [
        ("response_type", "code"),
        ("client_id", client.id.as_str()),
        ("redirect_uri", CALLBACK),
        ("scope", "openid"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    format!(
        "/oauth2/authorize?{}",
        query(&[usual.as_slice(), more].concat())
    )
}

/// A parameter of the answer that a redirect brings to the client.
fn answered(answer: &Answer, name: &str) -> Option<String> {
    assert_eq!(answer.status, 303, "{}", answer.text);
    let location = answer.headers["location"].to_str().unwrap();
    let url = reqwest::Url::parse(location).unwrap();
    let found = url.query_pairs().find(|(found, _)| found == name);
    found.map(|(_, value)| value.into_owned())
}

/// The first attribute of this name, of the first form.
fn attribute(html: &str, name: &str) -> String {
    let form = html
        .find("<form")
        .unwrap_or_else(|| panic!("no form: {html}"));
    let form = &html[form..];
    let start = form.find(&format!("{name}=\"")).unwrap() + name.len() + 2;
    let end = form[start..].find('"').unwrap();
    form[start..start + end]
        .replace("&#x2f;", "/")
        .replace("&amp;", "&")
}
