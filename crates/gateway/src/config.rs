//! What can be configured of a gateway process. Every limit of the data plane stands here.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

pub use crate::forwarded::Forwarding;
pub use ipnet::IpNet;
pub use policies::normalize_path::PathRules;

use crate::sockets::Sockets;

/// The gateway's configuration. Durations are in milliseconds, sizes in bytes.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clear-text HTTP is served; `None` = not at all. Port 0 takes a free one.
    pub http: Option<SocketAddr>,
    /// Where HTTPS is served; `None` = not at all. Port 0 takes a free one.
    pub https: Option<SocketAddr>,
    /// Certificate and key of the HTTPS listener.
    pub tls: TlsFiles,
    /// The folder of secrets that `Gateway` documents refer to, a folder each.
    pub secrets_dir: PathBuf,
    /// Threads that serve, each with connections of its own; 0 = one for each core of the machine.
    pub workers: usize,
    /// Networks whose connections to `http` and `https` begin with a header of the PROXY protocol, and which alone may
    /// connect then; empty = the protocol is not spoken there.
    pub proxy_protocol_from: Vec<IpNet>,
    /// How clients are asked for a certificate at `https`; `None` = they are not.
    pub client_certificates: Option<ClientCertificates>,
    /// From whom certificates are taken that are forwarded in a field, at `http` and `https`; `None` = from nobody.
    pub forwarded_certificate: Option<Forwarding>,
    /// What clients may do.
    pub limits: Limits,
    /// How backends are reached.
    pub upstream: UpstreamConfig,
    /// Label sets of the request counters that are kept apart; what comes later is counted under `overflow`.
    pub series_max: usize,
    /// The access log; `None` = off.
    pub access_log: Option<AccessLogConfig>,
    /// How traces are passed on and recorded.
    pub tracing: TracingConfig,
    /// Decisions on refused and failed calls that each worker keeps until they are taken (every second); what is beyond
    /// is counted and not kept. 0 = none are made.
    pub decisions_max: usize,
    /// How calls are counted.
    pub usage: UsageConfig,
    /// Where listening sockets come from, and are put to be handed on.
    pub sockets: Arc<Sockets>,
    /// Nothing is accepted before [`crate::Gateway::accept`].
    pub holds: bool,
    /// Has the program's allocator give back to the system what the calling thread freed; called by each worker every second. Does
    /// nothing unless set.
    pub give_back: fn(),
}

/// How calls are counted and kept until the control plane has them.
#[derive(Clone, Debug)]
pub struct UsageConfig {
    /// How often what was counted is written to the disk and sent. `kill -9` loses as much.
    pub flush_interval_ms: u64,
    /// Rows that a core counts in one interval: pairs of API and operation, application, plan, class of status. What
    /// is beyond is counted in one row for each API and class of status.
    pub rows_max: usize,
    /// Size of the spool, at least 64 KiB. What comes when it is full is lost and counted.
    pub spool_bytes_max: u64,
}

impl Default for UsageConfig {
    fn default() -> Self {
        Self {
            flush_interval_ms: 1_000,
            rows_max: 2_000,
            spool_bytes_max: 256 * 1024 * 1024,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            http: Some((Ipv4Addr::UNSPECIFIED, 8280).into()),
            https: Some((Ipv4Addr::UNSPECIFIED, 8243).into()),
            tls: TlsFiles::SelfSigned {
                dir: PathBuf::from("."),
            },
            secrets_dir: PathBuf::from("secrets"),
            workers: 0,
            proxy_protocol_from: Vec::new(),
            client_certificates: None,
            forwarded_certificate: None,
            limits: Limits::default(),
            upstream: UpstreamConfig::default(),
            series_max: 10_000,
            access_log: None,
            tracing: TracingConfig::default(),
            decisions_max: 256,
            usage: UsageConfig::default(),
            sockets: Arc::default(),
            holds: false,
            give_back: || (),
        }
    }
}

/// How traces are passed on and recorded.
#[derive(Clone, Debug, Default)]
pub struct TracingConfig {
    /// In which fields a trace comes and goes.
    pub propagation: Propagation,
    /// The share of calls that is recorded, from 0 to 1, where the caller has not decided.
    pub ratio: f64,
    /// Where recorded calls go; `None` = nothing is recorded. A call that does not fit into it is dropped and counted.
    pub sink: Option<crate::spans::Sink>,
}

/// The fields of a trace. W3C Trace Context is always read, goes before B3, and is always sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Propagation {
    /// B3 is read, and sent in the form in which it came.
    #[default]
    Auto,
    /// B3 is neither read nor changed.
    W3c,
    /// B3 is read, and always sent as `X-B3-*`.
    B3,
    /// B3 is read, and always sent as `b3`.
    B3Single,
}

/// Where the HTTPS listener's certificate comes from.
#[derive(Clone, Debug)]
pub enum TlsFiles {
    /// `gateway-cert.pem` and `gateway-key.pem` (mode 0600) in this folder; made at the first start.
    SelfSigned {
        /// The data folder.
        dir: PathBuf,
    },
    /// A chain and a key from elsewhere, in PEM.
    Files {
        /// The certificate, followed by its intermediates.
        cert: PathBuf,
        /// The private key.
        key: PathBuf,
    },
}

/// How a listener asks clients for a certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientCertificates {
    /// Whether the handshake fails without one.
    pub required: bool,
    /// Who vouches for them (PEM); others end the handshake. `None` = any is taken whose key the client holds.
    pub ca: Option<PathBuf>,
}

/// Limits of the client's side. What hits one is counted under its label in `tollway_gateway_limits_hit`; the table
/// of all of them is docs/limits.md.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections held at a time, all listeners together. What comes above is answered 503 and closed.
    pub connections_max: usize,
    /// Of these, connections of one client: one IPv4 address, or one /64 of IPv6. What comes above is answered 429 and
    /// closed.
    pub connections_per_client_max: usize,
    /// Connections that have not got as far as HTTP: in a TLS handshake, or before the end of a header of the PROXY
    /// protocol. What comes above is closed.
    pub openings_max: usize,
    /// Of these, connections of one client.
    pub openings_per_client_max: usize,
    /// How long that may take.
    pub opening_timeout_ms: u64,
    /// Size of a header of version 2 of the PROXY protocol; one of version 1 has 107 bytes at most by itself.
    pub proxy_header_bytes_max: usize,
    /// Header fields of a request.
    pub headers_max: usize,
    /// Size of a request's head.
    pub head_bytes_max: usize,
    /// Size of a request's target: path and query.
    pub target_bytes_max: usize,
    /// Trailer fields behind a request's body.
    pub trailers_max: usize,
    /// Size of the trailers of a request.
    pub trailer_bytes_max: usize,
    /// Size of all chunk extensions of one body (HTTP/1.1).
    pub chunk_extension_bytes_max: usize,
    /// Requests that may wait for their answers on one HTTP/1.1 connection.
    pub pipelined_max: usize,
    /// Size of a request's body. An API may ask for less.
    pub body_bytes_max: u64,
    /// How much of what a client still sends is read and dropped when its connection ends with the answer under way (HTTP/1.1).
    pub unread_bytes_max: u64,
    /// What a path may be.
    pub path: PathRules,
    /// From the first byte of a head to its end.
    pub head_timeout_ms: u64,
    /// How long a client may send nothing of a body that is waited for, while no answer has begun; and how long what it
    /// sends is read and dropped when its connection ends.
    pub body_timeout_ms: u64,
    /// How long a client may take nothing of an answer that is ready for it.
    pub answer_timeout_ms: u64,
    /// Bytes a second that a client must send of a body, or take of an answer, while it is waited for; 0 = any.
    pub rate_min: u64,
    /// How long a connection may be open without a request.
    pub idle_timeout_ms: u64,
    /// After so long without a request the buffers of an HTTP/1.1 connection are given back.
    pub rest_after_ms: u64,
    /// Tunnels (WebSockets) that are open at a time. What comes above is answered 503.
    pub tunnels_max: usize,
    /// Tunnels of one client's address.
    pub tunnels_per_client_max: usize,
    /// How long nothing may come through a tunnel.
    pub tunnel_idle_timeout_ms: u64,
    /// How long tunnels may go on while the node drains; at most as long as calls may.
    pub tunnel_drain_ms: u64,
    /// How long an idle HTTP/1.1 connection is left open when the node drains, for a request that is on its way.
    pub drain_idle_ms: u64,
    /// What clients may send over HTTP/2.
    pub h2: H2Limits,
}

/// Limits of one HTTP/2 connection. Frames are counted over the last [`H2Limits::window_ms`]; useful work, which is
/// answers and the bytes of bodies, allows for more of them. A connection above one is ended with GOAWAY
/// `ENHANCE_YOUR_CALM`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct H2Limits {
    /// Streams at a time. It is announced; a stream above is refused (`REFUSED_STREAM`) and counted, and the connection
    /// goes on.
    pub streams_max: u32,
    /// Streams that are reset, by the client or because of what it sent (CVE-2023-44487, CVE-2025-8671).
    pub resets_max: u32,
    /// `PING` frames (CVE-2019-9512).
    pub pings_max: u32,
    /// `SETTINGS` frames (CVE-2019-9515).
    pub settings_max: u32,
    /// `CONTINUATION` frames of one head (CVE-2024-27316).
    pub continuations_max: u32,
    /// `DATA` frames without data that do not end their stream (CVE-2019-9518).
    pub empty_data_max: u32,
    /// `WINDOW_UPDATE` frames.
    pub window_updates_max: u32,
    /// `PRIORITY` frames and those of unknown types (CVE-2019-9513).
    pub other_frames_max: u32,
    /// Over how long frames are counted: between a half and all of it, at least 2.
    pub window_ms: u64,
}

impl Default for H2Limits {
    fn default() -> Self {
        Self {
            streams_max: 200,
            resets_max: 100,
            pings_max: 100,
            settings_max: 20,
            continuations_max: 5,
            empty_data_max: 100,
            window_updates_max: 1_000,
            other_frames_max: 500,
            window_ms: 10_000,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 50_000,
            connections_per_client_max: 12_500,
            openings_max: 4_096,
            openings_per_client_max: 256,
            opening_timeout_ms: 10_000,
            proxy_header_bytes_max: 4 * 1024,
            headers_max: 100,
            head_bytes_max: 32 * 1024,
            target_bytes_max: 8 * 1024,
            trailers_max: 32,
            trailer_bytes_max: 8 * 1024,
            chunk_extension_bytes_max: 4 * 1024,
            pipelined_max: 100,
            body_bytes_max: 1 << 30,
            unread_bytes_max: 64 << 20,
            path: PathRules::default(),
            head_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            answer_timeout_ms: 60_000,
            rate_min: 100,
            idle_timeout_ms: 75_000,
            rest_after_ms: 1_000,
            tunnels_max: 10_000,
            tunnels_per_client_max: 1_000,
            tunnel_idle_timeout_ms: 300_000,
            tunnel_drain_ms: 20_000,
            drain_idle_ms: 1_000,
            h2: H2Limits::default(),
        }
    }
}

/// The way to the backends.
#[derive(Clone, Debug)]
pub struct UpstreamConfig {
    /// Until a connection (with TLS, where there is TLS) must stand.
    pub connect_timeout_ms: u64,
    /// How long an unused HTTP/1.1 connection is kept. Shorter than what common servers keep (5 s), so that the
    /// gateway closes first.
    pub idle_timeout_ms: u64,
    /// Unused HTTP/1.1 connections kept for each endpoint and worker.
    pub idle_max: usize,
    /// Streams at a time on one HTTP/2 connection to a backend; more open another connection.
    pub h2_streams_max: usize,
    /// DNS servers that are asked instead of the system's.
    pub dns_servers: Vec<SocketAddr>,
    /// How long records are believed that say a shorter time.
    pub dns_ttl_ms_min: u64,
    /// How long records are believed that say a longer time.
    pub dns_ttl_ms_max: u64,
    /// How long beyond their time records are believed while the name cannot be looked up.
    pub dns_stale_ms_max: u64,
    /// How long one address of a host may be silent before the next one is tried beside it (RFC 8305).
    pub next_address_ms: u64,
    /// HTTP/2 connections to an endpoint, for each worker; what is beyond waits for a stream.
    pub h2_connections_max: usize,
    /// How often an HTTP/2 connection is tried with a PING; 0 = never.
    pub h2_ping_every_ms: u64,
    /// Until the answer to a PING must be there.
    pub h2_ping_timeout_ms: u64,
    /// How long a connection takes new calls; 0 = as long as it stands.
    pub age_max_ms: u64,
    /// How many calls a connection takes; 0 = any number.
    pub requests_max: u32,
    /// The longest pause within an answer's body, unless the backend's document says another; 0 = any. Answers that pause
    /// by their nature, events and gRPC, have none.
    pub body_idle_ms: u64,
    /// Header fields of an answer.
    pub headers_max: usize,
    /// Size of an answer's head.
    pub head_bytes_max: usize,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 5_000,
            idle_timeout_ms: 4_000,
            idle_max: 256,
            h2_streams_max: 100,
            dns_servers: Vec::new(),
            dns_ttl_ms_min: 1_000,
            dns_ttl_ms_max: 300_000,
            dns_stale_ms_max: 300_000,
            next_address_ms: 250,
            h2_connections_max: 64,
            h2_ping_every_ms: 30_000,
            h2_ping_timeout_ms: 10_000,
            age_max_ms: 0,
            requests_max: 0,
            body_idle_ms: 300_000,
            headers_max: 100,
            head_bytes_max: 64 * 1024,
        }
    }
}

/// The access log: one JSON object a line.
#[derive(Clone, Debug)]
pub struct AccessLogConfig {
    /// The file that is appended to; `None` = standard output.
    pub file: Option<PathBuf>,
    /// The share of calls that is logged, from 0 to 1. Calls that end in 5xx are logged always.
    pub sample: f64,
    /// Lines that may wait for the disk; what comes above is dropped and counted.
    pub queue_max: usize,
}

impl Default for AccessLogConfig {
    fn default() -> Self {
        Self {
            file: None,
            sample: 1.0,
            queue_max: 8_192,
        }
    }
}
