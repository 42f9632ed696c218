//! Generated files and measurements.
//!
//! `cargo xtask generate` writes the files, a test fails when one is out of date; `cargo xtask bench` measures.
#![expect(clippy::print_stdout, reason = "a command-line tool talks on stdout")]

mod bench;
mod generate;

#[cfg(test)]
mod layers;
#[cfg(test)]
mod named_tests;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

fn main() -> anyhow::Result<()> {
    let root = root()?;
    let command = std::env::args().nth(1);
    match command.as_deref() {
        Some("generate") => write(&root),
        Some("bench") => bench::run(&root, std::env::args().skip(2)),
        Some("bench-pace") => bench::pace(std::env::args().skip(2)),
        _ => bail!("usage: cargo xtask generate | bench [--help]"),
    }
}

/// The workspace's folder: the parent of this crate's.
fn root() -> anyhow::Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here
        .parent()
        .context("xtask lies in the workspace")?
        .to_owned())
}

fn write(root: &Path) -> anyhow::Result<()> {
    for file in generate::files() {
        let path = root.join(file.path);
        std::fs::create_dir_all(path.parent().context("every file has a folder")?)?;
        std::fs::write(&path, file.text).with_context(|| format!("writing {}", path.display()))?;
        println!("wrote {}", file.path);
    }
    Ok(())
}

/// Fails when somebody changed a source and forgot `cargo xtask generate`.
#[test]
fn generated_files_are_up_to_date() {
    let root = root().expect("the workspace is there");
    for file in generate::files() {
        let text = std::fs::read_to_string(root.join(file.path)).unwrap_or_default();
        assert!(
            text == file.text,
            "{} is out of date: run `cargo xtask generate`",
            file.path
        );
    }
}
