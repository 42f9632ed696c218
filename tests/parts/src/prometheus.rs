//! Prometheus: scrapes one address, answers queries; and `promtool`, which checks metrics and rules.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::launched::{Launched, until_one_stands};
use crate::{free_port, http};

/// A Prometheus of one's own, which scrapes every second.
pub struct Prometheus {
    port: u16,
    _server: Launched,
}

impl std::fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Prometheus({})", self.port)
    }
}

impl Prometheus {
    /// Starts one that scrapes `/metrics` of this address, with these files of rules, and returns when it is ready.
    #[must_use]
    pub fn start(target: SocketAddr, rules: &[&Path]) -> Self {
        until_one_stands("Prometheus", || Self::try_start(target, rules))
    }

    /// What a query gives now, as the JSON of `/api/v1/query`.
    #[must_use]
    pub fn query(&self, expression: &str) -> String {
        self.get(&format!("/api/v1/query?query={}", escaped(expression)))
    }

    /// The answer to a `GET`; empty where there is none.
    #[must_use]
    pub fn get(&self, target: &str) -> String {
        let answer = http::get(&format!("127.0.0.1:{}", self.port), target);
        answer.map_or_else(String::new, |(_, body)| body)
    }

    fn try_start(target: SocketAddr, rules: &[&Path]) -> Option<Self> {
        let mut config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             scrape_configs: [{{job_name: tollway, static_configs: [{{targets: ['{target}']}}]}}]\nrule_files:\n"
        );
        for rule in rules {
            let path = std::fs::canonicalize(rule).expect("the file of rules is there");
            config.push_str(&format!("  - '{}'\n", path.display()));
        }
        let port = free_port();
        let mut server = Launched::start("prometheus", |folder| {
            let config_file = folder.join("prometheus.yml");
            std::fs::write(&config_file, config).expect("the folder can be written");
            let mut command = Command::new(installed("prometheus"));
            command
                .arg(format!("--config.file={}", config_file.display()))
                .arg(format!(
                    "--storage.tsdb.path={}",
                    folder.join("data").display()
                ))
                .arg(format!("--web.listen-address=127.0.0.1:{port}"));
            command
        });
        let address = format!("127.0.0.1:{port}");
        let stands = server
            .stands(|| http::get(&address, "/-/ready").is_some_and(|(status, _)| status == 200));
        stands.then_some(Self {
            port,
            _server: server,
        })
    }
}

/// Runs `promtool` and gives what it says.
///
/// # Errors
/// What it says, when it is not content.
pub fn promtool(arguments: &[&str], input: &str) -> Result<String, String> {
    let mut child = Command::new(installed("promtool"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool can be started");
    let mut stdin = child.stdin.take().expect("it is piped");
    // It may end before it has read all.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it is our child");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() {
        Ok(said)
    } else {
        Err(said)
    }
}

fn installed(name: &str) -> PathBuf {
    let path = PathBuf::from("/usr/bin").join(name);
    assert!(
        path.exists(),
        "{name} is not installed: `apt-get install prometheus` (./.ci/tools does it)"
    );
    path
}

/// A value of a query, escaped (RFC 3986 §3.4).
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
