//! The node's usage: its spool in the data folder, its way to the control plane, its metrics.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, UserId};
use gateway::usage::{Collector, Spool, UsageState};
use prometheus_client::collector::Collector as Metrics;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use store::Retention;
use sync::ControlPlane;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::options::{Options, Span};
use super::{UpError, part};

/// The smallest spool: below it a single batch may not fit.
const SPOOL_BYTES_MIN: u64 = 64 * 1024;

/// The name under which this node is known: the configured one, or one that is made at the first start and stays.
pub(super) fn node_name(options: &Options, data_dir: &Path) -> Result<String, UpError> {
    if let Some(name) = &options.node_name {
        return Ok(name.clone());
    }
    let path = data_dir.join("node-name");
    let fault = |cause: std::io::Error| UpError::File {
        path: path.clone(),
        cause: cause.to_string(),
    };
    match std::fs::read_to_string(&path) {
        Ok(name) if !name.trim().is_empty() => return Ok(name.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(fault(error)),
    }
    // The end of such an id is random.
    let id = UserId::generate().0.simple().to_string();
    let name = format!("node-{}", &id[id.len() - 8..]);
    std::fs::write(&path, format!("{name}\n")).map_err(fault)?;
    Ok(name)
}

/// How long usage is kept.
///
/// # Errors
/// [`UpError::Options`] when a coarser step is kept for a shorter time than a finer one.
pub(super) fn retention(options: &Options) -> Result<Retention, UpError> {
    let mut keep = Retention::default();
    for (kept, option) in [
        (&mut keep.minutes_ms, options.usage_keep_minutes),
        (&mut keep.hours_ms, options.usage_keep_hours),
        (&mut keep.days_ms, options.usage_keep_days),
    ] {
        if let Some(span) = option {
            *kept = span.as_ms();
        }
    }
    if keep.minutes_ms > keep.hours_ms || keep.hours_ms > keep.days_ms {
        return Err(UpError::Options(
            "--usage-keep-minutes, --usage-keep-hours and --usage-keep-days: each must be at least the one before"
                .into(),
        ));
    }
    Ok(keep)
}

/// A node's usage on its way.
pub(super) struct UsageSide {
    pub(super) state: Arc<UsageState>,
    /// Ends when the gateway's workers have ended and what they counted is sent, or stays in the spool.
    pub(super) task: JoinHandle<()>,
}

/// Opens the spool and starts gathering; in a process that takes over only when the spool is `free`: until then what is
/// counted stays in memory.
pub(super) fn start(
    options: &Options,
    data_dir: &Path,
    node: &str,
    gateway: &mut gateway::Gateway,
    plane: Arc<dyn ControlPlane>,
    clock: Arc<dyn Clock>,
    free: Option<oneshot::Receiver<()>>,
) -> Result<UsageSide, UpError> {
    let config = config(options)?;
    let (folder, node) = (data_dir.join("usage"), node.to_owned());
    let open = move || Spool::open(&folder, &node, config.spool_bytes_max);
    let flushes = gateway
        .usage()
        .expect("the gateway was started just before, and nobody else asks");
    let interval = Duration::from_millis(config.flush_interval_ms);
    let state = Arc::new(UsageState::default());
    let told = Arc::clone(&state);
    let collect = move |spool| {
        Collector::new(flushes, spool, interval, plane, clock)
            .with_state(told)
            .run()
    };
    let task = match free {
        None => tokio::spawn(collect(open().map_err(part("usage"))?)),
        Some(free) => tokio::spawn(async move {
            // An error means that nobody else holds it either.
            let _ = free.await;
            match open() {
                Ok(spool) => collect(spool).await,
                Err(error) => tracing::error!(%error, "usage cannot be kept: it is lost"),
            }
        }),
    };
    Ok(UsageSide { state, task })
}

/// The gateway's part of the options.
///
/// # Errors
/// [`UpError::Options`] when a value is out of its range.
pub(super) fn config(options: &Options) -> Result<gateway::UsageConfig, UpError> {
    let mut config = gateway::UsageConfig::default();
    if let Some(interval) = options.usage_flush_interval.map(Span::as_ms) {
        config.flush_interval_ms = interval;
    }
    if let Some(rows) = options.usage_rows_max {
        config.rows_max = rows;
    }
    if let Some(bytes) = options.usage_spool_bytes_max {
        config.spool_bytes_max = bytes;
    }
    let wrong = |text: &str| Err(UpError::Options(text.to_owned()));
    if !(10..=60_000).contains(&config.flush_interval_ms) {
        return wrong("--usage-flush-interval goes from 10ms to 1m");
    }
    if config.rows_max == 0 {
        return wrong("--usage-rows-max is at least 1");
    }
    if config.spool_bytes_max < SPOOL_BYTES_MIN {
        return wrong("--usage-spool-bytes-max is at least 65536");
    }
    Ok(config)
}

/// Adds the metrics of usage on its way.
pub(super) fn register(registry: &mut Registry, state: &Arc<UsageState>) {
    registry.register_collector(Box::new(Numbers(Arc::clone(state))));
}

#[derive(Debug)]
struct Numbers(Arc<UsageState>);

impl Metrics for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let state = &self.0;
        let counters = [
            (
                "tollway_node_usage_batches_spooled",
                "Batches of usage written to the spool",
                state.spooled(),
            ),
            (
                "tollway_node_usage_batches_sent",
                "Batches of usage that the control plane has acknowledged",
                state.sent(),
            ),
            (
                "tollway_node_usage_batches_lost",
                "Batches of usage that were lost: the spool was full or failed, or they were refused",
                state.lost_batches(),
            ),
            (
                "tollway_node_usage_requests_lost",
                "Requests in the batches of usage that were lost",
                state.lost_requests(),
            ),
            (
                "tollway_node_usage_lines_damaged",
                "Lines of the usage spool that could not be read back",
                state.damaged(),
            ),
            (
                "tollway_node_usage_failures",
                "Times that the control plane could not take a batch of usage",
                state.failures(),
            ),
        ];
        for (name, help, value) in counters {
            let value = ConstCounter::new(value);
            value.encode(encoder.encode_descriptor(name, help, None, value.metric_type())?)?;
        }
        let waiting = i64::try_from(state.waiting_bytes()).unwrap_or(i64::MAX);
        let waiting = ConstGauge::new(waiting);
        waiting.encode(encoder.encode_descriptor(
            "tollway_node_usage_spool_bytes",
            "Bytes of usage that wait for the control plane",
            None,
            waiting.metric_type(),
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::default();
        let name = node_name(&options, folder.path()).unwrap();
        assert!(name.starts_with("node-") && name.len() == 13, "{name}");
        assert_eq!(node_name(&options, folder.path()).unwrap(), name);
        let options = Options {
            node_name: Some("edge-1".into()),
            ..Options::default()
        };
        assert_eq!(node_name(&options, folder.path()).unwrap(), "edge-1");
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let span = |text: &str| Some(text.parse().unwrap());
        let days = Options {
            usage_keep_minutes: span("2d"),
            usage_keep_hours: span("1d"),
            ..Options::default()
        };
        assert!(retention(&days).is_err());
        let one = Options {
            usage_keep_minutes: span("1h"),
            ..Options::default()
        };
        assert_eq!(retention(&one).unwrap().minutes_ms, 3_600_000);
        for options in [
            Options {
                usage_flush_interval: span("5ms"),
                ..Options::default()
            },
            Options {
                usage_rows_max: Some(0),
                ..Options::default()
            },
            Options {
                usage_spool_bytes_max: Some(65_535),
                ..Options::default()
            },
        ] {
            assert!(config(&options).is_err());
        }
        assert!(config(&Options::default()).is_ok());
    }
}
