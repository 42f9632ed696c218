//! One start, from the options to a platform that serves.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base::{Clock, Secret, SystemClock};
use credentials::KeyFile;
use gateway::Sockets;
use gateway::feed::FeedState;
use gateway::last_good::{self, Vault};
use identity::ProvingConfig;
use prometheus_client::registry::Registry;
use store::Store;
use store_sql::{OpenOptions, SqlStore};
use sync::ControlPlane;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::handover::Taking;
use super::late::Late;
use super::node::{self, NodeState};
use super::options::{Options, Role, Span};
use super::running::{Backing, Reloads, Running};
use super::servers::Servers;
use super::{
    ControlSide, DataDir, NodeSide, Surroundings, UpError, counters, database, housekeeping,
    identity_tls, keys, metrics, node_token, otlp, outbound, part, proving, usage,
};

/// Until the first update must be there.
const READY_TIME: Duration = Duration::from_secs(10);
/// How long a process that takes over looks for what was written last.
const CATCH_UP_TIME: Duration = Duration::from_secs(5);
/// How often a database that is away is tried again.
const JOIN_EVERY: Duration = Duration::from_secs(1);
/// What a node keeps on its disk, and for how long it serves that, unless configured.
const LAST_GOOD_BYTES_MAX: u64 = 1 << 30;
const LAST_GOOD_AGE_MAX_MS: u64 = 72 * 3_600 * 1_000;

/// What all of a start needs.
struct Start {
    options: Options,
    clock: Arc<dyn Clock>,
    sockets: Arc<Sockets>,
    give_back: fn(),
    data_dir: DataDir,
    database: OpenOptions,
    stop: watch::Sender<bool>,
    servers: Servers,
    registry: Registry,
}

/// Starts with these options; a process that takes over accepts nothing before the one before lets it. `give_back`: see
/// [`gateway::Config`].
pub(super) async fn start(
    options: Options,
    taking: Option<Taking>,
    give_back: fn(),
) -> Result<Running, UpError> {
    let mut database = options.database()?;
    // A process that takes over changes no schema under the one that still runs.
    database.migrates = taking.is_none();
    let folder = options.data_dir();
    let (data_dir, sockets) = match &taking {
        None => (DataDir::open(&folder)?, Arc::default()),
        Some(taking) => {
            let lock = taking.lock.try_clone().map_err(part("data folder"))?;
            (DataDir::inherit(&folder, lock), Arc::clone(&taking.sockets))
        }
    };
    database::must_not_be_moved(&options, &database)?;
    let start = Start {
        clock: Arc::new(SystemClock::new()),
        sockets,
        give_back,
        data_dir,
        database,
        stop: watch::Sender::new(false),
        servers: Servers::default(),
        registry: Registry::default(),
        options,
    };
    match start.options.role.unwrap_or_default() {
        Role::All => start.all(taking).await,
        Role::Gateway => start.gateway(taking).await,
    }
}

impl Start {
    async fn all(mut self, taking: Option<Taking>) -> Result<Running, UpError> {
        let options = &self.options;
        let node_token = node_token(options)?;
        let control = self.listen("control-listen", options.control_listen, 9400)?;
        let node = self.listen("node-listen", options.node_listen, 9401)?;
        let identity = match options.identity_listen {
            Some(address) => Some(self.listen("identity-listen", Some(address), 0)?),
            None => None,
        };
        let identity_tls = match identity_tls::Settings::of(options)? {
            Some(settings) => {
                let address = options.identity_tls_listen;
                Some((self.listen("identity-tls-listen", address, 0)?, settings))
            }
            None => None,
        };
        let control_address = address(&control)?;
        let identity_address = identity.as_ref().map(address).transpose()?;
        let identity_tls_address = identity_tls.as_ref().map(|(socket, _)| address(socket));
        let identity_tls_address = identity_tls_address.transpose()?;
        let store = SqlStore::open(&self.database)
            .await
            .map_err(part("store"))?;
        let store = Arc::new(store);
        let issuer = self.options.public_url.clone();
        let issuer = issuer
            .unwrap_or_else(|| format!("http://{}", identity_address.unwrap_or(control_address)));
        let clock = Arc::clone(&self.clock);
        let clients = (
            issuer,
            proving::config(&self.options, identity_tls_address)?,
        );
        let side = ControlSide::start(&self.options, Arc::clone(&store), clock, clients).await?;
        let key_file =
            KeyFile::open_or_create(&self.options.key_file()).map_err(part("key file"))?;
        let plane = side.control.plane();
        self.servers.add(control, side.router());
        if let Some(socket) = identity {
            self.servers.add(socket, side.identity_router());
        }
        let mut identity_certificates = None;
        if let Some((socket, settings)) = identity_tls {
            identity_certificates = Some(settings.clone());
            metrics::handshakes::register(&mut self.registry, settings.handshakes());
            self.servers
                .add_tls(socket, side.identity_router(), settings);
        }
        metrics::register_control(
            &mut self.registry,
            &side.control,
            Arc::clone(&store),
            &side.identity,
        );
        keys::register(&mut self.registry, &side.tokens);
        let refusals = side.control.import_refusals();
        outbound::register(&mut self.registry, Arc::clone(&side.fetches), refusals);
        let keep = usage::retention(&self.options)?;
        let rotation = keys::rotation(&self.options)?;
        let backing = OnceLock::from(Backing {
            control: side.control.clone(),
            store,
        });
        let asked = Some(Arc::clone(&side.store));
        let background = vec![housekeeping(
            &side,
            &self.clock,
            keep,
            rotation,
            &self.options,
        )];
        let mut running = self
            .node(
                plane,
                key_file,
                (node, node_token),
                asked,
                Arc::new(backing),
                taking,
                background,
            )
            .await?;
        running.control = Some(control_address);
        running.identity = identity_address;
        running.identity_tls = identity_tls_address;
        running.identity_certificates = identity_certificates;
        running.admin_password = side.admin_password;
        Ok(running)
    }

    /// The gateway alone. Its database may be away: it serves what it kept, and joins when the database is there.
    async fn gateway(self, taking: Option<Taking>) -> Result<Running, UpError> {
        let options = &self.options;
        if matches!(self.database.place, store_sql::Place::File(_)) {
            let text = "--role gateway needs a database that processes share: name it with --database-url-file";
            return Err(UpError::Options(text.into()));
        }
        let Some(issuer) = options.public_url.clone() else {
            let text = "--role gateway needs --public-url, the same as at the other processes";
            return Err(UpError::Options(text.into()));
        };
        let path = options.key_file();
        if !path.exists() {
            let cause = "the key file is not there: copy it from where the platform started first, or name it with \
                         --key-file";
            return Err(UpError::File {
                path,
                cause: cause.into(),
            });
        }
        let key_file = KeyFile::open_or_create(&path).map_err(part("key file"))?;
        let node_token = node_token(options)?;
        let node = self.listen("node-listen", options.node_listen, 9401)?;
        let late = Arc::new(Late::default());
        let backing = Arc::new(OnceLock::new());
        let joining = tokio::spawn(join(
            self.options.clone(),
            self.database.clone(),
            Arc::clone(&self.clock),
            (issuer, proving::config(options, None)?),
            Arc::clone(&late),
            Arc::clone(&backing),
        ));
        self.node(
            late,
            key_file,
            (node, node_token),
            None,
            backing,
            taking,
            vec![joining],
        )
        .await
    }

    /// The node's side, the same in every role.
    #[expect(
        clippy::too_many_arguments,
        reason = "what differs between the roles, once each"
    )]
    async fn node(
        mut self,
        plane: Arc<dyn ControlPlane>,
        key_file: KeyFile,
        (socket, token): (std::net::TcpListener, Option<Secret<String>>),
        asked: Option<Arc<dyn Store>>,
        backing: Arc<OnceLock<Backing>>,
        taking: Option<Taking>,
        mut background: Vec<JoinHandle<()>>,
    ) -> Result<Running, UpError> {
        let options = &self.options;
        let node_address = address(&socket)?;
        let node_name = usage::node_name(options, self.data_dir.path())?;
        let exporting = options.otlp(&node_name)?;
        let exporting = exporting.map(|settings| otlp::start(settings, self.stop.subscribe()));
        let exporting = exporting.transpose()?;
        let (spool_free, free) = oneshot::channel();
        let surroundings = Surroundings {
            plane,
            clock: Arc::clone(&self.clock),
            name: node_name,
            sink: exporting.as_ref().map(|running| running.sink.clone()),
            sockets: Arc::clone(&self.sockets),
            give_back: self.give_back,
            last_good: last_good(options, self.data_dir.path(), key_file),
            free: taking.as_ref().map(|_| free),
        };
        let node = NodeSide::start(options, &self.data_dir, surroundings)?;
        node.gateway.metrics().register(&mut self.registry);
        node.gateway.endpoints().register(&mut self.registry);
        let numbers = exporting
            .as_ref()
            .map(|running| Arc::clone(&running.numbers));
        metrics::register(&mut self.registry, &node, numbers);
        usage::register(&mut self.registry, &node.usage.state);
        let reloads = Arc::<Reloads>::default();
        Reloads::register(&reloads, &mut self.registry);
        let draining = Arc::<AtomicBool>::default();
        let state = NodeState {
            registry: self.registry,
            token,
            store: asked,
            ..node_state(&node, &draining)
        };
        self.servers.add(socket, node::router(Arc::new(state)));
        background.push(counters(&node.authority, &self.clock));
        background.push(Arc::clone(&node.limits).keep());
        background.extend([node.deciding, node.telling]);
        let mut running = Running {
            control: None,
            identity: None,
            identity_tls: None,
            identity_certificates: None,
            node: node_address,
            http: node.http,
            https: node.https,
            admin_password: None,
            drain_timeout: options.drain_timeout(),
            drain_delay: options.drain_delay(),
            flags: options.clone(),
            options: options.clone(),
            reloads,
            draining,
            gateway: node.gateway,
            limits: node.limits,
            sockets: self.sockets,
            servers: self.servers,
            stop: self.stop,
            tasks: exporting.into_iter().map(|running| running.task).collect(),
            feeding: node.feeding,
            background,
            usage: node.usage.task,
            backing,
            data_dir: self.data_dir,
        };
        match taking {
            // Probes answer from the beginning on.
            None => {
                running.servers.start()?;
                if !is_ready_in_time(&node.feed).await {
                    tracing::error!(
                        "the gateway has no configuration yet; it answers NODE_NOT_READY until it has"
                    );
                }
            }
            Some(taking) => take_over(&mut running, taking, &node.feed, spool_free).await?,
        }
        Ok(running)
    }

    fn listen(
        &self,
        flag: &'static str,
        address: Option<SocketAddr>,
        port: u16,
    ) -> Result<std::net::TcpListener, UpError> {
        let address = address.unwrap_or((Ipv4Addr::LOCALHOST, port).into());
        let name = flag.trim_end_matches("-listen");
        let listened = self.sockets.listen(name, address);
        listened.map_err(|cause| UpError::Listen {
            address,
            flag,
            cause,
        })
    }
}

/// The last steps of a process that takes over.
async fn take_over(
    running: &mut Running,
    taking: Taking,
    feed: &FeedState,
    spool_free: oneshot::Sender<()>,
) -> Result<(), UpError> {
    if !is_ready_in_time(feed).await {
        return Err(UpError::Part {
            part: "gateway",
            cause: "it has no configuration; the running process goes on".into(),
        });
    }
    let told = tokio::task::spawn_blocking(move || taking.ready().map(|()| taking));
    let taking = told
        .await
        .map_err(part("hand-over"))?
        .map_err(part("hand-over"))?;
    // What the one before has acknowledged last must be in force here before the first call.
    if tokio::time::timeout(CATCH_UP_TIME, feed.caught_up())
        .await
        .is_err()
    {
        tracing::warn!("what was written last could not be read in time");
    }
    running.servers.start()?;
    running.limits.load();
    running.gateway.accept();
    running.sockets.close_unwanted();
    let gone = taking.accepts().map_err(part("hand-over"))?;
    tokio::spawn(async move {
        let _ = gone.await;
        tracing::info!("the process before has ended");
        // A platform that has stopped meanwhile does not need it.
        let _ = spool_free.send(());
    });
    Ok(())
}

/// The first update is there in milliseconds, or the log says why not.
async fn is_ready_in_time(feed: &FeedState) -> bool {
    let ready = async {
        while !feed.is_ready() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(READY_TIME, ready).await.is_ok()
}

/// Joins the platform when its database answers.
async fn join(
    options: Options,
    database: OpenOptions,
    clock: Arc<dyn Clock>,
    clients: (String, ProvingConfig),
    late: Arc<Late>,
    backing: Arc<OnceLock<Backing>>,
) {
    loop {
        match joined(&options, &database, &clock, clients.clone()).await {
            Ok((side, store)) => {
                let plane = side.control.plane();
                let control = side.control;
                // It is joined once.
                let _ = backing.set(Backing { control, store });
                late.comes(plane);
                return;
            }
            Err(error) => tracing::warn!(%error, "the database cannot be used; it is tried again"),
        }
        tokio::time::sleep(JOIN_EVERY).await;
    }
}

async fn joined(
    options: &Options,
    database: &OpenOptions,
    clock: &Arc<dyn Clock>,
    clients: (String, ProvingConfig),
) -> Result<(ControlSide, Arc<SqlStore>), UpError> {
    let store = SqlStore::open(database).await.map_err(part("store"))?;
    let store = Arc::new(store);
    let (shared, clock) = (Arc::clone(&store), Arc::clone(clock));
    let side = ControlSide::start(options, shared, clock, clients).await?;
    Ok((side, store))
}

fn last_good(options: &Options, data_dir: &Path, key_file: KeyFile) -> last_good::Settings {
    last_good::Settings {
        folder: data_dir.join("last-good"),
        vault: Arc::new(Sealed(key_file)),
        bytes_max: options.last_good_bytes_max.unwrap_or(LAST_GOOD_BYTES_MAX),
        age_max_ms: options
            .last_good_max_age
            .map_or(LAST_GOOD_AGE_MAX_MS, Span::as_ms),
    }
}

/// What a node keeps is sealed under the key file.
struct Sealed(KeyFile);

impl Vault for Sealed {
    fn seal(&self, place: &str, plain: Vec<u8>) -> Option<Vec<u8>> {
        self.0.seal(place, &Secret::new(plain)).ok()
    }

    fn open(&self, place: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let plain = self.0.unseal(place, sealed).ok()?;
        Some(plain.expose().clone())
    }
}

/// What probes say of a node; the rest of the state is the role's.
fn node_state(node: &NodeSide, draining: &Arc<AtomicBool>) -> NodeState {
    use std::sync::atomic::Ordering;
    let (started, ready, noted) = (
        Arc::clone(&node.feed),
        Arc::clone(&node.feed),
        Arc::clone(&node.feed),
    );
    let (draining, clock) = (Arc::clone(draining), Arc::clone(&node.clock));
    NodeState {
        started: Box::new(move || started.is_ready()),
        not_ready: Box::new(move || {
            let mut reasons = Vec::new();
            if !ready.is_ready() {
                reasons.push("the gateway has no configuration yet".into());
            }
            if draining.load(Ordering::Relaxed) {
                reasons.push("the gateway is stopping".into());
            }
            reasons
        }),
        notes: Box::new(move || {
            if !noted.is_from_disk() {
                return Vec::new();
            }
            let age_s = clock.unix_ms().saturating_sub(noted.seen_unix_ms()) / 1000;
            vec![format!(
                "the control plane is away: revision {} is served, kept on the disk {age_s} s ago",
                noted.revision()
            )]
        }),
        store: None,
        registry: Registry::default(),
        token: None,
    }
}

fn address(listener: &std::net::TcpListener) -> Result<SocketAddr, UpError> {
    listener.local_addr().map_err(part("listener"))
}
