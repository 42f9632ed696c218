//! What changed between two documents.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::Document;

/// One place that differs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// Where: a JSON pointer.
    pub pointer: String,
    /// What stood there; absent = nothing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<Value>,
    /// What stands there; absent = nothing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<Value>,
}

/// The places in which two documents differ, defaults filled. Lists of the same length differ by item, others as a
/// whole. Nothing when the digests are equal.
#[must_use]
pub fn diff(old: &Document, new: &Document) -> Vec<FieldChange> {
    diff_json(Some(&old.to_json()), Some(&new.to_json()))
}

/// [`diff`] of JSON values; of a value that is there on one side alone, one change of the whole.
#[must_use]
pub fn diff_json(old: Option<&Value>, new: Option<&Value>) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    compare("", old, new, &mut changes);
    changes
}

fn compare(
    pointer: &str,
    old: Option<&Value>,
    new: Option<&Value>,
    changes: &mut Vec<FieldChange>,
) {
    match (old, new) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let added = after.keys().filter(|key| !before.contains_key(*key));
            for key in before.keys().chain(added) {
                let pointer = tree::pointer::join(pointer, key);
                compare(&pointer, before.get(key), after.get(key), changes);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) if before.len() == after.len() => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                compare(
                    &format!("{pointer}/{index}"),
                    Some(before),
                    Some(after),
                    changes,
                );
            }
        }
        (before, after) if before == after => {}
        (before, after) => changes.push(FieldChange {
            pointer: pointer.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
        }),
    }
}
