use std::sync::Arc;

use policy::{Fact, Identity};
use serde_json::{Value as Json, json};

use super::*;
use crate::testing::{Bench, compile, compile_errors};

/// A caller with these roles and claims.
fn caller(bench: &Bench, roles: &[&str], claims: &Json) -> RequestCx {
    let mut cx = bench.request_of("GET", "/pets/1", Some(&["read"]));
    let principal = crate::testing::principal_mut(&mut cx);
    principal.identity = Arc::new(Identity {
        subject: Some("alice".to_owned()),
        scopes: Some(vec!["read".to_owned()]),
        roles: roles.iter().map(ToString::to_string).collect(),
        claims: claims.as_object().unwrap().clone(),
    });
    cx
}

fn run(config: Json, cx: &mut RequestCx) -> Result<(), Reject> {
    Bench::new().run(&*compile("authorize", config), cx)
}

#[test]
fn roles_and_claims_decide() {
    let bench = Bench::new();
    let claims = json!({"dept": "sales", "level": 3, "org": {"unit": ["a", "b"]}});
    for (require, passes) in [
        ("'admin' in principal.roles", true),
        ("'owner' in principal.roles", false),
        ("principal.claims.dept == 'sales'", true),
        ("principal.claims['dept'] == 'legal'", false),
        ("principal.claims.level >= 3", true),
        ("principal.claims.level > 3", false),
        ("'b' in principal.claims.org.unit", true),
        ("principal.subject == 'alice'", true),
        ("'write' in principal.scopes", false),
        (
            "request.path.startsWith('/pets/') && request.method == 'GET'",
            true,
        ),
        // What is not there protects.
        ("principal.claims.missing == 'x'", false),
        ("principal.claims.missing != 'x'", false),
        ("principal.claims.dept", false),
    ] {
        let mut cx = caller(&bench, &["admin", "user"], &claims);
        let result = run(json!({"require": require}), &mut cx);
        assert_eq!(result.is_ok(), passes, "{require}: {result:?}");
        if let Err(reject) = result {
            assert_eq!(
                (reject.code.name, reject.code.status),
                ("CALLER_NOT_ALLOWED", 403)
            );
        }
    }
}

/// How and when somebody logged in is in the token: `acr`, `amr`, `auth_time` (RFC 9068 §2.2.1).
#[test]
fn a_rule_may_demand_how_somebody_logged_in() {
    let bench = Bench::new();
    let claims = json!({"acr": "2", "amr": ["pwd", "otp"], "auth_time": 1_000});
    let unproved = json!({"acr": "1", "amr": ["pwd"], "auth_time": 10});
    for require in [
        "principal.claims.acr == '2'",
        "'otp' in principal.claims.amr",
        "principal.claims.auth_time > 500",
    ] {
        let rule = || json!({"require": require});
        run(rule(), &mut caller(&bench, &[], &claims)).unwrap();
        for weak in [&unproved, &json!({})] {
            let refused = run(rule(), &mut caller(&bench, &[], weak)).unwrap_err();
            assert_eq!(refused.code.name, "CALLER_NOT_ALLOWED");
        }
    }
}

#[test]
fn rules_are_for_calls_that_they_mean() {
    let bench = Bench::new();
    let config = || {
        json!({"message": "ask sales", "rules": [
            {"when": "request.method == 'DELETE'", "require": "'admin' in principal.roles", "message": "admins delete"},
            {"name": "department", "require": "principal.claims.dept == 'sales'"},
            {"when": "principal.claims.contractor", "require": "request.path == '/pets/1'"},
        ]})
    };
    let sales = json!({"dept": "sales"});
    let called = |method: &str, path: &str, claims: &Json| {
        let mut cx = caller(&bench, &["user"], claims);
        (cx.method, cx.path) = (method.parse().unwrap(), path.to_owned());
        run(config(), &mut cx).map_err(|reject| reject.detail.into_owned())
    };
    assert_eq!(called("GET", "/pets/1", &sales), Ok(()));
    assert_eq!(
        called("DELETE", "/pets/1", &sales),
        Err("admins delete".to_owned())
    );
    assert_eq!(
        called("GET", "/pets/1", &json!({})),
        Err("ask sales".to_owned())
    );
    // Without an answer a rule is meant.
    assert_eq!(
        called("GET", "/pets/2", &sales),
        Err("ask sales".to_owned())
    );
    let trusted = json!({"dept": "sales", "contractor": false});
    assert_eq!(called("GET", "/pets/2", &trusted), Ok(()));
}

/// req: O5
#[test]
fn the_operator_sees_rule_and_claim_and_the_caller_sees_no_value() {
    let bench = Bench::new();
    let mut cx = caller(
        &bench,
        &["user"],
        &json!({"dept": "secret-dept", "pin": 4711}),
    );
    let require = "principal.claims.dept == 'sales' && principal.claims.pin == 1 && 'a' in principal.roles && \
                   principal.claims.none == 1";
    let reject = run(json!({"require": require}), &mut cx).unwrap_err();
    let reason = reject.reason.clone().unwrap();
    assert_eq!(reason.rule, "authorize");
    let fact = |name: &'static str, found: &str, expected: &str| Fact {
        name,
        found: found.to_owned(),
        expected: expected.to_owned(),
    };
    assert!(
        reason
            .facts
            .contains(&fact("rule", "does not hold", require))
    );
    assert!(reason.facts.contains(&fact("claim", "a text", "dept")));
    assert!(reason.facts.contains(&fact("claim", "a number", "pin")));
    assert!(reason.facts.contains(&fact("claim", "absent", "none")));
    assert!(reason.facts.contains(&fact("principal.roles", "user", "")));
    for secret in ["secret-dept", "4711", "sales", "principal"] {
        assert!(!reject.detail.contains(secret), "{}", reject.detail);
    }
    assert!(!format!("{reason:?}").contains("secret-dept"));
    assert!(!format!("{reason:?}").contains("4711"));
}

#[test]
fn nobody_is_asked_for_a_credential() {
    let bench = Bench::new();
    let mut cx = bench.request("GET", "/x");
    cx.slots.put(Nobody);
    let reject = run(json!({"require": "'a' in principal.roles"}), &mut cx).unwrap_err();
    assert_eq!(reject.code.name, "CREDENTIALS_MISSING");
    let mut cx = bench.request("GET", "/x");
    cx.slots.put(Nobody);
    run(json!({"require": "request.method == 'GET'"}), &mut cx).unwrap();
    // A chain without authentication: there is nobody, and nobody is told to log in.
    let mut cx = bench.request("GET", "/x");
    let reject = run(json!({"require": "'a' in principal.roles"}), &mut cx).unwrap_err();
    assert_eq!(reject.code.name, "CALLER_NOT_ALLOWED");
}

#[test]
fn faults_of_the_configuration_have_their_places() {
    let pointers = |config: Json| -> Vec<String> {
        let faults = compile_errors("authorize", config);
        faults.into_iter().map(|fault| fault.pointer).collect()
    };
    assert_eq!(pointers(json!({})), [""]);
    assert_eq!(
        pointers(json!({"require": "true", "rules": [{"require": "true"}]})).len(),
        1
    );
    assert_eq!(pointers(json!({"require": "user == 1"})), ["/require"]);
    assert_eq!(
        pointers(
            json!({"rules": [{"require": "true"}, {"when": "a", "require": "b", "name": ""}]})
        ),
        ["/rules/1/name", "/rules/1/when", "/rules/1/require"]
    );
    assert_eq!(
        pointers(json!({"require": "true", "message": "a\nb"})),
        ["/message"]
    );
}
