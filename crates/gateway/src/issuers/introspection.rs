//! Asking an issuer what a token stands for (RFC 7662).
//!
//! Equal questions are one. Questions on the way are bounded, and so is what is remembered; no answer is used beyond the token's
//! `exp`. Tokens are remembered by their SHA-256 alone.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{Clock, Digest};
use fetch::FetchError;
use futures_util::FutureExt as _;
use futures_util::future::Shared;
use policy::{Asking, Introspected, NotAnswered};
use serde_json::{Map, Value};
use sync::issuer::IntrospectionModel;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use url::form_urlencoded::Serializer;

use super::Settings;
use super::counts::Counts;
use super::limits::Limit;
use super::metadata::{Fault, Places};
use super::secret::{SecretFault, SecretOf};
use crate::client_basic;

/// `None`: the token is not active.
type Answer = Option<Arc<Introspected>>;
type Boxed = Pin<Box<dyn Future<Output = Result<Answer, NotAnswered>> + Send>>;
type Asked = Shared<Boxed>;

/// The issuer was not asked, or did not answer.
#[derive(Debug, thiserror::Error)]
enum AskFault {
    #[error(transparent)]
    Secret(#[from] SecretFault),
    #[error("{0}")]
    Place(Fault),
    #[error("the issuer refuses our client (401): is its secret right?")]
    Refused,
    #[error("{0}")]
    Fetch(FetchError),
    #[error("the answer is no JSON object with `active`")]
    NoAnswer,
    #[error("no answer within {0} ms")]
    Timeout(u64),
}

/// See the module.
pub(super) struct Introspector {
    model: IntrospectionModel,
    issuer: String,
    places: Arc<Places>,
    secret: SecretOf,
    clock: Arc<dyn Clock>,
    counts: Arc<Counts>,
    known: Mutex<Remembered>,
    on_the_way: Mutex<HashMap<Digest, Asked>>,
    /// One for each question that is on the way.
    connections: Semaphore,
    answer_bytes_max: usize,
    fault: Mutex<Option<String>>,
}

impl Introspector {
    pub(super) fn new(
        model: IntrospectionModel,
        issuer: String,
        places: Arc<Places>,
        settings: &Settings,
        clock: Arc<dyn Clock>,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            secret: SecretOf::new(&model.secret, &settings.secrets_dir),
            known: Mutex::new(Remembered::new(model.entries_max, Arc::clone(&counts))),
            model,
            issuer,
            places,
            clock,
            counts,
            on_the_way: Mutex::default(),
            connections: Semaphore::new(settings.limits.questions_parallel),
            answer_bytes_max: settings.limits.answer_bytes_max,
            fault: Mutex::default(),
        }
    }

    /// Why the last question had no answer.
    pub(super) fn fault(&self) -> Option<String> {
        lock(&self.fault).clone()
    }

    /// What a token stands for. Called by a core: nothing here waits but the answer, and what is locked is locked for a look-up.
    pub(super) fn ask(self: &Arc<Self>, token: &str, handle: &Handle) -> Asking<Answer> {
        let (introspector, token) = (Arc::clone(self), token.to_owned());
        let asking = handle.spawn(async move { introspector.answer(token).await });
        Box::pin(async move { asking.await.unwrap_or(Err(NotAnswered::Unavailable)) })
    }

    async fn answer(self: Arc<Self>, token: String) -> Result<Answer, NotAnswered> {
        let digest = Digest::of(token.as_bytes());
        if let Some(answer) = lock(&self.known).get(&digest, self.clock.unix_ms()) {
            self.counts.introspected("cached");
            return Ok(answer);
        }
        let asked = {
            let mut on_the_way = lock(&self.on_the_way);
            match on_the_way.get(&digest) {
                Some(asked) => asked.clone(),
                None if on_the_way.len() >= self.model.waiting_max => {
                    self.counts.introspected("refused");
                    self.counts.hit(Limit::QuestionsWaiting);
                    return Err(NotAnswered::TooMany);
                }
                None => {
                    let introspector = Arc::clone(&self);
                    // A task of its own: who asked first may go away before the answer comes.
                    let task = tokio::spawn(introspector.ask_issuer(digest, token));
                    let asked = task.map(|ended| ended.unwrap_or(Err(NotAnswered::Unavailable)));
                    let asked: Boxed = Box::pin(asked);
                    let asked = asked.shared();
                    on_the_way.insert(digest, asked.clone());
                    asked
                }
            }
        };
        asked.await
    }

    async fn ask_issuer(
        self: Arc<Self>,
        digest: Digest,
        token: String,
    ) -> Result<Answer, NotAnswered> {
        let limit = Duration::from_millis(self.model.timeout_ms);
        let result = match tokio::time::timeout(limit, self.post(&token)).await {
            Ok(result) => result,
            Err(_) => {
                self.counts.hit(Limit::AnswerTimeout);
                Err(AskFault::Timeout(self.model.timeout_ms))
            }
        };
        let result = result.map(|answer| self.understood(answer));
        match result {
            Ok((answer, until_unix_ms)) => {
                let word = if answer.is_some() {
                    "active"
                } else {
                    "inactive"
                };
                self.counts.introspected(word);
                *lock(&self.fault) = None;
                lock(&self.known).put(digest, answer.clone(), until_unix_ms);
                lock(&self.on_the_way).remove(&digest);
                Ok(answer)
            }
            Err(fault) => {
                self.counts.introspected("failed");
                let text = fault.to_string();
                let before = lock(&self.fault).replace(text.clone());
                if before.as_ref() != Some(&text) {
                    tracing::warn!(
                        issuer = self.issuer,
                        fault = text,
                        "a token issuer cannot be asked for tokens"
                    );
                }
                lock(&self.on_the_way).remove(&digest);
                Err(NotAnswered::Unavailable)
            }
        }
    }

    async fn post(&self, token: &str) -> Result<Map<String, Value>, AskFault> {
        if self.connections.available_permits() == 0 {
            self.counts.hit(Limit::QuestionsParallel);
        }
        // The semaphore is never closed.
        let _connection = self.connections.acquire().await;
        let url = self.places.introspection().await.map_err(AskFault::Place)?;
        let secret = self.secret.get(self.clock.monotonic_ms())?;
        let client_id = self.model.client_id.as_str();
        let client = (client_id, secret.expose().as_str());
        let form = form(token, self.model.in_form.then_some(client));
        let credentials = (!self.model.in_form).then(|| client_basic::value(client_id, &secret));
        let fetcher = self.places.fetcher();
        let body = fetcher.ask_form(&url, form, credentials, self.answer_bytes_max);
        let body = body.await.map_err(|error| match error {
            FetchError::Status(401) => AskFault::Refused,
            FetchError::TooLarge(_) => {
                self.counts.hit(Limit::AnswerBytes);
                AskFault::Fetch(error)
            }
            other => AskFault::Fetch(other),
        })?;
        match serde_json::from_slice(&body) {
            Ok(Value::Object(members)) if members.get("active").is_some_and(Value::is_boolean) => {
                Ok(members)
            }
            _ => Err(AskFault::NoAnswer),
        }
    }

    /// What an answer means, and until when it may be used.
    fn understood(&self, mut members: Map<String, Value>) -> (Answer, u64) {
        let now_unix_ms = self.clock.unix_ms();
        if members.get("active") != Some(&Value::Bool(true)) || is_other_token(&members) {
            let until = now_unix_ms.saturating_add(self.model.negative_ttl_ms);
            return (None, until);
        }
        let mut until = now_unix_ms.saturating_add(self.model.ttl_ms);
        match members.get("exp").and_then(Value::as_u64) {
            Some(exp) => until = until.min(exp.saturating_mul(1000)),
            // Of a claim of another type the policy tells.
            None if members.contains_key("exp") => {}
            None => {
                let exp = (until / 1000).max(now_unix_ms / 1000 + 1);
                members.insert("exp".to_owned(), exp.into());
            }
        }
        members
            .entry("iss")
            .or_insert_with(|| self.issuer.clone().into());
        let introspected = Introspected {
            claims: members,
            good_until_unix_ms: until,
        };
        (Some(Arc::new(introspected)), until)
    }
}

/// The question (RFC 7662 §2.1), with the client's id and secret where they go into it.
fn form(token: &str, client: Option<(&str, &str)>) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("token", token);
    form.append_pair("token_type_hint", "access_token");
    if let Some((id, secret)) = client {
        form.append_pair("client_id", id);
        form.append_pair("client_secret", secret);
    }
    form.finish()
}

/// Issuers vouch for refresh tokens too (RFC 7662 §2.1), which open no API.
fn is_other_token(members: &Map<String, Value>) -> bool {
    let typ = members.get("token_type").and_then(Value::as_str);
    typ.is_some_and(|typ| {
        let typ = typ.to_ascii_lowercase();
        typ.contains("refresh") || typ.contains("id_token")
    })
}

/// Answers, in two generations: what is used moves to the young one; when that holds half of what is allowed it becomes the old one, and what
/// was not used since is forgotten.
struct Remembered {
    half_max: usize,
    counts: Arc<Counts>,
    young: HashMap<Digest, (Answer, u64)>,
    old: HashMap<Digest, (Answer, u64)>,
}

impl Remembered {
    fn new(entries_max: usize, counts: Arc<Counts>) -> Self {
        Self {
            half_max: (entries_max / 2).max(1),
            counts,
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    fn get(&mut self, digest: &Digest, now_unix_ms: u64) -> Option<Answer> {
        if let Some((answer, until)) = self.old.remove(digest) {
            self.put(*digest, answer, until);
        }
        let (answer, until) = self.young.get(digest)?;
        (now_unix_ms < *until).then(|| answer.clone())
    }

    fn put(&mut self, digest: Digest, answer: Answer, until_unix_ms: u64) {
        self.old.remove(&digest);
        if self.young.len() >= self.half_max {
            self.counts.hit_times(Limit::Answers, self.old.len() as u64);
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest, (answer, until_unix_ms));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u32) -> Digest {
        Digest::of(&number.to_be_bytes())
    }

    #[test]
    fn what_is_remembered_is_bounded_and_ends() {
        let mut known = Remembered::new(10, Arc::default());
        for number in 0..1000 {
            known.put(digest(number), None, 100);
            assert!(known.get(&digest(0), 99).is_some(), "used all the time");
            assert!(known.young.len() + known.old.len() <= 10);
        }
        assert!(known.get(&digest(500), 0).is_none());
        assert!(known.get(&digest(0), 100).is_none(), "over");
    }

    #[test]
    fn only_access_tokens_count() {
        for (typ, other) in [
            ("Bearer", false),
            ("DPoP", false),
            ("Refresh", true),
            ("refresh_token", true),
        ] {
            let members = serde_json::json!({ "active": true, "token_type": typ });
            assert_eq!(is_other_token(members.as_object().unwrap()), other, "{typ}");
        }
    }
}
