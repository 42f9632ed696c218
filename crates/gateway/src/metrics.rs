//! What the data plane counts. Each worker writes numbers of its own, readers add them up.
//!
//! A number has one writer, so adding to it is a load and a store, without the locked instruction that a shared
//! counter would need.

pub(crate) mod certificates;
pub(crate) mod circuits;
mod render;
mod series;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use base::Code;

pub(crate) use series::{Cache as SeriesCache, Series, SeriesId, method_label};

/// Handle on all numbers of a gateway.
#[derive(Clone, Debug)]
pub struct Metrics(pub(crate) Arc<Numbers>);

impl Metrics {
    /// Adds the gateway's metrics to a registry, to be scraped as OpenMetrics.
    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        registry.register_collector(Box::new(Arc::clone(&self.0)));
    }
}

/// All numbers.
#[derive(Debug)]
pub(crate) struct Numbers {
    pub(crate) workers: Vec<WorkerNumbers>,
    pub(crate) series: series::Table,
    /// Connections that were refused because there are too many.
    pub(crate) connections_refused: Count,
    /// Connections that were refused because their client has too many.
    pub(crate) client_connections_refused: Count,
    /// Connections that were closed because too many were being opened.
    pub(crate) openings_refused: Count,
    /// Access-log lines that were dropped.
    pub(crate) log_lines_dropped: Count,
    /// Checks of endpoints: those that succeeded, those that failed.
    pub(crate) health_checks: [Count; 2],
    /// Certificates that the node shows.
    pub(crate) certificates: certificates::Certificates,
    /// Set when the gateway starts.
    pub(crate) circuits: OnceLock<circuits::Circuits>,
}

impl Numbers {
    pub(crate) fn new(workers: usize, series_max: usize) -> Arc<Self> {
        Arc::new(Self {
            workers: (0..workers)
                .map(|_| WorkerNumbers::new(series_max))
                .collect(),
            series: series::Table::new(series_max),
            connections_refused: Count::default(),
            client_connections_refused: Count::default(),
            openings_refused: Count::default(),
            log_lines_dropped: Count::default(),
            health_checks: Default::default(),
            certificates: certificates::Certificates::default(),
            circuits: OnceLock::new(),
        })
    }
}

/// A number that grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Adds, for a number with one writer.
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        self.0
            .store(self.0.load(Ordering::Relaxed) + more, Ordering::Relaxed);
    }

    /// Adds one, for a number with many writers.
    pub(crate) fn add_shared(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub(crate) struct Level(Count);

impl Level {
    pub(crate) fn up(&self) {
        self.0.add(1);
    }

    pub(crate) fn down(&self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Upper bounds of the latency buckets, in microseconds; a last bucket has no bound.
pub(crate) const BUCKETS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// How often a time fell into which bucket.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [Count; BUCKETS_US.len() + 1],
    sum_us: Count,
}

impl Histogram {
    pub(crate) fn record(&self, us: u64) {
        let bucket = BUCKETS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].add(1);
        self.sum_us.add(us);
    }
}

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $label:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            pub(crate) const LABELS: &[&str] = &[$($label),+];
        }
    };
}
pub(crate) use labels;

labels! {
    /// Limits that were hit.
    Limit {
        /// Too many or too long header fields.
        Head = "head",
        /// The request's target is too long.
        Target = "target",
        /// Too many or too long trailers.
        Trailers = "trailers",
        /// The chunk extensions are too long.
        ChunkExtensions = "chunk_extensions",
        /// Too many requests wait for their answers on an HTTP/1.1 connection.
        Pipelined = "pipelined",
        /// The request's body is too large.
        Body = "body",
        /// What is read and dropped of what comes when the connection ends.
        Unread = "unread",
        /// The TLS handshake or the PROXY header took too long.
        OpeningTimeout = "opening_timeout",
        /// The header of the PROXY protocol is missing, malformed, or from somebody who may not send one.
        ProxyHeader = "proxy_header",
        /// The head came too slowly.
        HeadTimeout = "head_timeout",
        /// The body came too slowly.
        BodyTimeout = "body_timeout",
        /// The client did not take its answer.
        AnswerTimeout = "answer_timeout",
        /// Too many streams at a time on an HTTP/2 connection.
        H2Streams = "h2_streams",
        /// Too many streams were reset on an HTTP/2 connection.
        H2Resets = "h2_resets",
        /// Too many `PING` frames.
        H2Pings = "h2_pings",
        /// Too many `SETTINGS` frames.
        H2Settings = "h2_settings",
        /// Too many `CONTINUATION` frames of one head.
        H2Continuations = "h2_continuations",
        /// Too many empty `DATA` frames.
        H2EmptyData = "h2_empty_data",
        /// Too many `WINDOW_UPDATE` frames.
        H2WindowUpdates = "h2_window_updates",
        /// Too many frames of other types.
        H2OtherFrames = "h2_other_frames",
        /// The connection was open without a request for too long.
        IdleTimeout = "idle_timeout",
        /// An unused connection to a backend was one too many.
        UpstreamIdle = "upstream_idle",
        /// All streams of the HTTP/2 connections to a backend are in use.
        UpstreamStreams = "upstream_streams",
        /// A backend has as many calls as its circuit breaker allows.
        BackendRequests = "backend_requests",
        /// A backend has as many calls as its circuit breaker allows: a call comes to its queue.
        BackendQueue = "backend_queue",
        /// As many calls wait for a connection to a backend as its circuit breaker allows.
        BackendPending = "backend_pending",
        /// A backend has as many connections as its circuit breaker allows: a call waits.
        BackendConnections = "backend_connections",
        /// A backend's circuit is open.
        Circuit = "circuit",
        /// A call was not sent again: the budget is used up.
        RetryBudget = "retry_budget",
        /// A call was not sent again: its body was too large to be kept.
        RetryBody = "retry_body",
        /// An answer's body paused for too long.
        BackendBodyIdle = "backend_body_idle",
        /// As many tunnels are open as may be.
        Tunnels = "tunnels",
        /// As many tunnels of one client's address are open as may be.
        TunnelsPerClient = "tunnels_per_client",
        /// An answer was ended because a limit on events has nothing left.
        Events = "events",
    }
}

labels! {
    /// What a client's connection speaks.
    Wire {
        /// HTTP/1.1 in clear text.
        Http1 = "http/1.1",
        /// HTTP/2 in clear text.
        H2c = "h2c",
        /// HTTP/1.1 over TLS.
        Https1 = "https/1.1",
        /// HTTP/2 over TLS.
        H2 = "h2",
    }
}

labels! {
    /// Who ended a tunnel.
    TunnelEnd {
        /// The client.
        Client = "client",
        /// The backend.
        Backend = "backend",
        /// Nothing came for too long.
        Idle = "idle",
        /// The node drains.
        Drain = "drain",
        /// What let it in is not good any more.
        Revoked = "revoked",
        /// A limit on events has nothing left.
        Limited = "limited",
    }
}

labels! {
    /// What happened to connections to backends.
    Upstream {
        /// One was opened.
        Opened = "opened",
        /// One could not be opened.
        ConnectFailed = "connect_failed",
        /// One was used again.
        Reused = "reused",
        /// A used one had been closed meanwhile; the request went out on another one.
        Replaced = "replaced",
        /// A call was sent again.
        Retried = "retried",
        /// One was old or had served enough.
        Worn = "worn",
        /// HTTP/2: the backend told one to go.
        GoAway = "goaway",
        /// HTTP/2: the backend did not look at a stream.
        Refused = "stream_refused",
        /// HTTP/2: the backend did not answer a PING in time.
        PingTimeout = "ping_timeout",
    }
}

/// The numbers of one worker.
#[derive(Debug)]
pub(crate) struct WorkerNumbers {
    /// Requests, by series.
    pub(crate) requests: Box<[Count]>,
    /// From the request's head to the end of the answer.
    pub(crate) total: Histogram,
    /// From the end of the policies to the head of the backend's answer.
    pub(crate) backend: Histogram,
    /// Time spent in the gateway itself until the answer's head went out.
    pub(crate) gateway: Histogram,
    /// Refusals, in the order of the table of codes.
    pub(crate) rejects: Box<[Count]>,
    pub(crate) limits: [Count; Limit::LABELS.len()],
    pub(crate) connections: [Level; Wire::LABELS.len()],
    pub(crate) connections_total: [Count; Wire::LABELS.len()],
    pub(crate) upstream: [Count; Upstream::LABELS.len()],
    /// Connections to backends that are open.
    pub(crate) upstream_open: Level,
    /// Connections of clients whose buffers were given back.
    pub(crate) resting: Level,
    /// TLS handshakes of clients that failed.
    pub(crate) handshakes_failed: Count,
    /// Calls that usage counts in an overflow row.
    pub(crate) usage_overflow: Count,
    /// Bytes of request bodies.
    pub(crate) bytes_in: Count,
    /// Bytes of answers' bodies.
    pub(crate) bytes_out: Count,
    /// Answers that the client did not take to the end.
    pub(crate) client_aborts: Count,
    /// Answers whose body broke at the backend.
    pub(crate) bodies_broken: Count,
    /// Traced calls that were dropped because nobody took them.
    pub(crate) traces_dropped: Count,
    /// Decisions on refused and failed calls that were kept.
    pub(crate) decisions: Count,
    /// Those that were not, because nobody took the earlier ones.
    pub(crate) decisions_dropped: Count,
    /// Tunnels that are open.
    pub(crate) tunnels_open: Level,
    pub(crate) tunnels_ended: [Count; TunnelEnd::LABELS.len()],
    /// Bytes from clients through tunnels.
    pub(crate) tunnel_bytes_in: Count,
    /// Bytes from backends through tunnels.
    pub(crate) tunnel_bytes_out: Count,
    /// Streaming answers that were ended because what let the call in is not good any more.
    pub(crate) answers_revoked: Count,
    /// Revision of the snapshot that the worker has used last.
    pub(crate) revision: Count,
}

impl WorkerNumbers {
    fn new(series_max: usize) -> Self {
        let counts = |length: usize| (0..length).map(|_| Count::default()).collect();
        Self {
            // One more: what has no place of its own.
            requests: counts(series_max + 1),
            total: Histogram::default(),
            backend: Histogram::default(),
            gateway: Histogram::default(),
            rejects: counts(codes().count()),
            limits: std::array::from_fn(|_| Count::default()),
            connections: Default::default(),
            connections_total: Default::default(),
            upstream: Default::default(),
            upstream_open: Level::default(),
            resting: Level::default(),
            handshakes_failed: Count::default(),
            usage_overflow: Count::default(),
            bytes_in: Count::default(),
            bytes_out: Count::default(),
            client_aborts: Count::default(),
            bodies_broken: Count::default(),
            traces_dropped: Count::default(),
            decisions: Count::default(),
            decisions_dropped: Count::default(),
            tunnels_open: Level::default(),
            tunnels_ended: Default::default(),
            tunnel_bytes_in: Count::default(),
            tunnel_bytes_out: Count::default(),
            answers_revoked: Count::default(),
            revision: Count::default(),
        }
    }

    pub(crate) fn reject(&self, code: &Code) {
        if let Some(index) = codes().position(|known| known.name == code.name) {
            self.rejects[index].add(1);
        }
    }

    pub(crate) fn limit(&self, limit: Limit) {
        self.limits[limit as usize].add(1);
    }

    pub(crate) fn upstream(&self, event: Upstream) {
        self.upstream[event as usize].add(1);
    }

    pub(crate) fn serves(&self, revision: u64) {
        self.revision.set(revision);
    }
}

/// All error codes, in the order in which refusals are counted.
fn codes() -> impl Iterator<Item = &'static Code> {
    base::code::SECTIONS
        .iter()
        .flat_map(|(_, codes)| codes.iter())
}
