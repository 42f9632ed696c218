//! APIs.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Extensions;
use crate::backend::Backends;
use crate::definition::DefinitionSpec;
use crate::lifecycle::Lifecycle;
use crate::revision::RevisionRef;
use crate::security::{BasicSecurity, MutualTlsSecurity, Needed, Shown};
use crate::units::{Date, Duration};

/// One version of an API.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiSpec {
    /// The API's name, shared by its versions.
    #[schemars(extend("format" = "tollway-name"))]
    pub name: String,
    /// The version, as it stands in the path.
    #[schemars(extend("format" = "tollway-version"))]
    pub version: String,
    /// Where it is served: at `/context/version`.
    #[schemars(extend("format" = "tollway-context"))]
    pub context: String,
    /// Serve it at the bare context too.
    #[serde(default)]
    pub default_version: bool,
    /// The OpenAPI definition.
    pub definition: DefinitionSpec,
    /// Where it stands in its life.
    #[serde(default)]
    pub lifecycle: Lifecycle,
    /// The day it goes away; with Deprecated or Retired only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sunset: Option<Date>,
    /// The hosts it is served at; none = every host.
    #[serde(default)]
    #[schemars(length(max = 100), extend("items" = {"type": "string", "format": "tollway-host"}))]
    pub vhosts: Vec<String>,
    /// Which gateways serve which revision of it.
    #[serde(default = "ApiSpec::default_deployments")]
    #[schemars(length(max = 100))]
    pub deployments: Vec<Deployment>,
    /// Where calls go; absent = the servers of the definition.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub backends: Option<Backends>,
    /// Whether it is served in clear text, over TLS, or both; as the connection to the gateway is.
    #[serde(
        skip_serializing_if = "ApiSpec::all_transports",
        default = "ApiSpec::default_transports"
    )]
    #[schemars(length(min = 1, max = 2))]
    pub transports: Vec<Transport>,
    /// Ways to authenticate, any of which is enough; `[]` = open to everybody.
    #[serde(default = "ApiSpec::default_security")]
    #[schemars(length(max = 10))]
    pub security: Vec<Security>,
    /// The access tokens that it takes from the platform itself.
    #[serde(skip_serializing_if = "ApiTokens::is_default", default)]
    pub tokens: ApiTokens,
    /// Scopes that not every user may give to a client.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schemars(length(max = 1000))]
    pub scopes: Vec<ScopeSpec>,
    /// The plans that subscriptions may choose: names of `Plan` documents.
    #[serde(default)]
    #[schemars(length(max = 100), extend("items" = {"type": "string", "format": "tollway-plan-name"}))]
    pub plans: Vec<String>,
    /// Which web pages of other origins may call it; absent = none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cors: Option<Cors>,
    /// Policies of all operations.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub policies: Vec<PolicyEntry>,
    /// Operations that differ from what the definition and this document say of all.
    #[serde(default)]
    #[schemars(length(max = 20_000))]
    pub operations: Vec<OperationSpec>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

impl ApiSpec {
    /// An API with all defaults.
    pub fn new(
        name: impl Into<String>,
        version: impl Into<String>,
        context: impl Into<String>,
        definition: impl Into<DefinitionSpec>,
    ) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            context: context.into(),
            default_version: false,
            definition: definition.into(),
            lifecycle: Lifecycle::default(),
            sunset: None,
            vhosts: Vec::new(),
            deployments: Self::default_deployments(),
            backends: None,
            transports: Self::default_transports(),
            security: Self::default_security(),
            tokens: ApiTokens::default(),
            scopes: Vec::new(),
            plans: Vec::new(),
            cors: None,
            policies: Vec::new(),
            operations: Vec::new(),
            extensions: Extensions::new(),
        }
    }

    /// The `Backend` documents that it names, each with the place where it does. A policy that asks a service names it under
    /// `backend`.
    pub fn backend_names(&self) -> impl Iterator<Item = (&str, String)> {
        let own = self.backends.iter().flat_map(Backends::names);
        let own = own.map(|(key, name)| (name, format!("/spec/backends/{key}")));
        let own = own.chain(asked(&self.policies, "/spec/policies"));
        let operations = self.operations.iter().enumerate();
        own.chain(operations.flat_map(|(index, operation)| {
            let at = format!("/spec/operations/{index}");
            let short = operation.backend.as_deref();
            let short = short.map(|name| (name, format!("{at}/backend")));
            let named = operation.backends.iter().flat_map(Backends::names);
            let asked = asked(&operation.policies, &format!("{at}/policies"));
            short
                .into_iter()
                .chain(asked)
                .chain(named.map(move |(key, name)| (name, format!("{at}/backends/{key}"))))
        }))
    }

    /// The ways to authenticate, each with the place where it stands.
    fn ways(&self) -> impl Iterator<Item = (String, Shown<'_>)> {
        let own = std::iter::once(("/spec/security".to_owned(), self.security.as_slice()));
        let operations = self.operations.iter().enumerate();
        let of_operations = operations.filter_map(|(index, operation)| {
            let place = format!("/spec/operations/{index}/security");
            Some((place, operation.security.as_deref()?))
        });
        own.chain(of_operations).flat_map(|(place, entries)| {
            let entries = entries.iter().enumerate();
            entries.flat_map(move |(index, entry)| {
                let place = format!("{place}/{index}");
                let ways = entry.ways().into_iter();
                ways.map(move |(below, way)| (format!("{place}{below}"), way))
            })
        })
    }

    /// The issuers of tokens that it names, each with the place where it does.
    pub fn issuer_names(&self) -> impl Iterator<Item = (&str, String)> {
        self.ways().flat_map(|(place, way)| {
            let names = match way {
                Shown::Jwt(jwt) => jwt.issuers.as_slice(),
                _ => &[],
            };
            let names = names.iter().enumerate();
            names.map(move |(at, name)| (name.as_str(), format!("{place}/issuers/{at}")))
        })
    }

    /// The applications that callers without a credential of the platform's call for, each with the place where it is named.
    pub fn application_names(&self) -> impl Iterator<Item = (&str, String)> {
        self.ways().flat_map(|(place, way)| {
            let (own, callers) = match way {
                Shown::Basic(basic) => (&basic.application, [].as_slice()),
                Shown::MutualTls(tls) => (&tls.application, tls.callers.as_slice()),
                Shown::Jwt(_) | Shown::ApiKey(_) => (&None, [].as_slice()),
            };
            let own = own.iter().map(|name| (name, String::new()));
            let callers = callers.iter().enumerate().filter_map(|(index, caller)| {
                let name = caller.application.as_ref()?;
                Some((name, format!("/callers/{index}")))
            });
            let named = own.chain(callers);
            named.map(move |(name, below)| (name.as_str(), format!("{place}{below}/application")))
        })
    }

    fn default_transports() -> Vec<Transport> {
        vec![Transport::Http, Transport::Https]
    }

    /// The default is left out when a document is written: documents older than the key keep their digests.
    fn all_transports(transports: &[Transport]) -> bool {
        [Transport::Http, Transport::Https]
            .iter()
            .all(|transport| transports.contains(transport))
    }

    /// The gateway named `default`.
    fn default_deployments() -> Vec<Deployment> {
        vec![Deployment {
            gateway: "default".to_owned(),
            revision: RevisionRef::Latest,
            extensions: Extensions::new(),
        }]
    }

    /// A token of the platform itself, or an API key.
    fn default_security() -> Vec<Security> {
        vec![
            Security::Jwt(JwtSecurity::default()),
            Security::ApiKey(ApiKeySecurity::default()),
        ]
    }
}

/// One gateway that serves an API.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// The name of a `Gateway` document.
    #[schemars(extend("format" = "tollway-name"))]
    pub gateway: String,
    /// The revision that it serves: a number from `tollway api revisions`, or `latest`; absent = `latest`.
    #[serde(skip_serializing_if = "RevisionRef::is_latest", default)]
    pub revision: RevisionRef,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// How a call comes to the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// In clear text.
    Http,
    /// Over TLS.
    Https,
}

/// A way to authenticate, or several that are needed together.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Security {
    /// A signed access token (RFC 9068) in `Authorization: Bearer`.
    Jwt(JwtSecurity),
    /// A key in a header or in the query.
    ApiKey(ApiKeySecurity),
    /// A user's name and password.
    Basic(BasicSecurity),
    /// A client certificate.
    MutualTls(MutualTlsSecurity),
    /// All of these together.
    AllOf(#[schemars(length(min = 2, max = 10))] Vec<Needed>),
    /// `true`: who shows nothing may call too, as nobody. What is shown has to be good all the same.
    Optional(#[schemars(extend("const" = true))] bool),
}

/// Which access tokens are good.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JwtSecurity {
    /// Who may have signed it; `resident` is the platform itself.
    #[serde(default = "JwtSecurity::default_issuers")]
    #[schemars(length(min = 1, max = 16), extend("items" = {"type": "string", "format": "tollway-name"}))]
    pub issuers: Vec<String>,
    /// The audiences, one of which the token must name; none = the organisation's gateway audience.
    #[serde(default)]
    #[schemars(length(max = 100), inner(length(min = 1)))]
    pub audience: Vec<String>,
    /// The header that carries `Bearer` and the token.
    #[serde(
        skip_serializing_if = "JwtSecurity::is_default_header",
        default = "JwtSecurity::default_header"
    )]
    #[schemars(extend("format" = "tollway-header"))]
    pub header: String,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

impl JwtSecurity {
    fn default_issuers() -> Vec<String> {
        vec!["resident".to_owned()]
    }

    fn default_header() -> String {
        "Authorization".to_owned()
    }

    /// The default is left out when a document is written: documents older than the key keep their digests.
    fn is_default_header(header: &str) -> bool {
        header == "Authorization"
    }
}

impl Default for JwtSecurity {
    fn default() -> Self {
        Self {
            issuers: Self::default_issuers(),
            audience: Vec::new(),
            header: Self::default_header(),
            extensions: Extensions::new(),
        }
    }
}

/// What an API says of the platform's access tokens.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiTokens {
    /// The longest lifetime of a token that its gateways take, whatever application and client say; absent = as long as
    /// they say. A token for all gateways obeys the shortest of all APIs that its application is subscribed to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-duration-positive"))]
    pub max_lifetime: Option<Duration>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

impl ApiTokens {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A scope and who may give it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScopeSpec {
    /// The scope, as operations ask for it.
    #[schemars(extend("format" = "tollway-scope"))]
    pub name: String,
    /// Only users with one of these roles can give it to a client. Tokens that a client gets for itself are not about a
    /// user and not touched by it.
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 100)))]
    pub roles: Vec<String>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// Where an API key stands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeySecurity {
    /// The header.
    #[serde(default = "ApiKeySecurity::default_header")]
    #[schemars(extend("format" = "tollway-header"))]
    pub header: String,
    /// The query parameter; absent = keys in the query are not looked at. Queries end up in logs: prefer the header.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(min = 1, max = 100))]
    pub query: Option<String>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

impl ApiKeySecurity {
    fn default_header() -> String {
        "X-API-Key".to_owned()
    }
}

impl Default for ApiKeySecurity {
    fn default() -> Self {
        Self {
            header: Self::default_header(),
            query: None,
            extensions: Extensions::new(),
        }
    }
}

/// Which web pages of other origins may call an API (Fetch standard, CORS protocol).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cors {
    /// Origins, as in `https://shop.example.com`; `https://*.example.com` = all subdomains, `*` = all.
    #[schemars(length(min = 1, max = 1000), extend("items" = {"type": "string", "format": "tollway-origin"}))]
    pub allow_origins: Vec<String>,
    /// Methods; absent = all usual ones.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("items" = {"type": "string", "format": "tollway-method"}))]
    pub allow_methods: Option<Vec<String>>,
    /// Request headers; absent = `Authorization`, `Content-Type` and `X-API-Key`, `["*"]` = those that the page asks for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("items" = {"type": "string", "format": "tollway-header"}))]
    pub allow_headers: Option<Vec<String>>,
    /// Answer headers that pages may read; absent = `RateLimit`, `RateLimit-Policy` and `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("items" = {"type": "string", "format": "tollway-header"}))]
    pub expose_headers: Option<Vec<String>>,
    /// Whether pages may send cookies and credentials; not together with the origin `*`.
    #[serde(default)]
    pub allow_credentials: bool,
    /// How long browsers keep the answer to a preflight; at most `1d`.
    #[serde(default = "Cors::default_max_age")]
    pub max_age: Duration,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

impl Cors {
    fn default_max_age() -> Duration {
        Duration::from_s(600)
    }
}

/// One policy: its kind and its configuration, as the one member of a mapping.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Map<String, Value>")]
#[serde(into = "serde_json::Map<String, Value>")]
pub struct PolicyEntry {
    policy: String,
    config: Value,
}

/// A policy's mapping has no member, or several.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("exactly one policy is expected in one entry of the list")]
pub struct NotOnePolicy;

/// The services that policies ask, with their places.
fn asked<'a>(
    policies: &'a [PolicyEntry],
    at: &str,
) -> impl Iterator<Item = (&'a str, String)> + use<'a> {
    let at = at.to_owned();
    policies
        .iter()
        .enumerate()
        .filter_map(move |(index, entry)| {
            let name = entry.config.get("backend")?.as_str()?;
            Some((name, format!("{at}/{index}/{}/backend", entry.policy)))
        })
}

impl TryFrom<serde_json::Map<String, Value>> for PolicyEntry {
    type Error = NotOnePolicy;
    fn try_from(map: serde_json::Map<String, Value>) -> Result<Self, NotOnePolicy> {
        let mut members = map.into_iter();
        match (members.next(), members.next()) {
            (Some((policy, config)), None) => Ok(Self { policy, config }),
            _ => Err(NotOnePolicy),
        }
    }
}

impl From<PolicyEntry> for serde_json::Map<String, Value> {
    fn from(entry: PolicyEntry) -> Self {
        Self::from_iter([(entry.policy, entry.config)])
    }
}

impl JsonSchema for PolicyEntry {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "PolicyEntry".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "One policy: its name with its configuration.",
            "minProperties": 1,
            "maxProperties": 1,
        })
    }
}

impl PolicyEntry {
    /// A policy with its configuration.
    pub fn new(policy: impl Into<String>, config: Value) -> Self {
        Self {
            policy: policy.into(),
            config,
        }
    }

    /// The policy's name and its configuration.
    #[must_use]
    pub fn parts(&self) -> (&str, &Value) {
        (&self.policy, &self.config)
    }
}

/// One operation that differs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationSpec {
    /// Method and path template as in the definition: `POST /orders`.
    #[serde(rename = "match")]
    #[schemars(extend("format" = "tollway-operation"))]
    pub matching: String,
    /// The scopes that a token must hold, all of them; absent = what the definition says.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(max = 100), extend("items" = {"type": "string", "format": "tollway-scope"}))]
    pub scopes: Option<Vec<String>>,
    /// Ways to authenticate; absent = those of the API, `[]` = open to everybody.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub security: Option<Vec<Security>>,
    /// The name of a `Backend` document, for production; absent = that of the API.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-name"))]
    pub backend: Option<String>,
    /// Backends by environment, by name or in place; what is absent is that of the API. Not together with `backend`,
    /// which is the short form of `backends: {production: NAME}`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub backends: Option<Backends>,
    /// Policies, after those of the API.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub policies: Vec<PolicyEntry>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}
