//! The OpenAPI document of the listener: whatever it names is there, and only what it says so is open.

use e2e::Sandbox;
use reqwest::Method;
use serde_json::Value;

#[tokio::test]
async fn every_described_endpoint_is_there_and_asks_for_a_token_unless_it_says_otherwise() {
    let sandbox = Sandbox::start().await.unwrap();
    let document = sandbox
        .call(Method::GET, "/openapi.json", None)
        .await
        .unwrap();
    let mut open = Vec::new();
    let mut all = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let url = format!("{}{}", sandbox.running.control_url(), filled(path));
            let method: Method = method.to_uppercase().parse().unwrap();
            let answer = sandbox.http.request(method.clone(), url).send();
            let status = answer.await.unwrap().status().as_u16();
            let name = operation["operationId"].as_str().unwrap().to_owned();
            assert!(status != 404 && status != 405, "{method} {path}: {status}");
            // Absent = what the whole document asks for; an empty alternative = nothing.
            let security = operation.get("security").and_then(Value::as_array);
            let anonymous = security.is_some_and(|alternatives| {
                alternatives
                    .iter()
                    .any(|uses| uses.as_object().unwrap().is_empty())
            });
            if anonymous {
                open.push(name);
            } else {
                assert_eq!(status, 401, "{name}");
            }
            all += 1;
        }
    }
    open.sort_unstable();
    let expected = [
        "account",
        "account_end",
        "authorization_server_metadata",
        "login",
        "oauth2_account",
        "oauth2_authorize",
        "oauth2_authorize_form",
        "oauth2_consent",
        "oauth2_device",
        "oauth2_device_authorization",
        "oauth2_device_code",
        "oauth2_device_decide",
        "oauth2_introspect",
        "oauth2_jwks",
        "oauth2_login",
        "oauth2_logout",
        "oauth2_logout_confirm",
        "oauth2_logout_form",
        "oauth2_par",
        "oauth2_revoke",
        "oauth2_token",
        "oauth2_userinfo_options",
        "openid_configuration",
    ];
    assert_eq!(open, expected);
    assert!(all > 40, "{all}");
}

/// The path with something in the place of each parameter.
fn filled(path: &str) -> String {
    let segments = path
        .split('/')
        .map(|segment| match segment.split_once('{') {
            Some((before, rest)) => {
                let after = rest.split_once('}').map_or("", |(_, after)| after);
                format!("{before}x{after}")
            }
            None => segment.to_owned(),
        });
    segments.collect::<Vec<_>>().join("/")
}
