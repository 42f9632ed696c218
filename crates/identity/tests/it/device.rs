//! Devices without a browser (RFC 8628).

use identity::{GuessLimits, PeopleConfig};

use crate::attacks::join_all;
use crate::code_flow::is_error_page;
use crate::tab::{Tab, app, claims, metadata, query, refresh, text, userinfo};
use crate::world::{Answer, ISSUER, TestClient, World, world, world_of};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

async fn begin(world: &World, client: &TestClient) -> Answer {
    let form = query(&[("scope", "openid pets:read")]);
    let begun = world
        .form_as(client, "/oauth2/device_authorization", &form)
        .await;
    assert_eq!(begun.status, 200, "{}", begun.text);
    begun
}

async fn poll(world: &World, client: &TestClient, begun: &Answer) -> Answer {
    let code = text(begun, "device_code");
    let form = query(&[("grant_type", GRANT), ("device_code", &code)]);
    world.form_as(client, "/oauth2/token", &form).await
}

/// The page on which somebody decides about the device.
async fn to_decision(world: &World, tab: &mut Tab, begun: &Answer) -> Answer {
    let uri = text(begun, "verification_uri_complete");
    let page = tab.open(world, uri.strip_prefix(ISSUER).unwrap()).await;
    let code = text(begun, "user_code");
    assert!(page.text.contains(&code), "it is filled in: {}", page.text);
    let typed = code.to_lowercase();
    let page = tab.submit(world, &page, &[("user_code", &typed)]).await;
    if page.text.contains("name=\"password\"") {
        return tab.log_in(world, &page).await;
    }
    page
}

fn error(answer: &Answer) -> String {
    let (status, error) = answer.oauth_error();
    assert_eq!(status, 400);
    error
}

#[tokio::test]
async fn a_device_gets_what_somebody_allows() {
    let world = world().await;
    let client = app(&world, "tv", metadata()).await;
    let begun = begin(&world, &client).await;
    assert!(begun.is_not_stored());
    assert_eq!(begun.json()["interval"], 5);
    assert_eq!(
        begun.json()["verification_uri"],
        format!("{ISSUER}/oauth2/device")
    );
    assert_eq!(
        error(&poll(&world, &client, &begun).await),
        "authorization_pending"
    );
    assert_eq!(error(&poll(&world, &client, &begun).await), "slow_down");
    assert_eq!(world.metrics.devices_slowed.get(), 1);
    world.clock.advance_ms(10_000);
    assert_eq!(
        error(&poll(&world, &client, &begun).await),
        "authorization_pending"
    );

    let mut tab = Tab::default();
    let page = to_decision(&world, &mut tab, &begun).await;
    assert!(page.text.contains("Is this your device?") && page.text.contains("pets:read"));
    assert!(page.text.contains(&text(&begun, "user_code")));
    let done = tab.submit(&world, &page, &[("decision", "allow")]).await;
    assert!(done.text.contains("Device connected"), "{}", done.text);
    let again = tab.submit(&world, &page, &[("decision", "allow")]).await;
    assert!(is_error_page(&again), "it is decided");

    let answers = join_all((0..8).map(|_| poll(&world, &client, &begun))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(won.len(), 1);
    assert!(lost.iter().all(|answer| error(answer) == "invalid_grant"));
    let token = text(won[0], "access_token");
    assert_eq!(userinfo(&world, &token).await.status, 200);
    assert!(
        claims(&token).get("sid").is_none(),
        "it does not end with the browser's session"
    );
    let again = refresh(&world, &client, &text(won[0], "refresh_token")).await;
    assert_eq!(again.status, 200);
}

#[tokio::test]
async fn a_device_is_told_no_and_when_it_is_over() {
    let world = world().await;
    let client = app(&world, "tv", metadata()).await;
    let rival = app(&world, "other", metadata()).await;
    let begun = begin(&world, &client).await;
    assert_eq!(error(&poll(&world, &rival, &begun).await), "invalid_grant");
    let mut tab = Tab::default();
    let page = to_decision(&world, &mut tab, &begun).await;
    let done = tab.submit(&world, &page, &[("decision", "deny")]).await;
    assert!(done.text.contains("Device refused"));
    assert_eq!(error(&poll(&world, &client, &begun).await), "access_denied");

    let late = begin(&world, &client).await;
    let page = to_decision(&world, &mut tab, &late).await;
    world.clock.advance_ms(600_000);
    assert_eq!(error(&poll(&world, &client, &late).await), "expired_token");
    let answer = tab.submit(&world, &page, &[("decision", "allow")]).await;
    assert!(is_error_page(&answer));

    let form = query(&[("scope", "pets:delete")]);
    let refused = world
        .form_as(&client, "/oauth2/device_authorization", &form)
        .await;
    assert_eq!(error(&refused), "invalid_scope");
    let refused = world
        .form_as(&world.shop, "/oauth2/device_authorization", "")
        .await;
    assert_eq!(error(&refused), "unauthorized_client");
}

/// RFC 8628 §5.1: user codes are short, so guessing is slow.
#[tokio::test]
async fn user_codes_are_not_guessed() {
    let world = world_of(PeopleConfig {
        guesses: GuessLimits {
            address_free: 2,
            ..GuessLimits::default()
        },
        ..PeopleConfig::default()
    })
    .await;
    let client = app(&world, "tv", metadata()).await;
    let begun = begin(&world, &client).await;
    let mut tab = Tab::default();
    let page = tab.open_from(&world, "192.0.2.7", "/oauth2/device").await;
    let mut statuses = Vec::new();
    for code in ["BCDF-GHJK", "nonsense", "BCDFGHJL", "BCDFGHJM"] {
        let answer = tab
            .submit_from(&world, "192.0.2.7", &page, &[("user_code", code)])
            .await;
        statuses.push(answer.status.as_u16());
    }
    assert_eq!(statuses, [422, 422, 429, 429]);
    assert_eq!(world.metrics.user_codes_wrong.get(), 2);
    let code = text(&begun, "user_code");
    let answer = tab
        .submit_from(&world, "192.0.2.7", &page, &[("user_code", &code)])
        .await;
    assert_eq!(answer.status, 429, "also with the right one");
    let answer = tab
        .submit_from(&world, "192.0.2.8", &page, &[("user_code", &code)])
        .await;
    assert_eq!(answer.status, 200, "others are free");
}
