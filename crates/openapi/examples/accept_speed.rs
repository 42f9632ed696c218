//! How long a large definition takes to be accepted: `cargo run --release -p openapi --example accept_speed [MB]`.
//!
//! The definition is made here: operations with parameters, bodies, answers and schemas of their own. Printed are its
//! size, and the best of five turns of what an import does with it.
#![expect(clippy::print_stdout, reason = "the figures are the output")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use openapi::Rules;
use tree::Limits;

/// Operations on one resource with its schema, as JSON.
fn resource(paths: &mut String, schemas: &mut String, number: usize) {
    let answer = format!(
        r##""responses": {{"200": {{"description": "The item.", "content": {{"application/json": {{"schema": {{"$ref": "#/components/schemas/Item{number}"}}}}}}}}, "404": {{"description": "There is none."}}}}"##
    );
    let id = r#""parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "string", "maxLength": 64}}]"#;
    let body = format!(
        r##""requestBody": {{"content": {{"application/json": {{"schema": {{"$ref": "#/components/schemas/Item{number}"}}}}}}}}"##
    );
    let _ = write!(
        paths,
        r#""/items{number}/{{id}}": {{{id},
  "get": {{"operationId": "get{number}", "summary": "One item of sort {number}", "tags": ["items"], {answer}}},
  "put": {{"operationId": "put{number}", "summary": "Change an item of sort {number}", "tags": ["items"], {body}, {answer}}},
  "delete": {{"operationId": "delete{number}", "tags": ["items"], {answer}}}}},
"#
    );
    let _ = write!(
        schemas,
        r##""Item{number}": {{"type": "object", "required": ["id", "name"], "properties": {{"id": {{"type": "string"}},
  "name": {{"type": "string", "minLength": 1, "example": "thing"}}, "state": {{"type": "string", "enum": ["new", "used"], "default": "new"}},
  "parts": {{"type": "array", "items": {{"$ref": "#/components/schemas/Item{number}"}}}}, "count": {{"type": "integer", "minimum": 0}}}}}},
"##
    );
}

fn definition(bytes: usize) -> String {
    let (mut paths, mut schemas, mut number) = (String::new(), String::new(), 0);
    while paths.len() + schemas.len() < bytes {
        resource(&mut paths, &mut schemas, number);
        number += 1;
    }
    format!(
        "{{\"openapi\": \"3.0.3\", \"info\": {{\"title\": \"Large\", \"version\": \"1\"}}, \"paths\": {{\n{}}}, \"components\": {{\"schemas\": {{\n{}}}}}}}",
        paths.trim_end_matches(",\n"),
        schemas.trim_end_matches(",\n")
    )
}

fn best(turns: usize, mut work: impl FnMut()) -> Duration {
    let turn = |_| {
        let started = Instant::now();
        work();
        started.elapsed()
    };
    (0..turns).map(turn).min().expect("at least one turn")
}

fn main() {
    let megabytes: usize = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(4);
    let limits = Limits::default();
    for text in [
        definition(megabytes << 20),
        definition(megabytes << 20).replacen("3.0.3", "3.1.0", 1),
    ] {
        let read = openapi::read(&text, &limits).expect("made to be good");
        println!(
            "{:?}: {:.1} MB, {} operations",
            read.definition.dialect,
            text.len() as f64 / 1e6,
            read.definition.operations.len()
        );
        drop(read);
        let read = best(5, || drop(openapi::read(&text, &limits)));
        let check = best(5, || {
            let accepted = openapi::check(&text, &limits, &Rules::default());
            assert!(accepted.is_ok_and(|read| read.warnings.is_empty()));
        });
        let faulty = text.replace("\"minimum\": 0", "\"minimum\": \"0\"");
        let refuse = best(5, || {
            assert!(openapi::check(&faulty, &limits, &Rules::default()).is_err());
        });
        println!("  read {read:?}, accept {check:?}, refuse with faults everywhere {refuse:?}");
    }
}
