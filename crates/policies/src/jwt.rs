//! `jwt`: the caller shows an access token.

use std::sync::Arc;

use base::code::{
    CREDENTIALS_MISSING, TOKEN_EXPIRED, TOKEN_INVALID, TOKEN_NOT_YET_VALID, TOKEN_REVOKED,
};
use base::{Code, Diagnostic, Org, TokenMarks};
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use jose::{Expectation, JoseError, JoseErrorKind, Verified};
use policy::{
    CompileEnv, Directory, Fact, Issuer, Outcome, Phase, Policy, PolicyKind, Principal, Reject,
    RequestCx,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::challenge::challenge;
use crate::token_cache::{Entry, TokenCache};
use spec::units::Duration;

/// The kind.
pub struct Jwt;

/// The most issuers of one configuration: each is a try at a token that is not cached.
pub const ISSUERS_MAX: usize = 16;
/// The greatest leeway.
pub const LEEWAY_MAX: Duration = Duration::from_ms(300_000);

/// Which tokens are accepted, and where they stand.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Config {
    /// Names of the issuers whose tokens are accepted; default `[resident]`, the platform itself.
    pub issuers: Vec<String>,
    /// A token must be for one of these; default: the audience of its issuer.
    pub audience: Vec<String>,
    /// The header that carries `Bearer` and the token; default `Authorization`.
    pub header: String,
    /// Whether the backend gets the header too; default no.
    pub forward: bool,
    /// By how much `exp`, `nbf` and `iat` may be missed, since clocks differ; default `60s`, at most `5m`.
    pub leeway: Duration,
    /// The longest token, in bytes; default 16384.
    pub token_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            issuers: vec!["resident".to_owned()],
            audience: Vec::new(),
            header: "Authorization".to_owned(),
            forward: false,
            leeway: Duration::from_ms(jose::LEEWAY_S_DEFAULT * 1000),
            token_bytes_max: jose::BYTES_MAX_DEFAULT,
        }
    }
}

/// Verifies an access token (RFC 9068) and finds the application it was issued to.
///
/// A token whose signature was verified on this core before is only compared with what may have changed since: its
/// times at every call; issuer, revocation and client when the directory's version is another one.
///
/// Invariant: an entry of the cache is used by a policy only if the policy's organisation, issuers and audience admit
/// it; so APIs share one cache without sharing what they accept.
///
/// # Errors
/// `CREDENTIALS_MISSING`, `TOKEN_INVALID`, `TOKEN_EXPIRED`, `TOKEN_NOT_YET_VALID`, `TOKEN_REVOKED` (all 401), with
/// `WWW-Authenticate: Bearer` as RFC 6750 §3 has it.
struct Running {
    org: Org,
    realm: String,
    issuers: Box<[String]>,
    audience: Vec<String>,
    header: HeaderName,
    forward: bool,
    leeway_s: u64,
    token_bytes_max: usize,
    challenge: HeaderValue,
}

impl PolicyKind for Jwt {
    const NAME: &'static str = "jwt";
    const PHASE: Phase = Phase::Authenticate;
    const SUMMARY: &'static str =
        "Authenticates the caller's application by an access token (JWT).";
    type Config = Config;

    fn compile(
        &self,
        config: Config,
        env: &CompileEnv,
    ) -> Result<Box<dyn Policy>, Vec<Diagnostic>> {
        let mut faults = Vec::new();
        if config.issuers.is_empty() || config.issuers.len() > ISSUERS_MAX {
            let message = format!("between 1 and {ISSUERS_MAX} issuers are needed");
            faults.push(
                Diagnostic::error("jwt-issuers", "/issuers", message)
                    .mend("leave `issuers` out for the platform's own tokens"),
            );
        }
        if config.leeway > LEEWAY_MAX {
            faults.push(Diagnostic::error(
                "jwt-leeway",
                "/leeway",
                "the leeway is at most 5m",
            ));
        }
        if config.token_bytes_max == 0 {
            faults.push(Diagnostic::error(
                "jwt-size",
                "/tokenBytesMax",
                "no token is so short",
            ));
        }
        let header = config.header.parse::<HeaderName>().unwrap_or_else(|_| {
            faults.push(Diagnostic::error(
                "header-name",
                "/header",
                "no valid header name",
            ));
            AUTHORIZATION
        });
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Box::new(Running {
            org: env.org.clone(),
            challenge: challenge("Bearer", &[("realm", &env.api)]),
            realm: env.api.clone(),
            issuers: config.issuers.into(),
            audience: config.audience,
            header,
            forward: config.forward,
            leeway_s: config.leeway.as_s(),
            token_bytes_max: config.token_bytes_max,
        }))
    }
}

impl Policy for Running {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        match self.authenticate(cx) {
            Ok(()) => Outcome::CONTINUE,
            Err(refusal) => self.render(refusal).into(),
        }
    }
}

/// Why a caller is refused.
enum Refusal {
    /// No bearer token.
    Missing,
    /// More than one.
    Several,
    /// The token was revoked, or what it was issued to is gone.
    Revoked(&'static str, Fact),
    /// It lacks a claim that finds the caller, or no issuer is known that could have signed it.
    Unusable(&'static str, String),
    /// It does not verify.
    Token(Box<JoseError>),
}

impl From<JoseError> for Refusal {
    fn from(error: JoseError) -> Self {
        Self::Token(Box::new(error))
    }
}

/// The code of a token that does not verify.
fn code_of(error: &JoseError) -> Code {
    match error.kind() {
        JoseErrorKind::Expired => TOKEN_EXPIRED,
        JoseErrorKind::NotYetValid => TOKEN_NOT_YET_VALID,
        JoseErrorKind::Invalid | JoseErrorKind::UnknownKid => TOKEN_INVALID,
    }
}

/// The rule that a token broke, and the claim: what an operator is told, and the caller is not.
fn explained(reject: Reject, error: &JoseError) -> Reject {
    match error {
        JoseError::Expired { by_s, leeway_s } => reject.because("token-expired").fact(
            "claim exp",
            format!("{by_s}s ago"),
            format!("ahead, or at most {leeway_s}s ago"),
        ),
        JoseError::NotYetValid {
            claim,
            ahead_s,
            leeway_s,
        } => {
            let name = if *claim == "nbf" {
                "claim nbf"
            } else {
                "claim iat"
            };
            reject.because("token-not-yet-valid").fact(
                name,
                format!("{ahead_s}s ahead"),
                format!("passed, or at most {leeway_s}s ahead"),
            )
        }
        JoseError::Audience { found, expected } => {
            let any_of = format!("one of {}", expected.join(" "));
            reject
                .because("audience")
                .fact("claim aud", found.join(" "), any_of)
        }
        JoseError::Issuer { found, expected } => {
            reject.because("issuer").fact("claim iss", found, expected)
        }
        JoseError::ClaimMissing { claim } => {
            reject
                .because("claim-missing")
                .fact("claim", String::new(), *claim)
        }
        JoseError::ClaimType { claim, expected } => reject
            .because("claim-type")
            .fact("claim", *claim, *expected),
        JoseError::Typ { found, expected } => {
            reject.because("typ").fact("header typ", found, expected)
        }
        JoseError::UnknownKid { kid } => {
            reject
                .because("unknown-key")
                .fact("header kid", kid, "a key of an accepted issuer")
        }
        JoseError::Signature => reject.because("signature"),
        _ => reject.because("token-malformed"),
    }
}

impl Running {
    fn authenticate(&self, cx: &mut RequestCx) -> Result<(), Refusal> {
        let Some(value) = self.take(cx)? else {
            return if cx.principal.is_some() {
                Ok(())
            } else {
                Err(Refusal::Missing)
            };
        };
        if cx.principal.is_some() {
            return Ok(());
        }
        let token = bearer(&value).ok_or(Refusal::Missing)?;
        let now_unix_s = cx.unix_ms / 1000;
        let memory = cx.core.memory::<TokenCache>();
        let mut cache = memory.borrow_mut();
        let directory = &*cx.core.runtime.directory;
        if let Some(entry) = cache.get(token)
            && self.admits(entry)
        {
            self.check_times(entry, now_unix_s)?;
            // Read before the look-ups: a change between them makes the next call look again.
            let version = directory.version();
            if entry.version == version || self.renew(entry, directory, version)? {
                cx.principal = Some(entry.principal.clone());
                return Ok(());
            }
        }
        cache.remove(token);
        let entry = self.verify(token, directory, now_unix_s)?;
        cx.principal = Some(entry.principal.clone());
        cache.put(token.into(), entry);
        Ok(())
    }

    /// Takes the credential out of the request, good or bad; with `forward` a copy. Headers of other schemes
    /// (`Basic`) are for the backend and stay.
    fn take(&self, cx: &mut RequestCx) -> Result<Option<HeaderValue>, Refusal> {
        let mut values = cx.headers.get_all(&self.header).iter();
        let Some(first) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            cx.headers.remove(&self.header);
            return Err(Refusal::Several);
        }
        if bearer(first).is_none() {
            return Ok(None);
        }
        Ok(if self.forward {
            Some(first.clone())
        } else {
            cx.headers.remove(&self.header)
        })
    }

    /// Whether an entry that another API may have made is one that this policy accepts.
    fn admits(&self, entry: &Entry) -> bool {
        entry.org == self.org
            && self.issuers.contains(&entry.issuer.name)
            && if self.audience.is_empty() {
                entry.audience.contains(&entry.issuer.audience)
            } else {
                self.audience
                    .iter()
                    .any(|wanted| entry.audience.contains(wanted))
            }
    }

    fn check_times(&self, entry: &Entry, now_unix_s: u64) -> Result<(), Refusal> {
        let leeway_s = self.leeway_s;
        if now_unix_s >= entry.ends_unix_s.saturating_add(leeway_s) {
            let by_s = now_unix_s - entry.ends_unix_s;
            return Err(JoseError::Expired { by_s, leeway_s }.into());
        }
        let (claim, begins_unix_s) = entry.begins_unix_s;
        if begins_unix_s > now_unix_s.saturating_add(leeway_s) {
            let ahead_s = begins_unix_s - now_unix_s;
            return Err(JoseError::NotYetValid {
                claim,
                ahead_s,
                leeway_s,
            }
            .into());
        }
        Ok(())
    }

    /// Looks up anew what an entry was made from. Answers false when the token has to be verified again: its issuer
    /// or the issuer's key is no longer the one that it was verified with.
    fn renew(
        &self,
        entry: &mut Entry,
        directory: &dyn Directory,
        version: u64,
    ) -> Result<bool, Refusal> {
        let Some(issuer) = directory.issuer(&self.org, &entry.issuer.name) else {
            return Ok(false);
        };
        if !Arc::ptr_eq(&issuer, &entry.issuer) {
            let key = issuer.keys.get(&entry.kid);
            let same = key.is_some()
                && key == entry.issuer.keys.get(&entry.kid)
                && issuer.issuer == entry.issuer.issuer
                && issuer.audience == entry.issuer.audience;
            if !same {
                return Ok(false);
            }
            entry.issuer = issuer;
        }
        let scopes = entry.principal.scopes.clone();
        entry.principal = self.principal(directory, &entry.marks, &entry.client_id, scopes)?;
        entry.version = version;
        Ok(true)
    }

    fn principal(
        &self,
        directory: &dyn Directory,
        marks: &TokenMarks,
        client_id: &str,
        scopes: Option<Arc<[String]>>,
    ) -> Result<Principal, Refusal> {
        if directory.is_revoked(marks) {
            let fact = fact("claim jti", &marks.jti, "not revoked");
            return Err(Refusal::Revoked("the token was revoked", fact));
        }
        let client = directory
            .client(client_id)
            .filter(|client| client.org == self.org)
            .ok_or_else(|| {
                let fact = fact("claim client_id", client_id, "a client that exists");
                Refusal::Revoked("the token's client does not exist (any more)", fact)
            })?;
        Ok(Principal {
            org: client.org,
            application: client.application,
            credential: client.credential,
            environment: client.environment,
            scopes,
        })
    }

    fn verify(
        &self,
        token: &str,
        directory: &dyn Directory,
        now_unix_s: u64,
    ) -> Result<Entry, Refusal> {
        let version = directory.version();
        let (issuer, verified) = self.verify_with_issuers(token, directory, now_unix_s)?;
        let Verified { kid, claims } = verified;
        let absent =
            || Refusal::Unusable("claim-missing", "jti or client_id is missing".to_owned());
        let token_id = claims.jti.ok_or_else(absent)?;
        let client_id = claims.client_id.ok_or_else(absent)?;
        let marks = TokenMarks::of_claims(&token_id, &client_id, &claims.sub, &claims.other);
        let principal = self.principal(directory, &marks, &client_id, Some(claims.scope.into()))?;
        let begins = |claim, at: Option<u64>| (claim, at.unwrap_or(0));
        let (nbf, iat) = (begins("nbf", claims.nbf), begins("iat", claims.iat));
        Ok(Entry {
            org: self.org.clone(),
            issuer,
            kid: kid.into(),
            audience: claims.aud.into(),
            ends_unix_s: claims.exp,
            begins_unix_s: if nbf.1 >= iat.1 { nbf } else { iat },
            marks,
            client_id: client_id.into(),
            principal,
            version,
        })
    }

    /// Tries the issuers in order. Which one signed is decided by the key's id and the signature; that `iss` fits is
    /// checked by `jose` then, so nothing is read of a token that is not verified.
    fn verify_with_issuers(
        &self,
        token: &str,
        directory: &dyn Directory,
        now_unix_s: u64,
    ) -> Result<(Arc<Issuer>, Verified), Refusal> {
        let mut told: Option<JoseError> = None;
        for name in &self.issuers {
            let Some(issuer) = directory.issuer(&self.org, name) else {
                continue;
            };
            let audience = if self.audience.is_empty() {
                vec![issuer.audience.clone()]
            } else {
                self.audience.clone()
            };
            let expect = Expectation {
                leeway_s: self.leeway_s,
                bytes_max: self.token_bytes_max,
                ..Expectation::access_token(issuer.issuer.clone(), audience)
            };
            match jose::verify(token, &issuer.keys, &expect, now_unix_s) {
                Ok(verified) => return Ok((issuer, verified)),
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

    fn render(&self, refusal: Refusal) -> Reject {
        let invalid = |code: Code, detail: String| {
            let challenge = self.error("invalid_token", &detail);
            Reject::new(code, detail).header(WWW_AUTHENTICATE, challenge)
        };
        match refusal {
            Refusal::Missing => {
                Reject::new(CREDENTIALS_MISSING, "the request carries no bearer token")
                    .header(WWW_AUTHENTICATE, self.challenge.clone())
                    .because("token-missing")
                    .fact("header", "", format!("{}: Bearer", self.header))
            }
            Refusal::Several => {
                let detail = "the request carries more than one credential";
                let challenge = self.error("invalid_request", detail);
                Reject::new(TOKEN_INVALID, detail)
                    .header(WWW_AUTHENTICATE, challenge)
                    .because("one-credential")
            }
            Refusal::Revoked(detail, fact) => invalid(TOKEN_REVOKED, detail.to_owned())
                .because("revoked")
                .fact(fact.name, fact.found, fact.expected),
            Refusal::Unusable(rule, detail) => invalid(TOKEN_INVALID, detail).because(rule),
            Refusal::Token(error) => explained(invalid(code_of(&error), error.to_string()), &error),
        }
    }

    fn error(&self, error: &str, detail: &str) -> HeaderValue {
        let parameters = [
            ("realm", self.realm.as_str()),
            ("error", error),
            ("error_description", detail),
        ];
        challenge("Bearer", &parameters)
    }
}

fn fact(name: &'static str, found: &str, expected: &str) -> Fact {
    Fact {
        name,
        found: found.to_owned(),
        expected: expected.to_owned(),
    }
}

/// The token of a `Bearer` credential; the scheme's case does not matter (RFC 9110 §11.1).
fn bearer(value: &HeaderValue) -> Option<&str> {
    const SCHEME: &str = "bearer";
    let text = value.to_str().ok()?;
    let (scheme, rest) = text.split_at_checked(SCHEME.len())?;
    let token = rest.strip_prefix(' ')?.trim_matches(' ');
    (scheme.eq_ignore_ascii_case(SCHEME) && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests;
