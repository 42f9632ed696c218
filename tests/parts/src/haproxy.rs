//! HAProxy: passes connections on and says by the PROXY protocol whose they are.

use std::fmt::Write as _;
use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::free_port;
use crate::keeper::Keeper;

/// How often it is started anew because somebody else took one of its ports meanwhile.
const STARTS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(30);

/// A load balancer of one's own, for whole connections.
pub struct HaProxy {
    folder: PathBuf,
    ports: Vec<u16>,
    server: Child,
    _keeper: Keeper,
}

impl std::fmt::Debug for HaProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HaProxy({:?})", self.ports)
    }
}

impl HaProxy {
    /// Starts one with a port for each of these: where connections go, and the options of that server, as `send-proxy`.
    /// Returns when it takes connections.
    #[must_use]
    pub fn start(targets: &[(SocketAddr, &str)]) -> Self {
        for _ in 0..STARTS {
            if let Some(started) = Self::try_start(targets) {
                return started;
            }
        }
        panic!("HAProxy did not start");
    }

    /// Where the connections of a target go in.
    #[must_use]
    pub fn address(&self, target: usize) -> SocketAddr {
        ([127, 0, 0, 1], self.ports[target]).into()
    }

    fn try_start(targets: &[(SocketAddr, &str)]) -> Option<Self> {
        let folder = tempfile::Builder::new()
            .prefix("tollway-haproxy-")
            .tempdir()
            .expect("a temporary folder can be made")
            .keep();
        let pid_file = folder.join("pid");
        let keeper = Keeper::start(&folder, &pid_file, &folder).expect("a shell can be started");
        let mut config = String::from(
            "global\n  maxconn 1000\ndefaults\n  mode tcp\n  timeout connect 10s\n  timeout client 60s\n  timeout server 60s\n",
        );
        let mut ports = Vec::new();
        for (index, (target, options)) in targets.iter().enumerate() {
            let port = free_port();
            ports.push(port);
            writeln!(
                config,
                "listen l{index}\n  bind 127.0.0.1:{port}\n  server s {target} {options}"
            )
            .expect("a string takes everything");
        }
        let config_file = folder.join("haproxy.cfg");
        std::fs::write(&config_file, config).expect("the folder can be written");
        let log = File::create(folder.join("log")).expect("the folder can be written");
        let server = Command::new(program())
            .arg("-db")
            .arg("-f")
            .arg(&config_file)
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the server's program can be started");
        std::fs::write(&pid_file, server.id().to_string()).expect("the folder can be written");
        let mut this = Self {
            folder,
            ports,
            server,
            _keeper: keeper,
        };
        this.wait().then_some(this)
    }

    /// Whether it takes connections in the end; not when it ended instead.
    fn wait(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.server.try_wait().expect("it is our child").is_some() {
                return false;
            }
            let open = |port: &u16| TcpStream::connect(("127.0.0.1", *port)).is_ok();
            if self.ports.iter().all(open) {
                return true;
            }
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "no answer from HAProxy:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        // It is ours, and what it holds is thrown away.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn program() -> &'static Path {
    let path = Path::new("/usr/sbin/haproxy");
    assert!(
        path.exists(),
        "haproxy is not installed: `apt-get install haproxy` (./.ci/tools does it)"
    );
    path
}
