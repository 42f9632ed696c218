//! A real Keycloak: its tokens, its rotation, its absence. One start for all of it.

use parts::Keycloak;
use reqwest::Client;

use super::*;

/// The REST API of its administrator.
struct Admin<'k>(&'k Keycloak);

impl Admin<'_> {
    /// Logs in for each call: these tokens last for a minute.
    async fn call(&self, method: Method, path: &str, body: Value) -> (Value, String) {
        let (http, url) = (Client::new(), self.0.url());
        let (username, password) = self.0.admin();
        let form = format!(
            "grant_type=password&client_id=admin-cli&username={username}&password={password}"
        );
        let token = token(&http, &format!("{url}/realms/master"), form).await;
        let url = format!("{url}/admin/realms/shop{path}");
        let request = http.request(method, url).bearer_auth(&token);
        let request = if body.is_null() {
            request
        } else {
            request.json(&body)
        };
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let made = answer
            .headers()
            .get("location")
            .map(|at| at.to_str().unwrap().to_owned());
        let id = made
            .unwrap_or_default()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        (answer.json().await.unwrap_or_default(), id)
    }

    /// Makes a scope that a client may ask for.
    async fn scope(&self, client: &str, name: &str) {
        let scope = json!({"name": name, "protocol": "openid-connect", "attributes": {"include.in.token.scope": "true"}});
        let (_, scope) = self.call(Method::POST, "/client-scopes", scope).await;
        let (clients, _) = self
            .call(
                Method::GET,
                &format!("/clients?clientId={client}"),
                Value::Null,
            )
            .await;
        let id = clients[0]["id"].as_str().unwrap();
        let path = format!("/clients/{id}/optional-client-scopes/{scope}");
        self.call(Method::PUT, &path, Value::Null).await;
    }

    /// Makes a key that signs before all others.
    async fn new_key(&self, priority: u32) {
        let key = json!({
            "name": format!("key-{priority}"), "providerId": "rsa-generated", "providerType": "org.keycloak.keys.KeyProvider",
            "config": {"priority": [priority.to_string()], "enabled": ["true"], "active": ["true"], "algorithm": ["RS256"], "keySize": ["2048"]},
        });
        self.call(Method::POST, "/components", key).await;
    }

    /// Takes away the keys that signed at first.
    async fn remove_first_keys(&self) {
        let path = "/components?type=org.keycloak.keys.KeyProvider";
        let (found, _) = self.call(Method::GET, path, Value::Null).await;
        for key in found.as_array().unwrap() {
            if key["providerId"] == "rsa-generated" && key["name"] == "rsa-generated" {
                let path = format!("/components/{}", key["id"].as_str().unwrap());
                self.call(Method::DELETE, &path, Value::Null).await;
            }
        }
    }
}

async fn token(http: &Client, issuer: &str, form: String) -> String {
    let url = format!("{issuer}/protocol/openid-connect/token");
    let request = http
        .post(url)
        .header("content-type", "application/x-www-form-urlencoded");
    let answer = request.body(form).send().await.unwrap();
    let text = answer.text().await.unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    let token = answer["access_token"].as_str();
    token
        .unwrap_or_else(|| panic!("no token: {text}"))
        .to_owned()
}

/// What a client gets for itself.
async fn own_token(keycloak: &Keycloak, client: &str, more: &str) -> String {
    let form = format!(
        "grant_type=client_credentials&client_id={client}&client_secret={client}-secret{more}"
    );
    token(&Client::new(), &keycloak.issuer(), form).await
}

async fn token_of(keycloak: &Keycloak, user: &str) -> String {
    let form = format!(
        "grant_type=password&client_id=shop&client_secret=shop-secret&scope=openid&username={user}&password={user}-password"
    );
    token(&Client::new(), &keycloak.issuer(), form).await
}

struct Shop {
    _backend: Backend,
    sandbox: Sandbox,
    api: Api,
    keycloak: Keycloak,
}

impl Shop {
    async fn call(&self, method: Method, token: &str) -> (u16, String, String) {
        call(&self.sandbox, &self.api, method, token).await
    }

    async fn passes(&self, token: &str) {
        let told = self.call(Method::GET, token).await;
        assert_eq!(told.0, 200, "{told:?}");
    }

    async fn declare(&self, more: Value) {
        let mut spec =
            json!({"issuer": self.keycloak.issuer(), "preset": "keycloak", "audience": ["pets"]});
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        put(&self.sandbox, "keycloak", spec).await;
    }
}

/// req: KM4, GW4, T1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keycloak_issues_rotates_goes_and_comes_back() {
    let keycloak = tokio::task::spawn_blocking(Keycloak::start).await.unwrap();
    let backend = Backend::start().await.unwrap();
    let sandbox = platform(tempfile::tempdir().unwrap()).await;
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Unlimited")
        .await
        .unwrap();
    let mut shop = Shop {
        _backend: backend,
        sandbox,
        api,
        keycloak,
    };
    shop.declare(json!({"refresh": {"every": "1h", "atMost": "1h"}}))
        .await;
    accept(&shop.sandbox, &shop.api, &["keycloak"]).await;
    for client in ["shop", "light"] {
        register(
            &shop.sandbox,
            &shop.api.app,
            "keycloak",
            client,
            "production",
        )
        .await;
    }
    issues(&shop).await;
    roles(&shop).await;
    rotates(&shop).await;
    introspects(&shop).await;
    goes_and_comes_back(&mut shop).await;
}

/// Clients by `azp`, scopes; ID tokens, refresh tokens and unknown clients do not pass.
async fn issues(shop: &Shop) {
    let admin = Admin(&shop.keycloak);
    admin.scope("shop", "pets:write").await;
    let plain = own_token(&shop.keycloak, "shop", "").await;
    shop.passes(&plain).await;
    let told = shop.call(Method::POST, &plain).await;
    assert_eq!(told.1, "SCOPE_INSUFFICIENT");
    let scoped = own_token(&shop.keycloak, "shop", "&scope=pets:write").await;
    assert_eq!(shop.call(Method::POST, &scoped).await.0, 200);
    let stranger = own_token(&shop.keycloak, "stranger", "").await;
    let told = shop.call(Method::GET, &stranger).await;
    assert_eq!((told.0, told.1.as_str()), (401, "TOKEN_INVALID"));
    assert_eq!(
        told.2,
        "the token's client is registered for no application here"
    );

    let url = format!("{}/protocol/openid-connect/token", shop.keycloak.issuer());
    let form = "grant_type=password&client_id=shop&client_secret=shop-secret&scope=openid&username=alice&password=alice-password";
    let request = Client::new()
        .post(url)
        .body(form)
        .header("content-type", "application/x-www-form-urlencoded");
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    for other in ["id_token", "refresh_token"] {
        let told = shop
            .call(Method::GET, answer[other].as_str().unwrap())
            .await;
        assert_eq!((told.0, told.1.as_str()), (401, "TOKEN_INVALID"), "{other}");
    }
    shop.passes(answer["access_token"].as_str().unwrap()).await;
}

/// Realm roles by the preset.
async fn roles(shop: &Shop) {
    let rules = json!({"require": ["'seller' in principal.roles"], "refresh": {"every": "1h", "atMost": "1h"}});
    shop.declare(rules).await;
    shop.passes(&token_of(&shop.keycloak, "alice").await).await;
    let told = shop
        .call(Method::GET, &token_of(&shop.keycloak, "bob").await)
        .await;
    assert_eq!((told.0, told.1.as_str()), (401, "TOKEN_INVALID"));
    shop.declare(json!({"refresh": {"every": "1h", "atMost": "1h"}}))
        .await;
}

/// A new key signs, the old one goes, and no call fails meanwhile but those with tokens of the old one, in the end.
async fn rotates(shop: &Shop) {
    let old = own_token(&shop.keycloak, "shop", "").await;
    let admin = Admin(&shop.keycloak);
    let done = std::sync::atomic::AtomicBool::new(false);
    let calls = async {
        let mut passed = 0;
        while !done.load(std::sync::atomic::Ordering::SeqCst) {
            let token = own_token(&shop.keycloak, "shop", "").await;
            shop.passes(&token).await;
            passed += 1;
        }
        passed
    };
    let rotation = async {
        admin.new_key(200).await;
        let new = own_token(&shop.keycloak, "shop", "").await;
        assert_ne!(
            new.split('.').next(),
            old.split('.').next(),
            "another key signs"
        );
        shop.passes(&new).await;
        shop.passes(&old).await;
        admin.new_key(300).await;
        shop.passes(&own_token(&shop.keycloak, "shop", "").await)
            .await;
        admin.remove_first_keys().await;
        // Within its time: here a second.
        shop.declare(json!({"refresh": {"every": "1s", "atMost": "1s"}}))
            .await;
        until("the end of the old key", async || {
            shop.call(Method::GET, &old).await.0 == 401
        })
        .await;
        shop.passes(&own_token(&shop.keycloak, "shop", "").await)
            .await;
        done.store(true, std::sync::atomic::Ordering::SeqCst);
    };
    let (passed, ()) = futures_util::future::join(calls, rotation).await;
    assert!(passed > 1, "{passed} calls");
}

/// Its introspection endpoint, for lightweight tokens that do not say enough by themselves.
async fn introspects(shop: &Shop) {
    let refresh = json!({"every": "1h", "atMost": "1h"});
    let light = own_token(&shop.keycloak, "light", "").await;
    let secret = shop.sandbox.data_dir().join("secrets/keycloak");
    std::fs::create_dir_all(&secret).unwrap();
    std::fs::write(secret.join("secret"), "pets-secret").unwrap();
    let asked = |tokens: &str| {
        json!({
            "refresh": refresh, "require": ["size(principal.roles) > 0"],
            "introspection": {"tokens": tokens, "clientId": "pets", "secret": {"secretRef": "keycloak"}, "timeout": "1m", "cache": {"ttl": "1h"}},
        })
    };
    // By itself it tells no roles; its issuer does.
    shop.declare(asked("opaque")).await;
    let told = shop.call(Method::GET, &light).await;
    assert_eq!(
        (told.0, told.1.as_str()),
        (401, "TOKEN_INVALID"),
        "{told:?}"
    );
    shop.declare(asked("all")).await;
    shop.passes(&light).await;
    let told = shop.call(Method::GET, &format!("{light}x")).await;
    assert_eq!((told.0, told.1.as_str()), (401, "TOKEN_INVALID"));
    // Text that is no token at all is asked for, and is none.
    let told = shop.call(Method::GET, "just-a-text").await;
    assert_eq!((told.0, told.1.as_str()), (401, "TOKEN_INVALID"));
    std::fs::write(secret.join("secret"), "wrong").unwrap();
    until("the wrong secret", async || {
        let other = own_token(&shop.keycloak, "light", "").await;
        shop.call(Method::GET, &other).await.1 == "TOKEN_UNVERIFIED"
    })
    .await;
    shop.declare(json!({"refresh": {"every": "1s", "atMost": "1s"}}))
        .await;
}

async fn goes_and_comes_back(shop: &mut Shop) {
    let (one, two) = (
        own_token(&shop.keycloak, "shop", "").await,
        token_of(&shop.keycloak, "alice").await,
    );
    shop.passes(&one).await;
    shop.keycloak.stop();
    until("the fault", async || {
        status(&shop.sandbox, "keycloak").await["fault"].is_string()
    })
    .await;
    // Known tokens and new ones of known keys pass; a key that nobody knows is refused.
    shop.passes(&one).await;
    shop.passes(&two).await;
    let key = SigningKey::generate_es256().unwrap();
    let forged = sign(
        &key,
        "JWT",
        json!({"iss": shop.keycloak.issuer(), "exp": e2e::issuer::now_s() + 3600, "aud": "pets"}),
    );
    let told = tokio::time::timeout(PATIENCE, shop.call(Method::GET, &forged)).await;
    let told = told.unwrap();
    assert_eq!((told.0, told.1.as_str()), (401, "TOKEN_INVALID"));
    tokio::task::block_in_place(|| shop.keycloak.start_again());
    until("the keys", async || {
        status(&shop.sandbox, "keycloak").await["fault"].is_null()
    })
    .await;
    shop.passes(&one).await;
    shop.passes(&own_token(&shop.keycloak, "shop", "").await)
        .await;
}
