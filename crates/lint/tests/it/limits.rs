use std::time::{Duration, Instant};

use lint::{Limits, Ruleset, Severity};
use tree::Node;

fn parse(text: &str) -> Node {
    tree::parse(text, &tree::Limits::default()).unwrap()
}

fn rule(given: &str, then: &str) -> Ruleset {
    let text = format!("rules: {{mine: {{given: \"{given}\", then: {then}}}}}");
    Ruleset::read(&text, &tree::Limits::default())
        .unwrap_or_else(|found| panic!("{text}: {found:?}"))
}

/// Rule sets that would never end, and what is said as an error.
#[test]
fn the_work_is_bounded() {
    let wide: String = (0..300)
        .map(|index| format!("k{index}: {{a: [1, 2, 3], b: {{c: d}}}}\n"))
        .collect();
    let deep = format!("a: {}1{}", "[".repeat(100), "]".repeat(100));
    let long = format!("openapi: '{}!'", "a".repeat(5000));
    for (text, ruleset) in [
        (wide.as_str(), rule("$..*..*..*..*", "{function: truthy}")),
        (
            wide.as_str(),
            rule(
                "$..[?(@..a)]".replace("..a", ".a").as_str(),
                "{function: truthy}",
            ),
        ),
        (deep.as_str(), rule("$..*^..*^..*", "{function: truthy}")),
        (
            long.as_str(),
            rule(
                "$.openapi",
                "{function: pattern, functionOptions: {match: '^(a+)+\\\\1$'}}",
            ),
        ),
    ] {
        let root = parse(text);
        let started = Instant::now();
        let limits = Limits {
            steps_max: 300_000,
            ..Limits::default()
        };
        let findings = lint::lint(&root, &ruleset, &limits);
        assert!(
            started.elapsed() < Duration::from_mins(1),
            "{:?}",
            started.elapsed()
        );
        assert!(findings.len() <= limits.findings_max + 1);
    }
    let findings = lint::lint(
        &parse(&wide),
        &rule("$..*..*..*..*", "{function: truthy}"),
        &Limits {
            steps_max: 5_000,
            ..Limits::default()
        },
    );
    let last = findings.last().unwrap();
    assert_eq!(
        (last.diagnostic.rule.as_str(), last.severity),
        ("lint-limit", Severity::Error)
    );
    assert!(last.diagnostic.message.contains("`mine`"));
}

#[test]
fn findings_are_bounded() {
    let text: String = (0..100).map(|index| format!("k{index}: 1\n")).collect();
    let findings = lint::lint(
        &parse(&text),
        &rule("$.*", "{function: falsy}"),
        &Limits {
            findings_max: 10,
            ..Limits::default()
        },
    );
    assert_eq!(findings.len(), 11);
    assert_eq!(findings[10].diagnostic.rule, "lint-limit");
}

/// References that lead in circles are met once.
#[test]
fn circles_of_references_end() {
    let text = "openapi: 3.0.0\na: {$ref: '#/b'}\nb: {$ref: '#/a'}\nc: {d: {$ref: '#/c'}}\n";
    for path in ["$..*", "$.a.x", "$.c.d.d.d.d", "$..d..d"] {
        let _ = lint::lint(
            &parse(text),
            &rule(path, "{function: falsy}"),
            &Limits::default(),
        );
        let schema = rule(
            path,
            "{function: schema, functionOptions: {schema: {type: string}}}",
        );
        let _ = lint::lint(&parse(text), &schema, &Limits::default());
    }
}
