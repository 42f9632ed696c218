//! Starting and stopping the data plane.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::access_log::AccessLog;
use crate::config::{AccessLogConfig, Config};
use crate::decisions::{self, Decisions};
use crate::endpoints::Endpoints;
use crate::listener::{self, Listener};
use crate::live::{self, Closer};
use crate::metrics::circuits::Circuits;
use crate::metrics::{Metrics, Numbers};
use crate::ports::Ports;
use crate::seats::Seats;
use crate::server_tls::CertificateError;
use crate::shelf::Shelf;
use crate::sockets::Sockets;
use crate::tunnel::Tunnels;
use crate::upstream::names::{Names, Tell};
use crate::upstream::state::States;
use crate::upstream::upkeep;
use crate::usage::{self, Flushes};
use crate::worker::{self, Entrance, Shared, Snapshots, Stage};

/// How metrics call the certificate of the node's own options.
pub(crate) const OWN_CERTIFICATE: &str = "own";
/// The names of the process's own sockets.
const HTTP: &str = "gateway-http";
const HTTPS: &str = "gateway-https";

/// The data plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("gateway address {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The HTTPS listener has no usable certificate.
    #[error("gateway certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// The access log cannot be opened.
    #[error("access log {file}: {source}")]
    AccessLog {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// A thread or its runtime cannot be made.
    #[error("gateway thread: {0}")]
    Thread(std::io::Error),
}

/// A running data plane. Dropping it closes everything at once; [`Gateway::drain`] lets calls finish.
pub struct Gateway {
    http: Option<SocketAddr>,
    https: Option<SocketAddr>,
    ports: Ports,
    metrics: Metrics,
    endpoints: Endpoints,
    decisions: Option<Decisions>,
    closer: Closer,
    shelf: Arc<Shelf>,
    flushes: Option<Flushes>,
    stage: watch::Sender<Stage>,
    accepting: Option<oneshot::Receiver<()>>,
    workers: Vec<oneshot::Receiver<usize>>,
}

/// How a drain went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drained {
    /// Connections that were cut off because their calls did not end in time.
    pub cut: usize,
}

/// Starts the data plane: binds, loads certificates, starts the threads.
///
/// Until `snapshots` holds a first snapshot, every call is answered `NODE_NOT_READY`.
///
/// # Errors
/// [`StartError`], whose text is one line that names what and why.
pub fn start(
    config: Config,
    runtime: Arc<policy::Runtime>,
    snapshots: Arc<Snapshots>,
) -> Result<Gateway, StartError> {
    let own = Own::listen(&config)?;
    let access_log = config.access_log.as_ref().map(access_log).transpose()?;
    let count = worker_count(&config);
    let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let (outlet, flushes) = usage::channel(count);
    let numbers = Numbers::new(count, config.series_max);
    let metrics = Metrics(Arc::clone(&numbers));
    let shelf = Arc::new(Shelf::new(Arc::clone(&crypto), Arc::clone(&numbers)));
    let certificate = || {
        let clients = config.client_certificates.clone();
        shelf.open(config.tls.clone(), clients, OWN_CERTIFICATE)
    };
    let server_tls = own.https.is_some().then(certificate).transpose()?;
    let first = match config.holds {
        true => Stage::Holding,
        false => Stage::Serving,
    };
    let (senders_of_decisions, decisions) = decisions::queues(count, config.decisions_max);
    let (closer, closings) = live::closer(count);
    let (names, wanted) = Names::new(Arc::clone(&runtime.clock));
    let states = Arc::new(States::new(count, names));
    let endpoints = Endpoints::new(Arc::clone(&states), Arc::clone(&runtime.clock));
    // Nobody has set it before: the numbers are new.
    let _ = numbers.circuits.set(Circuits {
        states: Arc::clone(&states),
        clock: Arc::clone(&runtime.clock),
    });
    let shared = Arc::new(Shared {
        runtime,
        snapshots,
        numbers,
        crypto,
        server_tls,
        shelf: Arc::clone(&shelf),
        access_log,
        decisions: senders_of_decisions,
        live: (0..count).map(|_| AtomicUsize::new(0)).collect(),
        seats: Seats::new(&config.limits),
        config,
        native_roots: OnceLock::new(),
        usage: outlet,
        tunnels: Tunnels::default(),
        endpoints: states,
    });
    let (stage, stages) = watch::channel(first);
    let (http, https) = own.addresses();
    let Threads {
        workers,
        ports,
        accepting,
    } = threads(&shared, own, wanted, stages, closings).map_err(StartError::Thread)?;
    Ok(Gateway {
        http,
        https,
        ports,
        metrics,
        endpoints,
        decisions: Some(decisions),
        closer,
        shelf,
        flushes: Some(flushes),
        stage,
        accepting: Some(accepting),
        workers,
    })
}

/// The sockets that the process's own options name, bound.
struct Own {
    http: Option<(SocketAddr, TcpListener)>,
    https: Option<(SocketAddr, TcpListener)>,
}

impl Own {
    fn listen(config: &Config) -> Result<Self, StartError> {
        let bind = |name: &str, address: Option<SocketAddr>| {
            address
                .map(|address| listen(&config.sockets, name, address))
                .transpose()
        };
        Ok(Self {
            http: bind(HTTP, config.http)?,
            https: bind(HTTPS, config.https)?,
        })
    }

    fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        let address = |(address, _): &(SocketAddr, TcpListener)| *address;
        (
            self.http.as_ref().map(address),
            self.https.as_ref().map(address),
        )
    }

    /// With what is spoken there.
    fn into_listeners(self, shared: &Shared) -> Vec<Listener> {
        let proxies = &shared.config.proxy_protocol_from;
        let forwarding = shared.config.forwarded_certificate.clone().map(Arc::new);
        let all = [
            (HTTP, self.http, None),
            (HTTPS, self.https, shared.server_tls.clone()),
        ];
        let listener = |(name, bound, tls): (&str, Option<(SocketAddr, TcpListener)>, _)| {
            Some(Listener {
                name: name.to_owned(),
                socket: bound?.1,
                entrance: Arc::new(Entrance {
                    tls,
                    proxies: proxies.clone(),
                    forwarding: forwarding.clone(),
                }),
            })
        };
        all.into_iter().filter_map(listener).collect()
    }
}

/// What runs.
struct Threads {
    /// Each tells when it has ended.
    workers: Vec<oneshot::Receiver<usize>>,
    ports: Ports,
    accepting: oneshot::Receiver<()>,
}

/// Starts the threads: one that looks after backends and certificates, one for each core, one that accepts.
fn threads(
    shared: &Arc<Shared>,
    own: Own,
    wanted: mpsc::UnboundedReceiver<Tell>,
    stages: watch::Receiver<Stage>,
    closings: Vec<live::Closings>,
) -> std::io::Result<Threads> {
    upkeep::spawn(Arc::clone(shared), wanted, stages.clone())?;
    let mut senders = Vec::new();
    let mut workers = Vec::new();
    for (index, closings) in closings.into_iter().enumerate() {
        let (sender, accepted) = mpsc::unbounded_channel();
        let (shared, stages) = (Arc::clone(shared), stages.clone());
        workers.push(worker::spawn(shared, index, accepted, stages, closings)?);
        senders.push(sender);
    }
    let listeners = own.into_listeners(shared);
    let (ports, accepting) = listener::spawn(listeners, Arc::clone(shared), senders, stages)?;
    Ok(Threads {
        workers,
        ports,
        accepting,
    })
}

fn worker_count(config: &Config) -> usize {
    match config.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        count => count,
    }
}

fn access_log(log: &AccessLogConfig) -> Result<AccessLog, StartError> {
    AccessLog::open(log).map_err(|source| {
        let file = log.file.as_ref();
        StartError::AccessLog {
            file: file.map_or("stdout".to_owned(), |file| file.display().to_string()),
            source,
        }
    })
}

fn listen(
    sockets: &Sockets,
    name: &str,
    address: SocketAddr,
) -> Result<(SocketAddr, TcpListener), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let socket = sockets.listen(name, address).map_err(failed)?;
    Ok((socket.local_addr().map_err(failed)?, socket))
}

impl Gateway {
    /// Where clear-text HTTP is served.
    #[must_use]
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where HTTPS is served.
    #[must_use]
    pub fn https_addr(&self) -> Option<SocketAddr> {
        self.https
    }

    /// The ports beside these.
    #[must_use]
    pub fn ports(&self) -> Ports {
        self.ports.clone()
    }

    /// The decisions on refused and failed calls, for whoever takes them; there is one taker.
    pub fn take_decisions(&mut self) -> Option<Decisions> {
        self.decisions.take()
    }

    /// Begins to accept, where it was told to hold.
    pub fn accept(&self) {
        self.stage.send_if_modified(|stage| {
            let holds = *stage == Stage::Holding;
            if holds {
                *stage = Stage::Serving;
            }
            holds
        });
    }

    /// Reads the certificates of all listeners again; connections that stand keep theirs. Says how many were read, and
    /// what is wrong with the others, which stay what they were.
    pub fn reload_certificates(&self) -> (usize, Vec<CertificateError>) {
        self.shelf.reload()
    }

    /// Ends open calls, when what let them in is not good any more.
    #[must_use]
    pub fn closer(&self) -> Closer {
        self.closer.clone()
    }

    /// What the data plane counts.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// How the endpoints of backends fare.
    #[must_use]
    pub fn endpoints(&self) -> Endpoints {
        self.endpoints.clone()
    }

    /// What the workers count, for a [`crate::usage::Collector`]; at the first call only.
    #[must_use]
    pub fn usage(&mut self) -> Option<Flushes> {
        self.flushes.take()
    }

    /// Accepts no more, and returns when that is so or `timeout` is over. What stands goes on until [`Gateway::drain`]
    /// ends; keep-alive connections are told (`Connection: close`, GOAWAY).
    pub async fn close(&mut self, timeout: Duration) {
        self.stage.send_replace(Stage::Draining);
        if let Some(accepting) = self.accepting.take() {
            // An error means that the thread has ended, which is what is waited for.
            let _ = tokio::time::timeout(timeout, accepting).await;
        }
    }

    /// Accepts no more, lets calls that are in flight finish, and returns when all connections are closed or
    /// `timeout` is over; then the rest is cut off.
    pub async fn drain(mut self, timeout: Duration) -> Drained {
        let deadline = tokio::time::Instant::now() + timeout;
        self.close(timeout).await;
        let mut cut = 0;
        let mut late = Vec::new();
        for mut worker in std::mem::take(&mut self.workers) {
            match tokio::time::timeout_at(deadline, &mut worker).await {
                Ok(ended) => cut += ended.unwrap_or(0),
                Err(_) => late.push(worker),
            }
        }
        self.stage.send_replace(Stage::Stopped);
        for worker in late {
            cut += worker.await.unwrap_or(0);
        }
        Drained { cut }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stage.send_replace(Stage::Stopped);
    }
}
