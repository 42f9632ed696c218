//! Parameters of the OAuth endpoints: `application/x-www-form-urlencoded`, read strictly.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::client::ClientCertificate;
use crate::oauth::OAuthError;

/// A request to an OAuth endpoint. No `Debug`: it holds secrets.
pub(crate) struct OAuthRequest {
    pub(crate) headers: HeaderMap,
    pub(crate) form: Form,
    /// What the form was read from.
    pub(crate) body: Bytes,
    /// The path that it was sent to.
    pub(crate) path: String,
    /// What the connection showed.
    pub(crate) certificate: Option<ClientCertificate>,
}

/// The parameters by name. Those without a value count as absent (RFC 6749 §3.2).
pub(crate) struct Form(BTreeMap<String, Vec<String>>);

/// What may come several times (RFC 8707 §2, RFC 8693 §2.1).
const SEVERAL: [&str; 2] = ["resource", "audience"];

impl Form {
    /// The value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .and_then(|values| values.first())
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// All values of a parameter that may come several times.
    pub(crate) fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The value of a parameter that has to be there.
    pub(crate) fn require(&self, name: &str) -> Result<&str, OAuthError> {
        self.get(name)
            .ok_or_else(|| OAuthError::invalid_request(&format!("the parameter {name} is missing")))
    }

    /// Reads a body.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, OAuthError> {
        let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in body
            .split(|byte| *byte == b'&')
            .filter(|pair| !pair.is_empty())
        {
            let mut sides = pair.splitn(2, |byte| *byte == b'=');
            let name = decode(sides.next().unwrap_or_default());
            let value = decode(sides.next().unwrap_or_default());
            let (Some(name), Some(value)) = (name, value) else {
                return Err(OAuthError::invalid_request(
                    "the form holds a malformed percent-encoding or is not UTF-8",
                ));
            };
            // Which of two values counts would be a guess, and guesses differ.
            let may_repeat = SEVERAL.contains(&name.as_str());
            let values = parameters.entry(name).or_default();
            if may_repeat && value.is_empty() {
                continue;
            }
            values.push(value);
            if values.len() > 1 && !may_repeat {
                return Err(OAuthError::invalid_request(
                    "a parameter occurs more than once",
                ));
            }
        }
        Ok(Self(parameters))
    }
}

impl<S: Send + Sync> FromRequest<S> for OAuthRequest {
    type Rejection = OAuthError;

    async fn from_request(request: Request, state: &S) -> Result<Self, OAuthError> {
        if request.uri().query().is_some() {
            return Err(OAuthError::invalid_request(
                "parameters belong in the body: URLs end up in logs",
            ));
        }
        let path = request.uri().path().to_owned();
        let certificate = request.extensions().get().cloned();
        let headers = request.headers().clone();
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| OAuthError::too_large(rejection.status()))?;
        if !is_form(&headers) {
            return Err(OAuthError::invalid_request(
                "the content type has to be application/x-www-form-urlencoded",
            ));
        }
        let form = Form::parse(&body)?;
        Ok(Self {
            headers,
            form,
            body,
            path,
            certificate,
        })
    }
}

/// Whether a body says that it is a form.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|found| {
            found
                .trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        })
}

/// Decodes `application/x-www-form-urlencoded` text; `None` when an escape is malformed or the result is not UTF-8.
pub(crate) fn decode(text: &[u8]) -> Option<String> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => digit(rest.next()?)? << 4 | digit(rest.next()?)?,
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_plus_and_escapes_and_refuses_what_is_malformed() {
        for (text, decoded) in [
            ("a+b%20c%2B%c3%a9", Some("a b c+\u{e9}")),
            ("", Some("")),
            ("%", None),
            ("%4", None),
            ("%zz", None),
            ("%+1", None),
            ("%ff", None),
        ] {
            assert_eq!(decode(text.as_bytes()).as_deref(), decoded, "{text}");
        }
    }

    #[test]
    fn empty_parameters_are_absent_and_double_ones_refused() {
        let form = Form::parse(b"a=1&b=&c&&d=x=y").unwrap();
        assert_eq!(form.get("a"), Some("1"));
        assert_eq!((form.get("b"), form.get("c")), (None, None));
        assert_eq!(form.get("d"), Some("x=y"));
        assert!(form.require("e").is_err());
        let several = Form::parse(b"resource=a&resource=&resource=b").unwrap();
        assert_eq!(several.all("resource"), ["a", "b"]);
        assert!(several.all("audience").is_empty());
        for double in ["a=1&a=1", "a=1&%61=2", "a=&a=1", "a&a"] {
            assert!(Form::parse(double.as_bytes()).is_err(), "{double}");
        }
    }
}
