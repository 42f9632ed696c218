//! Login, consent, code, tokens.

use serde_json::json;
use store::{AuthMethod, ClientMetadata};

use crate::tab::{
    CALLBACK, Tab, answered, app, claims, code_of, error_of, exchange, metadata, refresh, request,
    text, userinfo,
};
use crate::world::{Answer, ISSUER, PETS, START_S, World, world};

/// The page that says that nothing can be done, and that nothing is sent anywhere (req: S8).
pub(crate) fn is_error_page(answer: &Answer) -> bool {
    answer.status.is_client_error()
        && answer.header("content-type") == "text/html; charset=utf-8"
        && answer.header("location").is_empty()
        && !answer.text.contains("<form")
}

#[tokio::test]
async fn a_user_logs_in_allows_and_the_client_gets_tokens() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let mut tab = Tab::default();
    let page = tab.open(&world, &request(&client, &[])).await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("lang=\"en\"") && page.text.contains("Log in"));
    let page = tab.log_in(&world, &page).await;
    assert!(page.text.contains("Allow access?"), "{}", page.text);
    assert!(page.text.contains("pets:read") && page.text.contains("https:&#x2f;&#x2f;app.example"));
    let answer = tab.submit(&world, &page, &[("decision", "allow")]).await;
    let code = code_of(&answer);
    let tokens = exchange(&world, &client, &code, &[]).await;
    assert!(tokens.is_not_stored());
    assert_eq!(tokens.json()["scope"], "openid pets:read");

    let access = claims(&text(&tokens, "access_token"));
    let id = claims(&text(&tokens, "id_token"));
    assert_eq!(access["sub"], id["sub"]);
    assert_eq!(access["sid"], id["sid"]);
    assert_eq!(access["client_id"], client.client_id);
    assert_eq!(
        (&id["iss"], &id["aud"], &id["nonce"]),
        (&json!(ISSUER), &json!(client.client_id), &json!("n-1"))
    );
    assert_eq!(id["auth_time"], START_S);
    assert_eq!(id["amr"], json!(["pwd"]));
    assert_eq!(id["at_hash"].as_str().unwrap().len(), 22);
    assert!(id.get("preferred_username").is_none());

    let info = userinfo(&world, &text(&tokens, "access_token")).await;
    assert_eq!(info.json(), json!({ "sub": id["sub"] }));
    assert_eq!(info.header("access-control-allow-origin"), "*");
    assert!(info.is_not_stored());
    assert_eq!(world.metrics.codes_issued.get(), 1);
}

#[tokio::test]
async fn what_was_allowed_is_not_asked_again() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let mut tab = Tab::default();
    tab.code(&world, &client, "openid pets:read").await;
    let path = request(&client, &[("scope", "pets:read")]);
    code_of(&tab.open(&world, &path).await);
    let silent = request(&client, &[("prompt", "none")]);
    code_of(&tab.open(&world, &silent).await);
    // More than before, or at the client's wish, it is.
    for more in [
        ("scope", "pets:write"),
        ("prompt", "consent"),
        ("resource", PETS),
    ] {
        let page = tab.open(&world, &request(&client, &[more])).await;
        assert!(
            page.text.contains("name=\"decision\""),
            "{more:?} {}",
            page.text
        );
    }
    let more = request(&client, &[("scope", "pets:write"), ("prompt", "none")]);
    assert_eq!(error_of(&tab.open(&world, &more).await), "consent_required");
    let stranger = request(&client, &[("prompt", "none")]);
    let answer = Tab::default().open(&world, &stranger).await;
    assert_eq!(error_of(&answer), "login_required");
}

#[tokio::test]
async fn a_user_may_say_no() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let mut tab = Tab::default();
    let page = tab.open(&world, &request(&client, &[])).await;
    let page = tab.log_in(&world, &page).await;
    let answer = tab.submit(&world, &page, &[("decision", "deny")]).await;
    assert_eq!(error_of(&answer), "access_denied");
    assert_eq!(world.metrics.consents_denied.get(), 1);
}

#[tokio::test]
async fn a_login_is_as_young_as_the_client_demands() {
    let world = world().await;
    let trusted = ClientMetadata {
        skip_consent: true,
        ..metadata()
    };
    let client = app(&world, "app", trusted).await;
    let mut tab = Tab::default();
    let code = tab.code(&world, &client, "openid").await;
    let first = claims(&text(
        &exchange(&world, &client, &code, &[]).await,
        "id_token",
    ));
    world.clock.advance_ms(100_000);
    code_of(
        &tab.open(&world, &request(&client, &[("max_age", "100")]))
            .await,
    );
    for more in [("max_age", "99"), ("max_age", "0"), ("prompt", "login")] {
        let path = request(&client, &[more]);
        let page = tab.open(&world, &path).await;
        let answer = tab.log_in(&world, &page).await;
        let code = code_of(&answer);
        let id = claims(&text(
            &exchange(&world, &client, &code, &[]).await,
            "id_token",
        ));
        assert_ne!(id["sid"], first["sid"], "{more:?}: a new session");
        assert_eq!(id["auth_time"], START_S + 100, "{more:?}");
    }
    world.clock.advance_ms(5_000);
    let silent = request(&client, &[("max_age", "1"), ("prompt", "none")]);
    assert_eq!(error_of(&tab.open(&world, &silent).await), "login_required");
}

#[tokio::test]
async fn another_account_can_be_chosen() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let mut tab = Tab::default();
    tab.code(&world, &client, "openid").await;
    let path = request(
        &client,
        &[("prompt", "select_account"), ("scope", "openid")],
    );
    let page = tab.open(&world, &path).await;
    assert!(page.text.contains("Continue as admin"), "{}", page.text);
    code_of(&tab.submit(&world, &page, &[("account", "this")]).await);
    let page = tab.open(&world, &path).await;
    let page = tab.submit(&world, &page, &[("account", "other")]).await;
    code_of(&tab.log_in(&world, &page).await);
    // The client expects somebody else.
    let claims = r#"{"id_token":{"sub":{"value":"somebody"}}}"#;
    let path = request(&client, &[("claims", claims), ("scope", "openid")]);
    let page = tab.open(&world, &path).await;
    assert!(page.text.contains("expects another user"), "{}", page.text);
    let silent = request(&client, &[("claims", claims), ("prompt", "none")]);
    assert_eq!(error_of(&tab.open(&world, &silent).await), "login_required");
}

#[tokio::test]
async fn claims_are_told_where_they_were_asked_for() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let mut tab = Tab::default();
    let wish = r#"{"id_token":{"preferred_username":null},"userinfo":{"name":{"essential":true}}}"#;
    let path = request(&client, &[("claims", wish), ("scope", "openid")]);
    let code = code_of(&tab.allow(&world, &path).await);
    let tokens = exchange(&world, &client, &code, &[]).await;
    let id = claims(&text(&tokens, "id_token"));
    assert_eq!(id["preferred_username"], "admin");
    let info = userinfo(&world, &text(&tokens, "access_token"))
        .await
        .json();
    assert_eq!(info, json!({ "sub": id["sub"], "name": "admin" }));
    let code = tab.code(&world, &client, "openid profile").await;
    let tokens = exchange(&world, &client, &code, &[]).await;
    let info = userinfo(&world, &text(&tokens, "access_token"))
        .await
        .json();
    assert_eq!(info["preferred_username"], "admin");
    // Without openid there is neither.
    let code = tab.code(&world, &client, "pets:read").await;
    let tokens = exchange(&world, &client, &code, &[]).await;
    assert!(tokens.json().get("id_token").is_none());
    let info = userinfo(&world, &text(&tokens, "access_token")).await;
    assert_eq!(info.status, 403);
    assert!(
        info.header("www-authenticate")
            .contains("insufficient_scope")
    );
    for token in ["", "x.y.z", &text(&tokens, "refresh_token")] {
        let info = userinfo(&world, token).await;
        assert_eq!(info.status, 401, "{token}");
        assert!(info.header("www-authenticate").contains("invalid_token"));
    }
    let id_token = text(
        &exchange(
            &world,
            &client,
            &tab.code(&world, &client, "openid").await,
            &[],
        )
        .await,
        "id_token",
    );
    assert_eq!(
        userinfo(&world, &id_token).await.status,
        401,
        "an ID token is no access token"
    );
}

#[tokio::test]
async fn the_answer_can_come_as_a_form() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let mut tab = Tab::default();
    tab.code(&world, &client, "openid").await;
    let path = request(
        &client,
        &[("response_mode", "form_post"), ("scope", "openid")],
    );
    let page = tab.open(&world, &path).await;
    assert_eq!(page.status, 200);
    assert!(
        page.text
            .contains("action=\"https:&#x2f;&#x2f;app.example&#x2f;cb\""),
        "{}",
        page.text
    );
    for name in ["code", "state", "iss"] {
        assert!(page.text.contains(&format!("name=\"{name}\"")), "{name}");
    }
    assert!(
        page.header("content-security-policy")
            .contains("script-src 'sha256-")
    );
}

#[tokio::test]
async fn an_authorization_request_may_come_as_a_form() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let path = request(&client, &[]);
    let (_, body) = path.split_once('?').unwrap();
    let answer = world.form("/oauth2/authorize", body).await;
    assert_eq!(answer.status, 303);
    assert_eq!(answer.header("location"), format!("{ISSUER}{path}"));
    assert!(is_error_page(
        &world.form("/oauth2/authorize", "a=\u{e9}").await
    ));
}

#[tokio::test]
async fn pages_speak_the_users_language() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    for (language, locales, words) in [
        (Some("de-AT,de;q=0.9"), "", "Anmelden"),
        (Some("zh-CN"), "", "登录"),
        (Some("zh-CN"), "fr de", "Anmelden"),
        (Some("fr"), "", "Log in"),
    ] {
        let mut tab = Tab {
            language,
            ..Tab::default()
        };
        let page = tab
            .open(&world, &request(&client, &[("ui_locales", locales)]))
            .await;
        assert!(page.text.contains(words), "{language:?} {locales}");
    }
}

/// What goes wrong after client and redirect URI were found sound is told to the client.
#[tokio::test]
async fn the_client_is_told_what_is_wrong() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    for (more, error) in [
        (("scope", "pets:delete"), "invalid_scope"),
        (("response_type", "token"), "unsupported_response_type"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("code_challenge", ""), "invalid_request"),
        (("request", "x.y.z"), "request_not_supported"),
        (
            ("request_uri", "https://app.example/r"),
            "request_uri_not_supported",
        ),
        (("id_token_hint", "x.y.z"), "invalid_request"),
        (
            (
                "claims",
                r#"{"id_token":{"acr":{"essential":true,"value":"gold"}}}"#,
            ),
            "unmet_authentication_requirements",
        ),
    ] {
        let answer = Tab::default()
            .open(&world, &request(&client, &[more]))
            .await;
        assert_eq!(error_of(&answer), error, "{more:?}");
        assert_eq!(answered(&answer)["state"], "s&=1");
    }
}

/// RFC 8707: tokens for what the user was asked about, and nothing else; role-bound scopes go to who has the role.
#[tokio::test]
async fn tokens_are_for_what_was_allowed() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let mut tab = Tab::default();
    let path = request(&client, &[("resource", PETS)]);
    let code = code_of(&tab.allow(&world, &path).await);
    let first = exchange(&world, &client, &code, &[]).await;
    assert_eq!(claims(&text(&first, "access_token"))["aud"], PETS);
    let form = |resource: &str| {
        let token = text(&first, "refresh_token");
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token.as_str()),
            ("resource", resource),
        ];
        crate::tab::query(&fields)
    };
    let other = world
        .form_as(&client, "/oauth2/token", &form("https://other.example"))
        .await;
    assert_eq!(other.oauth_error(), (400, "invalid_target".into()));
    let unknown = request(&client, &[("resource", "https://other.example")]);
    assert_eq!(
        error_of(&tab.open(&world, &unknown).await),
        "invalid_target"
    );

    let bind = |role: &str| {
        let roles = [("pets:write".to_owned(), [role.to_owned()].into())];
        *world.scopes.roles.lock().unwrap() = roles.into();
    };
    bind("publisher");
    let code = tab.code(&world, &client, "pets:read pets:write").await;
    let tokens = exchange(&world, &client, &code, &[]).await;
    assert_eq!(tokens.json()["scope"], "pets:read");
    bind("admin");
    let code = tab.code(&world, &client, "pets:read pets:write").await;
    let tokens = exchange(&world, &client, &code, &[]).await;
    assert_eq!(tokens.json()["scope"], "pets:read pets:write");
    bind("publisher");
    let again = refresh(&world, &client, &text(&tokens, "refresh_token")).await;
    assert_eq!(
        again.json()["scope"],
        "pets:read",
        "the role was taken away"
    );
}

/// Refresh tokens rotate; the ID token comes anew, without a nonce; scopes may shrink and grow back.
#[tokio::test]
async fn tokens_are_refreshed() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let code = Tab::default()
        .code(&world, &client, "openid pets:read pets:write")
        .await;
    let first = exchange(&world, &client, &code, &[]).await;
    let token = text(&first, "refresh_token");
    assert!(token.starts_with("twr_"));
    let form = crate::tab::query(&[
        ("grant_type", "refresh_token"),
        ("refresh_token", token.as_str()),
        ("scope", "pets:read"),
    ]);
    let narrow = world.form_as(&client, "/oauth2/token", &form).await;
    assert_eq!(narrow.json()["scope"], "pets:read");
    assert!(narrow.json().get("id_token").is_none());
    let second = refresh(&world, &client, &text(&narrow, "refresh_token")).await;
    assert_eq!(second.json()["scope"], "openid pets:read pets:write");
    let id = claims(&text(&second, "id_token"));
    assert!(id.get("nonce").is_none());
    assert_eq!(id["sub"], claims(&text(&first, "id_token"))["sub"]);
    let form = crate::tab::query(&[
        ("grant_type", "refresh_token"),
        ("refresh_token", &text(&second, "refresh_token")),
        ("scope", "pets:read pets:delete"),
    ]);
    let more = world.form_as(&client, "/oauth2/token", &form).await;
    assert_eq!(more.oauth_error(), (400, "invalid_scope".into()));
}

/// RFC 9700 §4.14.2: a stolen refresh token of a confidential client with bound tokens is of no use anyway.
#[tokio::test]
async fn bound_refresh_tokens_of_confidential_clients_stay() {
    let world = world().await;
    let client = app(
        &world,
        "app",
        ClientMetadata {
            refresh_token_rotation: Some(false),
            ..metadata()
        },
    )
    .await;
    let code = Tab::default().code(&world, &client, "openid").await;
    let token = text(
        &exchange(&world, &client, &code, &[]).await,
        "refresh_token",
    );
    for _ in 0..3 {
        let answer = refresh(&world, &client, &token).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(answer.json().get("refresh_token").is_none());
        world.clock.advance_ms(13 * 86_400_000);
    }
    world.clock.advance_ms(15 * 86_400_000);
    let answer = refresh(&world, &client, &token).await;
    assert_eq!(answer.oauth_error(), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn a_user_who_is_gone_gets_nothing_more() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let mut tab = Tab::default();
    let code = tab.code(&world, &client, "openid").await;
    let tokens = exchange(&world, &client, &code, &[]).await;
    delete_admin(&world).await;
    let answer = refresh(&world, &client, &text(&tokens, "refresh_token")).await;
    assert_eq!(answer.oauth_error(), (400, "invalid_grant".into()));
    let info = userinfo(&world, &text(&tokens, "access_token")).await;
    assert_eq!(info.status, 401);
    let page = tab.open(&world, &request(&client, &[])).await;
    assert!(
        page.text.contains("name=\"password\""),
        "the session is over too"
    );
}

async fn delete_admin(world: &World) {
    let batch = store::Batch {
        org: base::Org::default_org(),
        actor: "test".to_owned(),
        at_unix_ms: 0,
        request: None,
        writes: vec![store::Write::UserDelete("admin".to_owned())],
    };
    world.store.commit(batch).await.unwrap();
}

/// RFC 8252 §8.6: whoever is on the machine can pretend to be a native app, so the user is asked each time.
#[tokio::test]
async fn a_native_app_asks_each_time() {
    let world = world().await;
    let native = ClientMetadata {
        token_endpoint_auth_method: AuthMethod::None,
        redirect_uris: vec!["http://127.0.0.1/cb".to_owned(), CALLBACK.to_owned()],
        ..metadata()
    };
    let client = app(&world, "app", native).await;
    let mut tab = Tab::default();
    let path = request(&client, &[("redirect_uri", "http://127.0.0.1:51004/cb")]);
    for _ in 0..2 {
        let mut page = tab.open(&world, &path).await;
        if page.text.contains("name=\"password\"") {
            page = tab.log_in(&world, &page).await;
        }
        assert!(page.text.contains("name=\"decision\""), "{}", page.text);
        let policy = page.header("content-security-policy").to_owned();
        assert!(
            policy.contains("form-action 'self' https: http:;"),
            "{policy}"
        );
        let answer = tab.submit(&world, &page, &[("decision", "allow")]).await;
        assert!(
            answer
                .header("location")
                .starts_with("http://127.0.0.1:51004/cb?code=")
        );
    }
    code_of(&tab.open(&world, &request(&client, &[])).await);
}

#[tokio::test]
async fn discovery_names_what_there_is() {
    let world = world().await;
    let document = world.get("/.well-known/openid-configuration").await.json();
    for endpoint in [
        "authorization",
        "device_authorization",
        "userinfo",
        "end_session",
        "pushed_authorization_request",
    ] {
        let url = document[format!("{endpoint}_endpoint")].as_str().unwrap();
        assert!(url.starts_with(&format!("{ISSUER}/oauth2/")), "{url}");
    }
    assert_eq!(
        document["code_challenge_methods_supported"],
        json!(["S256"])
    );
    assert_eq!(document["response_types_supported"], json!(["code"]));
    assert_eq!(
        document["authorization_response_iss_parameter_supported"],
        true
    );
}
