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
    /// How long to wait for the nodes, in milliseconds; by default, and at most, as the platform is configured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timeout_ms: Option<u64>,
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
    /// As [`Waiting::timeout_ms`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timeout_ms: Option<u64>,
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
    /// As [`Waiting::timeout_ms`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timeout_ms: Option<u64>,
    /// Say what would happen, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Delete what the bundle does not have, of the kinds that it has.
    #[serde(default)]
    pub prune: bool,
}

/// How a list is cut.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PartParams {
    /// At most so many items: 1 to 500, by default 100.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<u64>,
    /// Only items after this one: [`super::List::next`] of the part before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<String>,
}

/// Which changes are wanted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditParams {
    /// At most so many items: 1 to 500, by default 100.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<u64>,
    /// Only items after this one: [`super::List::next`] of the part before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<String>,
    /// Only of this kind: that of a document, `Credential`, `User`, `Token` or `SigningKey`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<String>,
    /// Only of the thing with this name (a document's `metadata.name`, or an id).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// Only what this user or client did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub actor: Option<String>,
    /// Only from this time on, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since_unix_ms: Option<u64>,
    /// Only before this time, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until_unix_ms: Option<u64>,
    /// Only of this revision of the store.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<u64>,
}

/// How a revision is taken back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UndoParams {
    /// As [`Waiting::wait`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wait: Option<bool>,
    /// As [`Waiting::timeout_ms`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timeout_ms: Option<u64>,
    /// Say what would happen, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Also where a later revision changed the same document: it is lost then.
    #[serde(default)]
    pub force: bool,
}

/// Whose sessions or consents, and how the list is cut.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PeopleParams {
    /// Of this user; others than oneself for admins alone. Without it an admin sees those of everybody.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<String>,
    /// At most so many items: 1 to 500, by default 100.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<u64>,
    /// Only items after this one: [`super::List::next`] of the part before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<String>,
}

/// Whose sessions or consents end, and whether to wait for the nodes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EndParams {
    /// Of this user; by default of oneself, others for admins alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<String>,
    /// As [`Waiting::wait`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wait: Option<bool>,
    /// As [`Waiting::timeout_ms`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timeout_ms: Option<u64>,
}

/// Those that say how long is waited, among other things. One `Waiting` within each would be refused: values of a query are
/// texts, and serde reads numbers of what is flattened as numbers alone.
macro_rules! waits {
    ($($params:ident),+ $(,)?) => {$(
        impl $params {
            /// How long is waited for the nodes.
            #[must_use]
            pub fn waiting(&self) -> Waiting {
                Waiting {
                    wait: self.wait,
                    timeout_ms: self.timeout_ms,
                }
            }
        }
    )+};
}

waits!(DeleteParams, ApplyParams, UndoParams, EndParams);
