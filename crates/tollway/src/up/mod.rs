//! `tollway up`: all roles in one process.
//!
//! Here the roles are introduced to each other: identity and control share the store and `credentials`, the gateway
//! gets the control plane's [`sync::ControlPlane`] and nothing else. The control side runs on threads of its own.
//! Start at [`start`].

mod data_dir;
mod database;
mod error;
mod exposition;
mod identity_tls;
mod keys;
mod logging;
mod metrics;
mod node;
mod options;
mod otlp;
mod outbound;
mod people;
mod proving;
mod signals;
mod usage;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use base::{Clock, Secret, SystemClock};
use control::{Control, ControlConfig};
use credentials::{PasswordLimits, Passwords, RotationConfig, SecretHashes, Tokens};
use gateway::directory::NodeDirectory;
use gateway::feed::{Feed, FeedState};
use gateway::{Gateway, Snapshots};
use identity::{IdentityConfig, IdentityMetrics, IdentityState, People, Proving, ProvingConfig};
use limits::Quotas;
use prometheus_client::registry::Registry;
use store::{GrantStore, Retention, Store, UsageStore};
use store_sql::SqlStore;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) use data_dir::DataDir;
pub use database::SecretText;
pub use error::UpError;
pub use options::{Options, Propagation, Span};

use node::NodeState;
use usage::UsageSide;

/// Counters of quotas that are kept at once, unless configured.
const QUOTA_COUNTERS_MAX: usize = 1_000_000;
/// How often idle counters and expired revocations are cleaned away.
const HOUSEKEEPING: Duration = Duration::from_secs(60);
/// How long before its end a credential is told of, in seconds, and how often is looked.
const EXPIRING_S: u64 = 14 * 24 * 60 * 60;
const EXPIRING_LOOK: Duration = Duration::from_secs(600);

/// A running platform.
pub struct Running {
    control: SocketAddr,
    identity: Option<SocketAddr>,
    identity_tls: Option<SocketAddr>,
    node: SocketAddr,
    http: SocketAddr,
    https: SocketAddr,
    admin_password: Option<Secret<String>>,
    drain_timeout: Duration,
    gateway: Gateway,
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
    background: Vec<JoinHandle<()>>,
    usage: JoinHandle<()>,
    plane: Control,
    store: Arc<SqlStore>,
    _data_dir: DataDir,
}

impl Running {
    /// Base URL of the control API, as this machine reaches it.
    #[must_use]
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control)
    }

    /// The authorization server's own address, where it has one.
    #[must_use]
    pub fn identity(&self) -> Option<SocketAddr> {
        self.identity
    }

    /// The authorization server's address over TLS, where it has one.
    #[must_use]
    pub fn identity_tls(&self) -> Option<SocketAddr> {
        self.identity_tls
    }

    /// Address of probes and metrics.
    #[must_use]
    pub fn node(&self) -> SocketAddr {
        self.node
    }

    /// The gateway's clear-text address.
    #[must_use]
    pub fn gateway_http(&self) -> SocketAddr {
        self.http
    }

    /// The gateway's TLS address.
    #[must_use]
    pub fn gateway_https(&self) -> SocketAddr {
        self.https
    }

    /// The password that the first start made for `admin`; kept nowhere else.
    #[must_use]
    pub fn admin_password(&self) -> Option<&Secret<String>> {
        self.admin_password.as_ref()
    }

    /// Stops: no new connections, calls in flight finish within the drain timeout, then the control side goes.
    /// Returns how many connections of the gateway were cut off.
    pub async fn shutdown(self) -> usize {
        let drained = self.gateway.drain(self.drain_timeout).await;
        // While the control side is there: a stop leaves nothing in the spool.
        let usage = self.usage.abort_handle();
        if tokio::time::timeout(self.drain_timeout, self.usage)
            .await
            .is_err()
        {
            usage.abort();
            tracing::error!("the usage of the last moments was not gathered in time");
        }
        self.stop.send_replace(true);
        for server in self.servers {
            let abort = server.abort_handle();
            if tokio::time::timeout(self.drain_timeout, server)
                .await
                .is_err()
            {
                abort.abort();
            }
        }
        for task in self.background {
            task.abort();
            // Cancelled or ended: either way it no longer writes.
            let _ = task.await;
        }
        if let Err(error) = self.plane.leave().await {
            tracing::warn!(%error, "other control processes wait for this node until its lease ends");
        }
        self.store.close().await;
        drained.cut
    }
}

/// Runs the platform until SIGTERM or SIGINT. `started` is called once, when it is ready.
///
/// # Errors
/// [`UpError`] when it cannot start.
pub fn run(options: Options, started: fn()) -> Result<(), UpError> {
    logging::start();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .thread_name("tollway-control")
        .enable_all()
        .build()
        .map_err(|error| UpError::Part {
            part: "control threads",
            cause: error.to_string(),
        })?;
    runtime.block_on(async {
        let stop = signals::stop().map_err(|error| UpError::Part {
            part: "signals",
            cause: error.to_string(),
        })?;
        let running = start(options).await?;
        announce(&running);
        started();
        stop.await;
        tracing::info!("stopping: calls in flight finish");
        let cut = running.shutdown().await;
        tracing::info!(cut, "stopped");
        Ok(())
    })
}

#[expect(
    clippy::print_stdout,
    reason = "the addresses and the first password are the command's output"
)]
fn announce(running: &Running) {
    if let Some(password) = &running.admin_password {
        println!("password of admin: {} (shown this once)", password.expose());
    }
    println!("control API  http://{}", running.control);
    if let Some(identity) = running.identity {
        println!("identity     http://{identity}");
    }
    println!(
        "gateway      http://{}  https://{}",
        running.http, running.https
    );
    println!("node         http://{}", running.node);
}

/// Starts the platform and returns when it is ready.
///
/// # Errors
/// [`UpError`]: one line that names what is wrong and where.
pub async fn start(options: Options) -> Result<Running, UpError> {
    let options = options.with_file()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let database = options.database()?;
    let data_dir = DataDir::open(&options.data_dir())?;
    database::must_not_be_moved(&options, &database)?;
    let node_token = node_token(&options)?;

    let control_listener = listen(options.control_listen, 9400, "control-listen").await?;
    let node_listener = listen(options.node_listen, 9401, "node-listen").await?;
    let identity_listener = match options.identity_listen {
        Some(address) => Some(listen(Some(address), 0, "identity-listen").await?),
        None => None,
    };
    let identity_tls = identity_tls::Settings::of(&options)?;
    let identity_tls_listener = match options.identity_tls_listen {
        Some(address) => Some(listen(Some(address), 0, "identity-tls-listen").await?),
        None => None,
    };
    let identity_tls_address = identity_tls_listener.as_ref().map(address).transpose()?;
    let (control_address, node_address) = (address(&control_listener)?, address(&node_listener)?);
    let identity_address = identity_listener.as_ref().map(address).transpose()?;

    let store = SqlStore::open(&database).await.map_err(part("store"))?;
    let store = Arc::new(store);
    let issuer = options
        .public_url
        .clone()
        .unwrap_or_else(|| format!("http://{}", identity_address.unwrap_or(control_address)));
    let proving = proving::config(&options, identity_tls_address)?;
    let clients = (issuer, proving);
    let plane =
        ControlSide::start(&options, Arc::clone(&store), Arc::clone(&clock), clients).await?;

    let (stop, stopped) = watch::channel(false);
    let node_name = usage::node_name(&options, data_dir.path())?;
    let exporting = options.otlp(&node_name)?;
    let exporting = exporting.map(|settings| otlp::start(settings, stopped.clone()));
    let exporting = exporting.transpose()?;
    let sink = exporting.as_ref().map(|running| running.sink.clone());
    let node = NodeSide::start(&options, &data_dir, &plane.control, &clock, node_name, sink)?;
    let mut servers = vec![serve(control_listener, plane.router(), stopped.clone())];
    if let Some(listener) = identity_listener {
        servers.push(serve(listener, plane.identity_router(), stopped.clone()));
    }
    if let Some((listener, settings)) = identity_tls_listener.zip(identity_tls) {
        let router = plane.identity_router();
        servers.push(identity_tls::serve(
            listener,
            settings,
            router,
            stopped.clone(),
        ));
    }
    let mut registry = Registry::default();
    node.gateway.metrics().register(&mut registry);
    node.gateway.endpoints().register(&mut registry);
    metrics::register(
        &mut registry,
        &node,
        &plane.control,
        Arc::clone(&store),
        &plane.identity_metrics,
        exporting
            .as_ref()
            .map(|running| Arc::clone(&running.numbers)),
    );
    usage::register(&mut registry, &node.usage.state);
    let refusals = plane.control.import_refusals();
    keys::register(&mut registry, &plane.tokens);
    outbound::register(&mut registry, Arc::clone(&plane.fetches), refusals);
    let state = node_state(registry, &node.feed, &plane.store, node_token);
    servers.push(serve(node_listener, node::router(Arc::new(state)), stopped));
    servers.extend(exporting.map(|running| running.task));

    let keep = usage::retention(&options)?;
    let rotation = keys::rotation(&options)?;
    let background = vec![
        housekeeping(&plane, &node.quotas, &clock, keep, rotation),
        node.feeding,
        node.deciding,
        node.telling,
    ];
    let running = Running {
        control: control_address,
        identity: identity_address,
        identity_tls: identity_tls_address,
        node: node_address,
        http: node.http,
        https: node.https,
        admin_password: plane.admin_password,
        drain_timeout: options.drain_timeout(),
        gateway: node.gateway,
        stop,
        servers,
        background,
        usage: node.usage.task,
        plane: plane.control.clone(),
        store,
        _data_dir: data_dir,
    };
    wait_until_ready(&node.feed).await;
    Ok(running)
}

/// The first update comes from this process: it is there in milliseconds, or the log says why not.
async fn wait_until_ready(feed: &FeedState) {
    let patience = Duration::from_secs(10);
    let ready = async {
        while !feed.is_ready() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    if tokio::time::timeout(patience, ready).await.is_err() {
        tracing::error!(
            "the gateway has no configuration yet; it answers NODE_NOT_READY until it has"
        );
    }
}

/// Control and identity, with what they share.
struct ControlSide {
    control: Control,
    store: Arc<dyn Store>,
    grants: Arc<dyn GrantStore>,
    usage: Arc<dyn UsageStore>,
    tokens: Tokens,
    identity: Arc<IdentityState>,
    identity_metrics: Arc<IdentityMetrics>,
    fetches: Arc<fetch::Counts>,
    admin_password: Option<Secret<String>>,
}

impl ControlSide {
    async fn start(
        options: &Options,
        store: Arc<SqlStore>,
        clock: Arc<dyn Clock>,
        (issuer, proving): (String, ProvingConfig),
    ) -> Result<Self, UpError> {
        let usage: Arc<dyn UsageStore> = store.clone();
        let grants: Arc<dyn GrantStore> = store.clone();
        let store: Arc<dyn Store> = store;
        // Of several processes that start on one database the first makes what there is one of.
        let turn = store.turn().await.map_err(part("store"))?;
        let path = options.key_file();
        let key_file = database::key_file(&path, store.as_ref()).await?;
        let secrets = SecretHashes::new(&key_file);
        let nonces = credentials::Nonces::new(&key_file);
        let tokens = Tokens::open(
            Arc::clone(&store),
            key_file.clone(),
            Arc::clone(&clock),
            keys::tokens_config(options, issuer),
        )
        .await
        .map_err(database::tokens_error(&path))?;
        let passwords = Passwords::new(PasswordLimits::default());
        let given = options
            .admin_password_file
            .as_deref()
            .map(secret_file)
            .transpose()?;
        let first = credentials::bootstrap(store.as_ref(), &passwords, clock.as_ref(), given)
            .await
            .map_err(part("first start"))?;
        control::bootstrap(store.as_ref(), clock.as_ref())
            .await
            .map_err(part("first documents"))?;
        drop(turn);
        let defaults = ControlConfig::default();
        let mut config = ControlConfig {
            decisions_max: options
                .control_decisions_max
                .unwrap_or(defaults.decisions_max),
            body_bytes_max: options
                .control_body_bytes_max
                .unwrap_or(defaults.body_bytes_max),
            definition_limits: options.definition_limits(),
            acknowledge_ms: options.acknowledge_timeout.map_or(5_000, Span::as_ms),
            ..defaults
        };
        outbound::import_limits(options, &mut config);
        let fetcher = outbound::fetcher(options)?;
        let fetches = fetcher.counts();
        let parts = control::Parts {
            store: Arc::clone(&store),
            usage: Arc::clone(&usage),
            tokens: tokens.clone(),
            hashes: secrets.clone(),
            passwords: passwords.clone(),
            clock: Arc::clone(&clock),
            fetcher: fetcher.clone(),
        };
        let control = Control::new(parts, config);
        let identity_metrics = Arc::default();
        let proving = Proving::new(fetcher.clone(), nonces, proving);
        let people = People::new(
            Arc::clone(&grants),
            key_file,
            tokens.issuer(),
            Some(fetcher),
            people::config(options)?,
        );
        let identity = Arc::new(IdentityState {
            store: Arc::clone(&store),
            clock,
            tokens: tokens.clone(),
            passwords,
            secrets,
            terms: Arc::new(control.clone()),
            acknowledged: Arc::new(control.clone()),
            proving,
            config: IdentityConfig::default(),
            people,
            metrics: Arc::clone(&identity_metrics),
        });
        let admin_password = first.admin_password;
        Ok(Self {
            control,
            store,
            grants,
            usage,
            tokens,
            identity,
            identity_metrics,
            fetches,
            admin_password,
        })
    }

    /// The authorization server alone.
    fn identity_router(&self) -> Router {
        identity::oauth_router(Arc::clone(&self.identity))
    }

    /// Control API and authorization server on one listener.
    fn router(&self) -> Router {
        control::router(self.control.clone(), identity::openapi())
            .merge(identity::router(Arc::clone(&self.identity)))
    }
}

/// The gateway and what feeds it.
struct NodeSide {
    gateway: Gateway,
    http: SocketAddr,
    https: SocketAddr,
    directory: Arc<NodeDirectory>,
    quotas: Arc<Quotas<policy::LimitKey>>,
    quotas_max: usize,
    feed: Arc<FeedState>,
    feeding: JoinHandle<()>,
    usage: UsageSide,
    /// Tells the control plane why calls are refused.
    deciding: JoinHandle<()>,
    /// Tells the control plane how the endpoints of backends fare.
    telling: JoinHandle<()>,
}

impl NodeSide {
    fn start(
        options: &Options,
        data_dir: &DataDir,
        control: &Control,
        clock: &Arc<dyn Clock>,
        node_name: String,
        sink: Option<gateway::spans::Sink>,
    ) -> Result<Self, UpError> {
        let directory = Arc::new(NodeDirectory::new());
        if let Some(proofs_max) = options.dpop_proofs_max {
            directory.used_max_set(proofs_max);
        }
        let counters = options.quota_counters_max.unwrap_or(QUOTA_COUNTERS_MAX);
        let quotas = Arc::new(Quotas::new(counters, limits::BUCKETS_DEFAULT));
        let snapshots = Arc::new(Snapshots::from_pointee(None));
        let runtime = Arc::new(policy::Runtime {
            directory: Arc::clone(&directory) as _,
            quotas: Arc::clone(&quotas),
            clock: Arc::clone(clock),
        });
        let mut config = options.gateway(data_dir.path())?;
        config.tracing.sink = sink;
        let mut gateway =
            gateway::start(config, runtime, Arc::clone(&snapshots)).map_err(part("gateway"))?;
        let bound = |address: Option<SocketAddr>| address.expect("both listeners are configured");
        let (http, https) = (bound(gateway.http_addr()), bound(gateway.https_addr()));
        let node = sync::Node {
            id: sync::NodeId(node_name),
            gateway: options
                .gateway_name
                .clone()
                .unwrap_or_else(|| "default".into()),
        };
        let usage = usage::start(
            options,
            data_dir.path(),
            &node.id.0,
            &mut gateway,
            control.plane(),
            Arc::clone(clock),
        )?;
        let decisions = gateway.take_decisions().expect("nobody has taken them yet");
        let deciding = tokio::spawn(decisions.forward(control.plane(), node.clone()));
        let endpoints = gateway.endpoints();
        let telling = tokio::spawn(endpoints.forward(control.plane(), node.clone()));
        let feed = Feed::new(
            control.plane(),
            node,
            Arc::clone(clock),
            Arc::clone(&directory),
            snapshots,
        )
        .with_ports(gateway.ports())
        .with_closer(gateway.closer());
        let state = feed.state();
        let feeding = tokio::spawn(feed.run());
        Ok(Self {
            gateway,
            http,
            https,
            directory,
            quotas,
            quotas_max: counters,
            feed: state,
            feeding,
            usage,
            deciding,
            telling,
        })
    }
}

fn node_state(
    registry: Registry,
    feed: &Arc<FeedState>,
    store: &Arc<dyn Store>,
    token: Option<Secret<String>>,
) -> NodeState {
    let (started, ready) = (Arc::clone(feed), Arc::clone(feed));
    NodeState {
        started: Box::new(move || started.is_ready()),
        not_ready: Box::new(move || {
            if ready.is_ready() {
                Vec::new()
            } else {
                vec!["the gateway has no configuration yet".into()]
            }
        }),
        store: Arc::clone(store),
        registry,
        token,
    }
}

fn housekeeping(
    plane: &ControlSide,
    quotas: &Arc<Quotas<policy::LimitKey>>,
    clock: &Arc<dyn Clock>,
    keep: Retention,
    rotation: RotationConfig,
) -> JoinHandle<()> {
    let (tokens, control) = (plane.tokens.clone(), plane.control.clone());
    let usage = Arc::clone(&plane.usage);
    let grants = Arc::clone(&plane.grants);
    let (store, quotas, clock) = (
        Arc::clone(&plane.store),
        Arc::clone(quotas),
        Arc::clone(clock),
    );
    tokio::spawn(async move {
        let counters = async {
            let mut turns = tokio::time::interval(HOUSEKEEPING);
            loop {
                turns.tick().await;
                quotas.sweep(clock.monotonic_ms());
            }
        };
        let expired = identity::housekeeping(
            store.as_ref(),
            grants.as_ref(),
            clock.as_ref(),
            HOUSEKEEPING,
        );
        let usage = control::housekeeping(usage.as_ref(), clock.as_ref(), &keep, HOUSEKEEPING);
        let keys = keys::keep_rotating(&tokens, &control, rotation);
        let ending = control::expiring::keep_noting(
            store.as_ref(),
            clock.as_ref(),
            EXPIRING_S,
            EXPIRING_LOOK,
        );
        tokio::join!(counters, expired, usage, keys, ending);
    })
}

fn serve(
    listener: TcpListener,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let stop = async move {
            // An error means that the sender is gone: then there is nothing to wait for either.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        // Who guesses passwords is slowed down by address.
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        if let Err(error) = axum::serve(listener, service)
            .with_graceful_shutdown(stop)
            .await
        {
            tracing::error!(%error, "a listener ended");
        }
    })
}

async fn listen(
    address: Option<SocketAddr>,
    port: u16,
    flag: &'static str,
) -> Result<TcpListener, UpError> {
    let address = address.unwrap_or((Ipv4Addr::LOCALHOST, port).into());
    TcpListener::bind(address)
        .await
        .map_err(|cause| UpError::Listen {
            address,
            flag,
            cause,
        })
}

fn address(listener: &TcpListener) -> Result<SocketAddr, UpError> {
    listener.local_addr().map_err(part("listener"))
}

/// Probes and metrics are open on loopback only (req: S3).
fn node_token(options: &Options) -> Result<Option<Secret<String>>, UpError> {
    let token = options
        .node_token_file
        .as_deref()
        .map(secret_file)
        .transpose()?;
    if token
        .as_ref()
        .is_some_and(|token| token.expose().is_empty())
    {
        return Err(UpError::Options(
            "the file of --node-token-file is empty".into(),
        ));
    }
    let loopback = options
        .node_listen
        .is_none_or(|address| address.ip().is_loopback());
    if token.is_none() && !loopback {
        return Err(UpError::Options(
            "--node-listen is no loopback address: it needs --node-token-file".into(),
        ));
    }
    Ok(token)
}

fn secret_file(path: &Path) -> Result<Secret<String>, UpError> {
    let text = std::fs::read_to_string(path).map_err(|error| UpError::File {
        path: PathBuf::from(path),
        cause: error.to_string(),
    })?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A part's failure.
fn part<E: std::error::Error>(part: &'static str) -> impl FnOnce(E) -> UpError {
    move |error| UpError::Part {
        part,
        cause: one_line(&error),
    }
}

/// An error and what lies below it, in one line.
pub(crate) fn one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let below = inner.to_string();
        if !text.contains(&below) {
            text = format!("{text}: {below}");
        }
        source = inner.source();
    }
    text.replace('\n', " ")
}
