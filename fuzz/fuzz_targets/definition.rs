//! The definition reader: any text is read or refused, never a panic, and every refusal has a place.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tree::Limits;

fuzz_target!(|text: &str| {
    match openapi::read(text, &Limits::default()) {
        Ok(read) => {
            assert!(!read.warnings.has_errors());
            for operation in &read.definition.operations {
                assert!(operation.template.unroutable().is_none());
                let _ = operation.scopes();
            }
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
