use std::rc::Rc;
use std::sync::{Arc, Mutex};

use base::{ApplicationId, CredentialId, ManualClock, Org, code};
use futures_util::FutureExt;
use http::{HeaderMap, Method, StatusCode};

use super::*;
use crate::context::{Client, Core, Principal, Runtime, Slots, Trace};
use crate::directory::NobodyKnown;

fn request() -> RequestCx {
    let runtime = Runtime::new(
        Arc::new(NobodyKnown),
        Arc::new(limits::Authority::local(limits::Quotas::new(
            limits::Room::for_keys(10),
        ))),
        Arc::new(ManualClock::at(0)),
    );
    RequestCx {
        method: Method::GET,
        path: "/".into(),
        rest_at: 0,
        query: None,
        headers: HeaderMap::new(),
        client: Client {
            ip: [127, 0, 0, 1].into(),
            tls: false,
        },
        trace: Trace {
            trace_id: [1; 16],
            span_id: [1; 8],
            flags: 0,
        },
        unix_ms: 0,
        monotonic_ms: 0,
        timeout_ms: None,
        body_bytes_max: None,
        principal: None,
        subscription: None,
        slots: Slots::default(),
        core: Core::new(Arc::new(runtime)),
    }
}

type Log = Arc<Mutex<Vec<String>>>;

/// A step that writes down when it runs.
struct Noting {
    name: &'static str,
    log: Log,
    verdict: fn(&mut RequestCx) -> Verdict,
    later: bool,
}

impl Policy for Noting {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        self.log.lock().unwrap().push(format!("{} in", self.name));
        if self.later {
            return Outcome::Later(Box::pin(async move { (self.verdict)(cx) }));
        }
        Outcome::Now((self.verdict)(cx))
    }

    fn on_response(&self, cx: &mut ResponseCx<'_>) {
        self.log
            .lock()
            .unwrap()
            .push(format!("{} out {}", self.name, cx.status.as_u16()));
    }
}

fn step(
    name: &'static str,
    phase: Phase,
    log: &Log,
    verdict: fn(&mut RequestCx) -> Verdict,
) -> Step {
    let policy = Noting {
        name,
        log: Arc::clone(log),
        verdict,
        later: false,
    };
    Step::new(name, phase, Arc::new(policy))
}

fn known(cx: &mut RequestCx) -> Verdict {
    cx.principal = Some(std::rc::Rc::new(Principal {
        limits: None,
        token: None,
        org: Org::default_org(),
        application: Some(ApplicationId::generate()),
        credential: Some(CredentialId::generate()),
        key: None,
        environment: base::Environment::Production,
        identity: Arc::default(),
    }));
    Verdict::Continue
}

fn refuse(_: &mut RequestCx) -> Verdict {
    Verdict::Reject(Box::new(Reject::new(code::QUOTA_EXCEEDED, "enough")))
}

fn run(chain: &Chain) -> (Passed, Result<Permit, Stop>, RequestCx) {
    let mut cx = request();
    let (passed, result) = chain.run(&mut cx).now_or_never().expect("no step waits");
    (passed, result, cx)
}

#[test]
fn phases_order_the_steps_and_answers_go_back() {
    let log = Log::default();
    let go = |_: &mut RequestCx| Verdict::Continue;
    let chain = Chain::new(
        vec![
            step("late", Phase::Transform, &log, go),
            step("who", Phase::Authenticate, &log, known),
            step("first", Phase::Preflight, &log, go),
            step("later", Phase::Transform, &log, go),
        ],
        Access::Authenticated,
    );
    let (passed, result, mut cx) = run(&chain);
    assert!(result.is_ok());
    chain.run_response(passed, &mut cx, StatusCode::OK, &mut HeaderMap::new());
    assert_eq!(
        *log.lock().unwrap(),
        [
            "first in",
            "who in",
            "late in",
            "later in",
            "later out 200",
            "late out 200",
            "who out 200",
            "first out 200"
        ]
    );
}

#[test]
fn a_refusal_ends_the_chain_and_those_entered_see_the_answer() {
    let log = Log::default();
    let chain = Chain::new(
        vec![
            step("cors", Phase::Preflight, &log, |_| Verdict::Continue),
            step("limit", Phase::Limit, &log, refuse),
            step("never", Phase::Transform, &log, |_| Verdict::Continue),
        ],
        Access::Open,
    );
    let (passed, result, mut cx) = run(&chain);
    assert!(matches!(result, Err(Stop::Reject(reject)) if reject.code == code::QUOTA_EXCEEDED));
    chain.run_response(
        passed,
        &mut cx,
        StatusCode::TOO_MANY_REQUESTS,
        &mut HeaderMap::new(),
    );
    assert_eq!(
        *log.lock().unwrap(),
        ["cors in", "limit in", "limit out 429", "cors out 429"]
    );
}

/// A chain that was put together without an authenticator must not let anybody through.
#[test]
fn without_a_principal_an_authenticated_chain_fails_closed() {
    let chain = Chain::new(Vec::new(), Access::Authenticated);
    let (_, result, _) = run(&chain);
    assert!(matches!(result, Err(Stop::Reject(reject)) if reject.code == code::INTERNAL));
    let (_, result, _) = run(&Chain::new(Vec::new(), Access::Open));
    assert!(result.is_ok());
}

#[test]
fn steps_may_wait() {
    let log = Log::default();
    let waits = Noting {
        name: "who",
        log: Arc::clone(&log),
        verdict: known,
        later: true,
    };
    let chain = Chain::new(
        vec![Step::new("who", Phase::Authenticate, Arc::new(waits))],
        Access::Authenticated,
    );
    let (_, result, mut cx) = run(&chain);
    assert!(result.is_ok() && cx.principal.is_some());
    assert!(cx.slots.get::<Waits>().is_none(), "nobody traces this call");

    cx.slots.put(Waits::default());
    let (_, result) = chain.run(&mut cx).now_or_never().expect("ready at once");
    assert!(result.is_ok());
    let waited = cx.slots.get_mut::<Waits>().unwrap().take();
    assert_eq!(waited.len(), 1);
    assert_eq!(waited[0].policy, "who");
    assert!(waited[0].begun <= waited[0].ended);
}

#[test]
fn a_chain_tells_names_in_the_order_of_running() {
    let log = Log::default();
    let chain = Chain::new(
        vec![
            step("limit", Phase::Limit, &log, refuse),
            step("cors", Phase::Preflight, &log, |_| Verdict::Continue),
        ],
        Access::Open,
    );
    assert_eq!(chain.names().collect::<Vec<_>>(), ["cors", "limit"]);
    let (passed, ..) = run(&chain);
    assert_eq!(passed.entered(), 2);
}

#[test]
fn a_reason_carries_what_was_compared() {
    let reject = Reject::new(code::TOKEN_EXPIRED, "over")
        .because("expired")
        .fact("claim exp", "7 s ago", "not over");
    let reason = reject.reason.unwrap();
    assert_eq!(
        (reason.rule, reason.facts[0].name),
        ("expired", "claim exp")
    );
}

#[test]
fn slots_and_core_memory_keep_one_value_a_type() {
    let mut slots = Slots::default();
    slots.put(1_u8);
    slots.put(2_u8);
    slots.put("text");
    assert_eq!(
        (slots.get::<u8>(), slots.get::<&str>(), slots.get::<u16>()),
        (Some(&2), Some(&"text"), None)
    );
    let core = request().core;
    core.memory::<Vec<u8>>().borrow_mut().push(7);
    assert_eq!(*core.memory::<Vec<u8>>().borrow(), [7]);
    assert!(Rc::ptr_eq(
        &core.memory::<Vec<u8>>(),
        &core.memory::<Vec<u8>>()
    ));
}

/// Nothing reaches a backend because nobody has looked: where a credential is optional, somebody has to say that there is none.
#[test]
fn nobody_passes_only_where_that_is_allowed_and_was_found() {
    let log = Log::default();
    let nobody = |cx: &mut RequestCx| {
        cx.slots.put(crate::Nobody);
        Verdict::Continue
    };
    let chain = |looks: bool, access| {
        let look = step("who", Phase::Authenticate, &log, nobody);
        Chain::new(looks.then_some(look).into_iter().collect(), access)
    };
    for (looks, access, passes) in [
        (true, Access::Optional, true),
        (false, Access::Optional, false),
        (true, Access::Authenticated, false),
    ] {
        let (_, result, _) = run(&chain(looks, access));
        assert_eq!(result.is_ok(), passes, "{looks} {access:?}");
    }
    let known = step("who", Phase::Authenticate, &log, known);
    let (_, result, _) = run(&Chain::new(vec![known], Access::Optional));
    assert!(result.is_ok());
}
