//! Traces, as a real collector has them (req: O3).

use std::time::Duration;

use e2e::{Api, Backend, PATIENCE, Sandbox};
use parts::Jaeger;
use reqwest::StatusCode;
use serde_json::Value;

use crate::PETS;

const CALLER: &str = "b7ad6b7169203331";

/// A platform that sends all it is asked to trace to a collector.
struct World {
    jaeger: Jaeger,
    backend: Backend,
    sandbox: Sandbox,
    api: Api,
}

impl World {
    async fn start() -> Self {
        let jaeger = Jaeger::start();
        let endpoint = jaeger.otlp();
        let backend = Backend::start().await.unwrap();
        let sandbox = Sandbox::start_in(tempfile::tempdir().unwrap(), |options| {
            options.otlp_endpoint = Some(endpoint);
            options.trace_ratio = Some(0.0);
            // A connection that stands is still there when a collector has had its time.
            options.upstream_idle_timeout = Some("10m".parse().unwrap());
        })
        .await
        .unwrap();
        let api = sandbox
            .api("pets", PETS, &backend.url(), "Gold")
            .await
            .unwrap();
        Self {
            jaeger,
            backend,
            sandbox,
            api,
        }
    }

    /// A call that its caller traces by these fields.
    async fn call(&self, path: &str, fields: &[(&str, &str)]) -> StatusCode {
        let url = format!("{}{path}", self.api.url);
        let mut request = self.sandbox.http.get(url).bearer_auth(&self.api.token);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap().status()
    }

    /// The spans that the collector has of a trace, when there are so many.
    async fn spans(&self, trace_id: &str, count: usize) -> Vec<Span> {
        let url = format!("http://{}/api/traces/{trace_id}", self.jaeger.query());
        let mut last = String::new();
        let found = async {
            loop {
                let answer = self.sandbox.http.get(&url).send().await.unwrap();
                last = answer.text().await.unwrap();
                let value: Value = serde_json::from_str(&last).unwrap_or_default();
                let spans = value["data"][0]["spans"].as_array();
                let spans: Vec<Span> = spans.into_iter().flatten().map(Span::of).collect();
                if spans.len() >= count {
                    return spans;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(spans) => spans,
            Err(_) => panic!("{count} spans did not come: {last}"),
        }
    }
}

/// A span as the collector shows it.
struct Span {
    id: String,
    parent: Option<String>,
    name: String,
    tags: Value,
}

impl Span {
    fn of(value: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            id: text(&value["spanID"]),
            parent: value["references"][0]["spanID"].as_str().map(str::to_owned),
            name: text(&value["operationName"]),
            tags: value["tags"].clone(),
        }
    }

    fn tag(&self, name: &str) -> String {
        let tags = self.tags.as_array().unwrap();
        let found = tags.iter().find(|tag| tag["key"] == name);
        match found.map(|tag| &tag["value"]) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }
}

/// Those of one kind (`server`, `client`).
fn of_kind<'s>(spans: &'s [Span], kind: &str) -> Vec<&'s Span> {
    let is = |span: &&Span| span.tag("span.kind") == kind;
    spans.iter().filter(is).collect()
}

/// req: O3
#[tokio::test]
async fn a_call_is_one_unbroken_line_of_spans_from_caller_to_backend() {
    let world = World::start().await;
    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    let traceparent = format!("00-{trace_id}-{CALLER}-01");
    let fields = [
        ("traceparent", traceparent.as_str()),
        ("tracestate", "vendor=1"),
    ];
    assert_eq!(world.call("/pets/7?token=secret", &fields).await, 200);

    let spans = world.spans(trace_id, 2).await;
    assert_eq!(spans.len(), 2);
    let (server, client) = (of_kind(&spans, "server")[0], of_kind(&spans, "client")[0]);
    assert_eq!(server.parent.as_deref(), Some(CALLER));
    assert_eq!(client.parent.as_deref(), Some(server.id.as_str()));
    let seen = world.backend.seen().remove(0);
    let sent = seen.headers["traceparent"].to_str().unwrap();
    assert_eq!(sent, format!("00-{trace_id}-{}-01", client.id));
    assert_eq!(seen.headers["tracestate"], "vendor=1");

    assert_eq!(server.name, "GET /pets/1.0.0/pets/{id}");
    for (tag, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/pets/1.0.0/pets/{id}"),
        ("url.path", "/pets/1.0.0/pets/7"),
        ("http.response.status_code", "200"),
        ("server.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("tollway.api", "pets-1.0.0"),
        ("tollway.version", "1.0.0"),
        ("tollway.operation", "getPet"),
        ("tollway.plan", "Gold"),
        ("error.type", ""),
    ] {
        assert_eq!(server.tag(tag), value, "{tag}");
    }
    assert!(!server.tag("tollway.application").is_empty());
    assert_eq!(client.tag("http.response.status_code"), "200");
    assert_eq!(client.tag("tollway.connection"), "new");
    assert_eq!(client.tag("server.address"), "127.0.0.1");
    let all: String = spans.iter().map(|span| span.tags.to_string()).collect();
    assert!(!all.contains("secret"), "a query's value in a span: {all}");

    // The connection stands now. The last calls are sent although the platform stops right behind them.
    let again = "1af7651916cd43dd8448eb211c80319c";
    let traceparent = format!("00-{again}-{CALLER}-01");
    let fields = [("traceparent", traceparent.as_str())];
    assert_eq!(world.call("/pets", &fields).await, 200);
    let World {
        jaeger,
        sandbox,
        backend,
        api,
    } = world;
    sandbox.running.shutdown().await;
    let sandbox = Sandbox::start().await.unwrap();
    let world = World {
        jaeger,
        backend,
        sandbox,
        api,
    };
    let spans = world.spans(again, 2).await;
    assert_eq!(
        of_kind(&spans, "client")[0].tag("tollway.connection"),
        "reused"
    );
}

/// req: O3
#[tokio::test]
async fn b3_comes_in_and_goes_out() {
    let world = World::start().await;
    let single = "2af7651916cd43dd8448eb211c80319c";
    let value = format!("{single}-{CALLER}-1");
    assert_eq!(world.call("/pets", &[("b3", &value)]).await, 200);
    let spans = world.spans(single, 2).await;
    let (server, client) = (of_kind(&spans, "server")[0], of_kind(&spans, "client")[0]);
    assert_eq!(server.parent.as_deref(), Some(CALLER));
    let seen = world.backend.seen().remove(0);
    let expected = format!("{single}-{}-1-{}", client.id, server.id);
    assert_eq!(seen.headers["b3"], expected);
    let expected = format!("00-{single}-{}-01", client.id);
    assert_eq!(seen.headers["traceparent"], expected);

    world.backend.forget();
    let multi = "3af7651916cd43dd8448eb211c80319c";
    let fields = [
        ("x-b3-traceid", multi),
        ("x-b3-spanid", CALLER),
        ("x-b3-sampled", "1"),
    ];
    assert_eq!(world.call("/pets", &fields).await, 200);
    let spans = world.spans(multi, 2).await;
    let client = of_kind(&spans, "client")[0];
    let seen = world.backend.seen().remove(0);
    assert_eq!(seen.headers["x-b3-traceid"], multi);
    assert_eq!(seen.headers["x-b3-spanid"], client.id);
    assert!(!seen.headers.contains_key("b3"));
}

#[tokio::test]
async fn refusals_and_failures_are_told_in_spans() {
    let world = World::start().await;
    let refused = "4af7651916cd43dd8448eb211c80319c";
    let traceparent = format!("00-{refused}-{CALLER}-01");
    let url = format!("{}/pets", world.api.url);
    let answer = world
        .sandbox
        .http
        .get(url)
        .header("traceparent", traceparent);
    assert_eq!(answer.send().await.unwrap().status(), 401);
    let spans = world.spans(refused, 1).await;
    assert_eq!(spans.len(), 1, "no backend was asked");
    assert_eq!(spans[0].tag("tollway.code"), "CREDENTIALS_MISSING");
    assert_eq!(spans[0].tag("error.type"), "CREDENTIALS_MISSING");
    assert_eq!(spans[0].tag("otel.status_code"), "", "the caller's fault");

    // Nobody listens there.
    let failed = "5af7651916cd43dd8448eb211c80319c";
    let traceparent = format!("00-{failed}-{CALLER}-01");
    let gone = world
        .sandbox
        .api("gone", PETS, "http://127.0.0.1:1", "Gold");
    let world = World {
        api: gone.await.unwrap(),
        ..world
    };
    let fields = [("traceparent", traceparent.as_str())];
    assert_eq!(world.call("/pets", &fields).await, 502);
    let spans = world.spans(failed, 2).await;
    let server = of_kind(&spans, "server")[0];
    assert_eq!(server.tag("tollway.code"), "BACKEND_UNREACHABLE");
    assert_eq!(server.tag("otel.status_code"), "ERROR");
    let tries = of_kind(&spans, "client");
    let last = tries.last().unwrap();
    assert_eq!(last.tag("error.type"), "BACKEND_UNREACHABLE");
    assert_eq!(last.tag("tollway.connection"), "connecting");
    assert!(last.tag("otel.status_description").contains("refused"));
}

/// A collector that is away costs traces, never calls.
#[tokio::test]
async fn a_collector_that_hangs_costs_no_call() {
    let hanging = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", hanging.local_addr().unwrap());
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start_in(tempfile::tempdir().unwrap(), |options| {
        options.otlp_endpoint = Some(endpoint);
        options.otlp_timeout = Some("100ms".parse().unwrap());
        options.otlp_queue_max = Some(1);
    })
    .await
    .unwrap();
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Unlimited")
        .await
        .unwrap();
    let call = || {
        let request = sandbox.http.get(format!("{}/pets", api.url));
        request.header("x-api-key", &api.key).send()
    };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        for _ in 0..600 {
            assert_eq!(call().await.unwrap().status(), 200);
        }
        let url = format!("http://{}/metrics", sandbox.running.node());
        let metrics = sandbox.http.get(url).send().await.unwrap();
        let metrics = metrics.text().await.unwrap();
        let value = |name: &str| -> f64 {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name));
            line.map_or(0.0, |text| text.trim().parse().unwrap())
        };
        if value("tollway_gateway_traces_dropped_total") > 0.0
            && value("tollway_otlp_spans_failed_total") > 0.0
        {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{metrics}");
    }
    sandbox.running.shutdown().await;
}
