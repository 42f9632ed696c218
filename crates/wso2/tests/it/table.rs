//! Every key of the table is explained, read where it says, and reported where it is not served.

use wso2::{KEYS, Level, Meaning};

use crate::imported;

fn documented() -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/wso2.md");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn every_key_is_explained() {
    let text = documented();
    for key in KEYS {
        assert!(
            text.contains(&format!("| `{}` |", key.name)),
            "docs/wso2.md does not explain {}",
            key.name
        );
    }
}

/// A definition with one key at one level.
fn with_key(key: &str, value: &str, level: Level) -> String {
    let at = |wanted: Level| {
        if level == wanted {
            format!("\"{key}\": {value}, ")
        } else {
            String::new()
        }
    };
    format!(
        "{{{}\"openapi\": \"3.0.0\", \"info\": {{\"title\": \"t\", \"version\": \"1\"}}, \"paths\": {{\"/a\": {{{}\"get\": \
         {{{}\"responses\": {{\"200\": {{\"description\": \"ok\"}}}}}}}}}}, \"components\": {{\"securitySchemes\": \
         {{\"default\": {{\"type\": \"oauth2\", \"flows\": {{\"implicit\": {{{}\"authorizationUrl\": \"https://a\", \
         \"scopes\": {{}}}}}}}}}}}}}}",
        at(Level::Api),
        at(Level::Path),
        at(Level::Operation),
        at(Level::Scheme),
    )
}

fn rules(text: &str) -> Vec<String> {
    let (_, found) = imported(text, &[]);
    let lines = found.iter().map(|one| {
        assert!(one.line > 0 && one.column > 0, "{one:?}");
        format!("{} {}", one.rule, one.pointer)
    });
    lines.collect()
}

const LEVELS: [Level; 4] = [Level::Api, Level::Path, Level::Operation, Level::Scheme];

fn place(level: Level, key: &str) -> String {
    match level {
        Level::Api => format!("/{key}"),
        Level::Path => format!("/paths/~1a/{key}"),
        Level::Operation => format!("/paths/~1a/get/{key}"),
        Level::Scheme => format!("/components/securitySchemes/default/flows/implicit/{key}"),
    }
}

/// req: GW17
#[test]
fn a_number_is_refused_wherever_a_key_is_read_and_warned_about_elsewhere() {
    for key in KEYS {
        for level in LEVELS {
            let found = rules(&with_key(key.name, "7", level));
            let expected = if key.levels.contains(&level) {
                "wso2-type"
            } else {
                "wso2-misplaced"
            };
            assert_eq!(found, [format!("{expected} {}", place(level, key.name))]);
        }
    }
}

/// req: GW17
#[test]
fn what_is_not_served_is_named_with_its_place() {
    for key in KEYS {
        let Meaning::NotServed(_) = key.meaning else {
            continue;
        };
        for level in key.levels {
            let found = rules(&with_key(key.name, "\"x\"", *level));
            assert_eq!(
                found,
                [format!("wso2-not-served {}", place(*level, key.name))]
            );
            // What asks for nothing lacks nothing.
            let idle = rules(&with_key(key.name, "{\"enabled\": false}", *level));
            assert_eq!(idle, [""; 0]);
        }
    }
}

#[test]
fn keys_that_nobody_knows_are_reported_with_the_nearest() {
    let found = imported(&with_key("x-wso2-basepath", "\"/a\"", Level::Api), &[]).1;
    let shown = found.0[0].to_string();
    assert!(shown.contains("did you mean `x-wso2-basePath`?"), "{shown}");
    let found = imported(&with_key("x-mgw-endpoints", "[]", Level::Api), &[]).1;
    let shown = found.0[0].to_string();
    assert!(
        shown.contains("did you mean `x-wso2-endpoints`?"),
        "{shown}"
    );
    assert_eq!(rules(&with_key("x-other", "7", Level::Operation)), [""; 0]);
}
