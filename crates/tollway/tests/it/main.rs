//! The binary as people and scripts meet it: processes, exit codes, files.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod backends;
mod basic_user;
mod cli;
mod crash;
mod database;
mod identity_tls;
mod imports;
mod kills;
mod lint;
mod logouts;
mod open_calls;
mod platform;
mod revisions;
mod soak;
mod start;
mod succession;
mod upgrade;
mod usage;
mod websockets;
