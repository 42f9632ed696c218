//! The access log: one JSON object a line, written by a thread of its own.
//!
//! A call never waits for the disk: what does not fit into the queue is dropped and counted. Credentials are not
//! logged: no headers at all, and of a query the names alone.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use serde::Serialize;

use crate::config::AccessLogConfig;

/// The log of a gateway.
pub(crate) struct AccessLog {
    lines: Option<SyncSender<Vec<u8>>>,
    /// Calls are logged where a random number is below this.
    threshold: u64,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What is logged of a call.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    /// Milliseconds since 1970.
    pub(crate) time_ms: u64,
    pub(crate) trace_id: String,
    pub(crate) client_ip: String,
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) path: String,
    /// The query with its values masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) query: Option<String>,
    pub(crate) status: u16,
    /// The error code, where the gateway refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<&'static str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) api: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) operation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) application: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) plan: String,
    /// Until the head of the backend's answer, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) backend_us: Option<u64>,
}

/// A line with what is known at the end of a call only.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole<'a> {
    #[serde(flatten)]
    line: &'a Line,
    duration_us: u64,
    bytes_out: u64,
    complete: bool,
}

impl AccessLog {
    /// Opens the log and starts its thread.
    pub(crate) fn open(config: &AccessLogConfig) -> io::Result<Self> {
        let output: Box<dyn Write + Send> = match &config.file {
            Some(path) => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
            None => Box::new(io::stdout()),
        };
        let (lines, queue) = sync_channel(config.queue_max.max(1));
        let writer = std::thread::Builder::new()
            .name("gateway-log".to_owned())
            .spawn(move || write_lines(&queue, BufWriter::new(output)))?;
        Ok(Self {
            lines: Some(lines),
            threshold: threshold(config.sample),
            writer: Mutex::new(Some(writer)),
        })
    }

    /// Whether a call is logged.
    pub(crate) fn takes(&self, random: u64, status: u16) -> bool {
        status >= 500 || random < self.threshold
    }

    /// Queues a line; `false` when it was dropped.
    pub(crate) fn write(
        &self,
        line: &Line,
        duration_us: u64,
        bytes_out: u64,
        complete: bool,
    ) -> bool {
        let whole = Whole {
            line,
            duration_us,
            bytes_out,
            complete,
        };
        let Ok(mut text) = serde_json::to_vec(&whole) else {
            return false;
        };
        text.push(b'\n');
        self.lines
            .as_ref()
            .is_some_and(|lines| lines.try_send(text).is_ok())
    }
}

/// Waits until all lines are written.
impl Drop for AccessLog {
    fn drop(&mut self) {
        self.lines = None;
        let writer = self.writer.get_mut().map(Option::take);
        if let Ok(Some(writer)) = writer {
            // A writer that panicked has said so itself.
            let _ = writer.join();
        }
    }
}

/// `u64::MAX` for 1 and above, so that everything is below it but one number in 2^64.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of all numbers; the cast saturates"
)]
fn threshold(sample: f64) -> u64 {
    (sample * u64::MAX as f64) as u64
}

fn write_lines(queue: &Receiver<Vec<u8>>, mut output: impl Write) {
    let mut failing = false;
    while let Ok(first) = queue.recv() {
        let mut result = output.write_all(&first);
        // Flushed when nothing waits: many lines share one write under load, and none lingers without.
        while let Ok(line) = queue.try_recv() {
            result = result.and(output.write_all(&line));
        }
        result = result.and(output.flush());
        match result {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                failing = true;
                tracing::error!(%error, "the access log cannot be written");
            }
            Err(_) => {}
        }
    }
}

/// A query with its values masked: `key=abc&x=1` becomes `key=*&x=*`. What has no `=` may be a secret itself.
pub(crate) fn mask(query: &str) -> String {
    let mut masked = String::with_capacity(query.len());
    for (index, pair) in query.split('&').enumerate() {
        if index > 0 {
            masked.push('&');
        }
        if let Some((name, _)) = pair.split_once('=') {
            masked.push_str(name);
            masked.push_str("=*");
        } else if !pair.is_empty() {
            masked.push('*');
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            time_ms: 1,
            trace_id: "t".to_owned(),
            client_ip: "192.0.2.1".to_owned(),
            method: "GET".to_owned(),
            host: "h".to_owned(),
            path: "/p".to_owned(),
            query: Some(mask("apikey=secret")),
            status: 200,
            code: None,
            api: "orders".to_owned(),
            operation: "list".to_owned(),
            application: None,
            plan: String::new(),
            backend_us: Some(5),
        }
    }

    #[test]
    fn values_of_a_query_are_masked() {
        assert_eq!(mask("apikey=secret&x=1=2"), "apikey=*&x=*");
        assert_eq!(mask("secret"), "*");
        assert_eq!(mask("a=&&b"), "a=*&&*");
    }

    #[test]
    fn lines_are_json_and_all_there_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("access.log");
        let log = AccessLog::open(&AccessLogConfig {
            file: Some(file.clone()),
            ..AccessLogConfig::default()
        })
        .unwrap();
        for _ in 0..50 {
            assert!(log.write(&line(), 10, 20, true));
        }
        drop(log);
        let text = std::fs::read_to_string(file).unwrap();
        assert_eq!(text.lines().count(), 50);
        assert!(!text.contains("secret"));
        let value: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(value["query"], "apikey=*");
        assert_eq!(value["durationUs"], 10);
        assert_eq!(value["bytesOut"], 20);
        assert_eq!(value["complete"], true);
    }

    #[test]
    fn a_full_queue_drops() {
        let (lines, queue) = sync_channel(2);
        let log = AccessLog {
            lines: Some(lines),
            threshold: u64::MAX,
            writer: Mutex::new(None),
        };
        let taken: Vec<bool> = (0..3).map(|_| log.write(&line(), 0, 0, true)).collect();
        assert_eq!(taken, [true, true, false]);
        drop(queue);
    }

    #[test]
    fn the_sample_is_a_share_and_failures_are_always_logged() {
        let with = |sample| AccessLog {
            lines: None,
            threshold: threshold(sample),
            writer: Mutex::new(None),
        };
        assert!(!with(0.0).takes(0, 200));
        assert!(with(0.0).takes(u64::MAX, 502));
        assert!(with(0.5).takes(u64::MAX / 4, 200));
        assert!(!with(0.5).takes(u64::MAX / 4 * 3, 200));
        assert!(with(1.0).takes(u64::MAX - 1, 200));
    }
}
