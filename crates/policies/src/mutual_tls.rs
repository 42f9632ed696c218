//! `mutualTls`: the caller shows a client certificate.

mod caller;
mod verified;

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use base::code::{CERTIFICATE_INVALID, CREDENTIALS_MISSING, CREDENTIALS_UNVERIFIED};
use base::{Diagnostic, Digest, Environment, Org};
use certificates::{Authorities, Description};
use http::header::{HeaderValue, WWW_AUTHENTICATE};
use policy::{
    ClientCertificate, CompileEnv, Outcome, Phase, Policy, PolicyKind, Principal, Reject,
    RequestCx, from_files,
};
use schemars::JsonSchema;
use serde::Deserialize;
use spec::{Ca, CallerEnvironment, CertificateCaller, SecretFile};

use crate::challenge::challenge;
use crate::secret_file::path;
use caller::Caller;
use verified::{Entry, Verified};

/// The kind.
pub struct MutualTls;

/// The most entries of `callers`.
const CALLERS_MAX: usize = 1_000;
/// So long a certificate that was verified is not verified anew, in seconds; at most until it expires.
const VERIFIED_S: u64 = 60;

/// Whose certificates are taken, and for which application they count.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// Who vouches for certificates: `inline` PEM, `secretRef` (the file is called `ca.crt`) or `file`.
    ca: Ca,
    /// Revocation lists (PEM): `secretRef` (the file is called `ca.crl`) or `file`. Every authority that signs certificates
    /// needs one, and one that is out of date refuses all.
    crl: Option<SecretFile>,
    /// Whose certificates are taken; the first entry that fits counts. None = everybody's for whom the authorities vouch.
    #[serde(default)]
    callers: Vec<CertificateCaller>,
    /// The application that they call for, where an entry of `callers` names none.
    application: Option<String>,
    /// The environment whose backends they reach; default `production`.
    #[serde(default)]
    environment: CallerEnvironment,
    /// The scopes that they have; none by default.
    #[serde(default)]
    scopes: Vec<String>,
}

/// Takes the certificate that the client showed in the handshake, or that a trusted proxy forwards, and asks rustls whether
/// an authority of this API vouches for it. What it says is in `principal.subject` and `principal.claims`: `subject`,
/// `issuer`, `serial`, `cn`, `o`, `ou`, `dns`, `uris`, `emails`, `ips`, `sha256`.
///
/// The files are looked at again once a second. A certificate that was verified is verified anew after a minute, when it
/// expires, and when the files or the node's tables have changed.
///
/// # Errors
/// `CREDENTIALS_MISSING` (401), `CERTIFICATE_INVALID` (401), `CREDENTIALS_UNVERIFIED` (503) while the authorities cannot be
/// read.
struct Running {
    org: Org,
    /// Tells what is remembered under this configuration from what is under others.
    id: Digest,
    trust: Trust,
    callers: Box<[Caller]>,
    application: Option<Arc<str>>,
    environment: Environment,
    scopes: Vec<String>,
    challenge: HeaderValue,
}

/// Where the authorities are.
enum Trust {
    Inline {
        ca: Authorities,
        text: Arc<str>,
        crl: Box<[PathBuf]>,
    },
    /// With the revocation lists behind the authorities, where there are some.
    Files(Box<[PathBuf]>),
}

impl PolicyKind for MutualTls {
    const NAME: &'static str = "mutualTls";
    const PHASE: Phase = Phase::Authenticate;
    const SUMMARY: &'static str = "Authenticates the caller by a client certificate that an authority of the API vouches for.";
    type Config = Config;

    fn compile(
        &self,
        config: Config,
        env: &CompileEnv,
    ) -> Result<Box<dyn Policy>, Vec<Diagnostic>> {
        let mut faults = Vec::new();
        let id = identity(&config, env);
        let trust = trust(&config, &mut faults);
        if config.callers.len() > CALLERS_MAX {
            let message = format!("at most {CALLERS_MAX} entries are accepted");
            faults.push(Diagnostic::error("callers-max", "/callers", message));
        }
        let callers: Vec<Caller> = config
            .callers
            .iter()
            .enumerate()
            .filter_map(|(index, caller)| Caller::compile(caller, index, &mut faults))
            .collect();
        let Some(trust) = trust.filter(|_| faults.is_empty()) else {
            return Err(faults);
        };
        Ok(Box::new(Running {
            org: env.org.clone(),
            id,
            trust,
            callers: callers.into(),
            application: config.application.map(Into::into),
            environment: crate::secret_file::environment(config.environment),
            scopes: config.scopes,
            challenge: challenge("ClientCertificate", &[("realm", &env.api)]),
        }))
    }
}

fn identity(config: &Config, env: &CompileEnv) -> Digest {
    let callers = serde_json::to_string(&config.callers).unwrap_or_default();
    let ca = serde_json::to_string(&(&config.ca, &config.crl, config.environment));
    Digest::of_list(&[
        env.org.to_string().as_bytes(),
        ca.unwrap_or_default().as_bytes(),
        callers.as_bytes(),
        config.application.as_deref().unwrap_or_default().as_bytes(),
        config.scopes.join(" ").as_bytes(),
    ])
}

fn trust(config: &Config, faults: &mut Vec<Diagnostic>) -> Option<Trust> {
    let crl: Option<PathBuf> = match &config.crl {
        None => None,
        Some(crl) => Some(path(crl, "ca.crl", "/crl", faults)?),
    };
    let Ca {
        inline,
        secret_ref,
        file,
        ..
    } = &config.ca;
    let places = [inline, secret_ref, file];
    if places.iter().filter(|place| place.is_some()).count() != 1 {
        let message = "exactly one of `inline`, `secretRef`, `file` is expected";
        faults.push(
            Diagnostic::error("one-key", "/ca", message)
                .mend("write `secretRef: NAME` for a folder of the node's --secrets-dir"),
        );
        return None;
    }
    let Some(text) = inline else {
        let place = SecretFile {
            secret_ref: secret_ref.clone(),
            file: file.clone(),
            ..SecretFile::default()
        };
        let ca = path(&place, "ca.crt", "/ca", faults)?;
        return Some(Trust::Files(std::iter::once(ca).chain(crl).collect()));
    };
    match Authorities::read(text.as_bytes(), None) {
        Ok(ca) => Some(Trust::Inline {
            ca,
            text: text.as_str().into(),
            crl: crl.into_iter().collect(),
        }),
        Err(error) => {
            faults.push(
                Diagnostic::error("ca", "/ca/inline", error.to_string())
                    .mend("write the authority's certificate in PEM"),
            );
            None
        }
    }
}

impl Policy for Running {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        if cx.principal.is_some() {
            return Outcome::CONTINUE;
        }
        let Some(shown) = cx.slots.get::<Arc<ClientCertificate>>().map(Arc::clone) else {
            return Reject::new(CREDENTIALS_MISSING, "the client shows no certificate")
                .header(WWW_AUTHENTICATE, self.challenge.clone())
                .because("certificate-missing")
                .into();
        };
        match self.authenticate(cx, &shown) {
            Ok(principal) => {
                cx.principal = Some(principal);
                Outcome::CONTINUE
            }
            Err(reject) => reject.into(),
        }
    }
}

impl Running {
    fn authenticate(
        &self,
        cx: &mut RequestCx,
        shown: &ClientCertificate,
    ) -> Result<Rc<Principal>, Reject> {
        let (authorities, files) = self.authorities(cx)?;
        let version = cx.core.runtime.directory.version();
        let now_unix_s = cx.unix_ms / 1000;
        let key = (self.id, shown.sha256);
        let verified = cx.core.memory::<Verified>();
        if let Some(entry) = verified.borrow().get(&key)
            && entry.files == files
            && entry.version == version
            && now_unix_s < entry.until_unix_s
        {
            return Ok(Rc::clone(&entry.principal));
        }
        let verdict = authorities.verify(&shown.chain, now_unix_s);
        let vouched = verdict.map_err(|refused| {
            let detail = format!("the client certificate is refused: {}", refused.as_str());
            self.refuse("certificate", detail)
        });
        vouched?;
        let read = shown.chain.first().map(|own| Description::read(own));
        let Some(Ok(description)) = read else {
            let detail = "the client certificate is refused: it is malformed".to_owned();
            return Err(self.refuse("certificate", detail));
        };
        let principal = Rc::new(self.caller(cx, shown, &description)?);
        let ends = u64::try_from(description.not_after_unix_s).unwrap_or(0);
        let entry = Entry {
            files,
            version,
            until_unix_s: ends.min(now_unix_s + VERIFIED_S),
            principal: Rc::clone(&principal),
        };
        let limits = &cx.core.runtime.remembered;
        verified.borrow_mut().put(key, entry, limits);
        Ok(principal)
    }

    /// Who vouches, with a number that is another one when the files have changed.
    fn authorities(&self, cx: &RequestCx) -> Result<(Authorities, u64), Reject> {
        let core = &*cx.core;
        let found = match &self.trust {
            Trust::Inline { ca, crl, .. } if crl.is_empty() => return Ok((ca.clone(), 0)),
            Trust::Inline { text, crl, .. } => from_files(core, cx.monotonic_ms, crl, |files| {
                read(text.as_bytes(), files.first())
            }),
            Trust::Files(files) => from_files(core, cx.monotonic_ms, files, |files| {
                let (ca, crl) = files.split_first().ok_or("there is no file")?;
                read(ca, crl.first())
            }),
        };
        let Some((found, number)) = found else {
            let detail = "certificates cannot be checked on this node: their authorities or revocation lists cannot be read";
            return Err(Reject::new(CREDENTIALS_UNVERIFIED, detail)
                .because("authorities")
                .retry_after(1));
        };
        let found: &Authorities = &found;
        Ok((found.clone(), number))
    }

    /// Who a certificate stands for.
    fn caller(
        &self,
        cx: &mut RequestCx,
        shown: &ClientCertificate,
        description: &Description,
    ) -> Result<Principal, Reject> {
        let identity = caller::identity(shown, description, &self.scopes);
        let mut principal = Principal {
            org: self.org.clone(),
            application: None,
            credential: None,
            key: None,
            environment: self.environment,
            identity: Arc::new(identity),
            limits: None,
            token: None,
        };
        let mut application = self.application.as_ref();
        if !self.callers.is_empty() {
            let Some(caller) = caller::find(&self.callers, cx, &principal, description) else {
                let detail = "the client certificate is refused: it is not among those of the API";
                return Err(self.refuse("certificate-caller", detail.to_owned()).fact(
                    "subject",
                    &*description.subject,
                    "an entry of callers",
                ));
            };
            application = caller.application.as_ref().or(application);
        }
        if let Some(name) = application {
            let found = cx.core.runtime.directory.application(&self.org, name);
            let Some(found) = found else {
                let detail =
                    "the client certificate is refused: its application does not exist (any more)";
                return Err(self.refuse("application-exists", detail.to_owned()).fact(
                    "application",
                    "",
                    &**name,
                ));
            };
            principal.application = Some(found);
        }
        Ok(principal)
    }

    fn refuse(&self, rule: &'static str, detail: String) -> Reject {
        Reject::new(CERTIFICATE_INVALID, detail)
            .header(WWW_AUTHENTICATE, self.challenge.clone())
            .because(rule)
    }
}

fn read(ca: &[u8], crl: Option<&Vec<u8>>) -> Result<Authorities, String> {
    let read = Authorities::read(ca, crl.map(Vec::as_slice));
    read.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
