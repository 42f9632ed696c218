//! Token exchange (RFC 8693) and tokens for clients as audience.

use base::Org;
use serde_json::Value;
use store::ClientMetadata;
use store::clients::GrantType;

use crate::world::{START_S, TestClient, World, world};

const TOKEN: &str = "/oauth2/token";
const EXCHANGE: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
    &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token";

/// A client that may exchange the tokens of these clients.
pub(crate) async fn exchanger(world: &World, name: &str, of: &[&TestClient]) -> TestClient {
    let metadata = ClientMetadata {
        grant_types: [GrantType::ClientCredentials, GrantType::TokenExchange].into(),
        token_exchange_subject_clients: of.iter().map(|client| client.client_id.clone()).collect(),
        access_token_lifetime_s: Some(7200),
        ..ClientMetadata::default()
    };
    world.registered(name, metadata).await
}

pub(crate) async fn exchanged(world: &World, client: &TestClient, more: &str) -> Value {
    let answer = world
        .form_as(client, TOKEN, &format!("{EXCHANGE}&{more}"))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

/// The subject stays, scopes and lifetime do not grow, and the actors are told.
#[tokio::test]
async fn an_exchange_gives_no_more_than_was_shown() {
    let world = world().await;
    let backend = exchanger(&world, "backend", &[&world.shop]).await;
    let body = "grant_type=client_credentials&scope=pets:read";
    let shown = world.form_as(&world.shop, TOKEN, body).await.json();
    let subject = shown["access_token"].as_str().unwrap();
    world.clock.advance_ms(600_000);
    let answer = exchanged(&world, &backend, &format!("subject_token={subject}")).await;
    assert_eq!(answer["scope"], "pets:read");
    assert_eq!(answer["expires_in"], 3000, "no longer than what was shown");
    assert_eq!(
        answer["issued_token_type"],
        "urn:ietf:params:oauth:token-type:access_token"
    );
    let token = answer["access_token"].as_str().unwrap();
    let org = Org::default_org();
    let claims = world.tokens.verify_access(&org, token).await.unwrap();
    assert_eq!(claims.sub, world.shop.credential.application.to_string());
    assert_eq!(claims.exp, START_S + 3600);
    assert_eq!(claims.client_id.as_ref(), Some(&backend.client_id));
    let act = &claims.other["act"];
    assert_eq!(act["sub"], backend.credential.application.to_string());
    assert_eq!(act["client_id"], backend.client_id);
    let more = format!("{EXCHANGE}&subject_token={subject}&scope=pets:write");
    let refused = world.form_as(&backend, TOKEN, &more).await;
    assert_eq!(refused.oauth_error(), (400, "invalid_scope".into()));

    // What was shown ends, and with it what came of it.
    let body = format!("token={subject}");
    let revoked = world.form_as(&world.shop, "/oauth2/revoke", &body).await;
    assert_eq!(revoked.status, 200);
    assert!(!world.active(&backend, token).await);
}

#[tokio::test]
async fn who_is_not_allowed_exchanges_nothing() {
    let world = world().await;
    let backend = exchanger(&world, "backend", &[&world.shop]).await;
    let rivals = world.token_of(&world.rival).await;
    let shops = world.token_of(&world.shop).await;
    let control = world.control_token().await;
    let kind = "urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3A";
    for (client, more, error) in [
        (
            &backend,
            format!("{EXCHANGE}&subject_token={rivals}"),
            "unauthorized_client",
        ),
        (
            &world.rival,
            format!("{EXCHANGE}&subject_token={shops}"),
            "unauthorized_client",
        ),
        (
            &backend,
            format!("{EXCHANGE}&subject_token={control}"),
            "invalid_request",
        ),
        (
            &backend,
            format!("{EXCHANGE}&subject_token=x"),
            "invalid_request",
        ),
        (&backend, EXCHANGE.to_owned(), "invalid_request"),
        (
            &backend,
            format!("{EXCHANGE}&subject_token={shops}&actor_token={shops}"),
            "invalid_request",
        ),
        (
            &backend,
            format!(
                "{EXCHANGE}&subject_token={shops}&actor_token={shops}&actor_token_type={kind}access_token"
            ),
            "unauthorized_client",
        ),
        (
            &backend,
            format!("{EXCHANGE}&subject_token={shops}&requested_token_type={kind}refresh_token"),
            "invalid_request",
        ),
        (
            &backend,
            format!("{EXCHANGE}&subject_token={shops}&resource=urn:x"),
            "invalid_target",
        ),
    ] {
        let answer = world.form_as(client, TOKEN, &more).await;
        assert_eq!(answer.oauth_error(), (400, error.to_owned()), "{more}");
    }
}

/// A chain of hops has an end.
#[tokio::test]
async fn actors_are_counted() {
    let world = world().await;
    let mut token = world.token_of(&world.shop).await;
    let mut clients = Vec::new();
    for hop in 0..5 {
        let before = clients.last().unwrap_or(&world.shop);
        let client = exchanger(&world, &format!("hop-{hop}"), &[before]).await;
        let more = format!("{EXCHANGE}&subject_token={token}");
        let answer = world.form_as(&client, TOKEN, &more).await;
        if hop == 4 {
            assert_eq!(answer.oauth_error(), (400, "invalid_request".into()));
            break;
        }
        assert_eq!(answer.status, 200, "{}", answer.text);
        token = answer.json()["access_token"].as_str().unwrap().to_owned();
        clients.push(client);
    }
    let claims = world
        .tokens
        .verify_access(&Org::default_org(), &token)
        .await
        .unwrap();
    let mut act = &claims.other["act"];
    let mut actors = 0;
    while act.is_object() {
        actors += 1;
        act = &act["act"];
    }
    assert_eq!(actors, 4);
}
