//! Connections that nobody uses: what the gateway holds for each.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::Bench;
use super::report::Report;
use super::tollway::{Folder, Setup, Tollway};

/// Connections that are kept open.
const COUNT: usize = 10_000;
/// Memory for all of them: 10 kB each.
const TARGET_MB: f64 = 100.0;
/// How long they are idle before memory is looked at: buffers are given back after a second.
const IDLE: Duration = Duration::from_secs(4);

/// See the module.
pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let setup = Setup::cores(1, None);
    let platform = Tollway::start(&bench.tollway, &folder, &setup).await?;
    // The first calls make what stays anyway.
    drop(used(platform.gateway, COUNT / 10)?);
    tokio::time::sleep(IDLE).await;
    let before = platform.process.resident_mb()?;
    let held = used(platform.gateway, COUNT)?;
    let begun = Instant::now();
    tokio::time::sleep(IDLE).await;
    let growth = platform.process.resident_mb()? - before;
    // They are still there, and serve.
    for mut connection in held.into_iter().step_by(COUNT / 10) {
        call(&mut connection)?;
    }
    let what = format!(
        "Memory of {COUNT} keep-alive connections that were used once and then idle for {} s",
        begun.elapsed().as_secs()
    );
    report.figures.megabytes(what, growth, Some(TARGET_MB));
    Ok(())
}

/// So many connections, each used for one call.
fn used(gateway: SocketAddr, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    let open = |_| {
        let mut connection = TcpStream::connect(gateway)
            .context("opening a connection; `ulimit -n` has to allow for all of them")?;
        call(&mut connection)?;
        Ok(connection)
    };
    (0..count).map(open).collect()
}

/// A call that the gateway answers itself.
fn call(connection: &mut TcpStream) -> anyhow::Result<()> {
    connection.write_all(b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut bytes = [0; 4096];
    // The answer is a JSON object without another one in it.
    while !answer.ends_with(b"}") {
        let length = connection.read(&mut bytes)?;
        ensure!(length > 0, "the connection was closed");
        answer.extend_from_slice(&bytes[..length]);
    }
    ensure!(answer.starts_with(b"HTTP/1.1 404 "), "another answer");
    Ok(())
}
