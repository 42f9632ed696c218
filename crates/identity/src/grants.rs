//! The ways to tokens, one file each. A grant decides whom the tokens are about and what they may be;
//! [`IdentityState::issue`](crate::IdentityState) makes them.

pub(crate) mod client_credentials;

use crate::IdentityState;
use crate::mint::TokenAnswer;
use crate::oauth::OAuthError;
use crate::token::Asked;

/// The grants that exist. A new one is a variant here, a name, and a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GrantType {
    ClientCredentials,
}

impl GrantType {
    /// All of them.
    pub(crate) const ALL: [Self; 1] = [Self::ClientCredentials];

    /// The value of `grant_type`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
        }
    }

    pub(crate) fn parse(name: &str) -> Result<Self, OAuthError> {
        Self::ALL
            .into_iter()
            .find(|grant_type| grant_type.name() == name)
            .ok_or_else(OAuthError::unsupported_grant_type)
    }

    pub(crate) async fn answer(
        self,
        state: &IdentityState,
        asked: &Asked,
    ) -> Result<TokenAnswer, OAuthError> {
        match self {
            Self::ClientCredentials => client_credentials::answer(state, asked).await,
        }
    }
}
