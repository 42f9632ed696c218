//! Constant load, and everything that an operator does meanwhile: no call fails (req: GW14, C4).
//!
//! Short in `make test`; `make soak` sets `SOAK=long`: 20 rounds, 5 upgrades, at least 200,000 calls.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use futures_util::{SinkExt, StreamExt};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::platform::{PATIENCE, User};
use crate::upgrade::{Foster, process_of};
use crate::websockets::echo;

/// Messages on one WebSocket before it is closed and the next is opened.
const MESSAGES: u32 = 20;

struct Plan {
    rounds: u32,
    upgrades: u32,
    calls: u64,
}

impl Plan {
    fn of_environment() -> Self {
        if std::env::var("SOAK").is_ok_and(|soak| soak == "long") {
            Self {
                rounds: 20,
                upgrades: 5,
                calls: 200_000,
            }
        } else {
            Self {
                rounds: 4,
                upgrades: 2,
                calls: 2_000,
            }
        }
    }
}

/// What the callers share.
struct Load {
    stop: AtomicBool,
    calls: AtomicU64,
    begun: Instant,
    failed: Mutex<Vec<String>>,
}

impl Load {
    fn count(&self, what: &str, outcome: Result<(), String>) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = outcome {
            let at = self.begun.elapsed();
            self.failed
                .lock()
                .unwrap()
                .push(format!("{at:?} {what}: {error}"));
        }
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

/// An HTTP backend that can be restarted in its place.
struct HttpBackend {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl HttpBackend {
    async fn start(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let router = Router::new().fallback(|| async { "ok" });
        let task = tokio::spawn(async move {
            let ends = async {
                let _ = stopped.await;
            };
            let served = axum::serve(listener, router).with_graceful_shutdown(ends);
            served.await.unwrap();
        });
        Self {
            address,
            stop,
            task,
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn restart(self) -> Self {
        let _ = self.stop.send(());
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .unwrap()
            .unwrap();
        Self::start(&self.address.to_string()).await
    }
}

/// Calls over connections that are kept, of HTTP/1.1 or of HTTP/2.
async fn call(load: Arc<Load>, client: Client, what: &'static str, url: String, key: String) {
    while load.goes_on() {
        let answer = client.get(&url).header("x-api-key", &key).send().await;
        let outcome = match answer {
            Err(error) => Err(format!("{error:?}")),
            Ok(answer) => {
                let status = answer.status();
                match answer.text().await {
                    Ok(text) if status == 200 && text == "ok" => Ok(()),
                    Ok(text) => Err(format!("{status} {text}")),
                    Err(error) => Err(format!("{error:?}")),
                }
            }
        };
        load.count(what, outcome);
    }
}

/// One WebSocket: opened, used, closed.
async fn converse(load: &Load, address: &str, key: &str) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| text(&error))?;
    let mut request = format!("ws://{address}/live/1.0.0/x")
        .into_client_request()
        .map_err(|error| text(&error))?;
    request
        .headers_mut()
        .insert("x-api-key", key.parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream)
        .await
        .map_err(|error| text(&error))?;
    for number in 0..MESSAGES {
        let message = Message::text(format!("message {number}"));
        socket
            .send(message.clone())
            .await
            .map_err(|error| text(&error))?;
        match socket.next().await {
            Some(Ok(back)) if back == message => load.count("WebSocket", Ok(())),
            other => return Err(format!("{other:?} came back")),
        }
    }
    socket.close(None).await.map_err(|error| text(&error))
}

async fn talk(load: Arc<Load>, address: String, key: String) {
    while load.goes_on() {
        let outcome = tokio::time::timeout(PATIENCE, converse(&load, &address, &key)).await;
        load.count(
            "WebSocket",
            outcome.unwrap_or_else(|_| Err("it hangs".to_owned())),
        );
    }
}

/// The control API as the admin.
struct Admin {
    client: Client,
    url: String,
    token: String,
}

impl Admin {
    fn of(user: &User) -> Self {
        let session = std::fs::read(user.path("config/tollway/session.json")).unwrap();
        let session: Value = serde_json::from_slice(&session).unwrap();
        Self {
            client: Client::new(),
            url: format!("{}/api/v1", user.platform.control),
            token: session["token"].as_str().unwrap().to_owned(),
        }
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.bearer_auth(&self.token).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Reads a document, changes it, writes it back.
    async fn edit(&self, path: &str, change: impl FnOnce(&mut Value)) {
        let mut document = self.call(Method::GET, path, None).await;
        change(&mut document);
        self.call(Method::PUT, path, Some(&document)).await;
    }
}

/// A platform with an API on two backends, a WebSocket API, and a key for both.
async fn furnish(user: &User, backends: &[HttpBackend]) -> String {
    let admin = Admin::of(user);
    let urls: Vec<_> = backends
        .iter()
        .map(|backend| json!({"url": backend.url()}))
        .collect();
    let backend =
        json!({"kind": "Backend", "metadata": {"name": "pair"}, "spec": {"endpoints": urls}});
    admin.call(Method::POST, "/backends", Some(&backend)).await;
    let live = echo().await;
    for (name, backend) in [("calls", backends[0].url()), ("live", live)] {
        user.publish(name, &backend, "Unlimited");
    }
    admin
        .edit("/apis/calls-1.0.0", |api| {
            api["spec"]["backends"] = json!({"production": "pair"});
        })
        .await;
    user.subscribe(&["calls:1.0.0", "live:1.0.0"], "Unlimited");
    user.api_key()
}

/// One round of what operators do.
async fn operate(user: &User, admin: &Admin, backends: &mut Vec<HttpBackend>, round: u32) {
    let label = format!("r{round}");
    let api = |document: &mut Value| {
        document["metadata"]["labels"] = json!({"round": label});
        document["spec"]["policies"] = json!([{"setHeaders": {"response": {"x-round": label}}}]);
    };
    admin.edit("/apis/calls-1.0.0", api).await;
    let plan = |document: &mut Value| document["metadata"]["labels"] = json!({"round": label});
    admin.edit("/plans/Unlimited", plan).await;
    // A backend that is restarted is taken out first.
    let out = backends.remove(0);
    let others: Vec<_> = backends
        .iter()
        .map(|backend| json!({"url": backend.url()}))
        .collect();
    admin
        .edit("/backends/pair", |document| {
            document["spec"]["endpoints"] = json!(others);
        })
        .await;
    backends.push(out.restart().await);
    let all: Vec<_> = backends
        .iter()
        .map(|backend| json!({"url": backend.url()}))
        .collect();
    admin
        .edit("/backends/pair", |document| {
            document["spec"]["endpoints"] = json!(all);
        })
        .await;
    let data = user.path("data");
    user.ok(&["reload", "--data-dir", data.to_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_an_operator_does_fails_a_call() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let wanted = Plan::of_environment();
    let user = tokio::task::block_in_place(User::start);
    let mut backends = vec![
        HttpBackend::start("127.0.0.1:0").await,
        HttpBackend::start("127.0.0.1:0").await,
    ];
    let key = furnish(&user, &backends).await;
    let load = Arc::new(Load {
        stop: AtomicBool::new(false),
        calls: AtomicU64::new(0),
        begun: Instant::now(),
        failed: Mutex::default(),
    });
    let url = format!("{}/calls/1.0.0/x", user.platform.gateway);
    let h1 = Client::builder()
        .http1_only()
        .timeout(PATIENCE)
        .build()
        .unwrap();
    let h2 = Client::builder()
        .http2_prior_knowledge()
        .timeout(PATIENCE)
        .build()
        .unwrap();
    let mut callers = Vec::new();
    for _ in 0..3 {
        let task = call(
            Arc::clone(&load),
            h1.clone(),
            "HTTP/1.1",
            url.clone(),
            key.clone(),
        );
        callers.push(tokio::spawn(task));
        let task = call(
            Arc::clone(&load),
            h2.clone(),
            "HTTP/2",
            url.clone(),
            key.clone(),
        );
        callers.push(tokio::spawn(task));
    }
    let address = user
        .platform
        .gateway
        .trim_start_matches("http://")
        .to_owned();
    for _ in 0..2 {
        callers.push(tokio::spawn(talk(
            Arc::clone(&load),
            address.clone(),
            key.clone(),
        )));
    }
    let admin = Admin::of(&user);
    let data = user.path("data");
    let mut processes = Vec::new();
    for round in 0..wanted.rounds {
        operate(&user, &admin, &mut backends, round).await;
        if round % (wanted.rounds / wanted.upgrades) == 0 {
            let output = tokio::task::block_in_place(|| {
                user.run(&["upgrade", "--data-dir", data.to_str().unwrap()])
            });
            processes.push(Foster::of(process_of(&output)));
        }
    }
    while load.calls.load(Ordering::Relaxed) < wanted.calls {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    load.stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    let calls = load.calls.load(Ordering::Relaxed);
    let failed = load.failed.lock().unwrap();
    assert!(
        failed.is_empty(),
        "{} of {calls} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
    assert_eq!(processes.len(), usize::try_from(wanted.upgrades).unwrap());
    println!("{calls} calls, none failed");
}
