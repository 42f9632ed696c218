//! The document reader: any text is read or refused with places; what is read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tree::Limits;

fuzz_target!(|text: &str| {
    match spec::parse_documents(text, Some("f.yaml"), &Limits::default()) {
        Ok(documents) => {
            for document in documents {
                let written = document.to_yaml();
                let again = spec::parse_document(&written, &Limits::default())
                    .unwrap_or_else(|found| panic!("{written}\n{found:?}"));
                assert_eq!(again.to_yaml(), written);
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
