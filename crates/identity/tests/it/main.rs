//! The endpoints through the router, on a real database in a temporary folder.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attacks;
mod code_flow;
mod introspect;
mod leaks;
mod login;
mod metadata;
mod revoke;
mod tab;
mod token;
mod world;
