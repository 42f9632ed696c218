use serde_json::{Value, json};

use super::*;
use crate::testing::{Bench, compile, compile_errors};

const SHOP: &str = "https://shop.example.com";

/// The answer's headers to a call from this origin, whose backend answered with `backend`.
fn simple(config: &Value, origin: Option<&'static str>, backend: HeaderMap) -> HeaderMap {
    let bench = Bench::new();
    let policy = compile("cors", config.clone());
    let mut cx = bench.request("GET", "/x");
    if let Some(origin) = origin {
        cx.headers.insert(ORIGIN, HeaderValue::from_static(origin));
    }
    bench.run(&*policy, &mut cx).unwrap();
    // The gateway has moved them upstream by then.
    cx.headers.clear();
    bench.respond(&*policy, &mut cx, 401, backend)
}

fn preflight(config: &Value, origin: &'static str) -> (StatusCode, HeaderMap) {
    let bench = Bench::new();
    let policy = compile("cors", config.clone());
    let mut cx = bench.request("OPTIONS", "/x");
    cx.headers.insert(ORIGIN, HeaderValue::from_static(origin));
    cx.headers.insert(
        ACCESS_CONTROL_REQUEST_METHOD,
        HeaderValue::from_static("PUT"),
    );
    cx.headers.insert(
        ACCESS_CONTROL_REQUEST_HEADERS,
        HeaderValue::from_static("x-a,x-b"),
    );
    let (parts, body) = bench
        .answer(&*policy, &mut cx)
        .expect("a preflight is answered")
        .into_parts();
    assert!(body.is_empty());
    (
        parts.status,
        bench.respond(&*policy, &mut cx, 204, parts.headers),
    )
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_preflight_of_an_allowed_origin_is_answered_in_full() {
    let config = json!({"allowOrigins": [SHOP], "allowMethods": ["GET", "PUT"], "allowCredentials": true, "maxAge": "1h"});
    let (status, headers) = preflight(&config, SHOP);
    assert_eq!(status, 204);
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], SHOP);
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_METHODS], "GET, PUT");
    assert_eq!(
        headers[ACCESS_CONTROL_ALLOW_HEADERS],
        "Authorization, Content-Type, X-API-Key"
    );
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
    assert_eq!(headers[ACCESS_CONTROL_MAX_AGE], "3600");
    assert_eq!(headers[VARY], PREFLIGHT_VARY);
    assert!(!headers.contains_key(ACCESS_CONTROL_EXPOSE_HEADERS));
}

#[test]
fn a_preflight_of_another_origin_gets_no_cors_headers() {
    let (status, headers) = preflight(&json!({"allowOrigins": [SHOP]}), "https://evil.example");
    assert_eq!(status, 204);
    assert_eq!(names(&headers), ["vary"]);
}

#[test]
fn headers_as_asked() {
    let config = json!({"allowOrigins": ["*"], "allowHeaders": ["*"]});
    let (_, headers) = preflight(&config, SHOP);
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_HEADERS], "x-a,x-b");
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
}

#[test]
fn refusals_and_answers_get_the_headers_and_the_backends_are_replaced() {
    let mut backend = HeaderMap::new();
    backend.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    backend.insert(
        ACCESS_CONTROL_ALLOW_CREDENTIALS,
        HeaderValue::from_static("true"),
    );
    backend.insert(VARY, HeaderValue::from_static("Accept"));
    let config = json!({"allowOrigins": [SHOP], "exposeHeaders": ["X-Total"]});
    let headers = simple(&config, Some(SHOP), backend.clone());
    let origins: Vec<_> = headers
        .get_all(ACCESS_CONTROL_ALLOW_ORIGIN)
        .iter()
        .collect();
    assert_eq!(origins, [SHOP]);
    assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
    assert_eq!(headers[ACCESS_CONTROL_EXPOSE_HEADERS], "X-Total");
    let vary: Vec<_> = headers.get_all(VARY).iter().collect();
    assert_eq!(vary, ["Accept", "Origin"]);

    for origin in [None, Some("https://evil.example"), Some("null")] {
        let headers = simple(&config, origin, backend.clone());
        assert_eq!(names(&headers), ["vary"]);
    }
}

#[test]
fn vary_is_not_said_twice_and_not_for_every_origin() {
    let mut backend = HeaderMap::new();
    backend.insert(VARY, HeaderValue::from_static("accept, origin"));
    let headers = simple(&json!({"allowOrigins": [SHOP]}), Some(SHOP), backend);
    assert_eq!(headers.get_all(VARY).iter().count(), 1);
    let headers = simple(
        &json!({"allowOrigins": ["*"]}),
        Some(SHOP),
        HeaderMap::new(),
    );
    assert!(!headers.contains_key(VARY));
}

#[test]
fn subdomains_are_whole_labels_below_the_domain() {
    let allowed = |origin| {
        let config = json!({"allowOrigins": ["https://*.example.com", "HTTP://Localhost:3000"]});
        simple(&config, Some(origin), HeaderMap::new()).contains_key(ACCESS_CONTROL_ALLOW_ORIGIN)
    };
    assert!(allowed("https://shop.example.com"));
    assert!(allowed("https://a.b.example.com"));
    assert!(allowed("http://localhost:3000"));
    for origin in [
        "https://example.com",
        "https://.example.com",
        "https://evilexample.com",
        "http://shop.example.com",
        "https://shop.example.com:8443",
        "https://shop.example.com.evil.example",
        "https://evil.example/.example.com",
        "https://evil.example#.example.com",
        "https://evil.example@shop.example.com",
        "https://evil.example:1.example.com",
        "http://localhost",
    ] {
        assert!(!allowed(origin), "{origin}");
    }
}

#[test]
fn options_without_a_preflights_headers_goes_on() {
    let bench = Bench::new();
    let policy = compile("cors", json!({"allowOrigins": ["*"]}));
    let mut cx = bench.request("OPTIONS", "/x");
    cx.headers.insert(ORIGIN, HeaderValue::from_static(SHOP));
    bench.run(&*policy, &mut cx).unwrap();
}

#[test]
fn faults_are_all_reported_with_their_place() {
    let config = json!({
        "allowOrigins": ["*", "null", "shop.example.com", "https://a/b", "https://a*.com", "https://*.", ""],
        "allowCredentials": true,
        "allowMethods": ["GET", "*"],
        "allowHeaders": ["a b"],
        "exposeHeaders": ["x:y"],
        "maxAge": "2d",
    });
    let faults = compile_errors("cors", config);
    let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    let expected = [
        "/allowOrigins/1",
        "/allowOrigins/2",
        "/allowOrigins/3",
        "/allowOrigins/4",
        "/allowOrigins/5",
        "/allowOrigins/6",
        "/allowCredentials",
        "/allowMethods/1",
        "/allowHeaders/0",
        "/exposeHeaders/0",
        "/maxAge",
    ];
    assert_eq!(pointers, expected);
    assert_eq!(compile_errors("cors", json!({"allowOrigins": []})).len(), 1);
    assert_eq!(compile_errors("cors", json!({})).len(), 1);
}

#[test]
fn the_methods_of_an_api_fill_the_gap() {
    let config = with_methods(&json!({"allowOrigins": ["*"]}), ["PUT", "GET", "PUT"]);
    assert_eq!(config["allowMethods"], json!(["GET", "PUT"]));
    let config = json!({"allowOrigins": ["*"], "allowMethods": ["POST"]});
    assert_eq!(with_methods(&config, ["GET"]), config);
    let (_, headers) = preflight(&json!({"allowOrigins": ["*"]}), SHOP);
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_METHODS], METHODS_DEFAULT);
}
