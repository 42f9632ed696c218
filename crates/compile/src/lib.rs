//! Documents to models, models to what a node serves.
//!
//! [`reduce`] (step one) runs in the control plane and in `tollway validate`; [`build`] (step two) runs on nodes, and
//! before anything is saved: [`check_within`] is both, and there is no other way to find out whether a document will
//! serve. There a definition is held against the rules of `openapi`, once: afterwards it is stored, and read without.
//!
//! Knows nothing of stores, sockets or time. Start at [`reduce()`].

mod backend;
mod build;
mod calls;
mod chain;
mod issuer;
mod own;
mod protected;
mod reduce;
mod security;
mod upstream;

use base::{Diagnostics, Org};
use spec::Document;
use sync::ApiModel;
use tree::Limits;

use reduce::Reading;

pub use backend::build_backend;
pub use build::{Built, build, mounts};
pub use issuer::{check_issuer, issuer_references, key_rules, reduce_issuer};
pub use reduce::{
    Names, Reduced, World, backend_references, broken, deny_faults, reduce, reduce_application,
    reduce_backend, reduce_deny_rule, reduce_gateway, reduce_plan,
};

/// Problems of one kind after which an API is not looked at any further.
pub const PROBLEMS_MAX: usize = 100;

/// Reduces and builds an API whose definition is not accepted yet, within the usual limits.
///
/// # Errors
/// As [`check_within`].
pub fn check(
    org: &Org,
    document: &Document,
    definition: &str,
    changed_at_unix_s: u64,
    world: &World,
) -> Result<Reduced, Diagnostics> {
    let limits = Limits::default();
    check_within(org, document, definition, changed_at_unix_s, world, &limits)
}

/// As [`check`], within these limits of the definition.
///
/// # Errors
/// As [`reduce()`], every violation of a rule whose severity is `error` by default or as the document says, and every
/// fault of policies and backends.
pub fn check_within(
    org: &Org,
    document: &Document,
    definition: &str,
    changed_at_unix_s: u64,
    world: &World,
    limits: &Limits,
) -> Result<Reduced, Diagnostics> {
    let definition = (definition, Reading::New(limits));
    built(reduce::attempt(
        org,
        document,
        definition,
        changed_at_unix_s,
        world,
    ))
}

/// Reduces and builds an API whose definition was accepted before.
///
/// # Errors
/// As [`reduce()`], and every fault of policies and backends.
pub fn check_stored(
    org: &Org,
    document: &Document,
    definition: &str,
    changed_at_unix_s: u64,
    world: &World,
) -> Result<Reduced, Diagnostics> {
    let definition = (definition, Reading::Stored);
    built(reduce::attempt(
        org,
        document,
        definition,
        changed_at_unix_s,
        world,
    ))
}

fn built((model, mut found): (Option<ApiModel>, Diagnostics)) -> Result<Reduced, Diagnostics> {
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
