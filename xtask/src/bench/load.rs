//! Load generators: wrk, h2load, `openssl s_time`.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, ensure};
use serde::Deserialize;
use tokio::process::Command;

use super::process::pinned;

/// Connections that are kept busy with HTTP/1.1.
pub(crate) const CONNECTIONS: usize = 64;
/// Connections and streams on each that are kept busy with HTTP/2.
const H2_CONNECTIONS: usize = 16;
const H2_STREAMS: usize = 10;

/// What is asked for, again and again.
pub(crate) enum Load {
    /// HTTP/1.1, connections kept alive.
    Http1 {
        /// The whole URL.
        url: String,
        /// A header, as `Name: value`.
        header: Option<String>,
    },
    /// HTTP/1.1, connections kept alive, one after the other of these paths below the URL.
    Routes {
        /// The URL without a path.
        url: String,
        /// APIs `/api-0` and so on that are called.
        apis: usize,
    },
    /// HTTP/2 over TLS.
    Http2 {
        /// The whole URL.
        url: String,
    },
    /// A TLS 1.3 connection for each call, one after the other.
    Handshakes {
        /// Where TLS is spoken.
        address: SocketAddr,
        /// What is called once on each connection.
        path: String,
        /// Whether the session is resumed, or every handshake is a full one.
        resumed: bool,
    },
}

/// Where generators run.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// Cores, as `taskset -c` takes them; `None` = all.
    pub(crate) cores: Option<&'static str>,
    /// Threads of the generator.
    pub(crate) threads: usize,
}

/// What one turn gave.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    /// Answers that came back.
    pub(crate) calls: u64,
    /// How long it took, in microseconds.
    pub(crate) duration_us: u64,
    /// Median latency and that which one in a hundred exceeds, in microseconds, where the generator tells.
    pub(crate) latency_us: Option<(f64, f64)>,
}

impl Load {
    /// Runs it for so many seconds.
    ///
    /// # Errors
    /// When a single call fails: the cost of refusals is not what is measured.
    pub(crate) async fn run(
        &self,
        configs: &Path,
        place: Place,
        seconds: u64,
    ) -> anyhow::Result<Outcome> {
        match self {
            Self::Http1 { url, header } => {
                let mut wrk = wrk(configs, place, seconds);
                if let Some(header) = header {
                    wrk.args(["-H", header]);
                }
                wrk_outcome(&said("wrk", wrk.arg(url)).await?)
            }
            Self::Routes { url, apis } => {
                let mut wrk = wrk(configs, place, seconds);
                wrk_outcome(&said("wrk", wrk.args([url, "--", &apis.to_string()])).await?)
            }
            Self::Http2 { url } => {
                let mut h2load = pinned("h2load", place.cores);
                h2load.args(["--threads", &place.threads.to_string()]);
                h2load.args(["--clients", &H2_CONNECTIONS.to_string()]);
                h2load.args(["--max-concurrent-streams", &H2_STREAMS.to_string()]);
                h2load
                    .args(["--duration", &seconds.to_string()])
                    .args(["--tls13-ciphers", "TLS_AES_256_GCM_SHA384"]);
                h2load_outcome(&said("h2load", h2load.arg(url)).await?, seconds)
            }
            Self::Handshakes {
                address,
                path,
                resumed,
            } => {
                let mut openssl = pinned("openssl", place.cores);
                openssl.args([
                    "s_time",
                    "-tls1_3",
                    if *resumed { "-reuse" } else { "-new" },
                ]);
                openssl.args(["-connect", &address.to_string(), "-www", path]);
                openssl.args(["-time", &seconds.to_string()]);
                s_time_outcome(&said("openssl s_time", &mut openssl).await?)
            }
        }
    }
}

fn wrk(configs: &Path, place: Place, seconds: u64) -> Command {
    let mut wrk = pinned("wrk", place.cores);
    wrk.args([
        format!("-t{}", place.threads),
        format!("-c{CONNECTIONS}"),
        format!("-d{seconds}s"),
    ]);
    wrk.arg("-s").arg(configs.join("wrk.lua"));
    wrk
}

async fn said(tool: &str, command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .output()
        .await
        .with_context(|| format!("running {tool}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{tool} failed: {}{text}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text)
}

/// The line of JSON that `benches/wrk.lua` prints.
fn wrk_outcome(text: &str) -> anyhow::Result<Outcome> {
    #[derive(Deserialize)]
    struct Line {
        requests: u64,
        duration_us: u64,
        p50_us: f64,
        p99_us: f64,
        errors: u64,
    }
    let line = text.lines().rev().find(|line| line.starts_with('{'));
    let line = line.with_context(|| format!("wrk printed no result: {text}"))?;
    let line: Line = serde_json::from_str(line)?;
    ensure!(
        line.errors == 0,
        "{} of {} calls failed",
        line.errors,
        line.requests
    );
    Ok(Outcome {
        calls: line.requests,
        duration_us: line.duration_us,
        latency_us: Some((line.p50_us, line.p99_us)),
    })
}

/// `requests: 46491 total, … 46491 succeeded, 0 failed, 0 errored, 0 timeout`
fn h2load_outcome(text: &str, seconds: u64) -> anyhow::Result<Outcome> {
    let line = text.lines().find_map(|line| line.strip_prefix("requests:"));
    let line = line.with_context(|| format!("h2load printed no result: {text}"))?;
    let number = |what: &str| {
        let part = line.split(',').find(|part| part.trim().ends_with(what))?;
        part.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    let (done, succeeded) = (number("done"), number("succeeded"));
    let faults = ["failed", "errored", "timeout"].map(number);
    ensure!(
        faults == [Some(0); 3] && done == succeeded,
        "calls failed: {line}"
    );
    ensure!(
        text.contains("Application protocol: h2"),
        "h2load did not speak HTTP/2"
    );
    Ok(Outcome {
        calls: done.context("h2load counts what is done")?,
        duration_us: seconds * 1_000_000,
        latency_us: None,
    })
}

/// `2719 connections in 2 real seconds, 192 bytes read per connection`
fn s_time_outcome(text: &str) -> anyhow::Result<Outcome> {
    let line = text
        .lines()
        .rev()
        .find(|line| line.contains("real seconds"));
    let line = line.with_context(|| format!("openssl printed no result: {text}"))?;
    let numbers: Vec<u64> = line
        .split_ascii_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [calls, seconds, bytes] = numbers[..] else {
        anyhow::bail!("openssl said: {line}");
    };
    ensure!(bytes > 0, "connections got no answer: {line}");
    Ok(Outcome {
        calls,
        duration_us: seconds * 1_000_000,
        latency_us: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_of_wrk_is_the_line_of_json() {
        let said = |errors: u64| {
            format!(
                "Running 1s test\n  1 threads\n{{\"requests\":10,\"duration_us\":5,\"p50_us\":1,\"p99_us\":2,\"errors\":{errors}}}\n"
            )
        };
        let outcome = Outcome {
            calls: 10,
            duration_us: 5,
            latency_us: Some((1.0, 2.0)),
        };
        assert_eq!(wrk_outcome(&said(0)).unwrap(), outcome);
        assert!(wrk_outcome(&said(3)).is_err());
        assert!(wrk_outcome("Running 1s test\n").is_err());
    }

    #[test]
    fn what_h2load_counts_must_have_succeeded() {
        let said = |failed: u64| {
            format!(
                "Application protocol: h2\nfinished in 1.00s, 9.00 req/s\nrequests: 12 total, 12 started, 9 done, \
                 {} succeeded, {failed} failed, 0 errored, 0 timeout\n",
                9 - failed
            )
        };
        assert_eq!(h2load_outcome(&said(0), 2).unwrap().calls, 9);
        assert!(h2load_outcome(&said(1), 2).is_err());
    }

    #[test]
    fn connections_without_an_answer_do_not_count() {
        let said = |bytes: u64| {
            format!(
                "*rr\n\n7 connections in 0.63s; 11.1 connections/user sec, bytes read 9\n7 connections in 2 real seconds, {bytes} bytes read per connection\n"
            )
        };
        let outcome = s_time_outcome(&said(192)).unwrap();
        assert_eq!((outcome.calls, outcome.duration_us), (7, 2_000_000));
        assert!(s_time_outcome(&said(0)).is_err());
    }
}
