//! `tollway usage`, and what `kill -9` costs.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::ConnectOptions as _;

use crate::platform::{PATIENCE, User};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Makes calls one after the other.
fn calls(user: &User, count: usize) {
    let url = format!("{}/t/1.0.0/x", user.platform.gateway);
    let urls = vec![url.as_str(); count];
    let done = Command::new("curl")
        .args(["-s", "-o", "/dev/null"])
        .args(urls)
        .output()
        .unwrap();
    assert!(done.status.success());
}

fn requests(user: &User, question: &[&str]) -> u64 {
    let all = [&["usage", "-o", "json"], question].concat();
    let told = json(&user.ok(&all));
    told["total"]["requests"].as_u64().unwrap()
}

/// Waits until at least so many calls are stored.
fn stored(user: &User, count: u64) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = requests(user, &[]);
        if found >= count {
            return found;
        }
        assert!(Instant::now() < deadline, "{found} of {count}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn usage_by_commands() {
    let user = User::start();
    // Each call without a credential is answered 401, and counted.
    user.publish("t", "http://127.0.0.1:9", "Gold");
    calls(&user, 12);
    assert_eq!(stored(&user, 12), 12);
    for (question, count) in [
        (&["--api", "t:1.0.0"][..], 12),
        (&["--api", "-"], 0),
        (
            &[
                "--status",
                "4xx",
                "--since",
                "1d",
                "--environment",
                "production",
            ],
            12,
        ),
        (&["--status", "2xx"], 0),
        (
            &[
                "--to",
                "2020-01-01T00:00:00Z",
                "--from",
                "2019-01-01T00:00:00Z",
            ],
            0,
        ),
    ] {
        assert_eq!(requests(&user, question), count, "{question:?}");
    }
    let table = user.ok(&["usage", "--by", "api,status", "--step", "minute"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("FROM"), "{table}");
    for word in ["API", "STATUS", "REQUESTS", "ERRORS", "P99", "BACKEND P50"] {
        assert!(lines[0].contains(word), "{table}");
    }
    assert!(
        lines[1].contains("t-1.0.0") && lines[1].contains("4xx"),
        "{table}"
    );
    let total = lines.last().unwrap();
    assert!(
        total.starts_with("total") && total.contains("100.0%"),
        "{table}"
    );
    let yaml = user.ok(&["usage", "--by", "operation", "-o", "yaml"]);
    assert!(yaml.contains("operation: GET /x"), "{yaml}");
    let refused = user.fails(3, &["usage", "--status", "200"]);
    assert!(refused.contains("BAD_REQUEST"), "{refused}");
    user.fails(3, &["usage", "--app", "nobody"]);
    user.fails(2, &["usage", "--by", "colour"]);

    let told = user.ok(&["usage", "reconcile"]);
    assert!(told.contains("sent 12, stored 12, difference 0"), "{told}");
    assert!(told.contains("open"), "{told}");
    let target = [
        "usage",
        "reconcile",
        "-o",
        "json",
        "--server",
        &user.platform.control,
    ];
    assert_eq!(json(&user.ok(&target))["storedRequests"], 12);
}

/// `kill -9` loses what came after the last flush, and the next start says so (req: O1).
#[test]
fn a_kill_loses_one_interval_at_most() {
    let mut user = User::start();
    // Each call without a credential is answered 401, and counted.
    user.publish("t", "http://127.0.0.1:9", "Gold");
    calls(&user, 40);
    assert_eq!(stored(&user, 40), 40);
    // Calls that may be lost: they come within the interval of a second that the kill ends.
    calls(&user, 5);
    user = user.crash();
    let kept = requests(&user, &[]);
    assert!((40..=45).contains(&kept), "{kept}");
    calls(&user, 10);
    let kept = stored(&user, kept + 10);
    assert!((50..=55).contains(&kept), "{kept}");

    // What is on its way is a difference, too.
    let deadline = Instant::now() + PATIENCE;
    let told = loop {
        let told = json(&user.ok(&["usage", "reconcile", "-o", "json"]));
        if told["difference"] == 0 {
            break told;
        }
        assert!(Instant::now() < deadline, "{told:#}");
    };
    assert_eq!(told["uncleanBoots"], 1);
    let boots = told["items"].as_array().unwrap();
    assert_eq!(boots.len(), 2);
    let unclean = boots.iter().find(|boot| boot["end"] == "unclean").unwrap();
    let open = boots.iter().find(|boot| boot["end"] == "open").unwrap();
    assert_eq!(unclean["node"], open["node"], "a node keeps its name");
    assert_eq!(unclean["foundSequence"], unclean["sequence"]);
    assert!(open["epoch"].as_str() > unclean["epoch"].as_str());
}

/// Holds the database's one place for writers, as another process would, until it is dropped.
struct Holder {
    _connection: sqlx::SqliteConnection,
    _runtime: tokio::runtime::Runtime,
}

impl Holder {
    fn of(file: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let connection = runtime.block_on(async {
            let options = sqlx::sqlite::SqliteConnectOptions::new()
                .filename(file)
                .busy_timeout(PATIENCE);
            let mut connection = options.connect().await.unwrap();
            sqlx::query("BEGIN IMMEDIATE")
                .execute(&mut connection)
                .await
                .unwrap();
            connection
        });
        Self {
            _connection: connection,
            _runtime: runtime,
        }
    }
}

/// Killed while the database takes nothing: what was flushed waits on the disk, and the next start sends it.
#[test]
fn a_kill_keeps_what_waits_on_the_disk() {
    let user = User::start();
    // Each call without a credential is answered 401, and counted.
    user.publish("t", "http://127.0.0.1:9", "Gold");
    calls(&user, 10);
    assert_eq!(stored(&user, 10), 10);
    let holder = Holder::of(&user.path("data/tollway.db"));
    calls(&user, 30);
    let metric = |name: &str| -> u64 {
        let url = format!("{}/metrics", user.platform.node);
        let output = Command::new("curl").args(["-s", &url]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        line.trim().parse().unwrap()
    };
    let before = metric("tollway_node_usage_batches_spooled_total");
    let deadline = Instant::now() + PATIENCE;
    // The calls are in the batches that were gathered after them.
    while metric("tollway_node_usage_batches_spooled_total") == before {
        calls(&user, 1);
        assert!(Instant::now() < deadline, "nothing is spooled");
        std::thread::sleep(Duration::from_millis(50));
    }
    let user = user.crash_and(|| drop(holder));
    assert!(stored(&user, 40) >= 40);
}
