//! The states of an API's life and the ways between them.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where an API stands in its life.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum Lifecycle {
    /// Being made: calls answer 404.
    #[default]
    Created,
    /// Served without subscriptions, for early feedback.
    Prototyped,
    /// Served.
    Published,
    /// Stopped for the time being: calls answer 503.
    Blocked,
    /// Served, takes no new subscription, and says so in its answers.
    Deprecated,
    /// Gone for good: calls answer 410.
    Retired,
}

/// The text names no state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "unknown lifecycle state; known are Created, Prototyped, Published, Blocked, Deprecated, Retired"
)]
pub struct UnknownState;

impl Lifecycle {
    /// All states.
    pub const ALL: [Self; 6] = [
        Self::Created,
        Self::Prototyped,
        Self::Published,
        Self::Blocked,
        Self::Deprecated,
        Self::Retired,
    ];

    /// As documents write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::Prototyped => "Prototyped",
            Self::Published => "Published",
            Self::Blocked => "Blocked",
            Self::Deprecated => "Deprecated",
            Self::Retired => "Retired",
        }
    }

    /// The states that a change of state may go to. Source: the life cycle of WSO2 API Manager.
    #[must_use]
    pub const fn transitions(self) -> &'static [Self] {
        match self {
            Self::Created => &[Self::Prototyped, Self::Published],
            Self::Prototyped => &[Self::Created, Self::Published],
            Self::Published => &[Self::Prototyped, Self::Blocked, Self::Deprecated],
            Self::Blocked => &[Self::Published, Self::Deprecated],
            Self::Deprecated => &[Self::Retired],
            Self::Retired => &[],
        }
    }

    /// Whether a change of state may go there.
    #[must_use]
    pub fn can_become(self, next: Self) -> bool {
        self.transitions().contains(&next)
    }

    /// Whether calls are served.
    #[must_use]
    pub const fn serves(self) -> bool {
        matches!(self, Self::Prototyped | Self::Published | Self::Deprecated)
    }

    /// Whether new subscriptions are taken. Prototyped needs none.
    #[must_use]
    pub const fn takes_subscriptions(self) -> bool {
        matches!(self, Self::Published)
    }
}

impl fmt::Display for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads a state in any case, as people type it.
impl FromStr for Lifecycle {
    type Err = UnknownState;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str().eq_ignore_ascii_case(text))
            .ok_or(UnknownState)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_transitions() {
        use Lifecycle::{Blocked, Created, Deprecated, Prototyped, Published, Retired};
        let allowed = [
            (Created, Prototyped),
            (Created, Published),
            (Prototyped, Created),
            (Prototyped, Published),
            (Published, Prototyped),
            (Published, Blocked),
            (Published, Deprecated),
            (Blocked, Published),
            (Blocked, Deprecated),
            (Deprecated, Retired),
        ];
        for from in Lifecycle::ALL {
            for to in Lifecycle::ALL {
                assert_eq!(
                    from.can_become(to),
                    allowed.contains(&(from, to)),
                    "{from} to {to}"
                );
            }
        }
    }

    #[test]
    fn names_are_read_in_any_case() {
        for state in Lifecycle::ALL {
            assert_eq!(state.as_str().to_lowercase().parse(), Ok(state));
        }
        assert_eq!("gone".parse::<Lifecycle>(), Err(UnknownState));
    }
}
