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

/// See the module.
pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let core = Some("0");
    let backend = Nginx::backend(&bench.configs, APART.cores).await?;
    let folders = [Folder::new()?, Folder::new()?];
    let setup = Setup::cores(1, core);
    let few = Tollway::start(&bench.tollway, &folders[0], &setup).await?;
    let many = Tollway::start(&bench.tollway, &folders[1], &setup).await?;
    for (platform, apis) in [(&few, 1), (&many, MANY)] {
        let documents = documents(&backend, apis);
        let control = platform.control().await?;
        control.apply(&bench.configs, &documents).await?;
    }
    let case = |name, platform: &'_ Tollway, apis| {
        let url = format!("http://{}", platform.gateway);
        (name, Load::Routes { url, apis })
    };
    let cases: Vec<_> = [
        (&few, case("Tollway, plain call, 10 routes called", &few, 1)),
        (
            &many,
            case(
                "Tollway, plain call, 5,000 of 10,000 routes called",
                &many,
                MANY,
            ),
        ),
    ]
    .into_iter()
    .map(|(platform, (name, load))| Case {
        name,
        process: &platform.process,
        load,
    })
    .collect();
    let turns = by_turns(bench, APART, &cases).await?;
    let note = "One open API of 20 operations, and 500 of them. Each call goes to another of the operations with GET, so that \
                caches of the processor see them all.";
    report
        .tables
        .push(table("Routes, one core", note, &cases, &turns));
    let what = "Plain call with 10,000 routes, × with 10";
    report
        .figures
        .ratio(what, turns[1].times(&turns[0]), Some(TARGET));
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
