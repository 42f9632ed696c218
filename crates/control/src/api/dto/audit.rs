//! Bodies about who changed what, and about taking it back.

use base::Diagnostic;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ApplyResult, DocumentChange, FieldChange};
use crate::api::schema;

/// One change of one thing.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// The store's revision that it made; `undo` takes it back by this number.
    pub revision: u64,
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Who: a user, a client that revoked its own token, or `system`.
    pub actor: String,
    /// The call that did it: its trace id, which its answer had as `X-Request-Id`. Absent where nobody called.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request: Option<String>,
    /// What was done.
    pub action: AuditAction,
    /// To what: a kind of document, `Credential`, `User`, `Token` or `SigningKey`.
    pub kind: String,
    /// Which: a name, or an id where there is no name.
    pub name: String,
    /// Where it differs; one entry with the whole when it was created or deleted. Secrets and hashes are never in it.
    pub fields: Vec<FieldChange>,
    /// The definition's text was changed.
    #[serde(default)]
    pub definition_changed: bool,
}

/// What was done to a thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum AuditAction {
    /// It was made.
    Created,
    /// Its content was changed.
    Changed,
    /// It was deleted.
    Deleted,
    /// An API: only the revisions that gateways serve were changed.
    Deployed,
    /// An API: only its life cycle was changed.
    Moved,
    /// A token: it is refused from now on.
    Revoked,
}

/// What was taken back, or would be.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UndoAnswer {
    /// Nothing was written.
    pub dry_run: bool,
    /// The revision that is taken back.
    pub undone: u64,
    /// The revision that was made; absent when nothing was to do, and in a dry run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<u64>,
    /// What happens to each document.
    pub results: Vec<ApplyResult>,
    /// How each differs from what is stored.
    pub changes: Vec<DocumentChange>,
    /// What cannot be taken back: credentials, users, tokens and keys.
    pub refused: Vec<NotUndone>,
    /// What the author should know all the same.
    #[schema(schema_with = schema::diagnostics)]
    pub warnings: Vec<Diagnostic>,
}

/// Something that is not taken back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotUndone {
    /// Its kind.
    pub kind: String,
    /// Its name or id.
    pub name: String,
    /// Why not, and what to do instead.
    pub reason: String,
}
