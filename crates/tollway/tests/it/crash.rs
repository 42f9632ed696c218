//! `kill -9` loses nothing that was acknowledged.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::platform::{PATIENCE, User};

#[test]
fn acknowledged_writes_survive_a_kill() {
    acknowledged_writes_survive(User::start());
}

#[test]
fn acknowledged_writes_survive_a_kill_on_postgresql() {
    let url = parts::Postgres::shared().database();
    acknowledged_writes_survive(User::start_on(Some(url)));
}

fn acknowledged_writes_survive(mut user: User) {
    let acknowledged: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    for round in 0..4_u32 {
        let token = std::fs::read(user.path("config/tollway/session.json")).unwrap();
        let token: serde_json::Value = serde_json::from_slice(&token).unwrap();
        let token = token["token"].as_str().unwrap().to_owned();
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (control, token) = (user.platform.control.clone(), token.clone());
                let acknowledged = Arc::clone(&acknowledged);
                std::thread::spawn(move || write(&control, &token, round, writer, &acknowledged))
            })
            .collect();
        // Wait for some, then kill in the middle of the others.
        let wanted = usize::try_from(round + 1).unwrap() * 25;
        while acknowledged.lock().unwrap().len() < wanted {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        user = user.crash();
        writers
            .into_iter()
            .for_each(|writer| writer.join().unwrap());
        let list: serde_json::Value =
            serde_json::from_str(&user.ok(&["plan", "list", "-o", "json"])).unwrap();
        let there: BTreeSet<_> = list
            .as_array()
            .unwrap()
            .iter()
            .map(|plan| plan["metadata"]["name"].as_str().unwrap().to_owned())
            .collect();
        let acknowledged = acknowledged.lock().unwrap();
        let lost: Vec<_> = acknowledged.difference(&there).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    }
    let count = acknowledged.lock().unwrap().len();
    assert!(count >= 100, "only {count} writes were acknowledged");
}

/// Creates plans until the platform is gone; each one that was answered with 201 counts.
fn write(
    control: &str,
    token: &str,
    round: u32,
    writer: u32,
    acknowledged: &Mutex<BTreeSet<String>>,
) {
    for number in 0..50 {
        let name = format!("p-{round}-{writer}-{number}");
        let body = format!(r#"{{"kind": "Plan", "metadata": {{"name": "{name}"}}, "spec": {{}}}}"#);
        let output = Command::new("curl")
            .args([
                "-s",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "-H",
                "content-type: application/json",
            ])
            .args([
                "-H",
                &format!("authorization: Bearer {token}"),
                "-d",
                &body,
                &format!("{control}/api/v1/plans"),
            ])
            .output()
            .unwrap();
        match String::from_utf8_lossy(&output.stdout).as_ref() {
            "201" => acknowledged.lock().unwrap().insert(name),
            "000" => return,
            other => panic!("{name} was answered {other}"),
        };
    }
}

/// A revocation holds after a crash right behind its answer (req: S9, T2).
#[test]
fn a_revocation_survives_a_kill() {
    let user = User::start();
    user.publish("t", "http://127.0.0.1:9", "Gold");
    user.subscribe(&["t:1.0.0"], "Gold");
    let client: serde_json::Value =
        serde_json::from_str(&user.ok(&["credentials", "create", "--app", "shop", "-o", "json"]))
            .unwrap();
    let basic = format!(
        "{}:{}",
        client["clientId"].as_str().unwrap(),
        client["clientSecret"].as_str().unwrap()
    );
    let token = user.ok(&["token", "--app", "shop"]).trim().to_owned();
    let call = |user: &User| {
        let url = format!("{}/t/1.0.0/x", user.platform.gateway);
        let output = Command::new("curl")
            .args(["-s", "-H", &format!("authorization: Bearer {token}"), &url])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(
        call(&user).contains("BACKEND_UNREACHABLE"),
        "{}",
        call(&user)
    );
    let revoke = Command::new("curl")
        .args([
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-u",
            &basic,
            "-d",
            &format!("token={token}"),
        ])
        .arg(format!("{}/oauth2/revoke", user.platform.control))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&revoke.stdout), "200");
    assert!(call(&user).contains("TOKEN_REVOKED"));
    let user = user.crash();
    assert!(call(&user).contains("TOKEN_REVOKED"), "{}", call(&user));
}

/// An application with ten calls a day.
fn with_few_calls() -> (User, String) {
    let user = User::start();
    let plan = "kind: Plan\nmetadata: {name: Few}\nspec: {quota: {requests: 10, per: 1d}}\n";
    std::fs::write(user.path("few.yaml"), plan).unwrap();
    user.ok(&["apply", "-f", "few.yaml"]);
    let definition = "openapi: 3.0.3\ninfo: {title: T, version: '1'}\npaths: {/x: {get: {responses: {'200': {description: ok}}}}}\n";
    std::fs::write(user.path("t.yaml"), definition).unwrap();
    for line in [
        "api import t.yaml --name t --version 1.0.0 --context /t --backend http://127.0.0.1:9 --plan Few --publish",
        "app create shop",
        "subscription create --app shop --api t:1.0.0 --plan Few",
        "credentials create --app shop",
    ] {
        user.ok(&line.split(' ').collect::<Vec<_>>());
    }
    let token = user.ok(&["token", "--app", "shop"]).trim().to_owned();
    (user, token)
}

/// Calls once; what is left behind it.
fn left(user: &User, token: &str) -> String {
    let url = format!("{}/t/1.0.0/x", user.platform.gateway);
    let output = Command::new("curl")
        .args(["-s", "-D", "-", "-o", "/dev/null"])
        .args(["-H", &format!("authorization: Bearer {token}"), &url])
        .output()
        .unwrap();
    let head = String::from_utf8_lossy(&output.stdout).to_ascii_lowercase();
    let told = head
        .lines()
        .find_map(|line| line.strip_prefix("ratelimit: "));
    let told = told.unwrap_or_else(|| panic!("{head}"));
    let (_, left) = told.split_once(";r=").unwrap();
    left.split(';').next().unwrap().to_owned()
}

/// What a quota has counted survives a kill, but for the last second's calls. (req: R3)
#[test]
fn a_quota_survives_a_kill() {
    let (user, token) = with_few_calls();
    for expected in ["9", "8"] {
        assert_eq!(left(&user, &token), expected);
    }
    let state = user.path("data/limits.state");
    let called = std::time::SystemTime::now();
    assert_eq!(left(&user, &token), "7");
    let deadline = std::time::Instant::now() + PATIENCE;
    let written = || {
        let file = std::fs::metadata(&state);
        file.and_then(|file| file.modified()).ok()
    };
    while written().is_none_or(|at| at <= called) {
        assert!(std::time::Instant::now() < deadline, "it is not saved");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let user = user.crash();
    // The save may have begun just before the last call: at most that one is forgotten.
    let left = left(&user, &token);
    assert!(["6", "7"].contains(&left.as_str()), "{left}");
}

/// A process that takes over goes on with what the one before has counted. (req: R3, C4)
#[test]
fn a_quota_survives_an_upgrade() {
    let (user, token) = with_few_calls();
    for expected in ["9", "8"] {
        assert_eq!(left(&user, &token), expected);
    }
    let output = Command::new(crate::platform::BINARY)
        .args(["upgrade", "--data-dir"])
        .arg(user.path("data"))
        .output()
        .unwrap();
    let _new = crate::upgrade::Foster::of(crate::upgrade::process_of(&output));
    assert_eq!(left(&user, &token), "7");
}
