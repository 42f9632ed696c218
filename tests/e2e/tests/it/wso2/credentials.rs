//! `securityConfig`: backends are shown the password that operators put into the nodes' folder of secrets.

use std::time::Duration;

use e2e::{Backend, Sandbox};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

fn definition(main: &Backend, other: &Backend, config: &str) -> String {
    let (main, other) = (main.url(), other.url());
    format!(
        r##"
openapi: 3.0.0
info: {{title: Pets, version: 1.0.0}}
x-wso2-basePath: /pets/v1
x-wso2-disable-security: true
x-wso2-production-endpoints: "#/x-wso2-endpoints/main"
x-wso2-endpoints:
  - main: {{urls: ["{main}"], securityConfig: {config}}}
paths:
  /pet:
    get: {{responses: {{"200": {{description: ok}}}}}}
  /other:
    get:
      x-wso2-production-endpoints: {{urls: ["{other}"]}}
      responses: {{"200": {{description: ok}}}}
"##
    )
}

async fn import(platform: &Sandbox, definition: &str) -> (StatusCode, Value) {
    let body = json!({"definition": definition, "publish": true});
    let request = platform.control(Method::POST, "/apis:import").json(&body);
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// Calls with a password of the client's own; the status.
async fn get(platform: &Sandbox, path: &str) -> StatusCode {
    let url = format!("{}/pets/v1{path}", platform.gateway());
    let request = platform.http.get(url).basic_auth("client", Some("own"));
    request.send().await.unwrap().status()
}

fn shown(backend: &Backend) -> Option<String> {
    let seen = backend.seen();
    let value = seen.last().unwrap().headers.get("authorization")?;
    Some(value.to_str().unwrap().to_owned())
}

/// req: GW17, S9
#[tokio::test]
async fn a_backend_is_shown_the_password_once_it_is_put_in_place() {
    let (main, other) = (
        Backend::start().await.unwrap(),
        Backend::start().await.unwrap(),
    );
    let platform = Sandbox::start().await.unwrap();
    let config = "{type: basic, username: admin, password: '${PETS_PASSWORD}'}";
    let (status, made) = import(&platform, &definition(&main, &other, config)).await;
    assert_eq!(status, StatusCode::CREATED, "{made:#}");
    let warning = made["warnings"].as_array().unwrap().iter();
    let mut warning = warning.filter(|one| one["rule"] == "wso2-differs");
    let message = warning.next().unwrap()["message"].as_str().unwrap();
    assert!(message.contains("pets-main/password"), "{message}");

    assert_eq!(
        get(&platform, "/pet").await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert!(main.seen().is_empty());
    let folder = platform.data_dir().join("secrets/pets-main");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("username"), "admin\n").unwrap();
    std::fs::write(folder.join("password"), "secret-text\n").unwrap();
    let passes = async {
        while get(&platform, "/pet").await != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let passes = tokio::time::timeout(Duration::from_secs(20), passes).await;
    passes.expect("the password is read");
    // base64 of admin:secret-text
    let expected = "Basic YWRtaW46c2VjcmV0LXRleHQ=";
    assert_eq!(shown(&main).as_deref(), Some(expected));

    // The other backend is not shown it.
    assert_eq!(get(&platform, "/other").await, StatusCode::OK);
    assert_ne!(shown(&other).as_deref(), Some(expected));
}

/// req: S9
#[tokio::test]
async fn a_password_in_a_definition_is_not_stored_and_not_repeated() {
    let (main, other) = (
        Backend::start().await.unwrap(),
        Backend::start().await.unwrap(),
    );
    let platform = Sandbox::start().await.unwrap();
    let config = "{type: basic, username: admin, password: secret-text}";
    let faulty = definition(&main, &other, config);
    let (status, problem) = import(&platform, &faulty).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem:#}");
    let text = problem.to_string();
    for part in [
        "wso2-password",
        "/x-wso2-endpoints/0/main/securityConfig/password",
        "pets-main/password",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("secret-text"), "{text}");
    let list = platform.call(Method::GET, "/apis", None).await.unwrap();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(0), "{list}");

    // Nor where it is not imported, but changed.
    let good = faulty.replace(", password: secret-text", "");
    let (status, made) = import(&platform, &good).await;
    assert_eq!(status, StatusCode::CREATED, "{made:#}");
    let path = format!(
        "/apis/{}",
        made["api"]["metadata"]["name"].as_str().unwrap()
    );
    let mut document = platform.call(Method::GET, &path, None).await.unwrap();
    document.as_object_mut().unwrap().remove("status");
    document["spec"]["definition"] = json!({"inline": faulty});
    let request = platform.control(Method::PUT, &path).json(&document);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let text = answer.text().await.unwrap();
    assert!(text.contains("written-password"), "{text}");
    assert!(!text.contains("secret-text"), "{text}");
}
