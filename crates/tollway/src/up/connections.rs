//! Connections of the control side's listeners, served so that a stop loses no call that somebody has begun.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Extensions;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};
use tower::ServiceExt as _;

/// How long an accepted connection has for its first request when its listener stops.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// Returns when a listener is to stop.
pub(super) async fn stop(stopped: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone: then there is nothing to wait for either.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Serves a connection until it ends; what `show` says of the client goes with each request. When the listener stops,
/// requests under way are answered and no more are taken.
pub(super) async fn serve<I, F>(io: I, router: Router, show: F, mut stopped: watch::Receiver<bool>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(&mut Extensions) + Clone + Send + 'static,
{
    let asked = Arc::<Notify>::default();
    let service = {
        let asked = Arc::clone(&asked);
        router.map_request(move |request: Request<Incoming>| {
            asked.notify_one();
            let mut request = request.map(Body::new);
            show(request.extensions_mut());
            request
        })
    };
    let builder = Builder::new(TokioExecutor::new());
    let service = TowerToHyperService::new(service);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(io), service);
    let mut connection = std::pin::pin!(connection);
    // How a connection ends is the client's business; what it asked for has been answered and logged by then.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop(&mut stopped) => {}
    }
    // The library closes a connection that has sent nothing yet. Its client cannot tell that from a server that fails, and
    // its request may be in the socket already: then that counts, also where everything stood still for longer.
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        () = asked.notified() => {}
        () = tokio::time::sleep(FIRST_REQUEST) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
