//! Loads by turns, so that a slow minute of the machine strikes all cases alike.

use anyhow::ensure;

use super::Bench;
use super::load::{Load, Outcome, Place};
use super::process::{Cpu, Process};
use super::report::Table;
use super::statistics::{median, range};

/// A process and the load that it gets.
pub(crate) struct Case<'a> {
    /// What it is, for people.
    pub(crate) name: &'static str,
    /// Whose CPU time is counted.
    pub(crate) process: &'a Process,
    /// What it gets.
    pub(crate) load: Load,
}

/// What the turns of a case gave.
#[derive(Default)]
pub(crate) struct Turns {
    user_us: Vec<f64>,
    system_us: Vec<f64>,
    cpu_us: Vec<f64>,
    per_second: Vec<f64>,
    p50_us: Vec<f64>,
    p99_us: Vec<f64>,
    calls: u64,
}

impl Turns {
    fn add(&mut self, before: Cpu, after: Cpu, outcome: &Outcome) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of one turn are far below 2^53"
        )]
        let (calls, duration_us) = (outcome.calls as f64, outcome.duration_us as f64);
        self.calls += outcome.calls;
        self.user_us.push((after.user_us - before.user_us) / calls);
        self.system_us
            .push((after.system_us - before.system_us) / calls);
        self.cpu_us
            .push((after.total_us() - before.total_us()) / calls);
        self.per_second.push(calls / duration_us * 1e6);
        if let Some((p50, p99)) = outcome.latency_us {
            self.p50_us.push(p50);
            self.p99_us.push(p99);
        }
    }

    /// CPU time of a call, in microseconds: the median over the rounds.
    pub(crate) fn cpu(&self) -> f64 {
        median(&self.cpu_us)
    }

    /// Calls a second: the median over the rounds.
    pub(crate) fn per_second(&self) -> f64 {
        median(&self.per_second)
    }

    /// CPU time of a call, as a multiple of that of another case.
    pub(crate) fn times(&self, other: &Self) -> f64 {
        self.cpu() / other.cpu()
    }

    /// How many calls there were in all.
    pub(crate) fn calls(&self) -> u64 {
        self.calls
    }
}

/// Gives every case its turn in every round, after a warm-up.
pub(crate) async fn by_turns(
    bench: &Bench,
    place: Place,
    cases: &[Case<'_>],
) -> anyhow::Result<Vec<Turns>> {
    for case in cases {
        case.load.run(&bench.configs, place, 1).await?;
    }
    let mut turns: Vec<Turns> = cases.iter().map(|_| Turns::default()).collect();
    for round in 1..=bench.options.rounds {
        for (case, turns) in cases.iter().zip(&mut turns) {
            let before = case.process.cpu()?;
            let seconds = bench.options.seconds;
            let outcome = case.load.run(&bench.configs, place, seconds).await?;
            ensure!(outcome.calls > 0, "{}: no call was answered", case.name);
            turns.add(before, case.process.cpu()?, &outcome);
            let (cpu_us, per_second) = (turns.cpu_us[round - 1], turns.per_second[round - 1]);
            println!(
                "   round {round}: {cpu_us:6.2} µs, {per_second:6.0} calls/s  {}",
                case.name
            );
        }
    }
    Ok(turns)
}

/// All cases as a table; the first is what the others are compared with.
pub(crate) fn table(title: &str, note: &str, cases: &[Case<'_>], turns: &[Turns]) -> Table {
    let mut table = Table::new(
        title,
        note,
        &[
            "case",
            "CPU µs a call",
            "least – most",
            "user + system",
            "× the first",
            "calls/s",
            "p50 µs",
            "p99 µs",
        ],
    );
    let known = |values: &[f64]| match values {
        [] => String::new(),
        values => format!("{:.0}", median(values)),
    };
    for (case, this) in cases.iter().zip(turns) {
        let (least, most) = range(&this.cpu_us);
        table.row(vec![
            case.name.to_owned(),
            format!("{:.2}", this.cpu()),
            format!("{least:.2} – {most:.2}"),
            format!(
                "{:.2} + {:.2}",
                median(&this.user_us),
                median(&this.system_us)
            ),
            format!("{:.2}", this.times(&turns[0])),
            format!("{:.0}", this.per_second()),
            known(&this.p50_us),
            known(&this.p99_us),
        ]);
    }
    table
}
