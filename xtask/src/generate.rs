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
            path: "docs/reference/api-changes.md",
            text: api_changes(),
        },
        File {
            path: "docs/reference/documents.md",
            text: documents(),
        },
        File {
            path: "docs/reference/rules.md",
            text: rules(),
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

fn api_changes() -> String {
    let mut text = String::from(
        "# Changes of an API\n\nGenerated from the rules in `crates/openapi/src/diff/rules.rs`. Two definitions are compared as callers see \
         them, over dialects, with `$ref` and `allOf` looked through; paths whose parameters are only renamed are the same path, and \
         security schemes are told apart by what they demand, not by name. What callers send may become wider, what they get may become \
         narrower; *breaks* says that callers that keep to the old definition may fail. Conditions (`not`, `if`, `dependentRequired`, \
         `patternProperties` …) are compared as they are written. Callbacks, webhooks, links and extensions are not compared.\n\n\
         | rule | change | | meaning |\n|---|---|---|---|\n",
    );
    for rule in openapi::diff::RULES.iter() {
        let _ = writeln!(
            text,
            "| <a id=\"{0}\"></a>`{0}` | {1} | {2} | {3} |",
            rule.id,
            format!("{:?}", rule.change).to_lowercase(),
            if rule.breaking { "**breaks**" } else { "" },
            rule.docs
        );
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

fn rules() -> String {
    let mut text = String::from(
        "# Rules for definitions\n\nGenerated from the slice `RULES` in `crates/openapi/src/rules.rs`. A definition is held against them before it \
         is accepted: errors refuse it, warnings are told. *May be* says which severities a document \
         (`spec.definition.rules`), an import or `--rule ID=SEVERITY` may give; how that is done, and what the policy \
         behind the severities is, stands in [openapi.md](../openapi.md).\n\n\
         | rule | 2.0 | 3.0 | 3.1, 3.2 | may be | what it finds |\n|---|---|---|---|---|---|\n",
    );
    for rule in openapi::RULES {
        use openapi::Dialect::{V2, V3_0, V3_1};
        let [v2, v3_0, v3_1] = [V2, V3_0, V3_1].map(|dialect| rule.severity(dialect));
        let may_be = match rule.least {
            spec::RuleSeverity::Off => "off, warning, error",
            spec::RuleSeverity::Warning => "warning, error",
            spec::RuleSeverity::Error => "error",
        };
        let _ = writeln!(
            text,
            "| <a id=\"{0}\"></a>`{0}` | {v2} | {v3_0} | {v3_1} | {may_be} | {1} |",
            rule.id, rule.about
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
