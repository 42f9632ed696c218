//! What the platform takes to start, to hold, and to change.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Bench;
use super::http::Control;
use super::report::{Figures, Report};
use super::statistics::{median, range};
use super::tollway::{Folder, Setup, Tollway};

/// APIs of the small platform.
const FEW: usize = 10;
/// APIs in one `apply`.
const BATCH: usize = 250;
/// Edits that are timed.
const TIMED_EDITS: usize = 30;
/// Until memory has settled after a start or a change.
const SETTLE: Duration = Duration::from_secs(2);

/// What memory with many APIs is compared with what an empty platform has, in MB.
const OVER_IDLE_MAX: f64 = 60.0;
/// Until an edit is served, with many APIs, in milliseconds.
const EDIT_MAX: f64 = 50.0;

/// A platform on all cores, with the defaults.
async fn platform(bench: &Bench, folder: &Folder) -> anyhow::Result<Tollway> {
    Tollway::start(&bench.tollway, folder, &Setup::default()).await
}

/// An empty platform, then one with few APIs, then many edits of one of them.
pub(crate) async fn few(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let (options, figures) = (&bench.options, &mut report.figures);
    let mut ready = Vec::new();
    let mut idle = Vec::new();
    for _ in 0..options.rounds {
        let folder = Folder::new()?;
        let platform = platform(bench, &folder).await?;
        ready.push(milliseconds(platform.ready_after));
        idle.push(settled(&platform).await?);
    }
    figures.milliseconds("Ready on an empty folder", median(&ready), Some(1000.0));
    figures.megabytes("Memory, idle on an empty folder", median(&idle), Some(60.0));

    let folder = Folder::new()?;
    let first = platform(bench, &folder).await?;
    let control = first.control().await?;
    fill(&control, &bench.configs, FEW).await?;
    edits(&control, FEW, None, figures).await?;
    figures.megabytes(format!("Memory, {FEW} APIs"), settled(&first).await?, None);
    drop(first);
    restarts(bench, &folder, FEW, figures).await?;

    let platform = platform(bench, &folder).await?;
    let control = platform.control().await?;
    // The first edits fill caches and pools; what grows after them would grow for ever.
    edit_often(&control, options.edits / 4).await?;
    let before = settled(&platform).await?;
    edit_often(&control, options.edits).await?;
    let growth = settled(&platform).await? - before;
    let what = format!(
        "Growth of memory over {} edits (snapshot swaps)",
        options.edits
    );
    figures.megabytes(what, growth, None);
    Ok(())
}

/// A platform with many APIs.
pub(crate) async fn many(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let (apis, figures) = (bench.options.apis, &mut report.figures);
    let folder = Folder::new()?;
    // The first start hashes a password and makes keys; what is compared is a later one.
    drop(platform(bench, &folder).await?);
    let first = platform(bench, &folder).await?;
    let idle = settled(&first).await?;
    let control = first.control().await?;
    let begin = Instant::now();
    fill(&control, &bench.configs, apis).await?;
    let what = format!("Applying {apis} APIs, {BATCH} at a time");
    figures.milliseconds(what, milliseconds(begin.elapsed()), None);
    edits(&control, apis, Some(EDIT_MAX), figures).await?;
    let over = settled(&first).await? - idle;
    let what = format!("Memory over idle after applying {apis} APIs and {TIMED_EDITS} edits");
    figures.megabytes(what, over, None);
    drop(first);
    let after_start = restarts(bench, &folder, apis, figures).await?;
    let what = format!("Memory over idle with {apis} APIs of 20 operations");
    figures.megabytes(what, after_start - idle, Some(OVER_IDLE_MAX));
    Ok(())
}

/// Starts on a folder that has APIs, again and again; gives the memory after that.
async fn restarts(
    bench: &Bench,
    folder: &Folder,
    apis: usize,
    figures: &mut Figures,
) -> anyhow::Result<f64> {
    let mut ready = Vec::new();
    let mut memory = Vec::new();
    for _ in 0..bench.options.rounds {
        let platform = platform(bench, folder).await?;
        ready.push(milliseconds(platform.ready_after));
        memory.push(settled(&platform).await?);
    }
    let (ready, memory) = (median(&ready), median(&memory));
    figures.milliseconds(format!("Ready on a folder with {apis} APIs"), ready, None);
    figures.megabytes(
        format!("Memory after a start with {apis} APIs"),
        memory,
        None,
    );
    Ok(memory)
}

/// Times edits of single APIs, spread over all of them, until they are in force.
async fn edits(
    control: &Control,
    apis: usize,
    target: Option<f64>,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let mut times = Vec::new();
    for number in 0..TIMED_EDITS {
        let name = document_name(number * apis / TIMED_EDITS);
        let document = edited(control.api(&name).await?, number);
        times.push(milliseconds(control.replace(&name, &document).await?));
    }
    let (_, most) = range(&times);
    let what = format!("Edit of one API until it is served, {apis} APIs");
    figures.milliseconds(what, median(&times), target);
    figures.milliseconds(format!("… the slowest of {TIMED_EDITS}"), most, target);
    Ok(())
}

async fn edit_often(control: &Control, edits: usize) -> anyhow::Result<()> {
    let name = document_name(0);
    let document = control.api(&name).await?;
    for number in 0..edits {
        control
            .replace(&name, &edited(document.clone(), number))
            .await?;
    }
    Ok(())
}

/// The document with a change that every operation's chain has to be built anew for.
fn edited(mut document: Value, number: usize) -> Value {
    let age = format!("{}s", 60 + number % 600);
    document["spec"]["cors"] = json!({"allowOrigins": ["https://shop.example.com"], "maxAge": age});
    document
}

/// Applies so many APIs of 20 operations each.
pub(crate) async fn fill(control: &Control, configs: &Path, apis: usize) -> anyhow::Result<()> {
    // Nobody calls them, so nobody has to listen there.
    let backend = "kind: Backend\nmetadata: {name: bench}\nspec: {endpoints: [{url: \"http://127.0.0.1:9\"}]}\n";
    control.apply(configs, backend).await?;
    let numbers: Vec<usize> = (0..apis).collect();
    for batch in numbers.chunks(BATCH) {
        let mut text = String::new();
        for number in batch {
            let _ = write!(
                text,
                "---\nkind: Api\nmetadata: {{name: {}}}\nspec:\n  name: api-{number}\n  version: 1.0.0\n  context: /api-{number}\n  \
                 definition: {{file: definition.yaml}}\n  lifecycle: Published\n  backends: {{production: bench}}\n  \
                 plans: [Unlimited]\n",
                document_name(*number),
            );
        }
        control.apply(configs, &text).await?;
    }
    Ok(())
}

fn document_name(number: usize) -> String {
    format!("api-{number}-1.0.0")
}

async fn settled(platform: &Tollway) -> anyhow::Result<f64> {
    tokio::time::sleep(SETTLE).await;
    platform.process.resident_mb()
}

/// A time as a number.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
