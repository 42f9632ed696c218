//! Tokens: what ends them, opaque ones, and what may be used once.

use async_trait::async_trait;
use base::{Digest, TokenMarks, TokensOf};
use serde_json::Value;

use crate::Result;

/// All tokens of something have ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watermark {
    /// Whose tokens.
    pub of: TokensOf,
    /// Those that were asked for before this revision: the one that wrote it.
    pub revision: u64,
    /// From this second since 1970 on they have expired anyway.
    pub expires_unix_s: u64,
}

/// An opaque access token, by the digest of its text.
#[derive(Clone, PartialEq, Debug)]
pub struct OpaqueToken {
    /// SHA-256 of the token.
    pub digest: Digest,
    /// The claims that it stands for, those of RFC 9068.
    pub claims: Value,
    /// Its `exp`.
    pub expires_unix_s: u64,
}

/// Tokens. What is written here makes no revision, except by [`crate::Write`].
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// The end of all tokens of this, if that is remembered.
    async fn watermark_get(&self, of: &TokensOf) -> Result<Option<Watermark>>;

    /// All ends of tokens that have not expired at this second since 1970.
    async fn watermark_list(&self, now_unix_s: u64) -> Result<Vec<Watermark>>;

    /// Whether a token was ended, by itself or with others.
    async fn token_ended(&self, marks: &TokenMarks) -> Result<bool>;

    /// Keeps an opaque token. It is durable when this returns.
    async fn opaque_put(&self, token: &OpaqueToken) -> Result<()>;

    /// An opaque token, expired or not.
    async fn opaque_get(&self, digest: &Digest) -> Result<Option<OpaqueToken>>;

    /// Takes what may be used once, in all processes together: `false` when it was taken before. It is remembered until
    /// this second since 1970 at least, and durable when this returns.
    async fn use_once(&self, digest: &Digest, expires_unix_s: u64) -> Result<bool>;

    /// Forgets at most `limit` rows of each kind that expired before this second since 1970; returns how many of the
    /// kind that had most. Makes no revision; call again while the limit is reached.
    async fn tokens_expire(&self, before_unix_s: u64, limit: u64) -> Result<u64>;
}
