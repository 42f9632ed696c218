//! A definition with `x-wso2-*` keys becomes an API that does what they say.

mod credentials;

use e2e::{Backend, Sandbox};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

/// The petstore of WSO2's own samples, cut short, with backends of this test.
fn definition(production: &Backend, sandbox: &Backend, other: &Backend) -> String {
    let (production, sandbox, other) = (production.url(), sandbox.url(), other.url());
    format!(
        r##"
openapi: 3.0.0
info: {{title: PetStoreAPI, version: 1.0.0}}
x-wso2-basePath: /petstore/v1
x-wso2-production-endpoints: "#/x-wso2-endpoints/main"
x-wso2-sandbox-endpoints: {{urls: ["{sandbox}/try"]}}
x-wso2-endpoints:
  - main: {{urls: ["{production}/v2"], advanceEndpointConfig: {{timeoutInMillis: 7000}}}}
x-wso2-throttling-tier: Gold
x-wso2-auth-header: X-Token
x-wso2-cors:
  accessControlAllowOrigins: [http://www.m3.com]
  accessControlAllowMethods: [GET, PUT, POST]
  accessControlAllowCredentials: true
x-wso2-response-cache: {{enabled: true, cacheTimeoutInSeconds: 60}}
paths:
  /pet:
    get: {{responses: {{"200": {{description: ok}}}}}}
    put:
      x-wso2-disable-security: true
      responses: {{"200": {{description: ok}}}}
  /store/inventory:
    get:
      x-wso2-production-endpoints: {{urls: ["{other}/v1"]}}
      responses: {{"200": {{description: ok}}}}
"##
    )
}

struct World {
    production: Backend,
    sandbox: Backend,
    other: Backend,
    platform: Sandbox,
    warnings: Vec<String>,
}

/// The platform with the API, and the application `shop` that is subscribed to it.
async fn world() -> World {
    let (production, sandbox, other) = (
        Backend::start().await.unwrap(),
        Backend::start().await.unwrap(),
        Backend::start().await.unwrap(),
    );
    let platform = Sandbox::start().await.unwrap();
    let import = json!({"definition": definition(&production, &sandbox, &other), "publish": true});
    let made = platform.call(Method::POST, "/apis:import", Some(import));
    let made = made.await.unwrap();
    let warnings = made["warnings"].as_array().unwrap().iter();
    let warnings =
        warnings.map(|one| format!("{} {}", one["rule"], one["pointer"]).replace('"', ""));
    let warnings = warnings.collect();
    platform
        .subscribe("shop", "petstoreapi", "Gold")
        .await
        .unwrap();
    World {
        production,
        sandbox,
        other,
        platform,
        warnings,
    }
}

impl World {
    /// A token and an API key of one environment.
    async fn credentials(&self, environment: &str) -> (String, String) {
        let wish = json!({"environment": environment});
        let made = async |path: &str| {
            let path = format!("/applications/shop/{path}");
            let made = self.platform.call(Method::POST, &path, Some(wish.clone()));
            made.await.unwrap()
        };
        made("credentials").await;
        let token = made("token").await["accessToken"]
            .as_str()
            .unwrap()
            .to_owned();
        let key = made("api-keys").await["key"].as_str().unwrap().to_owned();
        (token, key)
    }

    fn get(&self, path: &str) -> RequestBuilder {
        let url = format!("{}/petstore/v1{path}", self.platform.gateway());
        self.platform.http.get(url)
    }

    /// How many calls each backend got; they begin anew.
    fn taken(&self) -> [usize; 3] {
        [&self.production, &self.sandbox, &self.other].map(|backend| {
            let count = backend.seen().len();
            backend.forget();
            count
        })
    }
}

async fn status_and_body(request: RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap_or_default())
}

/// req: GW17
#[tokio::test]
async fn each_environment_reaches_its_own_backend() {
    let world = world().await;
    assert_eq!(
        world.warnings,
        [
            "wso2-differs /x-wso2-throttling-tier",
            "wso2-not-served /x-wso2-response-cache",
        ]
    );
    let (token, key) = world.credentials("production").await;
    let (sandbox_token, sandbox_key) = world.credentials("sandbox").await;
    let bearer = |token: &str| format!("Bearer {token}");
    for (header, value, target, taken) in [
        ("X-Token", bearer(&token), "/v2/pet", [1, 0, 0]),
        ("X-API-Key", key.clone(), "/v2/pet", [1, 0, 0]),
        ("X-Token", bearer(&sandbox_token), "/try/pet", [0, 1, 0]),
        ("X-API-Key", sandbox_key.clone(), "/try/pet", [0, 1, 0]),
    ] {
        let (status, echo) = status_and_body(world.get("/pet").header(header, value)).await;
        assert_eq!(status, StatusCode::OK, "{echo}");
        assert_eq!(echo["target"], target);
        assert_eq!(world.taken(), taken);
    }
    // An operation with a production backend of its own keeps the sandbox of the API.
    let inventory = async |key: &str| {
        let request = world.get("/store/inventory").header("X-API-Key", key);
        let (_, echo) = status_and_body(request).await;
        (echo["target"].as_str().unwrap().to_owned(), world.taken())
    };
    assert_eq!(
        inventory(&key).await,
        ("/v1/store/inventory".into(), [0, 0, 1])
    );
    assert_eq!(
        inventory(&sandbox_key).await,
        ("/try/store/inventory".into(), [0, 1, 0])
    );
    // It is served at context and version too.
    let path = "/1.0.0/pet";
    let (status, _) = status_and_body(world.get(path).header("X-API-Key", &key)).await;
    assert_eq!((status, world.taken()), (StatusCode::OK, [1, 0, 0]));
    // What people see of the credentials.
    let list = "/applications/shop/api-keys";
    let list = world.platform.call(Method::GET, list, None).await.unwrap();
    let items = list["items"].as_array().unwrap().iter();
    let environments: Vec<_> = items.map(|item| item["environment"].clone()).collect();
    assert_eq!(environments, ["production", "sandbox"]);
}

/// req: GW17
#[tokio::test]
async fn headers_cors_and_open_operations_are_as_the_keys_say() {
    let world = world().await;
    let (token, _) = world.credentials("production").await;
    // The token stands in its own header; `Authorization` is the backend's.
    let request = world.get("/pet").header("Authorization", "Basic YTpi");
    let request = request.header("X-Token", format!("Bearer {token}"));
    assert_eq!(status_and_body(request).await.0, StatusCode::OK);
    let seen = &world.production.seen()[0].headers;
    assert_eq!(seen["authorization"], "Basic YTpi");
    assert!(!seen.contains_key("x-token"));
    world.taken();
    let (status, problem) = status_and_body(world.get("/pet").bearer_auth(&token)).await;
    assert_eq!(
        (status, world.taken()),
        (StatusCode::UNAUTHORIZED, [0, 0, 0])
    );
    assert_eq!(problem["code"], "CREDENTIALS_MISSING");

    // Open to everybody, and then production's.
    let url = format!("{}/petstore/v1/pet", world.platform.gateway());
    let (status, _) = status_and_body(world.platform.http.put(&url)).await;
    assert_eq!((status, world.taken()), (StatusCode::OK, [1, 0, 0]));

    // A browser asks first; other origins get no leave.
    let preflight = async |origin: &str| {
        let http = &world.platform.http;
        let request = http.request(Method::OPTIONS, &url).header("Origin", origin);
        let request = request.header("Access-Control-Request-Method", "PUT");
        let request = request.header("Access-Control-Request-Headers", "x-token");
        request.send().await.unwrap().headers().clone()
    };
    let allowed = preflight("http://www.m3.com").await;
    assert_eq!(allowed["access-control-allow-origin"], "http://www.m3.com");
    assert_eq!(allowed["access-control-allow-credentials"], "true");
    assert_eq!(allowed["access-control-allow-methods"], "GET, PUT, POST");
    let headers = allowed["access-control-allow-headers"].to_str().unwrap();
    assert!(
        headers.to_ascii_lowercase().contains("x-token"),
        "{headers}"
    );
    let other = preflight("http://evil.example").await;
    assert!(!other.contains_key("access-control-allow-origin"));
    assert_eq!(world.taken(), [0, 0, 0]);
}

/// req: GW17
#[tokio::test]
async fn no_call_reaches_the_backend_of_another_environment() {
    let world = world().await;
    let (_, key) = world.credentials("production").await;
    let (_, sandbox_key) = world.credentials("sandbox").await;
    let document = "/apis/petstoreapi-1.0.0";
    let api = world
        .platform
        .call(Method::GET, document, None)
        .await
        .unwrap();
    for (keep, drop, refused, passes) in [
        ("production", "sandbox", &sandbox_key, &key),
        ("sandbox", "production", &key, &sandbox_key),
    ] {
        let mut changed = json!({"kind": "Api", "metadata": api["metadata"], "spec": api["spec"]});
        let spec = changed["spec"].as_object_mut().unwrap();
        spec["backends"].as_object_mut().unwrap().remove(drop);
        world
            .platform
            .call(Method::PUT, document, Some(changed))
            .await
            .unwrap();
        let (status, problem) =
            status_and_body(world.get("/pet").header("X-API-Key", refused)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "without {drop}");
        assert_eq!(problem["code"], "ENVIRONMENT_NOT_SERVED");
        assert_eq!(world.taken(), [0, 0, 0], "without {drop}");
        let (status, _) = status_and_body(world.get("/pet").header("X-API-Key", passes)).await;
        assert_eq!(status, StatusCode::OK, "with {keep}");
        world.taken();
    }
}

/// req: GW17
#[tokio::test]
async fn transports_are_enforced_before_anything_else() {
    let world = world().await;
    let (_, key) = world.credentials("production").await;
    let document = "/apis/petstoreapi-1.0.0";
    let api = world
        .platform
        .call(Method::GET, document, None)
        .await
        .unwrap();
    let clear = format!("{}/petstore/v1", world.platform.gateway());
    let tls = format!(
        "https://{}/petstore/v1",
        world.platform.running.gateway_https()
    );
    for (transports, passes, refused) in [
        (json!(["https"]), &tls, &clear),
        (json!(["http"]), &clear, &tls),
    ] {
        let mut changed = json!({"kind": "Api", "metadata": api["metadata"], "spec": api["spec"]});
        changed["spec"]["transports"] = transports;
        world
            .platform
            .call(Method::PUT, document, Some(changed))
            .await
            .unwrap();
        for path in ["/pet", "/nothing"] {
            let request = world.platform.http.get(format!("{refused}{path}"));
            let (status, problem) = status_and_body(request.header("X-API-Key", &key)).await;
            assert_eq!(status, StatusCode::FORBIDDEN);
            assert_eq!(problem["code"], "TRANSPORT_NOT_ALLOWED");
        }
        assert_eq!(world.taken(), [0, 0, 0]);
        let request = world.platform.http.get(format!("{passes}/pet"));
        let (status, _) = status_and_body(request.header("X-API-Key", &key)).await;
        assert_eq!((status, world.taken()), (StatusCode::OK, [1, 0, 0]));
    }
}

/// req: GW17
#[tokio::test]
async fn malformed_keys_are_refused_with_their_place() {
    let platform = Sandbox::start().await.unwrap();
    let text = "openapi: 3.0.0\ninfo: {title: t, version: '1'}\nx-wso2-production-endpoints: '#/x-wso2-endpoints/none'\npaths: {}\n";
    let request = platform.control(Method::POST, "/apis:import");
    let request = request.json(&json!({"definition": text, "file": "pets.yaml"}));
    let (status, problem) = status_and_body(request).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let error = &problem["errors"][0];
    let place = ["file", "line", "column", "pointer"].map(|key| error[key].clone());
    let expected = [
        json!("pets.yaml"),
        json!(3),
        json!(1),
        json!("/x-wso2-production-endpoints"),
    ];
    assert_eq!(place, expected, "{problem}");
}
