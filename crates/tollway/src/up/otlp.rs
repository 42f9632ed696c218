//! Sends traced calls to a collector: OTLP over HTTP (protobuf), in batches, on the control side's threads.
//!
//! The gateway's cores put a call into a bounded queue and go on; what the collector does not take in time is dropped
//! and counted. Start at [`start`]; what a call becomes is in `spans.rs`.

mod spans;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::Secret;
use gateway::spans::{Call, Sink};
use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::UpError;

/// Calls of one batch.
const BATCH_MAX: usize = 256;
/// How long a batch waits to be filled.
const EVERY: Duration = Duration::from_secs(1);
/// Where collectors take traces (OTLP specification, OTLP/HTTP request).
const PATH: &str = "/v1/traces";

/// Where traces go, and how.
pub(crate) struct Settings {
    /// The collector's base URL, or the whole URL where it ends in `/v1/traces`.
    pub(crate) endpoint: String,
    /// Headers of every request, for collectors that want a token.
    pub(crate) headers: Vec<(String, Secret<String>)>,
    /// How long the collector may take.
    pub(crate) timeout: Duration,
    /// Calls that may wait for it.
    pub(crate) queue_max: usize,
    /// The node's name.
    pub(crate) node: String,
}

/// What the exporter counts.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    spans: AtomicU64,
    spans_failed: AtomicU64,
}

impl Numbers {
    /// Spans that the collector has.
    pub(crate) fn spans(&self) -> u64 {
        self.spans.load(Ordering::Relaxed)
    }

    /// Spans that it did not take.
    pub(crate) fn spans_failed(&self) -> u64 {
        self.spans_failed.load(Ordering::Relaxed)
    }
}

/// A running exporter.
pub(crate) struct Exporting {
    /// Where the gateway puts calls.
    pub(crate) sink: Sink,
    /// What is counted.
    pub(crate) numbers: Arc<Numbers>,
    /// Ends when everything that waited was sent, after the stop.
    pub(crate) task: JoinHandle<()>,
}

/// Starts the exporter; it ends, when `stopped` says so, after a last batch.
///
/// # Errors
/// [`UpError::Options`] for a URL or headers that cannot be used.
pub(crate) fn start(
    settings: Settings,
    stopped: watch::Receiver<bool>,
) -> Result<Exporting, UpError> {
    let (sink, calls) = mpsc::channel(settings.queue_max.max(1));
    let numbers = Arc::<Numbers>::default();
    let sender = Sender {
        exporter: exporter(&settings)?,
        numbers: Arc::clone(&numbers),
        endpoint: settings.endpoint,
        failing: false,
    };
    let task = tokio::spawn(run(calls, sender, stopped));
    Ok(Exporting {
        sink,
        numbers,
        task,
    })
}

fn exporter(settings: &Settings) -> Result<SpanExporter, UpError> {
    let fault = |cause: String| UpError::Options(format!("--otlp-endpoint: {cause}"));
    let mut url: reqwest::Url = settings
        .endpoint
        .parse()
        .map_err(|error| fault(format!("{error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(fault("write http:// or https://".to_owned()));
    }
    if !url.path().ends_with(PATH) {
        let path = format!("{}{PATH}", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    let client = reqwest::Client::builder()
        .timeout(settings.timeout)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| fault(error.to_string()))?;
    let headers: HashMap<String, String> = settings
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.expose().clone()))
        .collect();
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(url)
        .with_headers(headers)
        .with_timeout(settings.timeout)
        .with_protocol(Protocol::HttpBinary)
        .build()
        .map_err(|error| fault(error.to_string()))?;
    let resource = Resource::builder_empty().with_attributes([
        KeyValue::new("service.name", "tollway"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", settings.node.clone()),
    ]);
    exporter.set_resource(&resource.build());
    Ok(exporter)
}

async fn run(
    mut calls: mpsc::Receiver<Box<Call>>,
    mut sender: Sender,
    mut stopped: watch::Receiver<bool>,
) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    loop {
        if *stopped.borrow() {
            // What waits is still there; nothing comes after it.
            calls.close();
        }
        tokio::select! {
            taken = calls.recv_many(&mut batch, BATCH_MAX) => if taken == 0 {
                return;
            },
            _ = stopped.wait_for(|stop| *stop), if !calls.is_closed() => continue,
        }
        let filling = async {
            while batch.len() < BATCH_MAX {
                let room = BATCH_MAX - batch.len();
                if calls.recv_many(&mut batch, room).await == 0 {
                    break;
                }
            }
        };
        tokio::select! {
            _ = tokio::time::timeout(EVERY, filling) => {}
            _ = stopped.wait_for(|stop| *stop) => {}
        }
        sender.send(&mut batch).await;
    }
}

/// Sends batches, and says once that the collector is away.
struct Sender {
    exporter: SpanExporter,
    numbers: Arc<Numbers>,
    endpoint: String,
    failing: bool,
}

impl Sender {
    #[expect(
        clippy::vec_box,
        reason = "a call is large and moves through a queue: its pointer does"
    )]
    async fn send(&mut self, batch: &mut Vec<Box<Call>>) {
        let spans: Vec<_> = batch.drain(..).flat_map(|call| spans::of(&call)).collect();
        let count = spans.len() as u64;
        match self.exporter.export(spans).await {
            Ok(()) => {
                self.numbers.spans.fetch_add(count, Ordering::Relaxed);
                self.failing = false;
            }
            Err(error) => {
                self.numbers
                    .spans_failed
                    .fetch_add(count, Ordering::Relaxed);
                if !self.failing {
                    let endpoint = &self.endpoint;
                    tracing::warn!(%error, endpoint, "the collector does not take traces; they are dropped and counted");
                }
                self.failing = true;
            }
        }
    }
}

/// The lines `name: value` of a file; empty lines and those that begin with `#` are passed over.
///
/// # Errors
/// [`UpError`] with the file and the line; the value is never shown.
pub(crate) fn headers(path: &Path) -> Result<Vec<(String, Secret<String>)>, UpError> {
    let fault = |line: Option<usize>, cause: &str| UpError::Config {
        path: path.to_owned(),
        line,
        cause: cause.to_owned(),
    };
    let text = std::fs::read_to_string(path).map_err(|error| fault(None, &error.to_string()))?;
    let lines = text.lines().enumerate();
    lines
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            let fault = |cause| fault(Some(number), cause);
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| fault("write `name: value`"))?;
            let (name, value) = (name.trim(), value.trim());
            if name.parse::<axum::http::HeaderName>().is_err() {
                return Err(fault("this is no name of a header"));
            }
            if value.parse::<axum::http::HeaderValue>().is_err() {
                return Err(fault("the value holds characters that no header has"));
            }
            Ok((name.to_owned(), Secret::new(value.to_owned())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_and_faults_named_without_the_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("headers");
        std::fs::write(&path, "# ours\n\nAuthorization: Bearer a:b\nx-team: edge\n").unwrap();
        let read = headers(&path).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].0, "Authorization");
        assert_eq!(read[0].1.expose(), "Bearer a:b");
        std::fs::write(&path, "ok: 1\nsecret without colon\n").unwrap();
        let message = headers(&path).unwrap_err().to_string();
        assert!(
            message.contains("headers:2: write `name: value`"),
            "{message}"
        );
        assert!(!message.contains("secret"), "{message}");
    }

    #[test]
    fn an_endpoint_that_is_none_is_refused() {
        let settings = |endpoint: &str| Settings {
            endpoint: endpoint.to_owned(),
            headers: Vec::new(),
            timeout: Duration::from_secs(1),
            queue_max: 1,
            node: "n".to_owned(),
        };
        for bad in ["collector:4318", "ftp://x", ""] {
            let message = exporter(&settings(bad)).unwrap_err().to_string();
            assert!(message.contains("--otlp-endpoint"), "{message}");
        }
    }
}
