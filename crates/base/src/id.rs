//! Ids: one type for each thing, so that they cannot be mixed up.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta] $name:ident),+ $(,)?) => {$(
        #[$doc]
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id; ids made later sort later (UUID version 7).
            #[must_use]
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )+};
}

uuid_id! {
    /// An application: what a developer registers, and what subscribes.
    ApplicationId,
    /// A subscription of an application to an API.
    SubscriptionId,
    /// A credential of an application: an OAuth client or an API key.
    CredentialId,
    /// One of the secrets of a credential.
    SecretId,
    /// A token that clients may be registered with.
    RegistrationTokenId,
    /// A user of the platform.
    UserId,
    /// What a user allowed a client, once: all tokens that come of it carry its id.
    GrantId,
    /// A log-in of a user at the authorization server. It is public (`sid`) and no secret: the cookie is another value.
    SessionId,
}

/// The name of an organisation; every row and document belongs to one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Org(Arc<str>);

impl Org {
    /// The name of the organisation that the first start creates.
    pub const DEFAULT: &'static str = "default";

    /// The organisation with this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The organisation that the first start creates.
    #[must_use]
    pub fn default_org() -> Self {
        Self::new(Self::DEFAULT)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Org {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
