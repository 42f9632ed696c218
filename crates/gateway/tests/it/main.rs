//! The data plane over real sockets. Both ends are played by the test, step by step, so that nothing waits for time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_peer;
mod balance;
mod drain;
mod exchange;
mod http2;
mod limits;
mod log;
mod routing;
mod sandbox;
mod streaming;
mod tls;
mod traced;
mod upstream;
mod websocket;
