//! Certificates, passwords, several credentials together, and rules on who calls, over real sockets.

mod combinations;
mod open_calls;

use std::time::Duration;

use e2e::{Api, Backend, PATIENCE, Sandbox};
use parts::pki::{Authority, Issued};
use reqwest::{Client, Identity, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tollway::up::{AskMode, Options};

use crate::PETS;
use crate::protected::{WELL_KNOWN, reached_at};

struct World {
    backend: Backend,
    sandbox: Sandbox,
    api: Api,
}

impl World {
    async fn start(change: impl FnOnce(&mut Options)) -> Self {
        let backend = Backend::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::start_in(folder, |options| {
            options.gateway_client_certificates = Some(AskMode::Request);
            change(options);
        })
        .await
        .unwrap();
        let api = sandbox.api("pets", PETS, &backend.url(), "Gold").await;
        let api = api.unwrap();
        Self {
            backend,
            sandbox,
            api,
        }
    }

    /// Changes the API's document.
    async fn change(&self, change: impl FnOnce(&mut Value)) {
        let path = format!("/apis/{}", self.api.name);
        let mut document = self.sandbox.call(Method::GET, &path, None).await.unwrap();
        document.as_object_mut().unwrap().remove("status");
        change(&mut document["spec"]);
        let changed = self.sandbox.call(Method::PUT, &path, Some(document)).await;
        changed.unwrap();
    }

    async fn security(&self, security: Value) {
        self.change(|spec| spec["security"] = security).await;
    }

    /// A file in the node's folder of secrets.
    fn secret(&self, name: &str, text: &str) {
        let path = self.sandbox.data_dir().join("secrets").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A key that an application wishes for: its id and its text.
    async fn key(&self, app: &str, wish: Value) -> (String, String) {
        let path = format!("/applications/{app}/api-keys");
        let made = self.sandbox.call(Method::POST, &path, Some(wish)).await;
        let made = made.unwrap();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (text("id"), text("key"))
    }

    /// A call over TLS.
    fn get(&self, client: &Client, path: &str) -> RequestBuilder {
        let url = format!("https://{}/pets/1.0.0{path}", self.sandbox.gateway_https());
        client.get(url)
    }
}

/// A client that shows this certificate.
fn client(shows: Option<&Issued>) -> Client {
    let builder = Client::builder().tls_danger_accept_invalid_certs(true);
    let builder = match shows {
        None => builder,
        Some(shows) => {
            let pem = format!("{}{}", shows.pem, shows.key_pem);
            builder.identity(Identity::from_pem(pem.as_bytes()).unwrap())
        }
    };
    builder.build().unwrap()
}

/// Status and code of an answer.
async fn answer(request: RequestBuilder) -> (StatusCode, String) {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let problem: Value = answer.json().await.unwrap_or_default();
    (
        status,
        problem["code"].as_str().unwrap_or_default().to_owned(),
    )
}

fn refused(status: u16, code: &str) -> (StatusCode, String) {
    (StatusCode::from_u16(status).unwrap(), code.to_owned())
}

fn passed() -> (StatusCode, String) {
    refused(200, "")
}

/// Asks until the answer is this one: files are looked at once a second.
async fn becomes(expected: &(StatusCode, String), ask: impl AsyncFn() -> (StatusCode, String)) {
    let asking = async {
        while ask().await != *expected {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let became = tokio::time::timeout(PATIENCE, asking).await;
    assert!(became.is_ok(), "{expected:?} is not answered");
}

#[tokio::test]
async fn a_certificate_of_the_apis_authority_counts_as_an_application() {
    let world = World::start(|_| {}).await;
    let (root, other) = (Authority::root("partners"), Authority::root("partners"));
    world.secret("partners/ca.crt", &root.pem());
    let till = |authority: &Authority, name: &str| {
        authority.issue(name, 7, |params| {
            let name = format!("{name}.example.com");
            params.subject_alt_names = vec![rcgen::SanType::DnsName(name.try_into().unwrap())];
        })
    };
    let callers = json!([{"dns": "*.example.com", "when": "principal.claims.cn != 'till-9'", "application": world.api.app}]);
    world
        .security(json!([{"mutualTls": {"ca": {"secretRef": "partners"}, "callers": callers}}]))
        .await;
    let call = async |shows: Option<&Issued>| answer(world.get(&client(shows), "/pets")).await;
    assert_eq!(call(Some(&till(&root, "till-7"))).await, passed());
    let invalid = refused(401, "CERTIFICATE_INVALID");
    assert_eq!(
        call(Some(&till(&other, "till-7"))).await,
        invalid,
        "wrong CA"
    );
    assert_eq!(
        call(Some(&till(&root, "till-9"))).await,
        invalid,
        "wrong name"
    );
    assert_eq!(
        call(Some(&root.issue("till-7", 7, |_| {}))).await,
        invalid,
        "no SAN"
    );
    let expired = root.issue("till-7", 7, |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    assert_eq!(call(Some(&expired)).await, invalid, "expired");
    assert_eq!(call(None).await, refused(401, "CREDENTIALS_MISSING"));
    // In clear text nobody shows a certificate, whatever a stranger writes.
    let forged = world.sandbox.http.get(format!("{}/pets", world.api.url));
    let forged = forged
        .header("client-cert", ":AAAA:")
        .header("x-forwarded-client-cert", "x");
    assert_eq!(answer(forged).await, refused(401, "CREDENTIALS_MISSING"));
    // Plan, quota and usage are those of the application: it is subscribed no more.
    let ended = format!("/subscriptions/{}-pets", world.api.app);
    world
        .sandbox
        .call(Method::DELETE, &ended, None)
        .await
        .unwrap();
    let ended = call(Some(&till(&root, "till-7"))).await;
    assert_eq!(ended, refused(403, "SUBSCRIPTION_MISSING"));
}

/// The authorities are another file: calls follow, without a change of the document.
#[tokio::test]
async fn authorities_and_revocation_lists_are_read_again() {
    let world = World::start(|_| {}).await;
    let root = Authority::root("partners");
    let (one, two) = (root.issue("one", 7, |_| {}), root.issue("two", 8, |_| {}));
    world.secret("partners/ca.crt", &root.pem());
    world.secret("partners/ca.crl", &root.revokes(&[], 2080));
    let ca = json!({"secretRef": "partners"});
    world
        .security(json!([{"mutualTls": {"ca": ca, "crl": ca, "application": world.api.app}}]))
        .await;
    let (one, two) = (client(Some(&one)), client(Some(&two)));
    let call = async |client: &Client| answer(world.get(client, "/pets")).await;
    assert_eq!(call(&one).await, passed());
    let issued = root.issue("one", 7, |_| {});
    world.secret("partners/ca.crl", &root.revokes(&[&issued], 2080));
    // On a connection that stands, too.
    becomes(&refused(401, "CERTIFICATE_INVALID"), async || {
        call(&one).await
    })
    .await;
    assert_eq!(call(&two).await, passed());
    world.secret("partners/ca.crt", &Authority::root("next").pem());
    becomes(&refused(401, "CERTIFICATE_INVALID"), async || {
        call(&two).await
    })
    .await;
}

/// RFC 8705 §3, from the authorization server to the backend.
#[tokio::test]
async fn a_token_that_is_bound_to_a_certificate_is_good_with_it_alone() {
    let files = tempfile::tempdir().unwrap();
    let root = Authority::root("own");
    root.server().write(files.path());
    let world = World::start(|options| {
        options.identity_tls_listen = Some(([127, 0, 0, 1], 0).into());
        options.identity_tls_cert = Some(files.path().join("tls.crt"));
        options.identity_tls_key = Some(files.path().join("tls.key"));
    })
    .await;
    let clients = format!("/applications/{}/credentials", world.api.app);
    let wish = json!({"metadata": {
        "grant_types": ["client_credentials"], "tls_client_certificate_bound_access_tokens": true,
    }});
    let made = world
        .sandbox
        .call(Method::POST, &clients, Some(wish))
        .await
        .unwrap();
    let (own, other) = (root.issue("till", 7, |_| {}), root.issue("till", 8, |_| {}));
    let address = world.sandbox.running.identity_tls().unwrap();
    let request = client(Some(&own))
        .post(format!("https://{address}/oauth2/token"))
        .basic_auth(
            made["clientId"].as_str().unwrap(),
            made["clientSecret"].as_str(),
        )
        .header("content-type", "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials");
    let token: Value = request.send().await.unwrap().json().await.unwrap();
    let token = token["access_token"]
        .as_str()
        .unwrap_or_else(|| panic!("{token}"));
    let call = async |shows: Option<&Issued>| {
        let client = client(shows);
        let mut answers = Vec::new();
        // Twice: the second time the token is remembered.
        for _ in 0..2 {
            answers.push(answer(world.get(&client, "/pets").bearer_auth(token)).await);
        }
        assert_eq!(answers[0], answers[1]);
        answers.remove(0)
    };
    assert_eq!(call(Some(&own)).await, passed());
    let invalid = refused(401, "PROOF_INVALID");
    assert_eq!(call(Some(&other)).await, invalid);
    assert_eq!(call(None).await, invalid);
    let clear = world.sandbox.http.get(format!("{}/pets", world.api.url));
    assert_eq!(answer(clear.bearer_auth(token)).await, invalid);

    // The metadata say so, where clients can show certificates (RFC 9728 §2).
    reached_at(&world.sandbox, Some("https://api.example.com")).await;
    let metadata = format!("{WELL_KNOWN}/pets/1.0.0");
    let told = async |request: RequestBuilder| -> Value {
        let body: Value = request.send().await.unwrap().json().await.unwrap();
        body["tls_client_certificate_bound_access_tokens"].clone()
    };
    let clear = format!("{}{metadata}", world.sandbox.gateway());
    assert_eq!(told(world.sandbox.http.get(clear)).await, false);
    let over_tls = format!("https://{}{metadata}", world.sandbox.gateway_https());
    assert_eq!(told(client(None).get(over_tls)).await, true);
}

/// req: S6
#[tokio::test]
async fn a_forwarded_certificate_counts_from_a_trusted_proxy_alone() {
    for (network, expected) in [
        ("127.0.0.1", passed()),
        ("192.0.2.0/24", refused(401, "CREDENTIALS_MISSING")),
    ] {
        let world = World::start(|options| {
            options.gateway_forwarded_certificate_from = Some(vec![network.to_owned()]);
            options.gateway_forwarded_certificate_header = Some("SSL-Client-Cert".to_owned());
        })
        .await;
        let root = Authority::root("partners");
        let ca = json!({"inline": root.pem()});
        world
            .change(|spec| {
                spec["security"] = json!([{"mutualTls": {"ca": ca, "application": world.api.app}}]);
                // Anonymous paths lose the fields as well.
                spec["operations"] = json!([{"match": "GET /pets/{id}", "security": []}]);
            })
            .await;
        let pem = root.issue("till", 7, |_| {}).pem;
        let escaped = pem
            .replace('\n', "%0A")
            .replace(' ', "%20")
            .replace('+', "%2B");
        let call = |path: &str| {
            let request = world.sandbox.http.get(format!("{}{path}", world.api.url));
            request
                .header("ssl-client-cert", &escaped)
                .header("client-cert", ":AAAA:")
        };
        assert_eq!(answer(call("/pets")).await, expected, "{network}");
        assert_eq!(answer(call("/pets/7")).await, passed());
        for seen in world.backend.seen() {
            assert!(!seen.headers.contains_key("ssl-client-cert"));
            assert!(!seen.headers.contains_key("client-cert"));
        }
    }
}

#[tokio::test]
async fn users_with_passwords_count_as_an_application() {
    let world = World::start(|_| {}).await;
    let line = made_line("alice", "correct horse").await;
    world.secret("partners/users", &line);
    let users = json!({"secretRef": "partners"});
    world
        .security(json!([{"basic": {"users": users, "application": world.api.app}}]))
        .await;
    let plain = client(None);
    let call = async |user: &str, password: &str| {
        answer(world.get(&plain, "/pets").basic_auth(user, Some(password))).await
    };
    assert_eq!(call("alice", "correct horse").await, passed());
    assert_eq!(call("alice", "correct horse").await, passed());
    assert_eq!(
        call("alice", "battery staple").await,
        refused(401, "PASSWORD_INVALID")
    );
    assert_eq!(
        call("bob", "correct horse").await,
        refused(401, "PASSWORD_INVALID")
    );
    assert_eq!(
        answer(world.get(&plain, "/pets")).await,
        refused(401, "CREDENTIALS_MISSING")
    );
    for seen in world.backend.seen() {
        assert!(
            !seen.headers.contains_key("authorization"),
            "the backend got a password"
        );
    }
    // Each core has asked once at most for the right one.
    let checked = world
        .sandbox
        .metric("tollway_gateway_passwords_checked_total")
        .await;
    assert!((3..=4).contains(&checked), "{checked}");
    // The line goes, and so does its user.
    world.secret("partners/users", &made_line("bob", "another horse").await);
    becomes(&refused(401, "PASSWORD_INVALID"), async || {
        call("alice", "correct horse").await
    })
    .await;
    // Guessing costs time.
    let delayed = refused(429, "RATE_LIMITED");
    becomes(&delayed, async || call("bob", "guess").await).await;
    // Without an application there is no subscription: where the API asks for one nobody passes.
    world.secret("open/users", &line.replace("alice", "carol"));
    world
        .security(json!([{"basic": {"users": {"secretRef": "open"}}}]))
        .await;
    assert_eq!(
        call("carol", "correct horse").await,
        refused(403, "SUBSCRIPTION_MISSING")
    );
}

/// A line as `tollway basic-user` makes it.
pub(crate) async fn made_line(name: &str, password: &str) -> String {
    let password = base::Secret::new(password.to_owned());
    let hash = credentials::Passwords::default().hash(password).await;
    format!("{name}:{}\n", hash.unwrap())
}

#[tokio::test]
async fn several_credentials_together() {
    let world = World::start(|_| {}).await;
    let root = Authority::root("partners");
    let tls = json!({"mutualTls": {"ca": {"inline": root.pem()}}});
    let key = json!({"apiKey": {}});
    let till = client(Some(&root.issue("till", 7, |_| {})));
    let foreign = client(Some(&Authority::root("other").issue("till", 7, |_| {})));
    let bare = client(None);
    let call = async |client: &Client, key: Option<&str>, token: Option<&str>| {
        let mut request = world.get(client, "/pets");
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        answer(request).await
    };
    let (own_key, own_token) = (Some(world.api.key.as_str()), Some(world.api.token.as_str()));
    let missing = refused(401, "CREDENTIALS_MISSING");
    let incomplete = refused(401, "CREDENTIALS_INCOMPLETE");

    // A certificate and (a key or a token).
    let either = json!({"anyOf": [key, {"jwt": {}}]});
    world.security(json!([{"allOf": [tls, either]}])).await;
    assert_eq!(call(&till, own_key, None).await, passed());
    assert_eq!(call(&till, None, own_token).await, passed());
    assert_eq!(call(&till, None, None).await, incomplete);
    assert_eq!(call(&bare, own_key, None).await, incomplete);
    assert_eq!(call(&bare, None, None).await, missing);
    assert_eq!(
        call(&foreign, own_key, None).await,
        refused(401, "CERTIFICATE_INVALID")
    );
    assert_eq!(
        call(&till, Some("x"), None).await,
        refused(401, "API_KEY_INVALID")
    );
    for seen in world.backend.seen() {
        assert!(!seen.headers.contains_key("x-api-key"));
        assert!(!seen.headers.contains_key("authorization"));
    }

    // A certificate, and a key if there is one: who calls without it is no application.
    let either = json!({"anyOf": [key, {"optional": true}]});
    world.security(json!([{"allOf": [tls, either]}])).await;
    assert_eq!(call(&till, own_key, None).await, passed());
    assert_eq!(
        call(&till, None, None).await,
        refused(403, "SUBSCRIPTION_MISSING")
    );
    assert_eq!(
        call(&till, Some("x"), None).await,
        refused(401, "API_KEY_INVALID")
    );
    assert_eq!(call(&bare, None, None).await, missing);

    // A key or a token, or nothing.
    world
        .security(json!([key, {"jwt": {}}, {"optional": true}]))
        .await;
    assert_eq!(call(&bare, None, None).await, passed());
    assert_eq!(call(&bare, own_key, None).await, passed());
    assert_eq!(
        call(&bare, Some("x"), None).await,
        refused(401, "API_KEY_INVALID")
    );
    assert_eq!(
        call(&bare, None, Some("a.b.c")).await,
        refused(401, "TOKEN_INVALID")
    );
    // What needs a scope needs a token.
    let post = |bearer: Option<&str>| {
        let url = format!("{}/pets", world.api.url);
        let request = world.sandbox.http.post(url);
        match bearer {
            None => request,
            Some(bearer) => request.bearer_auth(bearer),
        }
    };
    assert_eq!(answer(post(None)).await, missing);
    assert_eq!(answer(post(own_token)).await.0, StatusCode::OK);
}

/// req: O5
#[tokio::test]
async fn rules_on_who_calls_refuse_and_are_explained() {
    let world = World::start(|_| {}).await;
    world
        .change(|spec| {
            spec["policies"] = json!([{"authorize": {"rules": [
                {"when": "request.method == 'GET'", "require": "principal.claims.client_id != ''"},
                {"name": "no-sevens", "require": "request.path != '/pets/1.0.0/pets/7' || principal.claims.dept == 'vets'",
                 "message": "only vets see number seven"},
            ]}}]);
        })
        .await;
    let call = |path: &str| world.get(&client(None), path).bearer_auth(&world.api.token);
    assert_eq!(answer(call("/pets")).await, passed());
    assert_eq!(answer(call("/pets/8")).await, passed());
    let refusal = call("/pets/7").send().await.unwrap();
    assert_eq!(refusal.status(), StatusCode::FORBIDDEN);
    let problem: Value = refusal.json().await.unwrap();
    assert_eq!(problem["code"], "CALLER_NOT_ALLOWED");
    assert_eq!(problem["detail"], "only vets see number seven");
    let found = world
        .sandbox
        .trace(problem["traceId"].as_str().unwrap())
        .await;
    let told = &found["calls"][0]["decision"];
    let text = told.to_string();
    for part in ["authorize", "no-sevens", "dept", "absent"] {
        assert!(text.contains(part), "{part} is not in {told:#}");
    }
}

/// Faults of documents have place and mend, before anything is saved.
#[tokio::test]
async fn faulty_security_is_refused_with_its_place() {
    let world = World::start(|_| {}).await;
    let path = format!("/apis/{}", world.api.name);
    let document = world.sandbox.call(Method::GET, &path, None).await.unwrap();
    for (security, pointer) in [
        (json!([{"optional": true}]), "/spec/security"),
        (json!([{"allOf": [{"jwt": {}}]}]), "/spec/security/0/allOf"),
        (
            json!([{"allOf": [{"jwt": {}}, {"anyOf": [{"optional": true}]}]}]),
            "/spec/security/0/allOf/1/anyOf",
        ),
        (
            json!([{"basic": {"users": {}}}]),
            "/spec/security/0/basic/users",
        ),
        (
            json!([{"jwt": {}}, {"allOf": [{"apiKey": {}}, {"mutualTls": {"ca": {"secretRef": "a"}, "callers": [{"when": "x"}]}}]}]),
            "/spec/security/1/allOf/1/mutualTls/callers/0/when",
        ),
        (json!([{"nonsense": {}}]), "/spec/security/0"),
    ] {
        let mut faulty = document.clone();
        faulty.as_object_mut().unwrap().remove("status");
        faulty["spec"]["security"] = security.clone();
        let answer = world
            .sandbox
            .control(Method::PUT, &path)
            .json(&faulty)
            .send();
        let answer = answer.await.unwrap();
        assert_eq!(
            answer.status(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "{security}"
        );
        let problem: Value = answer.json().await.unwrap();
        let errors = problem["errors"].as_array().unwrap();
        let found = errors.iter().any(|error| {
            error["pointer"]
                .as_str()
                .is_some_and(|found| found.starts_with(pointer))
        });
        assert!(found, "{security}: {problem:#}");
    }
}
