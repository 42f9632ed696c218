use std::sync::atomic::Ordering;

use base::Environment;
use jose::{Algorithm, KeySet};
use policy::TokenInUse;
use serde_json::json;

mod wso2;

use super::*;
use crate::testing::{Bench, ManualTime as _, compile, compile_errors};

fn write_key(bench: &Bench, file: &str, algorithm: Algorithm) -> SigningKey {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let key = SigningKey::generate(algorithm).unwrap();
    let der = key.to_pkcs8().unwrap();
    let text = STANDARD.encode(der.expose());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    let path = bench.secrets.path().join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, pem).unwrap();
    key
}

fn config(more: Value) -> Value {
    let mut config = json!({"key": {"secretRef": "backends"}});
    let Value::Object(more) = more else {
        unreachable!("{more} is no object")
    };
    config.as_object_mut().unwrap().extend(more);
    config
}

/// A call of alice through the client `client-1`.
fn request(bench: &Bench) -> RequestCx {
    let mut cx = bench.request_of("GET", "/pets", Some(&["orders:read", "orders:write"]));
    let claims = json!({"client_id": "client-1", "tenant": {"id": 7}, "email": "a@example.com"});
    let principal = crate::testing::principal_mut(&mut cx);
    let scopes = principal.identity.scopes.clone();
    principal.identity = Arc::new(Identity {
        subject: Some("alice-1".to_owned()),
        scopes,
        roles: vec!["seller".to_owned()],
        claims: claims.as_object().unwrap().clone(),
    });
    crate::testing::principal_mut(&mut cx).credential = None;
    let directory = &cx.core.runtime.directory;
    cx.subscription = directory
        .subscription(bench.application, crate::testing::API)
        .map(std::rc::Rc::new);
    cx
}

fn sent(bench: &Bench, policy: &dyn Policy, cx: &mut RequestCx) -> String {
    bench.run(policy, cx).unwrap();
    cx.headers["x-jwt-assertion"].to_str().unwrap().to_owned()
}

/// The claims, when the signature is right.
fn claims(key: &SigningKey, token: &str) -> Value {
    let keys = KeySet::from_keys(vec![key.public_jwk()]).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let decoded = |part: &str| -> Value {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part);
        serde_json::from_slice(&bytes.unwrap()).unwrap()
    };
    let header = decoded(parts[0]);
    assert_eq!(
        header,
        json!({"alg": key.algorithm().name(), "typ": "JWT", "kid": key.kid()})
    );
    let claims = decoded(parts[1]);
    let mut expect = jose::Expectation::access_token(claims["iss"].as_str().unwrap(), Vec::new());
    expect.typ = "JWT".to_owned();
    expect.any_audience = true;
    match jose::verify(token, &keys, &expect, claims["iat"].as_u64().unwrap()) {
        Ok(_) => {}
        // Behind the signature; the dialect `wso2` names no audience.
        Err(error) => assert_eq!(error, jose::JoseError::ClaimMissing { claim: "aud" }),
    }
    claims
}

/// req: GW10
#[test]
fn the_backend_is_told_in_our_dialect() {
    for algorithm in [Algorithm::Es256, Algorithm::Rs256, Algorithm::EdDsa] {
        let bench = Bench::new();
        let key = write_key(&bench, "backends/tls.key", algorithm);
        let more = json!({"pass": ["tenant"], "add": {"mail": "principal.claims.email"}});
        let policy = compile("backendJwt", config(more));
        let token = sent(&bench, &*policy, &mut request(&bench));
        let expected = json!({
            "iss": "urn:tollway:default:gateway",
            "sub": "alice-1",
            "aud": "urn:tollway:default:backend:pets-1.0.0",
            "iat": bench.now_s(),
            "exp": bench.now_s() + 300,
            "client_id": "client-1",
            "scope": "orders:read orders:write",
            "roles": ["seller"],
            "org": "default",
            "application": "shop",
            "application_id": bench.application.to_string(),
            "owner": "alice",
            "plan": "Gold",
            "environment": "production",
            "api": "pets",
            "api_version": "1.0.0",
            "api_context": "/pets",
            "tenant": {"id": 7},
            "mail": "a@example.com",
        });
        assert_eq!(claims(&key, &token), expected, "{algorithm:?}");
    }
}

#[test]
fn the_document_chooses_the_claims() {
    let bench = Bench::new();
    let key = write_key(&bench, "keys/mine.pem", Algorithm::Es256);
    let config = json!({
        "key": {"file": "keys/mine.pem"},
        "header": "X-Caller",
        "claims": ["plan", "api"],
        "issuer": "https://gateway.example.com",
        "audience": ["orders", "stock"],
    });
    let policy = compile("backendJwt", config);
    let mut cx = request(&bench);
    bench.run(&*policy, &mut cx).unwrap();
    let token = cx.headers["x-caller"].to_str().unwrap();
    let now = bench.now_s();
    assert!(cx.headers["x-caller"].is_sensitive());
    assert_eq!(
        claims(&key, token),
        json!({"iss": "https://gateway.example.com", "sub": "alice-1", "aud": ["orders", "stock"], "iat": now, "exp": now + 300,
            "plan": "Gold", "api": "pets"})
    );
}

/// req: S6
#[test]
fn without_a_caller_there_is_no_token_and_none_of_the_clients() {
    let bench = Bench::new();
    write_key(&bench, "backends/tls.key", Algorithm::Es256);
    let policy = compile("backendJwt", config(json!({"header": "X-Caller"})));
    let mut cx = bench.request("GET", "/x");
    cx.headers.insert("x-caller", "forged".parse().unwrap());
    bench.run(&*policy, &mut cx).unwrap();
    assert!(cx.headers.is_empty());
    let kind = crate::find("backendJwt").unwrap();
    let owned = kind.owned(&config(json!({"header": "X-Caller"})));
    assert_eq!(owned, ["x-caller"]);
}

fn signed(bench: &Bench) -> u64 {
    let counts = &bench.core.runtime.backend_auth.counts;
    counts.jwts_signed.load(Ordering::Relaxed)
}

/// Signatures of ES256 are random: the same text was signed once.
#[test]
fn calls_of_a_caller_have_one_token_until_it_is_renewed() {
    let bench = Bench::new();
    write_key(&bench, "backends/tls.key", Algorithm::Es256);
    let policy = compile("backendJwt", config(json!({})));
    let first = sent(&bench, &*policy, &mut request(&bench));
    assert_eq!(sent(&bench, &*policy, &mut request(&bench)), first);
    bench.clock.advance_s(224);
    assert_eq!(sent(&bench, &*policy, &mut request(&bench)), first);
    assert_eq!(signed(&bench), 1);
    bench.clock.advance_s(1);
    let renewed = sent(&bench, &*policy, &mut request(&bench));
    assert_ne!(renewed, first, "a quarter of five minutes is left");

    let mut other = request(&bench);
    crate::testing::principal_mut(&mut other).environment = Environment::Sandbox;
    assert_ne!(sent(&bench, &*policy, &mut other), renewed);
    let other = compile("backendJwt", config(json!({"lifetime": "10m"})));
    assert_ne!(sent(&bench, &*other, &mut request(&bench)), renewed);
    let mut cx = request(&bench);
    std::rc::Rc::make_mut(cx.subscription.as_mut().unwrap()).plan = None;
    assert_ne!(sent(&bench, &*policy, &mut cx), renewed);
}

/// A caller never gets the token of another one, also where their credentials are the same.
#[test]
fn what_is_remembered_is_compared() {
    let bench = Bench::new();
    let key = write_key(&bench, "backends/tls.key", Algorithm::Es256);
    let policy = compile("backendJwt", config(json!({"pass": ["tenant"]})));
    let of = |tenant: &str, token: bool| {
        let mut cx = request(&bench);
        let principal = crate::testing::principal_mut(&mut cx);
        principal.identity = Arc::new(Identity {
            subject: Some("alice-1".to_owned()),
            claims: json!({"tenant": tenant}).as_object().unwrap().clone(),
            ..Identity::default()
        });
        principal.token = token.then(|| {
            Arc::new(TokenInUse {
                marks: base::TokenMarks::of_claims("t", "c", "s", &serde_json::Map::new()),
                ends_unix_s: u64::MAX,
            })
        });
        cx
    };
    for token in [false, true] {
        for tenant in ["a", "b", "a"] {
            let text = sent(&bench, &*policy, &mut of(tenant, token));
            assert_eq!(claims(&key, &text)["tenant"], tenant);
        }
        // The one that shares its identity with the one before shares its token.
        let mut cx = of("c", token);
        let mut again = of("c", token);
        let identity = Arc::clone(&cx.principal.as_ref().unwrap().identity);
        crate::testing::principal_mut(&mut again).identity = identity;
        let text = sent(&bench, &*policy, &mut cx);
        assert_eq!(sent(&bench, &*policy, &mut again), text);
    }
}

#[test]
fn what_a_core_remembers_is_bounded_and_counted() {
    let bench = Bench::new();
    write_key(&bench, "backends/tls.key", Algorithm::Es256);
    let policy = compile("backendJwt", config(json!({})));
    for number in 0..20 {
        let mut cx = request(&bench);
        crate::testing::principal_mut(&mut cx).identity = Arc::new(Identity {
            subject: Some(format!("user-{number}")),
            ..Identity::default()
        });
        sent(&bench, &*policy, &mut cx);
        assert!(bench.core.memory::<Signed>().borrow().0.len() <= 8);
    }
    assert_eq!(signed(&bench), 20);
    let counts = &bench.core.runtime.backend_auth.counts;
    assert_eq!(counts.jwts_forgotten.load(Ordering::Relaxed), 12);
}

/// req: S9
#[test]
fn another_key_signs_anew_and_a_broken_one_leaves_what_was() {
    let bench = Bench::new();
    write_key(&bench, "backends/tls.key", Algorithm::Es256);
    let policy = compile("backendJwt", config(json!({})));
    let first = sent(&bench, &*policy, &mut request(&bench));
    let second = write_key(&bench, "backends/tls.key", Algorithm::Rs256);
    assert_eq!(sent(&bench, &*policy, &mut request(&bench)), first);
    bench.clock.advance_s(1);
    let token = sent(&bench, &*policy, &mut request(&bench));
    claims(&second, &token);
    std::fs::write(bench.secrets.path().join("backends/tls.key"), "none").unwrap();
    bench.clock.advance_s(2);
    assert_eq!(sent(&bench, &*policy, &mut request(&bench)), token);
}

/// req: S6
#[test]
fn without_a_key_the_backend_is_not_called() {
    let bench = Bench::new();
    let policy = compile("backendJwt", config(json!({})));
    let reject = bench.run(&*policy, &mut request(&bench)).unwrap_err();
    assert_eq!(reject.code, BACKEND_CREDENTIAL_MISSING);
    assert_eq!(reject.reason.unwrap().rule, "backend-jwt-key");
    let counts = &bench.core.runtime.backend_auth.counts;
    assert_eq!(counts.refused.load(Ordering::Relaxed), 1);
    write_key(&bench, "backends/tls.key", Algorithm::Es256);
    bench.clock.advance_s(1);
    sent(&bench, &*policy, &mut request(&bench));
}

#[test]
fn a_token_that_is_too_long_is_not_sent() {
    let bench = Bench::new();
    write_key(&bench, "backends/tls.key", Algorithm::Es256);
    let policy = compile("backendJwt", config(json!({"maxBytes": "300B"})));
    let reject = bench.run(&*policy, &mut request(&bench)).unwrap_err();
    assert_eq!(reject.reason.unwrap().rule, "backend-jwt-size");
}

#[test]
fn all_faults_are_reported_with_their_place() {
    let config = json!({
        "header": "Host",
        "key": {},
        "otherKeys": [{"file": "../x"}],
        "lifetime": "1s",
        "maxBytes": "1Mi",
        "claims": ["plann"],
        "pass": ["iss", "plan"],
        "add": {"x": "request.path", "y": "principal.", "sub": "principal.subject"},
    });
    let faults = compile_errors("backendJwt", config);
    let mut places: Vec<_> = faults
        .iter()
        .map(|fault| (fault.pointer.as_str(), &*fault.rule))
        .collect();
    places.sort_unstable();
    let expected = [
        ("/add/sub", "claim-name"),
        ("/add/x", "claim-of-request"),
        ("/add/y", "expression"),
        ("/claims/0", "claim-name"),
        ("/header", "header-reserved"),
        ("/key", "one-key"),
        ("/lifetime", "lifetime-range"),
        ("/maxBytes", "size-range"),
        ("/otherKeys/0/file", "secret-place"),
        ("/pass/0", "claim-name"),
        ("/pass/1", "claim-name"),
    ];
    assert_eq!(places, expected);
}

#[test]
fn the_public_keys_can_be_told() {
    let bench = Bench::new();
    let key = write_key(&bench, "backends/tls.key", Algorithm::Es256);
    let files = key_files(&config(json!({"otherKeys": [{"file": "next.pem"}]})));
    assert_eq!(
        files,
        [PathBuf::from("backends/tls.key"), "next.pem".into()]
    );
    let found = public_key(&bench.core, 0, &files[0]).unwrap();
    assert_eq!(found.kid(), key.kid());
    assert!(public_key(&bench.core, 0, &files[1]).is_none());
    assert!(key_files(&json!({})).is_empty());
}
