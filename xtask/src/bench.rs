//! `cargo xtask bench`: what Tollway costs, beside plain proxies, in one run.
//!
//! What is measured is a list of parts, [`parts::PARTS`]: a part is a file and a line there. Loads by turns are
//! [`turns`], proxies to compare with are modules like [`nginx`].

mod bodies;
mod calls;
mod certificate;
mod connections;
mod cramped;
mod envoy;
mod functions;
mod haproxy;
mod http;
mod identity;
mod key_table;
mod load;
mod machine;
mod memory_group;
mod nginx;
mod pace;
mod parts;
mod platform;
mod process;
mod propagation;
mod report;
mod revocation;
mod routes;
mod statistics;
mod tls;
mod tollway;
mod turns;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Parser;

use report::Report;

/// Measures Tollway beside nginx, Envoy and HAProxy; `benches/tools` installs what it needs.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", after_help = parts::help())]
pub(crate) struct Options {
    /// The `tollway` to measure [default: that of `make dist`]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Rounds; each gives every case its turn, and the medians count
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// Seconds of load in one turn
    #[arg(long, value_name = "N", default_value_t = 5)]
    seconds: u64,
    /// APIs of the big platform
    #[arg(long, value_name = "N", default_value_t = 5000)]
    apis: usize,
    /// APIs of the platform that starts on one core with 512 MB
    #[arg(long, value_name = "N", default_value_t = 7000)]
    cramped_apis: usize,
    /// Edits between the two looks at memory
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    edits: usize,
    /// One short round of everything: shows that it works, not what it costs
    #[arg(long)]
    quick: bool,
    /// Only these parts
    #[arg(long, value_name = "PART", value_delimiter = ',', value_parser = parts::names())]
    only: Vec<String>,
    /// Write the tables into docs/benchmarks.md
    #[arg(long, conflicts_with_all = ["quick", "only"])]
    write: bool,
}

/// What a part is given.
pub(crate) struct Bench {
    options: Options,
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
        (options.rounds, options.seconds, options.edits) = (1, 1, 50);
        (options.apis, options.cramped_apis) = (200, 200);
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
        .unwrap_or_else(|| target.join("shipped/tollway"));
    ensure!(
        tollway.is_file(),
        "{} is missing; `make dist` builds it",
        tollway.display()
    );
    let machine = machine::describe(root, &tollway)?;
    let bench = Bench {
        options,
        tollway,
        configs: root.join("benches"),
    };

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(async {
        // What is running ends when the future is dropped, so a signal leaves nothing behind.
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            report = measure(&bench) => report,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
            _ = terminate.recv() => anyhow::bail!("terminated"),
        }
    })?;

    let text = report.markdown(&machine, &how(&bench.options));
    println!("\n{text}");
    if bench.options.write {
        let path = root.join("docs/benchmarks.md");
        report::write(&path, &text).with_context(|| format!("writing {}", path.display()))?;
        println!("written into {}", path.display());
    }
    Ok(())
}

/// The generator at a constant rate, in a process of its own: `cargo xtask bench-pace …`.
///
/// # Errors
/// When a call fails.
pub(crate) fn pace(arguments: impl Iterator<Item = String>) -> anyhow::Result<()> {
    pace::generator::main(arguments)
}

fn how(options: &Options) -> String {
    format!(
        "{} rounds of {} s a case by turns, medians",
        options.rounds, options.seconds
    )
}

async fn measure(bench: &Bench) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let only = &bench.options.only;
    for part in parts::PARTS {
        if only.is_empty() || only.iter().any(|wanted| wanted == part.name) {
            println!("== {}: {}", part.name, part.what);
            let measured = (part.run)(bench, &mut report).await;
            measured.with_context(|| format!("part {}", part.name))?;
        }
    }
    Ok(report)
}
