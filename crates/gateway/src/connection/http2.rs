//! HTTP/2: served by the library behind the guard that counts its frames.

use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::{Connection, Order, ServeError};
use crate::guard::calm::Flood;
use crate::guard::h2::{Counted, Watch};
use crate::io::Stream;
use crate::metrics::Limit;
use crate::request;
use crate::worker::{LocalExecutor, Worker};

pub(super) async fn serve(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    stream: Stream,
) -> Result<(), ServeError> {
    let service = {
        let (worker, connection) = (Rc::clone(worker), Rc::clone(connection));
        service_fn(move |request| {
            request::handle(Rc::clone(&worker), Rc::clone(&connection), request)
        })
    };
    let limits = &worker.config.limits;
    let books = Books {
        worker: Rc::clone(worker),
        connection: Rc::clone(connection),
    };
    // The client has to say that it speaks HTTP/2.
    connection.owes(true, worker.now_ms.get());
    let counted = Counted::new(stream, limits.h2, books);
    // The guard's limits and ours come first; the library's are not below them.
    let heads_max = u32::try_from(limits.head_bytes_max.saturating_mul(2)).unwrap_or(u32::MAX);
    let resets_max = limits.h2.resets_max as usize * 2;
    let mut http = Box::pin(
        http2::Builder::new(LocalExecutor)
            .max_concurrent_streams(limits.h2.streams_max)
            .max_header_list_size(heads_max)
            .max_pending_accept_reset_streams(resets_max)
            .max_local_error_reset_streams(resets_max)
            // WebSockets (RFC 8441).
            .enable_connect_protocol()
            .serve_connection(TokioIo::new(counted), service),
    );
    let mut closing = false;
    let ended = std::future::poll_fn(|cx| {
        connection.remember(cx);
        match connection.order.get() {
            Order::Drain | Order::CloseGracefully if !closing => {
                closing = true;
                http.as_mut().graceful_shutdown();
            }
            Order::Cut | Order::HeadTimedOut => return Poll::Ready(Ok(())),
            Order::Go | Order::Drain | Order::CloseGracefully | Order::Rest => {}
        }
        Pin::new(&mut http).poll(cx)
    })
    .await;
    if let Some(limit) = ended.as_ref().err().and_then(excess) {
        worker.numbers().limit(limit);
    }
    ended.map_err(ServeError::Http)
}

/// What the library has found too much of before the guard could: of what comes in one piece it answers nothing before
/// it has read all.
fn excess(error: &hyper::Error) -> Option<Limit> {
    let error: &h2::Error = std::error::Error::source(error)?.downcast_ref()?;
    let ours = error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM);
    ours.then(|| {
        if error.to_string().contains("too_many_data_frames") {
            Limit::H2EmptyData
        } else {
            Limit::H2Resets
        }
    })
}

/// What the guard sees goes into the connection's books.
struct Books {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
}

impl Watch for Books {
    fn now_ms(&self) -> u64 {
        self.worker.now_ms.get()
    }

    fn came(&self, owed: bool, open: usize) {
        self.connection.owes(owed, self.now_ms());
        self.connection.has_open(open, false);
    }

    fn sent(&self, open: usize, ended: bool) {
        self.connection.has_open(open, ended);
    }

    /// What nobody has handed over the library has answered by itself: 431, to a head that it did not keep.
    fn head_sent(&self) {
        if !self.connection.head_sent() {
            self.worker.numbers().limit(Limit::Head);
        }
    }

    fn refused(&self) {
        self.worker.numbers().limit(Limit::H2Streams);
    }

    fn flooded(&self, flood: Flood) {
        self.worker.numbers().limit(match flood {
            Flood::Streams => Limit::H2Streams,
            Flood::Resets => Limit::H2Resets,
            Flood::Pings => Limit::H2Pings,
            Flood::Settings => Limit::H2Settings,
            Flood::Continuations => Limit::H2Continuations,
            Flood::EmptyData => Limit::H2EmptyData,
            Flood::WindowUpdates => Limit::H2WindowUpdates,
            Flood::OtherFrames => Limit::H2OtherFrames,
        });
    }
}
