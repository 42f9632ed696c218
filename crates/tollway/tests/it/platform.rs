//! A platform in a process of its own, on free ports and in a temporary folder.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_tollway");
pub(crate) const PASSWORD: &str = "a platform of our own 7";

/// How long a test waits for what has to come. A machine may be slow, and stand still for seconds: nobody waits for so long on one that is not.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A running `tollway up`; it is killed with the value.
pub(crate) struct Platform {
    process: Child,
    pub(crate) control: String,
    pub(crate) gateway: String,
    pub(crate) node: String,
    /// What it printed before it was ready.
    pub(crate) printed: Vec<String>,
}

impl Drop for Platform {
    fn drop(&mut self) {
        // Fails when the process is gone already, which is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The flags of a platform on free ports.
pub(crate) fn up(data_dir: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("up").arg("--data-dir").arg(data_dir);
    for flag in [
        "--control-listen",
        "--gateway-http-listen",
        "--gateway-https-listen",
        "--node-listen",
    ] {
        command.args([flag, "127.0.0.1:0"]);
    }
    // Ports change with a restart, the issuer must not.
    command.args(["--public-url", "http://tollway.test"]);
    // What is in time on a machine that stands still for a while is not what is tested.
    command.args(["--acknowledge-timeout", "1m"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl Platform {
    /// Starts one and waits until it has printed its addresses, which it does when it is ready.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut process = command.stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut printed = Vec::new();
        while printed
            .last()
            .is_none_or(|line: &String| !line.starts_with("node "))
        {
            printed.push(
                lines
                    .next()
                    .expect("the platform ended before it was ready")
                    .unwrap(),
            );
        }
        let url = |name: &str| {
            let line = printed.iter().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace()
                .find(|word| word.starts_with("http://"))
                .unwrap()
                .to_owned()
        };
        let (control, gateway, node) = (url("control API"), url("gateway"), url("node"));
        Self {
            process,
            control,
            gateway,
            node,
            printed,
        }
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends SIGKILL: no handler runs, nothing is flushed.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Sends SIGTERM and waits.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        let pid = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        let patience = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < patience, "it does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Somebody at a terminal: a home of their own, logged in as admin.
pub(crate) struct User {
    pub(crate) folder: TempDir,
    pub(crate) platform: Platform,
    database: Option<String>,
    /// Further flags of `tollway up`.
    flags: Vec<String>,
}

impl User {
    pub(crate) fn start() -> Self {
        Self::started(None, &[])
    }

    /// On the PostgreSQL database of this URL, where there is one.
    pub(crate) fn start_on(database: Option<String>) -> Self {
        Self::started(database, &[])
    }

    /// With further flags of `tollway up`, at every start.
    pub(crate) fn start_with(flags: &[&str]) -> Self {
        Self::started(None, flags)
    }

    /// With further flags, on a PostgreSQL database or not.
    pub(crate) fn started(database: Option<String>, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let password = folder.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut command = Self::up(&folder, database.as_deref(), &flags);
        command.arg("--admin-password-file").arg(&password);
        let user = Self {
            platform: Platform::start(command),
            folder,
            database,
            flags,
        };
        user.login();
        user
    }

    /// Kills the platform as a power cut would and starts it again.
    pub(crate) fn crash(self) -> Self {
        self.crash_and(|| {})
    }

    /// [`User::crash`], with something that happens before the next start.
    pub(crate) fn crash_and(self, between: impl FnOnce()) -> Self {
        let Self {
            folder,
            platform,
            database,
            flags,
        } = self;
        platform.kill();
        between();
        let user = Self {
            platform: Platform::start(Self::up(&folder, database.as_deref(), &flags)),
            folder,
            database,
            flags,
        };
        user.login();
        user
    }

    fn up(folder: &TempDir, database: Option<&str>, flags: &[String]) -> Command {
        let mut command = up(&folder.path().join("data"));
        command.args(flags);
        command.envs(database.map(|url| ("TOLLWAY_DATABASE_URL", url)));
        command
    }

    fn login(&self) {
        let password = self.path("password");
        self.ok(&[
            "login",
            "--server",
            &self.platform.control,
            "--user",
            "admin",
            "--password-file",
            password.to_str().unwrap(),
        ]);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a command in the user's folder.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        Command::new(BINARY)
            .args(arguments)
            .current_dir(self.folder.path())
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env_remove("TOLLWAY_SERVER")
            .env_remove("TOLLWAY_TOKEN")
            .output()
            .unwrap()
    }

    /// Runs a command that must succeed, and gives its standard output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "tollway {}: {stderr}",
            arguments.join(" ")
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Publishes an API with one operation, `GET /x`, as `name:1.0.0` below `/name`.
    pub(crate) fn publish(&self, name: &str, backend: &str, plan: &str) {
        let definition = "openapi: 3.0.3\ninfo: {title: T, version: '1'}\n\
                          paths: {/x: {get: {responses: {'200': {description: ok}}}}}\n";
        std::fs::write(self.path("x.yaml"), definition).unwrap();
        let words = format!(
            "api import x.yaml --name {name} --version 1.0.0 --context /{name} --backend {backend} --plan {plan} --publish"
        );
        self.ok(&words.split(' ').collect::<Vec<_>>());
    }

    /// Makes an application `shop` with subscriptions to these.
    pub(crate) fn subscribe(&self, apis: &[&str], plan: &str) {
        self.ok(&["app", "create", "shop"]);
        for api in apis {
            let words = format!("subscription create --app shop --api {api} --plan {plan}");
            self.ok(&words.split(' ').collect::<Vec<_>>());
        }
    }

    /// A new API key of `shop`.
    pub(crate) fn api_key(&self) -> String {
        let key = self.ok(&["apikey", "create", "--app", "shop", "-o", "json"]);
        let key: serde_json::Value = serde_json::from_str(&key).unwrap();
        key["key"].as_str().unwrap().to_owned()
    }

    /// Runs a command that must end with this exit code, and gives both outputs.
    pub(crate) fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "tollway {}: {text}",
            arguments.join(" ")
        );
        text
    }
}
