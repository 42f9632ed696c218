//! Two definitions, the text cut at a line `---`: they are compared and examples are made of both, never a panic or a
//! hang; a definition does not differ from itself, and every place is there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use openapi::diff::Limits;
use openapi::mock::{self, Options, Wanted};
use tree::Node;

fn examples(root: &Node, text: &str) {
    let Ok(read) = openapi::read(text, &tree::Limits::default()) else {
        return;
    };
    for operation in &read.definition.operations {
        let path = operation.template.as_str();
        let (wanted, options) = (Wanted::default(), Options::default());
        if let Ok(answer) = mock::response(root, operation.method, path, &wanted, &options) {
            let _ = answer.body.and_then(|body| body.text());
        }
        mock::request(root, operation.method, path, None, &options).expect("the operation is there");
    }
}

fuzz_target!(|text: &str| {
    let (old_text, new_text) = text.split_once("\n---\n").unwrap_or((text, text));
    let parse = |text| tree::parse(text, &tree::Limits::default());
    let (Ok(old), Ok(new)) = (parse(old_text), parse(new_text)) else {
        return;
    };
    let limits = Limits {
        steps_max: 50_000,
        ..Limits::default()
    };
    assert!(openapi::diff(&old, &old.clone(), &limits)
        .iter()
        .all(|difference| difference.rule.id == "not-compared"));
    for difference in openapi::diff(&old, &new, &limits) {
        let there = |root: &Node, place: Option<openapi::diff::Place>| {
            place.is_none_or(|place| root.pointer(&place.pointer).is_some())
        };
        assert!(there(&old, difference.old) && there(&new, difference.new));
    }
    examples(&old, old_text);
    examples(&new, new_text);
});
