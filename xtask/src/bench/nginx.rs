//! nginx, as the backend and as the peer: instances of our own, with their own configuration, prefix and ports.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use tempfile::TempDir;

use super::process::{Process, free_address, pinned};

/// A running nginx.
pub(crate) struct Nginx {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Master and workers.
    pub(crate) process: Process,
    // Dropped last: the process writes into it.
    _prefix: TempDir,
}

impl Nginx {
    /// The backend of all measurements.
    pub(crate) async fn backend(configs: &Path, cores: Option<&str>) -> anyhow::Result<Self> {
        Self::start(
            "the nginx backend",
            &configs.join("nginx-backend.conf"),
            cores,
            &[],
        )
        .await
    }

    /// A plain proxy before a backend.
    pub(crate) async fn proxy(
        configs: &Path,
        backend: SocketAddr,
        workers: usize,
        cores: Option<&str>,
    ) -> anyhow::Result<Self> {
        let fill = [
            ("@BACKEND@", backend.to_string()),
            ("@WORKERS@", workers.to_string()),
        ];
        Self::start(
            "the nginx proxy",
            &configs.join("nginx-proxy.conf"),
            cores,
            &fill,
        )
        .await
    }

    async fn start(
        name: &'static str,
        template: &Path,
        cores: Option<&str>,
        fill: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let address = free_address()?;
        let prefix = tempfile::tempdir()?;
        let text = std::fs::read_to_string(template)
            .with_context(|| format!("reading {}", template.display()))?;
        let text = fill
            .iter()
            .fold(text, |text, (mark, value)| text.replace(mark, value));
        let config = prefix.path().join("nginx.conf");
        std::fs::write(&config, text.replace("@LISTEN@", &address.to_string()))?;
        let mut command = pinned("nginx", cores);
        // Debian puts it where only root looks by default.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin"));
        command
            .arg("-p")
            .arg(prefix.path())
            .arg("-e")
            .arg("error.log")
            .arg("-c")
            .arg(&config);
        let mut process = Process::start(name, &mut command, &prefix.path().join("output.log"))?;
        process
            .until(async || tokio::net::TcpStream::connect(address).await.is_ok())
            .await?;
        Ok(Self {
            address,
            process,
            _prefix: prefix,
        })
    }
}
