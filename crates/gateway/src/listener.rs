//! Takes connections from the listening sockets and hands each to the worker that holds the fewest.
//!
//! One socket an address, read by one thread. Not `SO_REUSEPORT`: closing one of its sockets resets what waits in
//! its queue, a second process would bind in silence, and long-lived connections would pile up on one core.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use policy::Reject;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::answer;
use crate::ports::{OpenPorts, Ports};
use crate::seats::Full;
use crate::worker::{Accepted, Entrance, Shared, Stage};

/// Connections that may wait to be accepted, in the kernel.
const BACKLOG: i32 = 4096;
/// How long accepting rests when the process has no descriptors left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);
/// Refused clients that are told so at a time; more are closed without a word.
const REFUSALS_MAX: usize = 64;
/// How long a refused client may take to read that.
const REFUSAL_TIME: Duration = Duration::from_secs(1);

/// A bound socket.
pub(crate) struct Listener {
    /// Its name among the process's [`crate::Sockets`].
    pub(crate) name: String,
    pub(crate) socket: TcpListener,
    pub(crate) entrance: Arc<Entrance>,
}

/// Binds an address.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Connections of an earlier process that are being closed do not keep the port.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Starts the accepting thread; the channel tells when it has ended, with everything handed over.
pub(crate) fn spawn(
    listeners: Vec<Listener>,
    shared: Arc<Shared>,
    workers: Vec<mpsc::UnboundedSender<Accepted>>,
    stage: watch::Receiver<Stage>,
) -> io::Result<(Ports, oneshot::Receiver<()>)> {
    let (ended, end) = oneshot::channel();
    let (ports, wanted) = mpsc::unbounded_channel();
    let own = listeners
        .iter()
        .map(|listener| {
            Ok((
                listener.socket.local_addr()?,
                Arc::clone(&listener.entrance),
            ))
        })
        .collect::<io::Result<_>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("gateway-accept".to_owned())
        .spawn(move || {
            let acceptor = Arc::new(Acceptor {
                shared,
                workers,
                refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            });
            runtime.block_on(async move {
                let mut tasks = tokio::task::JoinSet::new();
                // The process's own ports stay open as long as it serves.
                let mut stops = Vec::new();
                for listener in listeners {
                    let (stop, stopped) = oneshot::channel();
                    stops.push(stop);
                    let acceptor = Arc::clone(&acceptor);
                    tasks.spawn(acceptor.accept(listener, stage.clone(), stopped));
                }
                let open = OpenPorts::new(acceptor, stage, own);
                tasks.spawn(open.run(wanted));
                while tasks.join_next().await.is_some() {}
            });
            // Nobody may be interested.
            let _ = ended.send(());
        })?;
    Ok((Ports(ports), end))
}

/// Hands connections to workers.
pub(crate) struct Acceptor {
    pub(crate) shared: Arc<Shared>,
    workers: Vec<mpsc::UnboundedSender<Accepted>>,
    refusals: Arc<Semaphore>,
}

impl Acceptor {
    /// Accepts until serving ends or `stopped` says so (also by its sender's going away).
    pub(crate) async fn accept(
        self: Arc<Self>,
        listener: Listener,
        mut stage: watch::Receiver<Stage>,
        mut stopped: oneshot::Receiver<()>,
    ) {
        let (name, entrance) = (listener.name, listener.entrance);
        // An error means that the gateway is gone.
        let _ = stage.wait_for(|stage| *stage != Stage::Holding).await;
        let socket = match tokio::net::TcpListener::from_std(listener.socket) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(%error, "a listening socket cannot be watched");
                return;
            }
        };
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = end_of_serving(&mut stage) => break,
                _ = &mut stopped => break,
            };
            match accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
                Ok((stream, peer)) => self.hand_over(stream, peer, &entrance),
                // The client has gone again.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
        // Nobody hands on what is not accepted at any more.
        self.shared.config.sockets.close(&name);
        // What the kernel has accepted for us would be reset when the socket is closed.
        if let Ok(socket) = socket.into_std() {
            while let Ok((stream, peer)) = socket.accept() {
                self.hand_over(stream, peer, &entrance);
            }
        }
    }

    fn hand_over(&self, stream: TcpStream, peer: SocketAddr, entrance: &Arc<Entrance>) {
        // Accepted at the last moment, it may still be blocking.
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        let mut all = 0;
        let mut fewest = (usize::MAX, 0);
        for (index, live) in self.shared.live.iter().enumerate() {
            let live = live.load(Ordering::Relaxed);
            all += live;
            fewest = fewest.min((live, index));
        }
        let numbers = &self.shared.numbers;
        if all >= self.shared.config.limits.connections_max {
            numbers.connections_refused.add_shared();
            self.refuse(stream, entrance, &too_many());
            return;
        }
        // Load balancers are no clients: whom a connection belongs to is known when they have said it.
        let client = (!entrance.is_proxied()).then(|| peer.ip());
        let seat = match self.shared.seats.take(client, !entrance.is_plain()) {
            Ok(seat) => seat,
            Err(Full::Client) => {
                numbers.client_connections_refused.add_shared();
                self.refuse(stream, entrance, &too_many_of_one());
                return;
            }
            Err(Full::Openings) => {
                numbers.openings_refused.add_shared();
                return;
            }
        };
        let index = fewest.1;
        self.shared.live[index].fetch_add(1, Ordering::Relaxed);
        let accepted = Accepted {
            stream,
            peer,
            entrance: Arc::clone(entrance),
            seat,
        };
        if self.workers[index].send(accepted).is_err() {
            // The worker has stopped: the process is ending.
            self.shared.live[index].fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Says that there is no room, where it can be said without a handshake.
    fn refuse(&self, stream: TcpStream, entrance: &Entrance, reject: &Reject) {
        let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() else {
            return;
        };
        if !entrance.is_plain() {
            return;
        }
        let text = answer::raw_problem(reject);
        tokio::spawn(async move {
            let _permit = permit;
            // Whether the client hears of it is its own affair.
            let _ = tokio::time::timeout(REFUSAL_TIME, say_full(stream, text)).await;
        });
    }
}

fn too_many() -> Reject {
    let detail = "the node holds as many connections as it may";
    Reject::new(base::code::CONNECTION_LIMIT, detail).retry_after(1)
}

fn too_many_of_one() -> Reject {
    let detail = "the client holds as many connections as one client may";
    Reject::new(base::code::CLIENT_CONNECTION_LIMIT, detail).retry_after(1)
}

/// Returns when no new connections shall be taken.
pub(crate) async fn end_of_serving(stage: &mut watch::Receiver<Stage>) {
    // An error means that the gateway is gone: that is an end too.
    let serves = |stage: &Stage| matches!(stage, Stage::Holding | Stage::Serving);
    let _ = stage.wait_for(|stage| !serves(stage)).await;
}

async fn say_full(stream: TcpStream, text: Vec<u8>) -> io::Result<()> {
    let mut stream = tokio::net::TcpStream::from_std(stream)?;
    stream.write_all(&text).await?;
    stream.shutdown().await?;
    // Closing with unread bytes would reset the connection and lose the answer.
    let mut sink = [0; 1024];
    while stream.read(&mut sink).await? > 0 {}
    Ok(())
}
