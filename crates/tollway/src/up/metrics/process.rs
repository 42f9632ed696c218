//! The process as the system sees it, under the names that all Prometheus clients use.
//!
//! Source: /proc/self (proc(5)). What cannot be read is left out.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Ticks of processor time a second (`USER_HZ`), the same on every Linux.
const TICKS_PER_S: f64 = 100.0;

#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(bytes) = resident_bytes() {
            let value = ConstGauge::new(bytes);
            let (help, unit) = ("Memory that is resident", Some(&Unit::Bytes));
            let kind = value.metric_type();
            value.encode(encoder.encode_descriptor(
                "process_resident_memory",
                help,
                unit,
                kind,
            )?)?;
        }
        if let Some(seconds) = cpu_seconds() {
            let value = ConstCounter::new(seconds);
            let (help, unit) = (
                "Processor time, of user and system together",
                Some(&Unit::Seconds),
            );
            let kind = value.metric_type();
            value.encode(encoder.encode_descriptor("process_cpu", help, unit, kind)?)?;
        }
        if let Some(count) = open_files() {
            let value = ConstGauge::new(count);
            let kind = value.metric_type();
            let help = "Files and sockets that are open";
            value.encode(encoder.encode_descriptor("process_open_fds", help, None, kind)?)?;
        }
        Ok(())
    }
}

/// `VmRSS` of `status`, which is in KiB.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Fields 14 and 15 of `stat`; the second may hold spaces, so that they are counted from behind it.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(f64::from(user.saturating_add(system)) / TICKS_PER_S)
}

fn open_files() -> Option<i64> {
    let count = std::fs::read_dir("/proc/self/fd").ok()?.count();
    i64::try_from(count).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells() {
        assert!(resident_bytes().unwrap() > 1024 * 1024);
        assert!(cpu_seconds().unwrap() >= 0.0);
        assert!(open_files().unwrap() > 2);
    }
}
