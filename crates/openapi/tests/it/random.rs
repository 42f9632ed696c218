//! Definitions of random schemas that refer to each other at will: comparisons and examples end, and agree with
//! themselves.

use std::time::{Duration, Instant};

use openapi::diff::Limits;
use openapi::mock::{self, Options, Wanted};
use openapi::{Method, diff};
use proptest::prelude::*;
use serde_json::{Value, json};
use tree::Node;

/// Schemas that refer to each other.
const SCHEMAS: usize = 6;

fn schema() -> impl Strategy<Value = Value> {
    let reference =
        (0..SCHEMAS).prop_map(|index| json!({"$ref": format!("#/components/schemas/S{index}")}));
    let leaf = prop_oneof![
        4 => reference,
        1 => Just(json!({})),
        1 => Just(json!(true)),
        1 => Just(json!(false)),
        1 => Just(json!({"type": "string", "minLength": 3})),
        1 => Just(json!({"type": ["integer", "null"], "minimum": 2, "exclusiveMaximum": 9})),
        1 => Just(json!({"enum": ["a", 1, null]})),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let list = || prop::collection::vec(inner.clone(), 1..3);
        prop_oneof![
            list().prop_map(|all| json!({"allOf": all})),
            list().prop_map(|all| json!({"oneOf": all})),
            list().prop_map(|all| json!({"anyOf": all, "nullable": true})),
            inner.clone().prop_map(|inner| json!({"not": inner})),
            inner.clone().prop_map(|items| json!({"type": "array", "items": items, "minItems": 1, "uniqueItems": true})),
            list().prop_map(|prefix| json!({"prefixItems": prefix, "items": false})),
            inner.clone().prop_map(|further| json!({"type": "object", "additionalProperties": further, "minProperties": 2})),
            (list(), any::<bool>()).prop_map(|(all, required)| {
                let names = ["a", "b", "c"];
                let properties: serde_json::Map<String, Value> =
                    names.iter().zip(all).map(|(name, schema)| ((*name).to_owned(), schema)).collect();
                json!({"type": "object", "properties": properties, "required": if required { &names[..1] } else { &[] }})
            }),
        ]
    })
}

fn definition() -> impl Strategy<Value = Node> {
    prop::collection::vec(schema(), SCHEMAS).prop_map(|schemas| {
        let all: serde_json::Map<String, Value> =
            schemas.into_iter().enumerate().map(|(index, schema)| (format!("S{index}"), schema)).collect();
        let body = json!({"content": {"application/json": {"schema": {"$ref": "#/components/schemas/S0"}}}});
        let text = json!({
            "openapi": "3.1.0",
            "info": {"title": "t", "version": "1"},
            "paths": {"/a": {"post": {"requestBody": body, "responses": {"200": body}}}},
            "components": {"schemas": all},
        });
        tree::parse(&text.to_string(), &tree::Limits::default()).expect("plain JSON")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn comparisons_end_and_find_nothing_in_the_same(old in definition(), new in definition()) {
        let started = Instant::now();
        prop_assert!(diff(&old, &old.clone(), &Limits::default()).is_empty());
        let found = diff(&old, &new, &Limits::default());
        let back = diff(&new, &old, &Limits::default());
        // Whether anything differs does not depend on the direction of time.
        prop_assert_eq!(found.is_empty(), back.is_empty());
        prop_assert!(started.elapsed() < Duration::from_mins(1));
    }

    #[test]
    fn examples_end(root in definition(), seed in any::<u64>()) {
        let started = Instant::now();
        let options = Options { seed, ..Options::default() };
        let answer = mock::response(&root, Method::Post, "/a", &Wanted::default(), &options);
        let size = answer.unwrap().body.unwrap().value.to_string().len();
        prop_assert!(size < 10_000_000, "{} bytes", size);
        prop_assert!(mock::request(&root, Method::Post, "/a", None, &options).is_ok());
        prop_assert!(started.elapsed() < Duration::from_mins(1));
    }
}
