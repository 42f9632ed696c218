//! Prometheus: scrapes one address, answers queries; and `promtool`, which checks metrics and rules.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::keeper::Keeper;
use crate::{free_port, http};

/// How often it is started anew because somebody else took its port meanwhile.
const STARTS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(30);

/// A Prometheus of one's own, which scrapes every second.
pub struct Prometheus {
    folder: PathBuf,
    port: u16,
    server: Child,
    _keeper: Keeper,
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
        for _ in 0..STARTS {
            if let Some(started) = Self::try_start(target, rules) {
                return started;
            }
        }
        panic!("Prometheus did not start");
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
        let folder = tempfile::Builder::new()
            .prefix("tollway-prometheus-")
            .tempdir()
            .expect("a temporary folder can be made")
            .keep();
        let pid_file = folder.join("pid");
        let keeper = Keeper::start(&folder, &pid_file, &folder).expect("a shell can be started");
        let mut config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             scrape_configs: [{{job_name: tollway, static_configs: [{{targets: ['{target}']}}]}}]\nrule_files:\n"
        );
        for rule in rules {
            let path = std::fs::canonicalize(rule).expect("the file of rules is there");
            config.push_str(&format!("  - '{}'\n", path.display()));
        }
        let config_file = folder.join("prometheus.yml");
        std::fs::write(&config_file, config).expect("the folder can be written");
        let port = free_port();
        let log = File::create(folder.join("log")).expect("the folder can be written");
        let server = Command::new(installed("prometheus"))
            .arg(format!("--config.file={}", config_file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the server's program can be started");
        std::fs::write(&pid_file, server.id().to_string()).expect("the folder can be written");
        let mut this = Self {
            folder,
            port,
            server,
            _keeper: keeper,
        };
        this.wait().then_some(this)
    }

    fn wait(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let address = format!("127.0.0.1:{}", self.port);
        loop {
            if http::get(&address, "/-/ready").is_some_and(|(status, _)| status == 200) {
                return true;
            }
            if self.server.try_wait().expect("it is our child").is_some() {
                return false;
            }
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "no answer from Prometheus:\n{log}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It is ours, and what it holds is thrown away.
        let _ = self.server.kill();
        let _ = self.server.wait();
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
