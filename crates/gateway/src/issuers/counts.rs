//! What is counted of issuers outside of the platform.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::Issuers;
use super::limits::Limit;

/// Counts by a word.
#[derive(Debug)]
pub(super) struct Counts {
    fetches: Mutex<BTreeMap<&'static str, u64>>,
    introspections: Mutex<BTreeMap<&'static str, u64>>,
    limits: [AtomicU64; Limit::LABELS.len()],
}

/// What people watch for is there from the beginning.
impl Default for Counts {
    fn default() -> Self {
        let begin = |words: &[&'static str]| words.iter().map(|word| (*word, 0)).collect();
        Self {
            fetches: Mutex::new(begin(&["ok"])),
            introspections: Mutex::new(begin(&["active", "failed", "refused"])),
            limits: Default::default(),
        }
    }
}

impl Counts {
    /// A fetch of keys ended.
    pub(super) fn fetched(&self, result: &'static str) {
        add(&self.fetches, result);
    }

    /// A limit took effect.
    pub(super) fn hit(&self, limit: Limit) {
        self.hit_times(limit, 1);
    }

    /// A limit took effect so often.
    pub(super) fn hit_times(&self, limit: Limit, times: u64) {
        self.limits[limit as usize].fetch_add(times, Ordering::Relaxed);
    }

    /// A question for a token was answered.
    pub(super) fn introspected(&self, result: &'static str) {
        add(&self.introspections, result);
    }
}

fn add(counts: &Mutex<BTreeMap<&'static str, u64>>, word: &'static str) {
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    *counts.entry(word).or_default() += 1;
}

impl Issuers {
    /// Adds their metrics to a registry.
    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        registry.register_collector(Box::new(self.clone()));
    }
}

impl Collector for Issuers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts = &self.0.counts;
        for (name, help, counts) in [
            (
                "tollway_gateway_issuer_fetches",
                "Fetches of the keys of token issuers, by how they ended",
                &counts.fetches,
            ),
            (
                "tollway_gateway_introspections",
                "Questions for tokens of other issuers: active, inactive, cached, failed (no answer), refused (too many waited)",
                &counts.introspections,
            ),
        ] {
            let counts = counts
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (word, count) in counts {
                let labels = [("result", word)];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "tollway_gateway_issuer_limits_hit",
            "How often a limit on what is asked of token issuers took effect",
            None,
            MetricType::Counter,
        )?;
        for (limit, count) in Limit::LABELS.iter().zip(&counts.limits) {
            let count = ConstCounter::new(count.load(Ordering::Relaxed));
            count.encode(family.encode_family(&[("limit", *limit)])?)?;
        }
        let reports = self.reports();
        let named = |report: &sync::IssuerReport| format!("{}/{}", report.key.org, report.key.name);
        let mut family = encoder.encode_descriptor(
            "tollway_gateway_issuer_keys",
            "Keys that tokens of an issuer are verified with",
            None,
            MetricType::Gauge,
        )?;
        for report in &reports {
            let issuer = named(report);
            let labels = [("issuer", issuer.as_str())];
            let keys = i64::try_from(report.kids.len()).unwrap_or(i64::MAX);
            ConstGauge::new(keys).encode(family.encode_family(&labels)?)?;
        }
        let mut family = encoder.encode_descriptor(
            "tollway_gateway_issuer_failing",
            "1 where the last fetch of an issuer's keys, or the last question for a token, failed",
            None,
            MetricType::Gauge,
        )?;
        for report in &reports {
            let issuer = named(report);
            let labels = [("issuer", issuer.as_str())];
            let failing = report.fault.is_some() || report.introspection_fault.is_some();
            ConstGauge::new(i64::from(failing)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
