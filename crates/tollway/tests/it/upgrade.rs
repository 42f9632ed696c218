//! A new binary takes over from a running one, and files are read again (req: GW14, C4).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::platform::{BINARY, PATIENCE, Platform, up};

pub(crate) fn tollway(data: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(arguments).arg("--data-dir").arg(data);
    command.stdin(Stdio::null()).output().unwrap()
}

pub(crate) fn address(url: &str) -> SocketAddr {
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

/// The id that an answer of `tollway upgrade` names.
pub(crate) fn process_of(output: &Output) -> u32 {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words: Vec<_> = text.split_whitespace().collect();
    assert!(
        output.status.success() && words.len() == 3,
        "{text} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    words[1].parse().unwrap()
}

/// A process that a test did not start itself; it is ended with the value. Held by a descriptor: another process that gets
/// its id one day is not meant.
pub(crate) struct Foster {
    pub(crate) id: u32,
    handle: OwnedFd,
}

impl Foster {
    pub(crate) fn of(id: u32) -> Self {
        let pid = Pid::from_raw(id.try_into().unwrap()).unwrap();
        let handle = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        Self { id, handle }
    }

    pub(crate) fn is_alive(&self) -> bool {
        let mut ended = [PollFd::new(&self.handle, PollFlags::IN)];
        poll(&mut ended, Some(&Timespec::default())).unwrap() == 0
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // Nobody is there to hear it when it has ended.
        let _ = pidfd_send_signal(&self.handle, signal);
    }
}

impl Drop for Foster {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a process that is our child has ended, though nobody has asked for its status.
pub(crate) fn has_ended(what: &str, platform: &Platform) {
    let files = format!("/proc/{}/fd", platform.id());
    let has_files = || {
        let list = Path::new(&files).read_dir();
        list.is_ok_and(|mut list| list.next().is_some())
    };
    eventually(&format!("{what} ends"), || !has_files());
}

/// One call over a connection of its own; the status.
pub(crate) fn get(address: SocketAddr, path: &str) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let status = text.get(9..12).and_then(|status| status.parse().ok());
    status.ok_or_else(|| std::io::Error::other(format!("no answer: {text:?}")))
}

fn metric(node: SocketAddr, name: &str) -> Option<u64> {
    let mut stream = TcpStream::connect(node).ok()?;
    write!(stream, "GET /metrics HTTP/1.0\r\nhost: x\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().parse().ok()
}

/// Two upgrades while these are asked, one connection for each call: each of them has to be accepted by somebody. The
/// processes that took over.
pub(crate) fn upgraded_under_calls(
    data: &Path,
    asked: &[(SocketAddr, &'static str, u16)],
) -> Vec<Foster> {
    let stop = Arc::new(AtomicBool::new(false));
    let calls = Arc::new(AtomicU64::new(0));
    let callers: Vec<_> = asked
        .iter()
        .map(|&(address, path, expected)| {
            let (stop, calls) = (Arc::clone(&stop), Arc::clone(&calls));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let status =
                        get(address, path).unwrap_or_else(|error| panic!("{path}: {error}"));
                    assert_eq!(status, expected, "{path}");
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut processes = Vec::new();
    for _ in 0..2 {
        let before = calls.load(Ordering::Relaxed);
        eventually("calls", || calls.load(Ordering::Relaxed) > before + 50);
        let output = tollway(data, &["upgrade"]);
        processes.push(Foster::of(process_of(&output)));
        let before = calls.load(Ordering::Relaxed);
        eventually("calls", || calls.load(Ordering::Relaxed) > before + 50);
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.join().unwrap();
    }
    processes
}

#[test]
fn a_new_process_takes_over_under_calls_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let first = Platform::start(up(&data));
    let (gateway, node, control) = (
        address(&first.gateway),
        address(&first.node),
        address(&first.control),
    );
    let processes = upgraded_under_calls(
        &data,
        &[
            (gateway, "/none", 404),
            (gateway, "/none", 404),
            (control, "/api/v1/apis", 401),
            (node, "/livez", 200),
        ],
    );
    eventually("the second process ends", || !processes[0].is_alive());
    assert!(processes[1].is_alive());
    // The folder is still held, and the last one is a platform like any other.
    let refused = up(&data).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is in use by another tollway"));
    processes[1].signal(Signal::TERM);
    eventually("the last process ends", || !processes[1].is_alive());
    assert!(get(gateway, "/none").is_err());
}

/// What the first process counts before it ends, and what the second counts from its beginning on, is stored once.
#[test]
fn usage_of_both_processes_is_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let first = Platform::start(up(&data));
    let (gateway, node) = (address(&first.gateway), address(&first.node));
    for _ in 0..20 {
        get(gateway, "/none").unwrap();
    }
    let second = Foster::of(process_of(&tollway(&data, &["upgrade"])));
    for _ in 0..30 {
        get(gateway, "/none").unwrap();
    }
    has_ended("the first process", &first);
    eventually("the usage is sent", || {
        metric(node, "tollway_node_usage_batches_sent_total").is_some_and(|sent| sent > 0)
            && metric(node, "tollway_node_usage_spool_bytes") == Some(0)
    });
    second.signal(Signal::TERM);
    eventually("it ends", || !second.is_alive());
    let database = data.join("tollway.db");
    let url = format!("sqlite://{}?mode=ro", database.display());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (requests, unclean): (i64, i64) = runtime.block_on(async {
        use sqlx::Connection;
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let requests = sqlx::query_scalar("SELECT CAST(SUM(requests) AS INTEGER) FROM usage_rows")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let unclean = sqlx::query_scalar("SELECT COUNT(*) FROM usage_boots WHERE end_kind = 2")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        (requests, unclean)
    });
    assert_eq!(requests, 50);
    assert_eq!(unclean, 0);
}

/// Whatever is wrong with the new process: it is ended, and the old one serves as before.
#[test]
fn a_new_process_that_fails_leaves_the_old_one_serving() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = folder.path().join("tollway.toml");
    std::fs::write(&config, "drain-timeout = '5s'\n").unwrap();
    let mut command = up(&data);
    command.arg("--config").arg(&config);
    let first = Platform::start(command);
    let (gateway, control) = (address(&first.gateway), address(&first.control));
    let script = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    let exits = script("exits", "exit 1");
    let sleeps = script("sleeps", "exec sleep 600");
    // It takes the sockets and never says that it is ready.
    let text = script("text", "exit 0");
    for (binary, timeout, says) in [
        (&exits, "2m", "has ended (exit status: 1)"),
        (&text, "2m", "has ended (exit status: 0)"),
        (&sleeps, "500ms", "was not ready in time"),
        (
            &folder.path().join("tollway.toml"),
            "2m",
            "cannot be started",
        ),
    ] {
        let output = tollway(
            &data,
            &[
                "upgrade",
                "--timeout",
                timeout,
                "--binary",
                binary.to_str().unwrap(),
            ],
        );
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(says), "{error}");
        assert_eq!(get(gateway, "/none").ok(), Some(404));
        assert_eq!(get(control, "/api/v1/apis").ok(), Some(401));
    }
    // The binary is the right one, and what it reads is not.
    std::fs::write(&config, "drain-timeout = 5\n").unwrap();
    let output = tollway(&data, &["upgrade"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(get(gateway, "/none").ok(), Some(404));
    std::fs::write(&config, "drain-timeout = '5s'\n").unwrap();
    let second = Foster::of(process_of(&tollway(&data, &["upgrade"])));
    assert_eq!(get(gateway, "/none").ok(), Some(404));
    has_ended("the first process", &first);
    second.signal(Signal::TERM);
}

#[test]
fn nobody_is_there_to_upgrade() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["upgrade", "reload"] {
        let output = tollway(folder.path(), &[command]);
        assert_eq!(output.status.code(), Some(4));
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("no platform runs on this folder")
        );
    }
}

/// The certificate that the gateway shows to a new connection, by its bytes.
pub(crate) fn shown(address: &str) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", address, "-showcerts"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let begin = text
        .find("-----BEGIN CERTIFICATE-----")
        .expect("a certificate is shown");
    let end = text.find("-----END CERTIFICATE-----").unwrap();
    text[begin..end].to_owned()
}

#[test]
fn new_certificates_are_shown_by_themselves_and_a_reload_says_what_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (cert, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    let issue = || {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        std::fs::write(&cert, made.cert.pem()).unwrap();
    };
    issue();
    let config = folder.path().join("tollway.toml");
    std::fs::write(&config, "drain-timeout = '5s'\n").unwrap();
    let mut command = up(&data);
    command
        .arg("--gateway-certificate")
        .arg(&cert)
        .arg("--gateway-key")
        .arg(&key);
    command.arg("--config").arg(&config);
    let platform = Platform::start(command);
    let line = platform
        .printed
        .iter()
        .find(|line| line.starts_with("gateway"))
        .unwrap();
    let https = line.split("https://").nth(1).unwrap().trim().to_owned();
    let node = address(&platform.node);
    let before = shown(&https);
    issue();
    eventually("it is read by itself", || shown(&https) != before);
    let hangup = Command::new("kill")
        .args(["-HUP", &platform.id().to_string()])
        .status();
    assert!(hangup.unwrap().success());
    eventually("the reload", || {
        metric(node, "tollway_reloads_total") == Some(1)
    });
    let after = shown(&https);
    // A half-written file is named and nothing changes.
    std::fs::write(&cert, "-----BEGIN").unwrap();
    std::fs::write(&config, "drain-timeout = '5s'\nnonsense = 1\n").unwrap();
    let output = tollway(&data, &["reload"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        error.contains("c.pem") && error.contains("tollway.toml:2"),
        "{error}"
    );
    assert_eq!(metric(node, "tollway_reloads_failed_total"), Some(1));
    assert_eq!(shown(&https), after);
    // What a reload cannot change is named.
    issue();
    std::fs::write(&config, "drain-timeout = '6s'\ngateway-workers = 3\n").unwrap();
    let output = tollway(&data, &["reload"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("--gateway-workers wait for `tollway upgrade`"),
        "{text}"
    );
    assert!(!text.contains("drain-timeout"), "{text}");
}

/// Load balancers hear that the node goes before it takes no more connections.
#[test]
fn probes_say_no_before_accepting_ends() {
    let folder = tempfile::tempdir().unwrap();
    let stopping = |name: &str, delay: &str| {
        let mut command = up(&folder.path().join(name));
        command.args(["--drain-delay", delay]);
        let platform = Platform::start(command);
        let node = address(&platform.node);
        assert_eq!(get(node, "/readyz").ok(), Some(200));
        let begun = Instant::now();
        let process = Foster::of(platform.id());
        process.signal(Signal::TERM);
        (platform, process, begun)
    };
    let (patient, _process, _) = stopping("patient", "1h");
    let (gateway, node) = (address(&patient.gateway), address(&patient.node));
    eventually("not ready", || get(node, "/readyz").ok() == Some(503));
    assert_eq!(get(gateway, "/none").ok(), Some(404), "it still serves");
    let (ending, _process, begun) = stopping("ending", "3s");
    let gateway = address(&ending.gateway);
    eventually("the end of accepting", || {
        TcpStream::connect(gateway).is_err()
    });
    assert!(begun.elapsed() >= Duration::from_secs(3));
}
