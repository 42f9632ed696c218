//! What is written reads as the same document.

use proptest::prelude::*;
use serde_json::{Value, json};
use spec::{
    ApiSpec, BackendRef, BackendSpec, Backends, Definition, Document, Kind, PolicyEntry, Spec,
};
use tree::Limits;

fn again(document: &Document) -> Document {
    let text = document.to_yaml();
    let mut read = spec::parse_documents(&text, None, &Limits::default())
        .unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
    assert_eq!(read.len(), 1, "{text}");
    read.remove(0)
}

#[test]
fn examples_come_back() {
    let examples = super::examples();
    let kinds: Vec<Kind> = examples.iter().map(Document::kind).collect();
    assert!(Kind::ALL.iter().all(|kind| kinds.contains(kind)));
    for document in examples {
        assert_eq!(again(&document), document);
        assert_eq!(spec::from_json(document.to_json()).unwrap(), document);
        assert_eq!(
            spec::parse_document(&document.to_json().to_string(), &Limits::default()).unwrap(),
            document
        );
    }
}

/// Texts that a careless writer of YAML gets wrong, and any others.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "",
            "~",
            "null",
            "yes",
            "no",
            "1",
            "1.0",
            "0x1f",
            "1e3",
            "-",
            "- a",
            "a: b",
            "a #b",
            "#a",
            "{a}",
            "[a",
            "&a",
            "*a",
            "!a",
            "|",
            ">",
            "%a",
            "@a",
            "`a",
            "'a'",
            "\"a\"",
            "a\n",
            "a\nb",
            "\na",
            " a",
            "a ",
            "a\n\nb\n\n",
            " a\nb",
            "\ta",
            "---",
            "...",
            "a\tb",
            "2027-06-30",
            "=",
            "<<",
            ".inf",
            "\\n",
            "a:",
            ":a",
            "?",
            "? a",
            ",",
            "a\u{85}b",
            "\u{feff}a",
            "a\r\nb",
            "\u{2028}",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,40}",
        "[ a-c:#\\-\n]{0,40}",
    ]
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((text(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_document_comes_back(
        definition in text(),
        owner in text(),
        policy in "[a-z]{1,9}",
        config in json_value(),
        extension in json_value(),
        label in text(),
    ) {
        let mut api = ApiSpec::new("a", "1", "/a", Definition::Inline(definition));
        api.backends = Some(Backends::new(
            Some(BackendRef::Inline(Box::new(BackendSpec::at("http://a")))),
            Some(BackendRef::Name("try-out".to_owned())),
        ));
        api.policies = vec![PolicyEntry::new(policy, config)];
        api.extensions.insert("x-any".to_owned(), extension);
        let mut document = Document::api(api);
        document.metadata.labels.insert(label.clone(), owner);
        let read = again(&document);
        prop_assert_eq!(read.digest(), document.digest());
        prop_assert_eq!(read, document);
    }

    #[test]
    fn reading_never_panics(text in "\\PC{0,200}", value in json_value()) {
        let _ = spec::parse_documents(&text, None, &Limits::default());
        let _ = spec::from_json(json!({"kind": "Api", "metadata": value, "spec": value}));
        let _ = spec::from_json(json!({"kind": "Plan", "metadata": {"name": "a"}, "spec": {"quota": value}}));
        let _ = spec::from_json(value);
    }
}

#[test]
fn definitions_are_read_beside_the_document() {
    let api = |definition| Document::api(ApiSpec::new("a", "1", "/a", definition));
    let inline = api(Definition::Inline("text".to_owned()));
    let read = spec::resolve_definition(&inline, |_| unreachable!());
    assert_eq!(read.unwrap().as_deref(), Some("text"));
    let file = api(Definition::File("a.yaml".to_owned()));
    let read = spec::resolve_definition(&file, |name| Ok(format!("text of {name}")));
    assert_eq!(read.unwrap().as_deref(), Some("text of a.yaml"));
    let missing = spec::resolve_definition(&file, |_| Err(std::io::ErrorKind::NotFound.into()));
    assert_eq!(missing.unwrap_err().0[0].pointer, "/spec/definition/file");
    let plan = Document::new("a", Spec::Plan(spec::PlanSpec::default()));
    assert_eq!(
        spec::resolve_definition(&plan, |_| unreachable!()).unwrap(),
        None
    );
}
