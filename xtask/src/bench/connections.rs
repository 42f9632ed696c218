//! Connections that nobody uses: what the gateway holds for each.

mod wires;

use std::time::{Duration, Instant};

use super::Bench;
use super::certificate::Certificate;
use super::report::Report;
use super::tollway::{Folder, Setup, Tollway};
use wires::{Idle, Wire};

/// Connections that are kept open.
const COUNT: usize = 10_000;
/// Memory for all of them: 10 kB each.
const TARGET_MB: f64 = 100.0;
/// How long they are idle before memory is looked at: buffers are given back after a second.
const IDLE: Duration = Duration::from_secs(4);

/// See the module.
pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let certificate = Certificate::new()?;
    for (wire, target) in [
        (Wire::Http1, Some(TARGET_MB)),
        (Wire::Https1, Some(TARGET_MB)),
        (Wire::H2c, None),
        (Wire::H2, None),
    ] {
        one(bench, wire, &certificate, target, report).await?;
    }
    Ok(())
}

/// A platform of its own for each kind: memory that one kind has left would do for the next.
async fn one(
    bench: &Bench,
    wire: Wire,
    certificate: &Certificate,
    target_mb: Option<f64>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let mut setup = Setup::cores(1, None);
    setup.arguments = certificate.arguments();
    let platform = Tollway::start(&bench.tollway, &folder, &setup).await?;
    let address = if wire.is_tls() {
        platform.gateway_tls
    } else {
        platform.gateway
    };
    let open = |count: usize| -> anyhow::Result<Vec<Idle>> {
        let client = wire.client(address, certificate)?;
        (0..count).map(|_| client.used_once()).collect()
    };
    // The first calls make what stays anyway.
    drop(open(COUNT / 10)?);
    tokio::time::sleep(IDLE).await;
    let before = platform.process.resident_mb()?;
    let held = open(COUNT)?;
    let begun = Instant::now();
    tokio::time::sleep(IDLE).await;
    let growth = platform.process.resident_mb()? - before;
    // They are still there, and serve.
    for mut idle in held.into_iter().step_by(COUNT / 10) {
        idle.call()?;
    }
    let what = format!(
        "Memory of {COUNT} connections, {}, that were used once and then idle for {} s",
        wire.name(),
        begun.elapsed().as_secs()
    );
    report.figures.megabytes(what, growth, target_mb);
    Ok(())
}
