//! How callers authenticate: users with passwords, certificates, and several ways together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Extensions;
use crate::api::{ApiKeySecurity, JwtSecurity, Security};
use crate::backend::Ca;

/// What all of a list must have: one way, or any of several.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Needed {
    /// A signed access token.
    Jwt(JwtSecurity),
    /// A key in a header or in the query.
    ApiKey(ApiKeySecurity),
    /// A user's name and password.
    Basic(BasicSecurity),
    /// A client certificate.
    MutualTls(MutualTlsSecurity),
    /// Any of these.
    AnyOf(#[schemars(length(min = 1, max = 10))] Vec<Way>),
}

/// One way to authenticate.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Way {
    /// A signed access token.
    Jwt(JwtSecurity),
    /// A key in a header or in the query.
    ApiKey(ApiKeySecurity),
    /// A user's name and password.
    Basic(BasicSecurity),
    /// A client certificate.
    MutualTls(MutualTlsSecurity),
    /// `true`: nothing at all is enough too. What is shown has to be good all the same.
    Optional(#[schemars(extend("const" = true))] bool),
}

/// A user's name and password (RFC 7617).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BasicSecurity {
    /// The list of users: a file with `NAME:HASH` in each line, hashes by argon2id. `tollway basic-user` makes lines. With
    /// `secretRef` the file is called `users`.
    pub users: SecretFile,
    /// The application that all of them call for: the name of its document; absent = none, which is refused where the API
    /// asks for a subscription.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-name"))]
    pub application: Option<String>,
    /// The environment whose backends they reach.
    #[serde(skip_serializing_if = "CallerEnvironment::is_default", default)]
    pub environment: CallerEnvironment,
    /// The scopes that they have.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schemars(length(max = 100), extend("items" = {"type": "string", "format": "tollway-scope"}))]
    pub scopes: Vec<String>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// A client certificate: shown in the TLS handshake, where the listener asks for one, or forwarded by a proxy that the
/// listener trusts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MutualTlsSecurity {
    /// Who vouches for certificates, in PEM.
    pub ca: Ca,
    /// Revocation lists (PEM) of every authority that signs certificates; absent = nothing is revoked. With `secretRef` the
    /// file is called `ca.crl`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub crl: Option<SecretFile>,
    /// Whose certificates are taken: the first entry that fits counts; absent = everybody's for whom the authorities vouch.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schemars(length(max = 1000))]
    pub callers: Vec<CertificateCaller>,
    /// The application that they call for, where an entry of `callers` names none; absent = none, which is refused where the
    /// API asks for a subscription.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-name"))]
    pub application: Option<String>,
    /// The environment whose backends they reach.
    #[serde(skip_serializing_if = "CallerEnvironment::is_default", default)]
    pub environment: CallerEnvironment,
    /// The scopes that they have.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schemars(length(max = 100), extend("items" = {"type": "string", "format": "tollway-scope"}))]
    pub scopes: Vec<String>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// Which certificates: those for which all that is written holds.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateCaller {
    /// The subject, whole (RFC 4514): `CN=till-7,OU=Tills,O=Example`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(min = 1, max = 1000))]
    pub subject: Option<String>,
    /// What the subject ends with: `OU=Tills,O=Example`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(min = 1, max = 1000))]
    pub subject_below: Option<String>,
    /// An alternative name: `till-7.example.com`; `*.example.com` = all below.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(min = 1, max = 255))]
    pub dns: Option<String>,
    /// An alternative name: `spiffe://example.com/till`; `spiffe://example.com/*` = all below.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(min = 1, max = 1000))]
    pub uri: Option<String>,
    /// An alternative name: `till@example.com`; `*@example.com` = all of that domain.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(min = 1, max = 320))]
    pub email: Option<String>,
    /// An alternative name: an address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(min = 2, max = 45))]
    pub ip: Option<String>,
    /// A condition (CEL) on `principal.subject` and `principal.claims`, such as `principal.claims.cn.startsWith('till-')`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(min = 1, max = 2048))]
    pub when: Option<String>,
    /// The application that they call for: the name of its document.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-name"))]
    pub application: Option<String>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// A file of the node's folder of secrets, at one of these places.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretFile {
    /// The folder under the node's `--secrets-dir` that holds it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-name"))]
    pub secret_ref: Option<String>,
    /// The file under the node's `--secrets-dir`, as in `orders/users`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-file"))]
    pub file: Option<String>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// The environment of callers whose credentials the platform does not keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CallerEnvironment {
    /// Calls go to the production backend.
    #[default]
    Production,
    /// Calls go to the sandbox backend.
    Sandbox,
}

impl CallerEnvironment {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// One way to authenticate, wherever in an entry of `security` it stands.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Shown<'s> {
    /// A signed access token.
    Jwt(&'s JwtSecurity),
    /// A key in a header or in the query.
    ApiKey(&'s ApiKeySecurity),
    /// A user's name and password.
    Basic(&'s BasicSecurity),
    /// A client certificate.
    MutualTls(&'s MutualTlsSecurity),
}

impl Security {
    /// The ways in it, each with the place below this one where it stands: `/allOf/1/anyOf/0/jwt`.
    #[must_use]
    pub fn ways(&self) -> Vec<(String, Shown<'_>)> {
        let one = |name: &str, way| vec![(format!("/{name}"), way)];
        match self {
            Self::Jwt(jwt) => one("jwt", Shown::Jwt(jwt)),
            Self::ApiKey(key) => one("apiKey", Shown::ApiKey(key)),
            Self::Basic(basic) => one("basic", Shown::Basic(basic)),
            Self::MutualTls(tls) => one("mutualTls", Shown::MutualTls(tls)),
            Self::AllOf(all) => below("allOf", all, Needed::ways),
            Self::Optional(_) => Vec::new(),
        }
    }

    /// The access tokens that it takes, wherever in it.
    #[must_use]
    pub fn tokens(&self) -> Vec<&JwtSecurity> {
        let ways = self.ways().into_iter();
        let tokens = ways.filter_map(|(_, way)| match way {
            Shown::Jwt(jwt) => Some(jwt),
            _ => None,
        });
        tokens.collect()
    }
}

impl Needed {
    fn ways(&self) -> Vec<(String, Shown<'_>)> {
        let one = |name: &str, way| vec![(format!("/{name}"), way)];
        match self {
            Self::Jwt(jwt) => one("jwt", Shown::Jwt(jwt)),
            Self::ApiKey(key) => one("apiKey", Shown::ApiKey(key)),
            Self::Basic(basic) => one("basic", Shown::Basic(basic)),
            Self::MutualTls(tls) => one("mutualTls", Shown::MutualTls(tls)),
            Self::AnyOf(ways) => below("anyOf", ways, Way::ways),
        }
    }
}

impl Way {
    fn ways(&self) -> Vec<(String, Shown<'_>)> {
        let one = |name: &str, way| vec![(format!("/{name}"), way)];
        match self {
            Self::Jwt(jwt) => one("jwt", Shown::Jwt(jwt)),
            Self::ApiKey(key) => one("apiKey", Shown::ApiKey(key)),
            Self::Basic(basic) => one("basic", Shown::Basic(basic)),
            Self::MutualTls(tls) => one("mutualTls", Shown::MutualTls(tls)),
            Self::Optional(_) => Vec::new(),
        }
    }
}

/// The ways of the entries of a list.
fn below<'s, T>(
    name: &str,
    entries: &'s [T],
    ways: impl Fn(&'s T) -> Vec<(String, Shown<'s>)>,
) -> Vec<(String, Shown<'s>)> {
    let entries = entries.iter().enumerate();
    let found = entries.flat_map(|(index, entry)| {
        let found = ways(entry).into_iter();
        found.map(move |(place, way)| (format!("/{name}/{index}{place}"), way))
    });
    found.collect()
}
