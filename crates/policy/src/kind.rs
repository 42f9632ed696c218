//! The factory of a policy: its name, phase, schema, and how it is compiled.

use base::{Diagnostic, Org};
use http::header::HeaderName;
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Policy;

/// The fixed order in which policies run. `normalize` and `match` come before and belong to the gateway, `upstream`
/// and `record` come after.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Phase {
    /// Answers that need no caller: CORS preflight.
    Preflight,
    /// Who calls.
    Authenticate,
    /// Whether the caller may: scopes, subscription.
    Authorize,
    /// Quotas.
    Limit,
    /// Whether the request is well-formed.
    Validate,
    /// Changes of the request and the answer.
    Transform,
    /// Where it goes and how long it may take.
    ChooseBackend,
}

/// What a policy is compiled for.
#[derive(Clone, Debug)]
pub struct CompileEnv {
    /// The API's organisation.
    pub org: Org,
    /// The API's document name.
    pub api: String,
    /// What the API is called, for whom a policy tells of it.
    pub told: ApiTold,
}

/// What callers and backends know of an API.
#[derive(Clone, Debug, Default)]
pub struct ApiTold {
    /// Its name, shared by its versions.
    pub name: String,
    /// The version.
    pub version: String,
    /// The context, with a leading and without a trailing slash.
    pub context: String,
}

/// A kind of policy.
pub trait PolicyKind: Send + Sync + 'static {
    /// Its name in documents.
    const NAME: &'static str;
    /// When it runs.
    const PHASE: Phase;
    /// One sentence for the reference page.
    const SUMMARY: &'static str;
    /// Its configuration; the schema is its documentation.
    type Config: DeserializeOwned + JsonSchema;

    /// Fields of the request that a policy with this configuration sets and that nobody else may bring: they are taken out of
    /// what clients send, on every operation of the API.
    fn owned(_: &Self::Config) -> Vec<HeaderName> {
        Vec::new()
    }

    /// Makes a policy of a configuration.
    ///
    /// # Errors
    /// All that is wrong with the configuration; pointers are relative to it.
    fn compile(
        &self,
        config: Self::Config,
        env: &CompileEnv,
    ) -> Result<Box<dyn Policy>, Vec<Diagnostic>>;
}

/// A [`PolicyKind`] without its types, so that a slice can hold many.
pub trait ErasedPolicyKind: Send + Sync {
    /// [`PolicyKind::NAME`]
    fn name(&self) -> &'static str;
    /// [`PolicyKind::PHASE`]
    fn phase(&self) -> Phase;
    /// [`PolicyKind::SUMMARY`]
    fn summary(&self) -> &'static str;
    /// The JSON schema of the configuration.
    fn schema(&self) -> Schema;
    /// [`PolicyKind::owned`]; nothing for a configuration that cannot be read.
    fn owned(&self, config: &Value) -> Vec<HeaderName>;
    /// Reads the configuration and compiles it.
    ///
    /// # Errors
    /// As [`PolicyKind::compile`]; a configuration that does not fit the schema gives `policy-config`.
    fn compile(&self, config: &Value, env: &CompileEnv)
    -> Result<Box<dyn Policy>, Vec<Diagnostic>>;
}

impl<K: PolicyKind> ErasedPolicyKind for K {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn phase(&self) -> Phase {
        K::PHASE
    }

    fn summary(&self) -> &'static str {
        K::SUMMARY
    }

    fn schema(&self) -> Schema {
        schemars::schema_for!(K::Config)
    }

    fn owned(&self, config: &Value) -> Vec<HeaderName> {
        let config = serde_json::from_value::<K::Config>(config.clone());
        config.map_or_else(|_| Vec::new(), |config| K::owned(&config))
    }

    fn compile(
        &self,
        config: &Value,
        env: &CompileEnv,
    ) -> Result<Box<dyn Policy>, Vec<Diagnostic>> {
        let config = serde_json::from_value(config.clone()).map_err(|error| {
            vec![Diagnostic::error(
                "policy-config",
                "",
                format!("policy `{}`: {error}", K::NAME),
            )]
        })?;
        PolicyKind::compile(self, config, env)
    }
}
