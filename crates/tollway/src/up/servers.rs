//! The listeners of the control side and of the probes: opened, closed, and opened again when a hand-over fails.

use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Extensions;
use axum::serve::Listener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::identity_tls::{self, Settings};
use super::{UpError, connections, part};

/// What listens where. The sockets stay open while their servers do not run: connections wait in their queues.
#[derive(Default)]
pub(super) struct Servers {
    sites: Vec<Site>,
    running: Option<Serving>,
}

struct Site {
    socket: std::net::TcpListener,
    router: Router,
    /// Over TLS, which asks clients for a certificate.
    tls: Option<Settings>,
}

struct Serving {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Servers {
    /// Adds a listener, which is served from the next [`Servers::start`] on.
    pub(super) fn add(&mut self, socket: std::net::TcpListener, router: Router) {
        self.push(socket, router, None);
    }

    /// Adds a listener with TLS, as [`Servers::add`] does.
    pub(super) fn add_tls(
        &mut self,
        socket: std::net::TcpListener,
        router: Router,
        settings: Settings,
    ) {
        self.push(socket, router, Some(settings));
    }

    fn push(&mut self, socket: std::net::TcpListener, router: Router, tls: Option<Settings>) {
        self.sites.push(Site {
            socket,
            router,
            tls,
        });
    }

    /// Serves; does nothing when it does.
    pub(super) fn start(&mut self) -> Result<(), UpError> {
        if self.running.is_some() {
            return Ok(());
        }
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();
        for site in &self.sites {
            let socket = site.socket.try_clone().map_err(part("listener"))?;
            let listener = tokio::net::TcpListener::from_std(socket).map_err(part("listener"))?;
            let (router, stopped) = (site.router.clone(), stopped.clone());
            tasks.push(match &site.tls {
                None => serve(listener, router, stopped),
                Some(settings) => identity_tls::serve(listener, settings.clone(), router, stopped),
            });
        }
        self.running = Some(Serving { stop, tasks });
        Ok(())
    }

    /// Accepts no more, and returns when what is in flight has ended or the time is over.
    pub(super) async fn stop(&mut self, limit: Duration) {
        let Some(serving) = self.running.take() else {
            return;
        };
        serving.stop.send_replace(true);
        for task in serving.tasks {
            let abort = task.abort_handle();
            if tokio::time::timeout(limit, task).await.is_err() {
                abort.abort();
            }
        }
    }
}

fn serve(
    mut listener: tokio::net::TcpListener,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut served = JoinSet::new();
        loop {
            let (stream, address) = tokio::select! {
                accepted = Listener::accept(&mut listener) => accepted,
                () = connections::stop(&mut stopped) => break,
                Some(_) = served.join_next() => continue,
            };
            // Who guesses passwords is slowed down by address.
            let show = move |extensions: &mut Extensions| {
                extensions.insert(ConnectInfo(address));
            };
            served.spawn(connections::serve(
                stream,
                router.clone(),
                show,
                stopped.clone(),
            ));
        }
        drop(listener);
        served.join_all().await;
    })
}

#[cfg(test)]
mod tests;
