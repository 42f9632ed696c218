//! The kinds of documents.

use std::fmt;
use std::str::FromStr;

/// What a document describes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// One version of an API.
    Api,
    /// Where calls go.
    Backend,
    /// What a subscription allows.
    Plan,
    /// A group of nodes that serve the same APIs.
    Gateway,
    /// Who subscribes and holds credentials.
    Application,
    /// An application may call an API under a plan.
    Subscription,
    /// Refuses callers.
    DenyRule,
    /// Somebody else whose tokens APIs may accept.
    TokenIssuer,
}

/// The text names no kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown kind")]
pub struct UnknownKind;

impl Kind {
    /// All kinds; those that others refer to come first. (An issuer may refer to an application, which is looked for by name.)
    pub const ALL: [Self; 8] = [
        Self::Gateway,
        Self::Plan,
        Self::Backend,
        Self::TokenIssuer,
        Self::Api,
        Self::Application,
        Self::Subscription,
        Self::DenyRule,
    ];

    /// As documents write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "Api",
            Self::Backend => "Backend",
            Self::Plan => "Plan",
            Self::Gateway => "Gateway",
            Self::Application => "Application",
            Self::Subscription => "Subscription",
            Self::DenyRule => "DenyRule",
            Self::TokenIssuer => "TokenIssuer",
        }
    }

    /// As REST paths write it: lower case, plural.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Api => "apis",
            Self::Backend => "backends",
            Self::Plan => "plans",
            Self::Gateway => "gateways",
            Self::Application => "applications",
            Self::Subscription => "subscriptions",
            Self::DenyRule => "deny-rules",
            Self::TokenIssuer => "token-issuers",
        }
    }

    /// The kind with this segment of REST paths.
    #[must_use]
    pub fn from_plural(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.plural() == text)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads a kind as documents write it.
impl FromStr for Kind {
    type Err = UnknownKind;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(UnknownKind)
    }
}
