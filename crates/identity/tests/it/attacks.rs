//! What somebody tries who means harm, and what comes of it.

use http::Method;
use identity::{GuessLimits, PeopleConfig};
use store::{AuthMethod, ClientMetadata};

use crate::code_flow::is_error_page;
use crate::tab::{
    Tab, VERIFIER, app, code_of, exchange, metadata, refresh, request, text, userinfo,
};
use crate::world::{ISSUER, PASSWORD, world, world_of};

const SESSION: &str = "__Host-tollway-session";
const BROWSER: &str = "__Host-tollway-browser";

/// req: S8: client or redirect URI wrong is a page, never a redirect.
#[tokio::test]
async fn nobody_is_sent_to_where_the_client_is_not() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    for uri in [
        "https://evil.example/cb",
        "https://app.example/cb/../evil",
        "https://app.example/cb?next=https://evil.example",
        "https://app.example/cb#frag",
        "https://app.example/cb/",
        "https://app.example@evil.example/cb",
        "https://app.example.evil.example/cb",
        "//evil.example",
        "javascript:alert(1)",
        "https://app.example/c\r\nb",
        "HTTPS://app.example/cb",
        " https://app.example/cb",
    ] {
        let answer = Tab::default()
            .open(&world, &request(&client, &[("redirect_uri", uri)]))
            .await;
        assert!(
            is_error_page(&answer),
            "{uri}: {} {}",
            answer.status,
            answer.text
        );
    }
    for more in [("client_id", "nobody"), ("client_id", "' OR 1=1 --")] {
        let answer = Tab::default()
            .open(&world, &request(&client, &[more]))
            .await;
        assert!(is_error_page(&answer), "{more:?}");
    }
    for path in [
        "/oauth2/authorize".to_owned(),
        "/oauth2/authorize?client_id=%ff".to_owned(),
        format!("{}&client_id=other", request(&client, &[])),
        format!(
            "{}&redirect_uri=https%3A%2F%2Fevil.example",
            request(&client, &[])
        ),
        format!("{}&x={}", request(&client, &[]), "x".repeat(9000)),
    ] {
        let answer = Tab::default().open(&world, &path).await;
        assert!(is_error_page(&answer), "{path}");
    }
    assert!(world.metrics.authorizations_refused.get() > 10);
}

/// The answer of one issuer cannot be taken for another's (RFC 9207); errors say it too.
#[tokio::test]
async fn every_answer_names_its_issuer() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let wrong = Tab::default()
        .open(&world, &request(&client, &[("response_type", "token")]))
        .await;
    assert!(
        wrong
            .header("location")
            .contains("iss=https%3A%2F%2Fid.example.com")
    );
}

/// Of 32 redemptions at once one gets tokens, and they are over since the others came (RFC 6749 §4.1.2).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_gives_tokens_once() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let code = Tab::default().code(&world, &client, "openid").await;
    let calls = (0..32).map(|_| exchange(&world, &client, &code, &[]));
    let answers = join_all(calls).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(won.len(), 1);
    for answer in lost {
        assert_eq!(answer.oauth_error(), (400, "invalid_grant".into()));
    }
    let token = text(won[0], "access_token");
    assert_eq!(userinfo(&world, &token).await.status, 401);
    let again = refresh(&world, &client, &text(won[0], "refresh_token")).await;
    assert_eq!(again.oauth_error(), (400, "invalid_grant".into()));
    assert!(world.metrics.codes_replayed.get() > 0);
}

/// RFC 7636, RFC 9700 §2.1.1 and §4.5: a code is worth nothing to whoever else gets it.
#[tokio::test]
async fn a_stolen_code_gives_nothing() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let rival = app(&world, "other", metadata()).await;
    let opted_out = ClientMetadata {
        require_pkce: false,
        ..metadata()
    };
    let lax = app(&world, "lax", opted_out).await;
    let mut tab = Tab::default();
    let code = tab.code(&world, &client, "openid").await;
    let other = "x".repeat(43);
    for more in [
        ("code_verifier", ""),
        ("code_verifier", other.as_str()),
        ("code_verifier", "short"),
        ("redirect_uri", ""),
        ("redirect_uri", "https://app.example/cb/"),
    ] {
        let answer = exchange(&world, &client, &code, &[more]).await;
        assert_eq!(
            answer.oauth_error(),
            (400, "invalid_grant".into()),
            "{more:?}"
        );
    }
    let answer = exchange(&world, &rival, &code, &[]).await;
    assert_eq!(answer.oauth_error(), (400, "invalid_grant".into()));
    let answer = exchange(&world, &client, &code, &[]).await;
    assert_eq!(answer.status, 200, "none of this was the client's use");

    // A verifier without a challenge is somebody's attempt to get around PKCE.
    let path = request(
        &lax,
        &[("code_challenge", ""), ("code_challenge_method", "")],
    );
    let code = code_of(&tab.allow(&world, &path).await);
    let answer = exchange(&world, &lax, &code, &[("code_verifier", VERIFIER)]).await;
    assert_eq!(answer.oauth_error(), (400, "invalid_grant".into()));
    let answer = exchange(&world, &lax, &code, &[("code_verifier", "")]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let late = tab.code(&world, &client, "openid").await;
    world.clock.advance_ms(31_000);
    let answer = exchange(&world, &client, &late, &[]).await;
    assert_eq!(answer.oauth_error(), (400, "invalid_grant".into()));
}

/// req: T4
#[tokio::test]
async fn a_refresh_token_that_comes_again_late_ends_the_family() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let rival = app(&world, "other", metadata()).await;
    let code = Tab::default().code(&world, &client, "openid").await;
    let first = text(
        &exchange(&world, &client, &code, &[]).await,
        "refresh_token",
    );
    let answer = refresh(&world, &rival, &first).await;
    assert_eq!(answer.oauth_error(), (400, "invalid_grant".into()));
    let (one, two) = tokio::join!(
        refresh(&world, &client, &first),
        refresh(&world, &client, &first)
    );
    let (one, two) = (text(&one, "refresh_token"), text(&two, "refresh_token"));
    assert_ne!(one, two);
    let next = refresh(&world, &client, &one).await;
    let access = text(&next, "access_token");
    assert_eq!(userinfo(&world, &access).await.status, 200);
    world.clock.advance_ms(11_000);
    let late = refresh(&world, &client, &first).await;
    assert_eq!(late.oauth_error(), (400, "invalid_grant".into()));
    assert_eq!(world.metrics.refreshes_replayed.get(), 1);
    assert_eq!(userinfo(&world, &access).await.status, 401);
    for token in [two, text(&next, "refresh_token")] {
        let answer = refresh(&world, &client, &token).await;
        assert_eq!(answer.oauth_error(), (400, "invalid_grant".into()));
    }
}

/// A form works from our own page, in the browser that it was made for, in time, for its own step.
#[tokio::test]
async fn forms_cannot_be_forged() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let mut tab = Tab::default();
    let login = tab.open(&world, &request(&client, &[])).await;
    let consent = tab.log_in(&world, &login).await;
    let allow = [("decision", "allow")];
    for headers in [
        vec![("origin", "https://evil.example")],
        vec![("origin", "null")],
        vec![("sec-fetch-site", "cross-site")],
        vec![("sec-fetch-site", "same-site")],
        vec![("origin", ISSUER), ("sec-fetch-site", "cross-site")],
    ] {
        let answer = tab.submit_with(&world, &consent, &allow, &headers).await;
        assert_eq!(answer.status, 403, "{headers:?}");
        assert!(is_error_page(&answer));
    }
    // Another browser, another session of the same browser, the form of another step, no form at all.
    let mut stranger = Tab::default();
    assert!(is_error_page(
        &stranger.submit(&world, &consent, &allow).await
    ));
    let mut logged_out = tab.clone();
    logged_out.cookies.remove(SESSION);
    assert!(is_error_page(
        &logged_out.submit(&world, &consent, &allow).await
    ));
    let mut other = tab.clone();
    other.cookies.remove(SESSION);
    other.code(&world, &client, "openid").await;
    assert!(is_error_page(&other.submit(&world, &consent, &allow).await));
    let mut mixed = consent.text.clone();
    mixed = mixed.replace(
        &crate::tab::attribute(&consent.text, "value"),
        &crate::tab::attribute(&login.text, "value"),
    );
    let mixed = crate::world::Answer {
        status: consent.status,
        headers: consent.headers.clone(),
        text: mixed,
    };
    assert!(is_error_page(&tab.submit(&world, &mixed, &allow).await));
    let bare = world.form("/oauth2/consent", "decision=allow").await;
    assert!(is_error_page(&bare));
    world.clock.advance_ms(901_000);
    assert!(is_error_page(&tab.submit(&world, &consent, &allow).await));
    assert!(world.metrics.forms_refused.get() >= 10);
}

/// A session that somebody planted is worth nothing, and a login ends the one before.
#[tokio::test]
async fn sessions_cannot_be_fixed() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let mut victim = Tab::default();
    victim
        .cookies
        .insert(SESSION.to_owned(), "planted".to_owned());
    let page = victim.open(&world, &request(&client, &[])).await;
    victim.log_in(&world, &page).await;
    let first = victim.cookies[SESSION].clone();
    assert_ne!(first, "planted");
    let mut attacker = Tab::default();
    attacker
        .cookies
        .insert(SESSION.to_owned(), "planted".to_owned());
    let page = attacker.open(&world, &request(&client, &[])).await;
    assert!(page.text.contains("name=\"password\""));

    let page = victim
        .open(&world, &request(&client, &[("prompt", "login")]))
        .await;
    victim.log_in(&world, &page).await;
    assert_ne!(victim.cookies[SESSION], first);
    let mut old = Tab::default();
    old.cookies.insert(SESSION.to_owned(), first);
    let page = old.open(&world, &request(&client, &[])).await;
    assert!(
        page.text.contains("name=\"password\""),
        "the session before is over"
    );
    // A page made for one browser does not log in another one.
    let page = victim
        .open(&world, &request(&client, &[("prompt", "login")]))
        .await;
    let mut other = Tab::default();
    other.cookies.insert(BROWSER.to_owned(), "abc".to_owned());
    let fields = [("username", "admin"), ("password", PASSWORD)];
    assert!(is_error_page(&other.submit(&world, &page, &fields).await));
}

#[tokio::test]
async fn sessions_end_by_themselves_and_with_the_password() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let mut tab = Tab::default();
    tab.code(&world, &client, "openid").await;
    let path = request(&client, &[("scope", "openid")]);
    for _ in 0..6 {
        world.clock.advance_ms(7_100_000);
        code_of(&tab.open(&world, &path).await);
    }
    world.clock.advance_ms(1_000_000);
    let page = tab.open(&world, &path).await;
    assert!(
        page.text.contains("name=\"password\""),
        "twelve hours are over"
    );
    code_of(&tab.log_in(&world, &page).await);
    world.clock.advance_ms(7_300_000);
    let page = tab.open(&world, &path).await;
    assert!(
        page.text.contains("name=\"password\""),
        "two idle hours are over"
    );
    let code = code_of(&tab.log_in(&world, &page).await);
    let given = exchange(&world, &client, &code, &[]).await;
    let token = text(&given, "refresh_token");
    let unused = code_of(&tab.open(&world, &path).await);

    let org = base::Org::default_org();
    let mut user = world.store.user_get(&org, "admin").await.unwrap().unwrap();
    let new = base::Secret::new("another-Passw0rd".to_owned());
    user.password_hash = world.passwords.hash(new).await.unwrap();
    let batch = store::Batch {
        org,
        actor: "test".to_owned(),
        at_unix_ms: 0,
        request: None,
        writes: vec![store::Write::UserPut(user, store::Expect::Any)],
    };
    world.store.commit(batch).await.unwrap();
    let page = tab.open(&world, &path).await;
    assert!(
        page.text.contains("name=\"password\""),
        "the password is another one"
    );
    // Nor does anything go on that was allowed with the old one.
    for answer in [
        refresh(&world, &client, &token).await,
        exchange(&world, &client, &unused, &[]).await,
    ] {
        assert_eq!(answer.oauth_error(), (400, "invalid_grant".into()));
    }
}

/// Names that nobody has look, cost and are delayed like those that somebody has.
#[tokio::test]
async fn guessing_is_slow_and_tells_nothing() {
    let world = world_of(PeopleConfig {
        guesses: GuessLimits {
            account_free: 3,
            ..GuessLimits::default()
        },
        ..PeopleConfig::default()
    })
    .await;
    let client = app(&world, "app", metadata()).await;
    let mut told = Vec::new();
    for name in ["admin", "nobody"] {
        let mut tab = Tab::default();
        let page = tab.open(&world, &request(&client, &[])).await;
        let before = world.passwords.hash_calls();
        let mut answers = Vec::new();
        for _ in 0..5 {
            let fields = [("username", name), ("password", "wrong")];
            let answer = tab.submit(&world, &page, &fields).await;
            let error = answer.text[answer.text.find("role=\"alert\"").unwrap()..].to_owned();
            let error = error[..error.find("</div>").unwrap()].to_owned();
            answers.push((
                answer.status.as_u16(),
                answer.header("retry-after").to_owned(),
                error,
            ));
        }
        told.push((answers, world.passwords.hash_calls() - before));
    }
    assert_eq!(told[0], told[1]);
    let statuses: Vec<u16> = told[0].0.iter().map(|(status, ..)| *status).collect();
    assert_eq!(statuses, [422, 422, 422, 429, 429]);
    assert_eq!(told[0].1, 3, "a delayed attempt costs no hash");
    assert_eq!(told[0].0[4].1, "1");
    assert_eq!(world.metrics.logins_delayed.get(), 4);
    // The right password waits as well, and then it is right.
    let mut tab = Tab::default();
    let page = tab.open(&world, &request(&client, &[])).await;
    assert_eq!(tab.log_in(&world, &page).await.status, 429);
    world.clock.advance_ms(1_000);
    assert_eq!(tab.log_in(&world, &page).await.status, 200);
}

/// No page of ours can be framed or read by scripts of another origin, and none says more than it must.
#[tokio::test]
async fn pages_are_closed_to_other_sites() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let origin = [("origin", "https://app.example")];
    for path in [
        request(&client, &[]),
        "/oauth2/device".to_owned(),
        "/oauth2/logout".to_owned(),
    ] {
        let answer = world.send(Method::GET, &path, &origin, "").await;
        assert!(
            answer.headers.get("access-control-allow-origin").is_none(),
            "{path}"
        );
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        assert!(
            answer
                .header("content-security-policy")
                .contains("frame-ancestors 'none'")
        );
        assert_eq!(answer.header("referrer-policy"), "same-origin");
        let preflight = world.send(Method::OPTIONS, &path, &origin, "").await;
        assert!(
            preflight
                .headers
                .get("access-control-allow-origin")
                .is_none(),
            "{path}"
        );
    }
    let page = Tab::default()
        .open(
            &world,
            &request(&client, &[("login_hint", "\"><script>alert(1)</script>")]),
        )
        .await;
    assert!(!page.text.contains("<script>alert"), "{}", page.text);
    assert!(page.text.contains("&lt;script&gt;"));
}

/// A public client's code is worth nothing without the verifier, and its refresh tokens rotate.
#[tokio::test]
async fn public_clients_rotate_whatever_they_say() {
    let metadata = ClientMetadata {
        token_endpoint_auth_method: AuthMethod::None,
        ..metadata()
    };
    assert!(metadata.rotates_refresh_tokens() && metadata.needs_pkce());
}

#[tokio::test]
async fn a_pushed_request_is_good_once() {
    let world = world().await;
    let strict = ClientMetadata {
        require_pushed_authorization_requests: true,
        ..metadata()
    };
    let client = app(&world, "app", strict).await;
    let rival = app(&world, "other", metadata()).await;
    let plain = request(&client, &[]);
    let answer = Tab::default().open(&world, &plain).await;
    assert_eq!(crate::tab::error_of(&answer), "invalid_request");
    let (_, form) = plain.split_once('?').unwrap();
    let pushed = world.form_as(&client, "/oauth2/par", form).await;
    assert_eq!(pushed.status, 201, "{}", pushed.text);
    assert!(pushed.is_not_stored());
    assert_eq!(pushed.json()["expires_in"], 60);
    let uri = pushed.json()["request_uri"].as_str().unwrap().to_owned();
    let path = |client_id: &str, uri: &str| {
        let fields = [
            ("client_id", client_id),
            ("request_uri", uri),
            ("redirect_uri", "https://evil.example"),
        ];
        format!("/oauth2/authorize?{}", crate::tab::query(&fields))
    };
    let mut tab = Tab::default();
    code_of(&tab.allow(&world, &path(&client.client_id, &uri)).await);
    let again = tab.open(&world, &path(&client.client_id, &uri)).await;
    assert!(is_error_page(&again), "it was used");

    let push = async || {
        let pushed = world.form_as(&client, "/oauth2/par", form).await;
        pushed.json()["request_uri"].as_str().unwrap().to_owned()
    };
    let theirs = tab
        .open(&world, &path(&rival.client_id, &push().await))
        .await;
    assert!(is_error_page(&theirs), "it is another client's");
    let late = push().await;
    world.clock.advance_ms(60_000);
    assert!(is_error_page(
        &tab.open(&world, &path(&client.client_id, &late)).await
    ));

    let evil = crate::tab::query(&[
        ("redirect_uri", "https://evil.example"),
        ("response_type", "code"),
    ]);
    let refused = world.form_as(&client, "/oauth2/par", &evil).await;
    assert_eq!(refused.oauth_error(), (400, "invalid_request".into()));
    let nested = format!("{form}&request_uri={}", "urn%3Aa");
    let refused = world.form_as(&client, "/oauth2/par", &nested).await;
    assert_eq!(refused.oauth_error(), (400, "invalid_request".into()));
    let anonymous = world.form("/oauth2/par", form).await;
    assert_eq!(anonymous.status, 401);
}

/// Waits for all calls at once.
pub(crate) async fn join_all<F: Future>(calls: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut calls: Vec<_> = calls.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = calls.iter().map(|_| None).collect();
    std::future::poll_fn(move |cx| {
        for (call, done) in calls.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(output) = call.as_mut().poll(cx)
            {
                *done = Some(output);
            }
        }
        if done.iter().all(Option::is_some) {
            return std::task::Poll::Ready(done.iter_mut().filter_map(Option::take).collect());
        }
        std::task::Poll::Pending
    })
    .await
}
