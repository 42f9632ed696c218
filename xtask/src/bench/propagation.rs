//! Two processes on one PostgreSQL: how long a change made at one takes to the gateway of the other.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::Bench;
use super::calls::APART;
use super::nginx::Nginx;
use super::platform::milliseconds;
use super::report::Report;
use super::statistics::{median, range};
use super::tollway::{Folder, Setup, Tollway};

/// Keys that are made.
const KEYS: usize = 20;
/// From the commit until it is served, in milliseconds.
const TARGET_MS: f64 = 200.0;
/// Longest time that is waited.
const PATIENCE: Duration = Duration::from_secs(10);

/// See the module.
pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let database = ::parts::Postgres::start();
    let url = database.database();
    let folders = [Folder::new()?, Folder::new()?];
    let arguments = || -> Vec<OsString> {
        vec![
            "--database-url".into(),
            url.clone().into(),
            "--key-file".into(),
            folders[0].key_file().into(),
        ]
    };
    let setup = Setup {
        arguments: arguments(),
        ..Setup::default()
    };
    let here = Tollway::start(&bench.tollway, &folders[0], &setup).await?;
    let there = Tollway::start(&bench.tollway, &folders[1], &setup).await?;
    let backend = Nginx::backend(&bench.configs, APART.cores).await?;
    let control = here.control().await?;
    control.apply_bench(&bench.configs, backend.address).await?;

    let client = super::http::client()?;
    let called = format!("http://{}/managed/1.0.0/items/42", there.gateway);
    let mut times = Vec::new();
    for _ in 0..KEYS {
        let key = control.api_key_at_once("bench").await?;
        let begin = Instant::now();
        loop {
            let call = client.get(&called).header("x-api-key", &key);
            if call.send().await?.status() == 200 {
                break;
            }
            ensure!(begin.elapsed() < PATIENCE, "a key does not get there");
        }
        times.push(milliseconds(begin.elapsed()));
    }
    let what = "A key made at one of two processes on one PostgreSQL, served by the other";
    report
        .figures
        .milliseconds(what, median(&times), Some(TARGET_MS));
    let (_, most) = range(&times);
    let what = format!("… the slowest of {KEYS}");
    report.figures.milliseconds(what, most, Some(TARGET_MS));
    Ok(())
}
