//! The documents people write: one language for REST bodies, files in Git and `tollway apply`.
//!
//! A text becomes a tree with positions, is held against the JSON schema of its kind, and is deserialized last, so that
//! every problem is reported at once with file, line, column, pointer and mend. Defaults are filled while reading: what
//! was read, is complete, and its digest does not depend on what the author left out.
//!
//! Knows nothing of definitions (OpenAPI), of what policies' configurations mean, of stores, or of files: whoever has a
//! folder reads the definition that a document names ([`resolve_definition`]).
//! Start reading at [`Document`], then [`parse_documents`].

pub mod access;
pub mod api;
pub mod backend;
pub mod calls;
mod check;
pub mod definition;
pub mod deny;
mod diff;
mod document;
mod faults;
mod issuer;
mod kind;
pub mod lifecycle;
pub mod names;
mod read;
mod revision;
mod schema;
pub mod security;
mod suggest;
pub mod units;
pub mod yaml;

/// What a document's `apiVersion` is.
pub const API_VERSION: &str = "tollway.dev/v1alpha1";

/// `x-…` keys of one object: kept, ignored, written back.
pub type Extensions = serde_json::Map<String, serde_json::Value>;

pub use access::{
    ApiReference, ApplicationSpec, AskMode, CertificateHeader, ClientCertificates,
    ForwardedCertificate, GatewaySpec, Listener, ListenerProtocol, ListenerTls, Pattern, PlanSpec,
    ProxyProtocol, Quota, SubscriptionSpec, TokenFormat, Tokens,
};
pub use api::{
    ApiKeySecurity, ApiSpec, ApiTokens, Cors, Deployment, JwtSecurity, OperationSpec, PolicyEntry,
    ScopeSpec, Security, Transport,
};
pub use backend::{
    BackendRef, BackendSpec, BackendTls, Backends, Balance, BalanceHash, BalanceRule, Ca,
    ClientCertificate, EjectOn, EndpointScheme, EndpointSpec, GrpcCheck, HashSpec, HealthSpec,
    HttpCheck, Protocol, TcpCheck, TlsVersion,
};
pub use calls::{Backoff, CallQueue, CircuitBreaker, Condition, Http2, KeepAlive, Retry, RetryOn};
pub use definition::{Definition, DefinitionSpec, RuleSeverity, UnknownSeverity};
pub use deny::DenyRuleSpec;
pub use diff::{FieldChange, diff, diff_json};
pub use document::{Document, Metadata, Spec, resolve_definition};
pub use faults::schema_faults;
pub use issuer::{
    ClaimNames, IntrospectedTokens, IntrospectionAuth, IntrospectionCache, IntrospectionSpec,
    IssuerPreset, KeyRefresh, RESIDENT, SecretSource, TokenAlgorithm, TokenIssuerSpec, TokenType,
};
pub use kind::{Kind, UnknownKind};
pub use lifecycle::Lifecycle;
pub use read::{Located, from_json, parse_document, parse_documents, parse_located};
pub use revision::{NoRevision, RevisionRef, content, content_digest};
pub use schema::{explain, schema};
pub use security::{
    BasicSecurity, CallerEnvironment, CertificateCaller, MutualTlsSecurity, Needed, SecretFile,
    Shown, Way,
};
pub use suggest::nearest;
pub use units::{Date, Duration, Percent, Size, UnitError};
