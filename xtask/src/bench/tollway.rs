//! Tollway: a platform of our own on free ports, with the defaults that `tollway up` has.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::{Control, answers, client};
use super::process::{Process, free_address, pinned};

/// Bytes of a body at the control API: what holds one batch of APIs.
const BODY_BYTES_MAX: &str = "67108864";
/// The password of `admin`; it never leaves this machine.
const PASSWORD: &str = "measured, not guessed 9";

/// A folder that a platform keeps its data in; it outlives the processes that use it.
pub(crate) struct Folder(TempDir);

impl Folder {
    /// An empty one.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("password"), PASSWORD)?;
        Ok(Self(folder))
    }
}

/// A running platform.
pub(crate) struct Tollway {
    /// Where the gateway listens, clear text.
    pub(crate) gateway: SocketAddr,
    /// The one process.
    pub(crate) process: Process,
    /// From the start of the process until `/readyz` answered 200.
    pub(crate) ready_after: Duration,
    control: SocketAddr,
    client: reqwest::Client,
}

impl Tollway {
    /// Starts a platform on a folder and waits until it is ready.
    pub(crate) async fn start(
        binary: &Path,
        folder: &Folder,
        workers: Option<usize>,
        cores: Option<&str>,
    ) -> anyhow::Result<Self> {
        let (control, gateway, tls, node) = (
            free_address()?,
            free_address()?,
            free_address()?,
            free_address()?,
        );
        let client = client()?;
        let ready = format!("http://{node}/readyz");
        let folder = folder.0.path();
        let mut command = pinned(binary, cores);
        command.arg("up");
        command.arg("--data-dir").arg(folder.join("data"));
        command
            .arg("--admin-password-file")
            .arg(folder.join("password"));
        command.args([
            "--control-listen",
            &control.to_string(),
            "--node-listen",
            &node.to_string(),
        ]);
        command.args([
            "--gateway-http-listen",
            &gateway.to_string(),
            "--gateway-https-listen",
            &tls.to_string(),
        ]);
        command.args(["--control-body-bytes-max", BODY_BYTES_MAX]);
        if let Some(workers) = workers {
            command.args(["--gateway-workers", &workers.to_string()]);
        }
        let begin = Instant::now();
        let mut process = Process::start("tollway", &mut command, &folder.join("output.log"))?;
        process
            .until(async || answers(&client, &ready).await)
            .await?;
        Ok(Self {
            gateway,
            process,
            ready_after: begin.elapsed(),
            control,
            client,
        })
    }

    /// Logs in to its control API.
    pub(crate) async fn control(&self) -> anyhow::Result<Control> {
        Control::login(
            self.client.clone(),
            format!("http://{}", self.control),
            PASSWORD,
        )
        .await
    }
}

impl Control {
    /// Applies `benches/tollway.yaml` before a backend.
    pub(crate) async fn apply_bench(
        &self,
        configs: &Path,
        backend: SocketAddr,
    ) -> anyhow::Result<()> {
        let path = configs.join("tollway.yaml");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("reading {}", path.display()))?;
        self.apply(configs, &text.replace("@BACKEND@", &backend.to_string()))
            .await
    }

    /// Applies documents whose definition is `definition.yaml`.
    pub(crate) async fn apply(&self, configs: &Path, documents: &str) -> anyhow::Result<()> {
        let definition = std::fs::read_to_string(configs.join("definition.yaml"))?;
        let bundle = json!({
            "documents": [{"file": "bench.yaml", "text": documents}],
            "definitions": {"definition.yaml": definition},
        });
        self.call(Method::POST, "/apply", Some(&bundle))
            .await
            .map(drop)
    }

    /// An access token of an application.
    pub(crate) async fn token(&self, application: &str) -> anyhow::Result<String> {
        self.call(
            Method::POST,
            &format!("/applications/{application}/credentials"),
            None,
        )
        .await?;
        let path = format!("/applications/{application}/token");
        let answer = self.call(Method::POST, &path, Some(&json!({}))).await?;
        Ok(answer["accessToken"]
            .as_str()
            .context("a token")?
            .to_owned())
    }

    /// A new API key of an application.
    pub(crate) async fn api_key(&self, application: &str) -> anyhow::Result<String> {
        let path = format!("/applications/{application}/api-keys");
        let answer = self.call(Method::POST, &path, Some(&json!({}))).await?;
        Ok(answer["key"].as_str().context("a key")?.to_owned())
    }

    /// The document of an API.
    pub(crate) async fn api(&self, name: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, &format!("/apis/{name}"), None).await
    }

    /// Replaces the document of an API; gives the time until it was in force, as the answer says.
    pub(crate) async fn replace(&self, name: &str, document: &Value) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        self.call(Method::PUT, &format!("/apis/{name}"), Some(document))
            .await?;
        Ok(begin.elapsed())
    }
}
