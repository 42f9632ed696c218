//! A server in Python that a test talks with by lines.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A script that prints its port first. It ends when its input does, so also when the test is killed.
pub(crate) struct Python {
    port: u16,
    server: Child,
    tell: Option<ChildStdin>,
    hear: BufReader<ChildStdout>,
}

impl Python {
    /// Starts it, with what it imports from `libraries`.
    pub(crate) fn start(script: &str, libraries: &Path, variables: &[(&str, &str)]) -> Self {
        let mut server = Command::new("python3")
            .args(["-c", script])
            .env("PYTHONPATH", libraries)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("python3 can be started");
        let tell = server.stdin.take();
        let hear = server.stdout.take().expect("its output is ours");
        let mut this = Self {
            port: 0,
            server,
            tell,
            hear: BufReader::new(hear),
        };
        this.port = this.hear().parse().expect("it says its port");
        this
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Tells it a line.
    pub(crate) fn tell(&mut self, line: &str) {
        let tell = self.tell.as_mut().expect("it has an input while it lives");
        writeln!(tell, "{line}").expect("it reads");
    }

    /// The next line that it says; waits for it.
    pub(crate) fn hear(&mut self) -> String {
        let mut line = String::new();
        self.hear.read_line(&mut line).expect("it speaks");
        line.trim().to_owned()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.tell.take());
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
