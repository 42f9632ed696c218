//! The policies: one file each, with its configuration, its compilation, its running form and its tests.
//!
//! Three files are no policies of a chain but functions that the gateway calls for every request, before a chain is
//! known: [`normalize_path`], [`hop_by_hop`] and [`identity_headers`]. [`any_of`], [`all_of`],
//! [`deny`], [`application_limits`], [`deprecation`], [`owned_headers`] and [`admission`] are put into
//! chains by `compile` alone; everything in [`POLICIES`] can be named in a document.
//!
//! Knows nothing of sockets, documents or the backend. Start reading at [`POLICIES`], then at a short one
//! ([`timeout`]), then at [`jwt`].

#![expect(
    clippy::result_large_err,
    reason = "a refusal is rare, and its caller renders it at once"
)]

pub mod admission;
pub mod all_of;
pub mod any_of;
pub mod api_key;
pub mod application_limits;
pub mod authorize;
pub mod backend_credentials;
pub mod backend_jwt;
pub mod basic;
pub mod caller_headers;
pub mod challenge;
pub mod cors;
pub mod deny;
pub mod deprecation;
pub mod ext_authz;
mod generations;
pub mod headers;
pub mod hop_by_hop;
pub mod identity_headers;
pub mod jwt;
pub mod mutual_tls;
pub mod normalize_path;
pub mod owned_headers;
pub mod payload_limits;
pub mod plan_quota;
pub mod rate_limit;
pub mod scopes;
mod secret_file;
pub mod subscription;
#[cfg(test)]
mod testing;
pub mod timeout;
pub mod token_cache;
pub mod transports;

use policy::ErasedPolicyKind;

/// Every policy that a document can name.
pub static POLICIES: &[&dyn ErasedPolicyKind] = &[
    &cors::Cors,
    &jwt::Jwt,
    &api_key::ApiKey,
    &basic::Basic,
    &mutual_tls::MutualTls,
    &scopes::Scopes,
    &subscription::Subscription,
    &authorize::Authorize,
    &ext_authz::ExtAuthz,
    &plan_quota::PlanQuota,
    &rate_limit::RateLimit,
    &caller_headers::IdentityHeaders,
    &backend_jwt::BackendJwt,
    &backend_credentials::BackendCredentials,
    &headers::SetHeaders,
    &headers::RemoveHeaders,
    &headers::RenameHeaders,
    &timeout::Timeout,
    &payload_limits::PayloadLimits,
    &transports::Transports,
];

/// The kind of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn ErasedPolicyKind> {
    POLICIES.iter().copied().find(|kind| kind.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for kind in POLICIES {
            let same = POLICIES.iter().filter(|other| other.name() == kind.name());
            assert_eq!(same.count(), 1, "{}", kind.name());
            assert!(find(kind.name()).is_some());
            assert!(!kind.summary().is_empty());
        }
        assert!(find("nonsense").is_none());
    }

    #[test]
    fn every_key_of_every_schema_is_documented() {
        for kind in POLICIES {
            let schema = serde_json::to_value(kind.schema()).unwrap();
            let Some(properties) = schema.get("properties").and_then(|found| found.as_object())
            else {
                continue;
            };
            for (key, property) in properties {
                assert!(
                    property.get("description").is_some(),
                    "{}.{key} has no description",
                    kind.name()
                );
            }
        }
    }
}
