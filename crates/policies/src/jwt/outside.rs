//! Tokens of issuers outside of the platform: what they say, in our words.

use std::rc::Rc;
use std::sync::Arc;

use base::{Environment, TokenMarks};
use expr::{Attribute, Attributes};
use jose::{Claims, Expectation, JoseError};
use policy::{Directory, Identity, Introspected, Issuer, Outside, Principal, TokenInUse};
use serde_json::{Map, Value};
use sync::issuer::Application;

use super::unknown::{Answer, Question};
use super::verify::confirmation;
use super::{Refusal, Running, fact};
use crate::token_cache::Entry;

/// The most scopes or roles that are read of a token.
const LIST_MAX: usize = 1000;
/// How deep a claim may stand in others.
const DEPTH_MAX: usize = 8;

impl Running {
    /// Who is asked what this token stands for; `None` for one that is judged by its signature.
    pub(super) fn introspector(
        &self,
        token: &str,
        directory: &dyn Directory,
    ) -> Option<(Arc<Issuer>, Arc<Outside>)> {
        let is_jwt = is_jwt(token);
        let asked = |issuer: &Arc<Issuer>| {
            let outside = issuer.outside.as_ref()?;
            let asked = outside.introspects(is_jwt);
            asked.then(|| (Arc::clone(issuer), Arc::clone(outside)))
        };
        let mut all = self.issuers.iter();
        // Most APIs have none.
        all.find(|name| {
            let issuer = directory.issuer(&self.org, name);
            issuer.is_some_and(|issuer| asked(&issuer).is_some())
        })?;
        if is_jwt {
            return self.candidates(token, directory).iter().find_map(asked);
        }
        let names = self.issuers.iter();
        let mut issuers = names.filter_map(|name| directory.issuer(&self.org, name));
        issuers.find_map(|issuer| asked(&issuer))
    }

    /// What the issuer says that a token stands for, held to the same rules as if it were signed.
    pub(super) fn introspect(
        &self,
        (issuer, outside): (Arc<Issuer>, &Outside),
        token: &str,
        directory: &dyn Directory,
        now_unix_s: u64,
        answer: Option<Answer>,
    ) -> Result<Entry, Refusal> {
        if token.len() > self.token_bytes_max {
            let (bytes, bytes_max) = (token.len(), self.token_bytes_max);
            return Err(JoseError::TooLong { bytes, bytes_max }.into());
        }
        let version = directory.version();
        let said = match answer {
            None => {
                let (org, name) = (self.org.clone(), issuer.name.clone());
                return Err(Refusal::Unknown(Question::Introspect(
                    org,
                    name,
                    token.into(),
                )));
            }
            Some(Answer::Introspected(Ok(Some(said)))) => Arc::unwrap_or_clone(said),
            Some(Answer::Introspected(Err(reason))) => return Err(Refusal::IssuerSilent(reason)),
            Some(_) => {
                let detail = "the issuer does not know the token (any more)".to_owned();
                return Err(Refusal::Unusable("token-unknown", detail));
            }
        };
        let claims = Claims::outside(said.claims.clone())?;
        claims.accept(&self.expectation_of_claims(&issuer), now_unix_s)?;
        self.outside_entry((issuer, outside), None, &claims, said, directory, version)
    }

    /// Without the rules of RFC 9068 for what an access token holds.
    fn expectation_of_claims(&self, issuer: &Issuer) -> Expectation {
        Expectation {
            typ: "JWT".to_owned(),
            ..self.expectation(issuer)
        }
    }

    /// What a token of this issuer stands for that was verified, or that the issuer vouches for.
    pub(super) fn outside_entry(
        &self,
        (issuer, outside): (Arc<Issuer>, &Outside),
        kid: Option<Box<str>>,
        claims: &Claims,
        introspected: Introspected,
        directory: &dyn Directory,
        version: u64,
    ) -> Result<Entry, Refusal> {
        let Introspected {
            claims: all,
            good_until_unix_ms,
        } = introspected;
        let identity = identity(outside, all);
        for condition in &outside.require {
            // What it looks at and is not there makes it fail.
            if !condition.holds(&OfToken(&identity)).unwrap_or(false) {
                return Err(Refusal::Condition(condition.source().to_owned()));
            }
        }
        let confirmation = confirmation(identity.claims.get("cnf"))?;
        let client_id: Box<str> = find_any(&identity.claims, &outside.model.claims.client)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .into();
        // Revocations are of the platform's own tokens, whose ids another issuer may use for its own.
        let token = Arc::new(TokenInUse {
            marks: TokenMarks {
                jti: Box::default(),
                from: Box::default(),
                of: Box::default(),
                revision: 0,
            },
            ends_unix_s: claims.exp,
        });
        let principal = self.outside_principal(&issuer, outside, &client_id, directory)?;
        let (nbf, iat) = (claims.nbf.unwrap_or(0), claims.iat.unwrap_or(0));
        Ok(Entry {
            org: self.org.clone(),
            kid,
            audience: claims.aud.clone().into(),
            ends_unix_s: claims.exp,
            begins_unix_s: if nbf >= iat {
                ("nbf", nbf)
            } else {
                ("iat", iat)
            },
            confirmation,
            client_id,
            principal: Rc::new(Principal {
                identity: Arc::new(identity),
                token: Some(Arc::clone(&token)),
                ..principal
            }),
            token,
            version,
            good_until_unix_ms,
            issuer,
        })
    }

    /// Who calls with a token of this client.
    pub(super) fn outside_principal(
        &self,
        issuer: &Issuer,
        outside: &Outside,
        client_id: &str,
        directory: &dyn Directory,
    ) -> Result<Principal, Refusal> {
        let (application, credential, environment) = match &outside.model.application {
            Some(Application::Is(id)) => (*id, None, Environment::Production),
            Some(Application::Gone) => {
                let fact = fact(
                    "application",
                    "",
                    "the one that the issuer's document names",
                );
                let detail =
                    "the application of all tokens of this issuer does not exist (any more)";
                return Err(Refusal::Revoked(detail, fact));
            }
            None => {
                let found = directory.outside_client(&self.org, &issuer.name, client_id);
                let unknown = || Refusal::UnknownClient {
                    client_id: client_id.chars().take(256).collect(),
                    issuer: issuer.name.clone(),
                };
                let client = found.ok_or_else(unknown)?;
                let credential = Some(client.credential);
                (client.application, credential, client.environment)
            }
        };
        Ok(Principal {
            org: self.org.clone(),
            application: Some(application),
            credential,
            key: None,
            environment,
            identity: Arc::default(),
            limits: None,
            token: None,
        })
    }
}

fn identity(outside: &Outside, claims: Map<String, Value>) -> Identity {
    let paths = &outside.model.claims;
    let subject = find_any(&claims, &paths.subject).and_then(Value::as_str);
    Identity {
        subject: subject.filter(|text| !text.is_empty()).map(str::to_owned),
        scopes: Some(texts(find_any(&claims, &paths.scopes))),
        roles: texts(find_any(&claims, &paths.roles)),
        claims,
    }
}

/// The first of these claims that is there.
fn find_any<'c>(claims: &'c Map<String, Value>, paths: &[String]) -> Option<&'c Value> {
    paths.iter().find_map(|path| find(claims, path, DEPTH_MAX))
}

/// A claim by its name; one inside others by their names with dots between them. Names may hold dots themselves
/// (`https://example.com/roles`): the longest that is there is taken.
fn find<'c>(members: &'c Map<String, Value>, path: &str, depth: usize) -> Option<&'c Value> {
    if let Some(value) = members.get(path) {
        return Some(value);
    }
    let depth = depth.checked_sub(1)?;
    let mut dots = path.rmatch_indices('.');
    dots.find_map(|(at, _)| {
        let inner = members.get(&path[..at])?.as_object()?;
        find(inner, &path[at + 1..], depth)
    })
}

/// A list of texts, or one text with blanks between them.
fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => text
            .split_ascii_whitespace()
            .take(LIST_MAX)
            .map(str::to_owned)
            .collect(),
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(Value::as_str)
            .take(LIST_MAX)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

/// A token, as conditions of its issuer see it: they know no request.
struct OfToken<'i>(&'i Identity);

impl Attributes for OfToken<'_> {
    fn value(&self, attribute: &Attribute) -> Option<expr::Value<'_>> {
        let identity = self.0;
        Some(match attribute {
            Attribute::Subject => identity.subject.as_deref()?.into(),
            Attribute::Scopes => expr::Value::Texts(identity.scopes.as_deref()?),
            Attribute::Roles => expr::Value::Texts(&identity.roles),
            Attribute::Claim(name) => expr::Value::Json(identity.claims.get(name)?),
            _ => return None,
        })
    }
}

/// Whether a text has the form of a compact JWS.
pub(super) fn is_jwt(token: &str) -> bool {
    token.bytes().filter(|byte| *byte == b'.').count() == 2
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(claims: &Value, path: &str) -> Option<Value> {
        find(claims.as_object().unwrap(), path, DEPTH_MAX).cloned()
    }

    #[test]
    fn claims_are_found_by_names_and_dots() {
        let claims = json!({
            "scope": "a b", "realm_access": {"roles": ["x"]}, "https://a.example/roles": ["y"],
            "resource_access": {"my.client": {"roles": ["z"]}},
        });
        assert_eq!(found(&claims, "scope"), Some(json!("a b")));
        assert_eq!(found(&claims, "realm_access.roles"), Some(json!(["x"])));
        assert_eq!(
            found(&claims, "https://a.example/roles"),
            Some(json!(["y"]))
        );
        let nested = "resource_access.my.client.roles";
        assert_eq!(found(&claims, nested), Some(json!(["z"])));
        for path in [
            "",
            ".",
            "realm_access",
            "realm_access.role",
            "scope.a",
            "a.b.c.d.e.f.g.h.i.j",
        ] {
            let expected = (path == "realm_access").then(|| claims["realm_access"].clone());
            assert_eq!(found(&claims, path), expected, "{path}");
        }
    }

    #[test]
    fn lists_are_texts_or_arrays() {
        assert_eq!(texts(Some(&json!(" a  b "))), ["a", "b"]);
        assert_eq!(texts(Some(&json!(["a b", 7, "c"]))), ["a b", "c"]);
        for value in [
            None,
            Some(&json!(7)),
            Some(&json!({"a": 1})),
            Some(&json!(null)),
        ] {
            assert_eq!(texts(value), [""; 0]);
        }
    }
}
