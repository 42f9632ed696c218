//! Parameters of an authorization request, from a query, a form, or what was pushed.

use serde_json::{Value, json};

use crate::form::{Form, decode};
use crate::oauth::OAuthError;

/// The parameters by name; only `resource` may come several times (RFC 8707 §2).
pub(crate) struct Parameters {
    form: Form,
    resources: Vec<String>,
    text: String,
}

impl Parameters {
    /// Reads a query or a form.
    ///
    /// # Errors
    /// `invalid_request` for what is malformed or comes twice.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, OAuthError> {
        let mut resources = Vec::new();
        let mut rest = Vec::with_capacity(text.len());
        for pair in text.split(|byte| *byte == b'&') {
            let mut sides = pair.splitn(2, |byte| *byte == b'=');
            let name = sides.next().unwrap_or_default();
            let is_resource = decode(name).as_deref() == Some("resource");
            let value = decode(sides.next().unwrap_or_default());
            // A malformed one goes on to the form's reader, which refuses it.
            if let (true, Some(value)) = (is_resource, value) {
                resources.extend(Some(value).filter(|value| !value.is_empty()));
            } else {
                rest.extend_from_slice(pair);
                rest.push(b'&');
            }
        }
        Ok(Self {
            form: Form::parse(&rest)?,
            resources,
            text: String::from_utf8_lossy(text).into_owned(),
        })
    }

    /// The value of a parameter that is there and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.form.get(name)
    }

    /// The values of `resource`.
    pub(crate) fn resources(&self) -> &[String] {
        &self.resources
    }

    /// The same with a parameter that was not there.
    ///
    /// # Errors
    /// `invalid_request` when it was.
    pub(crate) fn with(&self, name: &str, value: &str) -> Result<Self, OAuthError> {
        let own = form_urlencoded::Serializer::new(String::new())
            .append_pair(name, value)
            .finish();
        Self::parse(format!("{}&{own}", self.text).as_bytes())
    }

    /// How a pushed request is kept.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "query": self.text })
    }

    /// What [`Parameters::to_json`] wrote.
    pub(crate) fn from_json(kept: &Value) -> Option<Self> {
        Self::parse(kept.get("query")?.as_str()?.as_bytes()).ok()
    }
}
