use std::sync::Mutex;
use std::sync::atomic::Ordering;

use policy::backend_tokens::{AskingToken, BackendTokens};
use policy::{BackendToken, NoToken, TokenClient};
use serde_json::{Value, json};

use super::*;
use crate::testing::{Bench, ManualTime as _, compile, compile_errors};

fn write(bench: &Bench, file: &str, text: &str) {
    let path = bench.secrets.path().join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A call whose client sends an `Authorization` of its own.
fn request(bench: &Bench) -> RequestCx {
    let mut cx = bench.request_of("GET", "/pets", None);
    cx.headers
        .insert(AUTHORIZATION, "Basic Y2xpZW50Om93bg==".parse().unwrap());
    cx
}

fn shown(bench: &Bench, policy: &dyn Policy) -> Result<RequestCx, Reject> {
    let mut cx = request(bench);
    bench.run(policy, &mut cx).map(|()| cx)
}

/// req: GW10
#[test]
fn basic_takes_the_place_of_the_clients_own() {
    let bench = Bench::new();
    write(&bench, "orders/username", "gate\n");
    write(&bench, "orders/password", "pässword\r\n");
    write(&bench, "pair", "gate:pässword");
    for place in [json!({"secretRef": "orders"}), json!({"file": "pair"})] {
        let policy = compile("backendCredentials", json!({"basic": place}));
        let cx = shown(&bench, &*policy).unwrap();
        let value = &cx.headers[AUTHORIZATION];
        assert_eq!(value, "Basic Z2F0ZTpww6Rzc3dvcmQ=");
        assert!(value.is_sensitive());
        assert!(!format!("{:?}", cx.headers).contains("Z2F0"));
    }
}

#[test]
fn a_key_stands_in_a_header_or_in_the_query() {
    let bench = Bench::new();
    write(&bench, "orders/api-key", "k+e y&1\n");
    let key = json!({"secretRef": "orders"});
    let way = json!({"apiKey": {"header": "X-API-Key", "key": key}});
    let policy = compile("backendCredentials", way);
    let cx = shown(&bench, &*policy).unwrap();
    assert_eq!(cx.headers["x-api-key"], "k+e y&1");
    assert!(!cx.headers.contains_key(AUTHORIZATION));

    let way = json!({"apiKey": {"header": "authorization", "prefix": "Token ", "key": key}});
    let policy = compile("backendCredentials", way);
    let cx = shown(&bench, &*policy).unwrap();
    assert_eq!(cx.headers[AUTHORIZATION], "Token k+e y&1");
    assert!(cx.headers[AUTHORIZATION].is_sensitive());

    let way = json!({"apiKey": {"query": "api_key", "key": key}});
    let policy = compile("backendCredentials", way);
    for (query, expected) in [
        (None, "api_key=k%2Be+y%261"),
        (Some("a=1"), "a=1&api_key=k%2Be+y%261"),
        (
            Some("api_key=forged&a=1&api%5Fkey=x"),
            "a=1&api_key=k%2Be+y%261",
        ),
    ] {
        let mut cx = request(&bench);
        cx.query = query.map(Into::into);
        bench.run(&*policy, &mut cx).unwrap();
        assert_eq!(cx.query.as_deref(), Some(expected));
    }
}

/// req: S9
#[test]
fn a_changed_secret_is_shown_and_a_broken_one_leaves_what_was() {
    let bench = Bench::new();
    let key = json!({"file": "key"});
    let way = json!({"apiKey": {"header": "X-API-Key", "key": key}});
    let policy = compile("backendCredentials", way);
    let reject = shown(&bench, &*policy).err().unwrap();
    assert_eq!(reject.code, BACKEND_CREDENTIAL_MISSING);
    assert_eq!(reject.reason.unwrap().rule, "backend-secret");
    for (text, expected) in [
        ("first", "first"),
        ("second\n", "second"),
        ("", "second"),
        ("a\nb", "second"),
        ("third", "third"),
    ] {
        write(&bench, "key", text);
        bench.clock.advance_s(1);
        let cx = shown(&bench, &*policy).unwrap();
        assert_eq!(cx.headers["x-api-key"], expected, "{text:?}");
    }
    let counts = &bench.core.runtime.backend_auth.counts;
    assert_eq!(counts.refused.load(Ordering::Relaxed), 1);
}

#[test]
fn each_environment_has_its_own() {
    let bench = Bench::new();
    write(&bench, "key", "k");
    let way = json!({
        "apiKey": {"header": "X-API-Key", "key": {"file": "key"}},
        "environment": "sandbox",
    });
    let policy = compile("backendCredentials", way);
    let cx = shown(&bench, &*policy).unwrap();
    assert!(!cx.headers.contains_key("x-api-key"), "production");
    let mut cx = request(&bench);
    crate::testing::principal_mut(&mut cx).environment = Environment::Sandbox;
    bench.run(&*policy, &mut cx).unwrap();
    assert_eq!(cx.headers["x-api-key"], "k");
}

/// Gives what it is told to, and notes for whom.
#[derive(Default)]
pub(crate) struct FakeTokens {
    pub(crate) answer: Mutex<Option<Result<&'static str, NoToken>>>,
    pub(crate) asked: Mutex<Vec<String>>,
    pub(crate) refused: Mutex<usize>,
}

impl BackendTokens for FakeTokens {
    fn token(&self, client: std::sync::Arc<TokenClient>, secret: Secret<String>) -> AskingToken {
        let request = client.request();
        let asked = format!("{} {} {}", request.url, request.client_id, secret.expose());
        self.asked.lock().unwrap().push(asked);
        let answer = self.answer.lock().unwrap().clone();
        let answer = answer.unwrap_or(Err(NoToken::Nobody)).map(|text| {
            std::sync::Arc::new(BackendToken {
                value: text.parse().unwrap(),
                renew_ms: u64::MAX,
                ends_ms: u64::MAX,
            })
        });
        Box::pin(std::future::ready(answer))
    }

    fn refused(&self, _: &TokenClient, _: &std::sync::Arc<BackendToken>) {
        *self.refused.lock().unwrap() += 1;
    }
}

fn oauth() -> Value {
    json!({"oauth": {
        "tokenUrl": "https://id.example.com/token",
        "clientId": "gateway",
        "clientSecret": {"secretRef": "orders"},
        "scopes": ["a", "b"],
    }})
}

/// Four of them in a test; what is forgotten is asked for again at the node.
#[test]
fn a_core_remembers_a_bounded_number_of_tokens() {
    let bench = Bench::new();
    write(&bench, "orders/client-secret", "s1\n");
    *bench.tokens.answer.lock().unwrap() = Some(Ok("Bearer one"));
    let forgotten = || {
        let counts = &bench.core.runtime.backend_auth.counts;
        counts.tokens_forgotten.load(Ordering::Relaxed)
    };
    let policies: Vec<_> = (0..5)
        .map(|number| {
            let mut way = oauth();
            way["oauth"]["clientId"] = json!(format!("gateway-{number}"));
            compile("backendCredentials", way)
        })
        .collect();
    for policy in &policies[..4] {
        shown(&bench, &**policy).unwrap();
        shown(&bench, &**policy).unwrap();
    }
    assert_eq!(
        (bench.tokens.asked.lock().unwrap().len(), forgotten()),
        (4, 0)
    );
    shown(&bench, &*policies[4]).unwrap();
    assert_eq!(
        (bench.tokens.asked.lock().unwrap().len(), forgotten()),
        (5, 4)
    );
    shown(&bench, &*policies[0]).unwrap();
    assert_eq!(
        (bench.tokens.asked.lock().unwrap().len(), forgotten()),
        (6, 4)
    );
}

#[test]
fn a_core_asks_for_a_token_once_a_second_at_most() {
    let bench = Bench::new();
    let tokens = &bench.tokens;
    let policy = compile("backendCredentials", oauth());
    let reject = shown(&bench, &*policy).err().unwrap();
    assert_eq!(reject.reason.unwrap().rule, "backend-secret");
    write(&bench, "orders/client-secret", "s1\n");
    bench.clock.advance_s(1);
    *tokens.answer.lock().unwrap() = Some(Err(NoToken::Wait(7)));
    let reject = shown(&bench, &*policy).err().unwrap();
    assert_eq!(reject.code, BACKEND_CREDENTIAL_MISSING);
    assert_eq!(reject.retry_after_s, Some(7));
    assert_eq!(reject.reason.unwrap().rule, "backend-token");
    *tokens.answer.lock().unwrap() = Some(Ok("Bearer one"));
    tokens.asked.lock().unwrap().clear();
    for _ in 0..5 {
        let cx = shown(&bench, &*policy).unwrap();
        assert_eq!(cx.headers[AUTHORIZATION], "Bearer one");
    }
    let asked = tokens.asked.lock().unwrap().clone();
    assert_eq!(asked, ["https://id.example.com/token gateway s1"]);
    *tokens.answer.lock().unwrap() = Some(Ok("Bearer two"));
    write(&bench, "orders/client-secret", "s2");
    bench.clock.advance_s(1);
    let mut cx = shown(&bench, &*policy).unwrap();
    assert_eq!(cx.headers[AUTHORIZATION], "Bearer two");
    let asked = tokens.asked.lock().unwrap().clone();
    assert!(asked[1].ends_with(" s2"), "the secret is read again");

    // The backend refuses it: another one is asked for.
    bench.respond(&*policy, &mut cx, 200, http::HeaderMap::new());
    assert_eq!(*tokens.refused.lock().unwrap(), 0);
    bench.respond(&*policy, &mut cx, 401, http::HeaderMap::new());
    assert_eq!(*tokens.refused.lock().unwrap(), 1);
    shown(&bench, &*policy).unwrap();
    assert_eq!(tokens.asked.lock().unwrap().len(), 3);
}

#[test]
fn all_faults_are_reported_with_their_place() {
    for (config, expected) in [
        (json!({}), vec![("", "one-key")]),
        (
            json!({"basic": {"file": "a"}, "oauth": oauth()["oauth"]}),
            vec![("", "one-key")],
        ),
        (
            json!({"basic": {"file": "../a"}}),
            vec![("/basic/file", "secret-place")],
        ),
        (
            json!({"apiKey": {"key": {"file": "a"}}}),
            vec![("/apiKey", "one-key")],
        ),
        (
            json!({"apiKey": {"header": "Host", "key": {"file": "a"}}}),
            vec![("/apiKey/header", "header-reserved")],
        ),
        (
            json!({"apiKey": {"query": "k", "prefix": "x", "key": {"file": "a"}}}),
            vec![("/apiKey", "one-key")],
        ),
        (
            json!({"oauth": {"tokenUrl": "https://user:pass@id/t", "clientId": "", "clientSecret": {},
                "scopes": ["a b"], "timeout": "2m", "lifetime": "1s"}}),
            vec![
                ("/oauth/clientId", "client-id"),
                ("/oauth/clientSecret", "one-key"),
                ("/oauth/lifetime", "duration-range"),
                ("/oauth/scopes/0", "scope"),
                ("/oauth/timeout", "duration-range"),
                ("/oauth/tokenUrl", "token-url"),
            ],
        ),
    ] {
        let faults = compile_errors("backendCredentials", config);
        let mut places: Vec<_> = faults
            .iter()
            .map(|fault| (fault.pointer.as_str(), &*fault.rule))
            .collect();
        places.sort_unstable();
        assert_eq!(places, expected);
    }
}
