//! `planQuota`: the quota of the plan under which the caller's application is subscribed.

use std::fmt::Write;
use std::sync::Arc;

use base::Diagnostic;
use base::code::{INTERNAL, QUOTA_EXCEEDED};
use http::header::{HeaderName, HeaderValue};
use limits::{Decision, Quota};
use policy::{
    CompileEnv, Outcome, Phase, Plan, Policy, PolicyKind, QuotaKey, QuotaState, QuotaWindow,
    Reject, RequestCx, ResponseCx, Window,
};
use schemars::JsonSchema;
use serde::Deserialize;
use smallvec::SmallVec;

/// The kind.
pub struct PlanQuota;

/// Nothing can be configured: the plan says all.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Texts of `RateLimit-Policy` that one core remembers; beyond it they are made anew.
const POLICY_TEXTS_MAX: usize = 64;

/// Counts a call against the quota and the burst window of its plan: both or none. Calls that are refused before this
/// policy (unknown caller, no subscription, no operation) are not counted.
///
/// The counter belongs to the subscription and outlives a change of the plan's number of requests.
///
/// # Errors
/// `QUOTA_EXCEEDED` (429) with `Retry-After`; also when the node can keep no further counter, since a call that cannot
/// be counted must not pass.
///
/// Source: draft-ietf-httpapi-ratelimit-headers-10 for `RateLimit` and `RateLimit-Policy`.
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
            return Reject::new(INTERNAL, "no policy has found the subscription").into();
        };
        let Some(plan) = subscription.plan.clone() else {
            return Reject::new(INTERNAL, "the subscription has no plan").into();
        };
        let windows: SmallVec<[(QuotaKey, Quota); 2]> = windows(&plan)
            .map(|(window, quota)| {
                let key = QuotaKey {
                    subscription: subscription.id,
                    window,
                };
                (
                    key,
                    Quota {
                        limit: quota.requests,
                        window_ms: quota.window_ms,
                    },
                )
            })
            .collect();
        let quotas = &cx.core.runtime.quotas;
        let admitted = match windows.as_slice() {
            [] => return Outcome::CONTINUE,
            [(key, quota)] => quotas
                .admit(*key, *quota, 1, cx.monotonic_ms)
                .map(|decision| (0, decision)),
            both => quotas.admit_all(both, 1, cx.monotonic_ms),
        };
        let (told, refused) = match admitted {
            Ok((index, decision)) => {
                let window = windows[index].0.window;
                match decision {
                    Decision::Admitted {
                        remaining,
                        reset_ms,
                    } => (
                        QuotaState {
                            plan,
                            window,
                            remaining,
                            reset_ms,
                        },
                        None,
                    ),
                    Decision::Refused { retry_after_ms } => {
                        let told = QuotaState {
                            plan,
                            window,
                            remaining: 0,
                            reset_ms: retry_after_ms,
                        };
                        let detail = detail(&told);
                        (told, Some((detail, retry_after_ms)))
                    }
                }
            }
            Err(_) => {
                let detail = "the node keeps as many quota counters as it may".to_owned();
                return Reject::new(QUOTA_EXCEEDED, detail)
                    .retry_after(1)
                    .because("counters-full")
                    .into();
            }
        };
        let rule = match told.window {
            QuotaWindow::Quota => "plan-quota",
            QuotaWindow::Burst => "plan-burst",
        };
        cx.slots.put(told);
        match refused {
            None => Outcome::CONTINUE,
            Some((detail, retry_after_ms)) => Reject::new(QUOTA_EXCEEDED, detail)
                .retry_after(seconds(retry_after_ms).max(1))
                .because(rule)
                .into(),
        }
    }

    fn on_response(&self, cx: &mut ResponseCx<'_>) {
        let Some(told) = cx.request.slots.get::<QuotaState>() else {
            return;
        };
        let memory = cx.request.core.memory::<Texts>();
        let mut memory = memory.borrow_mut();
        let texts = memory.of(&told.plan);
        let name = match told.window {
            QuotaWindow::Quota => &texts.quota,
            QuotaWindow::Burst => &texts.burst,
        };
        let mut digits = [itoa::Buffer::new(), itoa::Buffer::new()];
        let [remaining, reset_s] = &mut digits;
        let state = [
            name.as_str(),
            ";r=",
            remaining.format(told.remaining),
            ";t=",
            reset_s.format(seconds(told.reset_ms)),
        ];
        cx.headers.insert(RATE_LIMIT, visible(&state.concat()));
        cx.headers.insert(RATE_LIMIT_POLICY, texts.policy.clone());
    }
}

fn windows(plan: &Plan) -> impl Iterator<Item = (QuotaWindow, Window)> {
    let quota = plan.quota.map(|window| (QuotaWindow::Quota, window));
    let burst = plan.burst.map(|window| (QuotaWindow::Burst, window));
    quota.into_iter().chain(burst)
}

fn detail(told: &QuotaState) -> String {
    let what = match told.window {
        QuotaWindow::Quota => "quota",
        QuotaWindow::Burst => "burst limit",
    };
    let Window {
        requests,
        window_ms,
    } = told.limit().unwrap_or(Window {
        requests: 0,
        window_ms: 0,
    });
    format!(
        "the {what} of plan {} ({requests} requests in {} s) is used up",
        told.plan.name,
        seconds(window_ms)
    )
}

/// Whole seconds, rounded up: who waits so long has waited enough.
fn seconds(ms: u64) -> u64 {
    ms.div_ceil(1000)
}

/// The policy's name as a structured-field string (RFC 8941 §3.3.3), which is printable ASCII.
fn push_name(text: &mut String, plan: &str, window: QuotaWindow) {
    text.push('"');
    for found in plan.chars() {
        match found {
            '"' | '\\' => text.extend(['\\', found]),
            ' '..='~' => text.push(found),
            _ => text.push('?'),
        }
    }
    text.push_str(match window {
        QuotaWindow::Quota => "\"",
        QuotaWindow::Burst => "-burst\"",
    });
}

fn visible(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("names are reduced to printable ASCII")
}

/// What is said of a plan at every call.
struct PlanTexts {
    plan: Arc<Plan>,
    /// `RateLimit-Policy`
    policy: HeaderValue,
    /// The names of its windows.
    quota: String,
    burst: String,
}

/// Texts of the plans that this core has seen.
#[derive(Default)]
struct Texts(Vec<PlanTexts>);

impl Texts {
    fn of(&mut self, plan: &Arc<Plan>) -> &PlanTexts {
        let known = self.0.iter().position(|have| Arc::ptr_eq(&have.plan, plan));
        let at = known.unwrap_or_else(|| {
            if self.0.len() >= POLICY_TEXTS_MAX {
                self.0.clear();
            }
            let name = |window| {
                let mut text = String::new();
                push_name(&mut text, &plan.name, window);
                text
            };
            self.0.push(PlanTexts {
                plan: Arc::clone(plan),
                policy: visible(&policy_text(plan)),
                quota: name(QuotaWindow::Quota),
                burst: name(QuotaWindow::Burst),
            });
            self.0.len() - 1
        });
        &self.0[at]
    }
}

fn policy_text(plan: &Plan) -> String {
    let mut text = String::new();
    for (
        window,
        Window {
            requests,
            window_ms,
        },
    ) in windows(plan)
    {
        if !text.is_empty() {
            text.push_str(", ");
        }
        push_name(&mut text, &plan.name, window);
        write!(text, ";q={requests};w={}", seconds(window_ms))
            .expect("writing to a String does not fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use serde_json::json;

    use super::*;
    use crate::testing::{Bench, ManualTime, compile, gold};

    fn call(bench: &Bench) -> (Result<(), Reject>, HeaderMap) {
        let mut cx = bench.request_of("GET", "/x", None);
        bench
            .run(&*compile("subscription", json!({})), &mut cx)
            .unwrap();
        let policy = compile("planQuota", json!({}));
        let result = bench.run(&*policy, &mut cx);
        let headers = bench.respond(&*policy, &mut cx, 200, HeaderMap::new());
        (result, headers)
    }

    fn plan(quota: (u64, u64), burst: Option<(u64, u64)>) -> Option<Plan> {
        let window = |(requests, window_ms)| Window {
            requests,
            window_ms,
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

    #[test]
    fn a_call_that_cannot_be_counted_does_not_pass() {
        let bench = Bench::new();
        for _ in 0..100 {
            let mut cx = bench.request_of("GET", "/x", None);
            cx.subscription = Some(policy::SubscriptionView {
                id: base::SubscriptionId::generate(),
                plan: Some(Arc::new(gold())),
            });
            bench
                .run(&*compile("planQuota", json!({})), &mut cx)
                .unwrap();
        }
        let (refused, _) = call(&bench);
        assert_eq!(refused.unwrap_err().retry_after_s, Some(1));
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

    #[test]
    fn odd_names_make_valid_fields() {
        let odd = Plan {
            name: "G\"o\\l\u{f6}".to_owned(),
            ..gold()
        };
        assert_eq!(policy_text(&odd), "\"G\\\"o\\\\l?\";q=5000;w=60");
    }
}
