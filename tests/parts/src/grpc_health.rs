//! A gRPC server that speaks the health protocol: that of gRPC's own library for Python.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const SERVER: &str = include_str!("grpc_health.py");

/// A gRPC server with the health service; at first the server as a whole serves.
pub struct GrpcHealth {
    port: u16,
    server: Child,
    tell: Option<ChildStdin>,
    hear: BufReader<ChildStdout>,
}

impl std::fmt::Debug for GrpcHealth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GrpcHealth({})", self.port)
    }
}

impl GrpcHealth {
    /// Starts one. It ends when its input does, so also when the test is killed.
    #[must_use]
    pub fn start() -> Self {
        Self::started(&[])
    }

    /// As [`GrpcHealth::start`], over TLS with this certificate and its key (PEM).
    #[must_use]
    pub fn start_tls(certificate: &str, key: &str) -> Self {
        Self::started(&[("CERTIFICATE", certificate), ("KEY", key)])
    }

    fn started(tls: &[(&str, &str)]) -> Self {
        let mut server = Command::new("python3")
            .args(["-c", SERVER])
            .env("PYTHONPATH", libraries())
            .envs(tls.iter().copied())
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
        this.port = this.line().parse().expect("it says its port");
        this.set("", "SERVING");
        this
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// What it says of a service from now on; empty = of itself.
    pub fn set(&mut self, service: &str, status: &str) {
        let service = if service.is_empty() { "-" } else { service };
        let tell = self.tell.as_mut().expect("it has an input while it lives");
        writeln!(tell, "{service} {status}").expect("it reads");
        assert_eq!(self.line(), "set");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.hear.read_line(&mut line).expect("it speaks");
        line.trim().to_owned()
    }
}

impl Drop for GrpcHealth {
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
    let folder = cache.unwrap_or_default().join("tollway/python-grpc-health");
    assert!(
        folder.join("grpc_health").is_dir(),
        "gRPC's health service is not installed: run ./.ci/tools (pip: grpcio, grpcio-health-checking)"
    );
    folder
}
