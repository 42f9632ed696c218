//! nginx, as the backend and as the peer: instances of our own, with their own configuration, prefix and ports.

use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;

use super::certificate::Certificate;
use super::process::{Process, filled, free_address, pinned};

/// A running nginx.
pub(crate) struct Nginx {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Master and workers.
    pub(crate) process: Process,
    // Dropped last: the process writes into it.
    prefix: TempDir,
}

impl Nginx {
    /// The backend of all measurements.
    pub(crate) async fn backend(configs: &Path, cores: Option<&str>) -> anyhow::Result<Self> {
        let template = configs.join("nginx-backend.conf");
        Self::start("the nginx backend", &template, cores, &[]).await
    }

    /// Makes the backend answer `/items/NAME` with so many bytes.
    pub(crate) fn serve_file(&self, name: &str, bytes: usize) -> anyhow::Result<()> {
        let folder = self.prefix.path().join("files/items");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(name), vec![b'x'; bytes])?;
        Ok(())
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
        let template = configs.join("nginx-proxy.conf");
        Self::start("the nginx proxy", &template, cores, &fill).await
    }

    /// The same with TLS towards clients, HTTP/1.1 and HTTP/2.
    pub(crate) async fn tls(
        configs: &Path,
        backend: SocketAddr,
        certificate: &Certificate,
        cores: Option<&str>,
    ) -> anyhow::Result<Self> {
        let fill = [
            ("@BACKEND@", backend.to_string()),
            ("@CHAIN@", certificate.chain().display().to_string()),
            ("@KEY@", certificate.key().display().to_string()),
        ];
        let template = configs.join("nginx-tls.conf");
        Self::start("the nginx proxy with TLS", &template, cores, &fill).await
    }

    async fn start(
        name: &'static str,
        template: &Path,
        cores: Option<&str>,
        fill: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let address = free_address()?;
        let prefix = tempfile::tempdir()?;
        let listen = address.to_string();
        let mut fill: Vec<(&str, &str)> = fill
            .iter()
            .map(|(mark, value)| (*mark, value.as_str()))
            .collect();
        fill.push(("@LISTEN@", &listen));
        let config = filled(template, &prefix.path().join("nginx.conf"), &fill)?;
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
            prefix,
        })
    }
}
