//! What tokens come of, so that all of them can be ended at once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{GrantId, SessionId, UserId};

/// Names all tokens of one thing. As text: `client:<client_id>`, `user:<id>`, `subject:<sub>`,
/// `grant:<id>`, `session:<id>`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TokensOf {
    /// Of a client: its `client_id`.
    Client(String),
    /// About a user (`sub`).
    User(UserId),
    /// About a user whom only some clients know by this `sub` (OpenID Connect Core §8.1). Ends with the user's.
    Subject(String),
    /// Of what a user allowed (`grant_id`). Grants end for ever.
    Grant(GrantId),
    /// Of a log-in (`sid`). Sessions end for ever.
    Session(SessionId),
}

/// The text names no tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not client:…, user:…, subject:…, grant:… or session:…")]
pub struct NoTokensOf;

impl fmt::Display for TokensOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(client_id) => write!(f, "client:{client_id}"),
            Self::User(id) => write!(f, "user:{id}"),
            Self::Subject(sub) => write!(f, "subject:{sub}"),
            Self::Grant(id) => write!(f, "grant:{id}"),
            Self::Session(id) => write!(f, "session:{id}"),
        }
    }
}

impl FromStr for TokensOf {
    type Err = NoTokensOf;

    fn from_str(text: &str) -> Result<Self, NoTokensOf> {
        let (kind, rest) = text.split_once(':').ok_or(NoTokensOf)?;
        match kind {
            "client" => Ok(Self::Client(rest.to_owned())),
            "subject" => Ok(Self::Subject(rest.to_owned())),
            "user" => rest.parse().map(Self::User).map_err(|_| NoTokensOf),
            "grant" => rest.parse().map(Self::Grant).map_err(|_| NoTokensOf),
            "session" => rest.parse().map(Self::Session).map_err(|_| NoTokensOf),
            _ => Err(NoTokensOf),
        }
    }
}

impl TokensOf {
    /// Whether what is named may get new tokens after its tokens were ended.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        matches!(self, Self::Client(_) | Self::User(_) | Self::Subject(_))
    }
}

/// What a token can be ended by: made of its claims once, compared often.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenMarks {
    /// Its id.
    pub jti: Box<str>,
    /// The ids of the tokens that it was exchanged for.
    pub from: Box<[Box<str>]>,
    /// What it comes of.
    pub of: Box<[TokensOf]>,
    /// The claim `rev`: the store's revision before it was asked for; 0 where it says none.
    pub revision: u64,
}

impl TokenMarks {
    /// The marks of a token with these claims, and of what it was exchanged for (`from`); `other` are those beside the named ones. A `grant_id` or `sid` of another
    /// form than ours is of another issuer and ends by nothing here.
    #[must_use]
    pub fn of_claims(jti: &str, client_id: &str, sub: &str, other: &Map<String, Value>) -> Self {
        let text = |name: &str| other.get(name).and_then(Value::as_str);
        let from = match other.get("from") {
            Some(Value::Array(from)) => from.as_slice(),
            _ => &[],
        };
        let member = |entry: &Value, name: &str| Some(entry.get(name)?.as_str()?.to_owned());
        let clients = from.iter().filter_map(|entry| member(entry, "client_id"));
        let client = Some(TokensOf::Client(client_id.to_owned()));
        let user = match sub.parse() {
            Ok(user) => Some(TokensOf::User(user)),
            // What is granted and not about one of our ids is about one of pairwise names.
            Err(_) => text("grant_id").map(|_| TokensOf::Subject(sub.to_owned())),
        };
        let grant = text("grant_id").and_then(|id| id.parse().ok());
        let session = text("sid").and_then(|id| id.parse().ok());
        let grant = grant.map(TokensOf::Grant);
        let session = session.map(TokensOf::Session);
        let revision = other.get("rev").and_then(Value::as_u64);
        Self {
            jti: jti.into(),
            of: [client, user, grant, session]
                .into_iter()
                .flatten()
                .chain(clients.map(TokensOf::Client))
                .collect(),
            from: from
                .iter()
                .filter_map(|entry| member(entry, "jti").map(String::into_boxed_str))
                .collect(),
            revision: revision.unwrap_or(0),
        }
    }

    /// The ids whose revocation ends it.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.jti).chain(self.from.iter().map(|id| &**id))
    }

    /// Whether the end of all tokens of `of`, at this revision, is the end of this one, which comes of it. A token that
    /// was asked for before is ended; what goes on may get tokens after.
    #[must_use]
    pub fn ended_by(&self, of: &TokensOf, revision: u64) -> bool {
        !of.goes_on() || self.revision < revision
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_read_back() {
        for of in [
            TokensOf::Client("twc_a:b".to_owned()),
            TokensOf::User(UserId::generate()),
            TokensOf::Subject("a:b".to_owned()),
            TokensOf::Grant(GrantId::generate()),
            TokensOf::Session(SessionId::generate()),
        ] {
            assert_eq!(of.to_string().parse(), Ok(of));
        }
        for text in ["", "client", "user:x", "nobody:1", "grant:", "session:-"] {
            assert_eq!(text.parse::<TokensOf>(), Err(NoTokensOf), "{text}");
        }
    }

    /// A token that was exchanged ends with what it came of.
    #[test]
    fn what_was_exchanged_is_marked_by_what_it_came_of() {
        let from = json!([{ "jti": "b", "client_id": "c2" }, { "jti": "a", "client_id": "c1" }, 7]);
        let other = json!({ "from": from });
        let marks = TokenMarks::of_claims("c", "c3", "app", other.as_object().unwrap());
        assert_eq!(Vec::from_iter(marks.ids()), ["c", "b", "a"]);
        let clients = ["c3", "c2", "c1"].map(|id| TokensOf::Client(id.to_owned()));
        assert_eq!(*marks.of, clients);
    }

    /// Who goes on gets tokens again; grants and sessions are over for ever.
    #[test]
    fn revisions_decide_for_what_goes_on() {
        let (grant, session) = (GrantId::generate(), SessionId::generate());
        let other = json!({ "rev": 7, "grant_id": grant, "sid": session });
        let user = UserId::generate();
        let other = other.as_object().unwrap();
        let marks = TokenMarks::of_claims("j", "c", &user.to_string(), other);
        assert_eq!(marks.of.len(), 4);
        for of in &marks.of {
            assert!(marks.ended_by(of, 8), "{of}: asked for before");
            assert_eq!(
                marks.ended_by(of, 7),
                !of.goes_on(),
                "{of}: asked for after"
            );
        }
        let pairwise = TokenMarks::of_claims("j", "c", "Zm9v", other);
        assert!(pairwise.of.contains(&TokensOf::Subject("Zm9v".to_owned())));
        let old = TokenMarks::of_claims("j", "c", "app", &Map::new());
        assert_eq!(old.of.len(), 1);
        assert!(old.ended_by(&old.of[0], 1), "a token without a revision");
    }
}
