//! Why a call was refused or failed, for the operator who asks by its trace id.
//!
//! Made when the refusal happens, of what is there anyway: a call that passes pays nothing. Each worker has a bounded
//! queue that is taken every second; what does not fit is not even made, so that a flood of refusals costs no more than
//! the refusals.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use policy::{AskedBy, Asks, Chain, Passed, PlanWindow, Reject, RequestCx, chain};
use snapshot::{Api, BackendKey, Gate, Operation};
use sync::decision::{
    Answer, AskedFor, Caller, Decision, Fact, MatchedApi, MatchedOperation, Quota, Step,
    StepOutcome, Upstream,
};
use sync::{ControlPlane, Node};
use tokio::sync::mpsc;

use crate::access_log;
use crate::record::micros;
use crate::spans::Try;
use crate::trace;
use crate::worker::Worker;

/// How often decisions are told to the control plane.
const EVERY: Duration = Duration::from_secs(1);
/// The longest text of a decision, in bytes; what is longer is cut.
const TEXT_MAX: usize = 1024;
/// Facts of a decision, and scopes of a caller.
const ITEMS_MAX: usize = 32;

/// Header fields whose values may be told: they carry no credential.
const HEADERS: [&str; 6] = [
    "user-agent",
    "accept",
    "content-type",
    "content-length",
    "origin",
    "x-request-id",
];

/// Where a worker puts its decisions; `None` where none are made.
pub(crate) type Sender = Option<mpsc::Sender<Decision>>;

/// The decisions of all workers.
#[derive(Debug)]
pub struct Decisions(Vec<mpsc::Receiver<Decision>>);

/// A queue of `max` decisions for each worker.
pub(crate) fn queues(workers: usize, max: usize) -> (Vec<Sender>, Decisions) {
    if max == 0 {
        return (vec![None; workers], Decisions(Vec::new()));
    }
    let (senders, receivers) = (0..workers)
        .map(|_| {
            let (sender, receiver) = mpsc::channel(max);
            (Some(sender), receiver)
        })
        .unzip();
    (senders, Decisions(receivers))
}

impl Decisions {
    /// Takes what is there.
    pub fn take(&mut self) -> Vec<Decision> {
        let mut taken = Vec::new();
        for receiver in &mut self.0 {
            while let Ok(decision) = receiver.try_recv() {
                taken.push(decision);
            }
        }
        taken
    }

    /// Tells the control plane every second, until it is dropped. What it does not take is lost.
    pub async fn forward(mut self, plane: Arc<dyn ControlPlane>, node: Node) {
        loop {
            tokio::time::sleep(EVERY).await;
            let taken = self.take();
            if taken.is_empty() {
                continue;
            }
            let count = taken.len();
            if let Err(error) = plane.decided(&node, taken).await {
                tracing::warn!(%error, count, "decisions on refused calls were lost");
            }
        }
    }
}

/// What a request was matched to.
#[derive(Clone, Copy, Default)]
pub(crate) struct Matched<'s> {
    pub(crate) api: Option<&'s Api>,
    pub(crate) operation: Option<&'s Operation>,
    /// Where the call was to go.
    pub(crate) backend: Option<&'s BackendKey>,
    chain: Option<Ran<'s>>,
    /// Why there is no operation.
    pub(crate) missing: &'static str,
}

/// The policies that were run.
#[derive(Clone, Copy)]
struct Ran<'s> {
    chain: &'s Chain,
    passed: Passed,
    /// The last one that was entered ended the chain.
    stopped: bool,
}

impl<'s> Matched<'s> {
    /// No API.
    pub(crate) fn nothing(missing: &'static str) -> Self {
        Self {
            missing,
            ..Self::default()
        }
    }

    /// An API, and no operation of it.
    pub(crate) fn api(api: &'s Api, missing: &'static str) -> Self {
        Self {
            api: Some(api),
            missing,
            ..Self::default()
        }
    }

    /// An operation of an API.
    pub(crate) fn operation(api: &'s Api, operation: &'s Operation) -> Self {
        Self {
            api: Some(api),
            operation: Some(operation),
            ..Self::default()
        }
    }

    /// Notes how far the policies came.
    pub(crate) fn ran(&mut self, chain: &'s Chain, passed: Passed, stopped: bool) {
        self.chain = Some(Ran {
            chain,
            passed,
            stopped,
        });
    }

    /// How far the policies came.
    pub(crate) fn passed(&self) -> Option<Passed> {
        self.chain.map(|ran| ran.passed)
    }

    /// How the API is called in metrics and logs.
    pub(crate) fn api_label(&self) -> &'s str {
        self.api.map_or("", |api| &api.name)
    }

    /// How the operation is called in metrics and logs.
    pub(crate) fn operation_label(&self) -> &'s str {
        self.operation.map_or("", |operation| &operation.label)
    }
}

/// Keeps the decision on a refused call, where there is room for it.
pub(crate) fn note(worker: &Worker, refused: &Refused<'_>) {
    let Some(sender) = &worker.shared.decisions[worker.index] else {
        return;
    };
    match sender.try_reserve() {
        Ok(place) => {
            worker.numbers().decisions.add(1);
            place.send(refused.decision());
        }
        Err(_) => worker.numbers().decisions_dropped.add(1),
    }
}

/// A refused call, when it is decided.
pub(crate) struct Refused<'a> {
    pub(crate) cx: &'a RequestCx,
    pub(crate) host: &'a HeaderValue,
    pub(crate) begun: Instant,
    pub(crate) matched: Matched<'a>,
    pub(crate) reject: &'a Reject,
    /// The status that the answer has in the end.
    pub(crate) status: u16,
    pub(crate) tries: &'a [Try],
}

impl Refused<'_> {
    /// Writes the decision down.
    pub(crate) fn decision(&self) -> Decision {
        let cx = self.cx;
        Decision {
            trace_id: trace::id_text(&cx.trace),
            at_unix_ms: cx.unix_ms,
            took_us: micros(self.begun.elapsed()),
            request: self.asked(),
            matched: self.matched(),
            policies: self.steps(),
            caller: self.caller(),
            quota: cx.slots.get::<Asks>().and_then(quota),
            backend: self.matched.backend.map(|backend| Upstream {
                name: backend.name.to_string(),
                tries: self.tries.iter().map(|tried| self.tried(tried)).collect(),
            }),
            answer: self.answer(),
        }
    }

    fn asked(&self) -> AskedFor {
        let cx = self.cx;
        let known = |name: &&str| {
            let value = cx.headers.get(*name)?.to_str().ok()?;
            Some(((*name).to_owned(), cut(value)))
        };
        AskedFor {
            method: cut(cx.method.as_str()),
            host: cut(self.host.to_str().unwrap_or_default()),
            path: cut(&cx.path),
            query: cx
                .query
                .as_deref()
                .map(|query| cut(&access_log::mask(query))),
            client_ip: cx.client.ip.to_string(),
            headers: HEADERS.iter().filter_map(known).collect(),
        }
    }

    fn matched(&self) -> sync::decision::Matched {
        sync::decision::Matched {
            api: self.matched.api.map(|api| MatchedApi {
                org: api.org.clone(),
                name: api.name.clone(),
                version: api.version.clone(),
                gate: gate(api.gate).to_owned(),
            }),
            operation: self.matched.operation.map(|operation| MatchedOperation {
                name: operation.label.to_string(),
                template: operation.template.to_string(),
            }),
            missing: self.matched.missing.to_owned(),
        }
    }

    /// The last policy that was entered is the one that refused, unless the call went on to the backend.
    fn steps(&self) -> Vec<Step> {
        let Some(ran) = self.matched.chain else {
            return Vec::new();
        };
        let entered = ran.passed.entered();
        let by_chain = self.reject.reason.as_ref();
        let by_chain = by_chain.is_some_and(|reason| reason.rule == chain::NO_PRINCIPAL);
        let refusing = (ran.stopped && !by_chain).then(|| entered.saturating_sub(1));
        ran.chain
            .names()
            .enumerate()
            .map(|(index, name)| Step {
                policy: name.to_owned(),
                outcome: if Some(index) == refusing {
                    StepOutcome::Rejected
                } else if index < entered {
                    StepOutcome::Passed
                } else {
                    StepOutcome::NotReached
                },
            })
            .collect()
    }

    fn caller(&self) -> Option<Caller> {
        let principal = self.cx.principal.as_ref()?;
        let subscription = self.cx.subscription.as_ref();
        let scopes = principal.identity.scopes.as_ref();
        Some(Caller {
            application: principal.application,
            credential: principal.credential,
            scopes: scopes.map(|held| {
                held.iter()
                    .take(ITEMS_MAX)
                    .map(|scope| cut(scope))
                    .collect()
            }),
            subscription: subscription.map(|found| found.id),
            plan: subscription
                .and_then(|found| found.plan.as_ref())
                .map(|plan| plan.name.clone()),
        })
    }

    fn tried(&self, tried: &Try) -> sync::decision::Try {
        let since = |at: Instant| micros(at.saturating_duration_since(self.begun));
        sync::decision::Try {
            endpoint: tried.endpoint.to_string(),
            connection: tried.via.label().to_owned(),
            begun_us: since(tried.begun),
            took_us: micros(tried.ended.saturating_duration_since(tried.begun)),
            status: tried.status,
            error: tried.error.as_deref().map(cut),
        }
    }

    fn answer(&self) -> Answer {
        let reason = self.reject.reason.as_deref();
        Answer {
            status: self.status,
            code: self.reject.code.name.to_owned(),
            detail: cut(&self.reject.detail),
            rule: reason.map_or_else(String::new, |reason| reason.rule.to_owned()),
            facts: reason.map_or_else(Vec::new, |reason| {
                let facts = reason.facts.iter().take(ITEMS_MAX);
                facts
                    .map(|fact| Fact {
                        name: fact.name.to_owned(),
                        found: cut(&fact.found),
                        expected: cut(&fact.expected),
                    })
                    .collect()
            }),
        }
    }
}

fn gate(gate: Gate) -> &'static str {
    match gate {
        Gate::Serve => "serve",
        Gate::NotPublished => "not-published",
        Gate::Blocked => "blocked",
        Gate::Retired => "retired",
        Gate::Broken => "broken",
    }
}

fn quota(asks: &Asks) -> Option<Quota> {
    let (index, left, wait_ms) = asks.told()?;
    let ask = &asks.list[index];
    let (limit, window_ms) = policy::limit::numbers(ask.claim.limit);
    let window = match ask.by {
        AskedBy::Plan(_, PlanWindow::Quota) => "quota",
        AskedBy::Plan(_, PlanWindow::Burst) => "burst",
        AskedBy::Application(_, PlanWindow::Quota) => "application-quota",
        AskedBy::Application(_, PlanWindow::Burst) => "application-burst",
        AskedBy::Policy(_) => "policy",
    };
    Some(Quota {
        name: ask.by.name().to_owned(),
        window: window.to_owned(),
        limit,
        used: limit.saturating_sub(left),
        window_ms,
        reset_ms: wait_ms,
    })
}

/// At most [`TEXT_MAX`] bytes of a text, cut between characters.
fn cut(text: &str) -> String {
    if text.len() <= TEXT_MAX {
        return text.to_owned();
    }
    let mut end = TEXT_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}
