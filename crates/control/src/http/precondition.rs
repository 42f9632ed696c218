//! `If-Match` and `If-None-Match` (RFC 9110 §13.1): writers say which revision they know.

use axum::extract::FromRequestParts;
use base::code;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{ApiError, ApiResult};

/// What the caller believes about the object.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Precondition {
    /// It is at one of these revisions.
    matches: Option<Tags>,
    /// It is at none of these.
    none_matches: Option<Tags>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Tags {
    Any,
    Revisions(Vec<u64>),
}

impl Tags {
    fn hold(&self, present: Option<u64>) -> bool {
        match (self, present) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Revisions(list), Some(revision)) => list.contains(&revision),
        }
    }
}

impl Precondition {
    /// Refuses when the object is not as believed; `present` is its revision, `None` when it is not there.
    pub(crate) fn check(&self, present: Option<u64>) -> ApiResult<()> {
        let detail = match present {
            Some(revision) => format!("the object is at revision {revision}"),
            None => "the object does not exist".to_owned(),
        };
        let refused = self
            .matches
            .as_ref()
            .is_some_and(|tags| !tags.hold(present))
            || self
                .none_matches
                .as_ref()
                .is_some_and(|tags| tags.hold(present));
        if refused {
            return Err(ApiError::new(code::REVISION_CONFLICT, detail));
        }
        Ok(())
    }

    /// [`Precondition::check`] for readers: what they have already is no refusal.
    pub(crate) fn check_read(&self, present: u64) -> ApiResult<()> {
        let matches = self.matches.clone();
        let none_matches = None;
        Self {
            matches,
            none_matches,
        }
        .check(Some(present))
    }

    /// Whether a reader has this revision already.
    pub(crate) fn is_fresh(&self, present: u64) -> bool {
        self.none_matches
            .as_ref()
            .is_some_and(|tags| tags.hold(Some(present)))
    }
}

/// The `ETag` of a revision.
pub(crate) fn etag(revision: u64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{revision}\"")).expect("digits and quotes are a header value")
}

impl<S: Sync> FromRequestParts<S> for Precondition {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> ApiResult<Self> {
        Ok(Self {
            matches: tags(&parts.headers, &header::IF_MATCH)?,
            none_matches: tags(&parts.headers, &header::IF_NONE_MATCH)?,
        })
    }
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> ApiResult<Option<Tags>> {
    let mut revisions = None;
    for value in headers.get_all(name) {
        for tag in value.to_str().unwrap_or("?").split(',').map(str::trim) {
            if tag == "*" {
                return Ok(Some(Tags::Any));
            }
            let revision = tag
                .strip_prefix('"')
                .and_then(|tag| tag.strip_suffix('"'))
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(|| {
                    ApiError::bad_request(format!(
                        "`{name}` takes `*` or entity tags that this API gave, such as \"17\""
                    ))
                })?;
            revisions.get_or_insert_with(Vec::new).push(revision);
        }
    }
    Ok(revisions.map(Tags::Revisions))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &HeaderName, value: &str) -> ApiResult<Option<Tags>> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        tags(&headers, name)
    }

    #[test]
    fn conditions_are_checked() {
        let matches = |value| Precondition {
            matches: read(&header::IF_MATCH, value).unwrap(),
            none_matches: None,
        };
        assert!(matches("\"5\"").check(Some(5)).is_ok());
        assert!(matches("\"4\", \"5\"").check(Some(5)).is_ok());
        assert!(matches("\"4\"").check(Some(5)).is_err());
        assert!(matches("*").check(Some(5)).is_ok());
        assert!(matches("*").check(None).is_err());
        let absent = Precondition {
            matches: None,
            none_matches: Some(Tags::Any),
        };
        assert!(absent.check(None).is_ok());
        let error = absent.check(Some(5)).unwrap_err();
        assert_eq!(error.problem().code, "REVISION_CONFLICT");
        assert!(absent.is_fresh(5));
        assert!(!Precondition::default().is_fresh(5));
    }

    #[test]
    fn tags_of_somebody_else_are_refused() {
        for value in ["5", "W/\"5\"", "\"x\"", ""] {
            assert!(read(&header::IF_MATCH, value).is_err(), "{value}");
        }
    }
}
