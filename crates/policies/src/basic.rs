//! `basic`: the caller shows a user's name and password.

mod known;
mod users;

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base::code::{CREDENTIALS_MISSING, CREDENTIALS_UNVERIFIED, PASSWORD_INVALID, RATE_LIMITED};
use base::{Diagnostic, Environment, Org, Secret};
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use policy::{
    CompileEnv, Guessed, Identity, NotAnswered, Outcome, PasswordGuess, Phase, Policy, PolicyKind,
    Principal, Reject, RequestCx, Verdict, from_files,
};
use schemars::JsonSchema;
use serde::Deserialize;
use spec::{CallerEnvironment, SecretFile};

use crate::challenge::challenge;
use crate::secret_file::path;
use known::Known;
use users::Users;

/// The kind.
pub struct Basic;

/// The longest name and password, in bytes, both together.
const PAIR_BYTES_MAX: usize = 1024;

/// Whose passwords are taken, and for which application they count.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// The list of users: `secretRef` (the file is called `users`) or `file`, below the node's folder of secrets. A line is
    /// `NAME:HASH`, with the PHC string of argon2id; `tollway basic-user NAME` makes one.
    users: SecretFile,
    /// The application that all of them call for.
    application: Option<String>,
    /// The environment whose backends they reach; default `production`.
    #[serde(default)]
    environment: CallerEnvironment,
    /// The scopes that they have; none by default.
    #[serde(default)]
    scopes: Vec<String>,
}

/// Looks the user up in a list of the node. A password is held against its hash off the cores, a few at a time and slower
/// with each wrong one; a pair that was right is remembered by a keyed digest until the user's line changes. A name that
/// nobody has costs what a wrong password costs.
///
/// The credential is taken out of the request, whether it was good or not.
///
/// # Errors
/// `CREDENTIALS_MISSING`, `PASSWORD_INVALID` (401) with `WWW-Authenticate`; `RATE_LIMITED` (429) after too many wrong ones;
/// `CREDENTIALS_UNVERIFIED` (503) while the list cannot be read, or too many passwords are being checked.
///
/// Source: RFC 7617.
struct Running {
    org: Org,
    files: [PathBuf; 1],
    /// The list's name: wrong attempts are counted for its users.
    list: Arc<str>,
    application: Option<Arc<str>>,
    environment: Environment,
    scopes: Vec<String>,
    challenge: HeaderValue,
}

impl PolicyKind for Basic {
    const NAME: &'static str = "basic";
    const PHASE: Phase = Phase::Authenticate;
    const SUMMARY: &'static str = "Authenticates the caller by a user's name and password.";
    type Config = Config;

    fn compile(
        &self,
        config: Config,
        env: &CompileEnv,
    ) -> Result<Box<dyn Policy>, Vec<Diagnostic>> {
        let mut faults = Vec::new();
        let Some(file) = path(&config.users, "users", "/users", &mut faults) else {
            return Err(faults);
        };
        let parameters = [("realm", env.api.as_str()), ("charset", "UTF-8")];
        Ok(Box::new(Running {
            org: env.org.clone(),
            list: file.to_string_lossy().into(),
            files: [file],
            application: config.application.map(Into::into),
            environment: crate::secret_file::environment(config.environment),
            scopes: config.scopes,
            challenge: challenge("Basic", &parameters),
        }))
    }
}

/// What a request shows.
struct Shown {
    name: String,
    password: Secret<String>,
}

/// Why a caller is refused.
enum Refusal {
    Missing,
    Several,
    Malformed,
    Wrong,
    NoApplication,
    Wait(u64),
    Busy,
    NoList,
}

impl Policy for Running {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        let shown = match shown(cx) {
            Ok(shown) => shown,
            Err(_) if cx.principal.is_some() => {
                take_out(cx);
                return Outcome::CONTINUE;
            }
            Err(refusal) => {
                take_out(cx);
                return self.render(&refusal).into();
            }
        };
        if cx.principal.is_some() {
            take_out(cx);
            return Outcome::CONTINUE;
        }
        let Some((users, _)) = self.users(cx) else {
            take_out(cx);
            return self.render(&Refusal::NoList).into();
        };
        let stored = users.hash_of(&shown.name);
        let digest = known::digest(cx, &self.list, &shown);
        let known = cx.core.memory::<Known>();
        let is_known = |stored: &Arc<str>| known.borrow().has(&digest, stored);
        if stored.as_ref().is_some_and(is_known) {
            take_out(cx);
            return match self.admit(cx, shown.name) {
                Ok(()) => Outcome::CONTINUE,
                Err(refusal) => self.render(&refusal).into(),
            };
        }
        // The request is as it was until the future runs.
        Outcome::Later(Box::pin(async move {
            take_out(cx);
            match self.check(cx, shown, stored, digest).await {
                Ok(()) => Verdict::Continue,
                Err(refusal) => Verdict::Reject(Box::new(self.render(&refusal))),
            }
        }))
    }
}

/// Takes credentials of this scheme out of the request; those of others are not ours.
fn take_out(cx: &mut RequestCx) {
    let mut values = cx.headers.get_all(AUTHORIZATION).iter();
    if values.any(|value| encoded(value).is_some()) {
        cx.headers.remove(AUTHORIZATION);
    }
}

/// What stands behind the scheme `Basic`, whose case does not matter (RFC 9110 §11.1).
fn encoded(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, rest) = value.as_bytes().split_at_checked(6)?;
    scheme.eq_ignore_ascii_case(b"basic ").then_some(rest)
}

fn shown(cx: &RequestCx) -> Result<Shown, Refusal> {
    let mut values = cx.headers.get_all(AUTHORIZATION).iter();
    let Some(first) = values.next() else {
        return Err(Refusal::Missing);
    };
    let Some(encoded) = encoded(first) else {
        return Err(Refusal::Missing);
    };
    if values.next().is_some() {
        return Err(Refusal::Several);
    }
    let decoded = std::str::from_utf8(encoded)
        .ok()
        .filter(|encoded| encoded.len() <= PAIR_BYTES_MAX * 2)
        .and_then(|encoded| base64_decoded(encoded.trim_ascii()));
    let decoded = decoded.filter(|pair| pair.len() <= PAIR_BYTES_MAX);
    let text = decoded.and_then(|pair| String::from_utf8(pair).ok());
    let text = text.filter(|text| !text.chars().any(char::is_control));
    let (name, password) = text
        .as_deref()
        .and_then(|text| text.split_once(':'))
        .ok_or(Refusal::Malformed)?;
    Ok(Shown {
        name: name.to_owned(),
        password: Secret::new(password.to_owned()),
    })
}

fn base64_decoded(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    STANDARD.decode(text).ok()
}

impl Running {
    fn users(&self, cx: &RequestCx) -> Option<(Rc<Users>, u64)> {
        from_files(&cx.core, cx.monotonic_ms, &self.files, |files| {
            Users::read(files.first().map_or(&[][..], Vec::as_slice))
        })
    }

    async fn check(
        &self,
        cx: &mut RequestCx,
        shown: Shown,
        stored: Option<Arc<str>>,
        digest: hmac::Tag,
    ) -> Result<(), Refusal> {
        let guess = PasswordGuess {
            list: Arc::clone(&self.list),
            name: shown.name.clone(),
            address: cx.client.ip,
            password: shown.password,
            stored: stored.clone(),
        };
        let answer = cx.core.runtime.passwords.check(guess).await;
        match (answer, stored) {
            (Ok(Guessed::Right), Some(stored)) => {
                let known = cx.core.memory::<Known>();
                let limits = &cx.core.runtime.remembered;
                known.borrow_mut().put(&digest, stored, limits);
                self.admit(cx, shown.name)
            }
            (Ok(Guessed::Right | Guessed::Wrong), _) => Err(Refusal::Wrong),
            (Ok(Guessed::Wait(seconds)), _) => Err(Refusal::Wait(seconds)),
            (Err(NotAnswered::TooMany | NotAnswered::Unavailable), _) => Err(Refusal::Busy),
        }
    }

    fn admit(&self, cx: &mut RequestCx, name: String) -> Result<(), Refusal> {
        let application = match &self.application {
            None => None,
            Some(named) => {
                let found = cx.core.runtime.directory.application(&self.org, named);
                Some(found.ok_or(Refusal::NoApplication)?)
            }
        };
        cx.principal = Some(Rc::new(Principal {
            org: self.org.clone(),
            application,
            credential: None,
            key: None,
            environment: self.environment,
            identity: Arc::new(Identity {
                subject: Some(name),
                scopes: Some(self.scopes.clone()),
                ..Identity::default()
            }),
            limits: None,
            token: None,
        }));
        Ok(())
    }

    fn render(&self, refusal: &Refusal) -> Reject {
        let refuse = |code, rule, detail: &'static str| {
            Reject::new(code, detail)
                .header(WWW_AUTHENTICATE, self.challenge.clone())
                .because(rule)
        };
        match refusal {
            Refusal::Missing => refuse(
                CREDENTIALS_MISSING,
                "password-missing",
                "the request carries no user name and password",
            ),
            Refusal::Several => refuse(
                PASSWORD_INVALID,
                "one-credential",
                "the request carries more than one credential",
            ),
            Refusal::Malformed => refuse(
                PASSWORD_INVALID,
                "password-form",
                "the credential is no user name and password in base64 (RFC 7617)",
            ),
            Refusal::Wrong => refuse(
                PASSWORD_INVALID,
                "password",
                "the user name or the password is wrong",
            ),
            Refusal::NoApplication => refuse(
                PASSWORD_INVALID,
                "application-exists",
                "the application that the user calls for does not exist (any more)",
            ),
            Refusal::Wait(seconds) => Reject::new(
                RATE_LIMITED,
                "too many wrong passwords came for this user or from this address",
            )
            .retry_after((*seconds).max(1))
            .because("password-guesses"),
            Refusal::Busy => Reject::new(
                CREDENTIALS_UNVERIFIED,
                "too many passwords are being checked at the moment",
            )
            .retry_after(1)
            .because("passwords-busy"),
            Refusal::NoList => Reject::new(
                CREDENTIALS_UNVERIFIED,
                "passwords cannot be checked on this node: the list of users cannot be read",
            )
            .retry_after(1)
            .because("users"),
        }
    }
}

#[cfg(test)]
mod tests;
