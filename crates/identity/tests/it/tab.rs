//! A browser's tab, as far as the pages can tell: cookies, forms, redirects.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::Value;
use store::{AuthMethod, ClientMetadata, GrantType};

use crate::world::{Answer, ISSUER, PASSWORD, TestClient, World, client_with};

pub(crate) const CALLBACK: &str = "https://app.example/cb";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// What a client that asks users is registered with.
pub(crate) fn metadata() -> ClientMetadata {
    ClientMetadata {
        token_endpoint_auth_method: AuthMethod::ClientSecretBasic,
        grant_types: [
            GrantType::AuthorizationCode,
            GrantType::RefreshToken,
            GrantType::DeviceCode,
        ]
        .into(),
        redirect_uris: vec![CALLBACK.to_owned()],
        post_logout_redirect_uris: vec!["https://app.example/bye".to_owned()],
        ..ClientMetadata::default()
    }
}

/// A client with the scopes `pets:read` and `pets:write`, registered like this.
pub(crate) async fn app(world: &World, name: &str, metadata: ClientMetadata) -> TestClient {
    let client = client_with(world.store.as_ref(), &world.secrets, name, None, metadata).await;
    let scopes = ["pets:read", "pets:write"].map(str::to_owned);
    let mut granted = world.scopes.granted.lock().unwrap();
    granted.insert(client.credential.application, scopes.into());
    drop(granted);
    client
}

/// A tab of a browser.
#[derive(Clone, Default)]
pub(crate) struct Tab {
    pub(crate) cookies: BTreeMap<String, String>,
    pub(crate) language: Option<&'static str>,
    /// Where it is.
    pub(crate) address: Option<&'static str>,
}

impl Tab {
    fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            headers.push(("cookie", cookies.join("; ")));
        }
        if let Some(language) = self.language {
            headers.push(("accept-language", language.to_owned()));
        }
        headers
    }

    async fn send(
        &mut self,
        world: &World,
        method: Method,
        path: &str,
        more: &[(&'static str, &str)],
        body: &str,
    ) -> Answer {
        let own = self.headers();
        let own = own.iter().map(|(name, value)| (*name, value.as_str()));
        let headers: Vec<(&str, &str)> = own.chain(more.iter().copied()).collect();
        let answer = match self.address {
            Some(address) => world.send_from(address, method, path, &headers, body).await,
            None => world.send(method, path, &headers, body).await,
        };
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let (name, rest) = cookie.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            assert!(
                cookie.contains("; HttpOnly; SameSite=Lax; Secure"),
                "{cookie}"
            );
            assert!(
                name.starts_with("__Host-") && cookie.contains("; Path=/;"),
                "{cookie}"
            );
            assert!(!cookie.contains("Domain"), "{cookie}");
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    pub(crate) async fn open(&mut self, world: &World, path: &str) -> Answer {
        self.send(
            world,
            Method::GET,
            path,
            &[("sec-fetch-site", "cross-site")],
            "",
        )
        .await
    }

    /// Sends the form of a page with what a person fills in.
    pub(crate) async fn submit(
        &mut self,
        world: &World,
        page: &Answer,
        fields: &[(&str, &str)],
    ) -> Answer {
        let more = [("origin", ISSUER), ("sec-fetch-site", "same-origin")];
        self.submit_with(world, page, fields, &more).await
    }

    /// The same with other headers.
    pub(crate) async fn submit_with(
        &mut self,
        world: &World,
        page: &Answer,
        fields: &[(&str, &str)],
        headers: &[(&'static str, &str)],
    ) -> Answer {
        let action = attribute(&page.text, "action");
        let flow = attribute(&page.text, "value");
        let mut all = vec![("flow", flow.as_str())];
        all.extend(fields);
        let mut headers = headers.to_vec();
        headers.push(("content-type", "application/x-www-form-urlencoded"));
        self.send(world, Method::POST, &action, &headers, &query(&all))
            .await
    }

    /// As [`Tab::open`], from this address.
    pub(crate) async fn open_from(
        &mut self,
        world: &World,
        address: &'static str,
        path: &str,
    ) -> Answer {
        self.address = Some(address);
        self.open(world, path).await
    }

    /// As [`Tab::submit`], from this address.
    pub(crate) async fn submit_from(
        &mut self,
        world: &World,
        address: &'static str,
        page: &Answer,
        fields: &[(&str, &str)],
    ) -> Answer {
        self.address = Some(address);
        self.submit(world, page, fields).await
    }

    /// Fills in the login page.
    pub(crate) async fn log_in(&mut self, world: &World, page: &Answer) -> Answer {
        assert!(page.text.contains("name=\"password\""), "{}", page.text);
        self.submit(
            world,
            page,
            &[("username", "admin"), ("password", PASSWORD)],
        )
        .await
    }

    /// Login and consent, as far as they are asked for; gives the last answer.
    pub(crate) async fn allow(&mut self, world: &World, path: &str) -> Answer {
        let mut answer = self.open(world, path).await;
        if answer.text.contains("name=\"password\"") {
            answer = self.log_in(world, &answer).await;
        }
        if answer.text.contains("name=\"decision\"") {
            answer = self.submit(world, &answer, &[("decision", "allow")]).await;
        }
        answer
    }

    /// A code of the client, by login and consent.
    pub(crate) async fn code(&mut self, world: &World, client: &TestClient, scope: &str) -> String {
        let answer = self
            .allow(world, &request(client, &[("scope", scope)]))
            .await;
        code_of(&answer)
    }
}

/// The first attribute of this name, of the first form.
pub(crate) fn attribute(html: &str, name: &str) -> String {
    let form = &html[html
        .find("<form")
        .unwrap_or_else(|| panic!("no form: {html}"))..];
    let start = form.find(&format!("{name}=\"")).unwrap() + name.len() + 2;
    let end = form[start..].find('"').unwrap();
    form[start..start + end]
        .replace("&#x2f;", "/")
        .replace("&amp;", "&")
}

pub(crate) fn query(fields: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(fields);
    query.finish()
}

/// The path of an authorization request of this client; `more` adds to what is usual, or replaces it; an empty value takes
/// it away.
pub(crate) fn request(client: &TestClient, more: &[(&str, &str)]) -> String {
    let usual = [
        ("response_type", "code"),
        ("client_id", client.client_id.as_str()),
        ("redirect_uri", CALLBACK),
        ("scope", "openid pets:read"),
        ("state", "s&=1"),
        ("nonce", "n-1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let kept = usual
        .into_iter()
        .filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    let all: Vec<_> = kept
        .chain(more.iter().copied().filter(|(_, value)| !value.is_empty()))
        .collect();
    format!("/oauth2/authorize?{}", query(&all))
}

/// The parameters of the answer that a redirect brings to the client.
pub(crate) fn answered(answer: &Answer) -> BTreeMap<String, String> {
    assert_eq!(answer.status, 303, "{}", answer.text);
    assert_eq!(answer.header("cache-control"), "no-store");
    let location = answer.header("location");
    let query = location
        .strip_prefix(&format!("{CALLBACK}?"))
        .unwrap_or_else(|| panic!("{location}"));
    url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

pub(crate) fn code_of(answer: &Answer) -> String {
    let answered = answered(answer);
    assert_eq!(answered["state"], "s&=1");
    assert_eq!(answered["iss"], ISSUER, "RFC 9207");
    answered["code"].clone()
}

/// The error of an answer to the client.
pub(crate) fn error_of(answer: &Answer) -> String {
    let answered = answered(answer);
    assert_eq!(answered["iss"], ISSUER, "RFC 9207");
    assert!(!answered.contains_key("code"));
    answered["error"].clone()
}

/// Exchanges a code; `more` as with [`request`].
pub(crate) async fn exchange(
    world: &World,
    client: &TestClient,
    code: &str,
    more: &[(&str, &str)],
) -> Answer {
    let usual = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let kept = usual
        .into_iter()
        .filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    let all: Vec<_> = kept
        .chain(more.iter().copied().filter(|(_, value)| !value.is_empty()))
        .collect();
    world.form_as(client, "/oauth2/token", &query(&all)).await
}

pub(crate) async fn refresh(world: &World, client: &TestClient, token: &str) -> Answer {
    let form = query(&[("grant_type", "refresh_token"), ("refresh_token", token)]);
    world.form_as(client, "/oauth2/token", &form).await
}

/// The claims of a JWT, unverified.
pub(crate) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// What the token endpoint gave.
pub(crate) fn text(answer: &Answer, name: &str) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let answer = answer.json();
    answer[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name}: {answer}"))
        .to_owned()
}

/// What userinfo says of a token.
pub(crate) async fn userinfo(world: &World, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("origin", "https://spa.example"),
    ];
    world
        .send(Method::GET, "/oauth2/userinfo", &headers, "")
        .await
}
