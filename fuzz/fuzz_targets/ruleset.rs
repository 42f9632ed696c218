//! A rule set and a definition, the text cut at a line `---`: any rule set is read or refused with a place, and held
//! against any definition in bounded time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lint::{Limits, Ruleset};

fuzz_target!(|text: &str| {
    let (ruleset, definition) = text.split_once("\n---\n").unwrap_or((text, "openapi: 3.1.0"));
    let ruleset = match Ruleset::read(ruleset, &tree::Limits::default()) {
        Ok(ruleset) => ruleset,
        Err(found) => {
            assert!(found.has_errors());
            assert!(found.iter().all(|problem| problem.line > 0));
            return;
        }
    };
    let Ok(root) = tree::parse(definition, &tree::Limits::default()) else {
        return;
    };
    let limits = Limits {
        steps_max: 100_000,
        findings_max: 1_000,
    };
    let mut findings = lint::lint(&root, &ruleset, &limits);
    assert!(findings.len() <= limits.findings_max + 1);
    lint::locate(&mut findings, |found| root.locate(found));
    assert!(findings.iter().all(|finding| finding.diagnostic.line > 0));
});
