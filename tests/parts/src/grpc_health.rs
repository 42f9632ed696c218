//! A gRPC server that speaks the health protocol: that of gRPC's own library for Python.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::python::Python;

const SERVER: &str = include_str!("grpc_health.py");

/// A gRPC server with the health service; at first the server as a whole serves.
pub struct GrpcHealth(Python);

impl std::fmt::Debug for GrpcHealth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GrpcHealth({})", self.addr())
    }
}

impl GrpcHealth {
    /// Starts one.
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
        let mut this = Self(Python::start(SERVER, &libraries(), tls));
        this.set("", "SERVING");
        this
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.0.addr()
    }

    /// What it says of a service from now on; empty = of itself.
    pub fn set(&mut self, service: &str, status: &str) {
        let service = if service.is_empty() { "-" } else { service };
        self.0.tell(&format!("{service} {status}"));
        assert_eq!(self.0.hear(), "set");
    }
}

fn libraries() -> PathBuf {
    let folder = crate::cache().join("python-grpc-health");
    assert!(
        folder.join("grpc_health").is_dir(),
        "gRPC's health service is not installed: run ./.ci/tools (pip: grpcio, grpcio-health-checking)"
    );
    folder
}
