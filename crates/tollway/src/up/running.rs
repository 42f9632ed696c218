//! A running platform: where it listens, how it stops, reads files again, and hands over.

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base::Secret;
use control::Control;
use gateway::{Gateway, Sockets};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;
use store_sql::SqlStore;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::handover::{self, Door, Giving};
use super::limits::LimitState;
use super::servers::Servers;
use super::{DataDir, Options, UpError, identity_tls};

/// Until the control side must have ended when it is handed over.
const CONTROL_END_TIME: Duration = Duration::from_secs(10);
/// Until the gateway must have ended accepting when it is handed over.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// What stands behind the node, once it is there.
pub(super) struct Backing {
    pub(super) control: Control,
    pub(super) store: Arc<SqlStore>,
}

/// A running platform.
pub struct Running {
    pub(super) control: Option<SocketAddr>,
    pub(super) identity: Option<SocketAddr>,
    pub(super) identity_tls: Option<SocketAddr>,
    pub(super) identity_certificates: Option<identity_tls::Settings>,
    pub(super) node: SocketAddr,
    pub(super) http: SocketAddr,
    pub(super) https: SocketAddr,
    pub(super) admin_password: Option<Secret<String>>,
    pub(super) drain_timeout: Duration,
    pub(super) drain_delay: Duration,
    /// The flags of the command line, without the config file.
    pub(super) flags: Options,
    /// With the config file, as it was read last.
    pub(super) options: Options,
    pub(super) reloads: Arc<Reloads>,
    pub(super) draining: Arc<AtomicBool>,
    pub(super) gateway: Gateway,
    pub(super) sockets: Arc<Sockets>,
    pub(super) servers: Servers,
    pub(super) stop: watch::Sender<bool>,
    /// End by themselves when `stop` says so.
    pub(super) tasks: Vec<JoinHandle<()>>,
    pub(super) feeding: JoinHandle<()>,
    pub(super) limits: Arc<LimitState>,
    pub(super) background: Vec<JoinHandle<()>>,
    pub(super) usage: JoinHandle<()>,
    pub(super) backing: Arc<OnceLock<Backing>>,
    pub(super) data_dir: DataDir,
}

impl Running {
    /// Base URL of the control API, as this machine reaches it.
    ///
    /// # Panics
    /// In a process without the control role.
    #[must_use]
    pub fn control_url(&self) -> String {
        let control = self.control.expect("this process has the control role");
        format!("http://{control}")
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

    /// Stops: `/readyz` says no and load balancers get their time to notice, no new connections are taken, calls in
    /// flight finish within the drain timeout, then the control side goes. Returns how many connections of the gateway
    /// were cut off.
    pub async fn shutdown(self) -> usize {
        self.draining.store(true, Ordering::Relaxed);
        tokio::time::sleep(self.drain_delay).await;
        self.end(false).await
    }

    /// Ends what this process still does after another one has taken over.
    pub(super) async fn end_handed_over(self) -> usize {
        // The other one is the node now; a second one of its name would only confuse who waits for it.
        self.feeding.abort();
        self.end(true).await
    }

    async fn end(mut self, handed_over: bool) -> usize {
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
        self.servers.stop(self.drain_timeout).await;
        for task in self.tasks {
            let abort = task.abort_handle();
            if tokio::time::timeout(self.drain_timeout, task)
                .await
                .is_err()
            {
                abort.abort();
            }
        }
        self.background.push(self.feeding);
        for task in self.background {
            task.abort();
            // Cancelled or ended: either way it no longer writes.
            let _ = task.await;
        }
        // Nothing is admitted any more; what was given away stays the other process's.
        self.limits.save();
        if let Some(backing) = self.backing.get() {
            if !handed_over && let Err(error) = backing.control.leave().await {
                tracing::warn!(%error, "other control processes wait for this node until its lease ends");
            }
            backing.store.close().await;
        }
        drained.cut
    }

    /// Reads the config file and all certificates again. What cannot be used stays as it was.
    ///
    /// # Errors
    /// What is wrong, one cause a line; the rest is in force.
    pub fn reload(&mut self) -> Result<String, String> {
        let outcome = self.reloaded();
        self.reloads.count(outcome.is_ok());
        match &outcome {
            Ok(done) => tracing::info!("{done}"),
            Err(error) => tracing::error!(%error, "not everything could be read again"),
        }
        outcome
    }

    fn reloaded(&mut self) -> Result<String, String> {
        let mut faults = Vec::new();
        let mut waits = Vec::new();
        match self.flags.clone().with_file() {
            Ok(options) => {
                self.drain_timeout = options.drain_timeout();
                self.drain_delay = options.drain_delay();
                waits = options.changed(&self.options);
                waits.retain(|flag| !matches!(flag.as_str(), "--drain-timeout" | "--drain-delay"));
            }
            Err(error) => faults.push(error.to_string()),
        }
        let (mut read, unusable) = self.gateway.reload_certificates();
        faults.extend(unusable.iter().map(ToString::to_string));
        match self
            .identity_certificates
            .as_ref()
            .map(identity_tls::Settings::reload)
        {
            None => {}
            Some(Ok(())) => read += 1,
            Some(Err(fault)) => faults.push(fault.to_string()),
        }
        if !faults.is_empty() {
            return Err(faults.join("\n"));
        }
        let mut done = format!("reloaded; {read} certificates of listeners were read");
        if !waits.is_empty() {
            let waits = waits.join(", ");
            done.push_str(&format!("; changes of {waits} wait for `tollway upgrade`"));
        }
        Ok(done)
    }

    /// Has another process take over; returns its id and what has to be held until this one ends.
    ///
    /// # Errors
    /// One line; this process goes on as before.
    pub(super) async fn hand_over(
        &mut self,
        door: &mut Door,
        upgrade: &handover::Upgrade,
        own_binary: &Path,
    ) -> Result<(u32, Option<UnixStream>), String> {
        let descriptors = self.descriptors().map_err(|error| error.to_string())?;
        let mut giving = Giving::begin(door, upgrade, own_binary, descriptors).await?;
        tracing::info!("a new process is ready: it gets the control side");
        self.servers.stop(CONTROL_END_TIME).await;
        // At the last moment: calls are counted until the other one accepts.
        self.limits.give_away();
        match giving.finish().await {
            Ok(id) => {
                // Who hears that it is done comes to the other one.
                self.gateway.close(CLOSE_TIME).await;
                Ok((id, giving.release()))
            }
            Err(error) => {
                self.limits.take_back();
                giving.end().await;
                self.servers
                    .start()
                    .map_err(|fault| format!("{error}; the control side stays away: {fault}"))?;
                Err(error)
            }
        }
    }

    fn descriptors(&self) -> std::io::Result<Vec<(String, OwnedFd)>> {
        let mut named = vec![(
            handover::LOCK.to_owned(),
            OwnedFd::from(self.data_dir.lock()?),
        )];
        for (name, socket) in self.sockets.all()? {
            named.push((name, OwnedFd::from(socket)));
        }
        Ok(named)
    }

    /// The path of the upgrade socket.
    pub(super) fn door(&self) -> std::path::PathBuf {
        handover::door(self.data_dir.path())
    }
}

/// How often files were read again.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    done: AtomicU64,
    failed: AtomicU64,
}

impl Reloads {
    fn count(&self, done: bool) {
        let count = if done { &self.done } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn register(reloads: &Arc<Self>, registry: &mut Registry) {
        registry.register_collector(Box::new(Numbers(Arc::clone(reloads))));
    }
}

#[derive(Debug)]
struct Numbers(Arc<Reloads>);

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let counters = [
            (
                "tollway_reloads",
                "Times that config file and certificates were read again",
                &self.0.done,
            ),
            (
                "tollway_reloads_failed",
                "Times that some of them could not be used",
                &self.0.failed,
            ),
        ];
        for (name, help, count) in counters {
            let count = ConstCounter::new(count.load(Ordering::Relaxed));
            count.encode(encoder.encode_descriptor(name, help, None, count.metric_type())?)?;
        }
        Ok(())
    }
}

/// The addresses and the first password: the command's output. Nobody may read it: a process that took over has the
/// output of the one before.
pub(super) fn announce(running: &Running) {
    let mut text = String::new();
    if let Some(password) = &running.admin_password {
        text += &format!(
            "password of admin: {} (shown this once)\n",
            password.expose()
        );
    }
    if let Some(control) = running.control {
        text += &format!("control API  http://{control}\n");
    }
    let identity = running.identity.map(|address| format!("http://{address}"));
    let over_tls = running
        .identity_tls
        .map(|address| format!("https://{address}"));
    if identity.is_some() || over_tls.is_some() {
        let urls: Vec<String> = identity.into_iter().chain(over_tls).collect();
        text += &format!("identity     {}\n", urls.join("  "));
    }
    let (http, https, node) = (running.http, running.https, running.node);
    text += &format!("gateway      http://{http}  https://{https}\nnode         http://{node}\n");
    if let Err(error) = std::io::stdout().write_all(text.as_bytes()) {
        tracing::debug!(%error, "nobody reads standard output");
    }
}

/// Starts the platform and returns when it is ready.
///
/// # Errors
/// [`UpError`]: one line that names what is wrong and where.
pub async fn start(options: Options) -> Result<Running, UpError> {
    super::begin::start(options.with_file()?, None, || ()).await
}
