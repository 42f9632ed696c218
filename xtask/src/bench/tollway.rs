//! Tollway: a platform of our own on free ports, with the defaults that `tollway up` has.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::{Control, answers, client};
use super::memory_group::MemoryGroup;
use super::process::{Process, free_address, pinned};

/// Bytes of a body at the control API: what holds one batch of APIs.
const BODY_BYTES_MAX: &str = "67108864";
/// The password of `admin`; it never leaves this machine.
pub(crate) const PASSWORD: &str = "measured, not guessed 9";

/// A folder that a platform keeps its data in; it outlives the processes that use it.
pub(crate) struct Folder(TempDir);

impl Folder {
    /// The key file of a platform that was started here.
    pub(crate) fn key_file(&self) -> std::path::PathBuf {
        self.0.path().join("data/tollway.key")
    }

    /// Makes the key that the platform signs tokens for backends with.
    pub(crate) fn backend_key(&self) -> anyhow::Result<()> {
        let folder = self.0.path().join("data/secrets/bench");
        std::fs::create_dir_all(&folder)?;
        let key = rcgen::KeyPair::generate()?;
        std::fs::write(folder.join("tls.key"), key.serialize_pem())?;
        Ok(())
    }

    /// An empty one.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("password"), PASSWORD)?;
        Ok(Self(folder))
    }
}

/// How a platform is started.
#[derive(Default)]
pub(crate) struct Setup<'a> {
    /// Threads that serve calls; `None` = the default.
    pub(crate) workers: Option<usize>,
    /// Cores, as `taskset -c` takes them; `None` = all.
    pub(crate) cores: Option<&'a str>,
    /// Further arguments of `tollway up`.
    pub(crate) arguments: Vec<OsString>,
    /// What its memory is limited by.
    pub(crate) group: Option<&'a MemoryGroup>,
}

impl<'a> Setup<'a> {
    /// So many workers on these cores.
    pub(crate) fn cores(workers: usize, cores: Option<&'a str>) -> Self {
        Self {
            workers: Some(workers),
            cores,
            ..Self::default()
        }
    }
}

/// Whose tokens the platform's gateway accepts: the platform itself.
pub(crate) struct Issuer {
    /// The `iss` of its tokens.
    pub(crate) issuer: String,
    /// Their `aud`.
    pub(crate) audience: String,
    /// Its keys (RFC 7517).
    pub(crate) jwks: Value,
}

impl Issuer {
    /// Its first key, on the curve P-256, as a public key in PEM (RFC 5480).
    pub(crate) fn pem(&self) -> anyhow::Result<String> {
        // SubjectPublicKeyInfo for id-ecPublicKey on prime256v1, up to the point itself.
        const HEAD: &str = "3059301306072a8648ce3d020106082a8648ce3d03010703420004";
        let mut der = Vec::new();
        for at in (0..HEAD.len()).step_by(2) {
            der.push(u8::from_str_radix(&HEAD[at..at + 2], 16)?);
        }
        for member in ["x", "y"] {
            let text = self.jwks["keys"][0][member].as_str();
            let bytes = URL_SAFE_NO_PAD.decode(text.context("the key is on a curve")?)?;
            ensure!(bytes.len() == 32, "the key is not on P-256");
            der.extend(bytes);
        }
        Ok(format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(der)
        ))
    }
}

/// A running platform.
pub(crate) struct Tollway {
    /// Where the gateway listens, clear text.
    pub(crate) gateway: SocketAddr,
    /// Where the gateway listens, TLS.
    pub(crate) gateway_tls: SocketAddr,
    /// The one process.
    pub(crate) process: Process,
    /// From the start of the process until `/readyz` answered 200.
    pub(crate) ready_after: Duration,
    /// Where metrics are.
    pub(crate) node: SocketAddr,
    control: SocketAddr,
    client: reqwest::Client,
}

impl Tollway {
    /// Starts a platform on a folder and waits until it is ready.
    pub(crate) async fn start(
        binary: &Path,
        folder: &Folder,
        setup: &Setup<'_>,
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
        let mut command = match setup.group {
            Some(group) => group.command(binary, setup.cores),
            None => pinned(binary, setup.cores),
        };
        command.arg("up");
        command.arg("--data-dir").arg(folder.join("data"));
        command
            .arg("--admin-password-file")
            .arg(folder.join("password"));
        for (flag, address) in [
            ("--control-listen", control),
            ("--node-listen", node),
            ("--gateway-http-listen", gateway),
            ("--gateway-https-listen", tls),
        ] {
            command.args([flag, &address.to_string()]);
        }
        command.args(["--control-body-bytes-max", BODY_BYTES_MAX]);
        if let Some(workers) = setup.workers {
            command.args(["--gateway-workers", &workers.to_string()]);
        }
        command.args(&setup.arguments);
        let begin = Instant::now();
        let mut process = Process::start("tollway", &mut command, &folder.join("output.log"))?;
        process
            .until(async || answers(&client, &ready).await)
            .await?;
        Ok(Self {
            gateway,
            gateway_tls: tls,
            process,
            ready_after: begin.elapsed(),
            node,
            control,
            client,
        })
    }

    /// Where the control API and the authorization server are.
    pub(crate) fn control_url(&self) -> String {
        format!("http://{}", self.control)
    }

    /// What peers need to accept its tokens.
    pub(crate) async fn issuer(&self) -> anyhow::Result<Issuer> {
        let issuer = self.control_url();
        let answer = self.client.get(format!("{issuer}/oauth2/jwks"));
        Ok(Issuer {
            jwks: serde_json::from_str(&answer.send().await?.text().await?)?,
            issuer,
            audience: "urn:tollway:default:gateway".to_owned(),
        })
    }

    /// Logs in to its control API.
    pub(crate) async fn control(&self) -> anyhow::Result<Control> {
        Control::login(self.client.clone(), self.control_url(), PASSWORD).await
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

    /// Applies a file of `benches/` as it is.
    pub(crate) async fn apply_file(&self, configs: &Path, name: &str) -> anyhow::Result<()> {
        let path = configs.join(name);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("reading {}", path.display()))?;
        self.apply(configs, &text).await
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

    /// A new API key of an application, in force at the gateways.
    pub(crate) async fn api_key(&self, application: &str) -> anyhow::Result<String> {
        self.api_key_by(&format!("/applications/{application}/api-keys"))
            .await
    }

    /// A new API key of an application, stored but not waited for.
    pub(crate) async fn api_key_at_once(&self, application: &str) -> anyhow::Result<String> {
        self.api_key_by(&format!("/applications/{application}/api-keys?wait=false"))
            .await
    }

    async fn api_key_by(&self, path: &str) -> anyhow::Result<String> {
        let answer = self.call(Method::POST, path, Some(&json!({}))).await?;
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
