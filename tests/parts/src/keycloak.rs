//! Keycloak: an issuer of tokens, with a realm of ours on a database of its own.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::keeper::Keeper;
use crate::{free_port, http};

const VERSION: &str = "26.7.3";
/// The realm `shop`: the clients `shop`, `stranger` and `light` (lightweight tokens) get tokens for `pets`, the client that may ask what tokens
/// stand for; each has its name and `-secret` as its secret. The users `alice` (a `seller`) and `bob` (a `buyer`) have their names and `-password`.
const REALM: &str = include_str!("keycloak/realm.json");
/// Its administrator.
const ADMIN: (&str, &str) = ("admin", "admin-password");
/// A start takes half a minute on an idle machine.
const PATIENCE: Duration = Duration::from_secs(240);
/// What it is started with: a small heap, and no thought of running for long.
const JAVA: [&str; 12] = [
    "-Xms64m",
    "-Xmx384m",
    "-XX:MaxMetaspaceSize=256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    // Signals end it, whichever they are: who cleans up behind a killed test sends SIGQUIT.
    "-Xrs",
    "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
    "-Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
    "-Dpicocli.disable.closures=true",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
];

/// A Keycloak of one's own.
pub struct Keycloak {
    folder: PathBuf,
    port: u16,
    server: Option<Child>,
    _keeper: Keeper,
}

impl std::fmt::Debug for Keycloak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keycloak({})", self.port)
    }
}

impl Keycloak {
    /// Starts one with our realm, and returns when it answers.
    #[must_use]
    pub fn start() -> Self {
        let installed = installed();
        let folder = tempfile::Builder::new()
            .prefix("tollway-keycloak-")
            .tempdir()
            .expect("a temporary folder can be made")
            .keep();
        let keeper = Keeper::start(&folder, &folder.join("pid"), &folder);
        let import = folder.join("data/import");
        std::fs::create_dir_all(&import).expect("the folder can be written");
        std::fs::write(import.join("shop.json"), REALM).expect("the folder can be written");
        for part in ["bin", "conf", "lib", "providers", "themes", "version.txt"] {
            symlink(installed.join(part), folder.join(part)).expect("the folder can be written");
        }
        let mut this = Self {
            port: free_port(),
            folder,
            server: None,
            _keeper: keeper.expect("a shell can be started"),
        };
        this.start_again();
        this
    }

    /// The issuer of our realm's tokens.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("{}/realms/shop", self.url())
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Name and password of its administrator.
    #[must_use]
    pub fn admin(&self) -> (&'static str, &'static str) {
        ADMIN
    }

    /// Stops it, as a machine that fails does; what it has stored stays.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    /// Starts it at the same place, and returns when it answers.
    ///
    /// # Panics
    /// When it does not, with its log.
    pub fn start_again(&mut self) {
        let log = self.folder.join("log");
        let server = Command::new("java")
            .args(JAVA)
            .arg(format!("-Dkc.home.dir={}", self.folder.display()))
            .arg(format!("-Djboss.server.config.dir={}", self.folder.join("conf").display()))
            .arg("-cp")
            .arg(self.folder.join("lib/quarkus-run.jar"))
            .arg("io.quarkus.bootstrap.runner.QuarkusEntryPoint")
            .args(["start", "--optimized", "--import-realm", "--http-enabled=true"])
            .arg("--http-host=127.0.0.1")
            .arg(format!("--http-port={}", self.port))
            .arg(format!("--hostname={}", self.url()))
            .env("KC_BOOTSTRAP_ADMIN_USERNAME", ADMIN.0)
            .env("KC_BOOTSTRAP_ADMIN_PASSWORD", ADMIN.1)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(File::create(&log).expect("the folder can be written"))
            .stderr(Stdio::null())
            .spawn()
            .expect("java is not installed: `apt-get install default-jre-headless` (./.ci/tools does it)");
        let pid = server.id().to_string();
        std::fs::write(self.folder.join("pid"), pid).expect("the folder can be written");
        self.server = Some(server);
        self.wait(&log);
    }

    fn wait(&mut self, log: &Path) {
        let deadline = Instant::now() + PATIENCE;
        let address = format!("127.0.0.1:{}", self.port);
        let target = "/realms/shop/.well-known/openid-configuration";
        while http::get(&address, target).is_none_or(|(status, _)| status != 200) {
            let server = self.server.as_mut().expect("it was started");
            let ended = server.try_wait().expect("it is our child").is_some();
            if ended || Instant::now() > deadline {
                let log = std::fs::read_to_string(log).unwrap_or_default();
                panic!("no answer from Keycloak:\n{log}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Keycloak {
    fn drop(&mut self) {
        self.stop();
    }
}

fn installed() -> PathBuf {
    let folder = crate::cache().join(format!("keycloak-{VERSION}"));
    assert!(
        folder.join("lib/quarkus-run.jar").exists(),
        "Keycloak {VERSION} is not installed: ./.ci/tools downloads it (org.keycloak:keycloak-quarkus-dist)"
    );
    folder
}
