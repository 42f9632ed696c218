//! Access tokens that the gateway shows to backends: asked for by the guarded client, kept for all cores, renewed while the
//! one before is still good.
//!
//! Cores wait for a token that is not there yet, and for nothing else: requests run on the feed's threads, and what is locked
//! is locked for a look-up.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{Clock, Digest, Secret};
use fetch::{FetchError, Fetcher};
use futures_util::FutureExt as _;
use futures_util::future::Shared;
use http::header::HeaderValue;
use policy::backend_tokens::{AskingToken, BackendTokens};
use policy::{BackendToken, NoToken, TokenClient, TokenProof, TokenRequest};
use serde::Deserialize;
use tokio::runtime::Handle;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::client_basic;

/// Tokens are shown so much less long than they are good: the call has to arrive.
const EARLY_MS: u64 = 5_000;
/// The longest time before the end at which another token is asked for.
const AHEAD_MS_MAX: u64 = 60_000;

/// What is asked for and kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TokenLimits {
    /// Clients whose tokens are kept; default 1,000.
    pub clients_max: usize,
    /// The longest answer, in bytes; default 64 KiB.
    pub answer_bytes_max: usize,
    /// The longest token, in bytes; default 16 KiB.
    pub token_bytes_max: usize,
    /// An endpoint that failed is left alone for so long, in milliseconds, twice as long after each further failure; default 1 second.
    pub pause_ms: u64,
    /// The longest of these pauses; default 1 minute.
    pub pause_ms_max: u64,
    /// A token that a backend refuses is replaced when it is at least so old, in milliseconds: else it would be asked for with
    /// every call; default 10 seconds.
    pub refused_age_ms: u64,
}

impl Default for TokenLimits {
    fn default() -> Self {
        Self {
            clients_max: 1_000,
            answer_bytes_max: 64 << 10,
            token_bytes_max: 16 << 10,
            pause_ms: 1_000,
            pause_ms_max: 60_000,
            refused_age_ms: 10_000,
        }
    }
}

/// What happened, for metrics.
#[derive(Debug, Default)]
pub struct TokenCounts {
    /// Tokens that were given.
    pub given: AtomicU64,
    /// Requests that gave none.
    pub failed: AtomicU64,
    /// Calls whose token was not asked for, since too many clients are known.
    pub too_many: AtomicU64,
    /// Clients whose tokens are kept.
    pub clients: AtomicU64,
    /// Answers that were too long.
    answer_bytes: AtomicU64,
    /// Tokens that were too long.
    token_bytes: AtomicU64,
    /// Answers that took too long.
    timeouts: AtomicU64,
    /// Calls that got no token since its endpoint is left alone.
    paused: AtomicU64,
    /// Refused tokens that were too young to be replaced.
    refused_young: AtomicU64,
}

impl TokenCounts {
    /// How often each limit took effect, by its label.
    pub fn limits(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = [
            ("clients", &self.too_many),
            ("answer_bytes", &self.answer_bytes),
            ("token_bytes", &self.token_bytes),
            ("timeout", &self.timeouts),
            ("pause", &self.paused),
            ("refused_age", &self.refused_young),
        ];
        let read = |(limit, count): (_, &AtomicU64)| (limit, count.load(Ordering::Relaxed));
        all.map(read).into_iter()
    }
}

fn count(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// The tokens of one node.
pub struct Tokens {
    asker: Arc<Asker>,
    handle: Handle,
    places: Mutex<HashMap<Digest, Arc<Mutex<Place>>>>,
}

/// Asks token endpoints.
struct Asker {
    fetcher: Fetcher,
    clock: Arc<dyn Clock>,
    counts: Arc<TokenCounts>,
    limits: TokenLimits,
}

type Answer = Result<Arc<BackendToken>, NoToken>;
type Asked = Shared<Pin<Box<dyn Future<Output = Answer> + Send>>>;

/// What is known of one client with one secret.
#[derive(Default)]
struct Place {
    client: Option<Digest>,
    token: Option<Arc<BackendToken>>,
    given_ms: u64,
    /// The one request that is under way.
    asked: Option<Asked>,
    failures: u32,
    /// The endpoint is left alone until then.
    pause_until_ms: u64,
}

impl Place {
    fn good(&self, now_ms: u64) -> Option<&Arc<BackendToken>> {
        self.token.as_ref().filter(|token| now_ms < token.ends_ms)
    }

    fn ended(&mut self, answer: &Answer, now_ms: u64, limits: &TokenLimits) {
        self.asked = None;
        match answer {
            Ok(token) => {
                self.token = Some(Arc::clone(token));
                self.given_ms = now_ms;
                self.failures = 0;
                self.pause_until_ms = 0;
            }
            Err(_) => {
                // Doubled as often, an hour is still no overflow.
                let pause_ms = limits.pause_ms << self.failures.min(32);
                self.failures = self.failures.saturating_add(1);
                self.pause_until_ms = now_ms + pause_ms.min(limits.pause_ms_max);
            }
        }
    }
}

impl Tokens {
    /// Asks with this client, on the runtime that this is called on.
    #[must_use]
    pub fn new(fetcher: Fetcher, clock: Arc<dyn Clock>, limits: TokenLimits) -> Self {
        Self {
            asker: Arc::new(Asker {
                fetcher,
                clock,
                counts: Arc::default(),
                limits,
            }),
            handle: Handle::current(),
            places: Mutex::default(),
        }
    }

    /// What happened.
    #[must_use]
    pub fn counts(&self) -> Arc<TokenCounts> {
        Arc::clone(&self.asker.counts)
    }

    fn place(&self, client: &TokenClient, secret: &Secret<String>) -> Option<Arc<Mutex<Place>>> {
        // Another secret is another proof: what was given for the one before is not shown with it.
        let id = Digest::of_list(&[client.id().as_bytes(), secret.expose().as_bytes()]);
        let mut places = lock(&self.places);
        if let Some(place) = places.get(&id) {
            return Some(Arc::clone(place));
        }
        let clients_max = self.asker.limits.clients_max;
        if places.len() >= clients_max {
            let now_ms = self.asker.clock.monotonic_ms();
            places.retain(|_, place| {
                let place = lock(place);
                place.asked.is_some() || place.good(now_ms).is_some()
            });
        }
        if places.len() >= clients_max {
            return None;
        }
        let place = Arc::new(Mutex::new(Place {
            client: Some(*client.id()),
            ..Place::default()
        }));
        places.insert(id, Arc::clone(&place));
        let count = places.len() as u64;
        self.asker.counts.clients.store(count, Ordering::Relaxed);
        Some(place)
    }

    /// Begins to ask; `place` is the locked one.
    fn begin(
        &self,
        place: &mut Place,
        shared: &Arc<Mutex<Place>>,
        client: Arc<TokenClient>,
        secret: Secret<String>,
    ) -> Asked {
        let (asker, shared) = (Arc::clone(&self.asker), Arc::clone(shared));
        // A task of its own: who asked first may go away before the answer comes.
        let task = self.handle.spawn(async move {
            let answer = asker.ask(client.request(), &secret).await;
            lock(&shared).ended(&answer, asker.clock.monotonic_ms(), &asker.limits);
            answer
        });
        let broken = || Err(NoToken::Failed("the request was broken off".to_owned()));
        let asked = async move { task.await.unwrap_or_else(|_| broken()) };
        let asked = (Box::pin(asked) as Pin<Box<dyn Future<Output = Answer> + Send>>).shared();
        place.asked = Some(asked.clone());
        asked
    }
}

impl BackendTokens for Tokens {
    fn token(&self, client: Arc<TokenClient>, secret: Secret<String>) -> AskingToken {
        let ready = |answer| Box::pin(std::future::ready(answer));
        let Some(shared) = self.place(&client, &secret) else {
            count(&self.asker.counts.too_many);
            return ready(Err(NoToken::TooMany));
        };
        let now_ms = self.asker.clock.monotonic_ms();
        let mut place = lock(&shared);
        let free = place.asked.is_none() && now_ms >= place.pause_until_ms;
        if let Some(token) = place.good(now_ms).cloned() {
            if now_ms >= token.renew_ms && free {
                // Nobody waits for it: the task goes on by itself.
                drop(self.begin(&mut place, &shared, client, secret));
            }
            return ready(Ok(token));
        }
        if let Some(asked) = &place.asked {
            return Box::pin(asked.clone());
        }
        if !free {
            count(&self.asker.counts.paused);
            let left_ms = place.pause_until_ms - now_ms;
            return ready(Err(NoToken::Wait(left_ms.div_ceil(1000))));
        }
        Box::pin(self.begin(&mut place, &shared, client, secret))
    }

    fn refused(&self, client: &TokenClient, token: &Arc<BackendToken>) {
        let now_ms = self.asker.clock.monotonic_ms();
        let places: Vec<_> = lock(&self.places).values().cloned().collect();
        for place in places {
            let mut place = lock(&place);
            let is_it = place.client == Some(*client.id())
                && place
                    .token
                    .as_ref()
                    .is_some_and(|has| Arc::ptr_eq(has, token));
            if is_it && now_ms.saturating_sub(place.given_ms) >= self.asker.limits.refused_age_ms {
                place.token = None;
            } else if is_it {
                count(&self.asker.counts.refused_young);
            }
        }
    }
}

/// RFC 6749 §5.1.
#[derive(Deserialize)]
struct Given {
    access_token: String,
    token_type: String,
    expires_in: Option<u64>,
}

impl Asker {
    async fn ask(&self, request: &TokenRequest, secret: &Secret<String>) -> Answer {
        let asked_ms = self.clock.monotonic_ms();
        let limit = Duration::from_millis(request.timeout_ms);
        let answer = match tokio::time::timeout(limit, self.post(request, secret)).await {
            Ok(answer) => answer.and_then(|body| self.read(&body, request, asked_ms)),
            Err(_) => {
                count(&self.counts.timeouts);
                Err(format!("no whole answer within {} ms", request.timeout_ms))
            }
        };
        let ended = match &answer {
            Ok(_) => &self.counts.given,
            Err(fault) => {
                let (url, client) = (&request.url, &request.client_id);
                tracing::warn!(url, client, fault, "no token for a backend is given");
                &self.counts.failed
            }
        };
        count(ended);
        answer.map_err(NoToken::Failed)
    }

    async fn post(
        &self,
        request: &TokenRequest,
        secret: &Secret<String>,
    ) -> Result<Vec<u8>, String> {
        let url: Url = request.url.parse().map_err(|_| "it is no URL".to_owned())?;
        if url.scheme() != "https" && !self.fetcher.knows(&url) {
            return Err(
                "secrets go to `https` alone, unless --outbound-allow names the host".to_owned(),
            );
        }
        let in_form = request.proof == TokenProof::Form;
        let form = form(request, in_form.then_some(secret));
        let credentials = (!in_form).then(|| client_basic::value(&request.client_id, secret));
        let bytes_max = self.limits.answer_bytes_max;
        let asked = self.fetcher.ask_form(&url, form, credentials, bytes_max);
        asked.await.map_err(|error| {
            if matches!(error, FetchError::TooLarge(_)) {
                count(&self.counts.answer_bytes);
            }
            error.to_string()
        })
    }

    /// What an answer gives. The fault says nothing of its content.
    fn read(
        &self,
        body: &[u8],
        request: &TokenRequest,
        asked_ms: u64,
    ) -> Result<Arc<BackendToken>, String> {
        let given: Given = serde_json::from_slice(body)
            .map_err(|_| "the answer is no token (RFC 6749 §5.1)".to_owned())?;
        if !given.token_type.eq_ignore_ascii_case("bearer") {
            return Err("the token is no bearer token".to_owned());
        }
        let token = Secret::new(given.access_token);
        let bytes_max = self.limits.token_bytes_max;
        if token.expose().len() > bytes_max {
            count(&self.counts.token_bytes);
            return Err(format!("the token is longer than {bytes_max} bytes"));
        }
        let plain = token.expose().bytes().all(|byte| byte.is_ascii_graphic());
        if token.expose().is_empty() || !plain {
            return Err("the token is empty, or cannot stand in a header".to_owned());
        }
        let text = Secret::new(format!("Bearer {}", token.expose()));
        let mut value = HeaderValue::from_str(text.expose()).expect("all of it is visible ASCII");
        value.set_sensitive(true);
        let good_ms = given
            .expires_in
            .map_or(request.lifetime_ms, |seconds| seconds.saturating_mul(1000));
        let shown_ms = good_ms - EARLY_MS.min(good_ms / 10);
        let ahead_ms = (good_ms / 5).min(AHEAD_MS_MAX);
        let ends_ms = asked_ms.saturating_add(shown_ms);
        Ok(Arc::new(BackendToken {
            value,
            renew_ms: ends_ms.saturating_sub(ahead_ms),
            ends_ms,
        }))
    }
}

fn form(request: &TokenRequest, secret: Option<&Secret<String>>) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    let more = [
        ("scope", &request.scope),
        ("audience", &request.audience),
        ("resource", &request.resource),
    ];
    for (name, value) in more {
        if let Some(value) = value {
            form.append_pair(name, value);
        }
    }
    if let Some(secret) = secret {
        form.append_pair("client_id", &request.client_id);
        form.append_pair("client_secret", secret.expose());
    }
    form.finish()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
