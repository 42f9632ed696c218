//! What documents say of backend credentials.

use std::path::PathBuf;

use base::Diagnostic;
use http::header::{AUTHORIZATION, HeaderName};
use schemars::JsonSchema;
use serde::Deserialize;
use spec::units::Duration;
use spec::{CallerEnvironment, SecretFile};

use super::oauth::Oauth;
use crate::secret_file::path;
use crate::{hop_by_hop, identity_headers};

/// Exactly one of `basic`, `apiKey`, `oauth`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// HTTP Basic (RFC 7617): `secretRef` (the files are called `username` and `password`) or `file` (`NAME:PASSWORD`), below
    /// the node's folder of secrets.
    basic: Option<SecretFile>,
    /// A key in a header or in the query.
    api_key: Option<ApiKey>,
    /// An access token of an authorization server (OAuth 2.0, `client_credentials`).
    oauth: Option<OauthConfig>,
    /// For calls to the backends of this environment alone: name the policy twice for two credentials. Default: all.
    pub(super) environment: Option<CallerEnvironment>,
}

/// A key.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ApiKey {
    /// The header that carries it; either this or `query`.
    header: Option<String>,
    /// The query parameter that carries it. Queries stand in the logs of backends: prefer the header.
    #[schemars(length(min = 1, max = 200))]
    query: Option<String>,
    /// What stands before it in the header, such as `Bearer ` with its space.
    #[serde(default)]
    #[schemars(length(max = 100))]
    prefix: String,
    /// The key: `secretRef` (the file is called `api-key`) or `file`, below the node's folder of secrets.
    key: SecretFile,
}

/// A client of an authorization server.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct OauthConfig {
    /// The token endpoint. Fetched by the guarded client: `https`, or an address that `--outbound-allow` names.
    #[schemars(length(min = 1, max = 2000))]
    pub(super) token_url: String,
    /// The client's id.
    #[schemars(length(min = 1, max = 500))]
    pub(super) client_id: String,
    /// Its secret: `secretRef` (the file is called `client-secret`) or `file`, below the node's folder of secrets.
    pub(super) client_secret: SecretFile,
    /// How the client proves itself; default `basic`.
    #[serde(default)]
    pub(super) client_auth: ClientAuth,
    /// Scopes to ask for.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub(super) scopes: Vec<String>,
    /// `audience` of the request, where the authorization server wants one.
    pub(super) audience: Option<String>,
    /// `resource` of the request (RFC 8707).
    pub(super) resource: Option<String>,
    /// How long one request for a token may take, 100ms to 1m; default 5s.
    pub(super) timeout: Option<Duration>,
    /// How long a token is good that does not say so (`expires_in`), 10s to 1d; default 5m.
    pub(super) lifetime: Option<Duration>,
}

/// How a client proves itself (RFC 6749 §2.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ClientAuth {
    /// HTTP Basic.
    #[default]
    Basic,
    /// `client_id` and `client_secret` in the form.
    Form,
}

/// What is shown.
pub(super) enum Way {
    Basic(Box<[PathBuf]>),
    /// Header, file, and what stands before the key.
    Header(HeaderName, PathBuf, String),
    Query(String, PathBuf),
    Oauth(Box<Oauth>),
}

impl Config {
    pub(super) fn way(self, faults: &mut Vec<Diagnostic>) -> Option<Way> {
        match (self.basic, self.api_key, self.oauth) {
            (Some(place), None, None) => Some(Way::Basic(basic(&place, faults)?)),
            (None, Some(key), None) => key.way(faults),
            (None, None, Some(oauth)) => Some(Way::Oauth(Box::new(Oauth::compile(oauth, faults)?))),
            _ => {
                let message = "exactly one of `basic`, `apiKey`, `oauth` is expected";
                let fault = Diagnostic::error("one-key", "", message);
                faults.push(fault.mend("write for example `basic: {secretRef: orders}`"));
                None
            }
        }
    }
}

fn basic(place: &SecretFile, faults: &mut Vec<Diagnostic>) -> Option<Box<[PathBuf]>> {
    let password = path(place, "password", "/basic", faults)?;
    if place.file.is_some() {
        return Some([password].into());
    }
    Some([password.with_file_name("username"), password].into())
}

impl ApiKey {
    fn way(self, faults: &mut Vec<Diagnostic>) -> Option<Way> {
        let file = path(&self.key, "api-key", "/apiKey/key", faults);
        if !self
            .prefix
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte))
        {
            let message = "the prefix is no printable ASCII text";
            faults.push(Diagnostic::error("header-value", "/apiKey/prefix", message));
        }
        match (self.header, self.query) {
            (Some(header), None) => {
                let name = header_name(&header, faults)?;
                Some(Way::Header(name, file?, self.prefix))
            }
            (None, Some(query)) if self.prefix.is_empty() && !query.is_empty() => {
                Some(Way::Query(query, file?))
            }
            _ => {
                let message = "exactly one of `header`, `query` is expected, and `prefix` with `header` alone";
                let fault = Diagnostic::error("one-key", "/apiKey", message);
                faults.push(fault.mend("write for example `header: X-API-Key`"));
                None
            }
        }
    }
}

fn header_name(text: &str, faults: &mut Vec<Diagnostic>) -> Option<HeaderName> {
    let name: Option<HeaderName> = text.parse().ok();
    let free = |name: &HeaderName| {
        *name == AUTHORIZATION
            || !(hop_by_hop::is_framing(name.as_str())
                || identity_headers::is_replaced(name.as_str()))
    };
    let found = name.filter(free);
    if found.is_none() {
        let message = format!("the header {text:?} cannot carry a credential");
        let fault = Diagnostic::error("header-reserved", "/apiKey/header", message);
        faults.push(fault.mend("write for example `header: X-API-Key`"));
    }
    found
}
