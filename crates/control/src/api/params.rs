//! The query parameters of the control API. Unknown ones are refused.

use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

/// How a list is cut and what of it is wanted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListParams {
    /// At most so many items.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<u64>,
    /// Only items after this one: [`super::List::next`] of the part before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<String>,
    /// APIs of this `spec.name`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// APIs of this `spec.version`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// Subscriptions of this application (document name).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub application: Option<String>,
    /// Subscriptions to this API (document name).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub api: Option<String>,
}

/// Whether a write waits for the nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Waiting {
    /// `false` = answer as soon as the change is stored; otherwise when every live node serves it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wait: Option<bool>,
}

/// In which form a definition is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DefinitionParams {
    /// As one text in JSON, references into other files replaced by local ones; otherwise the root file as it was sent.
    #[serde(default)]
    pub bundled: bool,
}

/// How something is deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteParams {
    /// As [`Waiting::wait`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wait: Option<bool>,
    /// Delete an API together with the subscriptions to it.
    #[serde(default)]
    pub cascade: bool,
}

/// How a bundle is compared or applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ApplyParams {
    /// As [`Waiting::wait`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wait: Option<bool>,
    /// Say what would happen, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Delete what the bundle does not have, of the kinds that it has.
    #[serde(default)]
    pub prune: bool,
}
