//! Making a connection: address, TCP, TLS, HTTP.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use snapshot::{Protocol, Scheme};
use sync::calls::BreakerRules;
use tokio::net::TcpStream;

use super::load::Counted;
use super::members::NoAddress;
use super::pool::{BackendPool, EndpointPool, OpenCount};
use super::{eyeballs, h1, h2, tls};
use crate::io::Stream;
use crate::metrics::{Limit, Upstream};
use crate::timers;
use crate::worker::Worker;

/// How often at most a failure to connect to one endpoint is logged.
const WARN_EVERY_MS: u64 = 1_000;

/// A new connection.
pub(crate) enum Dialled {
    /// For one request at a time.
    H1(Box<h1::Connection>),
    /// A place on a connection that is shared.
    H2(h2::StreamSlot),
}

/// What a connection is to be.
#[derive(Clone, Copy)]
pub(crate) struct Wish {
    /// It, or a stream of it, becomes a tunnel.
    pub(crate) switches: bool,
    /// It is made, even if there is one that could be shared.
    pub(crate) fresh: bool,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error(transparent)]
    Lookup(NoAddress),
    #[error("connecting failed: {0}")]
    Connect(std::io::Error),
    #[error(transparent)]
    TlsConfig(tls::TlsConfigError),
    /// The two ends do not trust each other, or have no way of TLS in common.
    #[error("the TLS handshake failed: {0}")]
    Untrusted(String),
    #[error("the TLS handshake failed: {0}")]
    Tls(std::io::Error),
    #[error("the HTTP handshake failed: {0}")]
    Http(::h2::Error),
    #[error("{0} calls wait for a connection already")]
    Pending(u32),
    #[error("no connection in time")]
    TimedOut,
    #[error("the backend speaks HTTP/2 alone and takes no WebSockets there (RFC 8441)")]
    NoTunnel,
}

/// A connection to an endpoint for one call.
///
/// One that `switches` becomes a tunnel: it is HTTP/1.1, or a stream of a connection of HTTP/2 whose peer takes tunnels.
pub(crate) async fn dial(
    worker: &Rc<Worker>,
    pool: &Rc<BackendPool>,
    endpoint: &Rc<EndpointPool>,
    wish: Wish,
) -> Result<Dialled, DialError> {
    if wish.switches
        && !wish.fresh
        && let Some(slot) = endpoint.take_stream(worker, pool)
        && slot.takes_tunnels()
    {
        return Ok(Dialled::H2(slot));
    }
    match dial_any(worker, pool, endpoint, wish).await? {
        Dialled::H2(slot) if wish.switches && !slot.takes_tunnels() => Err(DialError::NoTunnel),
        dialled => Ok(dialled),
    }
}

/// Makes a connection to an endpoint.
///
/// Requests that may come to share one HTTP/2 connection wait for each other, so that they do not make one each.
async fn dial_any(
    worker: &Rc<Worker>,
    pool: &Rc<BackendPool>,
    endpoint: &Rc<EndpointPool>,
    wish: Wish,
) -> Result<Dialled, DialError> {
    let Wish { switches, fresh } = wish;
    let rules = pool.backend.calls.breaker.as_deref();
    let _pending = rules.map(|rules| pend(worker, pool, rules)).transpose()?;
    let only_h1 = match (pool.backend.protocol, endpoint.address.scheme) {
        // Every server of WebSockets takes them over HTTP/1.1, and few over HTTP/2.
        (Protocol::Auto, _) if switches => true,
        (Protocol::Http1, _) | (Protocol::Auto, Scheme::Http) => true,
        (Protocol::Http2, _) => false,
        (Protocol::Auto, Scheme::Https) => endpoint.speaks_h1.get(),
    };
    let _turn = if only_h1 {
        None
    } else {
        let turn = endpoint.dialling.lock().await;
        if let Some(slot) = stream(worker, pool, endpoint, fresh).await {
            return Ok(Dialled::H2(slot));
        }
        Some(turn)
    };
    let place = match rules {
        Some(rules) if rules.connections_max.is_some() => {
            match place(worker, pool, endpoint, wish, rules).await {
                Ok(place) => Some(place),
                Err(dialled) => return Ok(dialled),
            }
        }
        _ => None,
    };
    let h1_for_tunnel = switches && only_h1;
    let dialled = connect_in_time(worker, pool, endpoint, h1_for_tunnel, place).await;
    dialled.inspect_err(|error| failed(worker, endpoint, error))
}

/// `h1_for_tunnel`: it is to become a tunnel of its own.
async fn connect_in_time(
    worker: &Rc<Worker>,
    pool: &Rc<BackendPool>,
    endpoint: &EndpointPool,
    h1_for_tunnel: bool,
    place: Option<Counted>,
) -> Result<Dialled, DialError> {
    let deadline_ms = worker.clock.monotonic_ms() + worker.config.upstream.connect_timeout_ms;
    let connecting = std::pin::pin!(connect(worker, pool, endpoint, h1_for_tunnel, place));
    let connected = timers::until(&worker.timers, &*worker.clock, deadline_ms, connecting).await;
    connected.unwrap_or(Err(DialError::TimedOut))
}

/// A place among the calls that wait for a connection.
fn pend(worker: &Worker, pool: &BackendPool, rules: &BreakerRules) -> Result<Counted, DialError> {
    pool.load().pend(rules).ok_or_else(|| {
        worker.numbers().limit(Limit::BackendPending);
        DialError::Pending(rules.pending_max.unwrap_or(0))
    })
}

/// A stream of a connection that stands, where there may not be another connection: until there is one. `None`: a
/// connection is to be made.
async fn stream(
    worker: &Rc<Worker>,
    pool: &Rc<BackendPool>,
    endpoint: &Rc<EndpointPool>,
    fresh: bool,
) -> Option<h2::StreamSlot> {
    let mut full = false;
    loop {
        if !fresh && let Some(slot) = endpoint.take_stream(worker, pool) {
            return Some(slot);
        }
        let count = endpoint.shared_count();
        if count > 0 && !full && !fresh {
            worker.numbers().limit(Limit::UpstreamStreams);
            full = true;
        }
        if fresh || count < pool.keeping.connections_max {
            return None;
        }
        endpoint.freed.notified().await;
    }
}

/// A place among the connections that the backend may have, or one of them that has become free.
async fn place(
    worker: &Rc<Worker>,
    pool: &Rc<BackendPool>,
    endpoint: &Rc<EndpointPool>,
    wish: Wish,
    rules: &BreakerRules,
) -> Result<Counted, Dialled> {
    let mut full = false;
    loop {
        if let Some(place) = pool.load().connect(rules) {
            return Ok(place);
        }
        if !wish.switches
            && let Some(connection) = endpoint.take_idle()
        {
            return Err(Dialled::H1(connection));
        }
        let shares = !wish.switches || pool.backend.protocol == Protocol::Http2;
        if shares && let Some(slot) = endpoint.take_stream(worker, pool) {
            return Err(Dialled::H2(slot));
        }
        if !full {
            worker.numbers().limit(Limit::BackendConnections);
            full = true;
        }
        let _waiting = Waiting::new(endpoint);
        tokio::select! {
            () = endpoint.freed.notified() => {}
            () = pool.load().freed() => {}
        }
    }
}

/// One call of this core waits for a connection of an endpoint.
struct Waiting<'a>(&'a EndpointPool);

impl<'a> Waiting<'a> {
    fn new(endpoint: &'a EndpointPool) -> Self {
        endpoint.waiting.set(endpoint.waiting.get() + 1);
        Self(endpoint)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }
}

/// Makes an HTTP/2 connection before it is needed; nobody waits for it, and a failure shows when it is.
pub(super) fn open_ahead(worker: &Rc<Worker>, pool: &Rc<BackendPool>, endpoint: &Rc<EndpointPool>) {
    let (worker, pool, endpoint) = (Rc::clone(worker), Rc::clone(pool), Rc::clone(endpoint));
    tokio::task::spawn_local(async move {
        let turn = endpoint.dialling.lock().await;
        let place = match pool.backend.calls.breaker.as_deref() {
            Some(rules) if rules.connections_max.is_some() => {
                let place = pool.load().connect(rules);
                place.map(Some).ok_or(())
            }
            _ => Ok(None),
        };
        if let Ok(place) = place {
            // Dropped at once, it leaves its stream's place free.
            let _ = connect_in_time(&worker, &pool, &endpoint, false, place).await;
        }
        drop(turn);
        endpoint.ahead.set(false);
    });
}

impl DialError {
    /// Whether the way to the backend stands, but not its trust.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::TlsConfig(_) | Self::Untrusted(_) | Self::Tls(_))
    }
}

fn failed(worker: &Worker, endpoint: &EndpointPool, error: &DialError) {
    worker.numbers().upstream(Upstream::ConnectFailed);
    endpoint.member.look_again();
    let now_ms = worker.now_ms.get();
    let due = endpoint
        .warned_ms
        .get()
        .is_none_or(|last| now_ms.saturating_sub(last) >= WARN_EVERY_MS);
    if due {
        endpoint.warned_ms.set(Some(now_ms));
        tracing::warn!(endpoint = %endpoint.address.authority, %error, "backend unreachable");
    }
}

async fn connect(
    worker: &Rc<Worker>,
    pool: &Rc<BackendPool>,
    endpoint: &EndpointPool,
    h1_for_tunnel: bool,
    place: Option<Counted>,
) -> Result<Dialled, DialError> {
    let (tcp, version) = connect_tcp(worker, endpoint).await?;
    let (stream, alpn_h2) = match endpoint.address.scheme {
        Scheme::Http => (Stream::Tcp(tcp), None),
        Scheme::Https => {
            let mut config = tls::config(worker, pool).map_err(DialError::TlsConfig)?;
            if h1_for_tunnel {
                Arc::make_mut(&mut config).alpn_protocols = vec![b"http/1.1".to_vec()];
            }
            let name =
                tls::server_name(&pool.backend, &endpoint.address).map_err(DialError::TlsConfig)?;
            let connector = tokio_rustls::TlsConnector::from(config);
            let stream = connector.connect(name, tcp).await.map_err(|error| {
                tls::cause(&error).map_or(DialError::Tls(error), DialError::Untrusted)
            })?;
            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            (Stream::ClientTls(Box::new(stream)), Some(h2))
        }
    };
    let h2 = match pool.backend.protocol {
        Protocol::Http1 => false,
        Protocol::Http2 => true,
        Protocol::Auto => alpn_h2.unwrap_or(false),
    };
    if !h1_for_tunnel {
        endpoint.speaks_h1.set(!h2);
    }
    let open = OpenCount::new(worker, place);
    let keeping = &pool.keeping;
    if h2 {
        let connection =
            h2::Connection::handshake(stream, worker, keeping, &endpoint.freed, open).await;
        let connection = connection.map_err(http_error)?;
        let slot = connection.slot(worker.now_ms.get());
        endpoint.share(connection);
        Ok(Dialled::H2(slot))
    } else {
        let mut connection = h1::Connection::new(stream, worker, keeping, open);
        connection.address_version = version;
        Ok(Dialled::H1(connection))
    }
}

/// A connection, and which of the endpoint's addresses it was chosen from.
async fn connect_tcp(
    worker: &Worker,
    endpoint: &EndpointPool,
) -> Result<(TcpStream, u64), DialError> {
    let addresses = endpoint.member.addresses().await;
    let addresses = addresses.map_err(DialError::Lookup)?;
    let version = endpoint.member.address_version();
    let delay = Duration::from_millis(worker.config.upstream.next_address_ms);
    let connected = eyeballs::connect(&addresses, delay).await;
    Ok((connected.map_err(DialError::Connect)?, version))
}

/// Behind the handshake TLS may still fail: the backend did not like our certificate.
fn http_error(error: ::h2::Error) -> DialError {
    let trust = error.get_io().and_then(tls::cause);
    trust.map_or(DialError::Http(error), DialError::Untrusted)
}
