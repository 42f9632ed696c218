//! Latency where nothing is saturated: calls at a constant rate, half of what nginx can do.

pub(crate) mod generator;

use std::net::SocketAddr;

use anyhow::Context;

use super::Bench;
use super::calls::{APART, Served};
use super::load::Load;
use super::nginx::Nginx;
use super::process::pinned;
use super::report::{Report, Table};
use super::statistics::{median, range};
use super::tollway::{Folder, Setup};
use generator::Latency;

/// At most so many times what nginx adds to the backend's own p99.
const TARGET: f64 = 1.25;
const PATH: &str = "/plain/1.0.0/items/42";

/// See the module.
pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let core = Some("0");
    let backend = Nginx::backend(&bench.configs, APART.cores).await?;
    let nginx = Nginx::proxy(&bench.configs, backend.address, 1, core).await?;
    let folder = Folder::new()?;
    let served = Served::start(bench, &folder, &backend, &Setup::cores(1, core)).await?;

    let saturation = Load::Http1 {
        url: format!("http://{}{PATH}", nginx.address),
        header: None,
    };
    let saturation = saturation.run(&bench.configs, APART, bench.options.seconds);
    let saturation = saturation.await?;
    let rate = saturation.calls * 1_000_000 / saturation.duration_us / 2;
    println!("   {rate} calls/s, half of what nginx can do");

    let cases = [
        ("the backend itself", backend.address),
        ("nginx, plain proxy", nginx.address),
        ("Tollway, plain call (open API)", served.platform.gateway),
    ];
    let mut found: [Vec<Latency>; 3] = Default::default();
    for _ in 0..bench.options.rounds {
        for ((name, address), found) in cases.iter().zip(&mut found) {
            let latency = once(*address, rate, bench.options.seconds).await;
            let latency = latency.with_context(|| (*name).to_owned())?;
            println!(
                "   p50 {:5.0} µs, p99 {:5.0} µs, of all {:5.0} µs, {} windows held up  {name}",
                latency.p50_us,
                median(&latency.windows_p99_us),
                latency.p99_us,
                latency.held_up
            );
            found.push(latency);
        }
    }
    let p99: Vec<f64> = found.iter().map(|case| median(&windows(case))).collect();
    report.tables.push(table(rate, &cases, &found));
    let added = |case: usize| p99[case] - p99[0];
    let what = "p99 added at half of nginx's saturation, × what nginx adds";
    report
        .figures
        .ratio(what, added(2) / added(1), Some(TARGET));
    Ok(())
}

/// The p99 of all windows of all rounds.
fn windows(found: &[Latency]) -> Vec<f64> {
    let windows = found.iter().flat_map(|found| &found.windows_p99_us);
    windows.copied().collect()
}

async fn once(address: SocketAddr, rate: u64, seconds: u64) -> anyhow::Result<Latency> {
    let mut command = pinned(std::env::current_exe()?, APART.cores);
    command.args(["bench-pace", &address.to_string(), PATH]);
    command.args([rate.to_string(), seconds.to_string()]);
    let output = command.output().await?;
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).with_context(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("the generator said: {said}{text}")
    })
}

fn table(rate: u64, cases: &[(&str, SocketAddr)], found: &[Vec<Latency>]) -> Table {
    let note = format!(
        "{rate} calls a second, begun at equal distances whatever the answers do; a call that has to wait for a connection \
         counts from when it was due. {} connections; the proxy on core 0, generator and backend on core 1. p99 is that of the \
         calls of a quarter of a second, the median over all those of all rounds; *held up* are those in which the generator, which \
         waits for nothing, stood still for 2 ms or more. *p99 of all* is that of whole turns, which such moments decide.",
        generator::CONNECTIONS
    );
    let mut table = Table::new(
        "Latency at half of nginx's saturation, one core",
        &note,
        &[
            "case",
            "p50 µs",
            "p99 µs",
            "least – most",
            "p99 of all µs",
            "least – most",
            "held up",
        ],
    );
    for ((name, _), found) in cases.iter().zip(found) {
        let of = |value: fn(&Latency) -> f64| found.iter().map(value).collect::<Vec<_>>();
        let windows = windows(found);
        let all = of(|found| found.p99_us);
        let span = |values: &[f64]| {
            let (least, most) = range(values);
            format!("{least:.0} – {most:.0}")
        };
        let held_up: usize = found.iter().map(|found| found.held_up).sum();
        table.row(vec![
            (*name).to_owned(),
            format!("{:.0}", median(&of(|found| found.p50_us))),
            format!("{:.0}", median(&windows)),
            span(&windows),
            format!("{:.0}", median(&all)),
            span(&all),
            format!("{held_up} of {}", windows.len()),
        ]);
    }
    table
}
