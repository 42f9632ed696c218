use super::*;
use http_body_util::BodyExt;

async fn html(response: Response) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Every value is escaped, in text and in attributes, on every page.
#[tokio::test]
async fn what_strangers_say_is_escaped() {
    let pages = Pages::new("https://id.example/auth");
    let evil = "\"><script>alert(1)</script>'";
    let scope = context! { name => evil, text => evil };
    let session = context! { sid => evil, this => true, since => evil, seen => evil, address => evil, agent => evil, clients => evil };
    let consent = context! { client => evil, client_id => evil, scopes => [scope.clone()], resources => [evil], since => evil };
    let all = context! {
        sessions => [session], consents => [consent],
        flow => evil, client => evil, user => evil, username => evil, user_code => evil, error => evil,
        text => evil, detail => evil, title => evil, trace_id => evil, goes_to => evil,
        client_uri => evil, tos_uri => evil, policy_uri => evil,
        scopes => [scope], resources => [evil], action => evil, script => "",
        fields => [context! { name => "state", value => evil }],
    };
    let names = TEMPLATES.iter().map(|(name, _)| *name).chain(["done.html"]);
    for name in names.filter(|name| *name != "wish.html") {
        for language in Language::ALL {
            let page = pages.page(name, Look::new(language), "", all.clone());
            assert_eq!(page.status(), 200, "{name}");
            let html = html(page).await;
            assert!(!html.contains("<script>alert"), "{name}: {html}");
            let lang = format!("<html lang=\"{}\">", language.tag());
            assert!(html.contains(&lang), "{name}");
            assert!(html.contains("name=\"viewport\""), "{name}");
        }
    }
}

#[tokio::test]
async fn nothing_runs_and_nothing_frames() {
    let pages = Pages::new("https://id.example");
    let page = pages.error(&HeaderMap::new(), StatusCode::BAD_REQUEST, "error_over", "");
    let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"));
    assert!(policy.ends_with("form-action 'self'; frame-ancestors 'none'; base-uri 'none'"));
    assert!(!policy.contains("script-src") && !policy.contains("unsafe"));
    assert_eq!(page.headers()[CACHE_CONTROL], "no-store");

    let page = pages.form_post(Language::English, "https://app.example/cb", &[]);
    let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("script-src 'sha256-") && !policy.contains("unsafe"));
    assert!(
        html(page).await.contains("<button"),
        "it works without a script"
    );
}

#[test]
fn form_targets_let_the_client_be_reached_and_nothing_slip_in() {
    for (uri, targets) in [
        ("https://app.example/cb", " https:"),
        ("http://127.0.0.1:8123/cb?a=b", " https: http:"),
        ("com.example.app:/cb", " https: com.example.app:"),
        ("a;script-src *:/", " https:"),
        ("java script:x", " https:"),
        (":x", " https:"),
        ("nothing", " https:"),
    ] {
        assert_eq!(form_targets(uri), targets, "{uri}");
    }
}
