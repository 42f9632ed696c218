//! Real servers for tests: each is started in a throw-away folder on a free port, and goes with the test that started
//! it, however the test ends.
//!
//! A part whose program is not installed fails the test with a line that names the package; nothing is skipped in
//! silence. One file a part; start at [`Postgres`]. Used by tests alone: whatever goes wrong here is a panic.

pub mod browser;
pub mod dnsmasq;
pub mod ext_authz;
pub mod grpc_health;
pub mod h2spec;
pub mod haproxy;
mod http;
pub mod interop;
pub mod jaeger;
mod keeper;
pub mod keycloak;
mod launched;
pub mod pki;
pub mod postgres;
pub mod prometheus;
mod python;

use std::path::PathBuf;

pub use dnsmasq::Dnsmasq;
pub use ext_authz::ExtAuthz;
pub use grpc_health::GrpcHealth;
pub use haproxy::HaProxy;
pub use jaeger::Jaeger;
pub use keycloak::Keycloak;
pub use postgres::Postgres;
pub use prometheus::Prometheus;

/// Where `./.ci/tools` puts what is no package of Debian's.
pub(crate) fn cache() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    cache.unwrap_or_else(home).join("tollway")
}

/// A port of loopback that is free at this moment; whoever takes it must be ready for another one to be faster.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    free.expect("loopback has a free port").port()
}
