//! The end of a refresh token by its client (RFC 7009): what ends with it, and what does not.

use base::TokensOf;

use crate::public;
use crate::tab::{Tab, app, claims, exchange, metadata, refresh, text, userinfo};
use crate::world::{TestClient, World, world};

async fn revoke(world: &World, client: &TestClient, token: &str) -> u16 {
    let body = format!("token={token}&token_type_hint=refresh_token");
    let answer = world.form_as(client, "/oauth2/revoke", &body).await;
    answer.status.as_u16()
}

/// Its grant is over: the refresh tokens that came before and after it, and the access tokens, in all nodes.
#[tokio::test]
async fn a_revoked_refresh_token_takes_along_what_it_stands_for() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let mut tab = Tab::default();
    let code = tab.code(&world, &client, "openid pets:read").await;
    let first = exchange(&world, &client, &code, &[]).await;
    let second = refresh(&world, &client, &text(&first, "refresh_token")).await;
    let other_code = tab.code(&world, &client, "openid pets:read").await;
    let other = exchange(&world, &client, &other_code, &[]).await;

    let waits = world.nodes.waits.lock().unwrap().len();
    assert_eq!(
        revoke(&world, &client, &text(&second, "refresh_token")).await,
        200
    );
    assert_eq!(
        world.nodes.waits.lock().unwrap().len(),
        waits + 1,
        "the nodes have it"
    );
    let access = text(&first, "access_token");
    let grant = claims(&access)["grant_id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let ended = world.store.watermark_get(&TokensOf::Grant(grant)).await;
    assert!(ended.unwrap().is_some());
    for answer in [&first, &second] {
        let access = text(answer, "access_token");
        assert!(!world.active(&client, &access).await);
        assert_eq!(userinfo(&world, &access).await.status, 401);
        let gone = refresh(&world, &client, &text(answer, "refresh_token")).await;
        assert_eq!(gone.oauth_error(), (400, "invalid_grant".into()));
    }
    // What the user allowed at another time stays, and so does the session.
    assert!(world.active(&client, &text(&other, "access_token")).await);
    let fresh = refresh(&world, &client, &text(&other, "refresh_token")).await;
    assert_eq!(fresh.status, 200, "{}", fresh.text);
    let silent = crate::tab::request(&client, &[("prompt", "none")]);
    crate::tab::code_of(&tab.open(&world, &silent).await);
    // Asked again: nothing is there to revoke.
    assert_eq!(
        revoke(&world, &client, &text(&second, "refresh_token")).await,
        200
    );
}

/// RFC 7009 §2.1: one's own tokens alone. A public client has named itself, and has the token.
#[tokio::test]
async fn refresh_tokens_are_revoked_by_their_client_alone() {
    let world = world().await;
    let client = app(&world, "native", public::metadata()).await;
    let code = Tab::default().code(&world, &client, "openid").await;
    let answer = public::redeem(&world, &client, &code, None).await;
    let (access, token) = (
        text(&answer, "access_token"),
        text(&answer, "refresh_token"),
    );
    assert_eq!(revoke(&world, &world.shop, &token).await, 400);
    assert_eq!(userinfo(&world, &access).await.status, 200, "it stays");
    let own = format!("client_id={}&token={token}", client.client_id);
    let revoked = world.form("/oauth2/revoke", &own).await;
    assert_eq!(revoked.status, 200, "{}", revoked.text);
    assert_eq!(userinfo(&world, &access).await.status, 401);
}

/// One that was rotated away, or is over, still names its grant.
#[tokio::test]
async fn an_old_refresh_token_ends_its_grant_too() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let code = Tab::default()
        .code(&world, &client, "openid pets:read")
        .await;
    let first = exchange(&world, &client, &code, &[]).await;
    let second = refresh(&world, &client, &text(&first, "refresh_token")).await;
    assert_eq!(
        revoke(&world, &client, &text(&first, "refresh_token")).await,
        200
    );
    assert!(!world.active(&client, &text(&second, "access_token")).await);
    let gone = refresh(&world, &client, &text(&second, "refresh_token")).await;
    assert_eq!(gone.oauth_error(), (400, "invalid_grant".into()));
}
