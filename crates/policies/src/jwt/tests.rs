mod bound;
mod outside;
mod unknown;

use std::sync::atomic::Ordering;

use http::HeaderValue;
use http::header::WWW_AUTHENTICATE;
use jose::{KeySet, SigningKey};
use serde_json::{Value, json};

use super::*;
use crate::testing::{Bench, CLIENT, ManualTime, compile, compile_errors, env, issuer_of};
use policy::Reject;

/// Calls with this `Authorization`.
fn call(bench: &Bench, config: &Value, authorization: &HeaderValue) -> Result<Principal, Reject> {
    let policy = compile("jwt", config.clone());
    let mut cx = bench.request("GET", "/x");
    cx.headers.insert(AUTHORIZATION, authorization.clone());
    let result = bench.run(&*policy, &mut cx);
    if result.is_err() {
        assert!(cx.principal.is_none());
    }
    assert!(cx.headers.is_empty(), "the token would go upstream");
    result.map(|()| (*cx.principal.expect("it passed")).clone())
}

/// The code's name and the challenge of a refusal.
fn refused(bench: &Bench, authorization: &HeaderValue) -> (&'static str, String) {
    let reject = call(bench, &json!({}), authorization).unwrap_err();
    assert_eq!(reject.code.status, 401);
    assert_eq!(reject.headers[0].0, WWW_AUTHENTICATE);
    (
        reject.code.name,
        reject.headers[0].1.to_str().unwrap().to_owned(),
    )
}

fn cached(bench: &Bench) -> usize {
    bench.core.memory::<TokenCache>().borrow().len()
}

#[test]
fn a_good_token_names_its_application_and_scopes() {
    let bench = Bench::new();
    let principal = call(&bench, &json!({}), &bench.bearer(&bench.claims())).unwrap();
    assert_eq!(principal.application, Some(bench.application));
    let scopes = principal.identity.scopes.clone().unwrap();
    assert_eq!(scopes.as_ref(), ["orders:read", "orders:write"]);
    assert_eq!(cached(&bench), 1);
}

#[test]
fn what_is_no_text_is_no_token() {
    let bench = Bench::new();
    let odd = HeaderValue::from_bytes(b"Bearer a.b.\xc3\xa9").unwrap();
    assert_eq!(refused(&bench, &odd).0, "CREDENTIALS_MISSING");
    assert_eq!(cached(&bench), 0);
}

#[test]
fn no_token_and_other_schemes_are_missing_credentials() {
    let bench = Bench::new();
    let policy = compile("jwt", json!({}));
    for value in [
        None,
        Some("Basic dTpw"),
        Some("Bearer"),
        Some("Bearer "),
        Some("Bearerx.y.z"),
    ] {
        let mut cx = bench.request("GET", "/x");
        if let Some(value) = value {
            cx.headers
                .insert(AUTHORIZATION, HeaderValue::from_static(value));
        }
        let reject = bench.run(&*policy, &mut cx).unwrap_err();
        assert_eq!(reject.code.name, "CREDENTIALS_MISSING");
        assert_eq!(reject.headers[0].1, "Bearer realm=\"pets-1.0.0\"");
    }
}

#[test]
fn the_scheme_is_read_in_any_case() {
    let bench = Bench::new();
    let token = bench.bearer(&bench.claims());
    let token = token.to_str().unwrap().replace("Bearer", "bEARER ");
    call(&bench, &json!({}), &token.parse().unwrap()).unwrap();
}

#[test]
fn two_credentials_are_refused_and_none_goes_upstream() {
    let bench = Bench::new();
    let mut cx = bench.request("GET", "/x");
    cx.headers
        .append(AUTHORIZATION, bench.bearer(&bench.claims()));
    cx.headers
        .append(AUTHORIZATION, HeaderValue::from_static("Basic dTpw"));
    let reject = bench.run(&*compile("jwt", json!({})), &mut cx).unwrap_err();
    assert_eq!(reject.code.name, "TOKEN_INVALID");
    assert!(cx.headers.is_empty());
}

#[test]
fn forward_keeps_the_header_and_another_header_can_carry_the_token() {
    let bench = Bench::new();
    let mut cx = bench.request("GET", "/x");
    cx.headers.insert("x-token", bench.bearer(&bench.claims()));
    cx.headers
        .insert(AUTHORIZATION, HeaderValue::from_static("Basic dTpw"));
    let policy = compile("jwt", json!({"header": "X-Token", "forward": true}));
    bench.run(&*policy, &mut cx).unwrap();
    assert_eq!(cx.headers.len(), 2);
}

/// req: T3
#[test]
fn times_are_checked_with_leeway_also_for_cached_tokens() {
    let bench = Bench::new();
    let mut claims = bench.claims();
    claims["nbf"] = json!(bench.now_s() + 67);
    let token = bench.bearer(&claims);
    let (code, challenge) = refused(&bench, &token);
    assert_eq!(code, "TOKEN_NOT_YET_VALID");
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    assert!(challenge.contains("nbf 67s ahead"), "{challenge}");
    bench.clock.advance_s(7);
    call(&bench, &json!({}), &token).unwrap();

    // The same cached token, under a policy that tolerates less.
    let reject = call(&bench, &json!({"leeway": "53s"}), &token).unwrap_err();
    assert!(reject.detail.contains("nbf 60s ahead"), "{}", reject.detail);

    bench.clock.advance_s(3600 + 52);
    call(&bench, &json!({}), &token).unwrap();
    bench.clock.advance_s(1);
    let (code, challenge) = refused(&bench, &token);
    assert_eq!(code, "TOKEN_EXPIRED");
    assert!(challenge.contains("exp 60s ago"), "{challenge}");
}

/// req: S13
#[test]
fn what_jose_refuses_is_refused() {
    let bench = Bench::new();
    let good = bench.claims();
    let with = |claim: &str, value: Value| {
        let mut claims = good.clone();
        claims[claim] = value;
        bench.bearer(&claims)
    };
    let stranger = SigningKey::generate_es256().unwrap();
    let forged = stranger.sign(jose::TYP_ACCESS_TOKEN, &good).unwrap();
    let id_token = bench.key.sign("JWT", &good).unwrap();
    let long = format!("Bearer {}", "x".repeat(jose::BYTES_MAX_DEFAULT + 1));
    for (token, detail) in [
        (with("iss", json!("https://evil.example")), "iss is"),
        (with("aud", json!("other")), "aud names none"),
        (with("client_id", Value::Null), "client_id"),
        (
            format!("Bearer {forged}").parse().unwrap(),
            "no key with kid",
        ),
        (format!("Bearer {id_token}").parse().unwrap(), "typ is"),
        (long.parse().unwrap(), "bytes"),
        ("Bearer a.b".parse().unwrap(), "parts"),
        ("Bearer eyJhbGciOiJub25lIn0.e30.".parse().unwrap(), "alg"),
    ] {
        let (code, challenge) = refused(&bench, &token);
        assert_eq!(code, "TOKEN_INVALID");
        assert!(challenge.contains(detail), "{challenge}");
    }
    assert_eq!(cached(&bench), 0);
}

/// req: T2 S9
#[test]
fn a_revoked_token_stops_at_the_next_call() {
    let bench = Bench::new();
    let token = bench.bearer(&bench.claims());
    call(&bench, &json!({}), &token).unwrap();
    bench.directory.tables().revoked.push("token-1".to_owned());
    for _ in 0..2 {
        assert_eq!(refused(&bench, &token).0, "TOKEN_REVOKED");
    }
}

/// req: S9
#[test]
fn a_deleted_client_stops_and_a_restored_one_has_its_scopes_and_no_more() {
    let bench = Bench::new();
    let token = bench.bearer(&bench.claims());
    call(&bench, &json!({}), &token).unwrap();
    let client = bench.directory.tables().clients.remove(CLIENT).unwrap();
    assert_eq!(refused(&bench, &token).0, "TOKEN_REVOKED");
    bench
        .directory
        .tables()
        .clients
        .insert(CLIENT.to_owned(), client);
    let principal = call(&bench, &json!({}), &token).unwrap();
    assert_eq!(principal.identity.scopes.clone().unwrap().len(), 2);
}

#[test]
fn a_client_of_another_organisation_is_refused() {
    let bench = Bench::new();
    let policy = crate::find("jwt")
        .unwrap()
        .compile(
            &json!({}),
            &CompileEnv {
                org: Org::new("other"),
                ..env()
            },
        )
        .unwrap();
    let mut cx = bench.request("GET", "/x");
    cx.headers
        .insert(AUTHORIZATION, bench.bearer(&bench.claims()));
    let reject = bench.run(&*policy, &mut cx).unwrap_err();
    assert_eq!(reject.detail, "no accepted issuer is known here");
}

/// req: T1
#[test]
fn a_key_that_is_removed_stops_and_one_that_is_added_works() {
    let bench = Bench::new();
    let token = bench.bearer(&bench.claims());
    call(&bench, &json!({}), &token).unwrap();
    let next = SigningKey::generate_es256().unwrap();
    let set_keys = |keys: &[&SigningKey]| {
        let keys = keys.iter().map(|key| key.public_jwk().clone()).collect();
        let issuer = Issuer {
            keys: KeySet::from_keys(keys).unwrap(),
            outside: None,
            name: "resident".to_owned(),
            issuer: "https://id.example.com".to_owned(),
            audience: "gateway".to_owned(),
        };
        bench
            .directory
            .tables()
            .issuers
            .insert("resident".to_owned(), Arc::new(issuer));
    };
    set_keys(&[&bench.key, &next]);
    call(&bench, &json!({}), &token).unwrap();
    let newer = next.sign(jose::TYP_ACCESS_TOKEN, &bench.claims()).unwrap();
    call(
        &bench,
        &json!({}),
        &format!("Bearer {newer}").parse().unwrap(),
    )
    .unwrap();
    set_keys(&[&next]);
    assert_eq!(refused(&bench, &token).0, "TOKEN_INVALID");
}

#[test]
fn a_cached_token_is_not_verified_again_and_looked_up_only_after_a_change() {
    let bench = Bench::new();
    let token = bench.bearer(&bench.claims());
    let lookups = || bench.directory.client_lookups.load(Ordering::SeqCst);
    for _ in 0..10 {
        call(&bench, &json!({}), &token).unwrap();
    }
    assert_eq!(lookups(), 1);
    // Another issuer object with the same key: the signature stays believed. The scopes of the entry show that it
    // is the same one.
    let before = call(&bench, &json!({}), &token).unwrap().identity;
    bench
        .directory
        .tables()
        .issuers
        .insert("resident".to_owned(), issuer_of(&bench.key));
    let after = call(&bench, &json!({}), &token).unwrap().identity;
    assert!(Arc::ptr_eq(&before, &after));
    assert_eq!(lookups(), 2);
}

#[test]
fn apis_share_the_cache_but_not_what_they_accept() {
    let bench = Bench::new();
    let token = bench.bearer(&bench.claims());
    call(&bench, &json!({}), &token).unwrap();
    let reject = call(&bench, &json!({"audience": ["orders"]}), &token).unwrap_err();
    assert!(
        reject.detail.contains("aud names none"),
        "{}",
        reject.detail
    );
    let reject = call(&bench, &json!({"issuers": ["corporate"]}), &token).unwrap_err();
    assert_eq!(reject.code.name, "TOKEN_INVALID");
    call(&bench, &json!({"audience": ["orders", "gateway"]}), &token).unwrap();
}

#[test]
fn of_several_issuers_the_one_that_signed_decides() {
    let bench = Bench::new();
    let corporate = SigningKey::generate_es256().unwrap();
    let issuer = Issuer {
        name: "corporate".to_owned(),
        issuer: "https://corp.example.com".to_owned(),
        audience: "corp".to_owned(),
        keys: KeySet::from_keys(vec![corporate.public_jwk().clone()]).unwrap(),
        outside: None,
    };
    bench
        .directory
        .tables()
        .issuers
        .insert("corporate".to_owned(), Arc::new(issuer));
    let config = json!({"issuers": ["resident", "corporate"]});
    let mut claims = bench.claims();
    claims["iss"] = json!("https://corp.example.com");
    claims["aud"] = json!(["corp"]);
    let token = corporate.sign(jose::TYP_ACCESS_TOKEN, &claims).unwrap();
    call(&bench, &config, &format!("Bearer {token}").parse().unwrap()).unwrap();
    // The corporate key does not speak for the resident issuer.
    let forged = corporate
        .sign(jose::TYP_ACCESS_TOKEN, &bench.claims())
        .unwrap();
    let reject = call(
        &bench,
        &config,
        &format!("Bearer {forged}").parse().unwrap(),
    )
    .unwrap_err();
    let told = &reject.detail;
    assert!(told.contains("no key with kid"), "{told}");
}

#[test]
fn faults_of_the_configuration_are_all_reported() {
    let config = json!({"issuers": [], "leeway": "10m", "tokenBytesMax": 0, "header": "a b"});
    assert_eq!(compile_errors("jwt", config).len(), 4);
    assert_eq!(compile_errors("jwt", json!({"issuer": "x"})).len(), 1);
}

/// req: O5
#[test]
fn every_refusal_names_its_rule_and_what_it_compared() {
    let bench = Bench::new();
    let config = json!({"leeway": "0s"});
    let with = |name: &str, value: Value| {
        let mut claims = bench.claims();
        claims[name] = value;
        bench.bearer(&claims)
    };
    let now = bench.now_s();
    let forged = format!("{}x", bench.bearer(&bench.claims()).to_str().unwrap());
    for (token, detail, rule, fact) in [
        (
            with("nbf", json!(now + 7)),
            "nbf 7s ahead",
            "token-not-yet-valid",
            ("claim nbf", "7s ahead", "passed, or at most 0s ahead"),
        ),
        (
            with("exp", json!(now - 7)),
            "exp 7s ago",
            "token-expired",
            ("claim exp", "7s ago", "ahead, or at most 0s ago"),
        ),
        (
            with("aud", json!(["a", "b"])),
            "aud names none",
            "audience",
            (
                "claim aud",
                "a b",
                "one of gateway urn:tollway:default:api:pets-1.0.0",
            ),
        ),
        (
            with("iss", json!("https://evil")),
            "iss is",
            "issuer",
            ("claim iss", "https://evil", "https://id.example.com"),
        ),
        (
            with("client_id", json!("gone")),
            "the token's client does not exist",
            "revoked",
            ("claim client_id", "gone", "a client that exists"),
        ),
    ] {
        let reject = call(&bench, &config, &token).unwrap_err();
        assert!(reject.detail.contains(detail), "{}", reject.detail);
        let reason = reject.reason.unwrap();
        assert_eq!(reason.rule, rule);
        let found = &reason.facts[0];
        assert_eq!((found.name, &*found.found, &*found.expected), fact);
        let told = format!("{reason:?}");
        assert!(!told.contains(&token.to_str().unwrap()[10..30]), "{told}");
    }
    let reject = call(&bench, &config, &forged.parse().unwrap()).unwrap_err();
    let told = format!("{:?}", reject.reason.unwrap());
    assert!(!told.contains(&forged[10..30]), "{told}");
}
