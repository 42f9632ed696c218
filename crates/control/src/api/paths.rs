//! The paths below `/api/v1`, for those who call them.
//!
//! Every list takes `limit` (1 to 500, by default 100) and `after`; writes that affect traffic take `wait=false`.

use store::RecordKind;

/// What all paths of the control API begin with.
pub const PREFIX: &str = "/api/v1";
/// `POST` [`super::ImportRequest`] → [`super::ImportAnswer`]
pub const IMPORT: &str = "/api/v1/apis:import";
/// `POST` [`super::Bundle`] → [`super::Validation`]
pub const VALIDATE: &str = "/api/v1/validate";
/// `POST` [`super::Bundle`], `?prune=true` → [`super::DiffAnswer`]
pub const DIFF: &str = "/api/v1/diff";
/// `POST` [`super::Bundle`], `?prune=true&dryRun=true` → [`super::ApplyAnswer`]
pub const APPLY: &str = "/api/v1/apply";
/// `GET` → [`super::Export`]
pub const EXPORT: &str = "/api/v1/export";
/// `GET` → [`super::List`] of [`super::UserItem`], `POST` [`super::NewUser`]; one user at `/{name}`: `PATCH`, `DELETE`
pub const USERS: &str = "/api/v1/users";
/// `GET` → [`super::List`] of [`super::SessionItem`], `DELETE` of all of a user; one at `/{id}`: `DELETE`
pub const SESSIONS: &str = "/api/v1/sessions";
/// `GET` → [`super::List`] of [`super::ConsentItem`], `DELETE` of all of a user; one at `/{client_id}`: `DELETE`
pub const CONSENTS: &str = "/api/v1/consents";
/// `GET` with [`super::UsageParams`] → [`super::UsageReport`]
pub const USAGE: &str = "/api/v1/usage";
/// `GET` → [`super::Reconciliation`]
pub const RECONCILIATION: &str = "/api/v1/usage/reconciliation";
/// `GET` → [`super::Me`]
pub const ME: &str = "/api/v1/me";
/// `GET` → the OpenAPI document of the control API
pub const OPENAPI: &str = "/api/v1/openapi.json";
/// `GET` → 200 when the store answers
pub const HEALTH: &str = "/api/v1/health";

/// `GET` → [`super::List`] of [`super::AuditEntry`], newest first; filters as [`super::AuditParams`] has them
pub const AUDIT: &str = "/api/v1/audit";

/// `POST` (no body), `?dryRun=true&force=true` → [`super::UndoAnswer`]
#[must_use]
pub fn undo(revision: u64) -> String {
    format!("{PREFIX}/revisions/{revision}/undo")
}

/// `GET` → [`super::List`] of [`super::ApiRevisionItem`]; one at `/{number}` → [`super::ApiRevisionDocument`]
#[must_use]
pub fn revisions(api: &str) -> String {
    format!("{}/revisions", item(RecordKind::Api, api))
}

/// `GET` → [`super::ApiRevisionDiff`]
#[must_use]
pub fn revision_diff(api: &str, from: u64, to: u64) -> String {
    format!("{}/{from}/diff/{to}", revisions(api))
}

/// `GET` → [`super::IssuerStatus`]
#[must_use]
pub fn issuer_status(issuer: &str) -> String {
    format!("{}/status", item(RecordKind::TokenIssuer, issuer))
}

/// `GET` → [`super::BackendStatus`]
#[must_use]
pub fn backend_status(backend: &str) -> String {
    format!("{}/status", item(RecordKind::Backend, backend))
}

/// `PUT` [`super::DeployRequest`], `DELETE`, at `/rollback` `POST` (no body) → [`super::Deployed`]
#[must_use]
pub fn deployment(api: &str, gateway: &str) -> String {
    let api = item(RecordKind::Api, api);
    format!("{api}/deployments/{}", escaped(gateway))
}

/// The collection of a kind: `GET` → [`super::List`] of [`super::Object`], `POST` a document.
///
/// Filters: `name` and `version` of APIs, `application` and `api` (document names) of subscriptions.
#[must_use]
pub fn collection(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Api => "/api/v1/apis",
        RecordKind::Backend => "/api/v1/backends",
        RecordKind::Plan => "/api/v1/plans",
        RecordKind::Gateway => "/api/v1/gateways",
        RecordKind::Application => "/api/v1/applications",
        RecordKind::Subscription => "/api/v1/subscriptions",
        RecordKind::DenyRule => "/api/v1/deny-rules",
        RecordKind::TokenIssuer => "/api/v1/token-issuers",
    }
}

/// One document by its `metadata.name`: `GET`, `PUT`, `DELETE` (an API with `?cascade=true` takes its subscriptions along).
#[must_use]
pub fn item(kind: RecordKind, name: &str) -> String {
    format!("{}/{}", collection(kind), escaped(name))
}

/// `GET` → [`super::Lifecycle`], `POST` [`super::LifecycleRequest`]
#[must_use]
pub fn lifecycle(api: &str) -> String {
    format!("{}/lifecycle", item(RecordKind::Api, api))
}

/// `GET` → the definition's text with its media type, of several files the root's; `?bundled=true` → all as one, in JSON
#[must_use]
pub fn definition(api: &str) -> String {
    format!("{}/definition", item(RecordKind::Api, api))
}

/// `GET` → [`super::DefinitionFiles`]
#[must_use]
pub fn definition_files(api: &str) -> String {
    format!("{}/files", definition(api))
}

/// `GET` → [`super::List`] of [`super::CredentialItem`], `POST` [`super::ClientRequest`] → [`super::NewClient`]; at `/{id}` `GET`, `PATCH` [`super::ClientChange`], `DELETE`;
/// at `/{id}/rotate` `POST` [`super::RotateRequest`]; at `/{id}/secrets/{secret}` `DELETE`
#[must_use]
pub fn credentials(application: &str) -> String {
    format!("{}/credentials", item(RecordKind::Application, application))
}

/// `GET` → [`super::List`] of [`super::CredentialItem`], `POST` [`super::ApiKeyRequest`] → [`super::NewApiKey`]; at `/{id}` as [`credentials`]
#[must_use]
pub fn api_keys(application: &str) -> String {
    format!("{}/api-keys", item(RecordKind::Application, application))
}

/// `GET` → [`super::List`] of [`super::CredentialItem`]: those that end soon (`?expiringIn=`, seconds)
pub const EXPIRING: &str = "/api/v1/credentials";

/// `GET` → [`super::List`] of [`super::RegistrationTokenItem`], `POST` [`super::RegistrationTokenRequest`]; `DELETE` at `/{id}`
pub const REGISTRATION_TOKENS: &str = "/api/v1/registration-tokens";

/// `GET` → [`super::List`] of [`super::NoticeItem`]
pub const NOTICES: &str = "/api/v1/notices";

/// `GET` → [`super::List`] of [`super::SigningKeyItem`]
pub const SIGNING_KEYS: &str = "/api/v1/signing-keys";

/// `POST` [`super::RollRequest`] → [`super::List`] of [`super::SigningKeyItem`]
pub const SIGNING_KEYS_ROLL: &str = "/api/v1/signing-keys/roll";

/// `POST` [`super::TokenRequest`] → [`super::TokenAnswer`]
#[must_use]
pub fn token(application: &str) -> String {
    format!("{}/token", item(RecordKind::Application, application))
}

/// `GET` → [`super::Explanation`]
#[must_use]
pub fn trace(trace_id: &str) -> String {
    format!("/api/v1/traces/{}", escaped(trace_id))
}

/// Escapes a name for use as one path segment or query value (RFC 3986 §3.3, §3.4).
#[must_use]
pub fn escaped(name: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_segment() {
        assert_eq!(
            item(RecordKind::Plan, "a/b?ä"),
            "/api/v1/plans/a%2Fb%3F%C3%A4"
        );
    }
}
