//! Judging a token by its signature: whose it may be, and what is expected of it.

use std::sync::Arc;

use jose::{Confirmation, Expectation, JoseError, JoseErrorKind, Verified, VerifiedOutside};
use policy::{Directory, Introspected, Issuer, NotAnswered, Outside};

use super::unknown::{Question, Unknown};
use super::{Refusal, Running};
use crate::token_cache::Entry;

impl Running {
    pub(super) fn verify(
        &self,
        token: &str,
        directory: &dyn Directory,
        now_unix_s: u64,
        asked: bool,
        unknown: &mut Unknown,
    ) -> Result<Entry, Refusal> {
        let version = directory.version();
        let candidates = self.candidates(token, directory);
        match self.verify_with_issuers(token, &candidates, now_unix_s) {
            Ok(Found::Resident(issuer, Verified { kid, claims })) => {
                self.entry(issuer, Some(kid.into()), claims, directory, version)
            }
            Ok(Found::Outside(issuer, outside, verified)) => {
                let VerifiedOutside { kid, claims, all } = verified;
                let said = Introspected {
                    claims: all,
                    good_until_unix_ms: u64::MAX,
                };
                let of = (issuer, &*outside);
                self.outside_entry(of, Some(kid.into()), &claims, said, directory, version)
            }
            // Its key may have been made a moment ago.
            Err(Refusal::Token(error)) => {
                let JoseError::UnknownKid { kid } = &*error else {
                    return Err(Refusal::Token(error));
                };
                // Of its issuer: another one may make a key of this id.
                let whose = candidates.first().map(|issuer| issuer.name.as_str());
                let what = (&self.org, whose, kid);
                if asked {
                    unknown.add(&what, directory);
                    let fetched = |issuer: &Arc<Issuer>| {
                        let outside = issuer.outside.as_ref();
                        outside.is_some_and(|outside| outside.fetches())
                            && issuer.keys.keys().is_empty()
                    };
                    // Nothing is known of the token then, good or bad.
                    if !candidates.is_empty() && candidates.iter().all(fetched) {
                        return Err(Refusal::IssuerSilent(NotAnswered::Unavailable));
                    }
                } else if !unknown.has(&what, now_unix_s)
                    && let Some(question) = self.whose_key(&candidates)
                {
                    return Err(Refusal::Unknown(question));
                }
                Err(Refusal::Token(error))
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// The issuers that may have signed a token: of several, those that it says it is of, where there are such. That is told before anything is
    /// believed, and checked afterwards: each issuer takes tokens of its own `iss` alone.
    pub(super) fn candidates(&self, token: &str, directory: &dyn Directory) -> Vec<Arc<Issuer>> {
        let names = self.issuers.iter();
        let mut found: Vec<Arc<Issuer>> = names
            .filter_map(|name| directory.issuer(&self.org, name))
            .collect();
        if found.len() > 1
            && let Some(claimed) = jose::claimed_issuer(token, self.token_bytes_max)
            && found.iter().any(|issuer| issuer.issuer == claimed)
        {
            found.retain(|issuer| issuer.issuer == claimed);
        }
        found
    }

    /// Who is asked for newer keys.
    fn whose_key(&self, candidates: &[Arc<Issuer>]) -> Option<Question> {
        let fetched = candidates.iter().find(|issuer| {
            let outside = issuer.outside.as_ref();
            outside.is_some_and(|outside| outside.fetches())
        });
        if let Some(issuer) = fetched {
            return Some(Question::NewerKeys(self.org.clone(), issuer.name.clone()));
        }
        let resident = |issuer: &Arc<Issuer>| issuer.outside.is_none();
        candidates.iter().any(resident).then_some(Question::Keys)
    }

    pub(super) fn expectation(&self, issuer: &Issuer) -> Expectation {
        let audience = match (self.audience.is_empty(), &issuer.outside) {
            (false, _) => self.audience.clone(),
            (true, None) => vec![issuer.audience.clone(), self.own_audience.clone()],
            (true, Some(outside)) => {
                let own = std::iter::once(self.own_audience.clone());
                outside.model.audience.iter().cloned().chain(own).collect()
            }
        };
        let outside = issuer.outside.as_ref();
        let any_audience = outside.is_some_and(|outside| outside.model.any_audience);
        Expectation {
            any_audience: any_audience && self.audience.is_empty(),
            leeway_s: self.leeway_s(issuer),
            bytes_max: self.token_bytes_max,
            ..Expectation::access_token(issuer.issuer.clone(), audience)
        }
    }

    /// Tries the issuers in order. Which one signed is decided by the key's id and the signature; that `iss` fits is
    /// checked by `jose` then.
    fn verify_with_issuers(
        &self,
        token: &str,
        issuers: &[Arc<Issuer>],
        now_unix_s: u64,
    ) -> Result<Found, Refusal> {
        let mut told: Option<JoseError> = None;
        for issuer in issuers {
            let expect = self.expectation(issuer);
            let keys = &issuer.keys;
            let result = match &issuer.outside {
                None => jose::verify(token, keys, &expect, now_unix_s)
                    .map(|verified| Found::Resident(Arc::clone(issuer), verified)),
                Some(outside) => {
                    jose::verify_outside(token, keys, &outside.rules, &expect, now_unix_s).map(
                        |verified| {
                            Found::Outside(Arc::clone(issuer), Arc::clone(outside), verified)
                        },
                    )
                }
            };
            match result {
                Ok(found) => return Ok(found),
                Err(error) => {
                    let more_telling = told
                        .as_ref()
                        .is_none_or(|told| told.kind() == JoseErrorKind::UnknownKid);
                    if more_telling {
                        told = Some(error);
                    }
                }
            }
        }
        Err(match told {
            Some(error) => error.into(),
            None => {
                let detail = "no accepted issuer is known here".to_owned();
                Refusal::Unusable("issuer-unknown", detail)
            }
        })
    }
}

/// A token that was verified, and whose it is.
enum Found {
    Resident(Arc<Issuer>, Verified),
    Outside(Arc<Issuer>, Arc<Outside>, VerifiedOutside),
}

/// What a token is bound to, by its claim `cnf`.
pub(super) fn confirmation(
    claim: Option<&serde_json::Value>,
) -> Result<Option<Confirmation>, Refusal> {
    let Some(claim) = claim else {
        return Ok(None);
    };
    let unreadable = || Refusal::Unusable("cnf", "the claim cnf is not understood".to_owned());
    Confirmation::from_claim(claim)
        .ok_or_else(unreadable)
        .map(Some)
}
