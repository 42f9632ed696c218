//! Services that speak Envoy's `ext_authz`: a gRPC server with gRPC's library for Python and Envoy's own messages, and an HTTP
//! server of Python's.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::python::Python;

const GRPC: &str = include_str!("ext_authz.py");
const HTTP: &str = include_str!("ext_authz_http.py");

/// An authorization service. What it answers, the field `x-wish` of the call says: nothing lets it pass.
pub struct ExtAuthz(Python);

impl std::fmt::Debug for ExtAuthz {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ExtAuthz({})", self.addr())
    }
}

impl ExtAuthz {
    /// Starts one that is asked by gRPC.
    #[must_use]
    pub fn start() -> Self {
        Self(Python::start(GRPC, &libraries(), &[]))
    }

    /// As [`ExtAuthz::start`], one that is asked by HTTP.
    #[must_use]
    pub fn start_http() -> Self {
        Self(Python::start(HTTP, Path::new(""), &[]))
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.0.addr()
    }

    /// The next question that it got, as JSON; waits for it.
    pub fn asked(&mut self) -> String {
        self.0.hear()
    }
}

fn libraries() -> PathBuf {
    let folder = crate::cache().join("python-ext-authz");
    assert!(
        folder.join("envoy").is_dir(),
        "Envoy's messages are not installed: run ./.ci/tools (pip: grpcio, xds-protos)"
    );
    folder
}
