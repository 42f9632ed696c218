//! Start and stop.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::platform::{BINARY, Platform, up};

/// A start that must fail: exit code 2 and one line on standard error.
fn refused(mut command: Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    let lines: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("tollway: "))
        .collect();
    assert_eq!(lines.len(), 1, "{text}");
    lines[0].to_owned()
}

/// req: S5
#[test]
fn the_first_start_prints_a_password_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let password = |platform: &Platform| {
        let line = platform
            .printed
            .iter()
            .find(|line| line.starts_with("password of admin: "))
            .cloned();
        line.map(|line| line.split(' ').nth(3).unwrap().to_owned())
    };
    let first = Platform::start(up(&data));
    let made = password(&first).expect("the first start prints a password");
    assert!(made.len() >= 20, "{made}");
    assert!(first.terminate().success());
    let second = Platform::start(up(&data));
    assert_eq!(password(&second), None);
    for (name, mode) in [
        ("", 0o700),
        ("tollway.key", 0o600),
        ("tollway.db", 0o600),
        ("gateway-key.pem", 0o600),
    ] {
        let found = std::fs::metadata(data.join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777;
        assert_eq!(found, mode, "{name}: {found:o}");
    }
}

#[test]
fn probes_and_metrics_answer() {
    let folder = tempfile::tempdir().unwrap();
    let platform = Platform::start(up(&folder.path().join("data")));
    for probe in ["livez", "startupz", "readyz", "metrics"] {
        let url = format!("{}/{probe}", platform.node);
        let output = Command::new("curl")
            .args(["-sS", "--fail", &url])
            .output()
            .unwrap();
        assert!(output.status.success(), "{probe}");
        assert!(!output.stdout.is_empty(), "{probe}");
    }
}

/// req: S5
#[test]
fn a_known_password_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "admin").unwrap();
    let mut command = up(&folder.path().join("data"));
    command.arg("--admin-password-file").arg(&file);
    let line = refused(command);
    assert!(line.contains("refused"), "{line}");
}

/// The command without root's right to read and write whatever it likes; as anybody else the command itself.
fn without_override(command: &Command) -> Command {
    let probe = tempfile::tempdir().unwrap();
    let closed = probe.path().join("closed");
    std::fs::write(&closed, "").unwrap();
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o0)).unwrap();
    let may_read_all = std::fs::read(&closed).is_ok();
    let mut bound = Command::new(if may_read_all { "setpriv" } else { "env" });
    if may_read_all {
        bound.arg("--bounding-set=-dac_override,-dac_read_search");
    }
    bound.arg(command.get_program()).args(command.get_args());
    bound
}

#[test]
fn a_folder_without_permission_is_named() {
    for mode in [0o000, 0o500] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::fs::set_permissions(&data, PermissionsExt::from_mode(mode)).unwrap();
        let line = refused(without_override(&up(&data)));
        assert!(line.contains(&data.display().to_string()), "{line}");
        assert!(line.contains("Permission denied"), "{line}");
    }
}

#[test]
fn a_port_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in [
        "--control-listen",
        "--node-listen",
        "--gateway-http-listen",
        "--gateway-https-listen",
    ] {
        let mut command = Command::new(BINARY);
        command
            .arg("up")
            .arg("--data-dir")
            .arg(folder.path().join("data"));
        for other in [
            "--control-listen",
            "--gateway-http-listen",
            "--gateway-https-listen",
            "--node-listen",
        ] {
            command.args([
                other,
                if other == flag {
                    &address
                } else {
                    "127.0.0.1:0"
                },
            ]);
        }
        let line = refused(command);
        assert!(line.contains(&address), "{flag}: {line}");
    }
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").unwrap();
    let line = refused(up(&file));
    assert!(line.contains(file.to_str().unwrap()), "{line}");
}

/// req: C8
#[test]
fn an_unknown_key_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tollway.toml");
    std::fs::write(&config, "drain-timeout = \"5s\"\nport = 1\n").unwrap();
    let mut command = up(&folder.path().join("data"));
    command.arg("--config").arg(&config);
    let line = refused(command);
    assert!(
        line.contains("tollway.toml:2") && line.contains("port"),
        "{line}"
    );
    assert!(
        !folder.path().join("data").exists(),
        "a refused start leaves nothing behind"
    );
}

/// req: S3
#[test]
fn probes_elsewhere_than_on_loopback_need_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(BINARY);
    command
        .arg("up")
        .arg("--data-dir")
        .arg(folder.path().join("data"))
        .args(["--node-listen", "0.0.0.0:0"]);
    let line = refused(command);
    assert!(line.contains("--node-token-file"), "{line}");
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let _first = Platform::start(up(&data));
    let line = refused(up(&data));
    assert!(line.contains("is in use by another tollway"), "{line}");
}

/// What the process logs holds no secret.
#[test]
fn the_log_holds_no_password() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "correct horse 42 battery").unwrap();
    let mut command = up(&folder.path().join("data"));
    command
        .arg("--admin-password-file")
        .arg(&file)
        .env("TOLLWAY_LOG", "trace");
    let mut process = command.spawn().unwrap();
    let (mut told, mut logged) = (
        process.stdout.take().unwrap(),
        process.stderr.take().unwrap(),
    );
    let logging = std::thread::spawn(move || {
        let mut log = String::new();
        logged.read_to_string(&mut log).unwrap();
        log
    });
    let mut log = String::new();
    let mut bytes = [0; 4096];
    // It is said last.
    while !log.contains("\nnode ") {
        let length = told.read(&mut bytes).unwrap();
        assert!(length > 0, "it did not start: {log}");
        log.push_str(&String::from_utf8_lossy(&bytes[..length]));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    log.push_str(&logging.join().unwrap());
    assert!(log.contains("INFO"), "it logs nothing: {log}");
    assert!(!log.contains("correct horse"), "the password is in the log");
}
