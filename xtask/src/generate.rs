//! What is generated, each from the one place that knows it.

use std::fmt::Write as _;

/// A generated file.
pub(crate) struct File {
    /// Below the workspace's root.
    pub(crate) path: &'static str,
    /// Its whole text.
    pub(crate) text: String,
}

/// All generated files.
pub(crate) fn files() -> Vec<File> {
    vec![
        File {
            path: "docs/reference/errors.md",
            text: errors(),
        },
        File {
            path: "docs/reference/documents.md",
            text: documents(),
        },
        File {
            path: "docs/reference/policies.md",
            text: policies(),
        },
        File {
            path: "docs/reference/openapi.json",
            text: control::openapi(identity::openapi()),
        },
    ]
}

fn errors() -> String {
    let mut text = String::from(
        "# Error codes\n\nGenerated from `crates/base/src/code.rs`. Every error answer is an RFC 9457 problem whose `code` is one of \
         these; a code never changes its meaning. *Acts* says who has to do something about it.\n",
    );
    for (section, codes) in base::code::SECTIONS {
        let _ = write!(
            text,
            "\n## {section}\n\n| code | status | acts | meaning |\n|---|---|---|---|\n"
        );
        for code in *codes {
            let _ = writeln!(
                text,
                "| <a id=\"{0}\"></a>`{0}` | {1} | {2:?} | **{3}.** {4} |",
                code.name, code.status, code.origin, code.title, code.help
            );
        }
    }
    text
}

fn documents() -> String {
    let mut text = String::from("# Documents\n\nGenerated from the types in `crates/spec`.\n");
    for kind in spec::Kind::ALL {
        let _ = write!(
            text,
            "\n## {kind}\n\n```text\n{}\n```\n",
            spec::explain(kind).trim_end()
        );
    }
    text
}

fn policies() -> String {
    let mut text = String::from(
        "# Policies\n\nGenerated from the slice `POLICIES` in `crates/policies`. They run in the order of their phases; within a phase \
         in the order of the document, those of the API before those of the operation.\n",
    );
    let mut kinds: Vec<_> = policies::POLICIES.iter().collect();
    kinds.sort_by_key(|kind| (kind.phase(), kind.name()));
    for kind in kinds {
        let schema = serde_json_pretty(&kind.schema());
        let _ = write!(
            text,
            "\n## {}\n\n{} Phase: {:?}.\n\n```json\n{schema}\n```\n",
            kind.name(),
            kind.summary(),
            kind.phase()
        );
    }
    text
}

fn serde_json_pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).expect("a schema is plain JSON")
}
