//! Users under other names for clients of other sectors (OpenID Connect Core §8).

use base::{RegistrationTokenId, TokensOf};
use http::Method;
use serde_json::{Value, json};
use store::{Batch, ClientMetadata, RegistrationToken, SubjectType, Write};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::exchange::{exchanged, exchanger};
use crate::logout::{logout, told_at, when_told};
use crate::tab::{
    CALLBACK, Tab, app, claims, code_of, error_of, exchange, metadata, query, request, text,
    userinfo,
};
use crate::world::{Answer, START_S, TestClient, World, world};

/// A client whose users have names of their own in this sector.
fn pairwise(sector: Option<&str>) -> ClientMetadata {
    ClientMetadata {
        subject_type: SubjectType::Pairwise,
        sector_identifier_uri: sector.map(str::to_owned),
        ..metadata()
    }
}

/// Tokens about the admin.
async fn tokens(world: &World, client: &TestClient) -> Answer {
    let code = Tab::default().code(world, client, "openid").await;
    exchange(world, client, &code, &[]).await
}

fn sub(token: &str) -> String {
    claims(token)["sub"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_client_knows_users_by_one_name_that_others_do_not_know() {
    let world = world().await;
    let shop = app(&world, "shop-app", pairwise(None)).await;
    let sister = app(
        &world,
        "sister",
        pairwise(Some("https://app.example/sector")),
    )
    .await;
    let other = app(&world, "other", pairwise(Some("https://other.example/s"))).await;
    let public = app(&world, "public", metadata()).await;
    let user = world
        .store
        .user_get(&base::Org::default_org(), "admin")
        .await;
    let id = user.unwrap().unwrap().id.to_string();
    let first = tokens(&world, &shop).await;
    let (access, id_token) = (text(&first, "access_token"), text(&first, "id_token"));
    let name = sub(&id_token);
    assert_eq!(sub(&access), name);
    assert_ne!(name, id);
    let all = format!("{} {}", claims(&access), claims(&id_token));
    assert!(
        !all.contains(&id) && !all.contains("admin"),
        "nothing tells who it is: {all}"
    );
    let told = userinfo(&world, &access).await.json();
    assert_eq!(told, json!({"sub": name}));
    let form = query(&[("token", &access)]);
    let told = world
        .form_as(&shop, "/oauth2/introspect", &form)
        .await
        .json();
    assert_eq!(
        (&told["active"], &told["sub"]),
        (&json!(true), &json!(name))
    );
    assert!(told.get("username").is_none());
    let refreshed = crate::tab::refresh(&world, &shop, &text(&first, "refresh_token")).await;
    assert_eq!(sub(&text(&refreshed, "id_token")), name);

    let names = [&shop, &sister, &other, &public];
    let mut found = Vec::new();
    for client in names {
        found.push(sub(&text(&tokens(&world, client).await, "id_token")));
    }
    assert_eq!(found[0], name, "again");
    assert_eq!(found[1], name, "one sector");
    assert_ne!(found[2], name);
    assert_eq!(found[3], id);

    // The name comes back as a hint, and in the request for claims.
    let mut tab = Tab::default();
    tab.code(&world, &shop, "openid").await;
    let openid = ("scope", "openid");
    let hinted = [
        ("prompt", "none"),
        ("id_token_hint", id_token.as_str()),
        openid,
    ];
    code_of(&tab.open(&world, &request(&shop, &hinted)).await);
    let wanted = |sub: &str| json!({"id_token": {"sub": {"value": sub}}}).to_string();
    let (right, wrong) = (wanted(&name), wanted(&id));
    let path = request(&shop, &[("prompt", "none"), ("claims", &right), openid]);
    code_of(&tab.open(&world, &path).await);
    let path = request(&shop, &[("prompt", "none"), ("claims", &wrong), openid]);
    assert_eq!(error_of(&tab.open(&world, &path).await), "login_required");
}

/// Nobody who gets a token for another client's, and nobody who is told of a logout, learns more than that name.
#[tokio::test]
async fn the_name_goes_into_exchanged_tokens_and_logout_tokens() {
    let world = world().await;
    let (uri, answering) = told_at(&["200 OK"]).await;
    let registered = ClientMetadata {
        backchannel_logout_uri: Some(uri),
        ..pairwise(None)
    };
    let shop = app(&world, "shop-app", registered).await;
    let backend = exchanger(&world, "backend", &[&shop]).await;
    let mut tab = Tab::default();
    let code = tab.code(&world, &shop, "openid").await;
    let first = exchange(&world, &shop, &code, &[]).await;
    let (access, id_token) = (text(&first, "access_token"), text(&first, "id_token"));
    let name = sub(&id_token);
    let user = world
        .store
        .user_get(&base::Org::default_org(), "admin")
        .await;
    let id = user.unwrap().unwrap().id.to_string();
    let answer = exchanged(&world, &backend, &format!("subject_token={access}")).await;
    let second = claims(answer["access_token"].as_str().unwrap());
    assert_eq!(second["sub"], name);
    assert_eq!(second["act"]["client_id"], backend.client_id);
    tab.open(&world, &logout(&[("id_token_hint", &id_token)]))
        .await;
    let told = when_told(&world, answering).await;
    let third = claims(told[0].split("logout_token=").nth(1).unwrap());
    assert_eq!(third["sub"], name);
    for told in [second, third] {
        let all = told.to_string();
        assert!(!all.contains(&id) && !all.contains("admin"), "{all}");
    }
}

/// The end of a user's tokens ends those under other names (req: S9).
#[tokio::test]
async fn tokens_under_other_names_end_with_the_user() {
    let world = world().await;
    let shop = app(&world, "shop-app", pairwise(None)).await;
    let first = tokens(&world, &shop).await;
    let access = text(&first, "access_token");
    let user = world
        .store
        .user_get(&base::Org::default_org(), "admin")
        .await;
    let batch = Batch {
        org: base::Org::default_org(),
        actor: "admin".to_owned(),
        at_unix_ms: START_S * 1000,
        request: None,
        writes: vec![Write::TokensEnd {
            of: TokensOf::User(user.unwrap().unwrap().id),
            expires_unix_s: START_S + 99_999,
        }],
    };
    world.store.commit(batch).await.unwrap();
    assert_eq!(userinfo(&world, &access).await.status, 401);
    let later = text(&tokens(&world, &shop).await, "access_token");
    assert_eq!(
        userinfo(&world, &later).await.status,
        200,
        "who logs in again goes on"
    );
}

/// Answers every request with this text.
async fn serves(body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "http://127.0.0.1:{}/sector",
        listener.local_addr().unwrap().port()
    );
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut part = [0; 4096];
            let _ = socket.read(&mut part).await;
            let length = body.len();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            let _ = socket.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    url
}

/// A client registers itself.
async fn registered(world: &World, wish: Value) -> Answer {
    let (token, hash) = world.secrets.registration_token().unwrap();
    let batch = Batch {
        org: base::Org::default_org(),
        actor: "admin".to_owned(),
        at_unix_ms: START_S * 1000,
        request: None,
        writes: vec![Write::RegistrationTokenPut(RegistrationToken {
            id: RegistrationTokenId::generate(),
            org: base::Org::default_org(),
            name: String::new(),
            hash,
            uses_left: 1,
            owner: "admin".to_owned(),
            created_unix_ms: START_S * 1000,
            expires_unix_s: START_S + 60,
        })],
    };
    world.store.commit(batch).await.unwrap();
    let bearer = format!("Bearer {}", token.expose());
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let body = wish.to_string();
    world
        .send(Method::POST, "/oauth2/register", &headers, &body)
        .await
}

/// OpenID Connect Registration §5; the list is fetched by the guarded client (req: S7).
#[tokio::test]
async fn a_sector_is_what_its_list_says() {
    let world = world().await;
    let wish = |uri: &str| json!({"redirect_uris": [CALLBACK], "subject_type": "pairwise", "sector_identifier_uri": uri});
    let good = serves(r#"["https://app.example/cb", "https://b.example/cb"]"#).await;
    let answer = registered(&world, wish(&good)).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert_eq!(answer.json()["subject_type"], "pairwise");
    assert_eq!(world.metrics.registrations.get(), 1);
    let lacking = serves(r#"["https://b.example/cb"]"#).await;
    let nonsense = serves("<html>").await;
    for wrong in [
        &*lacking,
        &*nonsense,
        "http://127.0.0.1:9/",
        "https://10.0.0.1/sector",
        "http://a.example/",
    ] {
        let answer = registered(&world, wish(wrong)).await;
        assert_eq!(
            answer.oauth_error(),
            (400, "invalid_client_metadata".into()),
            "{wrong}"
        );
        assert!(
            answer.text.contains("sector_identifier_uri"),
            "{}",
            answer.text
        );
    }
    let two =
        json!({"redirect_uris": [CALLBACK, "https://b.example/cb"], "subject_type": "pairwise"});
    let answer = registered(&world, two).await;
    assert_eq!(
        answer.oauth_error(),
        (400, "invalid_client_metadata".into())
    );
    assert_eq!(world.metrics.registrations_refused.get(), 6);
}
