use base::Org;
use serde_json::json;

use super::*;
use crate::{Gate, OperationModel, PolicyUse};

fn model() -> ApiModel {
    let operation = |number: usize| OperationModel {
        method: "GET".into(),
        template: format!("/things-{number}/{{id}}"),
        id: Some(format!("get-thing-{number}")),
        scopes: vec![vec!["read".into(), "things".into()]],
        security: None,
        backend: Some("things".into()),
        sandbox: None,
        policies: vec![],
    };
    ApiModel {
        org: Org::default_org(),
        name: "things-1.0.0".into(),
        api: "things".into(),
        version: "1.0.0".into(),
        context: "/things".into(),
        default_version: true,
        vhosts: vec!["a.example".into()],
        gate: Gate::Serve { deprecation: None },
        security: vec![],
        subscription_required: true,
        cors: Some(
            json!({"allowOrigins": ["*"], "ratio": 0.1, "many": 18_446_744_073_709_551_615_u64}),
        ),
        transports: None,
        policies: vec![PolicyUse {
            policy: "timeout".into(),
            config: json!("5s"),
            pointer: "/spec/policies/0".into(),
        }],
        operations: (0..20).map(operation).collect(),
        backends: vec![],
        digest: Digest::of(b"things"),
    }
}

#[test]
fn what_is_opened_is_what_was_packed() {
    let packed = PackedApi::of(&model());
    assert_eq!(packed.open(), model());
    assert_eq!(*packed.digest(), model().digest);
}

#[test]
fn packed_models_are_small() {
    let text = serde_json::to_vec(&model()).unwrap();
    let packed = PackedApi::of(&model());
    assert!(
        packed.packed.len() * 4 < text.len(),
        "{} of {} bytes",
        packed.packed.len(),
        text.len()
    );
}

#[test]
fn on_the_wire_it_is_the_model() {
    let wire = serde_json::to_value(PackedApi::of(&model())).unwrap();
    assert_eq!(wire, serde_json::to_value(model()).unwrap());
    let read: PackedApi = serde_json::from_value(wire).unwrap();
    assert_eq!(read.open(), model());
}
