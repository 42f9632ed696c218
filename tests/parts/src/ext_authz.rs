//! Services that speak Envoy's `ext_authz`: a gRPC server with gRPC's library for Python and Envoy's own messages, and an HTTP
//! server of Python's.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const GRPC: &str = include_str!("ext_authz.py");
const HTTP: &str = include_str!("ext_authz_http.py");

/// An authorization service. What it answers, the field `x-wish` of the call says: nothing lets it pass.
pub struct ExtAuthz {
    port: u16,
    server: Child,
    tell: Option<ChildStdin>,
    hear: BufReader<ChildStdout>,
}

impl std::fmt::Debug for ExtAuthz {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ExtAuthz({})", self.port)
    }
}

impl ExtAuthz {
    /// Starts one that is asked by gRPC. It ends when its input does, so also when the test is killed.
    #[must_use]
    pub fn start() -> Self {
        Self::started(GRPC, &libraries())
    }

    /// As [`ExtAuthz::start`], one that is asked by HTTP.
    #[must_use]
    pub fn start_http() -> Self {
        Self::started(HTTP, Path::new(""))
    }

    fn started(script: &str, libraries: &Path) -> Self {
        let mut server = Command::new("python3")
            .args(["-c", script])
            .env("PYTHONPATH", libraries)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("python3 can be started");
        let tell = server.stdin.take();
        let hear = server.stdout.take().expect("its output is ours");
        let mut this = Self {
            port: 0,
            server,
            tell,
            hear: BufReader::new(hear),
        };
        this.port = this.asked().parse().expect("it says its port");
        this
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The next question that it got, as JSON; waits for it.
    pub fn asked(&mut self) -> String {
        let mut line = String::new();
        self.hear.read_line(&mut line).expect("it speaks");
        line.trim().to_owned()
    }
}

impl Drop for ExtAuthz {
    fn drop(&mut self) {
        drop(self.tell.take());
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn libraries() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(home);
    let folder = cache.unwrap_or_default().join("tollway/python-ext-authz");
    assert!(
        folder.join("envoy").is_dir(),
        "Envoy's messages are not installed: run ./.ci/tools (pip: grpcio, xds-protos)"
    );
    folder
}
