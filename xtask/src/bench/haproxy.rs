//! HAProxy, as a peer that does what a managed call does.

use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;

use super::process::{Process, filled, free_address, pinned};
use super::tollway::Issuer;

/// A running HAProxy.
pub(crate) struct Haproxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The process.
    pub(crate) process: Process,
    _folder: TempDir,
}

impl Haproxy {
    /// One thread before a backend.
    pub(crate) async fn start(
        configs: &Path,
        backend: SocketAddr,
        issuer: &Issuer,
        cores: Option<&str>,
    ) -> anyhow::Result<Self> {
        let address = free_address()?;
        let folder = tempfile::tempdir()?;
        let key = folder.path().join("issuer.pem");
        std::fs::write(&key, issuer.pem()?)?;
        let config = filled(
            &configs.join("haproxy.cfg"),
            &folder.path().join("haproxy.cfg"),
            &[
                ("@LISTEN@", &address.to_string()),
                ("@BACKEND@", &backend.to_string()),
                ("@ISSUER@", &issuer.issuer),
                ("@AUDIENCE@", &issuer.audience),
                ("@KEY@", &key.display().to_string()),
            ],
        )?;
        let mut command = pinned("haproxy", cores);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin"));
        command.arg("-db").arg("-f").arg(config);
        let log = folder.path().join("output.log");
        let mut process = Process::start("HAProxy", &mut command, &log)?;
        process
            .until(async || tokio::net::TcpStream::connect(address).await.is_ok())
            .await?;
        Ok(Self {
            address,
            process,
            _folder: folder,
        })
    }
}
