use std::sync::atomic::Ordering;

use base::Org;
use credentials::{KeyFile, SecretHashes};
use http::Method;
use identity::IdentityConfig;
use store::{AuthMethod, ClientMetadata};

use crate::world::{START_S, basic, client, world, world_with};

const TOKEN: &str = "/oauth2/token";
const GRANT: &str = "grant_type=client_credentials";

#[tokio::test]
async fn client_secret_basic_and_post_give_a_token() {
    let world = world().await;
    let id = &world.shop.client_id;
    let metadata = ClientMetadata {
        token_endpoint_auth_method: AuthMethod::ClientSecretPost,
        ..ClientMetadata::default()
    };
    let poster = world.registered("poster", metadata).await;
    let secret = poster.client_secret.expose();
    let post = format!(
        "{GRANT}&client_id={}&client_secret={secret}",
        poster.client_id
    );
    for (id, answer) in [
        (id, world.form_as(&world.shop, TOKEN, GRANT).await),
        (&poster.client_id, world.form(TOKEN, &post).await),
        // A client_id beside HTTP Basic is no second authentication.
        (
            id,
            world
                .form_as(&world.shop, TOKEN, &format!("{GRANT}&client_id={id}"))
                .await,
        ),
    ] {
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(answer.is_not_stored());
        assert_eq!(answer.header("content-type"), "application/json");
        let body = answer.json();
        assert_eq!(body["token_type"], "Bearer");
        assert_eq!(body["expires_in"], 3600);
        assert_eq!(body["scope"], "pets:read pets:write");
        assert_eq!(body.as_object().unwrap().len(), 4);
        let token = body["access_token"].as_str().unwrap();
        let claims = world
            .tokens
            .verify_access(&Org::default_org(), token)
            .await
            .unwrap();
        assert_eq!(claims.client_id.as_ref(), Some(id));
        assert_eq!(claims.scope, ["pets:read", "pets:write"]);
        assert_eq!(claims.exp, START_S + 3600);
    }
    assert_eq!(world.metrics.tokens_issued.get(), 3);
}

#[tokio::test]
async fn subscriptions_grant_scopes_and_nothing_else_does() {
    let world = world().await;
    let answer = world
        .form_as(&world.shop, TOKEN, &format!("{GRANT}&scope=pets%3Aread"))
        .await;
    assert_eq!(answer.json()["scope"], "pets:read");

    for scope in [
        "admin",
        "pets:read+admin",
        "pets%3Aread++pets%3Awrite",
        "%22",
        "pets:Read",
    ] {
        let answer = world
            .form_as(&world.shop, TOKEN, &format!("{GRANT}&scope={scope}"))
            .await;
        assert_eq!(
            answer.oauth_error(),
            (400, "invalid_scope".into()),
            "{scope}"
        );
    }
    let none = world.form_as(&world.rival, TOKEN, GRANT).await;
    assert_eq!(none.status, 200);
    assert_eq!(none.json().get("scope"), None);
    let taken = world
        .form_as(&world.rival, TOKEN, &format!("{GRANT}&scope=pets:read"))
        .await;
    assert_eq!(taken.oauth_error(), (400, "invalid_scope".into()));
}

/// One answer for every reason.
#[tokio::test]
async fn a_client_that_does_not_prove_itself_is_refused() {
    let world = world().await;
    let key_file = KeyFile::open_or_create(&world.folder.path().join("key")).unwrap();
    let secrets = SecretHashes::new(&key_file);
    let old = client(world.store.as_ref(), &secrets, "old", Some(START_S)).await;
    let (id, secret) = (&world.shop.client_id, world.shop.client_secret.expose());
    let form = ("content-type", "application/x-www-form-urlencoded");
    let mut texts = Vec::new();
    for authorization in [
        basic(id, "wrong"),
        basic(id, ""),
        basic(id, world.rival.client_secret.expose()),
        basic("twc_unknown", secret),
        basic("", ""),
        basic(&old.client_id, old.client_secret.expose()),
        format!("Bearer {secret}"),
        "Basic %%%".to_owned(),
        "Basic".to_owned(),
    ] {
        let headers = [form, ("authorization", authorization.as_str())];
        let answer = world.send(Method::POST, TOKEN, &headers, GRANT).await;
        assert_eq!(
            answer.oauth_error(),
            (401, "invalid_client".into()),
            "{authorization}"
        );
        assert!(answer.header("www-authenticate").starts_with("Basic "));
        assert!(answer.is_not_stored());
        texts.push(answer.text);
    }
    for body in [
        GRANT.to_owned(),
        format!("{GRANT}&client_id={id}"),
        format!("{GRANT}&client_id={id}&client_secret="),
        format!("{GRANT}&client_id={id}&client_secret=wrong"),
        format!("{GRANT}&client_secret={secret}"),
    ] {
        let answer = world.form(TOKEN, &body).await;
        assert_eq!(
            answer.oauth_error(),
            (401, "invalid_client".into()),
            "{body}"
        );
        texts.push(answer.text);
    }
    assert_eq!(world.metrics.clients_refused.get(), texts.len() as u64);
    texts.dedup();
    assert_eq!(texts.len(), 1);
    assert!(!texts[0].contains("wrong") && !texts[0].contains(id.as_str()));
    assert_eq!(world.metrics.tokens_issued.get(), 0);
}

#[tokio::test]
async fn ambiguous_requests_are_refused() {
    let world = world().await;
    let (id, secret) = (&world.shop.client_id, world.shop.client_secret.expose());
    let rival = &world.rival.client_id;
    for body in [
        format!("{GRANT}&client_id={id}&client_secret={secret}"),
        format!("{GRANT}&client_secret={secret}"),
        format!("{GRANT}&client_id={rival}"),
        format!("{GRANT}&{GRANT}"),
        format!("{GRANT}&scope=pets:read&scope=pets:write"),
        format!("{GRANT}&scope=a&s%63ope=b"),
        format!("{GRANT}&x=%zz"),
        format!("{GRANT}&x=%ff"),
        String::new(),
        "grant_type=".to_owned(),
        "scope=pets:read".to_owned(),
    ] {
        let answer = world.form_as(&world.shop, TOKEN, &body).await;
        assert_eq!(
            answer.oauth_error(),
            (400, "invalid_request".into()),
            "{body}"
        );
        assert!(answer.is_not_stored());
    }
    let authorization = basic(id, secret);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let one = ("authorization", authorization.as_str());
    let twice = world
        .send(Method::POST, TOKEN, &[form, one, one], GRANT)
        .await;
    assert_eq!(twice.oauth_error(), (400, "invalid_request".into()));
    for path in [
        "/oauth2/token?grant_type=client_credentials",
        "/oauth2/token?",
    ] {
        let in_url = world.send(Method::POST, path, &[form, one], GRANT).await;
        assert_eq!(
            in_url.oauth_error(),
            (400, "invalid_request".into()),
            "{path}"
        );
    }
    for media_type in ["application/json", "multipart/form-data", "text/plain", ""] {
        let headers = [("content-type", media_type), one];
        let answer = world.send(Method::POST, TOKEN, &headers, GRANT).await;
        assert_eq!(
            answer.oauth_error(),
            (400, "invalid_request".into()),
            "{media_type}"
        );
    }
    let charset = (
        "content-type",
        "Application/X-WWW-Form-Urlencoded; charset=UTF-8",
    );
    let answer = world
        .send(Method::POST, TOKEN, &[charset, one], GRANT)
        .await;
    assert_eq!(answer.status, 200);
}

/// RFC 9700: no password grant, no implicit grant, nor anything that is not there yet.
#[tokio::test]
async fn other_grants_do_not_exist() {
    let world = world().await;
    for grant in [
        "password&username=admin&password=x",
        "implicit",
        "Client_Credentials",
    ] {
        let answer = world
            .form_as(&world.shop, TOKEN, &format!("grant_type={grant}"))
            .await;
        assert_eq!(
            answer.oauth_error(),
            (400, "unsupported_grant_type".into()),
            "{grant}"
        );
    }
}

#[tokio::test]
async fn other_methods_and_long_bodies_are_refused() {
    let config = IdentityConfig {
        body_bytes_max: 200,
        ..IdentityConfig::default()
    };
    let world = world_with(config, credentials::PasswordLimits::default()).await;
    for path in [
        TOKEN,
        "/oauth2/introspect",
        "/oauth2/revoke",
        "/api/v1/login",
        "/api/v1/logout",
    ] {
        let answer = world.get(path).await;
        assert_eq!(
            answer.problem(),
            (405, "CONTROL_METHOD_NOT_ALLOWED".into()),
            "{path}"
        );
        assert_eq!(answer.header("allow"), "POST");
    }
    let fits = format!("{GRANT}&x={}", "x".repeat(200 - GRANT.len() - 3));
    assert_eq!(world.form_as(&world.shop, TOKEN, &fits).await.status, 200);
    let long = world.form_as(&world.shop, TOKEN, &format!("{fits}x")).await;
    assert_eq!(long.oauth_error(), (413, "invalid_request".into()));
}

#[tokio::test]
async fn a_failing_store_says_when_to_come_back_and_nothing_else() {
    let world = world().await;
    world.scopes.failing.store(true, Ordering::SeqCst);
    let answer = world.form_as(&world.shop, TOKEN, GRANT).await;
    assert_eq!(
        answer.oauth_error(),
        (503, "temporarily_unavailable".into())
    );
    assert_eq!(answer.header("retry-after"), "2");
    assert!(!answer.text.contains("db7"));
}

#[tokio::test]
async fn an_application_says_how_long_its_tokens_live() {
    let world = world().await;
    *world.scopes.lifetime_s.lock().unwrap() = Some(90);
    let answer = world.form_as(&world.shop, TOKEN, GRANT).await;
    assert_eq!(answer.json()["expires_in"], 90);
}
