//! The ports that the node's `Gateway` document asks for: opened and closed while the node serves.
//!
//! The accepting thread holds them; [`Ports`] is how others tell it what is wanted. A port that is closed lets its
//! connections finish: they belong to the workers.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::HeaderName;
use ipnet::IpNet;
use sync::{ListenerFault, ListenerModel};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::config::{ClientCertificates, TlsFiles};
use crate::forwarded::Forwarding;
use crate::gateway::OWN_CERTIFICATE;
use crate::listener::{self, Acceptor, Listener};
use crate::shelf::Shown;
use crate::worker::{Entrance, Shared, Stage};

/// Tells the gateway which ports to hold open beside its own.
#[derive(Clone)]
pub struct Ports(pub(crate) mpsc::UnboundedSender<Wanted>);

/// What is wanted, and where the answer goes.
pub(crate) struct Wanted {
    listeners: Vec<ListenerModel>,
    done: oneshot::Sender<Vec<ListenerFault>>,
}

impl Ports {
    /// Opens what is missing and closes what is no longer wanted; returns when both are done, with the ports that
    /// could not be opened. Those are tried again by the next call.
    pub async fn set(&self, listeners: Vec<ListenerModel>) -> Vec<ListenerFault> {
        let (done, answer) = oneshot::channel();
        if self.0.send(Wanted { listeners, done }).is_err() {
            return Vec::new();
        }
        // An error means that the gateway is stopping: it opens nothing any more.
        answer.await.unwrap_or_default()
    }
}

/// The open ports; lives on the accepting thread.
pub(crate) struct OpenPorts {
    acceptor: Arc<Acceptor>,
    stage: watch::Receiver<Stage>,
    /// The addresses that the process's own options name, with what is spoken there.
    own: Vec<(SocketAddr, Arc<Entrance>)>,
    open: HashMap<u16, Open>,
}

struct Open {
    model: ListenerModel,
    /// Dropping it ends the task.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl OpenPorts {
    pub(crate) fn new(
        acceptor: Arc<Acceptor>,
        stage: watch::Receiver<Stage>,
        own: Vec<(SocketAddr, Arc<Entrance>)>,
    ) -> Self {
        Self {
            acceptor,
            stage,
            own,
            open: HashMap::new(),
        }
    }

    /// Follows what is wanted until the gateway stops serving; then the ports close.
    pub(crate) async fn run(mut self, mut wanted: mpsc::UnboundedReceiver<Wanted>) {
        let mut stage = self.stage.clone();
        loop {
            let next = tokio::select! {
                next = wanted.recv() => next,
                () = listener::end_of_serving(&mut stage) => None,
            };
            let Some(next) = next else { break };
            let faults = self.set(&next.listeners).await;
            // Nobody may wait for it any more.
            let _ = next.done.send(faults);
        }
        self.close(|_| true).await;
    }

    async fn set(&mut self, wanted: &[ListenerModel]) -> Vec<ListenerFault> {
        self.close(|open| !wanted.contains(open)).await;
        let mut faults = Vec::new();
        for model in wanted {
            if let Err(cause) = self.open(model) {
                tracing::warn!(port = model.port, cause, "a port cannot be opened");
                let port = model.port;
                faults.push(ListenerFault { port, cause });
            }
        }
        faults
    }

    async fn close(&mut self, is_out: impl Fn(&ListenerModel) -> bool) {
        let out: Vec<u16> = self
            .open
            .iter()
            .filter(|(_, open)| is_out(&open.model))
            .map(|(port, _)| *port)
            .collect();
        for open in out.iter().filter_map(|port| self.open.remove(port)) {
            drop(open.stop);
            // The port is free for another use only when its task has ended.
            let _ = open.task.await;
            tracing::info!(port = open.model.port, "closed a port");
        }
    }

    fn open(&mut self, model: &ListenerModel) -> Result<(), String> {
        if self.open.contains_key(&model.port) {
            return Ok(());
        }
        let own = self.own.iter().find(|(own, _)| own.port() == model.port);
        match own {
            Some((_, own)) if is_same(own, model) => return Ok(()),
            Some(_) => {
                return Err("the node's own options use this port in another way".to_owned());
            }
            None => {}
        }
        let entrance = Arc::new(Entrance {
            tls: certificate(&self.acceptor.shared, model)?,
            proxies: networks(&model.proxy_protocol_from)?,
            forwarding: forwarding(model)?.map(Arc::new),
        });
        let ip = self.own.first().map(|(own, _)| own.ip());
        let ip = ip.ok_or("the node serves no address")?;
        let name = format!("port-{}", model.port);
        let socket = self
            .acceptor
            .shared
            .config
            .sockets
            .listen(&name, (ip, model.port).into());
        let socket = socket.map_err(|error| error.to_string())?;
        let (stop, stopped) = oneshot::channel();
        let listener = Listener {
            name,
            socket,
            entrance,
        };
        let accepting = Arc::clone(&self.acceptor).accept(listener, self.stage.clone(), stopped);
        self.open.insert(
            model.port,
            Open {
                model: model.clone(),
                stop,
                task: tokio::spawn(accepting),
            },
        );
        tracing::info!(port = model.port, tls = model.tls, "opened a port");
        Ok(())
    }
}

/// Whether a port of the node's own does already what the document asks for.
fn is_same(own: &Entrance, model: &ListenerModel) -> bool {
    own.tls.is_some() == model.tls
        && model.secret.is_none()
        && networks(&model.proxy_protocol_from).is_ok_and(|proxies| proxies == own.proxies)
        && model.client_certificates.is_none()
        && own.tls.as_ref().is_none_or(|tls| tls.clients.is_none())
        && forwarding(model).is_ok_and(|model| model.as_ref() == own.forwarding.as_deref())
}

/// From whom forwarded certificates are taken.
fn forwarding(model: &ListenerModel) -> Result<Option<Forwarding>, String> {
    let Some(model) = &model.forwarded_certificate else {
        return Ok(None);
    };
    let header = model.header.parse::<HeaderName>();
    let header = header.map_err(|_| format!("`{}` is no field name", model.header))?;
    let from = networks(&model.from)?;
    Ok(Some(Forwarding { from, header }))
}

/// Networks as people write them: `10.0.0.0/8`, or an address alone.
///
/// # Errors
/// A line that names the one that is none.
pub fn networks(texts: &[impl AsRef<str>]) -> Result<Vec<IpNet>, String> {
    let network = |text: &str| {
        let address = |_| text.parse::<IpAddr>().map(IpNet::from);
        text.parse::<IpNet>().or_else(address)
    };
    texts
        .iter()
        .map(|text| {
            let text = text.as_ref();
            network(text).map_err(|_| format!("`{text}` is no network such as 10.0.0.0/8"))
        })
        .collect()
}

/// The certificate of a listener; `None` for clear text.
fn certificate(shared: &Shared, model: &ListenerModel) -> Result<Option<Arc<Shown>>, String> {
    if !model.tls {
        return Ok(None);
    }
    let secrets = &shared.config.secrets_dir;
    let asked = model.client_certificates.as_ref();
    let clients = asked.map(|asked| ClientCertificates {
        required: asked.required,
        ca: asked
            .ca_secret
            .as_ref()
            .map(|ca| secrets.join(ca).join("ca.crt")),
    });
    let own = shared.server_tls.as_ref();
    let (files, name) = match (&model.secret, own) {
        (Some(secret), _) => {
            let folder = secrets.join(secret);
            let files = TlsFiles::Files {
                cert: folder.join("tls.crt"),
                key: folder.join("tls.key"),
            };
            (files, secret.as_str())
        }
        (None, None) => return Err("the node has no certificate of its own".to_owned()),
        (None, Some(own)) if own.clients == clients => return Ok(Some(Arc::clone(own))),
        (None, Some(_)) => (shared.config.tls.clone(), OWN_CERTIFICATE),
    };
    let shown = shared.shelf.open(files, clients, name);
    shown.map(Some).map_err(|error| error.to_string())
}
