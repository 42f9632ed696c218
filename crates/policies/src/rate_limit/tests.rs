mod cases;

use std::net::{Ipv4Addr, Ipv6Addr};

use http::HeaderMap;
use policy::{Reject, RequestCx};
use serde_json::{Value, json};

use crate::admission;
use crate::testing::{Bench, ManualTime, compile, compile_errors};

/// Runs these limits and the step behind them.
fn call(bench: &Bench, limits: &[Value], cx: &mut RequestCx) -> (Result<(), Reject>, HeaderMap) {
    for config in limits {
        bench
            .run(&*compile("rateLimit", config.clone()), cx)
            .unwrap();
    }
    let admission = admission::policy();
    let result = bench.run(&*admission, cx);
    let headers = bench.respond(&*admission, cx, 200, HeaderMap::new());
    (result, headers)
}

fn get(bench: &Bench, limits: &[Value]) -> (Result<(), Reject>, HeaderMap) {
    call(bench, limits, &mut bench.request("GET", "/x"))
}

/// req: R3 R4
#[test]
fn a_window_admits_its_limit_and_tells_it() {
    let bench = Bench::new();
    let limit = [json!({"name": "per-ip", "limit": "2/min"})];
    let (first, headers) = get(&bench, &limit);
    assert!(first.is_ok());
    assert_eq!(headers["ratelimit-policy"], "\"per-ip\";q=2;w=60");
    assert!(get(&bench, &limit).0.is_ok());
    let (refused, headers) = get(&bench, &limit);
    let reject = refused.unwrap_err();
    assert_eq!(reject.code.name, "RATE_LIMITED");
    assert_eq!(reject.code.status, 429);
    assert!(
        reject.detail.contains("per-ip (2 requests in 60 s)"),
        "{}",
        reject.detail
    );
    let wait_s = reject.retry_after_s.unwrap();
    assert_eq!(headers["ratelimit"], format!("\"per-ip\";r=0;t={wait_s}"));
    bench.clock.advance_s(wait_s);
    assert!(get(&bench, &limit).0.is_ok());
}

/// req: R3
#[test]
fn a_burst_passes_at_once_and_then_calls_are_spread() {
    let bench = Bench::new();
    let limit = [json!({"name": "spread", "limit": "60/min", "burst": 3})];
    for _ in 0..3 {
        assert!(get(&bench, &limit).0.is_ok());
    }
    let (refused, headers) = get(&bench, &limit);
    assert_eq!(refused.unwrap_err().retry_after_s, Some(1));
    assert_eq!(headers["ratelimit-policy"], "\"spread\";q=60;w=60;burst=3");
    bench.clock.advance_s(1);
    assert!(get(&bench, &limit).0.is_ok());
    assert!(get(&bench, &limit).0.is_err());
}

/// An IPv6 subscriber has a network of 64 bits, an IPv4 one an address.
#[test]
fn addresses_are_counted_apart_and_networks_together() {
    let bench = Bench::new();
    let limit = [json!({"name": "per-ip", "limit": "1/min"})];
    let from = |ip: std::net::IpAddr| {
        let mut cx = bench.request("GET", "/x");
        cx.client.ip = ip;
        call(&bench, &limit, &mut cx).0.is_ok()
    };
    assert!(from(Ipv4Addr::new(192, 0, 2, 1).into()));
    assert!(!from(Ipv4Addr::new(192, 0, 2, 1).into()));
    assert!(from(Ipv4Addr::new(192, 0, 2, 2).into()));
    let in_network = |network, host| Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, host);
    assert!(from(in_network(1, 1).into()));
    assert!(!from(in_network(1, 2).into()));
    assert!(from(in_network(2, 1).into()));
}

#[test]
fn keys_are_expressions_and_what_has_no_value_is_counted_together() {
    let bench = Bench::new();
    let limit =
        [json!({"name": "per-tenant", "key": "request.headers['x-tenant']", "limit": "1/min"})];
    let of = |tenant: Option<&'static str>| {
        let mut cx = bench.request("GET", "/x");
        if let Some(tenant) = tenant {
            cx.headers.insert("x-tenant", tenant.parse().unwrap());
        }
        call(&bench, &limit, &mut cx).0.is_ok()
    };
    assert!(of(Some("a")));
    assert!(!of(Some("a")));
    assert!(of(Some("b")));
    assert!(of(None));
    assert!(!of(None));
}

#[test]
fn applications_are_counted_apart() {
    let bench = Bench::new();
    let limit = [json!({"name": "per-app", "key": "application.id", "limit": "1/min"})];
    let mut own = bench.request_of("GET", "/x", None);
    assert!(call(&bench, &limit, &mut own).0.is_ok());
    let mut other = bench.request_of("GET", "/x", None);
    crate::testing::principal_mut(&mut other).application = Some(base::ApplicationId::generate());
    assert!(call(&bench, &limit, &mut other).0.is_ok());
    let mut again = bench.request_of("GET", "/x", None);
    assert!(call(&bench, &limit, &mut again).0.is_err());
}

/// Conditions say which calls are counted; one without an answer counts the call.
#[test]
fn a_condition_chooses_the_calls() {
    let bench = Bench::new();
    let limit = [json!({
        "name": "posts", "limit": "1/min",
        "when": "request.method == 'POST' && request.headers['x-kind'] != 'free'"
    })];
    let of = |method, kind: Option<&'static str>| {
        let mut cx = bench.request(method, "/x");
        if let Some(kind) = kind {
            cx.headers.insert("x-kind", kind.parse().unwrap());
        }
        call(&bench, &limit, &mut cx).0.is_ok()
    };
    for _ in 0..3 {
        assert!(of("GET", None));
        assert!(of("POST", Some("free")));
    }
    assert!(of("POST", None), "no answer: it is counted");
    assert!(!of("POST", Some("paid")));
    assert!(of("GET", None));
}

/// Several limits on one call: all are looked at before one is charged, and the answer names who refused.
#[test]
fn several_limits_are_charged_all_or_none() {
    let bench = Bench::new();
    let limits = [
        json!({"name": "wide", "limit": "4/h"}),
        json!({"name": "narrow", "limit": "1/s", "burst": 1}),
    ];
    assert!(get(&bench, &limits).0.is_ok());
    for _ in 0..9 {
        let (refused, headers) = get(&bench, &limits);
        assert!(refused.unwrap_err().detail.contains("narrow"));
        assert_eq!(
            headers["ratelimit-policy"],
            "\"wide\";q=4;w=3600, \"narrow\";q=1;w=1;burst=1"
        );
    }
    for _ in 0..3 {
        bench.clock.advance_s(1);
        assert!(
            get(&bench, &limits).0.is_ok(),
            "refused calls have cost nothing"
        );
    }
    bench.clock.advance_s(1);
    assert!(get(&bench, &limits).0.unwrap_err().detail.contains("wide"));
}

/// A plan and a limit of the document are asked together.
#[test]
fn plans_and_limits_are_asked_together() {
    let bench = Bench::new();
    let mut cx = bench.request_of("GET", "/x", None);
    for (policy, config) in [
        ("subscription", json!({})),
        ("planQuota", json!({})),
        ("rateLimit", json!({"name": "per-ip", "limit": "10/min"})),
    ] {
        bench.run(&*compile(policy, config), &mut cx).unwrap();
    }
    let (result, headers) = call(&bench, &[], &mut cx);
    assert!(result.is_ok());
    assert!(
        headers["ratelimit"]
            .to_str()
            .unwrap()
            .starts_with("\"per-ip\";r=9")
    );
    assert_eq!(
        headers["ratelimit-policy"],
        "\"Gold\";q=5000;w=60, \"per-ip\";q=10;w=60"
    );
}

/// req: TM4
#[test]
fn an_edited_limit_goes_on_with_what_is_counted() {
    let bench = Bench::new();
    for _ in 0..2 {
        assert!(
            get(&bench, &[json!({"name": "per-ip", "limit": "2/min"})])
                .0
                .is_ok()
        );
    }
    let raised = [json!({"name": "per-ip", "limit": "3/min"})];
    assert!(get(&bench, &raised).0.is_ok());
    assert!(get(&bench, &raised).0.is_err());
    let other = [json!({"name": "another", "limit": "3/min"})];
    assert!(get(&bench, &other).0.is_ok(), "another name counts apart");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let place = |config| {
        let found = compile_errors("rateLimit", config);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].pointer.clone()
    };
    assert_eq!(place(json!({"name": "", "limit": "1/s"})), "/name");
    assert_eq!(place(json!({"name": "a\n", "limit": "1/s"})), "/name");
    assert_eq!(
        place(json!({"name": "a", "limit": "1/s", "burst": 0})),
        "/burst"
    );
    assert_eq!(place(json!({"name": "a", "limit": "1/400d"})), "/limit");
    assert_eq!(
        place(json!({"name": "a", "limit": "1/s", "key": "request."})),
        "/key"
    );
    assert_eq!(
        place(json!({"name": "a", "limit": "1/s", "when": "claims.x == 1"})),
        "/when"
    );
    let found = compile_errors("rateLimit", json!({"name": "a", "limit": "1/month"}));
    assert!(found[0].message.contains("100/min"), "{found:?}");
}
