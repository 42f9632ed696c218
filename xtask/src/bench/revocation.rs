//! From a revocation until the gateway refuses the token, under load, seen from outside.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;

use super::Bench;
use super::calls::APART;
use super::identity::{Client, Server};
use super::load::Load;
use super::nginx::Nginx;
use super::platform::milliseconds;
use super::report::Report;
use super::statistics::{median, percentile};
use super::tollway::{Folder, Setup, Tollway};

/// Tokens that are revoked in a round.
const TOKENS: usize = 100;
const TOKENS_QUICK: usize = 20;
/// From the request that revokes until the first refusal, in milliseconds (T2).
const TARGET_MS: f64 = 100.0;
/// Longest time that is waited.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the platform says of it, by its own clock: from the commit until every node has it.
const METRIC: &str = "tollway_identity_revocation_seconds";

/// See the module.
pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let backend = Nginx::backend(&bench.configs, APART.cores).await?;
    let folder = Folder::new()?;
    let setup = Setup::cores(1, Some("0"));
    let platform = Tollway::start(&bench.tollway, &folder, &setup).await?;
    let control = platform.control().await?;
    control.apply_bench(&bench.configs, backend.address).await?;
    let server = Server {
        http: super::http::client()?,
        url: platform.control_url(),
    };
    let client = Server::client(&control, "bench", json!({})).await?;
    let key = control.api_key("bench").await?;
    let called = format!("http://{}/managed/1.0.0/items/42", platform.gateway);
    let load = Load::Http1 {
        url: called.clone(),
        header: Some(format!("X-API-Key: {key}")),
    };
    let count = if bench.options.quick {
        TOKENS_QUICK
    } else {
        TOKENS
    };
    let mut took = Vec::new();
    for round in 1..=bench.options.rounds {
        let revoking = async {
            let mut took = Vec::new();
            for _ in 0..count {
                took.push(revoke(&server, &client, &called).await?);
            }
            anyhow::Ok(took)
        };
        let mut revoking = std::pin::pin!(revoking);
        // Load as long as tokens are revoked.
        let round_took = loop {
            tokio::select! {
                took = &mut revoking => break took?,
                outcome = load.run(&bench.configs, APART, bench.options.seconds) => { outcome?; }
            }
        };
        println!("   round {round}: median {:.2} ms", median(&round_took));
        took.extend(round_took);
    }
    let figures = &mut report.figures;
    let all = took.len();
    let what = format!("Revocation to refusal under load, p99 of {all} tokens");
    figures.milliseconds(what, percentile(&took, 0.99), Some(TARGET_MS));
    figures.milliseconds("… p50", median(&took), None);
    let (mean_ms, bound_ms) = metric(&platform, &server).await?;
    let what = format!("… by `{METRIC}` (commit until every node has it), mean");
    figures.milliseconds(what, mean_ms, None);
    figures.milliseconds(
        "… the bucket that holds its p99, at most",
        bound_ms,
        Some(TARGET_MS),
    );
    Ok(())
}

/// Revokes a token that was just good; gives the milliseconds from the request until the first refusal.
async fn revoke(server: &Server, client: &Client, called: &str) -> anyhow::Result<f64> {
    let token = server.token(client).await?;
    let status = async || {
        let answer = server.http.get(called).bearer_auth(&token).send().await?;
        anyhow::Ok(answer.status().as_u16())
    };
    ensure!(status().await? == 200, "the token is good");
    let begun = Instant::now();
    let revoked = async {
        let fields = [("token", token.as_str())];
        server.form(client, "/oauth2/revoke", &fields).await
    };
    let refused = async {
        while status().await? == 200 {
            ensure!(begun.elapsed() < PATIENCE, "a revoked token is accepted");
        }
        anyhow::Ok(milliseconds(begun.elapsed()))
    };
    let (_, took) = tokio::try_join!(revoked, refused)?;
    ensure!(status().await? == 401, "the refusal is of the token");
    Ok(took)
}

/// The mean, and the bound of the bucket that holds the 99th of a hundred, in milliseconds.
async fn metric(platform: &Tollway, server: &Server) -> anyhow::Result<(f64, f64)> {
    let url = format!("http://{}/metrics", platform.node);
    let text = server.http.get(url).send().await?.text().await?;
    let value = |suffix: &str| -> anyhow::Result<f64> {
        let name = format!("{METRIC}_{suffix} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        Ok(line.with_context(|| format!("no {name}"))?.trim().parse()?)
    };
    let (sum, count) = (value("sum")?, value("count")?);
    let bucket = format!("{METRIC}_bucket{{le=\"");
    let bound = text.lines().find_map(|line| {
        let (bound, rest) = line.strip_prefix(&bucket)?.split_once("\"} ")?;
        let held = rest.trim().parse::<f64>().ok()? >= 0.99 * count;
        held.then(|| bound.parse::<f64>().ok())?
    });
    let bound = bound.context("the buckets hold all")?;
    Ok((sum / count * 1e3, bound * 1e3))
}
