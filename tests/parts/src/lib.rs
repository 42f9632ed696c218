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

use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
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

/// A port of loopback that is free, for somebody who is told where to listen.
///
/// It has had a connection that was closed from its side: for a minute the kernel gives it to nobody who asks for any port, and
/// to whoever asks for this one by `SO_REUSEADDR`, as servers do.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let held = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let mut client = TcpStream::connect(address)?;
        drop(listener.accept()?);
        // The end has come: the connection waits at the side that closed first.
        client.read_to_end(&mut Vec::new())?;
        std::io::Result::Ok(address.port())
    };
    held().expect("loopback has a free port")
}
