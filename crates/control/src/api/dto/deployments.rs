//! Bodies about revisions of APIs and where they are served.

use std::collections::BTreeMap;

use base::Diagnostic;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spec::RevisionRef;
use utoipa::ToSchema;

use super::FieldChange;
use crate::api::schema;

/// One revision of an API.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiRevisionItem {
    /// Its number, from 1.
    pub number: u64,
    /// SHA-256 of its content: of the document without `deployments`, `lifecycle` and `sunset`, and of the definition.
    pub digest: String,
    /// When it was made, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Who made it.
    pub actor: String,
    /// The store's revision that it was made in: what `audit` and `undo` name it by.
    pub revision: u64,
    /// The gateways that are to serve it.
    pub gateways: Vec<String>,
}

/// One revision of an API with its content.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiRevisionDocument {
    /// The revision.
    #[serde(flatten)]
    pub revision: ApiRevisionItem,
    /// The document as it was, without `deployments`, `lifecycle` and `sunset`.
    #[schema(value_type = Object)]
    pub document: Value,
    /// The definition's text as it was; of several files the root's.
    pub definition: String,
    /// Its other files, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub files: BTreeMap<String, String>,
}

/// Where an API is served.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentItem {
    /// The gateway.
    pub gateway: String,
    /// What the document says: a number or `latest`.
    #[schema(schema_with = schema::revision)]
    pub revision: RevisionRef,
    /// The number of that revision.
    pub number: u64,
}

/// Which revision a gateway is to serve.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeployRequest {
    /// A number or `latest`; by default `latest`.
    #[serde(default)]
    #[schema(schema_with = schema::revision)]
    pub revision: RevisionRef,
}

/// What became of a deployment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deployed {
    /// The API's document name.
    pub api: String,
    /// The gateway.
    pub gateway: String,
    /// The revision that it served before; absent = none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<u64>,
    /// The revision that it serves now; absent = none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<u64>,
    /// Whether it goes on to the next revisions by itself.
    pub latest: bool,
    /// How far it is.
    pub state: DeployState,
    /// Nodes of the gateway that are alive, and serve it.
    pub nodes: u64,
    /// The store's revision at which it was so decided.
    pub revision: u64,
    /// What the author should know all the same.
    #[schema(schema_with = schema::diagnostics)]
    pub warnings: Vec<Diagnostic>,
}

/// How far a deployment is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub enum DeployState {
    /// Every live node of the gateway serves it.
    Deployed,
    /// The gateway has no live node; the next one that comes will serve it.
    Pending,
    /// It is stored; nobody waited for the nodes.
    Stored,
}

/// A node that does not serve what it is to serve.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeItem {
    /// Its name.
    pub node: String,
    /// Its gateway.
    pub gateway: String,
    /// The store's revision up to which it serves every change; absent = it has acknowledged none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<u64>,
    /// The digest over all that it serves.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<String>,
}

/// How two revisions of an API differ.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiRevisionDiff {
    /// The revision that is compared with.
    pub from: u64,
    /// The revision that is compared.
    pub to: u64,
    /// Whether callers that keep to the old definition may fail.
    pub breaking: bool,
    /// What differs for callers.
    pub definition: Vec<DefinitionChange>,
    /// Whether the definitions' texts differ; they may also where nothing does for callers.
    pub definition_changed: bool,
    /// Where the documents differ.
    pub fields: Vec<FieldChange>,
}

/// One difference between two definitions, as callers see them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DefinitionChange {
    /// The rule that tells it; all are in `docs/reference/api-changes.md`.
    pub rule: String,
    /// Which way.
    pub change: ChangeKind,
    /// Whether callers that keep to the old definition may fail.
    pub breaking: bool,
    /// The operation (`GET /pets`, or a path that is meant as a whole); absent = the definition as a whole.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub operation: Option<String>,
    /// What changed, in one sentence.
    pub message: String,
    /// Where the old definition has it (JSON pointer).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub old: Option<String>,
    /// Where the new definition has it (JSON pointer).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub new: Option<String>,
    /// What it was, cut where it is long.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<String>,
    /// What it is, cut where it is long.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<String>,
}

/// Which way something changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// The new definition has it, the old one not.
    Added,
    /// The old definition has it, the new one not.
    Removed,
    /// Both have it.
    Changed,
}

impl From<openapi::diff::Difference> for DefinitionChange {
    fn from(difference: openapi::diff::Difference) -> Self {
        use openapi::diff::Change;
        Self {
            rule: difference.rule.id.to_owned(),
            change: match difference.change() {
                Change::Added => ChangeKind::Added,
                Change::Removed => ChangeKind::Removed,
                Change::Changed => ChangeKind::Changed,
            },
            breaking: difference.breaking(),
            operation: difference.operation.map(|operation| {
                let text = format!("{} {}", operation.method, operation.path);
                text.trim_start().to_owned()
            }),
            message: difference.message,
            old: difference.old.map(|place| place.pointer),
            new: difference.new.map(|place| place.pointer),
            before: difference.before,
            after: difference.after,
        }
    }
}
