//! `kill -9` loses nothing that was acknowledged.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::platform::User;

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
