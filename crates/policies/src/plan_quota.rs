//! `planQuota`: the quota of the plan under which the caller's application is subscribed.

use std::sync::Arc;

use base::Diagnostic;
use base::code::INTERNAL;
use limits::Quota;
use policy::{
    Ask, AskedBy, Asks, CompileEnv, Nobody, Outcome, Phase, Plan, PlanWindow, Policy, PolicyKind,
    Reject, RequestCx, Window,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::application_limits;

/// The kind.
pub struct PlanQuota;

/// Nothing can be configured: the plan says all.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// Holds a call against the quota and the burst window of its plan. Calls that are refused before this policy (unknown
/// caller, no subscription, no operation) are not counted.
///
/// The counter belongs to the subscription and outlives a change of the plan's number of requests.
///
/// # Errors
/// `QUOTA_EXCEEDED` (429) with `Retry-After`, from the step behind the policies of this phase.
struct Running;

impl PolicyKind for PlanQuota {
    const NAME: &'static str = "planQuota";
    const PHASE: Phase = Phase::Limit;
    const SUMMARY: &'static str =
        "Enforces the quota and the burst limit of the subscription's plan.";
    type Config = Config;

    fn compile(&self, _: Config, _: &CompileEnv) -> Result<Box<dyn Policy>, Vec<Diagnostic>> {
        Ok(Box::new(Running))
    }
}

impl Policy for Running {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        let Some(subscription) = &cx.subscription else {
            if cx.principal.is_none() && cx.slots.get::<Nobody>().is_some() {
                return Outcome::CONTINUE;
            }
            return Reject::new(INTERNAL, "no policy has found the subscription").into();
        };
        let Some(plan) = &subscription.plan else {
            return Reject::new(INTERNAL, "the subscription has no plan").into();
        };
        let asks = &mut cx.slots.get_or_default::<Asks>().list;
        for (window, length) in windows(plan) {
            let by = AskedBy::Plan(Arc::clone(plan), window);
            asks.push(ask(window.of_plan(subscription.id), length, by));
        }
        application_limits::ask_all(cx);
        Outcome::CONTINUE
    }
}

/// The windows that a plan has.
pub(crate) fn windows(plan: &Plan) -> impl Iterator<Item = (PlanWindow, Window)> {
    let windows = [
        (PlanWindow::Quota, plan.quota),
        (PlanWindow::Burst, plan.burst),
    ];
    windows
        .into_iter()
        .filter_map(|(window, length)| Some((window, length?)))
}

/// What is asked of a window.
pub(crate) fn ask(key: limits::Key, window: Window, by: AskedBy) -> Ask {
    let limit = Quota {
        limit: window.requests,
        window_ms: window.window_ms,
    };
    Ask::new(key, limit.into(), window.measure, by)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use http::HeaderMap;
    use serde_json::json;

    use super::*;
    use crate::admission;
    use crate::testing::{Bench, ManualTime, compile, gold};

    fn call(bench: &Bench) -> (Result<(), Reject>, HeaderMap) {
        let mut cx = bench.request_of("GET", "/x", None);
        bench
            .run(&*compile("subscription", json!({})), &mut cx)
            .unwrap();
        bench
            .run(&*compile("planQuota", json!({})), &mut cx)
            .unwrap();
        let admission = admission::policy();
        let result = bench.run(&*admission, &mut cx);
        let headers = bench.respond(&*admission, &mut cx, 200, HeaderMap::new());
        (result, headers)
    }

    fn plan(quota: (u64, u64), burst: Option<(u64, u64)>) -> Option<Plan> {
        let window = |(requests, window_ms)| Window {
            requests,
            window_ms,
            measure: policy::Measure::Requests,
        };
        Some(Plan {
            quota: Some(window(quota)),
            burst: burst.map(window),
            ..gold()
        })
    }

    /// req: R4
    #[test]
    fn every_answer_tells_the_limit() {
        let bench = Bench::new();
        let (result, headers) = call(&bench);
        assert!(result.is_ok());
        assert_eq!(headers["ratelimit-policy"], "\"Gold\";q=5000;w=60");
        let limit = headers["ratelimit"].to_str().unwrap();
        assert!(limit.starts_with("\"Gold\";r=4999;t=6"), "{limit}");
    }

    /// req: R3 R4
    #[test]
    fn the_call_above_the_quota_is_refused_until_the_window_has_passed() {
        let bench = Bench::new();
        bench.directory.set_plan(plan((2, 60_000), None));
        assert!(call(&bench).0.is_ok());
        bench.clock.advance_s(20);
        assert!(call(&bench).0.is_ok());
        let (refused, headers) = call(&bench);
        let reject = refused.unwrap_err();
        assert_eq!(reject.code.name, "QUOTA_EXCEEDED");
        assert_eq!(reject.code.status, 429);
        let wait_s = reject.retry_after_s.unwrap();
        assert!((40..=42).contains(&wait_s), "{wait_s}");
        assert!(
            reject.detail.contains("Gold (2 requests in 60 s)"),
            "{}",
            reject.detail
        );
        assert_eq!(headers["ratelimit"], format!("\"Gold\";r=0;t={wait_s}"));
        bench.clock.advance_s(wait_s);
        assert!(call(&bench).0.is_ok());
        assert!(call(&bench).0.is_err());
    }

    #[test]
    fn quota_and_burst_are_charged_both_or_none() {
        let bench = Bench::new();
        bench
            .directory
            .set_plan(plan((4, 3_600_000), Some((2, 1_000))));
        assert!(call(&bench).0.is_ok());
        let (second, headers) = call(&bench);
        assert!(second.is_ok());
        assert_eq!(
            headers["ratelimit-policy"],
            "\"Gold\";q=4;w=3600, \"Gold-burst\";q=2;w=1"
        );
        for _ in 0..5 {
            let (refused, headers) = call(&bench);
            assert!(refused.unwrap_err().detail.contains("burst"));
            assert!(
                headers["ratelimit"]
                    .to_str()
                    .unwrap()
                    .starts_with("\"Gold-burst\";r=0")
            );
        }
        bench.clock.advance_s(2);
        assert!(call(&bench).0.is_ok(), "refused calls have cost quota");
        assert!(call(&bench).0.is_ok());
        bench.clock.advance_s(2);
        assert!(call(&bench).0.unwrap_err().detail.contains("quota"));
    }

    #[test]
    fn an_unlimited_plan_says_nothing() {
        let bench = Bench::new();
        bench.directory.set_plan(Some(Plan {
            quota: None,
            burst: None,
            ..gold()
        }));
        let (result, headers) = call(&bench);
        assert!(result.is_ok());
        assert!(headers.is_empty());
    }

    /// req: S12
    #[test]
    fn subscriptions_that_there_is_no_room_for_share_one_quota() {
        let bench = Bench::new();
        for _ in 0..100 {
            let mut cx = bench.request_of("GET", "/x", None);
            cx.subscription = Some(Rc::new(policy::SubscriptionView {
                id: base::SubscriptionId::generate(),
                plan: Some(Arc::new(gold())),
            }));
            bench
                .run(&*compile("planQuota", json!({})), &mut cx)
                .unwrap();
            bench.run(&*admission::policy(), &mut cx).unwrap();
        }
        bench.directory.set_plan(plan((2, 60_000), None));
        assert!(call(&bench).0.is_ok());
        assert!(call(&bench).0.is_ok());
        assert!(call(&bench).0.is_err());
        assert_eq!(bench.core.runtime.limits.counters().numbers().overflowed, 3);
    }

    /// req: TM1
    #[test]
    fn an_applications_limit_holds_beside_its_plans() {
        let bench = Bench::new();
        bench
            .directory
            .set_application_limits(plan((2, 60_000), None).map(|limits| Plan {
                name: "shop".to_owned(),
                ..limits
            }));
        assert!(call(&bench).0.is_ok());
        let (_, headers) = call(&bench);
        assert_eq!(
            headers["ratelimit-policy"],
            "\"Gold\";q=5000;w=60, \"shop-application\";q=2;w=60"
        );
        let (refused, headers) = call(&bench);
        let reject = refused.unwrap_err();
        assert_eq!(reject.code.name, "QUOTA_EXCEEDED");
        assert!(
            reject.detail.contains("application shop"),
            "{}",
            reject.detail
        );
        let told = headers["ratelimit"].to_str().unwrap();
        assert!(told.starts_with("\"shop-application\";r=0"), "{told}");
    }

    #[test]
    fn without_a_subscription_it_fails_closed() {
        let bench = Bench::new();
        let mut cx = bench.request_of("GET", "/x", None);
        let reject = bench
            .run(&*compile("planQuota", json!({})), &mut cx)
            .unwrap_err();
        assert_eq!(reject.code.name, "INTERNAL");
    }
}
