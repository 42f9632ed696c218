//! dnsmasq: a DNS server that knows what a test tells it, and nothing else.

use std::fmt::Write as _;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::free_port;
use crate::keeper::Keeper;

/// How often it is started anew because somebody else took its port meanwhile.
const STARTS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(10);

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

/// A DNS server for the domain `test`, whose records live for a second.
pub struct Dnsmasq {
    folder: PathBuf,
    port: u16,
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

    /// From now on it knows these hosts alone.
    pub fn set_hosts(&self, hosts: &[(&str, IpAddr)]) {
        self.write_hosts(hosts);
        let pid = self.server.id().to_string();
        let told = Command::new("kill").args(["-HUP", &pid]).status();
        assert!(told.is_ok_and(|status| status.success()), "dnsmasq is gone");
    }

    fn write_hosts(&self, hosts: &[(&str, IpAddr)]) {
        let mut text = String::new();
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
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        let every = Some(Duration::from_millis(50));
        socket
            .set_read_timeout(every)
            .expect("a timeout can be set");
        // A question for the address of `test`.
        let question =
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04test\x00\x00\x01\x00\x01";
        loop {
            let _ = socket.send_to(question, self.addr());
            if socket.recv(&mut [0; 512]).is_ok() {
                return true;
            }
            if self.server.try_wait().expect("it is our child").is_some() {
                return false;
            }
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "no answer from dnsmasq:\n{log}");
        }
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
