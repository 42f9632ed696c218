//! Several ways to authenticate, all of which are needed.

use std::rc::Rc;

use base::code::{CREDENTIALS_CONFLICT, CREDENTIALS_INCOMPLETE, CREDENTIALS_MISSING};
use policy::{Outcome, Policy, Principal, Reject, RequestCx, ResponseCx, Verdict};

use crate::any_of::Refusals;

/// Asks authenticators in order; each of them has to succeed by itself.
///
/// The caller is the first one that is an application, else the first one: scopes, roles and claims are those of that
/// credential alone. Each credential is taken out of the request, also when another one is missing, and when a caller is
/// known already by another alternative.
///
/// # Errors
/// The refusal of the first one that found a bad credential; `CREDENTIALS_INCOMPLETE` (401) when some are good and another
/// one is missing; `CREDENTIALS_MISSING` (401) when none was shown; with the challenges of all that refused.
/// `CREDENTIALS_CONFLICT` (401) when two belong to different applications or environments.
struct Running {
    needed: Box<[Box<dyn Policy>]>,
}

/// The combination of `needed`. An empty list lets nobody pass.
#[must_use]
pub fn policy(needed: Vec<Box<dyn Policy>>) -> Box<dyn Policy> {
    Box::new(Running {
        needed: needed.into(),
    })
}

/// What the authenticators said so far.
#[derive(Default)]
struct Progress {
    /// Somebody was known before, by another alternative.
    known: bool,
    caller: Option<Rc<Principal>>,
    refusals: Refusals,
    conflict: bool,
}

impl Policy for Running {
    /// Always later: whoever is asked twice because one of these has to wait ([`crate::any_of`]) finds the request as it
    /// was, with the credentials of the others still in it.
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        Outcome::Later(Box::pin(async move {
            let mut progress = Progress {
                known: cx.principal.is_some(),
                ..Progress::default()
            };
            for needed in &self.needed {
                let verdict = match needed.on_request(cx) {
                    Outcome::Now(verdict) => verdict,
                    Outcome::Later(future) => future.await,
                };
                if let Some(answer) = progress.add(cx, verdict) {
                    return answer;
                }
            }
            progress.verdict(cx, self.needed.is_empty())
        }))
    }

    fn on_response(&self, cx: &mut ResponseCx<'_>) {
        for needed in self.needed.iter().rev() {
            needed.on_response(cx);
        }
    }
}

impl Progress {
    /// Notes what one said and makes the request ready for the next one, which has to look for itself. An answer that is
    /// no refusal ends the matter.
    fn add(&mut self, cx: &mut RequestCx, verdict: Verdict) -> Option<Verdict> {
        match verdict {
            Verdict::Continue => {}
            Verdict::Reject(reject) => self.refusals.add(*reject),
            answer @ Verdict::Respond(_) => return Some(answer),
        }
        if self.known {
            return None;
        }
        let found = cx.principal.take()?;
        let Some(caller) = &mut self.caller else {
            self.caller = Some(found);
            return None;
        };
        if let (Some(first), Some(second)) = (caller.application, found.application) {
            self.conflict |= first != second || caller.environment != found.environment;
        } else if found.application.is_some() {
            *caller = found;
        }
        None
    }

    fn verdict(self, cx: &mut RequestCx, empty: bool) -> Verdict {
        if self.known {
            return Verdict::Continue;
        }
        if empty {
            let detail = "no policy has authenticated the caller";
            return refuse(Reject::new(base::code::INTERNAL, detail));
        }
        if let Some(mut reject) = self.refusals.chosen {
            if reject.code == CREDENTIALS_MISSING && self.caller.is_some() {
                reject.code = CREDENTIALS_INCOMPLETE;
                reject.detail =
                    "the request carries a good credential, and another one is needed beside it"
                        .into();
            }
            return refuse(reject);
        }
        if self.conflict {
            let detail = "the credentials belong to different applications or environments";
            return refuse(Reject::new(CREDENTIALS_CONFLICT, detail).because("one-application"));
        }
        cx.principal = self.caller;
        Verdict::Continue
    }
}

fn refuse(reject: Reject) -> Verdict {
    Verdict::Reject(Box::new(reject))
}

#[cfg(test)]
mod tests;
