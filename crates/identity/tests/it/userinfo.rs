//! Userinfo with tokens of every kind (OpenID Connect Core §5.3): bound to a key, to a certificate, opaque.

use axum::body::Body;
use http::{Method, Request};
use identity::ClientCertificate;
use serde_json::json;
use store::{ClientMetadata, TokenFormat};

use crate::proving::certificate;
use crate::public::{Prover, metadata, redeem};
use crate::tab::{Tab, app, exchange, text};
use crate::world::{Answer, World, world};

const PATH: &str = "/oauth2/userinfo";

async fn with(world: &World, method: Method, token: &str, proof: Option<&str>) -> Answer {
    let mut headers = vec![("authorization", token)];
    headers.extend(proof.map(|proof| ("dpop", proof)));
    world.send(method, PATH, &headers, "").await
}

fn refused(answer: &Answer, scheme: &str, error: &str) {
    assert_eq!(answer.status, 401, "{}", answer.text);
    let challenge = answer.header("www-authenticate");
    let begin = format!("{scheme} realm=\"tollway\"");
    assert!(challenge.starts_with(&begin), "{challenge}");
    assert!(
        challenge.contains(&format!("error=\"{error}\"")),
        "{challenge}"
    );
    let algorithms = challenge.contains("algs=\"ES256 ");
    assert_eq!(algorithms, scheme == "DPoP", "{challenge}");
}

/// RFC 9449 §7.1: the scheme, one proof for this request and this token, by the key of the token, once.
#[tokio::test]
async fn a_token_that_is_bound_to_a_key_needs_a_proof() {
    let world = world().await;
    for format in [TokenFormat::Jwt, TokenFormat::Opaque] {
        let metadata = ClientMetadata {
            access_token_format: Some(format),
            ..metadata()
        };
        let client = app(&world, &format!("native {format:?}"), metadata).await;
        let (own, other) = (Prover::new(), Prover::new());
        let code = Tab::default().code(&world, &client, "openid").await;
        let answer = redeem(&world, &client, &code, Some(&own)).await;
        let token = text(&answer, "access_token");
        let (dpop, bearer) = (format!("DPoP {token}"), format!("Bearer {token}"));
        let ath = json!({"ath": jose::sha256(&token)});
        let proof = |by: &Prover, method: &str| by.proof(&world, method, PATH, &ath);

        let good = proof(&own, "GET");
        let as_bearer = with(&world, Method::GET, &bearer, Some(&good)).await;
        refused(&as_bearer, "Bearer", "invalid_token");
        let bare = with(&world, Method::GET, &dpop, None).await;
        refused(&bare, "DPoP", "invalid_dpop_proof");
        let stolen = proof(&other, "GET");
        let stolen = with(&world, Method::GET, &dpop, Some(&stolen)).await;
        refused(&stolen, "DPoP", "invalid_token");
        let for_post = proof(&own, "POST");
        let elsewhere = own.proof(&world, "GET", "/oauth2/token", &ath);
        let unbound = own.proof(&world, "GET", PATH, &json!({}));
        let other_ath = json!({"ath": jose::sha256("another token")});
        let of_another = own.proof(&world, "GET", PATH, &other_ath);
        for wrong in [&for_post, &elsewhere, &unbound, &of_another] {
            let answer = with(&world, Method::GET, &dpop, Some(wrong)).await;
            refused(&answer, "DPoP", "invalid_dpop_proof");
        }
        let answer = with(&world, Method::GET, &dpop, Some(&good)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let again = with(&world, Method::GET, &dpop, Some(&good)).await;
        refused(&again, "DPoP", "invalid_dpop_proof");
        let posted = with(&world, Method::POST, &dpop, Some(&for_post)).await;
        assert_eq!(posted.status, 200, "{}", posted.text);
    }
}

/// RFC 9449 §7.1: a proof makes no bound token of one that is not.
#[tokio::test]
async fn a_token_that_is_bound_to_nothing_is_a_bearer_token() {
    let world = world().await;
    let client = app(&world, "native", metadata()).await;
    let code = Tab::default().code(&world, &client, "openid").await;
    let token = text(&redeem(&world, &client, &code, None).await, "access_token");
    let answer = with(&world, Method::GET, &format!("DPoP {token}"), None).await;
    refused(&answer, "DPoP", "invalid_token");
    let answer = with(&world, Method::GET, &format!("bearer {token}"), None).await;
    assert_eq!(answer.status, 200);
    // Who shows nothing is told both ways.
    let nothing = world.get(PATH).await;
    let told: Vec<_> = nothing.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(told.len(), 2, "{told:?}");
}

/// RFC 8705 §3: the certificate of the token, over the connection that shows the token.
#[tokio::test]
async fn a_token_that_is_bound_to_a_certificate_needs_it() {
    let world = world().await;
    let registered = ClientMetadata {
        tls_client_certificate_bound_access_tokens: true,
        ..metadata()
    };
    let client = app(&world, "native", registered).await;
    let ((own, _), (other, _)) = (certificate(false), certificate(false));
    let code = Tab::default().code(&world, &client, "openid").await;
    let fields = [
        ("client_id", client.client_id.as_str()),
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", crate::tab::CALLBACK),
        ("code_verifier", crate::tab::VERIFIER),
    ];
    let over =
        async |shown: Option<&ClientCertificate>, request: http::request::Builder, body: String| {
            let mut request = request.body(Body::from(body)).unwrap();
            if let Some(shown) = shown {
                request.extensions_mut().insert(shown.clone());
            }
            world.answer(request).await
        };
    let post =
        Request::post("/oauth2/token").header("content-type", "application/x-www-form-urlencoded");
    let answer = over(Some(&own), post, crate::tab::query(&fields)).await;
    let bearer = format!("Bearer {}", text(&answer, "access_token"));
    let ask = || Request::get(PATH).header("authorization", bearer.as_str());
    for shown in [None, Some(&other)] {
        let answer = over(shown, ask(), String::new()).await;
        refused(&answer, "Bearer", "invalid_token");
    }
    let answer = over(Some(&own), ask(), String::new()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// An opaque token says who the user is as any other does, until it ends.
#[tokio::test]
async fn an_opaque_token_will_do() {
    let world = world().await;
    let registered = ClientMetadata {
        access_token_format: Some(TokenFormat::Opaque),
        ..crate::tab::metadata()
    };
    let client = app(&world, "app", registered).await;
    let mut tab = Tab::default();
    let code = tab.code(&world, &client, "openid profile").await;
    let tokens = exchange(&world, &client, &code, &[]).await;
    let token = text(&tokens, "access_token");
    assert!(token.starts_with("twa_"));
    let answer = crate::tab::userinfo(&world, &token).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["preferred_username"], "admin");
    let body = format!("token={token}");
    let revoked = world.form_as(&client, "/oauth2/revoke", &body).await;
    assert_eq!(revoked.status, 200);
    let answer = crate::tab::userinfo(&world, &token).await;
    refused(&answer, "Bearer", "invalid_token");
    // One that is not about a user is no token for it.
    let own = world.token_of(&world.shop).await;
    assert_eq!(crate::tab::userinfo(&world, &own).await.status, 403);
}
