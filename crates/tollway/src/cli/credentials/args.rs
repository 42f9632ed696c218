//! Arguments of `tollway credentials` and `tollway apikey`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::args::{Common, For, Target, Wait};
use crate::up::Span;

/// `tollway credentials`
#[derive(Debug, Subcommand)]
pub enum Credentials {
    /// Make one; its secret is shown once
    Create(Box<ClientCreate>),
    /// List them, without secrets; of all applications those that end soon
    List(ListOf),
    /// Show one with all that it is registered with
    Get(One),
    /// Change what it is registered with
    Change(Box<ClientChange>),
    /// Give it a new secret; the present one works on until a date
    Rotate(Rotate),
    /// End one of its secrets now
    EndSecret(EndSecret),
    /// Revoke one
    Delete(Gone),
}

/// `tollway apikey`
#[derive(Debug, Subcommand)]
pub enum ApiKeys {
    /// Make one; it is shown once
    Create(KeyCreate),
    /// List them, without the keys; of all applications those that end soon
    List(ListOf),
    /// Show one with its limits
    Get(One),
    /// Change its limits
    Change(KeyChange),
    /// Give it a new text; the present one works on until a date
    Rotate(Rotate),
    /// End one of its texts now
    EndSecret(EndSecret),
    /// Revoke one
    Delete(Gone),
}

/// `list`
#[derive(Debug, Args)]
pub struct ListOf {
    /// The application [default with --expiring: all of them]
    #[arg(long, required_unless_present = "expiring")]
    pub app: Option<String>,
    /// Only those that end, or one of whose secrets ends, within this time, such as 14d
    #[arg(long, value_name = "DURATION")]
    pub expiring: Option<Span>,
    #[command(flatten)]
    pub common: Common,
}

/// Which one.
#[derive(Debug, Args)]
pub struct Which {
    /// The application
    #[arg(long)]
    pub app: String,
    /// The credential's id, from `list`
    pub id: String,
}

/// `get`
#[derive(Debug, Args)]
pub struct One {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub common: Common,
}

/// `delete`
#[derive(Debug, Args)]
pub struct Gone {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub target: Target,
}

/// `end-secret`
#[derive(Debug, Args)]
pub struct EndSecret {
    #[command(flatten)]
    pub which: Which,
    /// The secret's id, from `get`
    #[arg(long)]
    pub secret: String,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub target: Target,
}

/// `rotate`
#[derive(Debug, Args)]
pub struct Rotate {
    #[command(flatten)]
    pub which: Which,
    /// How long the present one works on, such as 7d; 0s = it ends now
    #[arg(long, value_name = "DURATION", default_value = "7d")]
    pub old_until: Span,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub common: Common,
}

/// What a client is registered with; what is given stands above the file.
#[derive(Debug, Default, Args)]
pub struct Registered {
    /// What it is registered with: a JSON file under the names of RFC 7591
    #[arg(long, value_name = "FILE")]
    pub metadata: Option<PathBuf>,
    /// What it gets tokens by: `client_credentials`, `authorization_code`, `refresh_token`, `device_code`, `token-exchange`; may be given several times
    #[arg(long = "grant", value_name = "GRANT")]
    pub grants: Vec<String>,
    /// How it proves itself: `client_secret_basic`, `client_secret_post`, `private_key_jwt`, `tls_client_auth`, `self_signed_tls_client_auth`, `none`
    #[arg(long, value_name = "METHOD")]
    pub auth_method: Option<String>,
    /// Where users are sent back to, compared byte for byte; may be given several times
    #[arg(long = "redirect-uri", value_name = "URI")]
    pub redirect_uris: Vec<String>,
    /// Where users may be sent after they logged out; may be given several times
    #[arg(long = "post-logout-redirect-uri", value_name = "URI")]
    pub post_logout_redirect_uris: Vec<String>,
    /// A scope that it may ask for; may be given several times [default: all that the subscriptions grant]
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// Its public keys: a JSON file (JWK set)
    #[arg(long, value_name = "FILE", conflicts_with = "jwks_uri")]
    pub jwks: Option<PathBuf>,
    /// Where its public keys are
    #[arg(long, value_name = "URL")]
    pub jwks_uri: Option<String>,
    /// What its access tokens look like: `jwt` or `opaque` [default: as the application says]
    #[arg(long, value_name = "FORMAT")]
    pub token_format: Option<String>,
    /// Lifetime of its access tokens [default: as the application says]
    #[arg(long, value_name = "DURATION")]
    pub token_lifetime: Option<Span>,
    /// What its tokens are signed with: `ES256`, `EdDSA` or `RS256`
    #[arg(long, value_name = "ALG")]
    pub signed_with: Option<String>,
    /// Authorization requests must be pushed (RFC 9126)
    #[arg(long)]
    pub require_par: bool,
    /// All its tokens are bound to a DPoP key (RFC 9449)
    #[arg(long)]
    pub dpop: bool,
    /// All its tokens are bound to its certificate (RFC 8705)
    #[arg(long)]
    pub certificate_bound: bool,
    /// It may do without PKCE; not for public clients
    #[arg(long)]
    pub no_pkce: bool,
    /// Users are not asked for consent: the client is our own
    #[arg(long)]
    pub skip_consent: bool,
}

/// `tollway credentials create`
#[derive(Debug, Args)]
pub struct ClientCreate {
    /// The application
    #[arg(long)]
    pub app: String,
    #[command(flatten)]
    pub purpose: For,
    /// What people call it
    #[arg(long)]
    pub name: Option<String>,
    /// Stop to work after this time, such as 90m or 720h
    #[arg(long, value_name = "DURATION")]
    pub expires_in: Option<Span>,
    /// The token issuer that knows the client already; by default it is a new one of the platform itself
    #[arg(long, requires = "client_id")]
    pub issuer: Option<String>,
    /// Its id at that issuer
    #[arg(long, requires = "issuer")]
    pub client_id: Option<String>,
    #[command(flatten)]
    pub registered: Registered,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub common: Common,
}

/// `tollway credentials change`
#[derive(Debug, Args)]
pub struct ClientChange {
    #[command(flatten)]
    pub which: Which,
    /// What people call it
    #[arg(long)]
    pub name: Option<String>,
    /// Stop to work after this time from now on
    #[arg(long, value_name = "DURATION")]
    pub expires_in: Option<Span>,
    #[command(flatten)]
    pub registered: Registered,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub common: Common,
}

/// What an API key is limited to.
#[derive(Debug, Default, Args)]
pub struct KeyLimitsOf {
    /// An address or network that calls may come from; may be given several times [default: from everywhere]
    #[arg(long = "allow-ip", value_name = "NETWORK")]
    pub ip_ranges: Vec<String>,
    /// What may be called: API (its document's name), or API, a colon and an operationId or `METHOD /template`; may be given several times [default: everything that the application is subscribed to]
    #[arg(long = "allow-operation", value_name = "API[:OPERATION]")]
    pub operations: Vec<String>,
    /// A scope that it stands for; may be given several times [default: it is not limited by scopes]
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
}

/// `tollway apikey create`
#[derive(Debug, Args)]
pub struct KeyCreate {
    /// The application
    #[arg(long)]
    pub app: String,
    #[command(flatten)]
    pub purpose: For,
    /// What people call it
    #[arg(long)]
    pub name: Option<String>,
    /// Stop to work after this time, such as 90m or 720h
    #[arg(long, value_name = "DURATION")]
    pub expires_in: Option<Span>,
    #[command(flatten)]
    pub limits: KeyLimitsOf,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub common: Common,
}

/// `tollway apikey change`
#[derive(Debug, Args)]
pub struct KeyChange {
    #[command(flatten)]
    pub which: Which,
    /// What people call it
    #[arg(long)]
    pub name: Option<String>,
    /// Stop to work after this time from now on
    #[arg(long, value_name = "DURATION")]
    pub expires_in: Option<Span>,
    #[command(flatten)]
    pub limits: KeyLimitsOf,
    /// Take all limits away
    #[arg(long, conflicts_with_all = ["ip_ranges", "operations", "scopes"])]
    pub unlimited: bool,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub common: Common,
}
