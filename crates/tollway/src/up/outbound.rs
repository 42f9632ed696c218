//! What the platform fetches from URLs of users: its limits from the options, its metrics.

use std::sync::Arc;

use control::{ControlConfig, ImportRefusals};
use fetch::{Allow, Counts, FetchConfig, Fetcher, SystemResolver};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::options::set;
use super::{Options, Span, UpError, part};

/// The guarded client that the options describe.
///
/// # Errors
/// [`UpError`] for an entry of the allow-list or a file of certificates that cannot be read.
pub(super) fn fetcher(options: &Options) -> Result<Fetcher, UpError> {
    let mut config = FetchConfig::default();
    let entries = options.outbound_allow.iter().flatten();
    config.allow = Allow::parse(entries.map(String::as_str))
        .map_err(|error| UpError::Options(format!("--outbound-allow: {error}")))?;
    set(&mut config.bytes_max, options.outbound_bytes_max);
    set(&mut config.redirects_max, options.outbound_redirects_max);
    set(
        &mut config.timeout_ms,
        options.outbound_timeout.map(Span::as_ms),
    );
    if let Some(path) = &options.outbound_ca {
        let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
        config.roots = read.map_err(|error| UpError::File {
            path: path.clone(),
            cause: error.to_string(),
        })?;
    }
    Fetcher::new(config, SystemResolver).map_err(part("outbound client"))
}

/// The limits of imports that the options set.
pub(super) fn import_limits(options: &Options, config: &mut ControlConfig) {
    set(
        &mut config.definition_files_max,
        options.definition_files_max,
    );
    set(
        &mut config.import_ms,
        options.import_timeout.map(Span::as_ms),
    );
    let archive = &mut config.archive;
    set(&mut archive.entries_max, options.archive_entries_max);
    set(&mut archive.file_bytes_max, options.archive_file_bytes_max);
    set(&mut archive.total_bytes_max, options.archive_bytes_max);
    set(&mut archive.ratio_max, options.archive_ratio_max);
}

/// Adds the counts of fetches and refused imports to a registry.
pub(super) fn register(
    registry: &mut Registry,
    fetches: Arc<Counts>,
    refusals: Arc<ImportRefusals>,
) {
    registry.register_collector(Box::new(Outbound { fetches, refusals }));
}

#[derive(Debug)]
struct Outbound {
    fetches: Arc<Counts>,
    refusals: Arc<ImportRefusals>,
}

impl Collector for Outbound {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut family = encoder.encode_descriptor(
            "tollway_outbound_fetches",
            "Fetches of URLs that users named, by how they ended",
            None,
            MetricType::Counter,
        )?;
        for (result, count) in self.fetches.iter() {
            let labels = [("result", result)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        let mut family = encoder.encode_descriptor(
            "tollway_import_refusals",
            "Imports refused for their archive or their number of files, by reason",
            None,
            MetricType::Counter,
        )?;
        for (reason, count) in self.refusals.counts() {
            let labels = [("reason", reason)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
