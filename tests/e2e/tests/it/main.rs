//! End-to-end tests; see `e2e::Sandbox`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod authentication;
mod authentication_limits;
mod backend_credentials;
mod backend_identity;
mod clients;
mod database;
mod described;
mod explain;
mod ext_authz;
mod framing;
mod identity_limits;
mod interop;
mod issuers;
mod last_good;
mod last_use;
mod lifecycle;
mod limits;
mod main_job;
mod observability;
mod paths;
mod persistence;
mod ports;
mod protected;
mod revocation;
mod streaming;
mod swap;
mod terms;
mod tokens;
mod traces;
mod usage;
mod world;
mod wso2;

/// Two operations, one of them with a scope.
const PETS: &str = r#"
openapi: 3.1.0
info: {title: Pets, version: 1.0.0}
paths:
  /pets:
    get: {operationId: listPets, responses: {"200": {description: ok}}}
    post:
      operationId: addPet
      security: [{store: ["pets:write"]}]
      responses: {"201": {description: ok}}
  /pets/{id}:
    get: {operationId: getPet, responses: {"200": {description: ok}}}
  /sse:
    get: {operationId: events, responses: {"200": {description: ok}}}
  /slow:
    get: {operationId: slow, responses: {"200": {description: ok}}}
components:
  securitySchemes:
    store:
      type: oauth2
      flows: {clientCredentials: {tokenUrl: /t, scopes: {"pets:write": Add pets}}}
"#;
