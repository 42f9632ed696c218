//! `cargo xtask bench`: what Tollway costs, beside a plain proxy, in one run.
//!
//! Two parts: [`calls`] puts proxies under load by turns, [`platform`] looks at start-up, memory and edits. A further
//! proxy to compare with is a module like [`nginx`] and entries in [`calls::cases`].

mod calls;
mod http;
mod machine;
mod nginx;
mod platform;
mod process;
mod report;
mod statistics;
mod tollway;
mod wrk;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};

use report::Table;

/// Measures Tollway beside nginx; needs nginx, wrk, taskset and setpriv (Debian: nginx-light, wrk, util-linux).
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
pub(crate) struct Options {
    /// The `tollway` to measure [default: that of `cargo build --profile dist`]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Rounds; each gives every case its turn, and the medians count
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// Seconds of load in one turn
    #[arg(long, value_name = "N", default_value_t = 8)]
    seconds: u64,
    /// APIs of the big platform
    #[arg(long, value_name = "N", default_value_t = 5000)]
    apis: usize,
    /// Edits between the two looks at memory
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    edits: usize,
    /// One short round of everything: shows that it works, not what it costs
    #[arg(long)]
    quick: bool,
    /// Only this part
    #[arg(long, value_name = "PART")]
    only: Option<Part>,
    /// Write the tables into docs/benchmarks.md
    #[arg(long, conflicts_with_all = ["quick", "only"])]
    write: bool,
}

/// A part that can be run alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Cost of calls, the proxy on one core.
    Calls,
    /// Cost of calls on two cores.
    CallsTwoCores,
    /// Start-up, memory and edits with few APIs.
    Few,
    /// Start-up, memory and edits with many APIs.
    Many,
}

/// Where things are.
struct Places {
    /// The `tollway` binary.
    tollway: PathBuf,
    /// The configurations of all peers.
    configs: PathBuf,
}

/// Runs the measurements that the arguments ask for and prints the tables.
///
/// # Errors
/// When a tool is missing, a process does not start, or a call under load fails: then the numbers would mean nothing.
pub(crate) fn run(root: &Path, arguments: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let mut options = Options::parse_from(std::iter::once("bench".to_owned()).chain(arguments));
    if options.quick {
        (options.rounds, options.seconds, options.apis, options.edits) = (1, 1, 200, 50);
    }
    ensure!(
        options.rounds > 0 && options.seconds > 0,
        "--rounds and --seconds are at least 1"
    );
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let tollway = options
        .binary
        .clone()
        .unwrap_or_else(|| target.join("dist/tollway"));
    ensure!(
        tollway.is_file(),
        "{} is missing; `make bench` builds it",
        tollway.display()
    );
    let places = Places {
        tollway,
        configs: root.join("benches"),
    };
    let machine = machine::describe(root, &places.tollway)?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tables = runtime.block_on(async {
        // What is running ends when the future is dropped, so a signal leaves nothing behind.
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            tables = measure(&options, &places) => tables,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
            _ = terminate.recv() => anyhow::bail!("terminated"),
        }
    })?;

    let text = report::markdown(&machine, &how(&options), &tables);
    println!("\n{text}");
    if options.write {
        let path = root.join("docs/benchmarks.md");
        report::write(&path, &text).with_context(|| format!("writing {}", path.display()))?;
        println!("written into {}", path.display());
    }
    Ok(())
}

fn how(options: &Options) -> String {
    format!(
        "{} rounds of {} s a case by turns, medians",
        options.rounds, options.seconds
    )
}

async fn measure(options: &Options, places: &Places) -> anyhow::Result<Vec<Table>> {
    let wanted = |part| options.only.is_none_or(|only| only == part);
    let mut tables = Vec::new();
    let mut figures = report::Figures::default();
    if wanted(Part::Calls) {
        tables.push(calls::measure(&calls::ONE_CORE, options, places, &mut figures).await?);
    }
    if wanted(Part::CallsTwoCores) {
        tables.push(calls::measure(&calls::TWO_CORES, options, places, &mut figures).await?);
    }
    if wanted(Part::Few) {
        platform::few(options, places, &mut figures).await?;
    }
    if wanted(Part::Many) {
        platform::many(options, places, &mut figures).await?;
    }
    tables.extend(figures.table());
    Ok(tables)
}
