use std::path::PathBuf;
use std::time::{Duration, Instant};

use lint::{Limits, Ruleset};

/// All built-in rules over every definition of the corpus: no panic, bounded time, no limit reached, every place there.
#[test]
fn built_in_rules_over_the_corpus() {
    let Some(corpus) = std::env::var_os("TOLLWAY_CORPUS") else {
        eprintln!("skipped: TOLLWAY_CORPUS is not set");
        return;
    };
    let all = Ruleset::read("extends: [[spectral:oas, all]]", &tree::Limits::default()).unwrap();
    for folder in [
        "v2",
        "v3.0",
        "v3.1",
        "v3.2",
        "valid-3.1",
        "invalid",
        "invalid-3.1",
    ] {
        let folder = PathBuf::from(&corpus).join("openapi").join(folder);
        let mut count = 0;
        for entry in std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        {
            let path = entry.unwrap().path();
            let Ok(root) = tree::parse(
                &std::fs::read_to_string(&path).unwrap(),
                &tree::Limits::default(),
            ) else {
                continue;
            };
            let started = Instant::now();
            let mut findings = lint::lint(&root, &all, &Limits::default());
            let took = started.elapsed();
            assert!(
                took < Duration::from_mins(1),
                "{}: {took:?}",
                path.display()
            );
            lint::locate(&mut findings, |found| root.locate(found));
            for finding in &findings {
                let diagnostic = &finding.diagnostic;
                assert!(diagnostic.rule != "lint-limit", "{}", path.display());
                assert!(
                    root.pointer(&diagnostic.pointer).is_some(),
                    "{}: {diagnostic:?}",
                    path.display()
                );
                assert!(diagnostic.line > 0 && diagnostic.column > 0);
            }
            if took > Duration::from_secs(1) {
                eprintln!("{}: {took:?}", path.display());
            }
            count += findings.len();
        }
        eprintln!("{}: {count} findings", folder.display());
    }
}
