//! `backendJwt`: tells the backend who calls, by a token that the node signs.

mod claims;
mod key;
mod tier;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use base::code::BACKEND_CREDENTIAL_MISSING;
use base::{ApplicationId, CredentialId, Diagnostic, Digest, Environment};
use http::header::{HeaderName, HeaderValue};
use jose::{Jwk, SigningKey};
use policy::stamp::LOOK_EVERY_MS;
use policy::{
    BackendAuthCounts, CompileEnv, Core, Identity, Outcome, Phase, Plan, Policy, PolicyKind,
    Principal, Reject, RequestCx, from_files,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use spec::SecretFile;
use spec::units::{Duration, Size};

use crate::generations::Generations;
use crate::owned_headers;
use crate::secret_file::path;
use claims::Teller;

/// The kind.
pub struct BackendJwt;

/// How the key's file is called in the folder of a `secretRef`.
const KEY_FILE: &str = "tls.key";
const LIFETIME_MIN: Duration = Duration::from_ms(10_000);
const LIFETIME_MAX: Duration = Duration::from_ms(86_400_000);
const BYTES_MAX: Size = Size::from_bytes(64 << 10);

/// What the backend is told, and by which key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// The header that the token stands in; default `X-JWT-Assertion`. What clients send under this name never reaches a
    /// backend of the API.
    #[serde(default = "default_header")]
    header: String,
    /// How the claims are called: `tollway` (default), short names as in RFC 9068; or `wso2`, those of
    /// `http://wso2.org/claims`.
    #[serde(default)]
    dialect: Dialect,
    /// The private key (PKCS#8 in PEM: EC P-256 for ES256, RSA for RS256, Ed25519 for `EdDSA`): `secretRef` (the file is
    /// called `tls.key`) or `file`, below the node's folder of secrets.
    key: SecretFile,
    /// Keys that are published beside it and sign nothing: the next one before it takes its place, the one before after it.
    #[serde(default)]
    #[schemars(length(max = 4))]
    other_keys: Vec<SecretFile>,
    /// `iss`; default `urn:tollway:ORG:gateway`, in the dialect `wso2` `wso2.org/products/am`.
    #[schemars(length(min = 1, max = 500))]
    issuer: Option<String>,
    /// `aud`; default `urn:tollway:ORG:backend:API`, with the name of the API's document; none in the dialect `wso2`.
    #[schemars(length(max = 20))]
    audience: Option<Vec<String>>,
    /// How long a token is good, 10s to 1d; default 5m. Calls share one until a quarter of it is left.
    #[serde(default = "default_lifetime")]
    lifetime: Duration,
    /// Which of the dialect's claims the token has; default all. `iss`, `sub`, `iat`, `exp` it always has.
    claims: Option<Vec<String>>,
    /// Claims of the caller's own token that are taken over as they are.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pass: Vec<String>,
    /// More claims: names, and what they say (CEL, over `principal` and `application` alone).
    #[serde(default)]
    add: BTreeMap<String, String>,
    /// The longest token, at most 64Ki; default 8Ki. A call whose token would be longer is refused.
    #[serde(default = "default_max_bytes")]
    max_bytes: Size,
}

/// How claims are called.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Short names.
    #[default]
    Tollway,
    /// Those of `http://wso2.org/claims`.
    Wso2,
}

fn default_header() -> String {
    "X-JWT-Assertion".to_owned()
}

fn default_lifetime() -> Duration {
    Duration::from_ms(300_000)
}

fn default_max_bytes() -> Size {
    Size::from_bytes(8 << 10)
}

/// Signs once for a caller on each core; further calls of the caller get the same token until it is renewed, the caller's
/// plan changes, or the key. Without a caller (open operations, `optional`) there is no token.
///
/// # Errors
/// `BACKEND_CREDENTIAL_MISSING` (503) while there is no usable key, or when the token is too long; the backend is not called.
struct Running {
    /// Tells what is remembered under this configuration from what is under others.
    id: Digest,
    header: HeaderName,
    key: [PathBuf; 1],
    lifetime_s: u64,
    bytes_max: usize,
    teller: Teller,
}

impl PolicyKind for BackendJwt {
    const NAME: &'static str = "backendJwt";
    const PHASE: Phase = Phase::Transform;
    const SUMMARY: &'static str =
        "Tells the backend who calls, in a signed token (`X-JWT-Assertion`).";
    type Config = Config;

    fn owned(config: &Config) -> Vec<HeaderName> {
        config.header.parse().into_iter().collect()
    }

    fn compile(
        &self,
        config: Config,
        env: &CompileEnv,
    ) -> Result<Box<dyn Policy>, Vec<Diagnostic>> {
        let mut faults = Vec::new();
        let told = format!("{config:?} {env:?}");
        let header = owned_headers::name("/header", &config.header, &mut faults);
        let key = path(&config.key, KEY_FILE, "/key", &mut faults);
        for (index, other) in config.other_keys.iter().enumerate() {
            path(other, KEY_FILE, &format!("/otherKeys/{index}"), &mut faults);
        }
        if config.lifetime < LIFETIME_MIN || config.lifetime > LIFETIME_MAX {
            let message = "the lifetime must be between 10s and 1d";
            let fault = Diagnostic::error("lifetime-range", "/lifetime", message);
            faults.push(fault.mend("write for example `lifetime: 5m`"));
        }
        if config.max_bytes > BYTES_MAX {
            let message = "at most 64Ki are accepted";
            faults.push(Diagnostic::error("size-range", "/maxBytes", message));
        }
        let (lifetime_s, bytes_max) = (config.lifetime.as_ms() / 1000, config.max_bytes);
        let teller = Teller::compile(config, env, &mut faults);
        let (Some(header), Some(key), true) = (header, key, faults.is_empty()) else {
            return Err(faults);
        };
        Ok(Box::new(Running {
            id: Digest::of(told.as_bytes()),
            header,
            key: [key],
            lifetime_s,
            bytes_max: usize::try_from(bytes_max.as_bytes()).unwrap_or(usize::MAX),
            teller,
        }))
    }
}

/// Where the keys are that backends check the tokens of a configuration with; the one that signs is the first. Nothing for a
/// configuration that cannot be read.
#[must_use]
pub fn key_files(config: &Value) -> Vec<PathBuf> {
    let Ok(config) = Config::deserialize(config) else {
        return Vec::new();
    };
    let all = std::iter::once(&config.key).chain(&config.other_keys);
    all.filter_map(|place| path(place, KEY_FILE, "", &mut Vec::new()))
        .collect()
}

/// The public part of the key in this file; `None` while there is no usable one.
#[must_use]
pub fn public_key(core: &Core, now_ms: u64, file: &PathBuf) -> Option<Jwk> {
    let (key, _) = from_files(core, now_ms, std::slice::from_ref(file), key::read)?;
    Some(key.public_jwk())
}

/// What a core has signed.
#[derive(Default)]
struct Signed(Generations<Caller, Token>);

/// Who is told of, as far as it is cheap to say. What it leaves open, [`Token::is_of`] compares.
#[derive(PartialEq, Eq, Hash)]
struct Caller {
    policy: Digest,
    credential: Option<CredentialId>,
    /// Of a token: where its identity is in memory, which the entry keeps in its place. Else a hash of the name.
    identity: u64,
}

impl Caller {
    fn of(policy: Digest, principal: &Principal) -> Self {
        use std::hash::BuildHasher as _;
        let identity = match principal.token {
            Some(_) => Arc::as_ptr(&principal.identity) as u64,
            None => {
                let hasher = foldhash::fast::FixedState::default();
                hasher.hash_one((&principal.identity.subject, principal.key))
            }
        };
        Self {
            policy,
            credential: principal.credential,
            identity,
        }
    }
}

struct Token {
    value: HeaderValue,
    renew_unix_s: u64,
    /// The number of the key that signed it.
    key: u64,
    /// When it was last known that this is the key.
    looked_ms: u64,
    identity: Arc<Identity>,
    application: Option<ApplicationId>,
    environment: Environment,
    plan: Option<Arc<Plan>>,
}

impl Token {
    fn is_of(&self, principal: &Principal, plan: Option<&Arc<Plan>>) -> bool {
        let same_plan = match (&self.plan, plan) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a.name == b.name,
            _ => false,
        };
        same_plan
            && self.application == principal.application
            && self.environment == principal.environment
            && (Arc::ptr_eq(&self.identity, &principal.identity)
                || *self.identity == *principal.identity)
    }
}

impl Policy for Running {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        let token = match &cx.principal {
            None => None,
            Some(principal) => match self.token(cx, principal) {
                Ok(token) => Some(token),
                Err(reject) => {
                    let counts = &cx.core.runtime.backend_auth.counts;
                    BackendAuthCounts::add(&counts.refused, 1);
                    return reject.into();
                }
            },
        };
        match token {
            Some(token) => cx.headers.insert(self.header.clone(), token),
            None => cx.headers.remove(&self.header),
        };
        Outcome::CONTINUE
    }
}

impl Running {
    fn token(&self, cx: &RequestCx, principal: &Principal) -> Result<HeaderValue, Reject> {
        let plan = cx.subscription.as_ref().and_then(|of| of.plan.as_ref());
        let caller = Caller::of(self.id, principal);
        let memory = cx.core.memory::<Signed>();
        let mut signed = memory.borrow_mut();
        let now_unix_s = cx.unix_ms / 1000;
        if let Some(token) = signed.0.get(&caller)
            && now_unix_s < token.renew_unix_s
            && token.is_of(principal, plan)
        {
            if cx.monotonic_ms.saturating_sub(token.looked_ms) < LOOK_EVERY_MS {
                return Ok(token.value.clone());
            }
            if self.key(cx).is_some_and(|(_, number)| number == token.key) {
                token.looked_ms = cx.monotonic_ms;
                return Ok(token.value.clone());
            }
        }
        let Some((key, number)) = self.key(cx) else {
            return Err(missing("the key of the backend's token cannot be read")
                .because("backend-jwt-key")
                .fact("key", "", self.key[0].display().to_string()));
        };
        let token = Token {
            value: self.sign(cx, principal, plan, &key)?,
            renew_unix_s: now_unix_s + self.lifetime_s - self.lifetime_s / 4,
            key: number,
            looked_ms: cx.monotonic_ms,
            identity: Arc::clone(&principal.identity),
            application: principal.application,
            environment: principal.environment,
            plan: plan.cloned(),
        };
        let value = token.value.clone();
        let backend_auth = &cx.core.runtime.backend_auth;
        let forgotten = signed.0.put(caller, token, backend_auth.jwts_max);
        let counts = &backend_auth.counts;
        BackendAuthCounts::add(&counts.jwts_signed, 1);
        BackendAuthCounts::add(&counts.jwts_forgotten, forgotten);
        Ok(value)
    }

    fn key(&self, cx: &RequestCx) -> Option<(Rc<SigningKey>, u64)> {
        from_files(&cx.core, cx.monotonic_ms, &self.key, key::read)
    }

    fn sign(
        &self,
        cx: &RequestCx,
        principal: &Principal,
        plan: Option<&Arc<Plan>>,
        key: &SigningKey,
    ) -> Result<HeaderValue, Reject> {
        let now_unix_s = cx.unix_ms / 1000;
        let plan = plan.map(|plan| plan.name.as_str());
        let claims = self
            .teller
            .claims(cx, principal, plan, now_unix_s, self.lifetime_s);
        let failed = || missing("the backend's token cannot be signed").because("backend-jwt-sign");
        let text = key.sign(TYP, &claims).map_err(|_| failed())?;
        if text.len() > self.bytes_max {
            return Err(missing("the backend's token is longer than it may be")
                .because("backend-jwt-size")
                .fact(
                    "bytes",
                    text.len().to_string(),
                    format!("at most {}", self.bytes_max),
                ));
        }
        let mut value = HeaderValue::from_str(&text).map_err(|_| failed())?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// No access token (`at+jwt`): nobody shall take it for one.
const TYP: &str = "JWT";

fn missing(detail: &'static str) -> Reject {
    Reject::new(BACKEND_CREDENTIAL_MISSING, detail).retry_after(1)
}

#[cfg(test)]
mod tests;
