//! Jaeger: a collector that takes OTLP over HTTP, keeps traces in memory, and answers what it has.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::launched::{Launched, until_one_stands};
use crate::{free_port, http};

/// The version that `./.ci/tools` builds.
const VERSION: &str = "1.42.0";

/// A collector of one's own.
pub struct Jaeger {
    otlp: u16,
    query: u16,
    _server: Launched,
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
        until_one_stands("Jaeger", || Self::try_start(&program))
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
        let (otlp, query) = (free_port(), free_port());
        let mut server = Launched::start("jaeger", |_| command(program, otlp, query));
        let (asked, told) = (format!("127.0.0.1:{query}"), format!("127.0.0.1:{otlp}"));
        let stands = server.stands(|| {
            http::get(&asked, "/api/services").is_some() && http::get(&told, "/").is_some()
        });
        stands.then_some(Self {
            otlp,
            query,
            _server: server,
        })
    }
}

fn command(program: &Path, otlp: u16, query: u16) -> Command {
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
    command
}

/// Where `./.ci/tools` puts it.
fn program() -> PathBuf {
    let program = crate::cache().join(format!("bin/jaeger-{VERSION}"));
    assert!(
        program.exists(),
        "Jaeger is not installed: {} is missing (./.ci/tools builds it; it needs Go)",
        program.display()
    );
    program
}
