//! What tokens may be, by what API, application and client say: scopes that are bound to roles, and the longest lifetime.
//! From the documents to the gateway, over sockets.

use e2e::tab::{CALLBACK, Tab, VERIFIER};
use e2e::{Api, Backend, Sandbox};
use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};

use crate::PETS;

const PAM: (&str, &str) = ("pam", "a publisher of our own 7");
const SUE: (&str, &str) = ("sue", "a subscriber of our own 7");

struct Scene {
    _backend: Backend,
    sandbox: Sandbox,
    api: Api,
    client_id: String,
    secret: String,
}

impl Scene {
    async fn new() -> Self {
        let backend = Backend::start().await.unwrap();
        let sandbox = Sandbox::start().await.unwrap();
        let url = backend.url();
        let api = sandbox.api("pets", PETS, &url, "Unlimited").await.unwrap();
        for ((name, password), role) in [(PAM, "publisher"), (SUE, "subscriber")] {
            let user = json!({"name": name, "password": password, "roles": [role]});
            let made = sandbox.call(Method::POST, "/users", Some(user));
            made.await.unwrap();
        }
        let mut scene = Self {
            _backend: backend,
            sandbox,
            api,
            client_id: String::new(),
            secret: String::new(),
        };
        let made = scene.client(json!({})).await;
        scene.client_id = made["clientId"].as_str().unwrap().to_owned();
        scene.secret = made["clientSecret"].as_str().unwrap().to_owned();
        scene
    }

    /// A client that asks users, registered with this beside.
    async fn client(&self, more: Value) -> Value {
        let mut metadata = json!({
            "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
            "redirect_uris": [CALLBACK],
        });
        for (member, value) in more.as_object().unwrap() {
            metadata[member] = value.clone();
        }
        let path = format!("/applications/{}/credentials", self.api.app);
        let body = json!({"metadata": metadata});
        let made = self.sandbox.call(Method::POST, &path, Some(body));
        made.await.unwrap()
    }

    /// Changes a document; the gateway has the change when this returns.
    async fn change(&self, path: &str, change: impl FnOnce(&mut Value)) {
        let shown = self.sandbox.call(Method::GET, path, None);
        let mut document = shown.await.unwrap();
        change(&mut document["spec"]);
        let put = self.sandbox.call(Method::PUT, path, Some(document));
        put.await.unwrap();
    }

    async fn change_api(&self, change: impl FnOnce(&mut Value)) {
        self.change(&format!("/apis/{}", self.api.name), change)
            .await;
    }

    /// What the token endpoint answers.
    async fn token(&self, fields: &[(&str, &str)]) -> Value {
        let form = Url::parse_with_params("http://x/", fields).unwrap();
        let request = self
            .sandbox
            .http
            .post(format!(
                "{}/oauth2/token",
                self.sandbox.running.control_url()
            ))
            .basic_auth(&self.client_id, Some(&self.secret))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.query().unwrap().to_owned());
        request.send().await.unwrap().json().await.unwrap()
    }

    /// Tokens about this user.
    async fn of_user(&self, user: (&str, &str), scope: &str) -> Value {
        let mut tab = Tab::new(&self.sandbox);
        let code = tab.code(&self.client_id, scope, user).await.unwrap();
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        self.token(&fields).await
    }

    async fn refreshed(&self, tokens: &Value) -> Value {
        let token = tokens["refresh_token"].as_str().unwrap();
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        self.token(&fields).await
    }

    /// A token that the client has for itself.
    async fn own(&self) -> Value {
        self.token(&[("grant_type", "client_credentials")]).await
    }

    /// What the operation with the scope `pets:write` answers.
    async fn add_pet(&self, tokens: &Value) -> (StatusCode, String) {
        let token = tokens["access_token"].as_str().unwrap();
        let request = self.sandbox.http.post(format!("{}/pets", self.api.url));
        let answer = request.bearer_auth(token).send().await.unwrap();
        let status = answer.status();
        let body: Value = answer.json().await.unwrap_or_default();
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    }
}

/// A scope that the API binds to a role comes with a token about somebody who has it, as long as they have it.
#[tokio::test]
async fn scopes_that_are_bound_to_roles_are_for_those_who_have_one() {
    let scene = Scene::new().await;
    let scope = "openid pets:write";
    let anybody = scene.of_user(SUE, scope).await;
    assert_eq!(scene.add_pet(&anybody).await.0, StatusCode::OK);
    scene
        .change_api(|api| api["scopes"] = json!([{"name": "pets:write", "roles": ["publisher"]}]))
        .await;
    let pam = scene.of_user(PAM, scope).await;
    assert_eq!(pam["scope"], "openid pets:write");
    assert_eq!(scene.add_pet(&pam).await.0, StatusCode::OK);
    let sue = scene.of_user(SUE, scope).await;
    assert_eq!(sue["scope"], "openid");
    let refused = scene.add_pet(&sue).await;
    assert_eq!(refused.0, StatusCode::FORBIDDEN, "{refused:?}");
    // What was given before goes with the next refresh; so does the scope of a role that was taken away.
    let later = scene.refreshed(&anybody).await;
    assert_eq!(later["scope"], "openid");
    let roles = json!({"roles": ["subscriber"]});
    let changed = scene.sandbox.call(Method::PATCH, "/users/pam", Some(roles));
    changed.await.unwrap();
    let pam = scene.refreshed(&pam).await;
    assert_eq!(pam["scope"], "openid");
    assert_eq!(scene.add_pet(&pam).await.0, StatusCode::FORBIDDEN);
    // Tokens of the client for itself are about nobody who has roles.
    let own = scene.own().await;
    assert_eq!(own["scope"], "pets:write");
    assert_eq!(scene.add_pet(&own).await.0, StatusCode::OK);
}

/// The shortest of what client or application choose and the API allows, for every grant.
#[tokio::test]
async fn tokens_last_no_longer_than_application_and_api_say() {
    let scene = Scene::new().await;
    let application = format!("/applications/{}", scene.api.app);
    let lifetimes = async |expected: u64| {
        let user = scene.of_user(SUE, "openid pets:write").await;
        let fresh = scene.refreshed(&user).await;
        let own = scene.own().await;
        for answer in [&user, &fresh, &own] {
            assert_eq!(answer["expires_in"], expected, "{answer}");
            assert_eq!(scene.add_pet(answer).await.0, StatusCode::OK);
        }
    };
    scene
        .change(&application, |app| {
            app["tokens"] = json!({"lifetime": "20m"});
        })
        .await;
    lifetimes(1200).await;
    scene
        .change_api(|api| api["tokens"] = json!({"maxLifetime": "10m"}))
        .await;
    lifetimes(600).await;
    scene
        .change(&application, |app| {
            app["tokens"] = json!({"lifetime": "5m"});
        })
        .await;
    lifetimes(300).await;
    // An API that allows longer ones changes nothing.
    scene
        .change_api(|api| api["tokens"] = json!({"maxLifetime": "1h"}))
        .await;
    lifetimes(300).await;

    // A client's own choice counts before the application's, and not before the API's.
    let mut scene = scene;
    scene
        .change_api(|api| api["tokens"] = json!({"maxLifetime": "2m"}))
        .await;
    for (wish, expected) in [(3600, 120), (60, 60)] {
        let made = scene.client(json!({"access_token_lifetime_s": wish})).await;
        scene.client_id = made["clientId"].as_str().unwrap().to_owned();
        scene.secret = made["clientSecret"].as_str().unwrap().to_owned();
        assert_eq!(scene.own().await["expires_in"], expected);
        let user = scene.of_user(SUE, "openid").await;
        assert_eq!(user["expires_in"], expected);
    }
}
