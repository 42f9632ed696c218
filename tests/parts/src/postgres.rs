//! PostgreSQL: a cluster of its own, with TLS, listening on loopback.

use std::fs::File;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::free_port;
use crate::keeper::Keeper;

const USER: &str = "tollway";
const PASSWORD: &str = "of this cluster alone";
/// How often a server is started anew because somebody else took its port meanwhile.
const STARTS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(120);

/// A throw-away cluster.
///
/// Its databases have a linguistic collation (ICU `en-US`), as those of many operators have: whoever relies on the
/// order of bytes has to say so. `fsync` is on.
pub struct Postgres {
    folder: PathBuf,
    port: u16,
    programs: Programs,
    server: Mutex<Option<Child>>,
    databases: AtomicU32,
    _keeper: Keeper,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Postgres({})", self.port)
    }
}

impl Postgres {
    /// The cluster that the tests of this process share: started by the first, gone with the process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A cluster of one's own, for a test that stops or kills it.
    #[must_use]
    pub fn start() -> Self {
        let programs = Programs::find();
        let folder = tempfile::Builder::new()
            .prefix("tollway-postgres-")
            .tempdir()
            .expect("a temporary folder can be made")
            .keep();
        let data = folder.join("data");
        let keeper = Keeper::start(&folder, &data.join("postmaster.pid"), &data)
            .expect("a shell can be started");
        programs.give(&folder);
        certificate(&folder);
        std::fs::write(folder.join("password"), PASSWORD).expect("the folder can be written");
        for name in ["server.key", "server.crt", "password"] {
            programs.give(&folder.join(name));
        }
        let mut initdb = programs.command("initdb");
        initdb
            .args(["--username", USER, "--auth", "scram-sha-256", "--no-sync"])
            .args(["--encoding", "UTF8", "--locale", "C"])
            .args(["--locale-provider", "icu", "--icu-locale", "en-US"])
            .arg("--pwfile")
            .arg(folder.join("password"))
            .arg("--pgdata")
            .arg(&data)
            .current_dir(&folder);
        run(initdb);
        let mut this = Self {
            folder,
            port: 0,
            programs,
            server: Mutex::new(None),
            databases: AtomicU32::new(0),
            _keeper: keeper,
        };
        for _ in 0..STARTS {
            this.port = free_port();
            if this.serve() {
                return this;
            }
        }
        panic!("PostgreSQL did not start:\n{}", this.log());
    }

    /// Makes a database and gives its URL.
    #[must_use]
    pub fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// The URL of a database; whether there is one of that name is not looked at.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let password = PASSWORD.replace(' ', "%20");
        format!(
            "postgres://{USER}:{password}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// The password in the URLs, for tests that look for it where it must not be.
    #[must_use]
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's certificate (PEM), self-signed, for `localhost` and `127.0.0.1`.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("server.crt")
    }

    /// The folder of the server's programs (`pg_dump` …).
    #[must_use]
    pub fn programs(&self) -> &Path {
        &self.programs.folder
    }

    /// Runs statements with `psql` and gives what they answer, columns apart by `|`.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let mut psql = Command::new(self.programs.folder.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(["--set", "ON_ERROR_STOP=1", "--command", sql])
            .args(["--host", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--username", USER, "--dbname", database])
            .env("PGPASSWORD", PASSWORD);
        run(psql)
    }

    /// `kill -9` of the server and of all its processes at once: what a crash of the machine leaves of it, but for what
    /// the kernel still writes out.
    pub fn kill(&self) {
        let mut server = self.server();
        let Some(mut child) = server.take() else {
            return;
        };
        let pid = child.id();
        // The parent stands still while its children are counted, so that it makes no more of them.
        signal("-STOP", &[pid]);
        let mut all = children(pid);
        all.push(pid);
        signal("-KILL", &all);
        child.wait().expect("the server is our child");
        let gone = Instant::now() + PATIENCE;
        while all.iter().any(|pid| self.is_ours(*pid)) {
            assert!(Instant::now() < gone, "a killed process stays");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts the server again, at the same port, after [`Postgres::kill`] or [`Postgres::stop`].
    pub fn restart(&self) {
        for _ in 0..STARTS {
            if self.serve() {
                return;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("PostgreSQL did not start again:\n{}", self.log());
    }

    /// Stops the server, cutting off who is connected.
    pub fn stop(&self) {
        if let Some(mut child) = self.server().take() {
            signal("-QUIT", &[child.id()]);
            child.wait().expect("the server is our child");
        }
    }

    fn server(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the server and waits until it answers; `false` when it ended instead.
    fn serve(&self) -> bool {
        let log = |name| {
            let path = self.folder.join(name);
            let file = File::options().create(true).append(true).open(path);
            file.expect("the log can be written")
        };
        let mut command = self.programs.command("postgres");
        command.arg("-D").arg(self.folder.join("data"));
        command.arg("-k").arg(&self.folder);
        for setting in [
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".to_owned(),
            "max_connections=200".to_owned(),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", self.certificate().display()),
            format!("ssl_key_file={}", self.folder.join("server.key").display()),
        ] {
            command.args(["-c", &setting]);
        }
        let child = command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log("log"))
            .stderr(log("log"))
            .spawn();
        let mut child = child.expect("the server's program can be started");
        let deadline = Instant::now() + PATIENCE;
        while !self.answers() {
            if child.try_wait().expect("it is our child").is_some() {
                return false;
            }
            assert!(
                Instant::now() < deadline,
                "no answer from PostgreSQL:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        *self.server() = Some(child);
        true
    }

    fn answers(&self) -> bool {
        let status = Command::new(self.programs.folder.join("pg_isready"))
            .args(["--quiet", "--host"])
            .arg(&self.folder)
            .args(["--port", &self.port.to_string()])
            .status();
        status.is_ok_and(|status| status.success())
    }

    fn is_ours(&self, pid: u32) -> bool {
        std::fs::read_link(format!("/proc/{pid}/cwd"))
            .is_ok_and(|folder| folder == self.folder.join("data"))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Where the programs are, and as whom they run: PostgreSQL refuses to run as root.
struct Programs {
    folder: PathBuf,
    /// User and group, where they are not ours.
    user: Option<(u32, u32)>,
}

impl Programs {
    fn find() -> Self {
        let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter();
        let newest = installed
            .flatten()
            .filter_map(|entry| {
                let version: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
                let folder = PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"));
                folder
                    .join("postgres")
                    .exists()
                    .then_some((version, folder))
            })
            .max();
        let Some((_, folder)) = newest else {
            panic!(
                "PostgreSQL is not installed: `apt-get install postgresql` (./.ci/tools does it)"
            );
        };
        // Who owns the process's own directory in /proc is who we are.
        let me = std::fs::metadata("/proc/self").expect("/proc is there");
        let is_root = std::os::unix::fs::MetadataExt::uid(&me) == 0;
        Self {
            folder,
            user: is_root.then(postgres_user),
        }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.folder.join(name));
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    /// Makes a file theirs.
    fn give(&self, path: &Path) {
        if let Some((user, group)) = self.user {
            chown(path, Some(user), Some(group)).expect("root may give files away");
        }
    }
}

/// The user that Debian's package makes.
fn postgres_user() -> (u32, u32) {
    let users = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd can be read");
    let line = users
        .lines()
        .find_map(|line| line.strip_prefix("postgres:"));
    let numbers = line.and_then(|line| {
        let mut fields = line.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    numbers.expect("PostgreSQL does not run as root, and there is no user `postgres`")
}

fn certificate(folder: &Path) {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate can be made");
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("the folder can be written");
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, mode).expect("the file is ours");
    };
    write("server.crt", made.cert.pem());
    write("server.key", made.signing_key.serialize_pem());
}

/// Runs a program to its end and gives what it printed.
fn run(mut command: Command) -> String {
    let output = command.output().expect("PostgreSQL's programs can be run");
    assert!(
        output.status.success(),
        "{:?} failed: {}",
        command.get_program(),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Signals by the `kill` program, since the standard library has none but SIGKILL. Who is gone is no failure.
fn signal(name: &str, pids: &[u32]) {
    let pids = pids.iter().map(ToString::to_string);
    let mut command = Command::new("kill");
    command.arg(name).args(pids).stderr(Stdio::null());
    command.status().expect("`kill` can be run");
}

/// The processes whose parent is `pid`.
fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let list = std::fs::read_to_string(path).unwrap_or_default();
    list.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests;
