//! What backends are told of callers: a signed token and header fields, over real sockets.

use e2e::PATIENCE;
use jose::{Algorithm, Expectation, KeySet, KeySetRules, SigningKey};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::World;

impl World {
    /// A new private key in a file below the node's folder of secrets.
    fn key(&self, file: &str) -> SigningKey {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let der = key.to_pkcs8().unwrap();
        self.secret(file, &pem_of(der.expose()));
        key
    }

    /// Calls an operation as the application, and forges what only the gateway may say.
    async fn call(&self, path: &str) -> (StatusCode, Value) {
        self.backend.forget();
        let request = self.sandbox.http.get(format!("{}{path}", self.api.url));
        let request = request
            .bearer_auth(&self.api.token)
            .header("X-JWT-Assertion", "forged")
            .header("X-User", "admin")
            .header("X_User", "admin");
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    async fn jwks(&self) -> String {
        let gateway = self.sandbox.gateway();
        let url = format!("{gateway}/.well-known/tollway/backend-jwks/pets/1.0.0");
        let answer = self.sandbox.http.get(url).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "application/jwk-set+json");
        answer.text().await.unwrap()
    }
}

/// A private key as PEM.
fn pem_of(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}

/// req: GW10
#[tokio::test]
async fn backends_check_the_token_with_keys_that_the_gateway_tells() {
    let world = World::start(|_| {}).await;
    world
        .change(|spec| {
            let key = json!({"secretRef": "pets-backend"});
            let next = json!([{"file": "pets-backend/next.key"}]);
            spec["policies"] = json!([{"backendJwt": {"key": key, "otherKeys": next}}]);
        })
        .await;
    let (status, problem) = world.call("/pets").await;
    assert_eq!(
        status,
        StatusCode::SERVICE_UNAVAILABLE,
        "there is no key yet"
    );
    assert_eq!(problem["code"], "BACKEND_CREDENTIAL_MISSING");
    assert_eq!(world.rule(&problem).await, "backend-jwt-key");
    assert!(world.backend.seen().is_empty());
    assert_eq!(
        world
            .sandbox
            .metric("tollway_backend_credentials_missing_total ")
            .await,
        1
    );

    let key = world.key("pets-backend/tls.key");
    let deadline = tokio::time::Instant::now() + 2 * PATIENCE;
    while world.call("/pets").await.0 != StatusCode::OK {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the key is not read"
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let keys = KeySet::from_json(&world.jwks().await, &KeySetRules::default()).unwrap();
    assert!(keys.get(key.kid()).is_some());
    let next = world.key("pets-backend/next.key");
    let token = world.got("x-jwt-assertion").unwrap();
    let expect = Expectation {
        typ: "JWT".to_owned(),
        ..Expectation::access_token(
            "urn:tollway:default:gateway",
            vec!["urn:tollway:default:backend:pets-1.0.0".to_owned()],
        )
    };
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let verified = jose::verify(&token, &keys, &expect, now).unwrap();
    let told = &verified.claims.other;
    assert_eq!(told["application"], world.api.app.as_str());
    assert_eq!(told["plan"], "Gold");
    assert_eq!(told["owner"], "admin");
    assert_eq!(told["api_context"], "/pets");

    // The next key is told before it signs.
    while KeySet::from_json(&world.jwks().await, &KeySetRules::default())
        .unwrap()
        .get(next.kid())
        .is_none()
    {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the next key is not told"
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    // Calls share a token on each core.
    for _ in 0..20 {
        world.call("/pets").await;
    }
    assert!(
        world
            .sandbox
            .metric("tollway_backend_jwts_signed_total ")
            .await
            <= 4
    );
    assert_eq!(
        world
            .sandbox
            .metric("tollway_backend_jwts_forgotten_total ")
            .await,
        0
    );
}

/// req: S6
#[tokio::test]
async fn nobody_forges_what_backends_are_told() {
    let world = World::start(|_| {}).await;
    world.key("pets-backend/tls.key");
    world
        .change(|spec| {
            spec["operations"] = json!([
                {"match": "GET /pets", "policies": [
                    {"identityHeaders": {"X-User": "application.id", "X-Plan": "principal.claims['client_id']"}},
                    {"backendJwt": {"key": {"secretRef": "pets-backend"}, "header": "X-Caller", "dialect": "wso2"}},
                ]},
                {"match": "GET /slow", "security": []},
            ]);
        })
        .await;
    assert_eq!(world.call("/pets").await.0, StatusCode::OK);
    assert_ne!(world.got("x-user").unwrap(), "admin");
    assert!(world.got("x_user").is_none());
    assert!(world.got("x-jwt-assertion").is_none());
    assert_eq!(world.got("x-caller").unwrap().split('.').count(), 3);
    assert!(world.got("x-plan").is_some());
    // Operations of the API without these policies, open ones too, pass nothing on that a client has forged.
    for path in ["/pets/7", "/slow"] {
        let request = world.sandbox.http.get(format!("{}{path}", world.api.url));
        let request = request
            .bearer_auth(&world.api.token)
            .header("X-User", "admin")
            .header("x_user", "admin")
            .header("X-Plan", "Platinum")
            .header("X-Caller", "forged");
        world.backend.forget();
        assert_eq!(
            request.send().await.unwrap().status(),
            StatusCode::OK,
            "{path}"
        );
        for name in ["x-user", "x_user", "x-plan", "x-caller"] {
            assert!(world.got(name).is_none(), "{path} {name}");
        }
    }
}
