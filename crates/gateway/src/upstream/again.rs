//! Further tries, and backends that are not called: what happens seldom, so its futures are boxed.
//!
//! Without `retry` in its document a backend gets a call a second time when it cannot have seen it, or when the method is
//! idempotent and the connection broke before the answer ([`another`]). With `retry` or `circuitBreaker` the document
//! says what happens ([`guarded`]). Nothing is sent again whose body has passed and was not kept.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderMap, Method};
use snapshot::Backend;
use sync::calls::{BreakerRules, RetryRules};

use super::balance::{Picked, Tried};
use super::breaker::Leave;
use super::failure::Limited;
use super::load::{Counted, Load};
use super::tape::Tape;
use super::tries::Tries;
use super::{Answered, Destination, Failure, Lost, Outgoing, Reach, attempt, held};
use crate::body::RequestBody;
use crate::metrics::{Limit, Upstream};
use crate::timers;
use crate::worker::Worker;

/// Methods that mean the same once and twice (RFC 9110 §9.2.2).
pub(super) fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

/// Whether a call is not sent again when it may have reached the backend: by its method, or because bodies are not kept.
pub(super) fn goes_once(outgoing: &Outgoing<'_>) -> bool {
    !http_body::Body::is_end_stream(&outgoing.body) || !is_idempotent(outgoing.method)
}

/// Whether a call to a backend without rules goes out once more. A connection that had served others and breaks is what
/// a backend's restart looks like; one that was new and breaks would break again, unless there is another endpoint.
pub(super) fn is_worth_another(picked: &Picked, outgoing: &Outgoing<'_>, lost: Lost) -> bool {
    let elsewhere = !picked.endpoint.is_only();
    let worth = match lost.reach {
        Reach::Unsent | Reach::Nothing => {
            elsewhere && !matches!(lost.failure, Failure::Overloaded(_))
        }
        Reach::Refused => true,
        Reach::Broke => {
            is_idempotent(outgoing.method)
                && (lost.reused || elsewhere)
                && lost.failure == Failure::Failed
        }
        Reach::Late | Reach::Garbled => false,
    };
    worth && !outgoing.taken && outgoing.body_fault().is_none()
}

/// The second try of a call to a backend without rules: at another endpoint, or over a new connection.
pub(super) async fn another(
    worker: &Rc<Worker>,
    to: Destination<'_>,
    first: Picked,
    outgoing: &mut Outgoing<'_>,
    deadline_ms: u64,
    tries: &mut Tries,
) -> Result<Answered, Failure> {
    worker.numbers().upstream(Upstream::Retried);
    let mut tried = Tried::default();
    tried.add(&first.endpoint);
    let Picked { endpoint, .. } = first;
    let Some(picked) = to.pick(worker, &outgoing.headers, &tried) else {
        return Err(Failure::Unreachable);
    };
    let fresh = Rc::ptr_eq(&picked.endpoint, &endpoint);
    outgoing.endpoint = Rc::clone(&picked.endpoint);
    let sent = attempt(worker, &picked, outgoing, deadline_ms, fresh, tries).await;
    match sent {
        Ok(answered) => Ok(held(answered, picked, None)),
        Err(lost) => Err(lost.failure),
    }
}

/// Leave of a backend's circuit breaker for one try. Dropped without an answer, the try says nothing.
struct Passage {
    load: Arc<Load>,
    backend: Arc<Backend>,
    leave: Option<Leave>,
}

impl Passage {
    /// Asks the breaker of the backend that was picked: the call's own, or one that takes over.
    fn ask(worker: &Worker, picked: &Picked) -> Result<Option<Self>, Failure> {
        let backend = &picked.pool.backend;
        let Some(rules) = breaker(backend) else {
            return Ok(None);
        };
        let load = picked.pool.load();
        let leave = load.breaker.leave(rules, worker.clock.monotonic_ms());
        let leave = leave.map_err(|left_ms| {
            worker.numbers().limit(Limit::Circuit);
            Failure::CircuitOpen(left_ms)
        })?;
        Ok(Some(Self {
            load: Arc::clone(load),
            backend: Arc::clone(backend),
            leave: Some(leave),
        }))
    }

    fn fared(mut self, worker: &Worker, sent: &Result<Answered, Lost>, body_broken: bool) {
        let (Some(rules), Some(leave)) = (breaker(&self.backend), self.leave.take()) else {
            return;
        };
        let failed = match sent {
            Ok((parts, _)) => Some(is_failure(rules, parts.status.as_u16())),
            Err(_) if body_broken => None,
            Err(lost) => match lost.failure {
                Failure::Overloaded(_) | Failure::CircuitOpen(_) | Failure::NoTunnel => None,
                _ => Some(true),
            },
        };
        let now_ms = worker.clock.monotonic_ms();
        if self.load.breaker.fared(rules, leave, failed, now_ms) {
            self.load.note_opened();
            let backend = &*self.backend.key.name;
            tracing::warn!(
                backend,
                open_ms = rules.open_ms,
                "a backend's circuit has opened"
            );
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if let (Some(rules), Some(leave)) = (breaker(&self.backend), self.leave.take()) {
            self.load.breaker.fared(rules, leave, None, 0);
        }
    }
}

fn breaker(backend: &Backend) -> Option<&BreakerRules> {
    backend.calls.breaker.as_deref()
}

fn is_failure(rules: &BreakerRules, status: u16) -> bool {
    match &rules.statuses {
        Some(statuses) => statuses.contains(&status),
        None => (500..600).contains(&status),
    }
}

/// Waits for a place, where the backend has a queue.
async fn in_turn(worker: &Rc<Worker>, to: Destination<'_>, load: &Arc<Load>) -> Option<Counted> {
    let rules = to.backend.calls.breaker.as_deref()?;
    rules.queue.as_ref()?;
    worker.numbers().limit(Limit::BackendQueue);
    let caller = to.cx.principal.as_ref();
    let client = match caller.and_then(|caller| caller.application) {
        Some(application) => application.0.as_u128(),
        // An address, of IPv6 its network of 64 bits.
        None => match to.cx.client.ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
            IpAddr::V6(ip) => ip.to_bits() >> 64 << 64,
        },
    };
    load.wait_turn(worker, rules, client).await
}

/// A call to a backend with `retry` or `circuitBreaker`.
pub(super) async fn guarded(
    worker: &Rc<Worker>,
    to: Destination<'_>,
    first: Picked,
    outgoing: &mut Outgoing<'_>,
    deadline_ms: u64,
    tries: &mut Tries,
) -> Result<Answered, Failure> {
    let rules = &to.backend.calls;
    let load = Arc::clone(worker.pools.of(worker, to.backend).load());
    let counted = match load.call(rules.breaker.as_deref()) {
        Some(counted) => Some(counted),
        None => in_turn(worker, to, &load).await,
    };
    let Some(counted) = counted else {
        worker.numbers().limit(Limit::BackendRequests);
        let max = rules.breaker.as_ref().and_then(|rules| rules.requests_max);
        return Err(Failure::Overloaded(Limited::Requests(max.unwrap_or(0))));
    };
    let mut again = Again {
        worker,
        rules: rules.retry.as_deref(),
        load: &load,
        deadline_ms,
        made: 0,
        tape: None,
        held: None,
    };
    again.keep_body(outgoing);
    let mut tried = Tried::default();
    let mut picked = first;
    let mut passage = Passage::ask(worker, &picked)?;
    let mut fresh = false;
    loop {
        let try_ms = again.try_deadline_ms();
        let sent = attempt(worker, &picked, outgoing, try_ms, fresh, tries).await;
        let body_broken = outgoing.body_fault().is_some();
        if let Some(passage) = passage.take() {
            passage.fared(worker, &sent, body_broken);
        }
        if body_broken {
            return sent.map_err(|lost| lost.failure);
        }
        let pause_ms = match (&sent, rules.retry.is_some()) {
            (Err(lost), false) if is_worth_another(&picked, outgoing, *lost) && again.made == 0 => {
                again.made = 1;
                Some(0)
            }
            (_, false) => None,
            (_, true) => again.pause_ms(outgoing, &sent),
        };
        let Some(pause_ms) = pause_ms else {
            return answered(sent, picked, counted);
        };
        tried.add(&picked.endpoint);
        let Some(next) = to.pick(worker, &outgoing.headers, &tried) else {
            return answered(sent, picked, counted);
        };
        // A circuit that has opened meanwhile leaves what there is.
        let Ok(leave) = Passage::ask(worker, &next) else {
            return answered(sent, picked, counted);
        };
        drop(sent);
        worker.numbers().upstream(Upstream::Retried);
        again.sleep(pause_ms).await;
        fresh = Rc::ptr_eq(&next.endpoint, &picked.endpoint);
        (picked, passage) = (next, leave);
        outgoing.endpoint = Rc::clone(&picked.endpoint);
        again.rewind(outgoing);
    }
}

fn answered(
    sent: Result<Answered, Lost>,
    picked: Picked,
    counted: Counted,
) -> Result<Answered, Failure> {
    match sent {
        Ok(answered) => Ok(held(answered, picked, Some(counted))),
        Err(lost) => Err(lost.failure),
    }
}

/// The further tries of one call.
struct Again<'a> {
    worker: &'a Rc<Worker>,
    rules: Option<&'a RetryRules>,
    load: &'a Arc<Load>,
    deadline_ms: u64,
    /// Further tries that were made.
    made: u32,
    /// The body, kept.
    tape: Option<Tape>,
    /// The place in the budget.
    held: Option<Counted>,
}

impl Again<'_> {
    /// Keeps the body while it passes, where it may have to be sent again.
    fn keep_body(&mut self, outgoing: &mut Outgoing<'_>) {
        let rules = self.rules.filter(|rules| rules.attempts > 0);
        if let Some(rules) = rules
            && !http_body::Body::is_end_stream(&outgoing.body)
        {
            let body = std::mem::replace(&mut outgoing.body, RequestBody::Empty);
            self.tape = Some(Tape::new(body, rules.body_bytes_max));
            self.rewind(outgoing);
        }
    }

    /// Makes the body ready for another try.
    fn rewind(&self, outgoing: &mut Outgoing<'_>) {
        if let Some(tape) = &self.tape {
            outgoing.body = tape.replay();
            outgoing.taken = false;
        }
    }

    fn try_deadline_ms(&self) -> u64 {
        let Some(per_try_ms) = self.rules.and_then(|rules| rules.per_try_ms) else {
            return self.deadline_ms;
        };
        let until_ms = self.worker.clock.monotonic_ms() + per_try_ms;
        until_ms.min(self.deadline_ms)
    }

    /// How long to wait for another try; `None` = there is none.
    fn pause_ms(&mut self, outgoing: &Outgoing<'_>, sent: &Result<Answered, Lost>) -> Option<u64> {
        let rules = self.rules?;
        if self.made >= rules.attempts || !is_wanted(rules, outgoing.method, sent) {
            return None;
        }
        let numbers = self.worker.numbers();
        let kept = self.tape.as_ref().is_none_or(Tape::is_whole);
        if outgoing.taken && !(kept && self.tape.is_some()) {
            numbers.limit(Limit::RetryBody);
            return None;
        }
        let mut pause_ms = backoff_ms(rules, self.made, self.worker.ids.next());
        if let Ok((parts, _)) = sent
            && let Some(asked_ms) = retry_after_ms(&parts.headers, self.worker.clock.unix_ms())
        {
            if asked_ms > rules.retry_after_max_ms {
                return None;
            }
            pause_ms = pause_ms.max(asked_ms);
        }
        let now_ms = self.worker.clock.monotonic_ms();
        if now_ms + pause_ms >= self.deadline_ms {
            return None;
        }
        // The place of the try before is free for this one.
        self.held = None;
        let Some(held) = self.load.retry(rules) else {
            numbers.limit(Limit::RetryBudget);
            return None;
        };
        self.held = Some(held);
        self.made += 1;
        Some(pause_ms)
    }

    async fn sleep(&self, pause_ms: u64) {
        if pause_ms == 0 {
            return;
        }
        let worker = self.worker;
        let until_ms = worker.clock.monotonic_ms() + pause_ms;
        let never = std::pin::pin!(std::future::pending::<()>());
        timers::until(&worker.timers, &*worker.clock, until_ms, never).await;
    }
}

/// Whether the document wants another try after this one. What the backend may have looked at is sent again only with a
/// method that bears it.
fn is_wanted(rules: &RetryRules, method: &Method, sent: &Result<Answered, Lost>) -> bool {
    let bears = || match &rules.methods {
        Some(methods) => methods.iter().any(|name| name == method.as_str()),
        None => is_idempotent(method),
    };
    match sent {
        Ok((parts, _)) => rules.on_statuses.contains(&parts.status.as_u16()) && bears(),
        Err(lost) => match lost.reach {
            Reach::Unsent | Reach::Nothing => {
                rules.on_connect_failure && !matches!(lost.failure, Failure::Overloaded(_))
            }
            Reach::Refused => rules.on_refused_stream,
            Reach::Broke => rules.on_reset && bears(),
            Reach::Late => rules.on_timeout && bears(),
            Reach::Garbled => false,
        },
    }
}

/// A random part of a pause that doubles (AWS architecture blog: "full jitter").
fn backoff_ms(rules: &RetryRules, made: u32, random: u64) -> u64 {
    let longest = 1u64
        .checked_shl(made)
        .and_then(|times| rules.backoff_base_ms.checked_mul(times))
        .map_or(rules.backoff_max_ms, |ms| ms.min(rules.backoff_max_ms));
    match longest {
        0 => 0,
        longest => random % (longest + 1),
    }
}

/// What `Retry-After` asks for (RFC 9110 §10.2.3), in milliseconds.
fn retry_after_ms(headers: &HeaderMap, unix_ms: u64) -> Option<u64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(seconds.saturating_mul(1000));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(unix_ms);
    let wait = at.duration_since(now).unwrap_or_default();
    Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
