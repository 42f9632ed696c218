//! Access tokens for backends: what a core remembers of them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use base::{Diagnostic, Digest, Secret};
use http::header::HeaderValue;
use policy::{
    BackendAuthCounts, BackendToken, NoToken, Reject, RequestCx, TokenClient, TokenProof,
    TokenRequest, from_files,
};
use spec::units::Duration;

use super::config::{ClientAuth, OauthConfig};
use super::{missing, secret_text, unreadable};
use crate::secret_file::path;

/// Unless the document says another.
const TIMEOUT: Duration = Duration::from_ms(5_000);
const LIFETIME: Duration = Duration::from_ms(300_000);
/// How often a core looks whether there is a newer token, and a newer secret.
const LOOK_EVERY_MS: u64 = 1_000;

/// Where tokens come from.
pub(super) struct Oauth {
    client: Arc<TokenClient>,
    secret: [PathBuf; 1],
}

/// What one core remembers, by the client.
#[derive(Default)]
struct Known(HashMap<Digest, Seen, foldhash::fast::RandomState>);

struct Seen {
    token: Arc<BackendToken>,
    looked_ms: u64,
}

impl Oauth {
    pub(super) fn compile(config: OauthConfig, faults: &mut Vec<Diagnostic>) -> Option<Self> {
        let place = path(
            &config.client_secret,
            "client-secret",
            "/oauth/clientSecret",
            faults,
        );
        let timeout = within(config.timeout, TIMEOUT, (100, 60_000), "timeout", faults);
        let lifetime = within(
            config.lifetime,
            LIFETIME,
            (10_000, 86_400_000),
            "lifetime",
            faults,
        );
        if !is_url(&config.token_url) {
            let message = "an absolute URL with `https` (or `http`, where `--outbound-allow` names it), without user, query and fragment is expected";
            faults.push(Diagnostic::error("token-url", "/oauth/tokenUrl", message));
        }
        let plain = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        if !plain(&config.client_id) {
            let message = "the client's id has no control characters";
            faults.push(Diagnostic::error("client-id", "/oauth/clientId", message));
        }
        let is_scope = |scope: &String| {
            let token = |byte: u8| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~');
            !scope.is_empty() && scope.bytes().all(token)
        };
        if let Some(index) = config.scopes.iter().position(|scope| !is_scope(scope)) {
            let pointer = format!("/oauth/scopes/{index}");
            faults.push(Diagnostic::error(
                "scope",
                pointer,
                "it is no scope (RFC 6749 §3.3)",
            ));
        }
        let client = TokenClient::new(TokenRequest {
            url: config.token_url,
            client_id: config.client_id,
            proof: match config.client_auth {
                ClientAuth::Basic => TokenProof::Basic,
                ClientAuth::Form => TokenProof::Form,
            },
            scope: (!config.scopes.is_empty()).then(|| config.scopes.join(" ")),
            audience: config.audience,
            resource: config.resource,
            timeout_ms: timeout.as_ms(),
            lifetime_ms: lifetime.as_ms(),
        });
        Some(Self {
            client: Arc::new(client),
            secret: [place?],
        })
    }

    /// The token that the core knows; `Ok(None)` when the node has to be asked.
    pub(super) fn known(&self, cx: &mut RequestCx) -> Result<Option<HeaderValue>, Reject> {
        let memory: Rc<RefCell<Known>> = cx.core.memory();
        let memory = memory.borrow();
        let Some(seen) = memory.0.get(self.client.id()) else {
            return Ok(None);
        };
        let fresh = cx.monotonic_ms.saturating_sub(seen.looked_ms) < LOOK_EVERY_MS
            && cx.monotonic_ms < seen.token.ends_ms;
        if !fresh {
            return Ok(None);
        }
        Ok(Some(seen.token.value.clone()))
    }

    /// The token that the node has, which may have to ask for it.
    pub(super) async fn ask(&self, cx: &mut RequestCx) -> Result<HeaderValue, Reject> {
        let secret = from_files(&cx.core, cx.monotonic_ms, &self.secret, |files| {
            secret_text(files.first().map_or(&[][..], Vec::as_slice))
        });
        let Some((secret, _)) = secret else {
            return Err(unreadable(&self.secret));
        };
        let tokens = Arc::clone(&cx.core.runtime.backend_tokens);
        let asked = tokens.token(Arc::clone(&self.client), Secret::clone(&secret));
        let token = asked.await.map_err(|fault| self.refusal(&fault))?;
        let memory: Rc<RefCell<Known>> = cx.core.memory();
        let mut memory = memory.borrow_mut();
        let backend_auth = &cx.core.runtime.backend_auth;
        // All of them: what is used is looked up again, what is not is gone.
        if memory.0.len() >= backend_auth.tokens_max {
            BackendAuthCounts::add(&backend_auth.counts.tokens_forgotten, memory.0.len());
            memory.0.clear();
        }
        let value = token.value.clone();
        let seen = Seen {
            token,
            looked_ms: cx.core.runtime.clock.monotonic_ms(),
        };
        memory.0.insert(*self.client.id(), seen);
        Ok(value)
    }

    /// The backend answered 401: the token may have been taken back before its time.
    pub(super) fn refused(&self, cx: &RequestCx) {
        let memory: Rc<RefCell<Known>> = cx.core.memory();
        if let Some(seen) = memory.borrow_mut().0.remove(self.client.id()) {
            cx.core
                .runtime
                .backend_tokens
                .refused(&self.client, &seen.token);
        }
    }

    fn refusal(&self, fault: &NoToken) -> Reject {
        let mut reject = missing("there is no token for the backend");
        if let NoToken::Wait(seconds) = fault {
            reject = reject.retry_after((*seconds).max(1));
        }
        reject.because("backend-token").fact(
            "token endpoint",
            fault.to_string(),
            self.client.request().url.clone(),
        )
    }
}

fn within(
    given: Option<Duration>,
    usual: Duration,
    (least_ms, most_ms): (u64, u64),
    key: &str,
    faults: &mut Vec<Diagnostic>,
) -> Duration {
    let found = given.unwrap_or(usual);
    if found.as_ms() < least_ms || found.as_ms() > most_ms {
        let (least, most) = (Duration::from_ms(least_ms), Duration::from_ms(most_ms));
        let message = format!("between {least} and {most} are accepted");
        faults.push(Diagnostic::error(
            "duration-range",
            format!("/oauth/{key}"),
            message,
        ));
    }
    found
}

/// As far as can be said without the client that fetches it, which looks at all of it.
fn is_url(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let parsed: Option<http::Uri> = text.parse().ok();
    let (Some(rest), Some(uri)) = (rest, parsed) else {
        return false;
    };
    uri.host().is_some_and(|host| !host.is_empty()) && !rest.contains(['@', '?', '#'])
}
