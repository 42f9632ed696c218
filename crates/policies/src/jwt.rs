//! `jwt`: the caller shows an access token.

mod bound;
mod outside;
mod told;
mod unknown;
mod verify;

use std::rc::Rc;
use std::sync::Arc;

use base::{Diagnostic, Digest, Org, TokenMarks};
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use jose::{Claims, JoseError};
use policy::{
    CompileEnv, Directory, Fact, Identity, Issuer, NotAnswered, Outcome, Phase, Policy, PolicyKind,
    Principal, RequestCx, TokenInUse, Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::challenge::challenge;
use crate::token_cache::{Entry, TokenCache};
use bound::{Shown, Unproved};
use spec::units::Duration;
use told::fact;
use unknown::{Answer, Question, Unknown};
use verify::confirmation;

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
    /// A token must be for one of these; default: the audience of its issuer, or this API's own
    /// (`urn:tollway:<organisation>:api:<document name>`).
    ///
    pub audience: Vec<String>,
    /// The header that carries `Bearer` (or `DPoP`) and the token; default `Authorization`.
    pub header: String,
    /// Whether the backend gets the header too; default no.
    pub forward: bool,
    /// By how much `exp`, `nbf` and `iat` may be missed, since clocks differ, at most `5m`; default: as the issuer's document has it, or `60s`.
    pub leeway: Option<Duration>,
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
            leeway: None,
            token_bytes_max: jose::BYTES_MAX_DEFAULT,
        }
    }
}

/// Verifies an access token (RFC 9068, or an opaque one of the platform) and finds the application it was issued to.
///
/// A token that is bound to a key of its bearer needs a proof of it: DPoP (RFC 9449 §7) or the certificate of the
/// connection (RFC 8705 §3). What this node cannot know by itself it asks the control plane for, once: the claims of an
/// opaque token, newer keys for a token of a key that is not known yet.
///
/// A token whose signature was verified on this core before is only compared with what may have changed since: its
/// times at every call; issuer, revocation and client when the directory's version is another one.
///
/// Invariant: an entry of the cache is used by a policy only if the policy's organisation, issuers and audience admit
/// it; so APIs share one cache without sharing what they accept.
///
/// # Errors
/// `CREDENTIALS_MISSING`, `TOKEN_INVALID`, `TOKEN_EXPIRED`, `TOKEN_NOT_YET_VALID`, `TOKEN_REVOKED`, `PROOF_INVALID` (all
/// 401), with `WWW-Authenticate` as RFC 6750 §3 and RFC 9449 §7.1 have it; `TOKEN_UNVERIFIED` (503).
struct Running {
    org: Org,
    realm: String,
    issuers: Box<[String]>,
    audience: Vec<String>,
    /// This API's own audience.
    own_audience: String,
    header: HeaderName,
    forward: bool,
    leeway_s: Option<u64>,
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
        if config.leeway.is_some_and(|leeway| leeway > LEEWAY_MAX) {
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
            own_audience: sync::api_audience(&env.org, &env.api),
            header,
            forward: config.forward,
            leeway_s: config.leeway.map(Duration::as_s),
            token_bytes_max: config.token_bytes_max,
        }))
    }
}

impl Policy for Running {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        match self.authenticate(cx, None) {
            Ok(()) => Outcome::CONTINUE,
            Err(Refusal::Unknown(question)) => Outcome::Later(Box::pin(async move {
                let answer = question.ask(&cx.core).await;
                match self.authenticate(cx, Some(answer)) {
                    Ok(()) => Verdict::Continue,
                    Err(refusal) => Verdict::Reject(Box::new(self.render(refusal))),
                }
            })),
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
    /// A condition of its issuer does not hold.
    Condition(String),
    /// Its client is registered for no application.
    UnknownClient { client_id: String, issuer: String },
    /// It lacks a claim that finds the caller, or no issuer is known that could have signed it.
    Unusable(&'static str, String),
    /// It does not verify.
    Token(Box<JoseError>),
    /// It is good, but not for this bearer.
    Unproved(Unproved),
    /// Somebody else has to say whether it is good; the request is as it was.
    Unknown(Question),
    /// … who does not.
    NotAnswered(NotAnswered),
    /// … an issuer outside of the platform, who does not.
    IssuerSilent(NotAnswered),
}

impl From<JoseError> for Refusal {
    fn from(error: JoseError) -> Self {
        Self::Token(Box::new(error))
    }
}

impl Running {
    /// Decides on the request's credential and takes it out, good or bad, unless it has to be asked for.
    fn authenticate(&self, cx: &mut RequestCx, answer: Option<Answer>) -> Result<(), Refusal> {
        let Some(shown) = self.shown(cx)? else {
            return if cx.principal.is_some() {
                Ok(())
            } else {
                Err(Refusal::Missing)
            };
        };
        let result = if cx.principal.is_some() {
            Ok(())
        } else {
            self.decide(cx, &shown, answer)
        };
        if !self.forward && !matches!(result, Err(Refusal::Unknown(_))) {
            cx.headers.remove(&self.header);
            cx.headers.remove(bound::DPOP);
        }
        result
    }

    fn decide(
        &self,
        cx: &mut RequestCx,
        shown: &Shown,
        answer: Option<Answer>,
    ) -> Result<(), Refusal> {
        let now_unix_s = cx.unix_ms / 1000;
        let memory = cx.core.memory::<TokenCache>();
        let mut cache = memory.borrow_mut();
        let directory = &*cx.core.runtime.directory;
        let limits = &*cx.core.runtime.remembered;
        if let Some(entry) = cache.get(shown.token(), limits)
            && self.admits(entry)
            && cx.unix_ms < entry.good_until_unix_ms
        {
            self.check_times(entry, now_unix_s)?;
            // Read before the look-ups: a change between them makes the next call look again.
            let version = directory.version();
            if entry.version == version || self.renew(entry, directory, version)? {
                bound::check(cx, shown, entry.confirmation.as_ref()).map_err(Refusal::Unproved)?;
                cx.principal = Some(Rc::clone(&entry.principal));
                return Ok(());
            }
        }
        cache.remove(shown.token());
        let token = shown.text().ok_or(Refusal::Missing)?;
        let unknown = cx.core.memory::<Unknown>();
        let unknown = &mut *unknown.borrow_mut();
        let entry = if let Some(digest) = unknown::opaque(token) {
            self.look_up(digest, directory, now_unix_s, answer, unknown)?
        } else if let Some((issuer, outside)) = self.introspector(token, directory) {
            let issuer = (issuer, &*outside);
            self.introspect(issuer, token, directory, now_unix_s, answer)?
        } else {
            self.verify(token, directory, now_unix_s, answer.is_some(), unknown)?
        };
        bound::check(cx, shown, entry.confirmation.as_ref()).map_err(Refusal::Unproved)?;
        cx.principal = Some(Rc::clone(&entry.principal));
        let limits = &*cx.core.runtime.remembered;
        cache.put(shown.token().into(), entry, limits);
        Ok(())
    }

    /// The credential of the request, if it is one of ours. Headers of other schemes (`Basic`) are for the backend and
    /// stay.
    fn shown(&self, cx: &mut RequestCx) -> Result<Option<Shown>, Refusal> {
        let mut values = cx.headers.get_all(&self.header).iter();
        let Some(first) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            cx.headers.remove(&self.header);
            return Err(Refusal::Several);
        }
        Ok(Shown::of(first))
    }

    fn accepts(&self, issuer: &Issuer, audience: &[String]) -> bool {
        if self.audience.is_empty() {
            let of_issuer = match &issuer.outside {
                None => audience.contains(&issuer.audience),
                Some(outside) if outside.model.any_audience => true,
                Some(outside) => {
                    let mut wanted = outside.model.audience.iter();
                    wanted.any(|wanted| audience.contains(wanted))
                }
            };
            of_issuer || audience.contains(&self.own_audience)
        } else {
            self.audience.iter().any(|wanted| audience.contains(wanted))
        }
    }

    /// Whether an entry that another API may have made is one that this policy accepts.
    fn admits(&self, entry: &Entry) -> bool {
        entry.org == self.org
            && self.issuers.contains(&entry.issuer.name)
            && self.accepts(&entry.issuer, &entry.audience)
    }

    /// By how much times of its tokens may be missed.
    fn leeway_s(&self, issuer: &Issuer) -> u64 {
        let outside = issuer.outside.as_ref();
        self.leeway_s
            .or_else(|| outside?.model.leeway_s)
            .unwrap_or(jose::LEEWAY_S_DEFAULT)
    }

    fn check_times(&self, entry: &Entry, now_unix_s: u64) -> Result<(), Refusal> {
        let leeway_s = self.leeway_s(&entry.issuer);
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
            let same_key = entry.kid.as_ref().is_none_or(|kid| {
                let key = issuer.keys.get(kid);
                key.is_some() && key == entry.issuer.keys.get(kid)
            });
            let same = same_key
                && issuer.issuer == entry.issuer.issuer
                && issuer.audience == entry.issuer.audience
                && issuer.outside == entry.issuer.outside;
            if !same {
                return Ok(false);
            }
            entry.issuer = issuer;
        }
        let identity = Arc::clone(&entry.principal.identity);
        let principal = match &entry.issuer.outside {
            None => self.principal(directory, &entry.token, &entry.client_id, identity)?,
            Some(outside) => {
                let client_id = &entry.client_id;
                let issuer = &entry.issuer;
                let token = Some(Arc::clone(&entry.token));
                Principal {
                    identity,
                    token,
                    ..self.outside_principal(issuer, outside, client_id, directory)?
                }
            }
        };
        entry.principal = Rc::new(principal);
        entry.version = version;
        Ok(true)
    }

    fn principal(
        &self,
        directory: &dyn Directory,
        token: &Arc<TokenInUse>,
        client_id: &str,
        identity: Arc<Identity>,
    ) -> Result<Principal, Refusal> {
        if directory.is_revoked(&token.marks) {
            let fact = fact("claim jti", &token.marks.jti, "not revoked");
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
            application: Some(client.application),
            credential: Some(client.credential),
            key: None,
            environment: client.environment,
            identity,
            limits: None,
            token: Some(Arc::clone(token)),
        })
    }

    /// What an opaque token stands for, as if it were signed.
    fn look_up(
        &self,
        digest: Digest,
        directory: &dyn Directory,
        now_unix_s: u64,
        answer: Option<Answer>,
        unknown: &mut Unknown,
    ) -> Result<Entry, Refusal> {
        let resident = self.issuers.iter().any(|name| name == unknown::RESIDENT);
        let issuer = directory.issuer(&self.org, unknown::RESIDENT);
        let Some(issuer) = issuer.filter(|_| resident) else {
            let detail = "no accepted issuer is known here".to_owned();
            return Err(Refusal::Unusable("issuer-unknown", detail));
        };
        let version = directory.version();
        let not_known = || {
            let detail = "the token is not known (any more)".to_owned();
            Refusal::Unusable("token-unknown", detail)
        };
        let claims = match answer {
            None if unknown.has(&digest, now_unix_s) => return Err(not_known()),
            None => return Err(Refusal::Unknown(Question::Opaque(digest))),
            Some(Answer::Opaque(Ok(Some(claims)))) => *claims,
            Some(Answer::Opaque(Ok(None)) | Answer::CaughtUp | Answer::Introspected(_)) => {
                unknown.add(&digest, directory);
                return Err(not_known());
            }
            Some(Answer::Opaque(Err(reason))) => return Err(Refusal::NotAnswered(reason)),
        };
        claims.accept(&self.expectation(&issuer), now_unix_s)?;
        self.entry(issuer, None, claims, directory, version)
    }

    fn entry(
        &self,
        issuer: Arc<Issuer>,
        kid: Option<Box<str>>,
        claims: Claims,
        directory: &dyn Directory,
        version: u64,
    ) -> Result<Entry, Refusal> {
        let absent =
            || Refusal::Unusable("claim-missing", "jti or client_id is missing".to_owned());
        let token_id = claims.jti.clone().ok_or_else(absent)?;
        let client_id = claims.client_id.clone().ok_or_else(absent)?;
        let confirmation = confirmation(claims.other.get("cnf"))?;
        let token = Arc::new(TokenInUse {
            marks: TokenMarks::of_claims(&token_id, &client_id, &claims.sub, &claims.other),
            ends_unix_s: claims.exp,
        });
        let begins = |claim, at: Option<u64>| (claim, at.unwrap_or(0));
        let (nbf, iat) = (begins("nbf", claims.nbf), begins("iat", claims.iat));
        let (ends_unix_s, audience) = (claims.exp, claims.aud.clone().into());
        let identity = Arc::new(Identity {
            subject: Some(claims.sub.clone()),
            scopes: Some(claims.scope.clone()),
            roles: Vec::new(),
            claims: claims.into_members(),
        });
        let principal = self.principal(directory, &token, &client_id, identity)?;
        Ok(Entry {
            org: self.org.clone(),
            issuer,
            kid,
            audience,
            ends_unix_s,
            begins_unix_s: if nbf.1 >= iat.1 { nbf } else { iat },
            token,
            confirmation,
            client_id: client_id.into(),
            principal: Rc::new(principal),
            version,
            good_until_unix_ms: u64::MAX,
        })
    }
}

#[cfg(test)]
mod tests;
