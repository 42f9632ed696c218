//! `tollway backend status`: what the nodes say of a backend's endpoints.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::platform::{PATIENCE, User};

/// Nobody listens there.
const DOWN: &str = "127.0.0.1:1";

/// req: GW2
#[test]
fn the_status_of_a_backend_shows_each_endpoint_and_why() {
    let user = User::start();
    let good = TcpListener::bind("127.0.0.1:0").unwrap();
    let (up, down) = (good.local_addr().unwrap(), DOWN);
    let document = format!(
        "kind: Backend\nmetadata: {{name: orders}}\nspec:\n  endpoints: [{{url: 'http://{up}'}}, {{url: 'http://{down}', weight: 2}}]\n  \
         health: {{tcp: {{every: 50ms}}, unhealthyAfter: 1}}\n---\n\
         kind: Backend\nmetadata: {{name: dr}}\nspec: {{endpoints: [{{url: 'http://{down}'}}], health: {{tcp: {{every: 50ms}}, unhealthyAfter: 1}}}}\n---\n\
         kind: Backend\nmetadata: {{name: plain}}\nspec: {{endpoints: [{{url: 'http://{up}'}}]}}\n"
    );
    std::fs::write(user.path("backends.yaml"), document).unwrap();
    user.ok(&["apply", "-f", "backends.yaml"]);
    let deadline = Instant::now() + PATIENCE;
    let told = loop {
        let text = user.ok(&["backend", "status", "orders", "-o", "json"]);
        let rows: Value = serde_json::from_str(&text).unwrap();
        if rows[1]["health"] == "unhealthy" && rows[0]["health"] == "healthy" {
            break rows;
        }
        assert!(Instant::now() < deadline, "{rows}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(told[1]["endpoint"], format!("http://{down}"));
    assert_eq!(told[1]["weight"], 2);
    assert!(
        told[1]["cause"]
            .as_str()
            .unwrap()
            .contains("connecting failed")
    );
    let table = user.ok(&["backend", "status", "orders"]);
    assert!(
        table.contains("HEALTH") && table.contains("unhealthy"),
        "{table}"
    );
    assert!(
        user.ok(&["backend", "status", "orders", "-o", "yaml"])
            .contains("health: unhealthy")
    );
    // The answer is no where a node can call nobody.
    let deadline = Instant::now() + PATIENCE;
    while user.run(&["backend", "status", "dr"]).status.code() != Some(1) {
        assert!(Instant::now() < deadline, "dr is called");
        std::thread::sleep(Duration::from_millis(50));
    }
    user.ok(&["backend", "status", "plain"]);
    user.fails(3, &["backend", "status", "nothing"]);
    assert!(user.ok(&["backend", "list"]).contains("plain"));
}

/// The control API, as the admin; the answer.
fn control(user: &User, method: &str, path: &str, body: Option<&Value>) -> Value {
    let session = std::fs::read(user.path("config/tollway/session.json")).unwrap();
    let session: Value = serde_json::from_slice(&session).unwrap();
    let token = session["token"].as_str().unwrap();
    let file = user.path("body.json");
    std::fs::write(&file, body.map_or_else(String::new, Value::to_string)).unwrap();
    let output = std::process::Command::new("curl")
        .args(["-sS", "--fail", "-X", method])
        .args(["-H", &format!("authorization: Bearer {token}")])
        .args(["-H", "content-type: application/json"])
        .args(["--data-binary", &format!("@{}", file.display())])
        .arg(format!("{}/api/v1{path}", user.platform.control))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{method} {path}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// req: GW2
#[test]
fn a_circuit_that_is_not_closed_is_a_line_of_its_own() {
    let user = User::start();
    let down = DOWN;
    let document = format!(
        "kind: Backend\nmetadata: {{name: flaky}}\nspec:\n  endpoints: [{{url: 'http://{down}'}}]\n  \
         circuitBreaker: {{errorRate: 50%, minRequests: 2, openFor: 1h, window: 1h}}\n"
    );
    std::fs::write(user.path("backend.yaml"), document).unwrap();
    user.ok(&["apply", "-f", "backend.yaml"]);
    user.publish("calls", &format!("http://{down}"), "Unlimited");
    let path = "/apis/calls-1.0.0";
    let mut api = control(&user, "GET", path, None);
    api["spec"]["backends"] = serde_json::json!({"production": "flaky"});
    control(&user, "PUT", path, Some(&api));
    user.subscribe(&["calls:1.0.0"], "Unlimited");
    let key = format!("x-api-key: {}", user.api_key());
    let call = || {
        let output = std::process::Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", &key])
            .arg(format!("{}/calls/1.0.0/x", user.platform.gateway))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let status = || {
        let output = user.run(&["backend", "status", "flaky"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    // Nobody has called it: nothing is known that would be said.
    let (code, said) = status();
    assert!(code == Some(0) && !said.contains("circuit of"), "{said}");
    assert_eq!([call(), call(), call()], ["502", "502", "503"]);
    let deadline = Instant::now() + PATIENCE;
    let said = loop {
        let (code, said) = status();
        if code == Some(1) {
            break said;
        }
        assert!(Instant::now() < deadline, "{said}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let line = said.lines().find(|line| line.contains("circuit"));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    assert!(
        line.contains(": the circuit of flaky is open until 20"),
        "{line}"
    );
}
