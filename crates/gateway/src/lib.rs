//! The gateway role: accepts, matches, runs policies, proxies.
//!
//! hyper directly, one current-thread runtime a core, connections to backends pooled per core; nothing on the path
//! of a request takes a lock or waits for another thread. Configuration comes as snapshots, state that outlives
//! them sits in the workers and in [`policy::Runtime`].
//!
//! Knows nothing of documents, stores, or how a snapshot is made. Start at [`start`], then `request.rs`: the life of
//! one request.

mod access_log;
mod ahead;
mod answer;
pub mod asking;
pub mod backend_tokens;
mod body;
mod broken;
mod client_basic;
mod config;
mod connection;
pub mod decisions;
pub mod directory;
mod endpoints;
mod events;
pub mod feed;
mod forwarded;
mod gateway;
pub mod guard;
mod io;
pub mod issuers;
pub mod last_good;
mod listener;
pub mod live;
mod metrics;
mod pace;
mod ports;
mod proxy_header;
mod record;
mod request;
mod seats;
mod server_tls;
mod services;
mod shelf;
mod sockets;
pub mod spans;
mod telling;
mod timers;
mod trace;
mod tunnel;
mod upstream;
pub mod usage;
mod worker;

pub use config::{
    AccessLogConfig, ClientCertificates, Config, Forwarding, H2Limits, IpNet, Limits, PathRules,
    Propagation, TlsFiles, TracingConfig, UpstreamConfig, UsageConfig,
};
pub use endpoints::Endpoints;
pub use gateway::{Drained, Gateway, StartError, start};
pub use metrics::Metrics;
pub use ports::{Ports, networks};
pub use server_tls::CertificateError;
pub use sockets::Sockets;
pub use worker::Snapshots;
