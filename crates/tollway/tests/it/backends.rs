//! `tollway backend status`: what the nodes say of a backend's endpoints.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::platform::User;

const PATIENCE: Duration = Duration::from_secs(30);

/// req: GW2
#[test]
fn the_status_of_a_backend_shows_each_endpoint_and_why() {
    let user = User::start();
    let (good, gone) = (
        TcpListener::bind("127.0.0.1:0").unwrap(),
        TcpListener::bind("127.0.0.1:0").unwrap(),
    );
    let (up, down) = (good.local_addr().unwrap(), gone.local_addr().unwrap());
    drop(gone);
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
    while user.run(&["backend", "status", "dr"]).status.code() != Some(1) {
        assert!(Instant::now() < deadline, "dr is called");
        std::thread::sleep(Duration::from_millis(50));
    }
    user.ok(&["backend", "status", "plain"]);
    user.fails(3, &["backend", "status", "nothing"]);
    assert!(user.ok(&["backend", "list"]).contains("plain"));
}
