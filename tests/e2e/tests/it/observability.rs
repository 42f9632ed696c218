//! Metrics, dashboards and rules, with a real Prometheus and its tools (req: O4).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use e2e::{Api, Backend, PATIENCE, Sandbox};
use parts::Prometheus;
use parts::prometheus::promtool;
use reqwest::Method;
use serde_json::{Value, json};

use crate::PETS;

const CALLS: usize = 20;

/// A platform that has been called in each way that counts.
struct World {
    sandbox: Sandbox,
    _backend: Backend,
    _collector: tokio::net::TcpListener,
}

impl World {
    async fn start() -> Self {
        let backend = Backend::start().await.unwrap();
        // Only what is configured is counted: the exporter too.
        let collector = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", collector.local_addr().unwrap());
        let sandbox = Sandbox::start_in(tempfile::tempdir().unwrap(), |options| {
            options.otlp_endpoint = Some(endpoint);
            options.otlp_timeout = Some("1s".parse().unwrap());
        })
        .await
        .unwrap();
        let plan = json!({"kind": "Plan", "metadata": {"name": "Tiny"}, "spec": {"quota": {"requests": CALLS, "per": "1h"}}});
        sandbox
            .call(Method::PUT, "/plans/Tiny", Some(plan))
            .await
            .unwrap();
        let api = sandbox
            .api("pets", PETS, &backend.url(), "Tiny")
            .await
            .unwrap();
        let dead = sandbox
            .api("dead", PETS, "http://127.0.0.1:1", "Gold")
            .await
            .unwrap();
        // What is watched: a backend with a choice of endpoints, checks, and a circuit breaker.
        let watched = json!({"kind": "Backend", "metadata": {"name": "watched"}, "spec": {
            "endpoints": [{"url": backend.url()}, {"url": "http://127.0.0.1:1"}],
            "health": {"tcp": {"every": "1s"}},
            "circuitBreaker": {"maxRequests": 100},
        }});
        sandbox
            .call(Method::POST, "/backends", Some(watched))
            .await
            .unwrap();
        let orders = sandbox
            .api("orders", PETS, &backend.url(), "Gold")
            .await
            .unwrap();
        let mut document = sandbox
            .call(Method::GET, "/apis/orders-1.0.0", None)
            .await
            .unwrap();
        document["spec"]["backends"] = json!({"production": "watched"});
        sandbox
            .call(Method::PUT, "/apis/orders-1.0.0", Some(document))
            .await
            .unwrap();
        let issuer = json!({"kind": "TokenIssuer", "metadata": {"name": "away"}, "spec": {
            "issuer": "https://login.example.com", "jwksUri": "https://127.0.0.1:1/keys",
        }});
        sandbox
            .call(Method::POST, "/token-issuers", Some(issuer))
            .await
            .unwrap();
        let world = Self {
            sandbox,
            _backend: backend,
            _collector: collector,
        };
        for _ in 0..CALLS {
            assert_eq!(world.get(&api, "/pets").await, 200);
        }
        assert_eq!(world.get(&api, "/pets").await, 429);
        assert_eq!(world.get(&api, "/nothing").await, 404);
        assert_eq!(world.get(&dead, "/pets").await, 502);
        assert_eq!(world.get(&orders, "/pets").await, 200);
        world
    }

    async fn get(&self, api: &Api, path: &str) -> u16 {
        let request = self.sandbox.http.get(format!("{}{path}", api.url));
        let answer = request.header("x-api-key", &api.key).send().await.unwrap();
        answer.status().as_u16()
    }

    async fn metrics(&self, accept: &str) -> String {
        let url = format!("http://{}/metrics", self.sandbox.running.node());
        let request = self.sandbox.http.get(url).header("accept", accept);
        request.send().await.unwrap().text().await.unwrap()
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/observability")
}

fn file(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

/// req: O4
#[tokio::test]
async fn promtool_has_no_complaint_about_the_metrics() {
    let world = World::start().await;
    let metrics = world.metrics("*/*").await;
    assert!(metrics.contains("# TYPE tollway_gateway_requests_total counter\n"));
    let said = promtool(&["check", "metrics"], &metrics).unwrap();
    assert_eq!(said.trim(), "");
    let metrics = world.metrics("application/openmetrics-text").await;
    assert!(metrics.ends_with("# EOF\n"));
}

/// req: O4
#[tokio::test]
async fn a_prometheus_scrapes_evaluates_the_rules_and_answers() {
    let world = World::start().await;
    let rules = folder().join("rules.yaml");
    let prometheus = Prometheus::start(world.sandbox.running.node(), &[&rules]);
    let query = r#"sum(tollway_gateway_requests_total{api="pets-1.0.0",status="2xx"})"#;
    let scraped = async {
        loop {
            let answer = prometheus.query(query);
            let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
            let value = answer["data"]["result"][0]["value"][1].as_str();
            if value == Some(&CALLS.to_string()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // A rule that cannot be evaluated says so in its health.
        loop {
            let groups: Value = serde_json::from_str(&prometheus.get("/api/v1/rules")).unwrap();
            let groups = groups["data"]["groups"].as_array().unwrap().clone();
            let rules = groups
                .iter()
                .flat_map(|group| group["rules"].as_array().unwrap());
            let health: Vec<&str> = rules.map(|rule| rule["health"].as_str().unwrap()).collect();
            assert!(!health.contains(&"err"), "{groups:#?}");
            if health.len() > 10 && health.iter().all(|health| *health == "ok") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, scraped).await.is_err() {
        panic!(
            "{} {}",
            prometheus.query(query),
            prometheus.get("/api/v1/targets")
        );
    }
}

#[test]
fn promtool_accepts_the_rules_and_their_tests_pass() {
    let path = |name: &str| folder().join(name).display().to_string();
    promtool(&["check", "rules", &path("rules.yaml")], "").unwrap();
    promtool(&["test", "rules", &path("rules.test.yaml")], "").unwrap();
    promtool(&["check", "config", &path("prometheus.yaml")], "").unwrap();
}

/// The names of metrics in an expression, without those that rules record.
fn names(expression: &str) -> BTreeSet<String> {
    let word = |found: char| found.is_ascii_alphanumeric() || found == '_' || found == ':';
    let words = expression.split(|found: char| !word(found));
    words
        .filter(|name| name.starts_with("tollway_") || name.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

/// Every expression of the dashboard.
fn expressions(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_str() {
                    Some(text) if name == "expr" || name == "query" => into.push(text.to_owned()),
                    _ => expressions(member, into),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, into)),
        _ => {}
    }
}

#[tokio::test]
async fn what_dashboards_and_rules_name_exists() {
    let world = World::start().await;
    let dashboard: Value = serde_json::from_str(&file("gateway.json")).unwrap();
    let mut texts = Vec::new();
    expressions(&dashboard, &mut texts);
    assert!(texts.len() > 30, "the dashboard's expressions are found");
    // Of the rules, everything but comments and texts for people.
    texts.extend(
        file("rules.yaml")
            .lines()
            .map(str::to_owned)
            .filter(|line| {
                let line = line.trim_start();
                !line.starts_with('#')
                    && !line.starts_with("summary:")
                    && !line.starts_with("mend:")
            }),
    );
    let named: BTreeSet<String> = texts.iter().flat_map(|text| names(text)).collect();
    assert!(named.len() > 25, "{named:?}");
    // Some are there when something has happened, as the first check of an endpoint.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let metrics = world.metrics("*/*").await;
        let there: BTreeSet<&str> = metrics
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split(['{', ' ']).next().unwrap())
            .collect();
        let mut missing = named.iter().filter(|name| !there.contains(name.as_str()));
        let Some(first) = missing.next() else { break };
        assert!(Instant::now() < deadline, "{first} is not in\n{metrics}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
