//! The documents as people write them: goldens of faults, examples, digests, round trips.

mod digests;
mod goldens;
mod round_trip;

use spec::Document;

/// The examples that use every kind and field.
fn examples() -> Vec<Document> {
    let text = include_str!("good/all-kinds.yaml");
    spec::parse_documents(text, Some("all-kinds.yaml"), &tree::Limits::default())
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
}
