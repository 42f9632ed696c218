//! What clients are told of the tokens that an API takes (RFC 9728).

use e2e::{Api, Backend, Sandbox};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::PETS;

pub(crate) const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

async fn setting() -> (Backend, Sandbox, Api) {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let api = sandbox.api("pets", PETS, &backend.url(), "Unlimited").await;
    (backend, sandbox, api.unwrap())
}

/// Says where clients reach the gateway.
pub(crate) async fn reached_at(sandbox: &Sandbox, url: Option<&str>) {
    let mut document = sandbox
        .call(Method::GET, "/gateways/default", None)
        .await
        .unwrap();
    document.as_object_mut().unwrap().remove("status");
    document["spec"]["publicUrl"] = url.into();
    if url.is_none() {
        document["spec"]
            .as_object_mut()
            .unwrap()
            .remove("publicUrl");
    }
    sandbox
        .call(Method::PUT, "/gateways/default", Some(document))
        .await
        .unwrap();
}

/// A call of the gateway: what a stranger says in `Host` is part of it.
async fn asked(sandbox: &Sandbox, method: Method, path: &str) -> (StatusCode, HeaderMap, Value) {
    let request = sandbox
        .http
        .request(method, format!("{}{path}", sandbox.gateway()));
    let answer = request.header("host", "evil.example").send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    (status, headers, answer.json().await.unwrap_or_default())
}

#[tokio::test]
async fn clients_find_the_authorization_server_of_an_api() {
    let (_backend, sandbox, api) = setting().await;
    let challenges = async || {
        let (status, headers, _) = asked(&sandbox, Method::GET, "/pets/1.0.0/pets").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        let all = headers.get_all("www-authenticate").iter();
        Vec::from_iter(all.map(|value| value.to_str().unwrap().to_owned()))
    };
    // Nobody has said where the gateway is reached, and `Host` is not believed.
    let metadata = format!("{WELL_KNOWN}/pets/1.0.0");
    let (status, _, body) = asked(&sandbox, Method::GET, &metadata).await;
    assert_eq!(
        (status, body["code"].as_str()),
        (StatusCode::NOT_FOUND, Some("ROUTE_NOT_FOUND"))
    );
    assert!(
        challenges()
            .await
            .iter()
            .all(|challenge| !challenge.contains("resource_metadata"))
    );

    reached_at(&sandbox, Some("https://api.example.com:8443")).await;
    let metadata = format!("{WELL_KNOWN}/pets/1.0.0");
    let pointer = format!("resource_metadata=\"https://api.example.com:8443{metadata}\"");
    let told = challenges().await;
    assert_eq!(told[0], format!("Bearer realm=\"pets-1.0.0\", {pointer}"));
    assert_eq!(told[1], "ApiKey realm=\"pets-1.0.0\"");
    let bad = sandbox
        .http
        .get(format!("{}/pets", api.url))
        .bearer_auth("a.b.c");
    let bad = bad.send().await.unwrap();
    let told = bad.headers()["www-authenticate"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        told.contains("error=\"invalid_token\"") && told.ends_with(&pointer),
        "{told}"
    );

    let (status, headers, mut body) = asked(&sandbox, Method::GET, &metadata).await;
    assert_eq!(status, StatusCode::OK);
    let proofs = body["dpop_signing_alg_values_supported"].take();
    assert!(proofs.as_array().unwrap().contains(&json!("ES256")));
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["cache-control"], "public, max-age=300");
    assert_eq!(headers["access-control-allow-origin"], "*");
    let expected = json!({
        "resource": "https://api.example.com:8443/pets/1.0.0",
        "resource_name": "pets 1.0.0",
        "authorization_servers": ["http://tollway.test"],
        "scopes_supported": ["pets:write"],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": null,
        "tls_client_certificate_bound_access_tokens": false,
    });
    assert_eq!(body, expected);
    let (status, headers, body) = asked(&sandbox, Method::HEAD, &metadata).await;
    assert_eq!((status, body), (StatusCode::OK, Value::Null));
    assert!(
        headers["content-length"]
            .to_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 100
    );
    assert_eq!(
        asked(&sandbox, Method::OPTIONS, &metadata).await.0,
        StatusCode::NO_CONTENT
    );
    let (status, headers, _) = asked(&sandbox, Method::POST, &metadata).await;
    assert_eq!(
        (status, &headers["allow"]),
        (
            StatusCode::METHOD_NOT_ALLOWED,
            &"GET, HEAD, OPTIONS".parse().unwrap()
        )
    );
    for nothing in ["", "/", "/pets/1.0.0/", "/pets/1.0.0/pets", "/cats"] {
        let path = format!("{WELL_KNOWN}{nothing}");
        assert_eq!(
            asked(&sandbox, Method::GET, &path).await.0,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }

    // A token that was asked for with the resource of the metadata is good there.
    let path = format!("/applications/{}/credentials", api.app);
    let made = sandbox.call(Method::POST, &path, None).await.unwrap();
    let form = "grant_type=client_credentials&resource=https://api.example.com:8443/pets/1.0.0";
    let token = sandbox
        .http
        .post(format!("{}/oauth2/token", sandbox.running.control_url()));
    let token: Value = token
        .basic_auth(
            made["clientId"].as_str().unwrap(),
            made["clientSecret"].as_str(),
        )
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let call = sandbox
        .http
        .get(format!("{}/pets", api.url))
        .bearer_auth(token["access_token"].as_str().unwrap());
    assert_eq!(call.send().await.unwrap().status(), StatusCode::OK);

    reached_at(&sandbox, None).await;
    assert_eq!(
        asked(&sandbox, Method::GET, &metadata).await.0,
        StatusCode::NOT_FOUND
    );
}
