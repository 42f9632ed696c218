//! The definition reader: any text is read, accepted or refused, never a panic, and every refusal has a place. What is
//! accepted can be read. The reader of `x-wso2-*` keys goes over what is read.
#![no_main]

use base::Diagnostics;
use libfuzzer_sys::fuzz_target;
use openapi::{Read, Rules};
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

fn sound(result: &Result<Read, Diagnostics>) {
    match result {
        Ok(read) => {
            assert!(!read.warnings.has_errors());
            for operation in &read.definition.operations {
                assert!(operation.template.unroutable().is_none());
                let _ = operation.scopes();
            }
            keys(read);
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
}

fuzz_target!(|text: &str| {
    let limits = Limits::default();
    let read = openapi::read(text, &limits);
    sound(&read);
    let checked = openapi::check(text, &limits, &Rules::default());
    sound(&checked);
    if checked.is_ok() {
        assert!(read.is_ok());
        assert!(openapi::read(text, &Limits::accepted()).is_ok());
    }
});
