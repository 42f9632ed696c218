use base::{ApplicationId, Environment};
use http::HeaderValue;
use policy::{Nobody, RequestCx};
use serde_json::json;

use super::*;
use crate::any_of;
use crate::testing::{API_KEY, Bench, compile};

fn jwt() -> Box<dyn Policy> {
    compile("jwt", json!({}))
}

fn key() -> Box<dyn Policy> {
    compile("apiKey", json!({}))
}

fn with(bench: &Bench, token: bool, key: Option<&'static str>) -> RequestCx {
    let mut cx = bench.request("GET", "/x");
    if token {
        cx.headers
            .insert("authorization", bench.bearer(&bench.claims()));
    }
    if let Some(key) = key {
        cx.headers
            .insert("x-api-key", HeaderValue::from_static(key));
    }
    cx
}

/// Somebody with or without an application, who can be told from others.
struct Somebody(Option<ApplicationId>, Environment, &'static str);

impl Policy for Somebody {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        if cx.principal.is_some() {
            return Outcome::CONTINUE;
        }
        cx.principal = Some(std::rc::Rc::new(Principal {
            org: base::Org::default_org(),
            application: self.0,
            credential: None,
            key: None,
            environment: self.1,
            identity: std::sync::Arc::new(policy::Identity {
                subject: Some(self.2.to_owned()),
                ..policy::Identity::default()
            }),
            limits: None,
            token: None,
        }));
        Outcome::CONTINUE
    }
}

/// An authenticator that has to wait, and then takes what another one would.
struct Slow(Box<dyn Policy>);

impl Policy for Slow {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        Outcome::Later(Box::pin(async move {
            match self.0.on_request(cx) {
                Outcome::Now(verdict) => verdict,
                Outcome::Later(future) => future.await,
            }
        }))
    }
}

#[test]
fn all_are_needed_and_all_are_taken_out() {
    let bench = Bench::new();
    let both = policy(vec![jwt(), key()]);
    let mut cx = with(&bench, true, Some(API_KEY));
    bench.run(&*both, &mut cx).unwrap();
    assert_eq!(
        cx.principal.as_ref().unwrap().application,
        Some(bench.application)
    );
    assert!(
        cx.principal.unwrap().token.is_some(),
        "the first one is the caller"
    );
    assert!(cx.headers.is_empty(), "{:?}", cx.headers);
}

#[test]
fn one_is_missing_bad_or_all_are_missing() {
    let bench = Bench::new();
    let both = || policy(vec![jwt(), key()]);
    for (token, key, code, challenges) in [
        (true, None, "CREDENTIALS_INCOMPLETE", 1),
        (false, Some(API_KEY), "CREDENTIALS_INCOMPLETE", 1),
        (true, Some("nonsense"), "API_KEY_INVALID", 1),
        (false, Some("nonsense"), "API_KEY_INVALID", 2),
        (false, None, "CREDENTIALS_MISSING", 2),
    ] {
        let mut cx = with(&bench, token, key);
        let reject = bench.run(&*both(), &mut cx).unwrap_err();
        assert_eq!(reject.code.name, code, "{token} {key:?}");
        assert_eq!(reject.headers.len(), challenges, "{token} {key:?}");
        assert!(cx.principal.is_none());
        assert!(cx.headers.is_empty(), "a credential stays in the request");
    }
}

#[test]
fn the_caller_is_the_first_that_is_an_application() {
    let bench = Bench::new();
    let (own, other) = (ApplicationId::generate(), ApplicationId::generate());
    let somebody = |application, name| -> Box<dyn Policy> {
        Box::new(Somebody(application, Environment::Production, name))
    };
    let caller = |all: Vec<Box<dyn Policy>>| {
        let mut cx = bench.request("GET", "/x");
        bench
            .run(&*policy(all), &mut cx)
            .map_err(|reject| reject.code.name)?;
        Ok(cx.principal.unwrap().identity.subject.clone().unwrap())
    };
    let a = || somebody(None, "a");
    assert_eq!(
        caller(vec![a(), somebody(Some(own), "b")]),
        Ok("b".to_owned())
    );
    assert_eq!(
        caller(vec![somebody(Some(own), "b"), a()]),
        Ok("b".to_owned())
    );
    assert_eq!(caller(vec![a(), somebody(None, "c")]), Ok("a".to_owned()));
    let same = vec![somebody(Some(own), "b"), somebody(Some(own), "c")];
    assert_eq!(caller(same), Ok("b".to_owned()));
    let two = vec![somebody(Some(own), "b"), somebody(Some(other), "c")];
    assert_eq!(caller(two), Err("CREDENTIALS_CONFLICT"));
    let sandbox = Somebody(Some(own), Environment::Sandbox, "c");
    let two = vec![somebody(Some(own), "b"), Box::new(sandbox)];
    assert_eq!(caller(two), Err("CREDENTIALS_CONFLICT"));
}

#[test]
fn an_any_of_within_is_satisfied_by_one() {
    let bench = Bench::new();
    let somebody = || Box::new(Somebody(None, Environment::Production, "certificate"));
    let all = || -> Box<dyn Policy> {
        policy(vec![somebody(), any_of::policy(vec![jwt(), key()], false)])
    };
    for (token, key, passes) in [
        (true, None, true),
        (false, Some(API_KEY), true),
        (false, None, false),
    ] {
        let mut cx = with(&bench, token, key);
        assert_eq!(bench.run(&*all(), &mut cx).is_ok(), passes);
    }
}

#[test]
fn an_optional_within_is_looked_at_when_it_is_shown() {
    let bench = Bench::new();
    let somebody = || Box::new(Somebody(None, Environment::Production, "certificate"));
    let all = || -> Box<dyn Policy> { policy(vec![somebody(), any_of::policy(vec![key()], true)]) };
    let subject = |key| {
        let mut cx = with(&bench, false, key);
        bench
            .run(&*all(), &mut cx)
            .map_err(|reject| reject.code.name)?;
        Ok(cx.principal.unwrap().application)
    };
    assert_eq!(subject(None), Ok(None));
    assert_eq!(subject(Some(API_KEY)), Ok(Some(bench.application)));
    assert_eq!(subject(Some("nonsense")), Err("API_KEY_INVALID"));
}

/// A refused alternative leaves no mark that lets nobody pass.
#[test]
fn nobody_does_not_pass_where_only_a_part_is_optional() {
    let bench = Bench::new();
    let part = policy(vec![any_of::policy(vec![key()], true), jwt()]);
    let all = any_of::policy(
        vec![part, compile("apiKey", json!({"header": "x-other"}))],
        false,
    );
    let mut cx = with(&bench, false, None);
    let reject = bench.run(&*all, &mut cx).unwrap_err();
    assert_eq!(reject.code.name, "CREDENTIALS_MISSING");
    let chain = policy::Chain::new(
        vec![policy::Step::new(
            "a",
            policy::Phase::Authenticate,
            all.into(),
        )],
        policy::Access::Authenticated,
    );
    let mut cx = with(&bench, false, None);
    let run = futures_util::FutureExt::now_or_never(chain.run(&mut cx)).unwrap();
    assert!(run.1.is_err());
}

#[test]
fn all_optional_is_nobody() {
    let bench = Bench::new();
    let all = policy(vec![
        any_of::policy(vec![key()], true),
        any_of::policy(vec![jwt()], true),
    ]);
    let mut cx = with(&bench, false, None);
    bench.run(&*all, &mut cx).unwrap();
    assert!(cx.principal.is_none());
    assert!(cx.slots.get::<Nobody>().is_some());
    let mut cx = with(&bench, true, Some("nonsense"));
    assert!(bench.run(&*all, &mut cx).is_err());
}

#[test]
fn who_waits_is_asked_anew_with_what_the_others_said() {
    let bench = Bench::new();
    for order in [true, false] {
        let mut all: Vec<Box<dyn Policy>> = vec![Box::new(Slow(jwt())), key()];
        if !order {
            all.reverse();
        }
        let all = policy(all);
        let mut cx = with(&bench, true, Some(API_KEY));
        bench.run(&*all, &mut cx).unwrap();
        assert!(cx.principal.is_some());
        assert!(cx.headers.is_empty());
        for (token, key) in [(true, None), (false, Some(API_KEY))] {
            let mut cx = with(&bench, token, key);
            let reject = bench.run(&*all, &mut cx).unwrap_err();
            assert_eq!(reject.code.name, "CREDENTIALS_INCOMPLETE");
        }
    }
}

#[test]
fn behind_another_alternative_the_credentials_are_only_taken_out() {
    let bench = Bench::new();
    let either = any_of::policy(
        vec![
            Box::new(Somebody(None, Environment::Production, "known")),
            policy(vec![jwt(), key()]),
        ],
        false,
    );
    let mut cx = with(&bench, false, Some("nonsense"));
    bench.run(&*either, &mut cx).unwrap();
    assert_eq!(
        cx.principal.unwrap().identity.subject.as_deref(),
        Some("known")
    );
    assert!(cx.headers.is_empty());
}

#[test]
fn an_empty_list_lets_nobody_pass() {
    let bench = Bench::new();
    let mut cx = bench.request("GET", "/x");
    assert!(bench.run(&*policy(Vec::new()), &mut cx).is_err());
}
