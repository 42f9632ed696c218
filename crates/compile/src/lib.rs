//! Documents to models, models to what a node serves.
//!
//! [`reduce`] (step one) runs in the control plane and in `tollway validate`; [`build`] (step two) runs on nodes, and
//! before anything is saved: [`check`] is both, and there is no other way to find out whether a document will serve.
//!
//! Knows nothing of stores, sockets or time. Start at [`reduce()`].

mod backend;
mod build;
mod chain;
mod own;
mod reduce;

use base::{Diagnostics, Org};
use spec::Document;

pub use backend::build_backend;
pub use build::{Built, build, mounts};
pub use reduce::{
    Names, Reduced, World, broken, reduce, reduce_backend, reduce_gateway, reduce_plan,
};

/// Problems of one kind after which an API is not looked at any further.
pub const PROBLEMS_MAX: usize = 100;

/// Reduces and builds an API: what [`reduce()`] takes is also what a node will serve.
///
/// # Errors
/// As [`reduce()`], and every fault of policies and backends.
pub fn check(
    org: &Org,
    document: &Document,
    definition: &str,
    changed_at_unix_s: u64,
    world: &World,
) -> Result<Reduced, Diagnostics> {
    let (model, mut found) = reduce::attempt(org, document, definition, changed_at_unix_s, world);
    let Some(model) = model else {
        return Err(found);
    };
    found.extend(build(&model).diagnostics);
    if found.has_errors() {
        return Err(found);
    }
    Ok(Reduced {
        model,
        warnings: found,
    })
}
