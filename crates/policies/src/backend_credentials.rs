//! `backendCredentials`: what the gateway proves itself to the backend with.

mod config;
mod oauth;

use std::path::PathBuf;
use std::rc::Rc;

use base::code::BACKEND_CREDENTIAL_MISSING;
use base::{Diagnostic, Environment, Secret};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use policy::{
    BackendAuthCounts, CompileEnv, Outcome, Phase, Policy, PolicyKind, Reject, RequestCx,
    ResponseCx, Verdict, from_files,
};

use crate::api_key;
pub use config::Config;
use config::Way;
use oauth::Oauth;

/// The kind.
pub struct BackendCredentials;

/// The longest secret, in bytes: common servers take 8 to 16 KiB in one field. One that is longer is as good as none.
const SECRET_BYTES_MAX: usize = 16 << 10;

/// Puts the gateway's own credential in the place of what the client sent: its `Authorization`, and the header or query
/// parameter that carries the credential, never reach the backend. Files are looked at once a second, so a changed secret is
/// shown from then on; one that cannot be used leaves in force what was.
///
/// # Errors
/// `BACKEND_CREDENTIAL_MISSING` (503) while the secret cannot be read, or no token can be had; the backend is not called.
struct Running {
    /// For calls to the backends of this environment alone; `None` = of all.
    environment: Option<Environment>,
    shows: Shows,
}

enum Shows {
    /// A text made of files, in a header.
    Header { name: HeaderName, make: Make },
    /// A text made of a file, in a query parameter.
    Query { name: String, make: Make },
    /// A token.
    Oauth(Box<Oauth>),
}

/// What is made of files.
struct Make {
    files: Box<[PathBuf]>,
    /// Before the text; of `basic` there is none, since its texts are encoded together.
    prefix: Option<String>,
}

impl PolicyKind for BackendCredentials {
    const NAME: &'static str = "backendCredentials";
    const PHASE: Phase = Phase::ChooseBackend;
    const SUMMARY: &'static str = "Shows the backend the gateway's own credential: a password, an API key, or an OAuth token.";
    type Config = Config;

    fn compile(&self, config: Config, _: &CompileEnv) -> Result<Box<dyn Policy>, Vec<Diagnostic>> {
        let mut faults = Vec::new();
        let environment = config.environment.map(crate::secret_file::environment);
        let shows = match config.way(&mut faults) {
            Some(Way::Basic(files)) => Some(Shows::Header {
                name: AUTHORIZATION,
                make: Make {
                    files,
                    prefix: None,
                },
            }),
            Some(Way::Header(name, file, prefix)) => Some(Shows::Header {
                name,
                make: Make {
                    files: [file].into(),
                    prefix: Some(prefix),
                },
            }),
            Some(Way::Query(name, file)) => Some(Shows::Query {
                name,
                make: Make {
                    files: [file].into(),
                    prefix: Some(String::new()),
                },
            }),
            Some(Way::Oauth(oauth)) => Some(Shows::Oauth(oauth)),
            None => None,
        };
        match shows.filter(|_| faults.is_empty()) {
            Some(shows) => Ok(Box::new(Running { environment, shows })),
            None => Err(faults),
        }
    }
}

/// What stands in a header; told from others that are made of the same files.
struct Shown(HeaderValue);
/// What stands in a query, encoded.
struct Parameter(Secret<String>);

impl Make {
    fn header(&self, cx: &RequestCx) -> Option<HeaderValue> {
        // What is remembered is remembered by the files, whatever stands before their text.
        let made: (Rc<Text>, u64) = from_files(&cx.core, cx.monotonic_ms, &self.files, Text::read)?;
        let text = &made.0;
        match &self.prefix {
            None => Some(text.basic.as_ref()?.0.clone()),
            Some(prefix) if prefix.is_empty() => Some(text.plain.as_ref()?.0.clone()),
            Some(prefix) => {
                let secret = text.secret.expose();
                sensitive(&Secret::new(format!("{prefix}{secret}")))
            }
        }
    }

    fn parameter(&self, cx: &RequestCx) -> Option<Rc<Text>> {
        let (made, _) = from_files(&cx.core, cx.monotonic_ms, &self.files, Text::read)?;
        Some(made)
    }
}

/// What a file of a secret says, in all the ways that it is shown; or a file of a name and one of a password.
struct Text {
    secret: Secret<String>,
    plain: Option<Shown>,
    basic: Option<Shown>,
    parameter: Parameter,
}

impl Text {
    fn read(files: &[Vec<u8>]) -> Result<Self, String> {
        let mut texts = Vec::with_capacity(files.len());
        for bytes in files {
            texts.push(secret_text(bytes)?);
        }
        let secret = match texts.as_slice() {
            [one] => one.clone(),
            [name, password] if name.expose().contains(':') => {
                let _ = password;
                return Err("the user's name has a colon (RFC 7617 §2)".to_owned());
            }
            [name, password] => Secret::new(format!("{}:{}", name.expose(), password.expose())),
            _ => return Err("there is no file".to_owned()),
        };
        let encoded = Secret::new(format!("Basic {}", STANDARD.encode(secret.expose())));
        let pair = secret.expose().contains(':');
        let parameter: String =
            form_urlencoded::byte_serialize(secret.expose().as_bytes()).collect();
        Ok(Self {
            plain: sensitive(&secret).map(Shown),
            basic: pair.then(|| sensitive(&encoded)).flatten().map(Shown),
            parameter: Parameter(Secret::new(parameter)),
            secret,
        })
    }
}

/// The text of a secret's file, without what ends its last line. The error says nothing of it.
fn secret_text(bytes: &[u8]) -> Result<Secret<String>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is no UTF-8".to_owned())?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.len() > SECRET_BYTES_MAX || text.chars().any(char::is_control) {
        return Err("it is longer than 16 KiB, or has control characters".to_owned());
    }
    Ok(Secret::new(text.to_owned()))
}

/// `None` for a text that cannot stand in a header. Its `Debug` shows nothing, and HTTP/2 keeps it in no table.
fn sensitive(text: &Secret<String>) -> Option<HeaderValue> {
    let text = text.expose();
    if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return None;
    }
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl Policy for Running {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        if !self.is_for(cx) {
            return Outcome::CONTINUE;
        }
        cx.headers.remove(AUTHORIZATION);
        match &self.shows {
            Shows::Header { name, make } => match make.header(cx) {
                Some(value) => {
                    cx.headers.insert(name, value);
                    Outcome::CONTINUE
                }
                None => refused(cx, unreadable(&make.files)),
            },
            Shows::Query { name, make } => {
                api_key::remove_from_query(&mut cx.query, name);
                match make.parameter(cx) {
                    Some(text) => {
                        add_to_query(&mut cx.query, name, text.parameter.0.expose());
                        Outcome::CONTINUE
                    }
                    None => refused(cx, unreadable(&make.files)),
                }
            }
            Shows::Oauth(oauth) => match oauth.known(cx) {
                Ok(Some(value)) => {
                    cx.headers.insert(AUTHORIZATION, value);
                    Outcome::CONTINUE
                }
                Ok(None) => Outcome::Later(Box::pin(async move {
                    match oauth.ask(cx).await {
                        Ok(value) => {
                            cx.headers.insert(AUTHORIZATION, value);
                            Verdict::Continue
                        }
                        Err(reject) => Verdict::Reject(Box::new(counted(cx, reject))),
                    }
                })),
                Err(reject) => refused(cx, reject),
            },
        }
    }

    fn on_response(&self, cx: &mut ResponseCx<'_>) {
        if let Shows::Oauth(oauth) = &self.shows
            && cx.status == http::StatusCode::UNAUTHORIZED
            && self.is_for(cx.request)
        {
            oauth.refused(cx.request);
        }
    }
}

impl Running {
    fn is_for(&self, cx: &RequestCx) -> bool {
        let environment = cx.principal.as_ref().map(|caller| caller.environment);
        self.environment
            .is_none_or(|only| only == environment.unwrap_or_default())
    }
}

/// Behind the other parameters.
pub(crate) fn add_to_query(query: &mut Option<String>, name: &str, encoded: &str) {
    let mut text = query.take().unwrap_or_default();
    if !text.is_empty() && !text.ends_with('&') {
        text.push('&');
    }
    text.extend(form_urlencoded::byte_serialize(name.as_bytes()));
    text.push('=');
    text.push_str(encoded);
    *query = Some(text);
}

fn refused<'a>(cx: &RequestCx, reject: Reject) -> Outcome<'a> {
    counted(cx, reject).into()
}

fn counted(cx: &RequestCx, reject: Reject) -> Reject {
    BackendAuthCounts::add(&cx.core.runtime.backend_auth.counts.refused, 1);
    reject
}

fn unreadable(files: &[PathBuf]) -> Reject {
    let files: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    missing("the credential for the backend cannot be read")
        .because("backend-secret")
        .fact("file", "", files.join(" "))
}

fn missing(detail: &'static str) -> Reject {
    Reject::new(BACKEND_CREDENTIAL_MISSING, detail).retry_after(1)
}

#[cfg(test)]
pub(crate) mod tests;
