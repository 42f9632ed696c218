//! What a call costs: proxies under load by turns, so that a slow minute of the machine strikes all of them.

use anyhow::ensure;

use super::process::{Cpu, Process};
use super::report::{Figures, Table, verdict};
use super::statistics::{median, range};
use super::wrk::{self, Outcome, Request};
use super::{Options, Places, nginx::Nginx, tollway};

/// Who runs where.
pub(crate) struct Layout {
    title: &'static str,
    note: &'static str,
    /// Cores of the proxy, and as many workers.
    proxy: &'static str,
    workers: usize,
    /// Cores of load generator and backend; `None` = all.
    load: Option<&'static str>,
    threads: usize,
}

/// The proxy has one core for itself.
pub(crate) const ONE_CORE: Layout = Layout {
    title: "Calls, one core",
    note: "The proxy has one worker and is pinned to core 0; wrk and the backend are pinned to core 1.",
    proxy: "0",
    workers: 1,
    load: Some("1"),
    threads: 1,
};

/// The proxy has two, and its workers contend for the same counters.
pub(crate) const TWO_CORES: Layout = Layout {
    title: "Calls, two cores",
    note: "The proxy has two workers on cores 0 and 1. On a machine with two cores, wrk and the backend share them with it: \
           CPU per request can be compared, throughput and latency are those of the whole.",
    proxy: "0,1",
    workers: 2,
    load: None,
    threads: 2,
};

/// A proxy and the request that it gets. The first of all is what the others are compared with.
struct Case<'a> {
    name: &'static str,
    process: &'a Process,
    request: Request,
    /// At most so many times the CPU of the first case.
    target: Option<f64>,
}

/// What the turns of a case gave.
#[derive(Default)]
struct Turns {
    user_us: Vec<f64>,
    system_us: Vec<f64>,
    cpu_us: Vec<f64>,
    per_second: Vec<f64>,
    p50_us: Vec<f64>,
    p99_us: Vec<f64>,
}

impl Turns {
    fn add(&mut self, before: Cpu, after: Cpu, outcome: &Outcome) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of one turn are far below 2^53"
        )]
        let (requests, duration_us) = (outcome.requests as f64, outcome.duration_us as f64);
        self.user_us
            .push((after.user_us - before.user_us) / requests);
        self.system_us
            .push((after.system_us - before.system_us) / requests);
        self.cpu_us
            .push((after.total_us() - before.total_us()) / requests);
        self.per_second.push(requests / duration_us * 1e6);
        self.p50_us.push(outcome.p50_us);
        self.p99_us.push(outcome.p99_us);
    }
}

/// What is measured, beside what.
fn cases<'a>(
    nginx: &'a Nginx,
    tollway: &'a tollway::Tollway,
    token: &str,
    key: &str,
) -> Vec<Case<'a>> {
    let at = |api: &str| format!("http://{}/{api}/1.0.0/items/42", tollway.gateway);
    let case = |name, request, target| Case {
        name,
        process: &tollway.process,
        request,
        target,
    };
    let plain = format!("http://{}/plain/1.0.0/items/42", nginx.address);
    vec![
        Case {
            name: "nginx, plain proxy",
            process: &nginx.process,
            request: Request {
                url: plain,
                header: None,
            },
            target: None,
        },
        case(
            "Tollway, plain call (open API)",
            Request {
                url: at("plain"),
                header: None,
            },
            Some(1.15),
        ),
        case(
            "Tollway, managed call (JWT, subscription, quota, metrics)",
            Request {
                url: at("managed"),
                header: Some(format!("Authorization: Bearer {token}")),
            },
            Some(1.35),
        ),
        case(
            "Tollway, managed call (API key, subscription, quota, metrics)",
            Request {
                url: at("managed"),
                header: Some(format!("X-API-Key: {key}")),
            },
            None,
        ),
    ]
}

/// Measures all cases in one layout.
pub(crate) async fn measure(
    layout: &Layout,
    options: &Options,
    places: &Places,
    figures: &mut Figures,
) -> anyhow::Result<Table> {
    println!("== {}", layout.title);
    let configs = &places.configs;
    let backend = Nginx::backend(configs, layout.load).await?;
    let nginx = Nginx::proxy(configs, backend.address, layout.workers, Some(layout.proxy)).await?;
    let folder = tollway::Folder::new()?;
    let tollway = tollway::Tollway::start(
        &places.tollway,
        &folder,
        Some(layout.workers),
        Some(layout.proxy),
    )
    .await?;
    let control = tollway.control().await?;
    control.apply_bench(configs, backend.address).await?;
    let (token, key) = (
        control.token("bench").await?,
        control.api_key("bench").await?,
    );
    let cases = cases(&nginx, &tollway, &token, &key);

    for case in &cases {
        wrk::load(configs, &case.request, layout.load, layout.threads, 1).await?;
    }
    let mut turns: Vec<Turns> = cases.iter().map(|_| Turns::default()).collect();
    for round in 1..=options.rounds {
        for (case, turns) in cases.iter().zip(&mut turns) {
            let before = case.process.cpu()?;
            let outcome = wrk::load(
                configs,
                &case.request,
                layout.load,
                layout.threads,
                options.seconds,
            )
            .await?;
            ensure!(outcome.requests > 0, "{}: no call was answered", case.name);
            turns.add(before, case.process.cpu()?, &outcome);
            let (cpu_us, per_second) = (turns.cpu_us[round - 1], turns.per_second[round - 1]);
            println!(
                "   round {round}: {cpu_us:5.2} µs, {per_second:6.0} calls/s  {}",
                case.name
            );
        }
    }
    let served: f64 = turns[1..]
        .iter()
        .flat_map(|turns| &turns.per_second)
        .sum::<f64>()
        / 1e6;
    #[expect(clippy::cast_precision_loss, reason = "seconds of a turn are few")]
    let served = served * options.seconds as f64;
    let what = format!(
        "Memory after {served:.1} million calls, {} worker(s)",
        layout.workers
    );
    figures.megabytes(what, tollway.process.resident_mb()?, None);
    Ok(table(layout, &cases, &turns))
}

fn table(layout: &Layout, cases: &[Case<'_>], turns: &[Turns]) -> Table {
    let mut table = Table::new(
        layout.title,
        layout.note,
        &[
            "case",
            "CPU µs a call",
            "least – most",
            "user + system",
            "× nginx",
            "target",
            "",
            "calls/s",
            "p50 µs",
            "p99 µs",
        ],
    );
    let base = median(&turns[0].cpu_us);
    for (case, turns) in cases.iter().zip(turns) {
        let (cpu, (least, most)) = (median(&turns.cpu_us), range(&turns.cpu_us));
        let ratio = cpu / base;
        table.row(vec![
            case.name.to_owned(),
            format!("{cpu:.2}"),
            format!("{least:.2} – {most:.2}"),
            format!(
                "{:.2} + {:.2}",
                median(&turns.user_us),
                median(&turns.system_us)
            ),
            format!("{ratio:.2}"),
            case.target
                .map(|target| format!("≤ {target:.2}"))
                .unwrap_or_default(),
            case.target
                .map(|target| verdict(ratio, target))
                .unwrap_or_default(),
            format!("{:.0}", median(&turns.per_second)),
            format!("{:.0}", median(&turns.p50_us)),
            format!("{:.0}", median(&turns.p99_us)),
        ]);
    }
    table
}
