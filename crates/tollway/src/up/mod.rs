//! `tollway up`: all roles in one process.
//!
//! Here the roles are introduced to each other: identity and control share the store and `credentials`, the gateway
//! gets the control plane's [`sync::ControlPlane`] and nothing else. The control side runs on threads of its own.
//! Start at [`run`].

mod authentication;
mod begin;
mod client_certificates;
mod connections;
mod data_dir;
mod database;
mod error;
mod exposition;
pub mod handover;
mod handshakes;
mod identity_tls;
mod keys;
mod late;
mod lifetime;
mod limits;
mod logging;
mod metrics;
mod node;
mod notify;
mod options;
mod otlp;
mod outbound;
mod passwords;
mod people;
mod proving;
mod running;
mod servers;
mod signals;
mod usage;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::limits::{Authority, Quotas, Room};
use axum::Router;
use base::{Clock, Secret};
use control::{Control, ControlConfig};
use credentials::{KeyFile, PasswordLimits, Passwords, RotationConfig, SecretHashes, Tokens};
use gateway::backend_tokens::Tokens as BackendTokens;
use gateway::directory::NodeDirectory;
use gateway::feed::{Feed, FeedState};
use gateway::issuers::{self, Issuers};
use gateway::last_good::{self, Keeper, KeeperState};
use gateway::{Gateway, Snapshots, Sockets};
use identity::{IdentityConfig, IdentityState, People, Proving, ProvingConfig};
use store::{GrantStore, Retention, Store, UsageStore};
use store_sql::SqlStore;
use sync::ControlPlane;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) use data_dir::DataDir;
pub use database::SecretText;
pub use error::UpError;
pub use lifetime::{Memory, run};
pub use options::{AskMode, Options, Propagation, Role, Span};
pub use running::{Running, start};

use limits::LimitState;
use passwords::CheckedApart;
use usage::UsageSide;

/// Counters of quotas that are kept at once, unless configured.
const QUOTA_COUNTERS_MAX: usize = 1_000_000;
/// How often idle counters and expired revocations are cleaned away.
const HOUSEKEEPING: Duration = Duration::from_secs(60);
/// How long before its end a credential is told of, and how often is looked, unless configured.
const EXPIRING: Duration = Duration::from_secs(14 * 24 * 60 * 60);
const EXPIRING_LOOK: Duration = Duration::from_secs(600);

/// Control and identity, with what they share.
struct ControlSide {
    control: Control,
    store: Arc<dyn Store>,
    grants: Arc<dyn GrantStore>,
    usage: Arc<dyn UsageStore>,
    tokens: Tokens,
    identity: Arc<IdentityState>,
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
        let Opened {
            key_file,
            tokens,
            passwords,
            admin_password,
        } = Opened::or_made(options, &store, &clock, issuer).await?;
        let secrets = SecretHashes::new(&key_file);
        let nonces = credentials::Nonces::new(&key_file);
        let people = people::config(options)?;
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
            session_idle_s: people.session_idle_s,
            registration_uses_max: options
                .registration_uses_max
                .unwrap_or(defaults.registration_uses_max),
            registration_s_max: options
                .registration_lifetime_max
                .map_or(defaults.registration_s_max, |span| span.0.as_secs()),
            ..defaults
        };
        outbound::import_limits(options, &mut config);
        let fetcher = outbound::fetcher(options)?;
        let fetches = fetcher.counts();
        let parts = control::Parts {
            store: Arc::clone(&store),
            grants: Arc::clone(&grants),
            usage: Arc::clone(&usage),
            tokens: tokens.clone(),
            hashes: secrets.clone(),
            passwords: passwords.clone(),
            clock: Arc::clone(&clock),
            fetcher: fetcher.clone(),
        };
        let control = Control::new(parts, config);
        let proving = Proving::new(fetcher.clone(), nonces, proving);
        let people = People::new(
            Arc::clone(&grants),
            key_file,
            tokens.issuer(),
            Some(fetcher),
            people,
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
            config: IdentityConfig {
                jwks_max_age_s: keys::jwks_max_age_s(options)?,
                ..IdentityConfig::default()
            },
            people,
            metrics: Arc::default(),
        });
        Ok(Self {
            control,
            store,
            grants,
            usage,
            tokens,
            identity,
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

/// What there is one of, however many processes are on a database.
struct Opened {
    key_file: KeyFile,
    tokens: Tokens,
    passwords: Passwords,
    admin_password: Option<Secret<String>>,
}

impl Opened {
    /// Opens it; of several processes that start on one database the first makes it.
    async fn or_made(
        options: &Options,
        store: &Arc<dyn Store>,
        clock: &Arc<dyn Clock>,
        issuer: String,
    ) -> Result<Self, UpError> {
        let _turn = store.turn().await.map_err(part("store"))?;
        let path = options.key_file();
        let key_file = database::key_file(&path, store.as_ref()).await?;
        let tokens = Tokens::open(
            Arc::clone(store),
            key_file.clone(),
            Arc::clone(clock),
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
        Ok(Self {
            key_file,
            tokens,
            passwords,
            admin_password: first.admin_password,
        })
    }
}

/// The gateway and what feeds it.
struct NodeSide {
    gateway: Gateway,
    http: SocketAddr,
    https: SocketAddr,
    directory: Arc<NodeDirectory>,
    limits: Arc<LimitState>,
    authority: Arc<Authority>,
    counters_max: usize,
    passwords: Arc<passwords::Counts>,
    shown: metrics::Shown,
    clock: Arc<dyn Clock>,
    kept: Arc<KeeperState>,
    feed: Arc<FeedState>,
    feeding: JoinHandle<()>,
    usage: UsageSide,
    /// Tells the control plane why calls are refused.
    deciding: JoinHandle<()>,
    /// Tells the control plane how the endpoints of backends, and token issuers, fare.
    telling: JoinHandle<()>,
    issuers: Issuers,
}

/// What a node is given at its start.
struct Surroundings {
    plane: Arc<dyn ControlPlane>,
    clock: Arc<dyn Clock>,
    name: String,
    sink: Option<gateway::spans::Sink>,
    sockets: Arc<Sockets>,
    give_back: fn(),
    last_good: last_good::Settings,
    /// In a process that takes over: comes when the one before has ended.
    free: Option<oneshot::Receiver<()>>,
}

impl NodeSide {
    fn start(
        options: &Options,
        data_dir: &DataDir,
        surroundings: Surroundings,
    ) -> Result<Self, UpError> {
        let Surroundings {
            plane,
            clock,
            name,
            sink,
            sockets,
            give_back,
            last_good,
            free,
        } = surroundings;
        let directory = Arc::new(NodeDirectory::new());
        if let Some(proofs_max) = options.dpop_proofs_max {
            directory.used_max_set(proofs_max);
        }
        let counters = options.quota_counters_max.unwrap_or(QUOTA_COUNTERS_MAX);
        let mut room = Room::for_keys(counters);
        if let Some(each_max) = options.quota_counters_per_limit_max {
            room.keys_per_limit_max = each_max;
        }
        let authority = Arc::new(Authority::local(Quotas::new(room)));
        let limits = LimitState::new(
            Arc::clone(&authority),
            Arc::clone(&clock),
            data_dir.path(),
            limits::bytes_max(options)?,
        );
        let limits = Arc::new(limits);
        // One that takes over reads what the process before has counted at the last moment.
        if free.is_none() {
            limits.load();
        }
        let snapshots = Arc::new(Snapshots::from_pointee(None));
        let mut config = options.gateway(data_dir.path())?;
        let passwords = Arc::new(CheckedApart::new(options, Arc::clone(&clock))?);
        let checked = passwords.counts();
        let backend_auth = Arc::new(authentication::backend_auth(options));
        let remembered = Arc::new(authentication::remembered(options)?);
        let tokens = Arc::new(BackendTokens::new(
            outbound::fetcher(options)?,
            Arc::clone(&clock),
            authentication::backend_tokens(options)?,
        ));
        let shown = metrics::Shown {
            auth: Arc::clone(&backend_auth),
            tokens: tokens.counts(),
            authorization: Arc::default(),
            remembered: Arc::clone(&remembered),
        };
        let runtime = Arc::new(policy::Runtime {
            directory: Arc::clone(&directory) as _,
            limits: Arc::clone(&authority),
            clock: Arc::clone(&clock),
            secrets: policy::Secrets::at(config.secrets_dir.clone()),
            passwords: passwords as _,
            backend_auth,
            backend_tokens: tokens as _,
            authorization: Arc::clone(&shown.authorization),
            remembered,
        });
        config.tracing.sink = sink;
        config.sockets = sockets;
        config.give_back = give_back;
        config.holds = free.is_some();
        let secrets_dir = config.secrets_dir.clone();
        let mut gateway =
            gateway::start(config, runtime, Arc::clone(&snapshots)).map_err(part("gateway"))?;
        let bound = |address: Option<SocketAddr>| address.expect("both listeners are configured");
        let (http, https) = (bound(gateway.http_addr()), bound(gateway.https_addr()));
        let node = sync::Node {
            id: sync::NodeId(name),
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
            Arc::clone(&plane),
            Arc::clone(&clock),
            free,
        )?;
        let decisions = gateway.take_decisions().expect("nobody has taken them yet");
        let deciding = tokio::spawn(decisions.forward(Arc::clone(&plane), node.clone()));
        let settings = issuers::Settings {
            fetcher: outbound::fetcher(options)?,
            folder: last_good.folder.clone(),
            vault: Arc::clone(&last_good.vault),
            secrets_dir,
            limits: authentication::issuers(options)?,
        };
        let issuers = Issuers::start(settings, Arc::clone(&directory), Arc::clone(&clock));
        let endpoints = gateway.endpoints();
        let endpoints = endpoints.forward(Arc::clone(&plane), node.clone());
        let told = issuers.clone().forward(Arc::clone(&plane), node.clone());
        let telling = tokio::spawn(async move {
            tokio::join!(endpoints, told);
        });
        let keeper = Keeper::start(last_good.clone()).map_err(part("last-good"))?;
        let kept = keeper.state();
        let feed = Feed::new(
            Arc::clone(&plane),
            node,
            Arc::clone(&clock),
            Arc::clone(&directory),
            snapshots,
        )
        .with_ports(gateway.ports())
        .with_asking(authentication::asking(options)?)
        .with_closer(gateway.closer())
        .with_last_good(last_good, keeper);
        let state = feed.state();
        let feeding = tokio::spawn(feed.run());
        Ok(Self {
            gateway,
            http,
            https,
            directory,
            limits,
            authority,
            counters_max: counters,
            passwords: checked,
            shown,
            clock,
            kept,
            feed: state,
            feeding,
            usage,
            deciding,
            telling,
            issuers,
        })
    }
}

/// Sweeps idle counters of quotas.
fn counters(authority: &Arc<Authority>, clock: &Arc<dyn Clock>) -> JoinHandle<()> {
    let (authority, clock) = (Arc::clone(authority), Arc::clone(clock));
    tokio::spawn(async move {
        let mut turns = tokio::time::interval(HOUSEKEEPING);
        loop {
            turns.tick().await;
            authority.counters().sweep(clock.monotonic_ms());
        }
    })
}

fn housekeeping(
    plane: &ControlSide,
    clock: &Arc<dyn Clock>,
    keep: Retention,
    rotation: RotationConfig,
    options: &Options,
) -> JoinHandle<()> {
    let span = |option: Option<Span>, usual| option.map_or(usual, |span| span.0);
    let notice = span(options.credential_notice, EXPIRING);
    let look = span(options.credential_notice_every, EXPIRING_LOOK);
    let (tokens, control) = (plane.tokens.clone(), plane.control.clone());
    let usage = Arc::clone(&plane.usage);
    let grants = Arc::clone(&plane.grants);
    let (store, clock) = (Arc::clone(&plane.store), Arc::clone(clock));
    let telling = identity::tell_of_logouts(Arc::clone(&plane.identity));
    tokio::spawn(async move {
        let expired = identity::housekeeping(
            store.as_ref(),
            grants.as_ref(),
            clock.as_ref(),
            HOUSEKEEPING,
        );
        let usage = control::housekeeping(usage.as_ref(), clock.as_ref(), &keep, HOUSEKEEPING);
        let keys = keys::keep_rotating(&tokens, &control, rotation);
        let noted = control.notices();
        let ending = control::expiring::keep_noting(
            store.as_ref(),
            clock.as_ref(),
            notice.as_secs(),
            look,
            &noted,
        );
        tokio::join!(expired, usage, keys, ending, telling);
    })
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
