//! What calls are counted under.

use std::fmt;
use std::str::FromStr;

use base::Org;
use serde::{Deserialize, Serialize};

/// [`Key::api`] of calls that match no API. They belong to the organisation `default`.
pub const NO_API: &str = "-";

/// Operation, application and plan of calls that came when a core held as many rows as it may.
pub const OVERFLOW: &str = "overflow";

/// What calls are counted under.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// The API's organisation.
    pub org: Org,
    /// The environment of the node's gateway; empty before the node has its configuration.
    pub environment: String,
    /// The API's document name, or [`NO_API`].
    pub api: String,
    /// The operation's label; empty where the path or the method is none of the API's.
    pub operation: String,
    /// The application's id; empty where nobody was authenticated.
    pub application: String,
    /// The plan's document name; empty where no subscription was found.
    pub plan: String,
    /// The class of the answer's status.
    pub status: StatusClass,
}

impl Key {
    /// Where calls of this key are counted when there is no room for a row of their own. There are as many of these
    /// as APIs and status classes, which no caller can make more of.
    #[must_use]
    pub fn overflow(&self) -> Self {
        Self {
            operation: OVERFLOW.to_owned(),
            application: OVERFLOW.to_owned(),
            plan: OVERFLOW.to_owned(),
            ..self.clone()
        }
    }
}

/// The first digit of a status; 0 = the client went away before the answer's head.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct StatusClass(u8);

impl StatusClass {
    /// The client went away before the answer's head.
    pub const NONE: Self = Self(0);

    /// The class of a status; what is no HTTP status counts as 5xx.
    #[must_use]
    pub fn of(status: u16) -> Self {
        match status / 100 {
            1 => Self(1),
            2 => Self(2),
            3 => Self(3),
            4 => Self(4),
            _ => Self(5),
        }
    }

    /// The digit.
    #[must_use]
    pub fn digit(self) -> u8 {
        self.0
    }

    /// The class with this digit, 0 to 5.
    #[must_use]
    pub fn from_digit(digit: u8) -> Option<Self> {
        (digit <= 5).then_some(Self(digit))
    }
}

impl fmt::Display for StatusClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("none"),
            digit => write!(f, "{digit}xx"),
        }
    }
}

/// A text that is no status class.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no class of statuses; they are 1xx, 2xx, 3xx, 4xx, 5xx and none")]
pub struct StatusClassError(String);

impl FromStr for StatusClass {
    type Err = StatusClassError;

    fn from_str(text: &str) -> Result<Self, StatusClassError> {
        (0..=5)
            .map(Self)
            .find(|class| class.to_string() == text)
            .ok_or_else(|| StatusClassError(text.to_owned()))
    }
}

impl TryFrom<String> for StatusClass {
    type Error = StatusClassError;

    fn try_from(text: String) -> Result<Self, StatusClassError> {
        text.parse()
    }
}

impl From<StatusClass> for String {
    fn from(class: StatusClass) -> Self {
        class.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_written_and_read() {
        for (status, text) in [
            (101, "1xx"),
            (204, "2xx"),
            (499, "4xx"),
            (599, "5xx"),
            (999, "5xx"),
        ] {
            assert_eq!(StatusClass::of(status).to_string(), text);
            assert_eq!(
                text.parse::<StatusClass>().unwrap(),
                StatusClass::of(status)
            );
        }
        assert_eq!("none".parse::<StatusClass>().unwrap(), StatusClass::NONE);
        assert!("6xx".parse::<StatusClass>().is_err());
        assert!("200".parse::<StatusClass>().is_err());
    }
}
