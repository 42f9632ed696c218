//! The page on which somebody sees and ends their sessions and consents.

use base::TokensOf;
use store::{ClientMetadata, HistoryFilter, HistoryKind};

use crate::code_flow::is_error_page;
use crate::tab::{Tab, app, claims, exchange, metadata, refresh, request, text, userinfo};
use crate::world::{Answer, ISSUER, World, world};

const PAGE: &str = "/account";

/// The values of the buttons that end something.
fn ends(page: &Answer) -> Vec<String> {
    let after = page.text.split("name=\"end\" value=\"").skip(1);
    after
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect()
}

async fn audited(world: &World, kind: HistoryKind) -> Vec<(String, String, bool)> {
    let filter = HistoryFilter {
        kinds: vec![kind],
        ..HistoryFilter::default()
    };
    let found = world
        .store
        .history_list(&base::Org::default_org(), &filter)
        .await;
    let told = |entry: store::HistoryEntry| {
        assert!(entry.request.is_some(), "the call is known");
        (entry.name, entry.actor, entry.after.is_some())
    };
    found.unwrap().into_iter().map(told).collect()
}

#[tokio::test]
async fn whoever_is_not_logged_in_logs_in_first() {
    let world = world().await;
    let mut tab = Tab::default();
    let page = tab.open(&world, PAGE).await;
    let answer = tab.log_in(&world, &page).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("location")),
        (303, "https://id.example.com/account")
    );
    let page = tab.open(&world, PAGE).await;
    assert!(page.text.contains("Where you are logged in") && page.text.contains("This browser"));
    assert!(
        page.text
            .contains("You have not allowed any application anything.")
    );
    assert_eq!(ends(&page).len(), 2, "this session, and all");
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'") && policy.contains("form-action 'self';"),
        "{policy}"
    );
    let page = tab.open(&world, "/account?ui_locales=de").await;
    assert!(page.text.contains("Wo Sie angemeldet sind"));
    tab.language = Some("zh");
    assert!(tab.open(&world, PAGE).await.text.contains("您的登录会话"));
}

/// req: T2, O6
#[tokio::test]
async fn somebody_ends_a_session_elsewhere() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let (mut phone, mut laptop) = (Tab::default(), Tab::default());
    phone.address = Some("203.0.113.9");
    let code = phone.code(&world, &client, "openid").await;
    let tokens = exchange(&world, &client, &code, &[]).await;
    let access = text(&tokens, "access_token");
    laptop.code(&world, &client, "openid").await;

    let page = laptop.open(&world, PAGE).await;
    assert!(
        page.text.contains("203.0.113.9") && page.text.contains(&client.client_id),
        "{}",
        page.text
    );
    let sid = claims(&access)["sid"].as_str().unwrap().to_owned();
    let end = format!("session:{sid}");
    assert!(ends(&page).contains(&end));
    let mut stranger = Tab::default();
    let stolen = stranger.submit(&world, &page, &[("end", &end)]).await;
    assert!(is_error_page(&stolen), "the form is of another browser");
    let cross = [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ];
    let forged = laptop
        .submit_with(&world, &page, &[("end", &end)], &cross)
        .await;
    assert_eq!(forged.status, 403);
    assert_eq!(userinfo(&world, &access).await.status, 200);

    let answer = laptop.submit(&world, &page, &[("end", &end)]).await;
    assert_eq!(answer.header("location"), format!("{ISSUER}/account"));
    assert_eq!(userinfo(&world, &access).await.status, 401);
    let again = refresh(&world, &client, &text(&tokens, "refresh_token")).await;
    assert_eq!(again.oauth_error(), (400, "invalid_grant".into()));
    let ended = world
        .store
        .watermark_get(&TokensOf::Session(sid.parse().unwrap()))
        .await;
    assert!(ended.unwrap().is_some(), "the gateways know");
    assert_eq!(
        audited(&world, HistoryKind::Session).await,
        [(sid, "admin".to_owned(), false)]
    );
    let page = phone.open(&world, &request(&client, &[])).await;
    assert!(
        page.text.contains("name=\"password\""),
        "the phone is logged out"
    );
    // Once more is as good, and the laptop stays logged in.
    let page = laptop.open(&world, PAGE).await;
    assert_eq!(
        laptop.submit(&world, &page, &[("end", &end)]).await.status,
        303
    );
    assert_eq!(ends(&laptop.open(&world, PAGE).await).len(), 4);

    let answer = laptop.submit(&world, &page, &[("end", "sessions")]).await;
    assert!(
        answer.text.contains("You are logged out"),
        "{}",
        answer.text
    );
    assert!(!laptop.cookies.contains_key("__Host-tollway-session"));
    assert!(
        laptop
            .open(&world, PAGE)
            .await
            .text
            .contains("name=\"password\"")
    );
}

/// req: O6
#[tokio::test]
async fn somebody_takes_a_consent_back() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let mut tab = Tab::default();
    let code = tab.code(&world, &client, "openid offline_access").await;
    let tokens = exchange(&world, &client, &code, &[]).await;
    let (access, offline) = (
        text(&tokens, "access_token"),
        text(&tokens, "refresh_token"),
    );
    let code = tab.code(&world, &client, "pets:read").await;
    exchange(&world, &client, &code, &[]).await;
    let page = tab.open(&world, PAGE).await;
    assert!(
        page.text.contains("<code>pets:read</code>")
            && page.text.contains("<code>offline_access</code>")
    );
    let end = format!("consent:{}", client.client_id);
    assert!(ends(&page).contains(&end));
    for wrong in ["", "consent", "session:x", "everything"] {
        assert!(
            is_error_page(&tab.submit(&world, &page, &[("end", wrong)]).await),
            "{wrong}"
        );
    }
    assert_eq!(
        tab.submit(&world, &page, &[("end", &end)]).await.status,
        303
    );
    assert_eq!(userinfo(&world, &access).await.status, 401);
    let again = refresh(&world, &client, &offline).await;
    assert_eq!(
        again.oauth_error(),
        (400, "invalid_grant".into()),
        "offline access, too"
    );
    let page = tab
        .open(&world, &request(&client, &[("scope", "openid")]))
        .await;
    assert!(page.text.contains("name=\"decision\""), "it is asked again");
    let name = format!("admin/{}", client.client_id);
    let entry = |after| (name.clone(), "admin".to_owned(), after);
    let told = audited(&world, HistoryKind::Consent).await;
    assert_eq!(told, [entry(false), entry(true), entry(true)]);
    tab.submit(&world, &page, &[("decision", "allow")]).await;
    let page = tab.open(&world, PAGE).await;
    tab.submit(&world, &page, &[("end", "consents")]).await;
    let page = tab.open(&world, PAGE).await;
    assert!(
        page.text
            .contains("You have not allowed any application anything.")
    );
}

/// A consent that is taken back while a code is given ends that code, or there is none (req: S9).
#[tokio::test]
async fn a_code_of_a_consent_that_is_taken_back_meanwhile_is_worth_nothing() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let trusted = ClientMetadata {
        skip_consent: true,
        ..metadata()
    };
    let trusted = app(&world, "own", trusted).await;
    let mut tab = Tab::default();
    let end = format!("consent:{}", client.client_id);
    let silent = request(&client, &[("scope", "openid"), ("prompt", "none")]);
    for round in 0..12 {
        tab.code(&world, &client, "openid").await;
        let page = tab.open(&world, PAGE).await;
        let (mut other, mut third) = (tab.clone(), tab.clone());
        let ends = [("end", end.as_str())];
        let (ended, first, second) = tokio::join!(
            tab.submit(&world, &page, &ends),
            other.open(&world, &silent),
            third.open(&world, &silent),
        );
        assert_eq!(ended.status, 303);
        for answer in [first, second] {
            let to = answer.header("location");
            if to.contains("code=") {
                let code = crate::tab::code_of(&answer);
                let used = exchange(&world, &client, &code, &[]).await;
                let refused = (400, "invalid_grant".to_owned());
                assert_eq!(used.oauth_error(), refused, "round {round}");
            } else {
                assert!(to.contains("error="), "{to}");
            }
        }
        // Nobody was asked for this one, and nobody takes it back.
        let silent = [("scope", "openid"), ("prompt", "none")];
        let answer = tab.open(&world, &request(&trusted, &silent)).await;
        let code = crate::tab::code_of(&answer);
        assert_eq!(exchange(&world, &trusted, &code, &[]).await.status, 200);
    }
}

/// Somebody else at the same browser: whoever was there is logged out, with their tokens.
#[tokio::test]
async fn another_user_in_the_browser_ends_the_session_before() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let mut tab = Tab::default();
    let code = tab.code(&world, &client, "openid").await;
    let first = text(&exchange(&world, &client, &code, &[]).await, "access_token");
    // The same user goes on.
    let again = tab
        .allow(&world, &request(&client, &[("prompt", "login")]))
        .await;
    let code = crate::tab::code_of(&again);
    let second = text(&exchange(&world, &client, &code, &[]).await, "access_token");
    assert_eq!(userinfo(&world, &first).await.status, 200);
    world.user("eve").await;
    let page = tab
        .open(&world, &request(&client, &[("prompt", "login")]))
        .await;
    let fields = [("username", "eve"), ("password", crate::world::PASSWORD)];
    tab.submit(&world, &page, &fields).await;
    assert_eq!(userinfo(&world, &second).await.status, 401);
    assert_eq!(world.metrics.logouts.get(), 1);
}
