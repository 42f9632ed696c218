use http::Method;
use serde_json::{Value, json};

use crate::world::{ISSUER, basic, world};

const DISCOVERY: [&str; 2] = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
];

#[tokio::test]
async fn jwks_has_public_keys_alone_and_verifies_tokens() {
    let world = world().await;
    let token = world.token_of(&world.shop).await;
    let answer = world.get("/oauth2/jwks").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let set = answer.json();
    let keys = set["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2, "ES256 and EdDSA");
    for private in ["d", "p", "q", "k"] {
        assert_eq!(keys[0].get(private), None);
    }
    assert_eq!(keys[0]["alg"], "ES256");
    assert_eq!(keys[0]["use"], "sig");

    // As a resource server that knows nothing but the documents would.
    let keys: jose::KeySet = serde_json::from_value(set).unwrap();
    let audience = vec!["urn:tollway:default:gateway".to_owned()];
    let expectation = jose::Expectation::access_token(ISSUER, audience);
    let verified = jose::verify(&token, &keys, &expectation, world.now_s()).unwrap();
    assert_eq!(
        verified.claims.client_id.as_ref(),
        Some(&world.shop.client_id)
    );
}

/// Every member that is expected, and its value.
fn assert_contains(document: &Value, expected: &Value) {
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&document[name], value, "{name}");
    }
}

#[tokio::test]
async fn discovery_names_what_exists() {
    let world = world().await;
    let methods = json!([
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
        "none"
    ]);
    let proving = json!([
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt"
    ]);
    let algs = json!([
        "ES256", "ES384", "EdDSA", "Ed25519", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"
    ]);
    for path in DISCOVERY {
        let answer = world.get(path).await;
        assert_eq!(answer.status, 200);
        let document = answer.json();
        assert_contains(
            &document,
            &json!({
                "issuer": ISSUER,
                "token_endpoint": format!("{ISSUER}/oauth2/token"),
                "jwks_uri": format!("{ISSUER}/oauth2/jwks"),
                "introspection_endpoint": format!("{ISSUER}/oauth2/introspect"),
                "revocation_endpoint": format!("{ISSUER}/oauth2/revoke"),
                "authorization_endpoint": format!("{ISSUER}/oauth2/authorize"),
                "pushed_authorization_request_endpoint": format!("{ISSUER}/oauth2/par"),
                "device_authorization_endpoint": format!("{ISSUER}/oauth2/device_authorization"),
                "userinfo_endpoint": format!("{ISSUER}/oauth2/userinfo"),
                "end_session_endpoint": format!("{ISSUER}/oauth2/logout"),
                "response_types_supported": ["code"],
                "response_modes_supported": ["query", "form_post"],
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": true,
                "subject_types_supported": ["public", "pairwise"],
                "grant_types_supported": [
                    "authorization_code",
                    "client_credentials",
                    "urn:ietf:params:oauth:grant-type:device_code",
                    "refresh_token",
                    "urn:ietf:params:oauth:grant-type:token-exchange",
                ],
                "token_endpoint_auth_methods_supported": methods,
                "introspection_endpoint_auth_methods_supported": proving,
                "revocation_endpoint_auth_methods_supported": methods,
                "token_endpoint_auth_signing_alg_values_supported": algs,
                "introspection_endpoint_auth_signing_alg_values_supported": algs,
                "revocation_endpoint_auth_signing_alg_values_supported": algs,
                "dpop_signing_alg_values_supported": algs,
                "tls_client_certificate_bound_access_tokens": false,
            }),
        );
        // Each endpoint that is named answers.
        for (name, url) in document.as_object().unwrap() {
            if name.ends_with("_endpoint") || name == "jwks_uri" {
                let path = url.as_str().unwrap().strip_prefix(ISSUER).unwrap();
                assert_ne!(world.get(path).await.status, 404, "{name}");
            }
        }
    }
}

/// req: C5. Issuer and links come from the configuration, whatever a request says about its host.
#[tokio::test]
async fn the_host_header_changes_nothing() {
    let world = world().await;
    let tricks: [&[(&str, &str)]; 6] = [
        &[("host", "evil.example")],
        &[("host", "id.example.com:9999")],
        &[
            ("host", "id.example.com"),
            ("x-forwarded-host", "evil.example"),
        ],
        &[
            ("x-forwarded-proto", "http"),
            ("x-forwarded-port", "81"),
            ("x-forwarded-prefix", "/evil"),
        ],
        &[("forwarded", "host=evil.example;proto=http")],
        &[
            ("x-original-url", "/evil"),
            ("x-host", "evil.example"),
            ("origin", "https://evil.example"),
        ],
    ];
    for path in DISCOVERY {
        let plain = world.get(path).await;
        for headers in tricks {
            let answer = world.send(Method::GET, path, headers, "").await;
            assert_eq!(answer.text, plain.text, "{headers:?}");
            assert!(!format!("{:?}", answer.headers).contains("evil"));
        }
        let absolute = format!("https://evil.example{path}");
        assert_eq!(
            world.send(Method::GET, &absolute, &[], "").await.text,
            plain.text
        );
    }
    let basic = basic(&world.shop.client_id, world.shop.client_secret.expose());
    let body = "grant_type=client_credentials";
    for headers in tricks {
        let mut headers = headers.to_vec();
        headers.push(("content-type", "application/x-www-form-urlencoded"));
        headers.push(("authorization", &basic));
        let answer = world
            .send(Method::POST, "/oauth2/token", &headers, body)
            .await;
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        // `verify_access` compares `iss` with the configured issuer.
        assert!(world.active(&world.shop, &token).await, "{headers:?}");
    }
}

#[tokio::test]
async fn unknown_paths_are_left_to_others() {
    let world = world().await;
    for path in [
        "/",
        "/oauth2",
        "/oauth2/authorize/",
        "/oauth2/token/",
        "/api/v1/apis",
        "/.well-known/x",
    ] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    let posted = world.send(Method::POST, DISCOVERY[0], &[], "").await;
    assert_eq!(posted.problem(), (405, "CONTROL_METHOD_NOT_ALLOWED".into()));
    assert_eq!(posted.header("allow"), "GET,HEAD");
}
