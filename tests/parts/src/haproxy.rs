//! HAProxy: passes connections on and says by the PROXY protocol whose they are.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use crate::free_port;
use crate::launched::{Launched, until_one_stands};

/// A load balancer of one's own, for whole connections.
pub struct HaProxy {
    ports: Vec<u16>,
    _server: Launched,
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
        until_one_stands("HAProxy", || Self::try_start(targets))
    }

    /// Where the connections of a target go in.
    #[must_use]
    pub fn address(&self, target: usize) -> SocketAddr {
        ([127, 0, 0, 1], self.ports[target]).into()
    }

    fn try_start(targets: &[(SocketAddr, &str)]) -> Option<Self> {
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
        let mut server = Launched::start("haproxy", |folder| {
            let config_file = folder.join("haproxy.cfg");
            std::fs::write(&config_file, config).expect("the folder can be written");
            let mut command = Command::new(program());
            command.arg("-db").arg("-f").arg(&config_file);
            command
        });
        let open = |port: &u16| TcpStream::connect(("127.0.0.1", *port)).is_ok();
        server.stands(|| ports.iter().all(open)).then_some(Self {
            ports,
            _server: server,
        })
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
