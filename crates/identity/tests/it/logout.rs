//! Logging out: at a client's wish, with its clients told.

use std::time::{Duration, Instant};

use serde_json::json;
use store::ClientMetadata;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::code_flow::is_error_page;
use crate::tab::{Tab, app, claims, exchange, metadata, query, refresh, request, text, userinfo};
use crate::world::{ISSUER, World, world};

const BYE: &str = "https://app.example/bye";

pub(crate) fn logout(fields: &[(&str, &str)]) -> String {
    format!("/oauth2/logout?{}", query(fields))
}

#[tokio::test]
async fn a_session_ends_with_its_tokens() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let mut tab = Tab::default();
    let code = tab.code(&world, &client, "openid").await;
    let online = exchange(&world, &client, &code, &[]).await;
    let code = tab.code(&world, &client, "openid offline_access").await;
    let offline = exchange(&world, &client, &code, &[]).await;
    assert!(claims(&text(&offline, "access_token")).get("sid").is_none());

    let hint = text(&online, "id_token");
    world.clock.advance_ms(3_700_000);
    let path = logout(&[
        ("id_token_hint", &hint),
        ("post_logout_redirect_uri", BYE),
        ("state", "a b"),
    ]);
    let answer = tab.open(&world, &path).await;
    assert_eq!(answer.status, 303);
    assert_eq!(answer.header("location"), format!("{BYE}?state=a+b"));
    assert!(!tab.cookies.contains_key("__Host-tollway-session"));
    let again = refresh(&world, &client, &text(&online, "refresh_token")).await;
    assert_eq!(again.oauth_error(), (400, "invalid_grant".into()));
    let still = refresh(&world, &client, &text(&offline, "refresh_token")).await;
    assert_eq!(still.status, 200, "offline access outlives the session");
    let page = tab.open(&world, &request(&client, &[])).await;
    assert!(page.text.contains("name=\"password\""));
}

/// An access token of the session is refused at once, not when it is over.
#[tokio::test]
async fn access_tokens_of_the_session_are_refused() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let mut tab = Tab::default();
    let code = tab.code(&world, &client, "openid").await;
    let tokens = exchange(&world, &client, &code, &[]).await;
    let access = text(&tokens, "access_token");
    assert_eq!(userinfo(&world, &access).await.status, 200);
    tab.open(
        &world,
        &logout(&[("id_token_hint", &text(&tokens, "id_token"))]),
    )
    .await;
    assert_eq!(userinfo(&world, &access).await.status, 401);
    let sid = claims(&access)["sid"].as_str().unwrap().parse().unwrap();
    let ended = world
        .store
        .watermark_get(&base::TokensOf::Session(sid))
        .await;
    assert!(ended.unwrap().is_some(), "the nodes are told");
    assert_eq!(world.metrics.logouts.get(), 1);
}

/// Nobody is logged out by a link alone, and nobody is sent anywhere unknown (req: S8).
#[tokio::test]
async fn logging_out_is_asked_about_and_goes_to_known_places() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let rival = app(&world, "other", metadata()).await;
    let mut tab = Tab::default();
    let code = tab.code(&world, &client, "openid").await;
    let hint = text(&exchange(&world, &client, &code, &[]).await, "id_token");
    for path in [
        logout(&[]),
        logout(&[
            ("client_id", &client.client_id),
            ("post_logout_redirect_uri", BYE),
        ]),
    ] {
        let page = tab.open(&world, &path).await;
        assert!(page.text.contains("Log out?"), "{}", page.text);
        let stay = tab.submit(&world, &page, &[("decision", "deny")]).await;
        assert!(stay.text.contains("Still logged in"));
    }
    for fields in [
        vec![("post_logout_redirect_uri", BYE)],
        vec![
            ("id_token_hint", hint.as_str()),
            ("post_logout_redirect_uri", "https://app.example/bye/"),
        ],
        vec![
            ("id_token_hint", hint.as_str()),
            ("post_logout_redirect_uri", "https://evil.example/"),
        ],
        vec![
            ("id_token_hint", hint.as_str()),
            ("client_id", rival.client_id.as_str()),
        ],
        vec![("id_token_hint", "x.y.z")],
        vec![("client_id", "nobody"), ("post_logout_redirect_uri", BYE)],
    ] {
        let answer = tab.open(&world, &logout(&fields)).await;
        assert!(is_error_page(&answer), "{fields:?}");
    }
    let page = tab
        .open(
            &world,
            &logout(&[
                ("client_id", &client.client_id),
                ("post_logout_redirect_uri", BYE),
            ]),
        )
        .await;
    let mut stranger = Tab::default();
    assert!(is_error_page(
        &stranger
            .submit(&world, &page, &[("decision", "allow")])
            .await
    ));
    let answer = tab.submit(&world, &page, &[("decision", "allow")]).await;
    assert_eq!(answer.header("location"), BYE);
    let form = world.form("/oauth2/logout", "id_token_hint=x").await;
    assert_eq!(
        form.header("location"),
        format!("{ISSUER}/oauth2/logout?id_token_hint=x")
    );
}

/// Where a client is told of logouts, answered so one after the other, and what it is told.
pub(crate) async fn told_at(answers: &'static [&'static str]) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!(
        "http://127.0.0.1:{}/logged-out",
        listener.local_addr().unwrap().port()
    );
    let answering = tokio::spawn(async move {
        let mut told = Vec::new();
        for answer in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            // The form is all of the body and comes with the head or right after it.
            while !String::from_utf8_lossy(&request).contains("logout_token=") {
                let mut part = [0; 8192];
                let read = socket.read(&mut part).await.unwrap();
                assert!(read > 0);
                request.extend_from_slice(&part[..read]);
            }
            let head =
                format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            socket.write_all(head.as_bytes()).await.unwrap();
            told.push(String::from_utf8(request).unwrap());
        }
        told
    });
    (uri, answering)
}

/// What a client was told, when it was told as often as it answers.
pub(crate) async fn when_told(world: &World, answering: JoinHandle<Vec<String>>) -> Vec<String> {
    let until = Instant::now() + Duration::from_secs(60);
    while !answering.is_finished() {
        assert!(Instant::now() < until, "the client was not told");
        // The pause between two attempts goes by the clock.
        world.clock.advance_ms(1_000);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    answering.await.unwrap()
}

/// OpenID Connect Back-Channel Logout: the client is told, again when it did not listen at first.
#[tokio::test]
async fn clients_are_told() {
    let world = world().await;
    let (uri, answering) = told_at(&["503 Service Unavailable", "200 OK"]).await;
    let registered = ClientMetadata {
        backchannel_logout_uri: Some(uri),
        ..metadata()
    };
    let client = app(&world, "app", registered).await;
    let mut tab = Tab::default();
    let code = tab.code(&world, &client, "openid").await;
    let id = text(&exchange(&world, &client, &code, &[]).await, "id_token");
    tab.open(&world, &logout(&[("id_token_hint", &id)])).await;
    let told = when_told(&world, answering).await;
    assert!(told[1].starts_with("POST /logged-out HTTP/1.1"));
    let token = told[1].split("logout_token=").nth(1).unwrap();
    let (id, claims) = (claims(&id), claims(token));
    for name in ["iss", "sub", "sid"] {
        assert_eq!(claims[name], id[name], "{name}");
    }
    assert_eq!(claims["aud"], client.client_id);
    let event = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    assert_eq!(claims["events"], event);
    assert!(claims["jti"].is_string() && claims.get("nonce").is_none());
    let until = Instant::now() + Duration::from_secs(60);
    while world.metrics.logouts_told.get() == 0 {
        assert!(Instant::now() < until, "it was not counted");
        tokio::task::yield_now().await;
    }
}
