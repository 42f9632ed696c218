//! The path normaliser (req: S1): what passes is canonical, and nothing dangerous passes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policies::normalize_path::{PathRules, canonical};

fuzz_target!(|raw: &str| {
    let rules = PathRules::default();
    let Ok(path) = canonical(raw, &rules) else {
        return;
    };
    assert!(path.starts_with('/'));
    let again = canonical(&path, &rules).expect("a canonical path is accepted");
    assert_eq!(again, path, "canonical of a canonical path is that path");
    assert!(
        path.bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    );
    let lower = path.to_ascii_lowercase();
    for forbidden in [
        "//", "?", "#", "%2e", "%2f", "%5c", "%00", "%0a", "%0d", "%7f",
    ] {
        assert!(!lower.contains(forbidden), "{raw:?} became {path:?}");
    }
    assert!(path.split('/').all(|segment| {
        let name = segment.split(';').next().unwrap_or_default();
        name != "." && name != ".."
    }));
});
