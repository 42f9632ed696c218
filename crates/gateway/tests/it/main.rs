//! The data plane over real sockets. Both ends are played by the test, step by step, so that nothing waits for time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ahead;
mod bad_peer;
mod balance;
mod breaker;
mod checks;
mod client_certificates;
mod closing;
mod discovery;
mod drain;
mod exchange;
mod h2spec;
mod http2;
mod keep_alive;
mod limits;
mod log;
mod messages;
mod metered;
mod proxied;
mod resting;
mod retry;
mod routing;
mod sandbox;
mod spread;
mod streaming;
mod tls;
mod traced;
mod upstream;
mod upstream_h2;
mod upstream_tls;
mod websocket;
mod websocket_h2;
