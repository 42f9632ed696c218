//! What the platform takes to start, to hold, and to change.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http::Control;
use super::report::Figures;
use super::statistics::{median, range};
use super::tollway::{Folder, Tollway};
use super::{Options, Places};

/// APIs of the small platform.
const FEW: usize = 10;
/// APIs in one `apply`.
const BATCH: usize = 250;
/// Edits that are timed.
const TIMED_EDITS: usize = 30;
/// Until memory has settled after a start or a change.
const SETTLE: Duration = Duration::from_secs(2);

/// An empty platform, then one with few APIs, then many edits of one of them.
pub(crate) async fn few(
    options: &Options,
    places: &Places,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    println!("== start-up and memory, few APIs");
    let mut ready = Vec::new();
    let mut idle = Vec::new();
    for _ in 0..options.rounds {
        let folder = Folder::new()?;
        let platform = Tollway::start(&places.tollway, &folder, None, None).await?;
        ready.push(milliseconds(platform.ready_after));
        tokio::time::sleep(SETTLE).await;
        idle.push(platform.process.resident_mb()?);
    }
    figures.milliseconds("Ready on an empty folder", median(&ready), Some(1000.0));
    figures.megabytes("Memory, idle on an empty folder", median(&idle), Some(60.0));

    let folder = Folder::new()?;
    let platform = Tollway::start(&places.tollway, &folder, None, None).await?;
    let control = platform.control().await?;
    fill(&control, places, FEW).await?;
    edits(&control, FEW, figures).await?;
    settled_memory(&platform, &format!("Memory, {FEW} APIs"), figures).await?;
    drop(platform);
    restarts(options.rounds, &folder, places, FEW, figures).await?;

    let platform = Tollway::start(&places.tollway, &folder, None, None).await?;
    let control = platform.control().await?;
    // The first edits fill caches and pools; what grows after them would grow for ever.
    edit_often(&control, options.edits / 4).await?;
    let before = settled(&platform).await?;
    edit_often(&control, options.edits).await?;
    let growth = settled(&platform).await? - before;
    figures.megabytes(
        format!(
            "Growth of memory over {} edits (snapshot swaps)",
            options.edits
        ),
        growth,
        None,
    );
    Ok(())
}

/// A platform with many APIs.
pub(crate) async fn many(
    options: &Options,
    places: &Places,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    println!("== start-up and memory, {} APIs", options.apis);
    let folder = Folder::new()?;
    let platform = Tollway::start(&places.tollway, &folder, None, None).await?;
    let control = platform.control().await?;
    let begin = Instant::now();
    fill(&control, places, options.apis).await?;
    let what = format!("Applying {} APIs, {BATCH} at a time", options.apis);
    figures.milliseconds(what, milliseconds(begin.elapsed()), None);
    edits(&control, options.apis, figures).await?;
    settled_memory(
        &platform,
        &format!("Memory after applying {} APIs", options.apis),
        figures,
    )
    .await?;
    drop(platform);
    restarts(options.rounds, &folder, places, options.apis, figures).await
}

/// Starts on a folder that has APIs, again and again.
async fn restarts(
    rounds: usize,
    folder: &Folder,
    places: &Places,
    apis: usize,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let mut ready = Vec::new();
    let mut memory = Vec::new();
    for _ in 0..rounds {
        let platform = Tollway::start(&places.tollway, folder, None, None).await?;
        ready.push(milliseconds(platform.ready_after));
        memory.push(settled(&platform).await?);
    }
    figures.milliseconds(
        format!("Ready on a folder with {apis} APIs"),
        median(&ready),
        None,
    );
    figures.megabytes(
        format!("Memory after a start with {apis} APIs"),
        median(&memory),
        None,
    );
    Ok(())
}

/// Times edits of single APIs, spread over all of them, until they are in force.
async fn edits(control: &Control, apis: usize, figures: &mut Figures) -> anyhow::Result<()> {
    let mut times = Vec::new();
    for number in 0..TIMED_EDITS {
        let name = document_name(number * apis / TIMED_EDITS);
        let document = edited(control.api(&name).await?, number);
        times.push(milliseconds(control.replace(&name, &document).await?));
    }
    let (_, most) = range(&times);
    figures.milliseconds(
        format!("Edit of one API until it is in force, {apis} APIs"),
        median(&times),
        None,
    );
    figures.milliseconds(format!("… the slowest of {TIMED_EDITS}"), most, None);
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

async fn fill(control: &Control, places: &Places, apis: usize) -> anyhow::Result<()> {
    // Nobody calls them, so nobody has to listen there.
    let backend = "kind: Backend\nmetadata: {name: bench}\nspec: {endpoints: [{url: \"http://127.0.0.1:9\"}]}\n";
    control.apply(&places.configs, backend).await?;
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
        control.apply(&places.configs, &text).await?;
    }
    Ok(())
}

fn document_name(number: usize) -> String {
    format!("api-{number}-1.0.0")
}

async fn settled_memory(
    platform: &Tollway,
    what: &str,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    figures.megabytes(what, settled(platform).await?, None);
    Ok(())
}

async fn settled(platform: &Tollway) -> anyhow::Result<f64> {
    tokio::time::sleep(SETTLE).await;
    platform.process.resident_mb()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
