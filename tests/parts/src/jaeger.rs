//! Jaeger: a collector that takes OTLP over HTTP, keeps traces in memory, and answers what it has.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::keeper::Keeper;
use crate::{free_port, http};

/// The version that `./.ci/tools` builds.
const VERSION: &str = "1.42.0";
/// How often it is started anew because somebody else took one of its ports meanwhile.
const STARTS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(30);

/// A collector of one's own.
pub struct Jaeger {
    folder: PathBuf,
    otlp: u16,
    query: u16,
    server: Child,
    _keeper: Keeper,
}

impl std::fmt::Debug for Jaeger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Jaeger({})", self.otlp)
    }
}

impl Jaeger {
    /// Starts one and returns when it takes traces.
    #[must_use]
    pub fn start() -> Self {
        let program = program();
        for _ in 0..STARTS {
            if let Some(started) = Self::try_start(&program) {
                return started;
            }
        }
        panic!("Jaeger did not start");
    }

    /// The base URL for OTLP over HTTP.
    #[must_use]
    pub fn otlp(&self) -> String {
        format!("http://127.0.0.1:{}", self.otlp)
    }

    /// The address that answers questions: `GET /api/traces/{traceId}`.
    #[must_use]
    pub fn query(&self) -> String {
        format!("127.0.0.1:{}", self.query)
    }

    /// What it has of a trace, as JSON; empty while it knows nothing of it.
    #[must_use]
    pub fn trace(&self, trace_id: &str) -> String {
        let answer = http::get(&self.query(), &format!("/api/traces/{trace_id}"));
        answer
            .filter(|(status, _)| *status == 200)
            .map_or_else(String::new, |(_, body)| body)
    }

    fn try_start(program: &Path) -> Option<Self> {
        let folder = tempfile::Builder::new()
            .prefix("tollway-jaeger-")
            .tempdir()
            .expect("a temporary folder can be made")
            .keep();
        let pid_file = folder.join("pid");
        let keeper = Keeper::start(&folder, &pid_file, &folder).expect("a shell can be started");
        let (otlp, query) = (free_port(), free_port());
        let log = File::create(folder.join("log")).expect("the folder can be written");
        let mut command = Command::new(program);
        command
            .env("SPAN_STORAGE_TYPE", "memory")
            .arg("--collector.otlp.enabled")
            .arg(format!("--collector.otlp.http.host-port=127.0.0.1:{otlp}"))
            .arg(format!("--query.http-server.host-port=127.0.0.1:{query}"));
        // What is not needed cannot be turned off: it takes ports that nobody knows.
        for other in [
            "collector.otlp.grpc",
            "query.grpc-server",
            "collector.http-server",
            "collector.grpc-server",
            "admin.http",
            "http-server",
        ] {
            command.arg(format!("--{other}.host-port=127.0.0.1:0"));
        }
        for processor in ["jaeger-compact", "jaeger-binary", "zipkin-compact"] {
            command.arg(format!(
                "--processor.{processor}.server-host-port=127.0.0.1:0"
            ));
        }
        let server = command
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the server's program can be started");
        std::fs::write(&pid_file, server.id().to_string()).expect("the folder can be written");
        let mut this = Self {
            folder,
            otlp,
            query,
            server,
            _keeper: keeper,
        };
        this.wait().then_some(this)
    }

    /// Whether it answers in the end; not when it ended instead.
    fn wait(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let asks = http::get(&self.query(), "/api/services").is_some();
            let takes = http::get(&format!("127.0.0.1:{}", self.otlp), "/").is_some();
            if asks && takes {
                return true;
            }
            if self.server.try_wait().expect("it is our child").is_some() {
                return false;
            }
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "no answer from Jaeger:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Jaeger {
    fn drop(&mut self) {
        // It is ours, and what it holds is thrown away.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Where `./.ci/tools` puts it.
fn program() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache"),
        PathBuf::from,
    );
    let program = cache.join(format!("tollway/bin/jaeger-{VERSION}"));
    assert!(
        program.exists(),
        "Jaeger is not installed: {} is missing (./.ci/tools builds it; it needs Go)",
        program.display()
    );
    program
}
