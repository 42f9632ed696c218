//! The endpoints through the router, on a real database in a temporary folder.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod account;
mod attacks;
mod browser;
mod code_flow;
mod cut_off;
mod device;
mod exchange;
mod introspect;
mod leaks;
mod login;
mod logout;
mod metadata;
mod pairwise;
mod proving;
mod public;
mod refresh_revoked;
mod revoke;
mod tab;
mod token;
mod userinfo;
mod world;
