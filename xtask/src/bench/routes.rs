//! Whether a call costs more where there are many routes.

use std::fmt::Write as _;

use super::Bench;
use super::calls::APART;
use super::load::Load;
use super::nginx::Nginx;
use super::report::Report;
use super::tollway::{Folder, Setup, Tollway};
use super::turns::{Case, by_turns, table};

/// APIs with 20 operations each.
const MANY: usize = 500;
/// At most so many times the CPU with few routes.
const TARGET: f64 = 1.05;

/// What is told apart from routing: counts of thousands of operations are stored once in this interval, whatever the calls.
const RARE_COUNTS: [&str; 2] = ["--usage-flush-interval", "60s"];

/// See the module.
pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let backend = Nginx::backend(&bench.configs, APART.cores).await?;
    let kinds: [(&'static str, usize, &[&str]); 3] = [
        ("Tollway, plain call, 10 routes called", 1, &RARE_COUNTS),
        (
            "Tollway, plain call, 5,000 of 10,000 routes called",
            MANY,
            &RARE_COUNTS,
        ),
        (
            "… with the counts of all operations stored every second, as by default",
            MANY,
            &[],
        ),
    ];
    let mut platforms = Vec::new();
    for (_, apis, arguments) in &kinds {
        let folder = Folder::new()?;
        let mut setup = Setup::cores(1, Some("0"));
        setup.arguments = arguments.iter().map(Into::into).collect();
        let platform = Tollway::start(&bench.tollway, &folder, &setup).await?;
        let control = platform.control().await?;
        let documents = documents(&backend, *apis);
        control.apply(&bench.configs, &documents).await?;
        platforms.push((platform, folder));
    }
    let cases: Vec<_> = kinds
        .iter()
        .zip(&platforms)
        .map(|((name, apis, _), (platform, _))| Case {
            name,
            process: &platform.process,
            load: Load::Routes {
                url: format!("http://{}", platform.gateway),
                apis: *apis,
            },
        })
        .collect();
    let turns = by_turns(bench, APART, &cases).await?;
    let note = "One open API of 20 operations, and 500 of them. Each call goes to another of the operations with GET, so that \
                caches of the processor see them all. Storing the counts of 5,000 operations takes CPU time by the second, not \
                by the call, so it stands in a row of its own; in the first two it is done once a minute.";
    report
        .tables
        .push(table("Routes, one core", note, &cases, &turns));
    let figures = &mut report.figures;
    let what = "Plain call with 10,000 routes, × with 10";
    figures.ratio(what, turns[1].times(&turns[0]), Some(TARGET));
    let what = "… with the counts of 5,000 operations stored every second";
    figures.ratio(what, turns[2].times(&turns[0]), None);
    Ok(())
}

fn documents(backend: &Nginx, apis: usize) -> String {
    let mut text = format!(
        "kind: Backend\nmetadata: {{name: bench}}\nspec: {{endpoints: [{{url: \"http://{}\"}}]}}\n",
        backend.address
    );
    for number in 0..apis {
        let _ = write!(
            text,
            "---\nkind: Api\nmetadata: {{name: api-{number}-1.0.0}}\nspec:\n  name: api-{number}\n  version: 1.0.0\n  \
             context: /api-{number}\n  definition: {{file: definition.yaml}}\n  lifecycle: Published\n  \
             backends: {{production: bench}}\n  security: []\n",
        );
    }
    text
}
