//! Upgrades where they are hard: on PostgreSQL, with ports of `Gateway` documents, with WebSockets that are open, under a
//! service manager, and when a signal comes meanwhile (req: GW14).

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use rustix::process::Signal;
use tokio_tungstenite::tungstenite::Message;

use crate::platform::{BINARY, PATIENCE, Platform, User, up};
use crate::upgrade::{
    Foster, address, eventually, get, has_ended, process_of, shown, tollway, upgraded_under_calls,
};
use crate::websockets::{Socket, echo, opened};

/// Two processes on one database for a moment, as on an embedded one; what was written before is there behind it.
#[test]
fn on_postgresql_no_call_is_lost_either() {
    let url = parts::Postgres::shared().database();
    let user = User::start_on(Some(url));
    let plan = "kind: Plan\nmetadata: {name: Before}\nspec: {}\n";
    std::fs::write(user.path("plan.yaml"), plan).unwrap();
    user.ok(&["apply", "-f", "plan.yaml"]);
    let (gateway, control) = (
        address(&user.platform.gateway),
        address(&user.platform.control),
    );
    let processes = upgraded_under_calls(
        &user.path("data"),
        &[
            (gateway, "/none", 404),
            (control, "/api/v1/apis", 401),
            (control, "/api/v1/apis", 401),
        ],
    );
    eventually("the second process ends", || !processes[0].is_alive());
    assert!(user.ok(&["plan", "list"]).contains("Before"));
    // A write is acknowledged by the node of the last process, and by nobody who has gone.
    let plan = plan.replace("Before", "Behind");
    std::fs::write(user.path("plan.yaml"), plan).unwrap();
    user.ok(&["apply", "-f", "plan.yaml"]);
    processes[1].signal(Signal::TERM);
    eventually("the last process ends", || !processes[1].is_alive());
}

#[test]
fn ports_of_a_gateway_document_are_handed_on() {
    let user = User::start();
    let (clear, secured) = (parts::free_port(), parts::free_port());
    let document = format!(
        "kind: Gateway\nmetadata: {{name: default}}\nspec:\n  listeners:\n    - {{port: {clear}, protocol: HTTP}}\n    \
         - {{port: {secured}, protocol: HTTPS}}\n"
    );
    std::fs::write(user.path("gateway.yaml"), document).unwrap();
    user.ok(&["apply", "-f", "gateway.yaml"]);
    let clear = ([127, 0, 0, 1], clear).into();
    let secured = format!("127.0.0.1:{secured}");
    assert_eq!(get(clear, "/none").ok(), Some(404));
    let certificate = shown(&secured);
    let gateway = address(&user.platform.gateway);
    let processes = upgraded_under_calls(
        &user.path("data"),
        &[
            (clear, "/none", 404),
            (clear, "/none", 404),
            (gateway, "/none", 404),
        ],
    );
    eventually("the second process ends", || !processes[0].is_alive());
    assert_eq!(get(clear, "/none").ok(), Some(404));
    assert_eq!(shown(&secured), certificate);
    // The last one closes them as any other does.
    let document = "kind: Gateway\nmetadata: {name: default}\nspec: {listeners: []}\n";
    std::fs::write(user.path("gateway.yaml"), document).unwrap();
    user.ok(&["apply", "-f", "gateway.yaml"]);
    assert!(get(clear, "/none").is_err());
    assert_eq!(get(gateway, "/none").ok(), Some(404));
}

/// One message there and back; false where the WebSocket has ended.
async fn answers(socket: &mut Socket, text: &str) -> bool {
    let message = Message::text(text);
    if socket.send(message.clone()).await.is_err() {
        return false;
    }
    let back = tokio::time::timeout(PATIENCE, socket.next()).await;
    match back.expect("it hangs") {
        Some(Ok(back)) => back == message,
        Some(Err(_)) | None => false,
    }
}

/// A WebSocket API with an open operation, and a key for it.
fn live(user: &User, backend: &str) -> String {
    user.publish("live", backend, "Unlimited");
    user.subscribe(&["live:1.0.0"], "Unlimited");
    user.api_key()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_websocket_goes_on_at_the_old_process_until_its_drain_ends() {
    const DRAIN: Duration = Duration::from_secs(4);
    let user = tokio::task::block_in_place(|| User::start_with(&["--gateway-tunnel-drain", "4s"]));
    let backend = echo().await;
    let key = tokio::task::block_in_place(|| live(&user, &backend));
    let gateway = user.platform.gateway.trim_start_matches("http://");
    let mut old = opened(gateway, "/live/1.0.0/x", ("x-api-key", &key)).await;
    assert!(answers(&mut old, "before").await);
    let data = user.path("data");
    let begun = Instant::now();
    let output = tokio::task::block_in_place(|| tollway(&data, &["upgrade"]));
    let second = Foster::of(process_of(&output));
    // The new process has its own.
    let mut new = opened(gateway, "/live/1.0.0/x", ("x-api-key", &key)).await;
    while answers(&mut old, "after").await {
        assert!(answers(&mut new, "new").await);
        assert!(begun.elapsed() < PATIENCE, "it never ends");
    }
    let took = begun.elapsed();
    assert!(took >= DRAIN, "it ended after {took:?}");
    has_ended("the old process", &user.platform);
    assert!(answers(&mut new, "behind").await);
    drop(second);
}

/// The protocol of systemd's `Type=notify`, at a real socket.
#[test]
fn a_service_manager_hears_of_start_reload_upgrade_and_stop() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = || {
        let mut bytes = [0; 512];
        let length = manager.recv(&mut bytes).expect("a message");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let mut command = up(&data);
    command.env("NOTIFY_SOCKET", &path);
    let first = Platform::start(command);
    assert_eq!(heard(), format!("MAINPID={}\nREADY=1", first.id()));
    assert!(tollway(&data, &["reload"]).status.success());
    assert_eq!([heard(), heard()], ["RELOADING=1", "READY=1"]);
    let hangup = Command::new("kill")
        .args(["-HUP", &first.id().to_string()])
        .status();
    assert!(hangup.unwrap().success());
    assert_eq!([heard(), heard()], ["RELOADING=1", "READY=1"]);
    let second = Foster::of(process_of(&tollway(&data, &["upgrade"])));
    let mut both = [heard(), heard()];
    both.sort();
    let main = format!("MAINPID={}", second.id);
    assert_eq!(both, [main.clone(), format!("{main}\nREADY=1")]);
    has_ended("the first process", &first);
    second.signal(Signal::TERM);
    assert_eq!(heard(), "STOPPING=1");
    eventually("the second process ends", || !second.is_alive());
    // Nobody else has said anything: the end of the first was no end of the service.
    manager.set_nonblocking(true).unwrap();
    let nothing = manager.recv(&mut [0; 64]);
    assert_eq!(nothing.unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// Stopping wins: the new process is ended before it has anything, and whoever asked is told.
#[test]
fn a_stop_during_an_upgrade_ends_both() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let platform = Platform::start(up(&data));
    let gateway = address(&platform.gateway);
    let (slow, pid) = (folder.path().join("slow"), folder.path().join("pid"));
    let text = format!(
        "#!/bin/sh\necho $$ > {0}.new && mv {0}.new {0}\nexec sleep 600\n",
        pid.display()
    );
    std::fs::write(&slow, text).unwrap();
    std::fs::set_permissions(&slow, std::fs::Permissions::from_mode(0o755)).unwrap();
    let asking = Command::new(BINARY)
        .args(["upgrade", "--timeout", "5m", "--binary"])
        .arg(&slow)
        .arg("--data-dir")
        .arg(&data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("the new process is there", || pid.exists());
    let new = std::fs::read_to_string(&pid).unwrap();
    let new = Foster::of(new.trim().parse().unwrap());
    assert_eq!(get(gateway, "/none").ok(), Some(404));
    assert!(platform.terminate().success());
    eventually("the new process ends", || !new.is_alive());
    let output = asking.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("stopping"), "{error}");
    assert!(get(gateway, "/none").is_err());
    // The folder is free.
    let status = Platform::start(up(&data)).terminate();
    assert!(status.success(), "{status:?}");
}
