//! Client libraries of other people against the whole platform: each does with our authorization server what it can, over
//! TLS, with its own checks of what comes back. The scripts are in `tests/interop`; what they do is listed here by name.

mod certificates;

use base::Digest;
use certificates::{Authority, Identity};
use e2e::{Api, Backend, Sandbox};
use jose::SigningKey;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::PETS;

const CALLBACK: &str = "https://app.example/cb";
const BYE: &str = "https://app.example/bye";
const SUBSCRIBER: (&str, &str) = ("susan", "a subscriber of our own 7");

/// A platform that is reached over TLS alone, with the clients that the scripts are.
struct World {
    _backend: Backend,
    sandbox: Sandbox,
    api: Api,
    authority: Authority,
    files: TempDir,
    issuer: String,
    alias: String,
}

impl World {
    async fn start() -> Self {
        let backend = Backend::start().await.unwrap();
        let authority = Authority::new();
        let files = tempfile::tempdir().unwrap();
        let server = authority.signs(&["localhost", "127.0.0.1"]);
        let (cert, key) = server.write(files.path(), "server");
        let ca = files.path().join("ca.pem");
        std::fs::write(&ca, &authority.pem).unwrap();
        // The issuer's URL is an option, so the port is chosen before it is listened at.
        let port = parts::free_port();
        let issuer = format!("https://localhost:{port}");
        // The same listener under another name: who shows certificates is sent to an address of its own.
        let alias = format!("https://127.0.0.1:{port}");
        let (url, tls_url) = (issuer.clone(), alias.clone());
        let sandbox = Sandbox::start_in(tempfile::tempdir().unwrap(), |options| {
            options.public_url = Some(url);
            options.identity_tls_listen = Some(([127, 0, 0, 1], port).into());
            options.identity_tls_url = Some(tls_url);
            options.identity_tls_cert = Some(cert.clone());
            options.identity_tls_key = Some(key.clone());
            options.identity_tls_client_ca = Some(ca);
            options.gateway_certificate = Some(cert);
            options.gateway_key = Some(key);
        });
        let sandbox = sandbox.await.unwrap();
        let url = backend.url();
        let api = sandbox.api("pets", PETS, &url, "Unlimited").await.unwrap();
        let user = json!({"name": SUBSCRIBER.0, "password": SUBSCRIBER.1, "roles": ["subscriber"]});
        let made = sandbox.call(Method::POST, "/users", Some(user));
        made.await.unwrap();
        Self {
            _backend: backend,
            sandbox,
            api,
            authority,
            files,
            issuer,
            alias,
        }
    }

    /// A client of the subscribed application, and what its script has to know of it.
    async fn client(&self, name: &str, metadata: Value, mut known: Value) -> Value {
        let path = format!("/applications/{}/credentials", self.api.app);
        let mut all = json!({
            "grant_types": [
                "authorization_code", "refresh_token", "client_credentials",
                "urn:ietf:params:oauth:grant-type:device_code",
            ],
            "redirect_uris": [CALLBACK],
            "post_logout_redirect_uris": [BYE],
        });
        for (member, value) in metadata.as_object().unwrap() {
            all[member] = value.clone();
        }
        let body = json!({"name": name, "metadata": all});
        let made = self.sandbox.call(Method::POST, &path, Some(body));
        let made = made.await.unwrap();
        known["id"] = made["clientId"].clone();
        known["secret"] = made["clientSecret"].clone();
        known
    }

    /// All clients, by the names that the scripts call them by.
    async fn clients(&self) -> Value {
        let basic = self.client("basic", json!({}), json!({})).await;
        let post = json!({"token_endpoint_auth_method": "client_secret_post"});
        let eddsa = json!({"id_token_signed_response_alg": "EdDSA"});
        let opaque = json!({"access_token_format": "opaque"});
        let public = json!({
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
        });
        let exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
        let exchanger = json!({
            "grant_types": [exchange], "token_exchange_subject_clients": [basic["id"]],
        });
        let (by_key, key) = keyed();
        let (mut pushing, pushing_key) = keyed();
        pushing["require_pushed_authorization_requests"] = true.into();
        pushing["dpop_bound_access_tokens"] = true.into();
        let by_ca = self.authority.signs(&["client.example.com"]);
        let named = json!({
            "token_endpoint_auth_method": "tls_client_auth",
            "tls_client_auth_san_dns": "client.example.com",
            "tls_client_certificate_bound_access_tokens": true,
        });
        let by_itself = Identity::self_signed("self.example.com");
        let own = json!({
            "token_endpoint_auth_method": "self_signed_tls_client_auth",
            "jwks": {"keys": [by_itself.jwk()]},
            "tls_client_certificate_bound_access_tokens": true,
        });
        let none = || json!({});
        json!({
            "basic": basic,
            "post": self.client("post", post, none()).await,
            "eddsa": self.client("eddsa", eddsa, none()).await,
            "opaque": self.client("opaque", opaque, none()).await,
            "public": self.client("public", public, none()).await,
            "exchanger": self.client("exchanger", exchanger, none()).await,
            "keyed": self.client("keyed", by_key, json!({"jwk": key})).await,
            "pushing": self.client("pushing", pushing, json!({"jwk": pushing_key})).await,
            "tls": self.client("tls", named, by_ca.told(self.files.path(), "tls")).await,
            "own": self.client("own", own, by_itself.told(self.files.path(), "own")).await,
            // Of the right name, and of nobody's authority.
            "stranger": Identity::self_signed("client.example.com").told(self.files.path(), "stranger"),
        })
    }

    /// Runs a script; the names of the steps that it passed.
    async fn run(self, script: &'static str) -> Vec<String> {
        let token = self.sandbox.call(
            Method::POST,
            "/registration-tokens",
            Some(json!({"name": "interop"})),
        );
        let setting = json!({
            "issuer": self.issuer,
            "alias": self.alias,
            "api": format!("https://localhost:{}/pets/1.0.0", self.sandbox.gateway_https().port()),
            "audience": format!("urn:tollway:default:api:{}", self.api.name),
            "everywhere": "urn:tollway:default:gateway",
            "admin": ["admin", Sandbox::PASSWORD],
            "subscriber": [SUBSCRIBER.0, SUBSCRIBER.1],
            "callback": CALLBACK,
            "bye": BYE,
            "registration": token.await.unwrap()["token"],
            "clients": self.clients().await,
        });
        let ca = self.files.path().join("ca.pem");
        let running = tokio::task::spawn_blocking(move || {
            parts::interop::run(script, &ca, &[("SETTING", &setting.to_string())])
        });
        match running.await {
            Ok(passed) => passed,
            // The text is printed already.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

/// Metadata of a client with a key pair, and the private key.
fn keyed() -> (Value, Value) {
    let key = SigningKey::generate_es256().unwrap();
    let public = key.public_jwk().to_json();
    let mut private = public.clone();
    // RFC 5915: `privateKey` is the octet string after version 1.
    let pkcs8 = key.to_pkcs8().unwrap();
    let der = pkcs8.expose();
    let begin = [0x02, 0x01, 0x01, 0x04, 0x20];
    let at = der.windows(5).position(|found| found == begin).unwrap() + 5;
    private["d"] = jose::base64url(&der[at..at + 32]).into();
    let metadata = json!({
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": {"keys": [public]},
    });
    (metadata, private)
}

/// The thumbprint that tokens are bound to (RFC 8705 §3.1).
fn x5t(der: &[u8]) -> String {
    jose::base64url(Digest::of(der).as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openid_client() {
    let passed = World::start().await.run("openid-client.mjs").await;
    let expected = [
        "discovery",
        "client_credentials, client_secret_basic",
        "client_credentials, client_secret_post",
        "client_credentials, private_key_jwt",
        "a wrong secret is refused",
        "code and PKCE",
        "the answer names its issuer",
        "userinfo",
        "refresh",
        "introspection",
        "no page when none is wanted",
        "max_age and signature of other algorithms",
        "revocation of an access token",
        "revocation of a refresh token",
        "device",
        "device, denied",
        "PAR",
        "PAR, private_key_jwt",
        "a client that has to push",
        "DPoP",
        "DPoP with other keys",
        "a public client",
        "a public client with DPoP",
        "an opaque token",
        "resource indicators",
        "token exchange",
        "tls_client_auth and bound tokens",
        "self_signed_tls_client_auth and bound tokens",
        "dynamic registration",
        "RP-initiated logout",
    ];
    assert_eq!(passed, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_oauth2client() {
    let passed = World::start().await.run("requests-oauth2client.py").await;
    let expected = [
        "discovery",
        "client_credentials, client_secret_basic",
        "client_credentials, client_secret_post",
        "client_credentials, private_key_jwt",
        "client_credentials as authentication of calls",
        "code and PKCE",
        "userinfo",
        "refresh",
        "refresh as authentication of calls",
        "introspection",
        "revocation",
        "revocation of another client's token",
        "device",
        "PAR",
        "PAR, private_key_jwt",
        "a public client",
        "DPoP",
        "token exchange",
        "resource indicators",
        "tls_client_auth and bound tokens",
        "self_signed_tls_client_auth and bound tokens",
    ];
    assert_eq!(passed, expected);
}

/// It has no DPoP and no PAR, and begins a device flow by hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authlib() {
    let passed = World::start().await.run("authlib-client.py").await;
    let expected = [
        "discovery",
        "client_credentials, client_secret_basic",
        "client_credentials, client_secret_post",
        "client_credentials, private_key_jwt",
        "code and PKCE",
        "refresh",
        "refresh by itself",
        "an access token is one of RFC 9068",
        "introspection",
        "revocation",
        "introspection and revocation, private_key_jwt",
        "a public client",
        "device",
        "token exchange",
        "tls_client_auth and bound tokens",
        "self_signed_tls_client_auth and bound tokens",
    ];
    assert_eq!(passed, expected);
}
