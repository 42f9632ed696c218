//! The load generator.

use std::path::Path;

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::process::pinned;

/// Connections that are kept busy.
pub(crate) const CONNECTIONS: usize = 64;

/// What is asked for, again and again.
pub(crate) struct Request {
    /// The whole URL.
    pub(crate) url: String,
    /// A header, as `Name: value`.
    pub(crate) header: Option<String>,
}

/// What one turn gave.
#[derive(Debug, Deserialize)]
pub(crate) struct Outcome {
    /// Answers that came back.
    pub(crate) requests: u64,
    /// How long it took, in microseconds.
    pub(crate) duration_us: u64,
    /// Median latency, in microseconds.
    pub(crate) p50_us: f64,
    /// Latency that one in a hundred exceeds, in microseconds.
    pub(crate) p99_us: f64,
    /// Connections that failed and answers that were not 2xx or 3xx.
    errors: u64,
}

/// Sends a request over all connections for so many seconds, from these cores.
///
/// # Errors
/// When a single call fails: the cost of refusals is not what is measured.
pub(crate) async fn load(
    configs: &Path,
    request: &Request,
    cores: Option<&str>,
    threads: usize,
    seconds: u64,
) -> anyhow::Result<Outcome> {
    let mut command = pinned("wrk", cores);
    command.args([
        format!("-t{threads}"),
        format!("-c{CONNECTIONS}"),
        format!("-d{seconds}s"),
    ]);
    command.arg("-s").arg(configs.join("wrk.lua"));
    if let Some(header) = &request.header {
        command.args(["-H", header]);
    }
    let output = command
        .arg(&request.url)
        .output()
        .await
        .context("running wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "wrk failed: {}{text}",
        String::from_utf8_lossy(&output.stderr)
    );
    let outcome = read(&text)?;
    ensure!(
        outcome.errors == 0,
        "{} of {} calls of {} failed",
        outcome.errors,
        outcome.requests,
        request.url
    );
    Ok(outcome)
}

fn read(text: &str) -> anyhow::Result<Outcome> {
    let line = text.lines().rev().find(|line| line.starts_with('{'));
    let line = line.with_context(|| format!("wrk printed no result: {text}"))?;
    Ok(serde_json::from_str(line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_is_the_line_of_json() {
        let outcome = read(
            "Running 1s test\n  1 threads\n{\"requests\":10,\"duration_us\":5,\"p50_us\":1,\"p99_us\":2,\"errors\":3}\n",
        );
        let outcome = outcome.unwrap();
        assert_eq!(
            (outcome.requests, outcome.duration_us, outcome.errors),
            (10, 5, 3)
        );
        assert!(read("Running 1s test\n").is_err());
    }
}
