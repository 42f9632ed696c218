//! Makes, hashes and checks secrets; mints and checks tokens.
//!
//! What is kept of a secret is never enough to use it: passwords are argon2id hashes, client secrets and API keys
//! keyed hashes, signing keys are sealed. All keys for that come from one [`KeyFile`] beside the database.
//! The roles that need secrets (identity and control) meet here, through [`Tokens`], [`TermsSource`] and
//! [`Acknowledged`], and never use each other.
//!
//! Knows nothing of HTTP, documents, or who may do what: it says who somebody *is*.
//!
//! Start reading at [`KeyFile`] (where the keys come from) and [`Tokens`] (what they are for).

pub mod acknowledged;
pub mod bootstrap;
pub mod hashes;
pub mod key_file;
pub mod metadata;
pub mod nonces;
pub mod pairwise;
pub mod passwords;
pub mod random;
pub mod scopes;
pub mod terms;
pub mod tokens;

pub use acknowledged::{Acknowledged, NotAcknowledged};
pub use bootstrap::{ADMIN, Bootstrap, BootstrapError, bootstrap};
pub use hashes::{
    NewApiKey, NewClient, RotateError, SecretHashes, USE_EVERY_S, Wish, equal, note_use,
};
pub use jose::Confirmation;
pub use key_file::{KeyFile, KeyFileError, SealError};
pub use nonces::Nonces;
pub use pairwise::{Pairwise, SECTOR_BYTES_MAX, check_sector};
pub use passwords::{PasswordError, PasswordLimits, Passwords, WeakPassword, check_strength};
pub use random::{NoRandomness, random_text};
pub use scopes::{ScopeError, grant};
pub use terms::{ApiTerms, TermsSource, TokenTerms, UnknownResource};
pub use tokens::{
    AccessGrant, AccessToken, By, ControlCaller, IssueError, KeyInfo, REVOCATION_MARGIN_S,
    RotationConfig, Subject, TokenError, Tokens, TokensConfig, TokensError, UserSubject,
    gateway_audience, revocation,
};
