//! Tokens are made here, whatever the grant.

use std::collections::BTreeSet;

use base::{GrantId, Org};
use credentials::{AccessGrant, IssueError, Subject, TokenTerms, gateway_audience};
use jose::Confirmation;
use serde::Serialize;
use serde_json::Value;
use store::TokenFormat;
use utoipa::ToSchema;

use crate::IdentityState;
use crate::client::Client;
use crate::oauth::OAuthError;
use crate::token::Asked;

/// What a grant wants made: an access token of the client that asked, bound to the key that it proved. Begin with
/// [`Issue::new`].
pub(crate) struct Issue {
    /// Whom it is about.
    pub(crate) subject: Subject,
    /// Its scopes.
    pub(crate) scopes: BTreeSet<String>,
    /// Whom it is for; empty = all gateways of the client's organisation.
    pub(crate) audience: Vec<String>,
    /// Its lifetime in seconds; `None` = the configured one.
    pub(crate) lifetime_s: Option<u64>,
    /// What the user allowed, where somebody was asked.
    pub(crate) grant: Option<GrantId>,
    /// What it looks like.
    pub(crate) format: TokenFormat,
    /// The second since 1970 after which it may not last; `None` = whatever its lifetime comes to.
    pub(crate) ends_max_unix_s: Option<u64>,
    /// Who acts for the subject (RFC 8693 §4.1).
    pub(crate) actor: Option<Value>,
    /// What it was exchanged for; see [`AccessGrant::from`].
    pub(crate) from: Vec<Value>,
}

impl Issue {
    pub(crate) fn new(subject: Subject) -> Self {
        Self {
            subject,
            scopes: BTreeSet::new(),
            audience: Vec::new(),
            lifetime_s: None,
            grant: None,
            format: TokenFormat::default(),
            ends_max_unix_s: None,
            actor: None,
            from: Vec::new(),
        }
    }

    /// For this audience, with the lifetime and the form that the terms of the client have for it.
    pub(crate) fn for_audience(
        mut self,
        audience: Vec<String>,
        terms: &TokenTerms,
        org: &Org,
    ) -> Self {
        self.lifetime_s = terms.lifetime_of(&audience, &gateway_audience(org));
        self.format = terms.format;
        self.audience = audience;
        self
    }
}

/// Tokens (RFC 6749 §5.1). A grant that gives more than an access token puts it in.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenAnswer {
    /// The token.
    pub(crate) access_token: String,
    /// `Bearer` or `DPoP`
    pub(crate) token_type: &'static str,
    /// Its lifetime in seconds.
    pub(crate) expires_in: u64,
    /// Always stated: it may be other than what was asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) scope: String,
    /// For new tokens later (RFC 6749 §6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refresh_token: Option<String>,
    /// Who the user is (OpenID Connect Core §3.1.3.3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id_token: Option<String>,
    /// What an exchange gave (RFC 8693 §2.2.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issued_token_type: Option<&'static str>,
}

impl IdentityState {
    /// What the tokens of a client may be.
    pub(crate) async fn terms_of(&self, client: &Client) -> Result<TokenTerms, OAuthError> {
        let credential = &client.credential;
        let terms = self
            .terms
            .terms_of(&credential.org, credential.application)
            .await
            .map_err(|error| self.store_failed(&error))?;
        Ok(terms.for_client(client.metadata()))
    }

    /// Makes an access token. It is durable, where it has to be, when this returns.
    pub(crate) async fn issue(
        &self,
        asked: &Asked,
        issue: Issue,
    ) -> Result<TokenAnswer, OAuthError> {
        let client = &asked.client;
        let scope = issue
            .scopes
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" ");
        let metadata = client.metadata();
        let own = issue.lifetime_s;
        let lifetime_s = own.unwrap_or(self.tokens.config().access_lifetime_s);
        let left = issue
            .ends_max_unix_s
            .map_or(u64::MAX, |ends| ends.saturating_sub(self.clock.unix_s()));
        let lifetime_s = lifetime_s.min(left);
        let org = client.credential.org.clone();
        let grant = AccessGrant {
            scopes: issue.scopes,
            lifetime_s: Some(lifetime_s),
            audience: issue.audience,
            revision: asked.revision,
            grant: issue.grant,
            confirmation: asked.confirmation.clone(),
            actor: issue.actor,
            from: issue.from,
            algorithm: metadata.access_token_signed_response_alg,
            ..AccessGrant::new(org, client.client_id.as_str(), issue.subject)
        };
        let minted = match issue.format {
            TokenFormat::Jwt => self
                .tokens
                .mint_access_token(&grant)
                .map_err(IssueError::Mint),
            TokenFormat::Opaque => self.tokens.mint_opaque_token(&grant).await,
        };
        let minted = minted.map_err(|error| match error {
            IssueError::Store(error) => self.store_failed(&error),
            IssueError::Mint(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "no token was minted");
                OAuthError::server_error()
            }
        })?;
        self.metrics.tokens_issued.count();
        Ok(TokenAnswer {
            access_token: minted.token.expose().clone(),
            token_type: token_type(asked.confirmation.as_ref()),
            expires_in: minted.expires_in,
            scope,
            refresh_token: None,
            id_token: None,
            issued_token_type: None,
        })
    }
}

/// RFC 9449 §5: a token bound to a DPoP key is used with the scheme `DPoP`; one bound to a certificate stays a bearer
/// token (RFC 8705 §3).
pub(crate) fn token_type(confirmation: Option<&Confirmation>) -> &'static str {
    match confirmation {
        Some(Confirmation::Key(_)) => "DPoP",
        Some(Confirmation::Certificate(_)) | None => "Bearer",
    }
}
