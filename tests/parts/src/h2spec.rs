//! h2spec: holds a server against RFC 7540 and RFC 7541, case by case.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The version that `./.ci/tools` builds.
const VERSION: &str = "2.2.1";
/// How long one case may wait for the server, in seconds.
const TIMEOUT_S: &str = "60";

/// What became of a case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The server does what the case asks for.
    Passed,
    /// It was not tried.
    Skipped,
    /// It does something else, as the tool tells it.
    Failed(String),
}

/// Runs the whole suite, the strict cases too. `path` is asked for with `GET` and `POST`. The cases by section and
/// text, as in `http2/5.1.1: Sends even-numbered stream identifier`.
#[must_use]
pub fn run(server: SocketAddr, tls: bool, path: &str) -> BTreeMap<String, Outcome> {
    let folder = tempfile::Builder::new()
        .prefix("tollway-h2spec-")
        .tempdir()
        .expect("a temporary folder can be made");
    let report = folder.path().join("report.xml");
    let mut command = Command::new(program());
    command
        .args(["--strict", "--timeout", TIMEOUT_S, "--path", path])
        .args(["--host", &server.ip().to_string()])
        .args(["--port", &server.port().to_string()])
        .arg("--junit-report")
        .arg(&report);
    if tls {
        command.args(["--tls", "--insecure"]);
    }
    let ended = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    ended.expect("h2spec can be started");
    read(&report)
}

/// Reads a JUnit report as far as the tool writes one: cases with, at most, `failure` or `skipped` in them.
fn read(report: &Path) -> BTreeMap<String, Outcome> {
    let text = std::fs::read_to_string(report).expect("h2spec writes its report");
    let mut cases = BTreeMap::new();
    for case in text.split("<testcase ").skip(1) {
        let (head, rest) = case.split_once('>').expect("the report is XML");
        let rest = rest.split("</testcase>").next().unwrap_or_default();
        let name = format!(
            "{}: {}",
            attribute(head, "package"),
            attribute(head, "classname")
        );
        let outcome = if head.ends_with('/') {
            Outcome::Passed
        } else if rest.contains("<skipped") {
            Outcome::Skipped
        } else if let Some((_, told)) = rest.split_once("<failure>") {
            Outcome::Failed(plain(told.split("</failure>").next().unwrap_or_default()))
        } else if let Some((_, told)) = rest.split_once("<error>") {
            Outcome::Failed(plain(told.split("</error>").next().unwrap_or_default()))
        } else {
            Outcome::Passed
        };
        let before = cases.insert(name.clone(), outcome);
        assert!(before.is_none(), "two cases are called {name}");
    }
    cases
}

fn attribute(head: &str, name: &str) -> String {
    let begin = format!("{name}=\"");
    let value = head.split_once(&begin).map_or("", |(_, rest)| rest);
    plain(value.split('"').next().unwrap_or_default())
}

/// Text without the escapes of XML.
fn plain(text: &str) -> String {
    let mut text = text.to_owned();
    for (escaped, plain) in [
        ("&#xA;", "\n"),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ] {
        text = text.replace(escaped, plain);
    }
    text
}

fn program() -> PathBuf {
    let program = crate::cache().join(format!("bin/h2spec-{VERSION}"));
    assert!(
        program.exists(),
        "h2spec {VERSION} is not installed: ./.ci/tools builds it"
    );
    program
}
