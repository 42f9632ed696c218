//! dnsmasq: a DNS server that knows what a test tells it, and nothing else.

use std::fmt::Write as _;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::free_port;
use crate::keeper::Keeper;

/// How often it is started anew because somebody else took its port meanwhile.
const STARTS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(60);

/// An SRV record of `_http._tcp.NAME.test`.
#[derive(Clone, Copy, Debug)]
pub struct Service<'a> {
    /// The name below `.test`.
    pub name: &'a str,
    /// The target below `.test`.
    pub target: &'a str,
    /// Its port.
    pub port: u16,
    /// Its priority.
    pub priority: u16,
    /// Its weight.
    pub weight: u16,
}

/// A DNS server for the domain `test`.
pub struct Dnsmasq {
    folder: PathBuf,
    port: u16,
    /// How often it was told hosts.
    told: AtomicUsize,
    server: Child,
    _keeper: Keeper,
}

impl std::fmt::Debug for Dnsmasq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dnsmasq({})", self.port)
    }
}

impl Dnsmasq {
    /// Starts one that knows these hosts below `.test` (A and AAAA) and these services, and returns when it answers. Records of hosts
    /// live for `ttl_s` seconds.
    #[must_use]
    pub fn start(hosts: &[(&str, IpAddr)], services: &[Service<'_>], ttl_s: u32) -> Self {
        for _ in 0..STARTS {
            if let Some(started) = Self::try_start(hosts, services, ttl_s) {
                return started;
            }
        }
        panic!("dnsmasq did not start");
    }

    /// Where it is asked.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// From now on it knows these hosts alone. Returns when it does: a question may overtake the signal to read them.
    pub fn set_hosts(&self, hosts: &[(&str, IpAddr)]) {
        let mark = format!("told-{}", self.told.fetch_add(1, Ordering::Relaxed));
        self.write_hosts(hosts, &mark);
        let pid = self.server.id().to_string();
        let told = Command::new("kill").args(["-HUP", &pid]).status();
        assert!(told.is_ok_and(|status| status.success()), "dnsmasq is gone");
        let deadline = Instant::now() + PATIENCE;
        while self.ask(&mark).is_none_or(|answers| answers == 0) {
            assert!(Instant::now() < deadline, "dnsmasq does not read its hosts");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn write_hosts(&self, hosts: &[(&str, IpAddr)], mark: &str) {
        let mut text = format!("{} {mark}.test\n", Ipv4Addr::LOCALHOST);
        for (name, address) in hosts {
            writeln!(text, "{address} {name}.test").expect("a text can be written to");
        }
        std::fs::write(self.folder.join("hosts"), text).expect("the folder can be written");
    }

    fn try_start(hosts: &[(&str, IpAddr)], services: &[Service<'_>], ttl_s: u32) -> Option<Self> {
        let folder = tempfile::Builder::new()
            .prefix("tollway-dnsmasq-")
            .tempdir()
            .expect("a temporary folder can be made")
            .keep();
        let pid_file = folder.join("pid");
        let keeper = Keeper::start(&folder, &pid_file, &folder).expect("a shell can be started");
        let port = free_port();
        let log = File::create(folder.join("log")).expect("the folder can be written");
        let user = Command::new("id")
            .arg("-un")
            .output()
            .expect("`id` is there");
        let user = String::from_utf8_lossy(&user.stdout).trim().to_owned();
        std::fs::write(folder.join("hosts"), "").expect("the folder can be written");
        let mut command = Command::new(installed());
        command
            .args([
                "--keep-in-foreground",
                "--no-resolv",
                "--no-hosts",
                "--log-facility=-",
            ])
            .args([
                "--conf-file=/dev/null",
                "--bind-interfaces",
                "--listen-address=127.0.0.1",
            ])
            .args(["--local=/test/", "--pid-file="])
            .arg(format!("--user={user}"))
            .arg(format!("--port={port}"))
            .arg(format!("--local-ttl={ttl_s}"))
            .arg(format!("--addn-hosts={}", folder.join("hosts").display()));
        for service in services {
            let Service {
                name,
                target,
                port,
                priority,
                weight,
            } = service;
            command.arg(format!(
                "--srv-host=_http._tcp.{name}.test,{target}.test,{port},{priority},{weight}"
            ));
        }
        let server = command
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the server's program can be started");
        std::fs::write(&pid_file, server.id().to_string()).expect("the folder can be written");
        let mut this = Self {
            folder,
            port,
            told: AtomicUsize::new(0),
            server,
            _keeper: keeper,
        };
        if !this.wait() {
            return None;
        }
        this.set_hosts(hosts);
        Some(this)
    }

    /// Whether it answers, whatever it says.
    fn wait(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.ask("").is_some() {
                return true;
            }
            if self.server.try_wait().expect("it is our child").is_some() {
                return false;
            }
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "no answer from dnsmasq:\n{log}");
        }
    }

    /// How many IPv4 addresses it tells for a name below `.test` (empty = for `test`); none = it did not answer within moments.
    fn ask(&self, name: &str) -> Option<u16> {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        let patience = Some(Duration::from_millis(50));
        socket
            .set_read_timeout(patience)
            .expect("a timeout can be set");
        // RFC 1035, section 4.1: an id, "recursion desired", one question of type A and class IN.
        let mut question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
        for label in [name, "test"].into_iter().filter(|label| !label.is_empty()) {
            question.push(u8::try_from(label.len()).expect("a label is short"));
            question.extend(label.as_bytes());
        }
        question.extend(b"\x00\x00\x01\x00\x01");
        socket.send_to(&question, self.addr()).ok()?;
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer).ok()?;
        let answers = answer[..length].get(6..8)?;
        Some(u16::from_be_bytes([answers[0], answers[1]]))
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn installed() -> PathBuf {
    let places = ["/usr/sbin/dnsmasq", "/usr/local/sbin/dnsmasq"];
    let found = places.iter().map(PathBuf::from).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("dnsmasq is not installed: run ./.ci/tools (Debian: apt-get install dnsmasq-base)")
    })
}
