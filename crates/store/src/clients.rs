//! What an application proves itself with: OAuth clients and API keys, with their secrets.
//!
//! A [`Credential`] is one row, its [`CredentialSecret`]s are rows of their own: at most [`LIVE_SECRETS_MAX`] of them are
//! live at a time, so that a new one can be brought out before the old one ends.

use std::collections::BTreeSet;

use async_trait::async_trait;
use base::{
    ApplicationId, CredentialId, Digest, Environment, KeyLimits, Org, RegistrationTokenId, SecretId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Result;

/// How many secrets of one credential may be live at a time.
pub const LIVE_SECRETS_MAX: usize = 2;

/// The issuer of clients of the platform's own authorization server.
pub const RESIDENT: &str = "resident";

/// What an application proves itself with. Secrets are kept as keyed hashes only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// The application's organisation.
    pub org: Org,
    /// Whose.
    pub application: ApplicationId,
    /// What people call it; may be empty.
    pub name: String,
    /// Client or key.
    pub kind: CredentialKind,
    /// Which backends its calls go to.
    pub environment: Environment,
    /// The secrets or keys that it proves itself with, oldest first; none for a client that has a key pair, a certificate
    /// or nothing at all.
    pub secrets: Vec<CredentialSecret>,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Milliseconds since 1970.
    pub updated_unix_ms: u64,
    /// Seconds since 1970 at which it stops to work, whatever its secrets say.
    pub expires_unix_s: Option<u64>,
    /// Seconds since 1970 at which it was used last, coarse; `None` = never, as far as is known. Written by
    /// [`ClientStore::credentials_used`] alone: puts leave it as it is.
    pub used_unix_s: Option<u64>,
}

/// The two kinds of [`Credential`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CredentialKind {
    /// An OAuth 2.0 client.
    Client(Box<Client>),
    /// An API key, and what it is limited to.
    ApiKey(KeyLimits),
}

/// What only an OAuth client has.
#[derive(Clone, PartialEq, Eq)]
pub struct Client {
    /// The public id. Of the platform's own clients unique everywhere, of others at their issuer in an organisation.
    pub client_id: String,
    /// Who issues its tokens: the name of a `TokenIssuer` document; [`RESIDENT`] is the platform itself.
    pub issuer: String,
    /// Keyed hash of the registration access token (RFC 7592 §3), of a client that registered itself.
    pub registration: Option<Digest>,
    /// What it is registered with.
    pub metadata: ClientMetadata,
}

/// Without the hash.
impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("client_id", &self.client_id)
            .field("metadata", &self.metadata)
            .finish_non_exhaustive()
    }
}

/// One secret of a client, or one key of an API key.
#[derive(Clone, PartialEq, Eq)]
pub struct CredentialSecret {
    /// Its id.
    pub id: SecretId,
    /// HMAC-SHA-256 of it.
    pub hash: Digest,
    /// Of an API key: its first characters, by which people recognise it; not secret.
    pub prefix: Option<String>,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Seconds since 1970 at which it stops to work.
    pub expires_unix_s: Option<u64>,
    /// As [`Credential::used_unix_s`].
    pub used_unix_s: Option<u64>,
}

/// Without the hash.
impl std::fmt::Debug for CredentialSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "CredentialSecret({}, until {:?})",
            self.id, self.expires_unix_s
        )
    }
}

impl CredentialSecret {
    /// Whether it has not expired at this second since 1970.
    #[must_use]
    pub fn is_live(&self, now_unix_s: u64) -> bool {
        self.expires_unix_s
            .is_none_or(|expires| now_unix_s < expires)
    }
}

impl Credential {
    /// Whether it has not expired at this second since 1970.
    #[must_use]
    pub fn is_live(&self, now_unix_s: u64) -> bool {
        self.expires_unix_s
            .is_none_or(|expires| now_unix_s < expires)
    }

    /// The secrets that are good at this second since 1970; none when the credential itself has expired.
    pub fn live_secrets(&self, now_unix_s: u64) -> impl Iterator<Item = &CredentialSecret> {
        let live = self.is_live(now_unix_s);
        self.secrets
            .iter()
            .filter(move |secret| live && secret.is_live(now_unix_s))
    }

    /// When it stops to work by itself: at its own end, or with its last secret. `None` = never.
    #[must_use]
    pub fn ends_unix_s(&self) -> Option<u64> {
        let ends = self.secrets.iter().map(|secret| secret.expires_unix_s);
        let last = ends
            .reduce(|a, b| a.zip(b).map(|(a, b)| a.max(b)))
            .flatten();
        match (self.expires_unix_s, last) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (own, last) => own.or(last),
        }
    }

    /// What only a client has.
    #[must_use]
    pub fn client(&self) -> Option<&Client> {
        match &self.kind {
            CredentialKind::Client(client) => Some(client),
            CredentialKind::ApiKey(_) => None,
        }
    }
}

/// How a client proves itself at the token endpoint and wherever it is asked to.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// A secret by HTTP Basic (RFC 6749 §2.3.1).
    #[default]
    ClientSecretBasic,
    /// A secret in the form (RFC 6749 §2.3.1).
    ClientSecretPost,
    /// A JWT signed by a key of its own (RFC 7523, OpenID Connect Core §9).
    PrivateKeyJwt,
    /// A certificate of a trusted authority (RFC 8705 §2.1).
    TlsClientAuth,
    /// A certificate that it registered (RFC 8705 §2.2).
    SelfSignedTlsClientAuth,
    /// Nothing: a public client.
    None,
}

impl AuthMethod {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ClientSecretBasic,
        Self::ClientSecretPost,
        Self::PrivateKeyJwt,
        Self::TlsClientAuth,
        Self::SelfSignedTlsClientAuth,
        Self::None,
    ];

    /// Its name in metadata.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::TlsClientAuth => "tls_client_auth",
            Self::SelfSignedTlsClientAuth => "self_signed_tls_client_auth",
            Self::None => "none",
        }
    }

    /// Whether it presents a secret of ours.
    #[must_use]
    pub fn has_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }
}

/// What a client may get tokens by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum GrantType {
    /// For itself (RFC 6749 §4.4).
    #[serde(rename = "client_credentials")]
    ClientCredentials,
    /// For a user who was asked (RFC 6749 §4.1, RFC 7636).
    #[serde(rename = "authorization_code")]
    AuthorizationCode,
    /// More of what a user gave (RFC 6749 §6).
    #[serde(rename = "refresh_token")]
    RefreshToken,
    /// For a user who is asked on another device (RFC 8628).
    #[serde(rename = "urn:ietf:params:oauth:grant-type:device_code")]
    DeviceCode,
    /// For a token of somebody else's (RFC 8693).
    #[serde(rename = "urn:ietf:params:oauth:grant-type:token-exchange")]
    TokenExchange,
}

impl GrantType {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ClientCredentials,
        Self::AuthorizationCode,
        Self::RefreshToken,
        Self::DeviceCode,
        Self::TokenExchange,
    ];

    /// The value of `grant_type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
        }
    }

    /// The grant of this `grant_type`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant| grant.as_str() == name)
    }
}

/// What an access token looks like.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum TokenFormat {
    /// A signed JWT that says everything itself (RFC 9068).
    #[default]
    Jwt,
    /// A reference that tells nobody anything; what it stands for is asked by introspection.
    Opaque,
}

/// How users are named to a client (OpenID Connect Core §8).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum SubjectType {
    /// By their ids: the same for all clients.
    #[default]
    Public,
    /// By names that tell clients of different sectors nothing of each other's.
    Pairwise,
}

impl SubjectType {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_public(&self) -> bool {
        *self == Self::Public
    }
}

/// An algorithm that the platform signs with.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum SigningAlgorithm {
    /// ECDSA on P-256 (RFC 7518 §3.4); there is always a key for it.
    #[default]
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519 (RFC 8037); there is always a key for it.
    #[serde(rename = "EdDSA", alias = "Ed25519")]
    EdDsa,
    /// RSASSA-PKCS1-v1_5 (RFC 7518 §3.3): slow, for clients that know nothing else. Its key is made at first need.
    #[serde(rename = "RS256")]
    Rs256,
}

impl SigningAlgorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Es256, Self::EdDsa, Self::Rs256];

    /// The value of `alg`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }

    /// The algorithm of this `alg`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "Ed25519" => Some(Self::EdDsa),
            _ => Self::ALL.into_iter().find(|known| known.as_str() == name),
        }
    }
}

/// Client metadata, under the names of the registrations: RFC 7591 §2, OpenID Connect Registration §2, RFC 8705 §2.1.2,
/// RFC 9126 §6, RFC 9449 §5.2, OpenID Connect RP-Initiated Logout §3.1 and Back-Channel Logout §2.2; what they have no
/// name for has one of ours.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ClientMetadata {
    /// How it proves itself.
    pub token_endpoint_auth_method: AuthMethod,
    /// What it may get tokens by.
    pub grant_types: BTreeSet<GrantType>,
    /// Where users are sent back to; compared byte for byte (RFC 8252's loopback ports apart).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redirect_uris: Vec<String>,
    /// Where users may be sent after they logged out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub post_logout_redirect_uris: Vec<String>,
    /// Where it is told that a user logged out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backchannel_logout_uri: Option<String>,
    /// Whether logout tokens must name the session.
    #[serde(skip_serializing_if = "is_false")]
    pub backchannel_logout_session_required: bool,
    /// Its public keys, a JWK set; excludes `jwks_uri`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<Object>))]
    pub jwks: Option<Value>,
    /// Where its public keys are; excludes `jwks`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// With `tls_client_auth`: the certificate's subject (RFC 4514). Exactly one of the five is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_subject_dn: Option<String>,
    /// … or a DNS name of the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_dns: Option<String>,
    /// … or a URI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_uri: Option<String>,
    /// … or an IP address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_ip: Option<String>,
    /// … or a mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_email: Option<String>,
    /// The scopes that it may ask for, separated by blanks; absent = all that its application's subscriptions grant.
    #[serde(
        rename = "scope",
        skip_serializing_if = "Option::is_none",
        with = "scope_list"
    )]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub scopes: Option<BTreeSet<String>>,
    /// What its access tokens look like; absent = as the application says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_token_format: Option<TokenFormat>,
    /// Lifetime of its access tokens in seconds; absent = as the application says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_token_lifetime_s: Option<u64>,
    /// Lifetime of its refresh tokens in seconds; absent = as configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token_lifetime_s: Option<u64>,
    /// Lifetime of its ID tokens in seconds; absent = as configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token_lifetime_s: Option<u64>,
    /// What its ID and logout tokens are signed with.
    pub id_token_signed_response_alg: SigningAlgorithm,
    /// What its access tokens are signed with.
    pub access_token_signed_response_alg: SigningAlgorithm,
    /// Authorization requests must be pushed (RFC 9126).
    #[serde(skip_serializing_if = "is_false")]
    pub require_pushed_authorization_requests: bool,
    /// All its tokens are bound to a DPoP key (RFC 9449).
    #[serde(skip_serializing_if = "is_false")]
    pub dpop_bound_access_tokens: bool,
    /// All its tokens are bound to its certificate (RFC 8705 §3).
    #[serde(skip_serializing_if = "is_false")]
    pub tls_client_certificate_bound_access_tokens: bool,
    /// Authorization requests need a PKCE challenge (RFC 7636); only a confidential client may do without.
    pub require_pkce: bool,
    /// Whether each use of a refresh token gives a new one; absent = see [`ClientMetadata::rotates_refresh_tokens`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token_rotation: Option<bool>,
    /// The audiences of its tokens where a request names none (RFC 8707); empty = those that its scopes imply.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub default_resources: Vec<String>,
    /// The clients whose tokens it may exchange for tokens of its own (RFC 8693), by client id; none by default. What is
    /// registered dynamically cannot say that of itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub token_exchange_subject_clients: Vec<String>,
    /// Users are not asked: the client belongs to whoever runs the platform.
    #[serde(skip_serializing_if = "is_false")]
    pub skip_consent: bool,
    /// How old a log-in may be at most, in seconds, where a request does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_max_age: Option<u64>,
    /// Whether ID tokens must say when the user logged in.
    #[serde(skip_serializing_if = "is_false")]
    pub require_auth_time: bool,
    /// How users are named to it.
    #[serde(skip_serializing_if = "SubjectType::is_public")]
    pub subject_type: SubjectType,
    /// A list of redirect URIs that belong together: clients that name the same one know users by the same pairwise names.
    /// Those of the client have to be in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sector_identifier_uri: Option<String>,
    /// Its home page, for the consent page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_uri: Option<String>,
    /// Its logo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo_uri: Option<String>,
    /// Its terms of service, for the consent page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tos_uri: Option<String>,
    /// Its privacy policy, for the consent page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_uri: Option<String>,
    /// Whom to reach about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<String>,
    /// Which software it is; the same for all its instances.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software_id: Option<String>,
    /// … and which version of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software_version: Option<String>,
}

impl Default for ClientMetadata {
    /// A confidential client that gets tokens for itself.
    fn default() -> Self {
        Self {
            token_endpoint_auth_method: AuthMethod::default(),
            grant_types: BTreeSet::from([GrantType::ClientCredentials]),
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            backchannel_logout_uri: None,
            backchannel_logout_session_required: false,
            jwks: None,
            jwks_uri: None,
            tls_client_auth_subject_dn: None,
            tls_client_auth_san_dns: None,
            tls_client_auth_san_uri: None,
            tls_client_auth_san_ip: None,
            tls_client_auth_san_email: None,
            scopes: None,
            access_token_format: None,
            access_token_lifetime_s: None,
            refresh_token_lifetime_s: None,
            id_token_lifetime_s: None,
            id_token_signed_response_alg: SigningAlgorithm::default(),
            access_token_signed_response_alg: SigningAlgorithm::default(),
            require_pushed_authorization_requests: false,
            dpop_bound_access_tokens: false,
            tls_client_certificate_bound_access_tokens: false,
            require_pkce: true,
            refresh_token_rotation: None,
            default_resources: Vec::new(),
            token_exchange_subject_clients: Vec::new(),
            skip_consent: false,
            default_max_age: None,
            require_auth_time: false,
            subject_type: SubjectType::default(),
            sector_identifier_uri: None,
            client_uri: None,
            logo_uri: None,
            tos_uri: None,
            policy_uri: None,
            contacts: Vec::new(),
            software_id: None,
            software_version: None,
        }
    }
}

impl ClientMetadata {
    /// Whether it cannot keep a secret (RFC 6749 §2.1).
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.token_endpoint_auth_method == AuthMethod::None
    }

    /// Whether all its tokens are bound to a key that it holds.
    #[must_use]
    pub fn is_sender_constrained(&self) -> bool {
        self.dpop_bound_access_tokens || self.tls_client_certificate_bound_access_tokens
    }

    /// Whether it may use this grant.
    #[must_use]
    pub fn may(&self, grant: GrantType) -> bool {
        self.grant_types.contains(&grant)
    }

    /// Whether each use of a refresh token gives a new one. Without a word of its own a client does, unless it is
    /// confidential and sender-constrained: then a stolen refresh token is of no use anyway (RFC 9700 §4.14.2).
    #[must_use]
    pub fn rotates_refresh_tokens(&self) -> bool {
        self.refresh_token_rotation
            .unwrap_or(self.is_public() || !self.is_sender_constrained())
    }

    /// Whether an authorization request needs a PKCE challenge: always, unless a confidential client opted out.
    #[must_use]
    pub fn needs_pkce(&self) -> bool {
        self.require_pkce || self.is_public()
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !*value
}

/// Scopes as registrations write them: one text, blanks between the names.
mod scope_list {
    use std::collections::BTreeSet;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        scopes: &Option<BTreeSet<String>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match scopes {
            None => serializer.serialize_none(),
            Some(scopes) => {
                let names: Vec<&str> = scopes.iter().map(String::as_str).collect();
                serializer.serialize_str(&names.join(" "))
            }
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<BTreeSet<String>>, D::Error> {
        let text: Option<String> = Option::deserialize(deserializer)?;
        Ok(text.map(|text| text.split_whitespace().map(str::to_owned).collect()))
    }
}

/// A use of a credential, for [`ClientStore::credentials_used`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CredentialUse {
    /// Which credential.
    pub credential: CredentialId,
    /// By which of its secrets, where it was one.
    pub secret: Option<SecretId>,
    /// When, in seconds since 1970.
    pub at_unix_s: u64,
}

/// What somebody may register clients with (RFC 7591 §3): an initial access token.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistrationToken {
    /// Its id.
    pub id: RegistrationTokenId,
    /// Whose clients it registers.
    pub org: Org,
    /// What people call it.
    pub name: String,
    /// Keyed hash of it, unique.
    pub hash: Digest,
    /// How many clients it may still register.
    pub uses_left: u64,
    /// The user who made it, and who owns the applications of its clients.
    pub owner: String,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Seconds since 1970 at which it stops to work.
    pub expires_unix_s: u64,
}

/// Without the hash.
impl std::fmt::Debug for RegistrationToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "RegistrationToken({}/{}, {} left)",
            self.org, self.id, self.uses_left
        )
    }
}

/// Clients, API keys, and what registers clients.
#[async_trait]
pub trait ClientStore: Send + Sync {
    /// An OAuth client of the platform itself by its public id, whatever its organisation.
    async fn client_get(&self, client_id: &str) -> Result<Option<Credential>>;

    /// A credential by its id.
    async fn credential_get(&self, org: &Org, id: CredentialId) -> Result<Option<Credential>>;

    /// Credentials of one application, or of all (of every organisation) with `None`, oldest first.
    async fn credential_list(&self, application: Option<ApplicationId>) -> Result<Vec<Credential>>;

    /// Credentials of an organisation that end, or one of whose secrets ends, at or after `from_unix_s` and before
    /// `until_unix_s`, oldest first.
    async fn credential_list_ending(
        &self,
        org: &Org,
        from_unix_s: u64,
        until_unix_s: u64,
    ) -> Result<Vec<Credential>>;

    /// Notes when credentials were used; an earlier time than is known changes nothing. Makes no revision. What is not
    /// there any more is passed over.
    async fn credentials_used(&self, uses: &[CredentialUse]) -> Result<()>;

    /// A registration token by its hash, whatever its organisation.
    async fn registration_token_get(&self, hash: &Digest) -> Result<Option<RegistrationToken>>;

    /// The registration tokens of an organisation, oldest first.
    async fn registration_token_list(&self, org: &Org) -> Result<Vec<RegistrationToken>>;
}

#[cfg(test)]
mod tests;
