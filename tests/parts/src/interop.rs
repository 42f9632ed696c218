//! OAuth client libraries of other people, driven by the scripts of `tests/interop`.
//!
//! A script prints a line `ok NAME` for each step, or `not ok NAME` with what the server answered.

use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a script with these variables and returns the names of its steps, all of which have passed. `ca` is the authority,
/// in PEM, that it trusts.
///
/// # Panics
/// When the script's libraries are not installed in the versions of `tests/interop`, or one of its steps fails: the text is
/// what the script printed.
#[must_use]
pub fn run(script: &str, ca: &Path, variables: &[(&str, &str)]) -> Vec<String> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../interop");
    let is_node = script.ends_with(".mjs");
    let (program, folder, wanted, installed) = if is_node {
        ("node", "interop", "package-lock.json", "installed.json")
    } else {
        (
            "python3",
            "python-oauth",
            "requirements.txt",
            "installed.txt",
        )
    };
    let folder = crate::cache().join(folder);
    let wanted = std::fs::read(scripts.join(wanted)).expect("the script's libraries are named");
    let found = std::fs::read(folder.join(installed)).unwrap_or_default();
    assert!(
        wanted == found,
        "the client libraries in {} are not those of tests/interop: run ./.ci/tools",
        folder.display()
    );
    let mut command = Command::new("timeout");
    command
        .args(["-k", "5", "900", program])
        .arg(scripts.join(script))
        .env("MODULES", &folder)
        .env("PYTHONPATH", &folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("CA", ca)
        .env("REQUESTS_CA_BUNDLE", ca)
        .envs(variables.iter().copied())
        .stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|error| {
        panic!("{program} cannot be started ({error}): run ./.ci/tools");
    });
    let told = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{script} failed ({}): {told}\n{complained}",
        output.status
    );
    let passed = told.lines().filter_map(|line| line.strip_prefix("ok "));
    passed.map(str::to_owned).collect()
}
