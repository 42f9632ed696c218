//! Large bodies, both ways: the memory of the gateway must not grow with them.

use anyhow::ensure;

use super::Bench;
use super::calls::{APART, Served};
use super::nginx::Nginx;
use super::report::Report;
use super::tollway::{Folder, Setup};

/// Bytes of one body.
const BYTES: usize = 100_000_000;
/// Bodies on their way at the same time, each way.
const AT_ONCE: usize = 4;
/// Growth of the resident memory that counts as flat, in MB: an eighth of one of the bodies.
const FLAT_MB: f64 = 12.5;

/// See the module.
pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let core = Some("0");
    let backend = Nginx::backend(&bench.configs, APART.cores).await?;
    backend.serve_file("large", BYTES)?;
    let folder = Folder::new()?;
    let served = Served::start(bench, &folder, &backend, &Setup::cores(1, core)).await?;
    let client = super::http::client()?;
    let api = format!("http://{}/plain/1.0.0", served.platform.gateway);
    let taken = format!("{api}/shipments");
    // The first calls open connections and fill pools.
    upload(&client, &taken, bytes::Bytes::from_static(b"{}")).await?;
    let body = bytes::Bytes::from(vec![b'x'; BYTES]);
    let process = &served.platform.process;
    let before = process.resident_mb()?;

    process.forget_peak()?;
    let uploads = (0..AT_ONCE).map(|_| upload(&client, &taken, body.clone()));
    futures_util::future::try_join_all(uploads).await?;
    grown("up", process.peak_mb()? - before, report);

    process.forget_peak()?;
    let downloads = (0..AT_ONCE).map(|_| download(&client, format!("{api}/items/large")));
    futures_util::future::try_join_all(downloads).await?;
    grown("down", process.peak_mb()? - before, report);
    Ok(())
}

fn grown(way: &str, growth: f64, report: &mut Report) {
    let what = format!("Growth of memory while {AT_ONCE} bodies of 100 MB pass at once, {way}");
    report.figures.megabytes(what, growth, Some(FLAT_MB));
}

async fn upload(client: &reqwest::Client, url: &str, body: bytes::Bytes) -> anyhow::Result<()> {
    let answer = client.post(url).body(body).send().await?;
    ensure!(answer.status() == 200, "{url} answered {}", answer.status());
    Ok(())
}

async fn download(client: &reqwest::Client, url: String) -> anyhow::Result<()> {
    let mut answer = client.get(&url).send().await?;
    ensure!(answer.status() == 200, "{url} answered {}", answer.status());
    let mut length = 0;
    while let Some(part) = answer.chunk().await? {
        length += part.len();
    }
    ensure!(length == BYTES, "{url} gave {length} bytes");
    Ok(())
}
