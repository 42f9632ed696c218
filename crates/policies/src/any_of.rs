//! Several ways to authenticate, any of which is enough.

use base::code::{CREDENTIALS_MISSING, INTERNAL};
use http::header::WWW_AUTHENTICATE;
use policy::{LocalFuture, Nobody, Outcome, Policy, Reject, RequestCx, ResponseCx, Verdict};

/// Asks authenticators in order until one sets the principal.
///
/// All of them run, also behind the one that succeeded: an authenticator that finds a principal only takes its own
/// credential out of the request, so that no backend sees a token or key that was meant for the gateway.
///
/// Where that is allowed, a request without any credential passes as nobody ([`Nobody`]); one with a bad credential does
/// not.
///
/// # Errors
/// When none succeeds: the refusal of the first one that found a credential, otherwise `CREDENTIALS_MISSING`; with the
/// challenges of all (RFC 9110 §11.6.1 allows several).
struct Running {
    authenticators: Box<[Box<dyn Policy>]>,
    /// Whether nobody may pass.
    nobody: bool,
}

/// The combination of `authenticators`; of a single one it is that one. An empty list lets no caller pass. With `nobody`
/// who shows no credential passes too.
#[must_use]
pub fn policy(mut authenticators: Vec<Box<dyn Policy>>, nobody: bool) -> Box<dyn Policy> {
    if authenticators.len() == 1
        && !nobody
        && let Some(only) = authenticators.pop()
    {
        return only;
    }
    Box::new(Running {
        authenticators: authenticators.into(),
        nobody,
    })
}

impl Policy for Running {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        let mut refusals = Refusals::default();
        for (index, authenticator) in self.authenticators.iter().enumerate() {
            let at_once = match authenticator.on_request(cx) {
                Outcome::Now(verdict) => Some(verdict),
                Outcome::Later(_) => None,
            };
            match at_once {
                Some(Verdict::Continue) => {}
                Some(Verdict::Reject(reject)) => refusals.add(*reject),
                Some(answer @ Verdict::Respond(_)) => return Outcome::Now(answer),
                // Its future borrowed the request and is gone: it is asked anew where waiting is possible.
                None => return Outcome::Later(self.slowly(cx, index, refusals)),
            }
        }
        Outcome::Now(refusals.verdict(cx, self.nobody))
    }

    fn on_response(&self, cx: &mut ResponseCx<'_>) {
        for authenticator in self.authenticators.iter().rev() {
            authenticator.on_response(cx);
        }
    }
}

impl Running {
    /// Goes on from the authenticator at `from`, which has to wait. It is asked twice, which is why an authenticator
    /// that waits leaves the request as it is until its future runs.
    fn slowly<'a>(
        &'a self,
        cx: &'a mut RequestCx,
        from: usize,
        mut refusals: Refusals,
    ) -> LocalFuture<'a, Verdict> {
        Box::pin(async move {
            for authenticator in &self.authenticators[from..] {
                let verdict = match authenticator.on_request(cx) {
                    Outcome::Now(verdict) => verdict,
                    Outcome::Later(future) => future.await,
                };
                match verdict {
                    Verdict::Continue => {}
                    Verdict::Reject(reject) => refusals.add(*reject),
                    answer @ Verdict::Respond(_) => return answer,
                }
            }
            refusals.verdict(cx, self.nobody)
        })
    }
}

/// What the authenticators said, reduced to the answer.
#[derive(Default)]
pub(crate) struct Refusals {
    pub(crate) chosen: Option<Reject>,
}

impl Refusals {
    pub(crate) fn add(&mut self, mut reject: Reject) {
        let Some(chosen) = &mut self.chosen else {
            self.chosen = Some(reject);
            return;
        };
        if chosen.code == CREDENTIALS_MISSING && reject.code != CREDENTIALS_MISSING {
            std::mem::swap(chosen, &mut reject);
        }
        let challenges = reject
            .headers
            .into_iter()
            .filter(|(name, _)| name == WWW_AUTHENTICATE);
        chosen.headers.extend(challenges);
    }

    fn verdict(self, cx: &mut RequestCx, nobody: bool) -> Verdict {
        if cx.principal.is_some() {
            return Verdict::Continue;
        }
        let mut refused = self.chosen.iter();
        if nobody && refused.all(|reject| reject.code == CREDENTIALS_MISSING) {
            cx.slots.put(Nobody);
            return Verdict::Continue;
        }
        let reject = self
            .chosen
            .unwrap_or_else(|| Reject::new(INTERNAL, "no policy has authenticated the caller"));
        Verdict::Reject(Box::new(reject))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::*;
    use crate::testing::{API_KEY, Bench, compile};

    fn any_of(authenticators: Vec<Box<dyn Policy>>) -> Box<dyn Policy> {
        policy(authenticators, false)
    }

    fn jwt_or_key() -> Box<dyn Policy> {
        any_of(vec![
            compile("jwt", json!({})),
            compile("apiKey", json!({})),
        ])
    }

    fn challenges(reject: &Reject) -> Vec<&str> {
        reject
            .headers
            .iter()
            .map(|(name, value)| {
                assert_eq!(name, WWW_AUTHENTICATE);
                value.to_str().unwrap()
            })
            .collect()
    }

    #[test]
    fn either_is_enough_and_neither_goes_upstream() {
        let bench = Bench::new();
        for (token, key) in [(true, false), (false, true), (true, true)] {
            let mut cx = bench.request("GET", "/x");
            if token {
                cx.headers
                    .insert("authorization", bench.bearer(&bench.claims()));
            }
            if key {
                cx.headers
                    .insert("x-api-key", HeaderValue::from_static(API_KEY));
            }
            bench.run(&*jwt_or_key(), &mut cx).unwrap();
            assert_eq!(
                cx.principal.as_ref().unwrap().identity.scopes.is_some(),
                token
            );
            assert!(cx.headers.is_empty(), "{:?}", cx.headers);
        }
    }

    #[test]
    fn a_bad_token_beside_a_good_key_passes_and_is_not_forwarded() {
        let bench = Bench::new();
        let mut cx = bench.request("GET", "/x");
        cx.headers
            .insert("authorization", HeaderValue::from_static("Bearer x.y.z"));
        cx.headers
            .insert("x-api-key", HeaderValue::from_static(API_KEY));
        bench.run(&*jwt_or_key(), &mut cx).unwrap();
        assert!(cx.headers.is_empty());
    }

    #[test]
    fn without_credentials_all_challenges_are_shown() {
        let bench = Bench::new();
        let mut cx = bench.request("GET", "/x");
        let reject = bench.run(&*jwt_or_key(), &mut cx).unwrap_err();
        assert_eq!(reject.code, CREDENTIALS_MISSING);
        assert_eq!(
            challenges(&reject),
            ["Bearer realm=\"pets-1.0.0\"", "ApiKey realm=\"pets-1.0.0\""]
        );
    }

    #[test]
    fn the_refusal_of_a_credential_that_was_there_is_told() {
        let bench = Bench::new();
        let mut cx = bench.request("GET", "/x");
        cx.headers
            .insert("x-api-key", HeaderValue::from_static("nonsense"));
        let reject = bench.run(&*jwt_or_key(), &mut cx).unwrap_err();
        assert_eq!(reject.code.name, "API_KEY_INVALID");
        assert_eq!(challenges(&reject).len(), 2);
    }

    #[test]
    fn an_empty_list_lets_nobody_pass() {
        let bench = Bench::new();
        let mut cx = bench.request("GET", "/x");
        assert!(bench.run(&*any_of(Vec::new()), &mut cx).is_err());
    }

    /// An authenticator that has to wait.
    struct Slow;
    impl Policy for Slow {
        fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
            if cx.principal.is_some() {
                return Outcome::CONTINUE;
            }
            Outcome::Later(Box::pin(async {
                Verdict::Reject(Box::new(Reject::new(base::code::TOKEN_EXPIRED, "slow")))
            }))
        }
    }

    #[test]
    fn authenticators_may_wait() {
        let bench = Bench::new();
        let both = any_of(vec![Box::new(Slow), compile("apiKey", json!({}))]);
        let mut cx = bench.request("GET", "/x");
        let reject = bench.run(&*both, &mut cx).unwrap_err();
        assert_eq!(reject.code.name, "TOKEN_EXPIRED");
        let mut cx = bench.request("GET", "/x");
        cx.headers
            .insert("x-api-key", HeaderValue::from_static(API_KEY));
        bench.run(&*both, &mut cx).unwrap();
    }
    /// With `optional: true`.
    fn or_nobody() -> Box<dyn Policy> {
        let ways = vec![compile("jwt", json!({})), compile("apiKey", json!({}))];
        policy(ways, true)
    }

    #[test]
    fn who_shows_nothing_passes_as_nobody_where_that_is_allowed() {
        let bench = Bench::new();
        let mut cx = bench.request("GET", "/x");
        bench.run(&*or_nobody(), &mut cx).unwrap();
        assert!(cx.principal.is_none());
        assert!(cx.slots.get::<Nobody>().is_some());
    }

    #[test]
    fn a_bad_credential_is_refused_although_none_is_needed() {
        let bench = Bench::new();
        for (name, value) in [("x-api-key", "nonsense"), ("authorization", "Bearer x.y.z")] {
            let mut cx = bench.request("GET", "/x");
            cx.headers.insert(name, HeaderValue::from_static(value));
            let reject = bench.run(&*or_nobody(), &mut cx).unwrap_err();
            assert_ne!(reject.code, CREDENTIALS_MISSING);
            assert!(cx.slots.get::<Nobody>().is_none());
        }
    }

    #[test]
    fn a_good_credential_counts_although_none_is_needed() {
        let bench = Bench::new();
        let mut cx = bench.request("GET", "/x");
        cx.headers
            .insert("x-api-key", HeaderValue::from_static(API_KEY));
        bench.run(&*or_nobody(), &mut cx).unwrap();
        assert!(cx.principal.is_some());
        assert!(cx.headers.is_empty());
    }
}
