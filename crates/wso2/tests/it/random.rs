//! Whatever stands under the keys: reading ends, and what it takes is a document.

use proptest::prelude::*;
use serde_json::{Value, json};
use wso2::KEYS;

use crate::imported;

fn value() -> impl Strategy<Value = Value> {
    let words = prop_oneof![
        Just("http"),
        Just("https"),
        Just("https://a/b"),
        Just("etcd(a,https://a)"),
        Just("etcd("),
        Just("#/x-wso2-endpoints/a"),
        Just("#/x-wso2-endpoints/b"),
        Just("failover"),
        Just("mandatory"),
        Just("oauth2"),
        Just("basic_auth"),
        Just("None"),
        Just("/x/{version}"),
        Just("/*"),
        Just("*"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        words.prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let keys = prop_oneof![
            Just("urls".to_owned()),
            Just("type".to_owned()),
            Just("advanceEndpointConfig".to_owned()),
            Just("timeoutInMillis".to_owned()),
            Just("security-types".to_owned()),
            Just("accessControlAllowOrigins".to_owned()),
            Just("accessControlAllowMethods".to_owned()),
            Just("accessControlAllowCredentials".to_owned()),
            Just("a".to_owned()),
            "[a-z~/]{0,5}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(keys, inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn keys() -> impl Strategy<Value = serde_json::Map<String, Value>> {
    let names: Vec<&'static str> = KEYS.iter().map(|key| key.name).collect();
    let entry = (prop::sample::select(names), value());
    prop::collection::vec(entry, 0..6).prop_map(|entries| {
        let entries = entries.into_iter();
        entries
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// req: GW17
    #[test]
    fn anything_is_taken_or_refused_with_its_place(api in keys(), path in keys(), operation in keys()) {
        let mut get = operation;
        get.insert("responses".to_owned(), json!({"200": {"description": "ok"}}));
        let mut item = path;
        item.insert("get".to_owned(), Value::Object(get));
        let mut root = api;
        root.insert("openapi".to_owned(), json!("3.0.0"));
        root.insert("info".to_owned(), json!({"title": "t", "version": "1"}));
        root.insert("paths".to_owned(), json!({"/a": item}));
        let text = Value::Object(root).to_string();
        // Panics where what was taken is no document.
        let (document, found) = imported(&text, &[]);
        prop_assert!(document.is_some() || found.has_errors());
        prop_assert!(found.iter().all(|one| one.line == 1));
    }
}
