//! What binds a token to a key of its bearer.

use serde_json::{Value, json};

/// What binds a token to a key of its bearer: the claim `cnf` (RFC 7800).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Confirmation {
    /// The thumbprint of a DPoP key: `jkt` (RFC 9449 §6.1).
    Key(String),
    /// The SHA-256 thumbprint of a TLS client certificate, base64url: `x5t#S256` (RFC 8705 §3.1).
    Certificate(String),
}

impl Confirmation {
    /// The value of the claim.
    #[must_use]
    pub fn to_claim(&self) -> Value {
        match self {
            Self::Key(thumbprint) => json!({ "jkt": thumbprint }),
            Self::Certificate(thumbprint) => json!({ "x5t#S256": thumbprint }),
        }
    }

    /// Reads the claim; `None` for what is not known here, which must refuse the token.
    #[must_use]
    pub fn from_claim(claim: &Value) -> Option<Self> {
        let members = claim.as_object().filter(|members| members.len() == 1)?;
        let text = |name: &str| members.get(name)?.as_str().map(str::to_owned);
        text("jkt")
            .map(Self::Key)
            .or_else(|| text("x5t#S256").map(Self::Certificate))
    }
}
