//! The guarded client against real servers on this machine, with a resolver that says what a test wants.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod guard;
mod server;
