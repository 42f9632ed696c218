//! A gateway with one API, a backend that the test plays, and wires to both.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base::{Clock, Digest, ManualClock, Org, SystemClock};
use gateway::{Config, Gateway, Snapshots};
use http::Method;
use policy::{Access, Chain, NobodyKnown, Runtime, Step};
use snapshot::{
    Api, Backend, BackendKey, Endpoint, Gate, Mark, Operation, RouterBuilder, Scheme, Snapshot,
    Targets,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// No step of a test takes that long, on a busy machine either.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits for a step, or fails the test.
pub(crate) async fn soon<F: Future>(what: &str, step: F) -> F::Output {
    tokio::time::timeout(PATIENCE, step)
        .await
        .unwrap_or_else(|_| panic!("{what}: nothing happened"))
}

/// A clock that stands: nothing runs out while a test is at work, however long the machine takes.
pub(crate) fn standing() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(SystemClock::new().unix_ms()))
}

/// Lets time run for as long as the test's own thread does: while the machine stands still, so does the clock.
pub(crate) fn runs(clock: &Arc<ManualClock>) {
    const STEP_MS: u64 = 10;
    let clock = Arc::clone(clock);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(STEP_MS)).await;
            clock.advance_ms(STEP_MS);
        }
    });
}

/// Lets so much time pass, and again until it has shown: who looks at the clock may have begun to a moment late.
pub(crate) async fn passing<F: Future>(
    what: &str,
    clock: &ManualClock,
    ms: u64,
    step: F,
) -> F::Output {
    let mut step = std::pin::pin!(step);
    soon(what, async {
        loop {
            clock.advance_ms(ms);
            // A second of turns, not of time: while the machine stands still nobody can notice.
            for _ in 0..50 {
                let turn = Duration::from_millis(20);
                if let Ok(output) = tokio::time::timeout(turn, &mut step).await {
                    return output;
                }
            }
        }
    })
    .await
}

/// A port of this machine that refuses connections, and that nobody else gets.
pub(crate) struct Nobody {
    _bound: TcpSocket,
    port: u16,
}

impl Nobody {
    pub(crate) fn bind() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let port = socket.local_addr().unwrap().port();
        Self {
            _bound: socket,
            port,
        }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        endpoint(Scheme::Http, "127.0.0.1", self.port)
    }
}

/// One end of a connection.
pub(crate) struct Wire<S = TcpStream> {
    stream: S,
    read: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            read: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, text: impl AsRef<[u8]>) {
        soon("send", self.stream.write_all(text.as_ref()))
            .await
            .unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends, where anybody takes it.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> bool {
        soon("send", self.stream.write_all(bytes)).await.is_ok()
    }

    /// Sends, however long that takes; false where nobody takes it.
    pub(crate) async fn send_all(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// The next head in lower case, whenever it comes, with what came behind it dropped; `None` at the end.
    pub(crate) async fn head_or_end(&mut self) -> Option<String> {
        let mut bytes = vec![0; 16 * 1024];
        loop {
            let text = String::from_utf8_lossy(&self.read).to_ascii_lowercase();
            if text.contains("\r\n\r\n") {
                self.read.clear();
                return Some(text);
            }
            match self.stream.read(&mut bytes).await {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.read.extend_from_slice(&bytes[..length]),
            }
        }
    }

    async fn more(&mut self) -> usize {
        // From the heap: the futures of whole tests are copied with what they hold.
        let mut bytes = vec![0; 64 * 1024];
        let length = soon("read", self.stream.read(&mut bytes))
            .await
            .unwrap_or(0);
        self.read.extend_from_slice(&bytes[..length]);
        length
    }

    /// Reads up to and with the first occurrence of `end`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.read).into_owned();
            if let Some(at) = text.find(end) {
                let rest = self.read.split_off(at + end.len());
                let whole = std::mem::replace(&mut self.read, rest);
                return String::from_utf8(whole).unwrap();
            }
            assert!(self.more().await > 0, "ended after {text:?}");
        }
    }

    /// Reads a head, in lower case.
    pub(crate) async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await.to_ascii_lowercase()
    }

    pub(crate) async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length {
            assert!(self.more().await > 0, "ended early");
        }
        let rest = self.read.split_off(length);
        std::mem::replace(&mut self.read, rest)
    }

    /// Reads a whole answer that has a `Content-Length`.
    pub(crate) async fn answer(&mut self) -> (String, String) {
        let head = self.head().await;
        let length = field(&head, "content-length").map_or(0, |text| text.parse().unwrap());
        let body = self.exactly(length).await;
        (head, String::from_utf8(body).unwrap())
    }

    /// Reads to the end.
    pub(crate) async fn rest(&mut self) -> String {
        while self.more().await > 0 {}
        String::from_utf8(std::mem::take(&mut self.read)).unwrap()
    }

    /// Reads to the end, whatever it is.
    pub(crate) async fn rest_bytes(&mut self) -> Vec<u8> {
        while self.more().await > 0 {}
        std::mem::take(&mut self.read)
    }

    /// Whether the other side closes, without sending any more.
    pub(crate) async fn closes(&mut self) -> bool {
        self.rest().await.is_empty()
    }

    pub(crate) fn into_inner(self) -> S {
        self.stream
    }
}

/// A field of a head in lower case.
pub(crate) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find_map(|(have, value)| (have == name).then_some(value))
}

/// A backend whose connections the test answers by hand.
pub(crate) struct Peer {
    listener: TcpListener,
    pub(crate) addr: SocketAddr,
}

impl Peer {
    pub(crate) async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        Self { listener, addr }
    }

    pub(crate) async fn accept(&self) -> Wire {
        Wire::new(self.accept_stream().await)
    }

    /// The next connection, whenever it comes.
    pub(crate) async fn accept_when_it_comes(&self) -> Wire {
        Wire::new(self.listener.accept().await.unwrap().0)
    }

    pub(crate) async fn accept_stream(&self) -> TcpStream {
        soon("accept", self.listener.accept()).await.unwrap().0
    }

    /// However long it takes.
    pub(crate) async fn accept_stream_patiently(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        endpoint(Scheme::Http, &self.addr.ip().to_string(), self.addr.port())
    }
}

pub(crate) fn endpoint(scheme: Scheme, host: &str, port: u16) -> Endpoint {
    Endpoint {
        path: "/base".to_owned(),
        ..Endpoint::new(scheme, host, port).unwrap()
    }
}

/// What the gateway of a test serves: `/shop/1.0.0` and `/shop`.
pub(crate) struct Setup {
    pub(crate) config: Config,
    pub(crate) backend: Backend,
    /// Other backends.
    pub(crate) beside: Vec<Backend>,
    pub(crate) gate: Gate,
    pub(crate) policies: fn() -> Vec<Step>,
    /// It stands, unless the test brings another one.
    pub(crate) clock: Arc<dyn Clock>,
}

impl Setup {
    pub(crate) fn new(endpoints: Vec<Endpoint>) -> Self {
        Self {
            config: Config {
                http: Some(([127, 0, 0, 1], 0).into()),
                https: None,
                workers: 1,
                ..Config::default()
            },
            backend: Backend {
                timeout_ms: 60_000,
                digest: Digest::of(b"backend"),
                ..Backend::at(key(), endpoints)
            },
            beside: Vec::new(),
            gate: Gate::Serve,
            policies: Vec::new,
            clock: standing(),
        }
    }

    pub(crate) fn snapshot(self) -> Snapshot {
        let mut router = RouterBuilder::default();
        let operations = [
            (Method::GET, "/items"),
            (Method::GET, "/items/{id}"),
            (Method::POST, "/items"),
            (Method::PUT, "/items/{id}"),
        ];
        for (method, template) in operations {
            let operation = Operation {
                mark: Mark::default(),
                label: format!("{method} {template}").into(),
                template: template.into(),
                chain: Chain::new((self.policies)(), Access::Open).into(),
                targets: Arc::new(Targets {
                    production: Some(key()),
                    sandbox: None,
                }),
            };
            if self.gate == Gate::Serve {
                router.insert(template, method, operation).unwrap();
            }
        }
        let api = Api {
            org: Org::default_org(),
            name: "shop-1.0.0".to_owned(),
            api: "shop".to_owned(),
            version: "1.0.0".to_owned(),
            vhosts: Vec::new(),
            mounts: vec!["/shop/1.0.0".to_owned(), "/shop".to_owned()],
            gate: self.gate,
            router: router.build(),
            preflight: Chain::new((self.policies)(), Access::Open),
            protected: None,
            backend_keys: Box::default(),
            digest: Digest::of(b"shop"),
        };
        let all = std::iter::once(self.backend).chain(self.beside);
        let backends = all.map(|backend| (backend.key.clone(), Arc::new(backend)));
        Snapshot::new(7, [Arc::new(api)], backends).0
    }

    pub(crate) fn start(self) -> Sandbox {
        let runtime = Runtime::new(
            Arc::new(NobodyKnown),
            Arc::new(::limits::Authority::local(::limits::Quotas::new(
                ::limits::Room::for_keys(10),
            ))),
            Arc::clone(&self.clock),
        );
        let config = self.config.clone();
        let snapshots: Arc<Snapshots> = Arc::new(ArcSwap::from_pointee(Some(self.snapshot())));
        let gateway = gateway::start(config, Arc::new(runtime), Arc::clone(&snapshots)).unwrap();
        Sandbox { gateway, snapshots }
    }
}

pub(crate) fn key() -> BackendKey {
    BackendKey {
        org: Org::default_org(),
        name: "shop".into(),
    }
}

pub(crate) struct Sandbox {
    pub(crate) gateway: Gateway,
    pub(crate) snapshots: Arc<Snapshots>,
}

impl Sandbox {
    pub(crate) fn to(peer: &Peer) -> Self {
        Setup::new(vec![peer.endpoint()]).start()
    }

    pub(crate) async fn connect_stream(&self) -> TcpStream {
        let addr = self.gateway.http_addr().unwrap();
        soon("connect", TcpStream::connect(addr)).await.unwrap()
    }

    pub(crate) async fn connect(&self) -> Wire {
        Wire::new(self.connect_stream().await)
    }

    pub(crate) fn metrics(&self) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        self.gateway.metrics().register(&mut registry);
        self.gateway.endpoints().register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    /// Puts another snapshot in force.
    pub(crate) fn swap(&self, snapshot: Snapshot) {
        self.snapshots.store(Arc::new(Some(snapshot)));
    }

    /// The next decision on a call that was refused or failed. There is one taker.
    pub(crate) async fn decision(&mut self) -> sync::Decision {
        let mut decisions = self.gateway.take_decisions().unwrap();
        soon("a decision", async {
            loop {
                if let Some(taken) = decisions.take().pop() {
                    return taken;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await
    }

    /// Waits until the metrics have this line: counting happens after the answer has gone out.
    pub(crate) async fn counts(&self, line: &str) {
        let shown = async {
            while !self.metrics().lines().any(|have| have == line) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, shown).await.is_err() {
            panic!("{line} is not in\n{}", self.metrics());
        }
    }
}

/// A call whose head has arrived at the backend.
pub(crate) struct Called {
    pub(crate) peer: Peer,
    /// Serves as long as this is held.
    _sandbox: Sandbox,
    pub(crate) client: Wire,
    pub(crate) backend: Wire,
    /// What the backend got.
    pub(crate) head: String,
}

/// Sends a request through a gateway of its own.
pub(crate) async fn called(request: impl AsRef<[u8]>) -> Called {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    client.send(request).await;
    let mut backend = peer.accept().await;
    let head = backend.head().await;
    Called {
        peer,
        _sandbox: sandbox,
        client,
        backend,
        head,
    }
}

/// A `GET` of an item over HTTP/1.1.
pub(crate) const GET: &str =
    "GET /shop/1.0.0/items/1?q=a%20b HTTP/1.1\r\nhost: Shop.example:80\r\n\r\n";
/// The simplest answer.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
