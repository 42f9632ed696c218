//! The ways to tokens, one file each. A grant decides whom the tokens are about and what they may be;
//! [`IdentityState::issue`](crate::IdentityState) makes them.

pub(crate) mod authorization_code;
pub(crate) mod client_credentials;
pub(crate) mod device_code;
pub(crate) mod refresh_token;
pub(crate) mod token_exchange;
mod user;

use crate::IdentityState;
use crate::client::Client;
use crate::mint::TokenAnswer;
use crate::oauth::OAuthError;
use crate::token::Asked;

/// The grants that exist. A new one is a variant here, a name, and a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GrantType {
    AuthorizationCode,
    ClientCredentials,
    DeviceCode,
    RefreshToken,
    TokenExchange,
}

impl GrantType {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [
        Self::AuthorizationCode,
        Self::ClientCredentials,
        Self::DeviceCode,
        Self::RefreshToken,
        Self::TokenExchange,
    ];

    /// The value of `grant_type`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::ClientCredentials => "client_credentials",
            Self::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
            Self::RefreshToken => "refresh_token",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
        }
    }

    pub(crate) fn parse(name: &str) -> Result<Self, OAuthError> {
        Self::ALL
            .into_iter()
            .find(|grant_type| grant_type.name() == name)
            .ok_or_else(OAuthError::unsupported_grant_type)
    }

    /// A client uses the grants that it is registered for; a public one has nothing to prove itself with, so none that
    /// speaks for itself.
    pub(crate) fn allowed(self, client: &Client) -> Result<(), OAuthError> {
        let metadata = client.metadata();
        let known = store::clients::GrantType::parse(self.name());
        let own = matches!(self, Self::ClientCredentials | Self::TokenExchange);
        if known.is_some_and(|known| metadata.may(known)) && !(own && metadata.is_public()) {
            return Ok(());
        }
        Err(OAuthError::unauthorized_client(
            "the client is not registered for this grant type",
        ))
    }

    pub(crate) async fn answer(
        self,
        state: &IdentityState,
        asked: &Asked,
    ) -> Result<TokenAnswer, OAuthError> {
        match self {
            Self::AuthorizationCode => authorization_code::answer(state, asked).await,
            Self::ClientCredentials => client_credentials::answer(state, asked).await,
            Self::DeviceCode => device_code::answer(state, asked).await,
            Self::RefreshToken => refresh_token::answer(state, asked).await,
            Self::TokenExchange => token_exchange::answer(state, asked).await,
        }
    }
}
