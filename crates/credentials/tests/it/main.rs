//! Tests of the crate from outside, on a store in memory.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bootstrap;
mod hashes;
mod memory;
mod rotation;
mod tokens;
