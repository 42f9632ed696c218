//! Behind all policies of the phase `limit`: asks all the limits that they left, at once.

use base::code::{LIMITS_UNAVAILABLE, QUOTA_EXCEEDED, RATE_LIMITED};
use http::header::{HeaderName, HeaderValue};
use limits::{Decision, Limit};
use policy::limit::numbers;
use policy::{
    Ask, AskedBy, Asks, Meter, Outcome, PlanWindow, Policy, Reject, RequestCx, ResponseCx,
};
use smallvec::SmallVec;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Texts that one core remembers, one for each set of limits; beyond it they are made anew. They are looked through one by one: more
/// would cost more than making them.
const TEXTS_MAX: usize = 64;

/// The step's name in traces.
pub const NAME: &str = "limits";

/// Counts a call against every limit that was left in [`Asks`]: all or none.
///
/// # Errors
/// `QUOTA_EXCEEDED` or `RATE_LIMITED` (429) with `Retry-After`; `LIMITS_UNAVAILABLE` (503) where the authority over the limits fails and
/// calls are to be refused then.
///
/// Source: draft-ietf-httpapi-ratelimit-headers-10 for `RateLimit` and `RateLimit-Policy`.
struct Admission;

/// The step.
#[must_use]
pub fn policy() -> Box<dyn Policy> {
    Box::new(Admission)
}

impl Policy for Admission {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        let Some(asks) = cx.slots.get_mut::<Asks>() else {
            return Outcome::CONTINUE;
        };
        if asks.list.is_empty() {
            return Outcome::CONTINUE;
        }
        let limits = &cx.core.runtime.limits;
        let Ok(decided) = limits.admit_all(&asks.list, cx.monotonic_ms) else {
            let detail = "what may be admitted cannot be said at the moment";
            return Reject::new(LIMITS_UNAVAILABLE, detail)
                .retry_after(1)
                .because("limits-authority")
                .into();
        };
        asks.decided = Some(decided);
        match decided {
            (_, Decision::Admitted { .. }) => {
                if let Some(meter) = Meter::of(limits, &asks.list) {
                    cx.slots.put(meter);
                }
                Outcome::CONTINUE
            }
            (index, Decision::Refused { retry_after_ms }) => {
                refusal(&asks.list[index], retry_after_ms).into()
            }
        }
    }

    fn on_response(&self, cx: &mut ResponseCx<'_>) {
        let asks = cx.request.slots.get::<Asks>();
        let Some((asks, (index, left, wait_ms))) = asks.and_then(|asks| Some((asks, asks.told()?)))
        else {
            return;
        };
        let memory = cx.request.core.memory::<Memory>();
        let mut memory = memory.borrow_mut();
        let texts = memory.of(&asks.list);
        let mut digits = [itoa::Buffer::new(), itoa::Buffer::new()];
        let [remaining, wait_s] = &mut digits;
        let state = [
            texts.names[index].as_str(),
            ";r=",
            remaining.format(left),
            ";t=",
            wait_s.format(seconds(wait_ms)),
        ];
        cx.headers.insert(RATE_LIMIT, visible(state.concat()));
        cx.headers.insert(RATE_LIMIT_POLICY, texts.policy.clone());
    }
}

fn refusal(ask: &Ask, retry_after_ms: u64) -> Reject {
    let (requests, window_ms) = numbers(ask.claim.limit);
    let (code, what, rule) = match &ask.by {
        AskedBy::Plan(_, PlanWindow::Quota) => (QUOTA_EXCEEDED, "quota of plan", "plan-quota"),
        AskedBy::Plan(_, PlanWindow::Burst) => {
            (QUOTA_EXCEEDED, "burst limit of plan", "plan-burst")
        }
        AskedBy::Application(_, PlanWindow::Quota) => {
            (QUOTA_EXCEEDED, "quota of application", "application-quota")
        }
        AskedBy::Application(_, PlanWindow::Burst) => (
            QUOTA_EXCEEDED,
            "burst limit of application",
            "application-burst",
        ),
        AskedBy::Policy(_) => (RATE_LIMITED, "limit", "rate-limit"),
    };
    let name = ask.by.name();
    let things = ask.measure.things();
    let detail = match seconds(window_ms) {
        0 => format!("the {what} {name} ({requests} {things}) is used up"),
        window_s => {
            format!("the {what} {name} ({requests} {things} in {window_s} s) is used up")
        }
    };
    Reject::new(code, detail)
        .retry_after(seconds(retry_after_ms).max(1))
        .because(rule)
}

/// Whole seconds, rounded up: who waits so long has waited enough.
fn seconds(ms: u64) -> u64 {
    ms.div_ceil(1000)
}

/// The limit's name as a structured-field string (RFC 8941 §3.3.3), which is printable ASCII.
fn quoted(by: &AskedBy) -> String {
    let mut text = String::from("\"");
    for found in by.name().chars() {
        match found {
            '"' | '\\' => text.extend(['\\', found]),
            ' '..='~' => text.push(found),
            _ => text.push('?'),
        }
    }
    text.push_str(match by {
        AskedBy::Plan(_, PlanWindow::Burst) => "-burst\"",
        AskedBy::Application(_, PlanWindow::Quota) => "-application\"",
        AskedBy::Application(_, PlanWindow::Burst) => "-application-burst\"",
        _ => "\"",
    });
    text
}

fn visible(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("names are reduced to printable ASCII")
}

/// What is said of the same limits at every call.
struct Texts {
    by: SmallVec<[AskedBy; 2]>,
    /// Their names.
    names: SmallVec<[String; 2]>,
    /// `RateLimit-Policy`
    policy: HeaderValue,
}

/// Texts of the limits that this core has seen.
#[derive(Default)]
struct Memory(Vec<Texts>);

impl Memory {
    fn of(&mut self, asks: &[Ask]) -> &Texts {
        let is_same = |texts: &Texts| {
            texts.by.len() == asks.len()
                && std::iter::zip(&texts.by, asks).all(|(by, ask)| by.is(&ask.by))
        };
        let at = self.0.iter().position(is_same).unwrap_or_else(|| {
            if self.0.len() >= TEXTS_MAX {
                self.0.clear();
            }
            self.0.push(Texts::of(asks));
            self.0.len() - 1
        });
        &self.0[at]
    }
}

impl Texts {
    fn of(asks: &[Ask]) -> Self {
        let names: SmallVec<[String; 2]> = asks.iter().map(|ask| quoted(&ask.by)).collect();
        let mut policy = String::new();
        for (ask, name) in std::iter::zip(asks, &names) {
            if !policy.is_empty() {
                policy.push_str(", ");
            }
            let (requests, window_ms) = numbers(ask.claim.limit);
            policy.push_str(&format!("{name};q={requests}"));
            if let Some(unit) = ask.measure.unit() {
                policy.push_str(&format!(";qu=\"{unit}\""));
            }
            if window_ms > 0 {
                policy.push_str(&format!(";w={}", seconds(window_ms)));
            }
            if let Limit::Rate(rate) = ask.claim.limit {
                policy.push_str(&format!(";burst={}", rate.burst));
            }
        }
        Self {
            by: asks.iter().map(|ask| ask.by.clone()).collect(),
            policy: visible(policy),
            names,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use policy::Plan;

    use super::*;

    #[test]
    fn odd_names_make_valid_fields() {
        let plan = Arc::new(Plan {
            name: "G\"o\\l\u{f6}".to_owned(),
            ..crate::testing::gold()
        });
        let quota = AskedBy::Plan(Arc::clone(&plan), PlanWindow::Quota);
        assert_eq!(quoted(&quota), "\"G\\\"o\\\\l?\"");
        let burst = AskedBy::Plan(plan, PlanWindow::Burst);
        assert_eq!(quoted(&burst), "\"G\\\"o\\\\l?-burst\"");
    }
}
