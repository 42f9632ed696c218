//! The control API through its router, over a real database in a temporary folder, with nodes that are made up.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod applications;
mod audit;
mod backends;
mod bundles;
mod definition_rules;
mod definitions;
mod documents;
mod errors;
mod expiring;
mod imports;
mod issuers;
mod lifecycle;
mod nodes;
mod revisions;
mod sessions;
mod traces;
mod usage;
mod users;
mod world;
