//! A digest covers the document alone, and does not depend on how it was written.

use serde_json::json;
use spec::{Document, from_json};

fn plan(value: serde_json::Value) -> Document {
    from_json(value).expect("a good document")
}

#[test]
fn order_defaults_and_status_do_not_matter() {
    let short = plan(json!({"kind": "Application", "metadata": {"name": "a"}, "spec": {}}));
    let long = plan(json!({
        "status": {"revision": 9},
        "spec": {"tokens": {"lifetime": "60m"}},
        "metadata": {"name": "a", "labels": {}},
        "kind": "Application",
        "apiVersion": "tollway.dev/v1alpha1",
    }));
    assert_eq!(short.digest(), long.digest());
    assert!(spec::diff(&short, &long).is_empty());
}

#[test]
fn contents_matter() {
    let base = json!({"kind": "Plan", "metadata": {"name": "a"}, "spec": {}});
    let mut digests = vec![plan(base.clone()).digest()];
    for (pointer, key, value) in [
        ("/metadata", "name", json!("b")),
        ("/metadata", "labels", json!({"a": "b"})),
        ("/spec", "quota", json!({"requests": 1, "per": "1s"})),
        ("/spec", "x-note", json!("kept")),
        ("", "x-note", json!("kept")),
    ] {
        let mut changed = base.clone();
        changed.pointer_mut(pointer).unwrap()[key] = value;
        digests.push(plan(changed).digest());
    }
    let count = digests.len();
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), count);
}

/// Digests are stored and compared between versions of the platform: a change of these is a change of the format.
#[test]
fn digests_are_stable() {
    let plan = plan(
        json!({"kind": "Plan", "metadata": {"name": "Gold"}, "spec": {"quota": {"requests": 5000, "per": "1m"}}}),
    );
    assert_eq!(
        plan.digest().to_string(),
        "7dcd227ef3066d4f8261f164096185bb6056f0ffdda83e518a705afa353b881f"
    );
    let api = from_json(json!({"kind": "Api", "spec": {
        "name": "orders", "version": "1", "context": "/orders", "definition": {"file": "orders.yaml"},
    }}));
    assert_eq!(
        api.unwrap().digest().to_string(),
        "3ab19d3c7c43671f499e92f0d2b178b59bcad10c943d4b12bad00edfbf8cf342"
    );
}

#[test]
fn differences_have_pointers() {
    let old = plan(
        json!({"kind": "Plan", "metadata": {"name": "a"}, "spec": {"quota": {"requests": 1, "per": "1s"}}}),
    );
    let new = plan(
        json!({"kind": "Plan", "metadata": {"name": "a"}, "spec": {"quota": {"requests": 2, "per": "1s"}, "description": "x"}}),
    );
    let changes = serde_json::to_value(spec::diff(&old, &new)).unwrap();
    assert_eq!(
        changes,
        json!([
            {"pointer": "/spec/quota/requests", "before": 1, "after": 2},
            {"pointer": "/spec/description", "after": "x"},
        ])
    );
}
