//! The definition reader and the reader of `x-wso2-*` keys: any text is read or refused, never a panic, and every refusal
//! has a place.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tree::Limits;

/// What the keys of a definition mean is a document, or they are refused.
fn keys(read: &openapi::Read) {
    let (extensions, mut found) = wso2::read(read.source.tree(), &read.definition, 100);
    let file = spec::Definition::File("a.yaml".to_owned());
    let mut api = spec::ApiSpec::new("a", "1", "/a", file);
    let chosen = wso2::Chosen::default();
    found.extend(wso2::into_document(&extensions, &read.definition, None, &chosen, &mut api));
    read.source.locate(&mut found);
    assert!(found.iter().all(|problem| problem.line > 0 && problem.column > 0));
}

fuzz_target!(|text: &str| {
    match openapi::read(text, &Limits::default()) {
        Ok(read) => {
            assert!(!read.warnings.has_errors());
            for operation in &read.definition.operations {
                assert!(operation.template.unroutable().is_none());
                let _ = operation.scopes();
            }
            keys(&read);
        }
        Err(found) => {
            assert!(found.has_errors());
            assert!(
                found
                    .iter()
                    .all(|problem| problem.line > 0 && problem.column > 0)
            );
        }
    }
});
