//! The bodies of the control API, in camelCase JSON. Requests refuse unknown members.

use std::collections::BTreeMap;

use base::Diagnostic;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::Role;
use utoipa::ToSchema;

mod audit;
mod credentials;
mod deployments;

pub use audit::*;
pub use credentials::*;
pub use deployments::*;

/// A part of a list.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct List<T> {
    /// The items, ordered by name.
    pub items: Vec<T>,
    /// What to pass as `after` for the next part; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// A stored document with what the platform knows about it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Document)]
pub struct Object {
    /// `tollway.dev/v1alpha1`
    pub api_version: String,
    /// The kind: `Api`, `Backend`, `Plan`, `Gateway`, `Application`, `Subscription`, `DenyRule`.
    pub kind: String,
    /// `name`, and what else the author wrote there.
    #[schema(value_type = Object)]
    pub metadata: Value,
    /// The document's content; its shape depends on the kind.
    #[schema(value_type = Object)]
    pub spec: Value,
    /// Written by the platform alone; ignored when a document is sent.
    pub status: Status,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schema(ignore)]
    pub extensions: serde_json::Map<String, Value>,
}

impl Object {
    /// The document's `metadata.name`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.metadata["name"].as_str().unwrap_or_default()
    }
}

/// What the platform says about a document.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// An id that is never used again after deletion.
    pub id: String,
    /// The revision that wrote the document last; the `ETag` holds the same.
    pub revision: u64,
    /// For an API: the number of its newest revision, which is what the document says.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub api_revision: Option<u64>,
    /// SHA-256 of the document and its definition, in hexadecimal digits.
    pub digest: String,
    /// When it was created, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// When it was written last, in milliseconds since 1970.
    pub updated_unix_ms: u64,
    /// What is true of it: `Accepted`, and for an API `Compiled` and `Deployed`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub conditions: Vec<Condition>,
    /// For an API: the gateway groups that shall serve it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub gateways: Vec<GatewayStatus>,
}

/// One statement about a document, as Kubernetes words it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Accepted`, `Compiled`, `Deployed` (an API), `Listening` (a gateway).
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it is so.
    pub status: bool,
    /// One word for programs: `Pending`, `Acknowledged`, …
    pub reason: String,
    /// One sentence for people.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub message: String,
}

/// How far one gateway group is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayStatus {
    /// The `Gateway` document's name.
    pub gateway: String,
    /// The number of the revision of the API that it is to serve.
    pub api_revision: u64,
    /// Whether it goes on to the next revisions by itself.
    pub latest: bool,
    /// Nodes of the group that are alive.
    pub nodes: u64,
    /// Those that serve the present revision.
    pub acknowledged: u64,
    /// Names of those that do not.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub missing: Vec<String>,
    /// What each node says that it serves.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub serving: Vec<NodeItem>,
}

/// An OpenAPI definition that shall become an API: one of `definition`, `archive` and `url`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportRequest {
    /// The text: Swagger 2.0, OpenAPI 3.0 or 3.1, in YAML or JSON. Kept byte for byte.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub definition: Option<String>,
    /// The name of its file: names it in diagnostics and in exports. In an archive it says which file is the root.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub file: Option<String>,
    /// A zip archive with the definition and the files that it refers to, in Base64.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub archive: Option<String>,
    /// Where the platform fetches the definition, or an archive with it, and what it refers to at the same origin.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url: Option<String>,
    /// Beside `definition`: files that it refers to, by name, relative to the folder in which `file` is named.
    #[serde(skip_serializing_if = "IndexMap::is_empty", default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub files: IndexMap<String, String>,
    /// The API's name; by default made of the definition's title.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// The API's version; by default the definition's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// Where it is served; by default `/` and the name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub context: Option<String>,
    /// The backend's base URL; by default the definition's servers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub backend: Option<String>,
    /// Names of the plans to offer; by default `Unlimited`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub plans: Vec<String>,
    /// Rules of definitions that count otherwise than by default: `off`, `warning` or `error` by the rule's id. They
    /// stay in the document, as `spec.definition.rules`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub rules: BTreeMap<String, spec::RuleSeverity>,
    /// Whether it is served at the bare context too.
    #[serde(default)]
    pub default_version: bool,
    /// Publish it at once; otherwise it is in state Created.
    #[serde(default)]
    pub publish: bool,
}

/// The files of an API's definition, byte for byte.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DefinitionFiles {
    /// The file that refers to the others.
    pub root: String,
    /// All files by name, the root among them.
    #[schema(value_type = BTreeMap<String, String>)]
    pub files: IndexMap<String, String>,
}

/// What an import made.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportAnswer {
    /// The new API.
    pub api: Object,
    /// Operations that the definition has.
    pub operations: u64,
    /// What the definition could have said better, and what is not served.
    #[schema(schema_with = super::schema::diagnostics)]
    pub warnings: Vec<Diagnostic>,
}

/// A wish to move an API to another state of its life cycle.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LifecycleRequest {
    /// `Created`, `Prototyped`, `Published`, `Blocked`, `Deprecated` or `Retired`, in any case.
    pub state: String,
    /// With Deprecated: the day it goes away, as `2027-06-30`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sunset: Option<String>,
}

/// Where an API stands in its life.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lifecycle {
    /// The present state.
    pub state: String,
    /// The day it goes away.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sunset: Option<String>,
    /// The states that it may go to from here.
    pub allowed: Vec<String>,
    /// How it came here, oldest first.
    pub history: Vec<LifecycleChange>,
}

/// One step of an API's life.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleChange {
    /// The state before; absent when the API was created.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<String>,
    /// The state after.
    pub to: String,
    /// Who did it.
    pub actor: String,
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// The revision that it made.
    pub revision: u64,
}

/// What a credential is for: which backends its calls go to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// The production backends.
    #[default]
    Production,
    /// The sandbox backends, and no others.
    Sandbox,
}

impl From<Environment> for base::Environment {
    fn from(environment: Environment) -> Self {
        match environment {
            Environment::Production => Self::Production,
            Environment::Sandbox => Self::Sandbox,
        }
    }
}

impl From<base::Environment> for Environment {
    fn from(environment: base::Environment) -> Self {
        match environment {
            base::Environment::Production => Self::Production,
            base::Environment::Sandbox => Self::Sandbox,
        }
    }
}

/// Which token is wanted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenRequest {
    /// The scopes; by default all that the application's subscriptions grant.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scopes: Option<Vec<String>>,
    /// Of which of the application's clients; by default of one for production.
    #[serde(default)]
    pub environment: Environment,
}

/// An access token for calls through the gateway.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenAnswer {
    /// The token.
    pub access_token: String,
    /// `Bearer`
    pub token_type: String,
    /// Its lifetime in seconds.
    pub expires_in: u64,
    /// Its scopes, separated by spaces.
    pub scope: String,
}

/// Texts of documents, and the definitions that they name by file.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bundle {
    /// Texts of one or several documents each.
    pub documents: Vec<BundleText>,
    /// Definitions by file, and the files that they refer to. A document's `definition.file` is looked for beside the
    /// document's own file.
    #[serde(skip_serializing_if = "IndexMap::is_empty", default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub definitions: IndexMap<String, String>,
}

/// One text of a [`Bundle`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BundleText {
    /// Its file, with `/` between folders, relative to the bundle.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub file: Option<String>,
    /// YAML or JSON; several documents are separated by `---`.
    pub text: String,
}

/// What is wrong with a bundle.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Validation {
    /// Whether `apply` would take it.
    pub valid: bool,
    /// Every error and warning.
    #[schema(schema_with = super::schema::diagnostics)]
    pub diagnostics: Vec<Diagnostic>,
}

/// What `apply` does, or would do.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplyAnswer {
    /// Nothing was written.
    pub dry_run: bool,
    /// The revision that was made; absent when nothing was to do, and in a dry run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<u64>,
    /// What happened to each document: those of the bundle in its order, then those deleted.
    pub results: Vec<ApplyResult>,
    /// What the author should know although the bundle is taken.
    #[schema(schema_with = super::schema::diagnostics)]
    pub warnings: Vec<Diagnostic>,
}

/// What happened to one document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplyResult {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The file it came from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub file: Option<String>,
    /// What happened.
    pub action: Action,
}

/// What happens to a document.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It is new.
    Created,
    /// It replaces another content.
    Updated,
    /// It is stored already, just so.
    Unchanged,
    /// The bundle does not have it and `prune` is set.
    Deleted,
}

/// How a bundle differs from what is stored.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiffAnswer {
    /// Only documents that differ; empty when `apply` would do nothing.
    pub changes: Vec<DocumentChange>,
    /// What the author should know although the bundle is taken.
    #[schema(schema_with = super::schema::diagnostics)]
    pub warnings: Vec<Diagnostic>,
}

/// How one document differs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DocumentChange {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What `apply` would do.
    pub action: Action,
    /// Where it differs; one entry for the whole document when it is created or deleted.
    pub fields: Vec<FieldChange>,
    /// The definition's text differs.
    #[serde(default)]
    pub definition_changed: bool,
}

/// One difference inside a document.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// Where (JSON pointer).
    pub pointer: String,
    /// The stored value; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<Value>,
    /// The value in the bundle; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<Value>,
}

impl From<spec::FieldChange> for FieldChange {
    fn from(field: spec::FieldChange) -> Self {
        Self {
            pointer: field.pointer,
            before: field.before,
            after: field.after,
        }
    }
}

/// Every document of the organisation, and the definitions.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Export {
    /// The documents, each in the order in which they can be applied.
    pub documents: Vec<ExportDocument>,
}

/// One exported document.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportDocument {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Where to write it, relative to the export's folder: unique, and safe on every file system.
    pub file: String,
    /// SHA-256 of the document and its definition.
    pub digest: String,
    /// The document without `status`.
    #[schema(value_type = Object)]
    pub document: Value,
    /// The definition that it names.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub definition: Option<ExportDefinition>,
}

/// The definition beside an exported document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportDefinition {
    /// Where to write it, relative to the export's folder.
    pub file: String,
    /// Its text, byte for byte.
    pub text: String,
    /// The other files that it refers to, byte for byte, by where to write them.
    #[serde(skip_serializing_if = "IndexMap::is_empty", default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub files: IndexMap<String, String>,
}

/// A new user.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewUser {
    /// The name to log in with.
    pub name: String,
    /// The first password.
    pub password: String,
    /// What it may do: `admin`, `publisher`, `subscriber`.
    #[schema(value_type = Vec<String>)]
    pub roles: Vec<Role>,
}

/// Changes of a user; what is absent stays.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserChange {
    /// A new password.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub password: Option<String>,
    /// All roles from now on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Vec<String>>)]
    pub roles: Option<Vec<Role>>,
}

/// A user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserItem {
    /// The name to log in with.
    pub name: String,
    /// What it may do.
    #[schema(value_type = Vec<String>)]
    pub roles: Vec<Role>,
    /// When it was created, in milliseconds since 1970.
    pub created_unix_ms: u64,
}

/// Who calls.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Me {
    /// The user's name.
    pub name: String,
    /// The organisation.
    pub org: String,
    /// What it may do.
    #[schema(value_type = Vec<String>)]
    pub roles: Vec<Role>,
}
