use std::fs;

use policy::RequestCx;
use serde_json::{Value, json};

use super::*;
use crate::testing::{APPLICATION, Bench, ManualTime, compile, compile_errors};

/// What the tests' checker takes for the hash of a password.
fn line(name: &str, password: &str) -> String {
    format!("{name}:$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ${password}\n")
}

fn write(bench: &Bench, text: &str) {
    let folder = bench.secrets.path().join("partners");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("users"), text).unwrap();
}

#[expect(clippy::needless_pass_by_value, reason = "tests read better so")]
fn config(more: Value) -> Value {
    let mut config = json!({"users": {"secretRef": "partners"}});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn with(bench: &Bench, pair: &str) -> RequestCx {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
    let mut cx = bench.request("GET", "/x");
    let value = format!("Basic {encoded}");
    cx.headers.insert(AUTHORIZATION, value.parse().unwrap());
    cx
}

fn code(bench: &Bench, policy: &dyn Policy, cx: &mut RequestCx) -> &'static str {
    match bench.run(policy, cx) {
        Ok(()) => "",
        Err(reject) => {
            assert!(cx.principal.is_none());
            reject.code.name
        }
    }
}

fn asked(bench: &Bench) -> Vec<(String, bool)> {
    std::mem::take(&mut *bench.passwords.asked.lock().unwrap())
}

#[test]
fn a_user_passes_and_the_credential_is_taken_out() {
    let bench = Bench::new();
    write(&bench, &line("alice", "hunter2"));
    let policy = compile(
        "basic",
        config(json!({"application": APPLICATION, "scopes": ["read"]})),
    );
    let mut cx = with(&bench, "alice:hunter2");
    bench.run(&*policy, &mut cx).unwrap();
    assert!(cx.headers.is_empty());
    let principal = cx.principal.unwrap();
    assert_eq!(principal.application, Some(bench.application));
    assert_eq!(principal.identity.subject.as_deref(), Some("alice"));
    assert_eq!(principal.identity.scopes, Some(vec!["read".to_owned()]));
    let nobody = compile("basic", config(json!({"environment": "sandbox"})));
    let mut cx = with(&bench, "alice:hunter2");
    bench.run(&*nobody, &mut cx).unwrap();
    let principal = cx.principal.unwrap();
    assert_eq!(principal.application, None);
    assert_eq!(principal.environment, Environment::Sandbox);
    assert_eq!(principal.identity.scopes, Some(Vec::new()));
}

#[test]
fn missing_wrong_unknown_and_malformed() {
    let bench = Bench::new();
    write(&bench, &line("alice", "hunter2"));
    let policy = compile("basic", config(json!({})));
    let refused = |pair: &str| {
        let mut cx = with(&bench, pair);
        let code = code(&bench, &*policy, &mut cx);
        assert!(cx.headers.is_empty(), "a credential stays in the request");
        code
    };
    assert_eq!(refused("alice:wrong"), "PASSWORD_INVALID");
    assert_eq!(refused("bob:hunter2"), "PASSWORD_INVALID");
    // Whom nobody knows is asked for like the others.
    assert_eq!(
        asked(&bench),
        [("alice".to_owned(), true), ("bob".to_owned(), false)]
    );
    for malformed in ["alice", "a\u{7}:b", &format!("alice:{}", "x".repeat(2_000))] {
        assert_eq!(refused(malformed), "PASSWORD_INVALID");
    }
    assert!(asked(&bench).is_empty(), "what is malformed costs nothing");
    let mut cx = bench.request("GET", "/x");
    let reject = bench.run(&*policy, &mut cx).unwrap_err();
    assert_eq!(reject.code, CREDENTIALS_MISSING);
    assert_eq!(
        reject.headers[0].1,
        "Basic realm=\"pets-1.0.0\", charset=\"UTF-8\""
    );
    let mut cx = with(&bench, "alice:hunter2");
    let twice = cx.headers[AUTHORIZATION].clone();
    cx.headers.append(AUTHORIZATION, twice);
    assert_eq!(code(&bench, &*policy, &mut cx), "PASSWORD_INVALID");
    // Other schemes are not ours.
    let mut cx = bench.request("GET", "/x");
    let bearer = HeaderValue::from_static("Bearer x.y.z");
    cx.headers.insert(AUTHORIZATION, bearer);
    assert_eq!(code(&bench, &*policy, &mut cx), "CREDENTIALS_MISSING");
    assert_eq!(cx.headers.len(), 1);
}

#[test]
fn a_right_pair_is_remembered_until_its_line_changes() {
    let bench = Bench::new();
    write(
        &bench,
        &(line("alice", "hunter2") + &line("bob", "hunter3")),
    );
    let policy = compile("basic", config(json!({})));
    for _ in 0..3 {
        bench
            .run(&*policy, &mut with(&bench, "alice:hunter2"))
            .unwrap();
    }
    assert_eq!(asked(&bench).len(), 1);
    // A wrong one is never remembered.
    for _ in 0..2 {
        assert!(
            bench
                .run(&*policy, &mut with(&bench, "alice:wrong"))
                .is_err()
        );
    }
    assert_eq!(asked(&bench).len(), 2);
    // The list is looked at once a second.
    write(
        &bench,
        &(line("alice", "another-one") + &line("bob", "hunter3")),
    );
    bench.clock.advance_s(2);
    assert!(
        bench
            .run(&*policy, &mut with(&bench, "alice:hunter2"))
            .is_err()
    );
    bench
        .run(&*policy, &mut with(&bench, "alice:another-one"))
        .unwrap();
    write(&bench, &line("bob", "hunter3"));
    bench.clock.advance_s(2);
    assert!(
        bench
            .run(&*policy, &mut with(&bench, "alice:another-one"))
            .is_err()
    );
}

/// Two of them in a test; what is forgotten is checked again.
#[test]
fn a_bounded_number_of_pairs_is_remembered() {
    let bench = Bench::new();
    let users = ["alice", "bob", "carol"];
    write(&bench, &users.map(|name| line(name, "hunter2")).concat());
    let policy = compile("basic", config(json!({})));
    let forgotten = || {
        let remembered = &bench.core.runtime.remembered;
        remembered.forgotten(policy::Memory::Passwords)
    };
    let passes = |name: &str| {
        let mut cx = with(&bench, &format!("{name}:hunter2"));
        bench.run(&*policy, &mut cx).unwrap();
        asked(&bench).len()
    };
    for (name, checks) in [("alice", 1), ("bob", 1), ("alice", 0), ("bob", 0)] {
        assert_eq!((passes(name), forgotten()), (checks, 0), "{name}");
    }
    for (name, checks) in [("carol", 1), ("alice", 1), ("carol", 0)] {
        assert_eq!((passes(name), forgotten()), (checks, 2), "{name}");
    }
}

#[test]
fn two_lists_are_two() {
    let bench = Bench::new();
    write(&bench, &line("alice", "hunter2"));
    fs::write(bench.secrets.path().join("others"), line("alice", "other")).unwrap();
    let one = compile("basic", config(json!({})));
    let other = compile("basic", json!({"users": {"file": "others"}}));
    bench
        .run(&*one, &mut with(&bench, "alice:hunter2"))
        .unwrap();
    assert!(
        bench
            .run(&*other, &mut with(&bench, "alice:hunter2"))
            .is_err()
    );
    bench
        .run(&*other, &mut with(&bench, "alice:other"))
        .unwrap();
}

#[test]
fn guessing_and_crowds_are_told_when_to_come_back() {
    let bench = Bench::new();
    write(&bench, &line("alice", "hunter2"));
    let policy = compile("basic", config(json!({})));
    for (answer, code, after_s) in [
        (Ok(Guessed::Wait(7)), "RATE_LIMITED", 7),
        (Err(NotAnswered::TooMany), "CREDENTIALS_UNVERIFIED", 1),
        (Err(NotAnswered::Unavailable), "CREDENTIALS_UNVERIFIED", 1),
    ] {
        *bench.passwords.answer.lock().unwrap() = Some(answer);
        let mut cx = with(&bench, "alice:hunter2");
        let reject = bench.run(&*policy, &mut cx).unwrap_err();
        assert_eq!(
            (reject.code.name, reject.retry_after_s),
            (code, Some(after_s))
        );
    }
}

#[test]
fn a_list_that_cannot_be_used_lets_nobody_pass() {
    let bench = Bench::new();
    let policy = compile("basic", config(json!({})));
    let called = || code(&bench, &*policy, &mut with(&bench, "alice:hunter2"));
    assert_eq!(called(), "CREDENTIALS_UNVERIFIED");
    write(&bench, "alice:hunter2\n");
    bench.clock.advance_s(2);
    assert_eq!(called(), "CREDENTIALS_UNVERIFIED");
    write(&bench, &line("alice", "hunter2"));
    bench.clock.advance_s(2);
    assert_eq!(called(), "");
    // A list that became faulty leaves in force what was.
    write(&bench, "alice:{SHA}x\n");
    bench.clock.advance_s(2);
    assert_eq!(called(), "");
}

/// req: S9
#[test]
fn without_its_application_nobody_passes() {
    let bench = Bench::new();
    write(&bench, &line("alice", "hunter2"));
    let policy = compile("basic", config(json!({"application": APPLICATION})));
    bench
        .run(&*policy, &mut with(&bench, "alice:hunter2"))
        .unwrap();
    bench.directory.tables().applications.clear();
    let mut cx = with(&bench, "alice:hunter2");
    assert_eq!(code(&bench, &*policy, &mut cx), "PASSWORD_INVALID");
}

#[test]
fn faults_of_the_configuration() {
    let pointers = |config: Value| -> Vec<String> {
        let faults = compile_errors("basic", config);
        assert!(
            faults.iter().all(|fault| fault.mend.is_some()),
            "{faults:?}"
        );
        faults.into_iter().map(|fault| fault.pointer).collect()
    };
    assert_eq!(pointers(json!({"users": {}})), ["/users"]);
    let both = json!({"users": {"secretRef": "a", "file": "b"}});
    assert_eq!(pointers(both), ["/users"]);
    assert_eq!(
        pointers(json!({"users": {"file": "../users"}})),
        ["/users/file"]
    );
    assert_eq!(
        pointers(json!({"users": {"secretRef": "A/b"}})),
        ["/users/secretRef"]
    );
}
