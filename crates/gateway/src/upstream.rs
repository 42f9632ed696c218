//! The way to the backends: pools of connections, one set for each worker.
//!
//! Start at [`call`]: it demands a [`Permit`], so no request reaches a backend without its policies having run. What
//! happens seldom, further tries and circuit breakers, is in `again.rs`.

mod again;
mod answer;
mod attributes;
pub(crate) mod balance;
mod breaker;
pub(crate) mod connect;
pub(crate) mod dns;
mod eyeballs;
mod failure;
mod far;
pub(crate) mod h1;
pub(crate) mod h2;
mod health;
mod load;
pub(crate) mod members;
pub(crate) mod names;
pub(crate) mod pool;
mod stall;
pub(crate) mod state;
mod tape;
pub(crate) mod tls;
pub(crate) mod tries;
pub(crate) mod upkeep;

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method};
use policy::{Permit, RequestCx};
use snapshot::{Backend, Endpoint, Snapshot};

use crate::body::{BodyFault, BodyState, RequestBody};
use crate::metrics::Upstream;
use crate::timers;
use crate::worker::Worker;
pub(crate) use answer::{Answered, BackendBodyFault, Source, Streaming};
use balance::{PickInput, Picked, Tried};
pub(crate) use breaker::Circuit;
use connect::{DialError, Dialled};
pub(crate) use failure::Failure;
use failure::Limited;
pub(crate) use far::Far;
use members::Did;
use pool::{BackendPool, EndpointPool};
pub(crate) use tape::Replay;
use tries::{Tries, Via};

/// How far a request came that got no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reach {
    /// The backend has seen nothing of it, and all of it is still there: it was a connection that had gone.
    Unsent,
    /// There is no connection.
    Nothing,
    /// HTTP/2: the backend says that it has not looked at it.
    Refused,
    /// It was sent, at least a part of it, and the connection broke before the head of an answer.
    Broke,
    /// It was sent, and there was no head of an answer in time.
    Late,
    /// What came was no answer, or what was to be sent is no request.
    Garbled,
}

/// A connection brought no answer.
pub(crate) struct Unanswered {
    reach: Reach,
    /// Why, for the operator.
    cause: Cow<'static, str>,
    /// It is TLS that failed, behind the handshake.
    tls: bool,
}

/// A try brought no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lost {
    failure: Failure,
    reach: Reach,
    /// The connection had served others before.
    reused: bool,
}

impl Lost {
    fn before(failure: Failure) -> Self {
        Self {
            failure,
            reach: Reach::Nothing,
            reused: false,
        }
    }

    fn late() -> Self {
        Self {
            failure: Failure::TimedOut,
            reach: Reach::Late,
            reused: false,
        }
    }

    fn of(unanswered: &Unanswered, reused: bool) -> Self {
        Self {
            failure: match unanswered.tls {
                true => Failure::Untrusted,
                false => Failure::Failed,
            },
            reach: unanswered.reach,
            reused,
        }
    }
}

/// What a backend is asked.
pub(crate) struct Ask {
    pub(crate) method: Method,
    /// Without hop-by-hop headers; `Host` is replaced.
    pub(crate) headers: HeaderMap,
    pub(crate) body: RequestBody,
    /// How the body fares, where there is one.
    pub(crate) body_state: Option<Rc<BodyState>>,
    /// A WebSocket is asked for: on a connection, or on a stream of HTTP/2, that becomes a tunnel.
    pub(crate) switches: bool,
    /// When the head of the answer must be there, by the monotonic clock.
    pub(crate) deadline_ms: u64,
}

/// The rest of the path (empty, or with a leading slash) and the query.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) rest: &'a str,
    pub(crate) query: Option<&'a str>,
}

impl Target<'_> {
    /// The backend's own path, the rest and the query.
    fn write(self, endpoint: &Endpoint, out: &mut Vec<u8>) {
        out.extend_from_slice(endpoint.path.as_bytes());
        out.extend_from_slice(self.rest.as_bytes());
        if endpoint.path.is_empty() && self.rest.is_empty() {
            out.extend_from_slice(b"/");
        }
        if let Some(query) = self.query {
            out.extend_from_slice(b"?");
            out.extend_from_slice(query.as_bytes());
        }
    }
}

/// A request on its way to one endpoint. What is sent again has the same headers: they stay here.
pub(crate) struct Outgoing<'a> {
    endpoint: Rc<EndpointPool>,
    method: &'a Method,
    target: Target<'a>,
    headers: HeaderMap,
    body: RequestBody,
    /// How the body fares, where there is one.
    body_state: Option<Rc<BodyState>>,
    /// The body was taken, at least a part of it.
    taken: bool,
    switches: bool,
}

impl Outgoing<'_> {
    /// What went wrong with the client's body.
    fn body_fault(&self) -> Option<BodyFault> {
        self.body_state.as_ref()?.fault()
    }
}

/// Where a call goes, and what is known of it.
#[derive(Clone, Copy)]
pub(crate) struct Destination<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) backend: &'a Arc<Backend>,
    pub(crate) cx: &'a RequestCx,
    pub(crate) target: Target<'a>,
}

impl Destination<'_> {
    fn pick_input<'a>(&'a self, headers: &'a HeaderMap) -> PickInput<'a> {
        PickInput {
            snapshot: self.snapshot,
            cx: self.cx,
            headers,
        }
    }

    /// Chooses an endpoint.
    fn pick(&self, worker: &Rc<Worker>, headers: &HeaderMap, tried: &Tried) -> Option<Picked> {
        balance::pick(worker, self.backend, &self.pick_input(headers), tried)
    }
}

/// Asks a backend; returns when the head of its answer is there.
///
/// A pooled connection that turns out to be closed before the request was written is replaced, whatever the method: the
/// backend has seen nothing of the request.
pub(crate) async fn call(
    worker: &Rc<Worker>,
    _permit: Permit,
    to: Destination<'_>,
    ask: Ask,
    tries: &mut Tries,
) -> Result<Answered, Failure> {
    let Ask {
        method,
        headers,
        body,
        body_state,
        switches,
        deadline_ms,
    } = ask;
    let tried = Tried::default();
    let picked = match to.pick(worker, &headers, &tried) {
        Some(picked) => picked,
        None => {
            // Its names are not looked up yet, or lead nowhere.
            let input = to.pick_input(&headers);
            let found = Box::pin(balance::pick_found(worker, to.backend, &input, &tried));
            let found = timers::until(&worker.timers, &*worker.clock, deadline_ms, found).await;
            found.flatten().ok_or(Failure::Unreachable)?
        }
    };
    let mut outgoing = Outgoing {
        endpoint: Rc::clone(&picked.endpoint),
        method: &method,
        target: to.target,
        headers,
        body,
        body_state,
        taken: false,
        switches,
    };
    let calls = &to.backend.calls;
    let answered = if calls.retry.is_some() || calls.breaker.is_some() {
        let guarded = again::guarded(worker, to, picked, &mut outgoing, deadline_ms, tries);
        Box::pin(guarded).await
    } else {
        let sent = attempt(worker, &picked, &mut outgoing, deadline_ms, false, tries).await;
        match sent {
            Ok(answered) => Ok(held(answered, picked, None)),
            Err(lost) if again::is_worth_another(&picked, &outgoing, lost) => {
                let another = again::another(worker, to, picked, &mut outgoing, deadline_ms, tries);
                Box::pin(another).await
            }
            Err(lost) => Err(lost.failure),
        }
    };
    let (parts, mut source) = answered.map_err(|failure| match outgoing.body_fault() {
        Some(BodyFault::TooLarge) => Failure::BodyTooLarge,
        Some(BodyFault::TooSlow) => Failure::BodyTooSlow,
        Some(BodyFault::Broken) => Failure::BodyBroken,
        None => failure,
    })?;
    if let Source::Streaming(body) = &mut source
        && let Some(idle_ms) = stall::pause_max_ms(worker, calls, &parts.headers)
    {
        body.limit_pauses(worker, idle_ms);
    }
    Ok((parts, source))
}

/// The call counts until its answer has ended.
fn held(answered: Answered, picked: Picked, counted: Option<load::Counted>) -> Answered {
    let (parts, mut source) = answered;
    if let Source::Streaming(body) = &mut source {
        let company = body.company();
        company.in_flight = Some(picked.in_flight);
        company.counted = counted;
    }
    (parts, source)
}

/// One try at one endpoint. A `fresh` one goes over a connection that is made for it.
async fn attempt(
    worker: &Rc<Worker>,
    picked: &Picked,
    outgoing: &mut Outgoing<'_>,
    deadline_ms: u64,
    fresh: bool,
    tries: &mut Tries,
) -> Result<Answered, Lost> {
    let sent = {
        let sending = std::pin::pin!(send(worker, &picked.pool, outgoing, fresh, tries));
        timers::until(&worker.timers, &*worker.clock, deadline_ms, sending).await
    };
    let sent = sent.unwrap_or_else(|| {
        tries.failed(&picked.endpoint.address, "no answer in time");
        Err(Lost::late())
    });
    let did = match &sent {
        // The client's fault, not the endpoint's.
        Err(_) if outgoing.body_fault().is_some() => Did::GaveUp,
        sent => did(sent),
    };
    picked.in_flight.done(worker, did);
    sent
}

/// What the endpoint did, by what came of the try.
fn did(sent: &Result<Answered, Lost>) -> Did {
    match sent {
        Ok((parts, _)) => Did::Answered(parts.status.as_u16()),
        Err(lost) => match lost.failure {
            Failure::Unreachable | Failure::Untrusted => Did::ConnectFailed,
            Failure::Failed => Did::Broke,
            Failure::TimedOut => Did::TimedOut,
            Failure::BodyTooLarge
            | Failure::BodyTooSlow
            | Failure::BodyBroken
            | Failure::Overloaded(_)
            | Failure::NoTunnel
            | Failure::CircuitOpen(_) => Did::GaveUp,
        },
    }
}

/// Takes pooled connections while they last. What happens seldom is boxed: the future of every request has room for
/// all that it may become, and is copied with it.
async fn send(
    worker: &Rc<Worker>,
    pool: &Rc<BackendPool>,
    outgoing: &mut Outgoing<'_>,
    fresh: bool,
    tries: &mut Tries,
) -> Result<Answered, Lost> {
    loop {
        let sent = if outgoing.switches || fresh {
            return Box::pin(dial_and_send(worker, pool, outgoing, fresh, tries)).await;
        } else if let Some(connection) = outgoing.endpoint.take_idle() {
            tries.begin(Via::Reused, &worker.ids, &mut outgoing.headers);
            h1::send(worker, connection, outgoing).await
        } else if let Some(slot) = outgoing.endpoint.take_stream(worker, pool) {
            tries.begin(Via::Reused, &worker.ids, &mut outgoing.headers);
            Box::pin(h2::send(worker, slot, outgoing)).await
        } else {
            return Box::pin(dial_and_send(worker, pool, outgoing, fresh, tries)).await;
        };
        match sent {
            Ok(answered) => {
                tries.answered(&outgoing.endpoint.address, answered.0.status);
                worker.numbers().upstream(Upstream::Reused);
                return Ok(answered);
            }
            Err(unanswered) => {
                let lost = Lost::of(&unanswered, true);
                tries.failed(&outgoing.endpoint.address, unanswered.cause);
                if lost.reach != Reach::Unsent {
                    return Err(lost);
                }
                worker.numbers().upstream(Upstream::Replaced);
            }
        }
    }
}

async fn dial_and_send(
    worker: &Rc<Worker>,
    pool: &Rc<BackendPool>,
    outgoing: &mut Outgoing<'_>,
    fresh: bool,
    tries: &mut Tries,
) -> Result<Answered, Lost> {
    let endpoint = Rc::clone(&outgoing.endpoint);
    let address = &endpoint.address;
    tries.begin(Via::Connecting, &worker.ids, &mut outgoing.headers);
    let wish = connect::Wish {
        switches: outgoing.switches,
        fresh,
    };
    let dialled = connect::dial(worker, pool, &endpoint, wish).await;
    let dialled = dialled.map_err(|error| {
        tries.failed(address, tries::causes(&error));
        Lost::before(match error {
            DialError::Pending(max) => Failure::Overloaded(Limited::Pending(max)),
            DialError::NoTunnel => Failure::NoTunnel,
            error if error.is_tls() => Failure::Untrusted,
            _ => Failure::Unreachable,
        })
    })?;
    tries.connected(Via::New);
    let sent = match dialled {
        Dialled::H1(connection) => h1::send(worker, connection, outgoing).await,
        Dialled::H2(slot) => h2::send(worker, slot, outgoing).await,
    };
    match sent {
        Ok(answered) => {
            tries.answered(address, answered.0.status);
            Ok(answered)
        }
        Err(unanswered) => {
            let lost = Lost::of(&unanswered, false);
            tries.failed(address, unanswered.cause);
            Err(lost)
        }
    }
}

/// The `Host` header of an endpoint.
pub(crate) fn host_header(endpoint: &Endpoint) -> HeaderValue {
    HeaderValue::from_str(endpoint.authority.as_str()).expect("an authority is a legal value")
}
