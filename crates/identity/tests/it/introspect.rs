use serde_json::json;

use crate::world::{START_S, world};

const INTROSPECT: &str = "/oauth2/introspect";

#[tokio::test]
async fn a_client_learns_about_its_own_token() {
    let world = world().await;
    let token = world.token_of(&world.shop).await;
    let body = format!("token={token}&token_type_hint=access_token");
    let answer = world.form_as(&world.shop, INTROSPECT, &body).await;
    assert_eq!(answer.status, 200);
    assert!(answer.is_not_stored());
    let mut told = answer.json();
    let jti = told.as_object_mut().unwrap().remove("jti").unwrap();
    assert_eq!(jti.as_str().unwrap().len(), 26);
    assert_eq!(
        told,
        json!({
            "active": true,
            "token_type": "Bearer",
            "iss": "https://id.example.com",
            "sub": world.shop.credential.application,
            "aud": ["urn:tollway:default:gateway"],
            "client_id": world.shop.client_id,
            "exp": START_S + 3600,
            "iat": START_S,
            "scope": "pets:read pets:write",
        })
    );
}

/// RFC 7662 §2.2 and §4: who does not own it learns nothing.
#[tokio::test]
async fn everything_else_is_inactive() {
    let world = world().await;
    let token = world.token_of(&world.shop).await;
    assert!(world.active(&world.shop, &token).await);
    assert!(!world.active(&world.rival, &token).await);

    let control = world.control_token().await;
    assert!(!world.active(&world.shop, &control).await);
    let mut unsigned = token.clone();
    unsigned.truncate(token.rfind('.').unwrap() + 1);
    for garbage in ["x", "a.b.c", &unsigned, &token[1..], &"a".repeat(10_000)] {
        assert!(!world.active(&world.shop, garbage).await, "{garbage}");
    }
    world.clock.advance_ms((3600 + 60) * 1000);
    assert!(!world.active(&world.shop, &token).await, "over");
}

#[tokio::test]
async fn nobody_introspects_without_proving_himself() {
    let world = world().await;
    let token = world.token_of(&world.shop).await;
    let answer = world.form(INTROSPECT, &format!("token={token}")).await;
    assert_eq!(answer.oauth_error(), (401, "invalid_client".into()));
    assert!(answer.header("www-authenticate").starts_with("Basic "));
    for body in ["", "token=", "token=a&token=b"] {
        let answer = world.form_as(&world.shop, INTROSPECT, body).await;
        assert_eq!(
            answer.oauth_error(),
            (400, "invalid_request".into()),
            "{body}"
        );
    }
}
