//! Chromium, driven by a script through playwright-core.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs a script of `tests/browser` with these variables and returns what it printed. The browser's profile is a folder
/// that goes with it.
///
/// # Panics
/// When something is not installed (the line names it), or the script fails.
#[must_use]
pub fn run(script: &str, variables: &[(&str, &str)]) -> String {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../browser");
    let modules = modules();
    assert!(
        modules
            .join("node_modules/playwright-core/package.json")
            .exists(),
        "playwright-core is not installed in {}: run ./.ci/tools",
        modules.display()
    );
    let profile = tempfile::Builder::new()
        .prefix("tollway-chromium-")
        .tempdir()
        .expect("a temporary folder can be made");
    let mut command = Command::new("timeout");
    command
        .args(["-k", "5", "900", "node"])
        .arg(scripts.join(script))
        .env("CHROMIUM", chromium())
        .env("MODULES", &modules)
        .env("PROFILE", profile.path())
        .envs(variables.iter().copied())
        .stdin(Stdio::null());
    let output = command
        .output()
        .expect("node can be started (Debian: apt-get install nodejs)");
    let (told, complained) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{script} failed: {told}\n{complained}"
    );
    told
}

fn chromium() -> PathBuf {
    let found = ["/usr/bin/chromium", "/usr/bin/chromium-browser"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists());
    found.expect("chromium is installed (Debian: apt-get install chromium)")
}

/// Where `.ci/tools` installs the script's packages.
fn modules() -> PathBuf {
    crate::cache().join("browser")
}
