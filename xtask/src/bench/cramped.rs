//! A start with many APIs on one core, with little memory.

use super::Bench;
use super::memory_group::MemoryGroup;
use super::platform::{fill, milliseconds};
use super::report::Report;
use super::statistics::median;
use super::tollway::{Folder, Setup, Tollway};

/// Memory that the process may have.
const BYTES: u64 = 512 * 1024 * 1024;
/// Until `/readyz` answers, in milliseconds (C6).
const READY_MAX: f64 = 5000.0;

/// See the module.
pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let apis = bench.options.cramped_apis;
    let folder = Folder::new()?;
    let platform = Tollway::start(&bench.tollway, &folder, &Setup::default()).await?;
    fill(&platform.control().await?, &bench.configs, apis).await?;
    drop(platform);

    let group = MemoryGroup::limited(BYTES);
    let setup = Setup {
        group: group.as_ref(),
        ..Setup::cores(1, Some("0"))
    };
    let (mut ready, mut peak) = (Vec::new(), Vec::new());
    for _ in 0..bench.options.rounds {
        let platform = Tollway::start(&bench.tollway, &folder, &setup).await?;
        ready.push(milliseconds(platform.ready_after));
        peak.push(platform.process.peak_mb()?);
    }
    let figures = &mut report.figures;
    let limit = if group.is_some() {
        "in a control group of 512 MiB"
    } else {
        "no control group can be made here: see the peak"
    };
    figures.milliseconds(
        format!("Ready with {apis} APIs on one core ({limit})"),
        median(&ready),
        Some(READY_MAX),
    );
    let what = format!("… the most memory until then, {apis} APIs");
    figures.megabytes(what, median(&peak), Some(536.0));
    Ok(())
}
