//! Revisions of an API: what of its document they hold, and how a document names one.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use base::Digest;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use crate::api::{ApiSpec, Deployment};
use crate::document::{Document, Spec};

/// The members of an API's `spec` that say where it runs and whether, not what it is. No revision holds them.
const PLACING: [&str; 3] = ["deployments", "lifecycle", "sunset"];

/// Which revision of an API a gateway serves.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum RevisionRef {
    /// The newest, whatever it is.
    #[default]
    Latest,
    /// The one with this number, from 1.
    Number(u64),
}

impl RevisionRef {
    /// Whether it is the newest.
    #[must_use]
    pub fn is_latest(&self) -> bool {
        *self == Self::Latest
    }

    /// The number, where it is one.
    #[must_use]
    pub fn number(self) -> Option<u64> {
        match self {
            Self::Latest => None,
            Self::Number(number) => Some(number),
        }
    }
}

const LATEST: &str = "latest";

impl fmt::Display for RevisionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str(LATEST),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// A text names no revision.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no revision: write a number from 1 on, or `latest`")]
pub struct NoRevision(String);

impl FromStr for RevisionRef {
    type Err = NoRevision;
    fn from_str(text: &str) -> Result<Self, NoRevision> {
        if text == LATEST {
            return Ok(Self::Latest);
        }
        match text.parse() {
            Ok(number) if number > 0 => Ok(Self::Number(number)),
            _ => Err(NoRevision(text.to_owned())),
        }
    }
}

impl Serialize for RevisionRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Latest => serializer.serialize_str(LATEST),
            Self::Number(number) => serializer.serialize_u64(*number),
        }
    }
}

impl<'de> Deserialize<'de> for RevisionRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Value::deserialize(deserializer)? {
            Value::String(text) if text == LATEST => text,
            // A number in quotes keeps them, and is none.
            other => other.to_string(),
        };
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for RevisionRef {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "RevisionRef".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [
            {"type": "string", "enum": [LATEST]},
            {"type": "integer", "minimum": 1},
        ]})
    }
}

/// What a revision holds of an API's document: all but where it runs and whether.
#[must_use]
pub fn content(document: &Document) -> Value {
    let mut value = document.to_json();
    if let Some(spec) = value["spec"].as_object_mut() {
        spec.retain(|key, _| !PLACING.contains(&key.as_str()));
    }
    value
}

/// The digest of a revision: of the [`content`] of the document and of its definition's blob.
#[must_use]
pub fn content_digest(content: &Value, blob: Option<&Digest>) -> Digest {
    let mut sorted = content.clone();
    sorted.sort_all_objects();
    let own = Digest::of(sorted.to_string().as_bytes());
    match blob {
        None => own,
        Some(blob) => Digest::of_list(&[own.as_bytes(), blob.as_bytes()]),
    }
}

impl Document {
    /// The document of a revision as `deployment` serves it: with the life cycle that `now` has, on that gateway.
    #[must_use]
    pub fn placed(mut self, now: &ApiSpec, deployment: &Deployment) -> Self {
        if let Spec::Api(api) = &mut self.spec {
            api.lifecycle = now.lifecycle;
            api.sunset = now.sunset;
            api.deployments = vec![deployment.clone()];
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(spec: &Value) -> Document {
        let mut value = json!({"kind": "Api", "spec": {
            "name": "pets", "version": "1.0.0", "context": "/pets", "definition": {"file": "pets.yaml"},
        }});
        for (key, member) in spec.as_object().unwrap() {
            value["spec"][key] = member.clone();
        }
        crate::from_json(value).unwrap()
    }

    fn digest(document: &Document) -> Digest {
        content_digest(&content(document), None)
    }

    #[test]
    fn placing_an_api_makes_no_other_content() {
        let plain = document(&json!({}));
        let placed = document(&json!({
            "lifecycle": "Deprecated", "sunset": "2027-06-30",
            "deployments": [{"gateway": "edge", "revision": 3}, {"gateway": "default", "revision": "latest"}],
        }));
        assert_eq!(digest(&plain), digest(&placed));
        for other in [
            json!({"plans": ["Gold"]}),
            json!({"x-note": 1}),
            json!({"context": "/p"}),
        ] {
            assert_ne!(digest(&plain), digest(&document(&other)));
        }
        let blob = Digest::of(b"x");
        assert_ne!(
            content_digest(&content(&plain), Some(&blob)),
            digest(&plain)
        );
    }

    /// Migration `m0002_revisions` made the same digest of the same content; its test has the same constant.
    #[test]
    fn digests_are_stable() {
        let content = json!({"kind": "Api", "spec": {"version": "1.0.0", "name": "pets"}});
        assert_eq!(
            content_digest(&content, Some(&Digest::of(b"openapi: 3.0.3"))).to_string(),
            "8e8783b2548051a33a9853699a09654ac5d5340e78ccc1814e4a2eb25ca7e3fd"
        );
    }

    #[test]
    fn a_content_reads_back_and_is_placed() {
        let then = document(&json!({"plans": ["Gold"]}));
        let now = document(
            &json!({"lifecycle": "Published", "deployments": [{"gateway": "edge", "revision": 1}]}),
        );
        let api = now.as_api().unwrap();
        let read = crate::from_json(content(&then)).unwrap();
        let placed = read.placed(api, &api.deployments[0]);
        let placed = placed.as_api().unwrap();
        assert_eq!(placed.plans, ["Gold"]);
        assert_eq!(placed.lifecycle, api.lifecycle);
        assert_eq!(placed.deployments, api.deployments);
    }

    #[test]
    fn revisions_are_numbers_or_latest() {
        for (value, expected) in [
            (json!("latest"), Some(RevisionRef::Latest)),
            (json!(7), Some(RevisionRef::Number(7))),
            (json!("7"), None),
            (json!(0), None),
            (json!("newest"), None),
            (json!(1.5), None),
        ] {
            let read = serde_json::from_value::<RevisionRef>(value.clone()).ok();
            assert_eq!(read, expected, "{value}");
        }
        assert_eq!("7".parse(), Ok(RevisionRef::Number(7)));
        assert!("0".parse::<RevisionRef>().is_err());
        // The default is left out, so that digests of documents from before revisions stay.
        let api = document(
            &json!({"deployments": [{"gateway": "a", "revision": "latest"}, {"gateway": "b", "revision": 2}]}),
        );
        assert_eq!(
            api.to_json()["spec"]["deployments"],
            json!([{"gateway": "a"}, {"gateway": "b", "revision": 2}])
        );
    }
}
