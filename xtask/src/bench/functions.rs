//! What is measured without sockets, by example programs of their crates: policies, and keys of limits.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use serde::Deserialize;
use tokio::process::Command;

use super::Bench;
use super::calls::APART;
use super::process::pinned;
use super::report::{Report, Table};

/// An uncached token costs at most so many times the bare verification of its signature.
const UNCACHED_MAX: f64 = 1.1;
/// A limit's key takes at most so many bytes while it is active.
const KEY_BYTES_MAX: f64 = 100.0;

/// A line of the example `cost`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cost {
    what: String,
    alone_ns: Option<f64>,
    stack_ns: Option<f64>,
}

/// Every policy, alone and in a typical stack.
pub(crate) async fn policies(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let Some(program) = example(bench, "cost") else {
        missing("Policies, one by one", "policies", report);
        return Ok(());
    };
    let text = match said(pinned(program, APART.cores).arg("--json")).await {
        Ok(text) => text,
        Err(error) => {
            // The other parts are measured all the same.
            let why = format!("the example `cost` failed: {error}");
            let why = why.lines().next().unwrap_or_default();
            report.figures.missing("Policies, one by one", why);
            return Ok(());
        }
    };
    let costs: Vec<Cost> = text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .with_context(|| format!("the example `cost` printed {text}"))?;
    let note = "One core, without sockets. *Alone*: what a call costs more with the policy than without it, both ways. *In the \
                stack*: what the typical stack costs more with it than without it.";
    let head = ["policy", "alone, ns", "in the stack, ns"];
    let mut table = Table::new("Policies, one by one", note, &head);
    let text = |ns: Option<f64>| ns.map_or("–".to_owned(), |ns| format!("{ns:.0}"));
    for cost in &costs {
        let row = vec![cost.what.clone(), text(cost.alone_ns), text(cost.stack_ns)];
        table.row(row);
    }
    report.tables.push(table);
    let of = |what: &str| {
        let cost = costs.iter().find(|cost| cost.what == what);
        cost.and_then(|cost| cost.alone_ns)
            .with_context(|| format!("the example `cost` does not tell `{what}`"))
    };
    let times = of("jwt new")? / of("ES256, bare verification")?;
    let what = "Uncached JWT (ES256), what it adds to a call, × a bare verification";
    report.figures.ratio(what, times, Some(UNCACHED_MAX));
    Ok(())
}

/// Memory of the keys that limits count under.
pub(crate) async fn limit_keys(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let Some(program) = example(bench, "memory_of_keys") else {
        missing("Memory of active limit keys", "limits", report);
        return Ok(());
    };
    let text = said(&mut pinned(program, None)).await?;
    let mut lines = 0;
    for line in text.lines() {
        let Some((what, bytes)) = key_bytes(line) else {
            continue;
        };
        lines += 1;
        let what = format!("Memory of an active limit key, {what}");
        report.figures.bytes(what, bytes, Some(KEY_BYTES_MAX));
    }
    ensure!(lines > 0, "the example `memory_of_keys` printed {text}");
    Ok(())
}

/// `rate with a burst: 88 B a key`
fn key_bytes(line: &str) -> Option<(&str, f64)> {
    let (what, rest) = line.split_once(": ")?;
    Some((what, rest.strip_suffix(" B a key")?.parse().ok()?))
}

/// A program that stands beside the binary, where `make bench` has built it.
pub(super) fn example(bench: &Bench, name: &str) -> Option<PathBuf> {
    let program = bench.tollway.with_file_name("examples").join(name);
    program.is_file().then_some(program)
}

pub(super) fn missing(what: &str, package: &str, report: &mut Report) {
    let why =
        format!("`cargo build --examples -p {package}` in the profile of the binary is missing");
    report.figures.missing(what, &why);
}

pub(super) async fn said(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().await?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_about_keys_are_read() {
        let line = "rate with a burst: 88 B a key";
        assert_eq!(key_bytes(line), Some(("rate with a burst", 88.0)));
        assert_eq!(key_bytes("anything else"), None);
    }
}
