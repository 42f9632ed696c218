//! A compiled list of policies, and the proof that they were run.

use http::{HeaderMap, StatusCode};

use crate::context::{RequestCx, ResponseCx};
use crate::kind::Phase;
use crate::reject::{Reject, Response};
use crate::{Outcome, Policy, Verdict};

/// Whether a caller must be known before the backend is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Anybody may call.
    Open,
    /// A policy must have set [`RequestCx::principal`].
    Authenticated,
}

/// The policies of one operation, in the order in which they run.
pub struct Chain {
    policies: Box<[Box<dyn Policy>]>,
    access: Access,
}

/// Permission to call the backend. Only [`Chain::run`] makes one, so code that reaches an upstream cannot forget to
/// ask.
#[derive(Debug)]
pub struct Permit(());

/// How many policies were entered: those get to see the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Passed(usize);

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
    pub fn new(mut policies: Vec<(Phase, Box<dyn Policy>)>, access: Access) -> Self {
        policies.sort_by_key(|(phase, _)| *phase);
        Self {
            policies: policies.into_iter().map(|(_, policy)| policy).collect(),
            access,
        }
    }

    /// Whether callers must be known.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
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
            let verdict = match policy.on_request(cx) {
                Outcome::Now(verdict) => verdict,
                Outcome::Later(future) => future.await,
            };
            let stop = match verdict {
                Verdict::Continue => continue,
                Verdict::Respond(response) => Stop::Respond(response),
                Verdict::Reject(reject) => Stop::Reject(reject),
            };
            return (Passed(index + 1), Err(stop));
        }
        let passed = Passed(self.policies.len());
        if self.access == Access::Authenticated && cx.principal.is_none() {
            let reject = Reject::new(
                base::code::INTERNAL,
                "no policy has authenticated the caller",
            );
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
