//! A whole platform in this process, on free ports and in a temporary folder.

use anyhow::{Context, ensure};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tollway::up::{Options, Running, Span};

use crate::PATIENCE;

/// A running platform and somebody who is logged in as its admin.
pub struct Sandbox {
    /// The platform.
    pub running: Running,
    /// For calls of any kind; follows no redirects, accepts the gateway's self-signed certificate.
    pub http: Client,
    token: String,
    folder: TempDir,
}

/// An API that was imported, and an application that is subscribed to it.
pub struct Api {
    /// The base URL of its version at the gateway's clear-text listener.
    pub url: String,
    /// An access token of the application.
    pub token: String,
    /// An API key of the application.
    pub key: String,
    /// The API's document name.
    pub name: String,
    /// The application's name.
    pub app: String,
}

impl Sandbox {
    /// Password of `admin` in every sandbox.
    pub const PASSWORD: &'static str = "a sandbox of our own 7";

    /// Starts a platform on an empty folder.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_in(tempfile::tempdir()?, |_| {}).await
    }

    /// Starts a platform on a folder, with other options.
    pub async fn start_in(
        folder: TempDir,
        change: impl FnOnce(&mut Options),
    ) -> anyhow::Result<Self> {
        // The tests of one process share it; the second attempt to install it fails, and that is well.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let password_file = folder.path().join("password");
        std::fs::write(&password_file, Self::PASSWORD)?;
        let free = || Some(([127, 0, 0, 1], 0).into());
        let patience = Some(Span(PATIENCE));
        let mut options = Options {
            data_dir: Some(folder.path().join("data")),
            admin_password_file: Some(password_file),
            control_listen: free(),
            gateway_http_listen: free(),
            gateway_https_listen: free(),
            node_listen: free(),
            // Ports change with a restart, the issuer must not.
            public_url: Some("http://tollway.test".into()),
            gateway_workers: Some(2),
            // What is in time on a machine that stands still for a while is not what is tested.
            acknowledge_timeout: patience,
            gateway_question_timeout: patience,
            upstream_connect_timeout: patience,
            identity_code_lifetime: patience,
            ..Options::default()
        };
        change(&mut options);
        let running = tollway::up::start(options).await?;
        let http = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .tls_danger_accept_invalid_certs(true)
            .build()?;
        let login = json!({"username": "admin", "password": Self::PASSWORD});
        let answer = http
            .post(format!("{}/api/v1/login", running.control_url()))
            .json(&login)
            .send()
            .await?;
        ensure!(
            answer.status().is_success(),
            "login failed: {}",
            answer.text().await?
        );
        let answer: Value = answer.json().await?;
        let token = answer["accessToken"]
            .as_str()
            .context("a login gives a token")?
            .to_owned();
        Ok(Self {
            running,
            http,
            token,
            folder,
        })
    }

    /// Stops the platform and gives its folder; the data folder is `data` in it.
    pub async fn stop(self) -> TempDir {
        self.running.shutdown().await;
        self.folder
    }

    /// Stops the platform and starts it again on the same folder.
    pub async fn restart(self) -> anyhow::Result<Self> {
        let Self {
            running, folder, ..
        } = self;
        running.shutdown().await;
        Self::start_in(folder, |_| {}).await
    }

    /// A call of the control API as admin.
    pub fn control(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(
                method,
                format!("{}/api/v1{path}", self.running.control_url()),
            )
            .bearer_auth(&self.token)
    }

    /// A JSON call of the control API that must succeed.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let mut request = self.control(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{path} answered {status}: {text}");
        Ok(if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text)?
        })
    }

    /// A JSON call that must be refused; gives status and code.
    pub async fn refused(
        &self,
        method: Method,
        path: &str,
        body: Value,
    ) -> anyhow::Result<(StatusCode, String)> {
        let answer = self.control(method, path).json(&body).send().await?;
        let status = answer.status();
        let problem: Value = answer.json().await?;
        Ok((
            status,
            problem["code"].as_str().unwrap_or_default().to_owned(),
        ))
    }

    /// The platform's data folder.
    #[must_use]
    pub fn data_dir(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    /// Base URL of the gateway, clear text.
    #[must_use]
    pub fn gateway(&self) -> String {
        format!("http://{}", self.running.gateway_http())
    }

    /// Where the gateway serves HTTPS.
    #[must_use]
    pub fn gateway_https(&self) -> std::net::SocketAddr {
        self.running.gateway_https()
    }

    /// The value of a metric without labels, as a whole number.
    ///
    /// # Panics
    /// When there is no such metric.
    pub async fn metric(&self, name: &str) -> u64 {
        let url = format!("http://{}/metrics", self.running.node());
        let answer = self.http.get(url).send().await;
        let text = match answer {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        };
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse().ok())
            .unwrap_or_else(|| panic!("there is no metric {name}"))
    }

    /// What is known of a trace id, once something is; it takes a second to be told.
    ///
    /// # Panics
    /// When nothing is known in the end.
    pub async fn trace(&self, trace_id: &str) -> Value {
        let path = format!("/traces/{trace_id}");
        let known = async {
            loop {
                let answer = self.control(Method::GET, &path).send().await;
                match answer {
                    Ok(answer) if answer.status() == StatusCode::OK => {
                        return answer.json().await.expect("it is JSON");
                    }
                    _ => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
                }
            }
        };
        let known = tokio::time::timeout(PATIENCE, known).await;
        known.expect("the call is explained in the end")
    }

    /// Imports a definition, publishes it under `plan` and subscribes a new application.
    pub async fn api(
        &self,
        name: &str,
        definition: &str,
        backend: &str,
        plan: &str,
    ) -> anyhow::Result<Api> {
        let import = json!({
            "definition": definition, "name": name, "version": "1.0.0", "context": format!("/{name}"),
            "backend": backend, "plans": [plan], "publish": true,
        });
        let made = self
            .call(Method::POST, "/apis:import", Some(import))
            .await?;
        let document = made["api"]["metadata"]["name"]
            .as_str()
            .context("an API has a name")?
            .to_owned();
        let app = format!("{name}-app");
        self.subscribe(&app, name, plan).await?;
        self.call(
            Method::POST,
            &format!("/applications/{app}/credentials"),
            None,
        )
        .await?;
        let token = self
            .call(
                Method::POST,
                &format!("/applications/{app}/token"),
                Some(json!({})),
            )
            .await?;
        let key = self
            .call(
                Method::POST,
                &format!("/applications/{app}/api-keys"),
                Some(json!({})),
            )
            .await?;
        Ok(Api {
            url: format!("{}/{name}/1.0.0", self.gateway()),
            token: token["accessToken"].as_str().context("a token")?.to_owned(),
            key: key["key"].as_str().context("a key")?.to_owned(),
            name: document,
            app,
        })
    }

    /// Makes an application and subscribes it to version 1.0.0 of an API.
    pub async fn subscribe(&self, app: &str, api: &str, plan: &str) -> anyhow::Result<()> {
        let application = json!({"kind": "Application", "metadata": {"name": app}, "spec": {}});
        self.call(Method::POST, "/applications", Some(application))
            .await?;
        let subscription = json!({
            "kind": "Subscription", "metadata": {"name": format!("{app}-{api}")},
            "spec": {"application": app, "api": {"name": api, "version": "1.0.0"}, "plan": plan},
        });
        self.call(Method::POST, "/subscriptions", Some(subscription))
            .await?;
        Ok(())
    }
}
