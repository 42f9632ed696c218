//! A document: metadata and the spec of its kind.

use std::collections::BTreeMap;

use base::{Diagnostic, Diagnostics, Digest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::access::{ApplicationSpec, GatewaySpec, PlanSpec, SubscriptionSpec};
use crate::api::ApiSpec;
use crate::backend::BackendSpec;
use crate::definition::Definition;
use crate::deny::DenyRuleSpec;
use crate::issuer::TokenIssuerSpec;
use crate::kind::Kind;
use crate::{API_VERSION, Extensions, yaml};

/// One document, defaults filled.
#[derive(Clone, PartialEq, Debug)]
pub struct Document {
    /// Its name and labels.
    pub metadata: Metadata,
    /// Its content.
    pub spec: Spec,
    /// `x-…` keys beside `metadata` and `spec`.
    pub extensions: Extensions,
}

/// What a document is called.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The document's name, unique in its organisation and kind.
    #[schemars(extend("format" = "tollway-name"))]
    pub name: String,
    /// For selections.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub labels: BTreeMap<String, String>,
    /// For tools.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub annotations: BTreeMap<String, String>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// The content of a document, by kind.
#[derive(Clone, PartialEq, Debug)]
pub enum Spec {
    /// One version of an API.
    Api(Box<ApiSpec>),
    /// Where calls go.
    Backend(Box<BackendSpec>),
    /// What a subscription allows.
    Plan(PlanSpec),
    /// A group of nodes.
    Gateway(GatewaySpec),
    /// Who subscribes.
    Application(ApplicationSpec),
    /// An application may call an API.
    Subscription(SubscriptionSpec),
    /// Refuses callers.
    DenyRule(DenyRuleSpec),
    /// Somebody else whose tokens APIs may accept.
    TokenIssuer(Box<TokenIssuerSpec>),
}

impl Spec {
    /// Reads the content of a kind, which the schema has found good.
    pub(crate) fn read(kind: Kind, value: Value) -> serde_json::Result<Self> {
        use serde_json::from_value;
        Ok(match kind {
            Kind::Api => Self::Api(from_value(value)?),
            Kind::Backend => Self::Backend(from_value(value)?),
            Kind::Plan => Self::Plan(from_value(value)?),
            Kind::Gateway => Self::Gateway(from_value(value)?),
            Kind::Application => Self::Application(from_value(value)?),
            Kind::Subscription => Self::Subscription(from_value(value)?),
            Kind::DenyRule => Self::DenyRule(from_value(value)?),
            Kind::TokenIssuer => Self::TokenIssuer(from_value(value)?),
        })
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Api(spec) => serde_json::to_value(spec),
            Self::Backend(spec) => serde_json::to_value(spec),
            Self::Plan(spec) => serde_json::to_value(spec),
            Self::Gateway(spec) => serde_json::to_value(spec),
            Self::Application(spec) => serde_json::to_value(spec),
            Self::Subscription(spec) => serde_json::to_value(spec),
            Self::DenyRule(spec) => serde_json::to_value(spec),
            Self::TokenIssuer(spec) => serde_json::to_value(spec),
        }
        .expect("specs have string keys only")
    }
}

impl Document {
    /// A document with this name and content.
    pub fn new(name: impl Into<String>, spec: Spec) -> Self {
        Self {
            metadata: Metadata {
                name: name.into(),
                ..Metadata::default()
            },
            spec,
            extensions: Extensions::new(),
        }
    }

    /// An API's document, named after the API and its version.
    #[must_use]
    pub fn api(spec: ApiSpec) -> Self {
        let name = crate::names::api_document_name(&spec.name, &spec.version);
        Self::new(name, Spec::Api(Box::new(spec)))
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.spec {
            Spec::Api(_) => Kind::Api,
            Spec::Backend(_) => Kind::Backend,
            Spec::Plan(_) => Kind::Plan,
            Spec::Gateway(_) => Kind::Gateway,
            Spec::Application(_) => Kind::Application,
            Spec::Subscription(_) => Kind::Subscription,
            Spec::DenyRule(_) => Kind::DenyRule,
            Spec::TokenIssuer(_) => Kind::TokenIssuer,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// The content of an API's document.
    #[must_use]
    pub fn as_api(&self) -> Option<&ApiSpec> {
        if let Spec::Api(spec) = &self.spec {
            Some(spec)
        } else {
            None
        }
    }

    /// As JSON, complete: with every default.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let metadata = serde_json::to_value(&self.metadata).expect("metadata has string keys only");
        let mut map = Map::new();
        map.insert("apiVersion".to_owned(), API_VERSION.into());
        map.insert("kind".to_owned(), self.kind().as_str().into());
        map.insert("metadata".to_owned(), metadata);
        map.insert("spec".to_owned(), self.spec.to_json());
        map.extend(self.extensions.clone());
        Value::Object(map)
    }

    /// As YAML for people: without what is default, multi-line texts as blocks. Reading it gives an equal document.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        yaml::write(self)
    }

    /// The digest of the document alone: defaults filled, keys sorted, no status. A definition in a file is not part
    /// of it, its name is.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut value = self.to_json();
        value.sort_all_objects();
        Digest::of(value.to_string().as_bytes())
    }
}

/// The definition of an API's document, read by `read` where the document names a file (relative to its own folder).
/// Nothing for other kinds.
///
/// # Errors
/// The file cannot be read.
pub fn resolve_definition(
    document: &Document,
    read: impl FnOnce(&str) -> std::io::Result<String>,
) -> Result<Option<String>, Diagnostics> {
    let Some(api) = document.as_api() else {
        return Ok(None);
    };
    match &api.definition.at {
        Definition::Inline(text) => Ok(Some(text.clone())),
        Definition::File(file) => read(file).map(Some).map_err(|error| {
            let message = format!("the definition `{file}` cannot be read: {error}");
            let problem = Diagnostic::error("definition-file", "/spec/definition/file", message);
            Diagnostics(vec![
                problem.mend("paths are relative to the document's folder"),
            ])
        }),
    }
}
