//! A compiled list of policies, and the proof that they were run.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, StatusCode};

use crate::context::{Nobody, RequestCx, ResponseCx};
use crate::kind::Phase;
use crate::reject::{Reject, Response};
use crate::waits::Waits;
use crate::{Outcome, Policy, Verdict};

/// The rule of a refusal that no policy made: the chain ended without knowing the caller.
pub const NO_PRINCIPAL: &str = "principal-missing";

/// Whether a caller must be known before the backend is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Anybody may call.
    Open,
    /// A policy must have set [`RequestCx::principal`].
    Authenticated,
    /// A policy must have set it, or have found that the request carries no credential at all ([`Nobody`]).
    Optional,
}

/// A policy on its way into a chain.
#[derive(Clone)]
pub struct Step {
    name: Cow<'static, str>,
    phase: Phase,
    policy: Arc<dyn Policy>,
}

impl Step {
    /// A policy with its name in documents, and when it runs. Several chains may share one policy.
    pub fn new(name: impl Into<Cow<'static, str>>, phase: Phase, policy: Arc<dyn Policy>) -> Self {
        Self {
            name: name.into(),
            phase,
            policy,
        }
    }

    /// When it runs.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }
}

/// The policies of an operation, in the order in which they run.
pub struct Chain {
    policies: Box<[Arc<dyn Policy>]>,
    /// What they are called, for traces; apart, since a call that passes does not look at it.
    names: Box<[Cow<'static, str>]>,
    access: Access,
    looks_ahead: bool,
}

/// Permission to call the backend. Only [`Chain::run`] makes one, so code that reaches an upstream cannot forget to
/// ask.
#[derive(Debug)]
pub struct Permit(());

/// How many policies were entered: those get to see the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Passed(usize);

impl Passed {
    /// How many of the chain's policies were entered, from the first on.
    #[must_use]
    pub fn entered(self) -> usize {
        self.0
    }
}

/// Why a chain ended before the backend.
#[derive(Debug)]
pub enum Stop {
    /// A policy answered.
    Respond(Box<Response>),
    /// A policy refused.
    Reject(Box<Reject>),
}

impl Chain {
    /// A chain of these policies; they are put in the order of their phases, and keep theirs within a phase.
    #[must_use]
    pub fn new(mut steps: Vec<Step>, access: Access) -> Self {
        steps.sort_by_key(|step| step.phase);
        let (names, policies): (Vec<_>, Vec<Arc<dyn Policy>>) = steps
            .into_iter()
            .map(|step| (step.name, step.policy))
            .unzip();
        let looks_ahead = policies.iter().any(|policy| policy.looks_ahead());
        Self {
            policies: policies.into(),
            names: names.into(),
            access,
            looks_ahead,
        }
    }

    /// What the policies are called, in the order in which they run.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// Whether callers must be known.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    /// Whether one of the policies looks at the beginning of the request's body.
    #[must_use]
    pub fn looks_ahead(&self) -> bool {
        self.looks_ahead
    }

    /// How many policies there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.policies.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// Runs the request side.
    ///
    /// # Errors
    /// [`Stop`] when a policy answers or refuses; also, with `INTERNAL`, when an authenticated chain ends without a
    /// principal: a chain that was put together wrongly fails closed.
    pub async fn run(&self, cx: &mut RequestCx) -> (Passed, Result<Permit, Stop>) {
        for (index, policy) in self.policies.iter().enumerate() {
            let (verdict, waited) = match policy.on_request(cx) {
                Outcome::Now(verdict) => (verdict, None),
                Outcome::Later(future) => {
                    let begun = Instant::now();
                    (future.await, Some(begun))
                }
            };
            if let Some(begun) = waited
                && let Some(waits) = cx.slots.get_mut::<Waits>()
            {
                waits.add(self.names[index].clone(), begun);
            }
            let stop = match verdict {
                Verdict::Continue => continue,
                Verdict::Respond(response) => Stop::Respond(response),
                Verdict::Reject(reject) => Stop::Reject(reject),
            };
            return (Passed(index + 1), Err(stop));
        }
        let passed = Passed(self.policies.len());
        let known = match self.access {
            Access::Open => true,
            Access::Authenticated => cx.principal.is_some(),
            Access::Optional => cx.principal.is_some() || cx.slots.get::<Nobody>().is_some(),
        };
        if !known {
            let detail = "no policy has authenticated the caller";
            let reject = Reject::new(base::code::INTERNAL, detail).because(NO_PRINCIPAL);
            return (passed, Err(Stop::Reject(Box::new(reject))));
        }
        (passed, Ok(Permit(())))
    }

    /// Runs the answer's side of the policies that were entered, the last one first.
    pub fn run_response(
        &self,
        passed: Passed,
        request: &mut RequestCx,
        status: StatusCode,
        headers: &mut HeaderMap,
    ) {
        let mut cx = ResponseCx {
            request,
            status,
            headers,
        };
        for policy in self.policies[..passed.0].iter().rev() {
            policy.on_response(&mut cx);
        }
    }
}

#[cfg(test)]
mod tests;
