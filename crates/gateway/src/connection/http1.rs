//! HTTP/1.1: served by the library behind the guard, and put to rest while nothing comes.
//!
//! The library holds two buffers and room for a request as long as it serves a connection, some 25 KiB. So a connection
//! without a request gives all of that back after a second, and only its guard and its socket stay; the next byte begins
//! anew.

use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, ready};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

use super::watched::Watched;
use super::{Connection, Order, ServeError};
use crate::config::Limits;
use crate::guard::{self, Exceeded, Guarded};
use crate::io::Stream;
use crate::metrics::Limit;
use crate::tunnel::Tunnel;
use crate::worker::Worker;
use crate::{answer, request, timers};

/// What is read or written at once, at least.
const BUFFER_BYTES: usize = 64 * 1024;

/// What is read at once of what nobody wants.
const LINGER_READ_BYTES: usize = 16 * 1024;

/// Header fields that hyper takes without being told a number.
const HYPER_HEADERS_MAX: usize = 100;

/// Why the library was left.
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart where it is returned to"
)]
enum Left {
    /// Nothing is under way.
    Quiet(Guarded<Watched>),
    /// It serves nothing more on this connection.
    Ended(End),
}

/// How serving ended.
enum End {
    /// The connection is done with.
    Done(Result<(), hyper::Error>),
    /// All answers have gone out, and the client may still be sending what nobody reads.
    Unread(Stream),
    /// The head did not come in time.
    HeadTimedOut(Stream),
    /// The connection is a tunnel now; with what the client has sent already.
    Switched(Box<Tunnel>, Stream, Vec<u8>),
}

pub(super) async fn serve(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    stream: Stream,
) -> Result<(), ServeError> {
    let ended = match serve_or_rest(worker, connection, stream).await {
        Ok(End::Done(ended)) => ended.map_err(ServeError::Http),
        Ok(End::Unread(stream)) => {
            count_exceeded(worker, connection);
            Box::pin(linger(worker, connection, stream)).await;
            return Ok(());
        }
        Ok(End::HeadTimedOut(stream)) => Box::pin(say_timed_out(worker, stream)).await,
        Ok(End::Switched(tunnel, stream, ahead)) => {
            Box::pin(tunnel.run(stream, ahead)).await;
            Ok(())
        }
        Err(error) => Err(ServeError::Socket(error)),
    };
    count_exceeded(worker, connection);
    ended
}

/// Serves while something is under way, and rests while nothing is. What a connection that rests takes is what this future
/// holds.
async fn serve_or_rest(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    stream: Stream,
) -> io::Result<End> {
    let watched = Watched::new(stream, connection, worker);
    let (mut guarded, handle) = Guarded::new(watched, rules(&worker.config.limits));
    // Set once: a connection is served once.
    let _ = connection.guard.set(handle);
    loop {
        match Box::pin(serve_awake(worker, connection, guarded)).await {
            Left::Quiet(quiet) => guarded = quiet,
            Left::Ended(end) => return Ok(end),
        }
        if !rest(worker, connection, &guarded).await {
            guarded.into_inner().stream.shutdown().await?;
            return Ok(End::Done(Ok(())));
        }
    }
}

/// Counts the limit that what the client sent was beyond, where there is one.
fn count_exceeded(worker: &Worker, connection: &Connection) {
    let violation = connection.violation();
    if let Some(exceeded) = violation.and_then(|violation| violation.exceeded) {
        worker.numbers().limit(match exceeded {
            Exceeded::Head => Limit::Head,
            Exceeded::Target => Limit::Target,
            Exceeded::Trailers => Limit::Trailers,
            Exceeded::ChunkExtensions => Limit::ChunkExtensions,
            Exceeded::Pipelined => Limit::Pipelined,
        });
    }
}

/// Serves until the connection ends, or nothing is under way any more.
async fn serve_awake(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    guarded: Guarded<Watched>,
) -> Left {
    let service = {
        let (worker, connection) = (Rc::clone(worker), Rc::clone(connection));
        service_fn(move |request| {
            request::handle(Rc::clone(&worker), Rc::clone(&connection), request)
        })
    };
    let mut http = builder(&worker.config.limits).serve_connection(TokioIo::new(guarded), service);
    let mut closing = false;
    let why = std::future::poll_fn(|cx| {
        connection.remember(cx);
        match connection.order.get() {
            Order::CloseGracefully if !closing => {
                closing = true;
                Pin::new(&mut http).graceful_shutdown();
            }
            // Of an idle connection the next answer says it; an answer that changes the protocol does not.
            Order::Drain if !closing && connection.active.get() > 0 && !connection.waits() => {
                closing = true;
                Pin::new(&mut http).graceful_shutdown();
            }
            Order::HeadTimedOut => return Poll::Ready(Why::HeadTimedOut),
            Order::Cut => return Poll::Ready(Why::Cut),
            Order::Go | Order::Drain | Order::CloseGracefully | Order::Rest => {}
        }
        if let Poll::Ready(ended) = Pin::new(&mut http).poll(cx) {
            return Poll::Ready(Why::Done(ended));
        }
        if connection.unread.stays() {
            connection.unread.drop_rest(cx);
            connection.rest_came();
        }
        // Asked again behind the poll: something may have come.
        if connection.order.get() == Order::Rest {
            connection.order.set(Order::Go);
            if connection.is_quiet() {
                return Poll::Ready(Why::Quiet);
            }
        }
        Poll::Pending
    })
    .await;
    let tunnel = connection.tunnel.take();
    let parts = http.into_parts();
    Left::Ended(match (why, tunnel) {
        (Why::Done(Ok(())), Some(tunnel)) => {
            let (watched, held) = parts.io.into_inner().into_parts();
            let mut ahead = Vec::from(parts.read_buf);
            ahead.extend(held);
            End::Switched(tunnel, watched.stream, ahead)
        }
        (Why::Done(Ok(())), None) if connection.has_unread() => {
            End::Unread(parts.io.into_inner().into_inner().stream)
        }
        (Why::Done(ended), _) => End::Done(ended),
        (Why::Cut, _) => End::Done(Ok(())),
        (Why::HeadTimedOut, _) => End::HeadTimedOut(parts.io.into_inner().into_inner().stream),
        (Why::Quiet, _) if parts.read_buf.is_empty() => {
            return Left::Quiet(parts.io.into_inner());
        }
        // Nothing waits for an answer, so this would be the rest of a body that nobody wanted: never a request.
        (Why::Quiet, _) => End::Done(Ok(())),
    })
}

/// What made us leave the library.
enum Why {
    /// It has ended, or is to.
    Done(Result<(), hyper::Error>),
    /// It is to end at once.
    Cut,
    /// The head did not come in time.
    HeadTimedOut,
    /// Nothing is under way.
    Quiet,
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // The guard looks whether the client has gone: the library would take a buffer for that at every request.
    builder.half_close(true);
    // The guard's limits come first; hyper's are not below them, so that it is the guard that refuses.
    builder
        .max_header_size(limits.head_bytes_max * 2)
        .max_buf_size(limits.head_bytes_max.max(BUFFER_BYTES) * 2);
    // With a number of its own hyper takes its table of fields from the heap, for every head.
    if limits.headers_max > HYPER_HEADERS_MAX {
        builder.max_headers(limits.headers_max);
    }
    builder
}

/// Waits until something comes; false where the connection is to end instead.
async fn rest(worker: &Worker, connection: &Connection, guarded: &Guarded<Watched>) -> bool {
    let _resting = Resting::begin(worker, connection);
    std::future::poll_fn(|cx| {
        connection.remember(cx);
        match connection.order.get() {
            Order::Go | Order::Drain | Order::Rest => {}
            Order::CloseGracefully | Order::HeadTimedOut | Order::Cut => {
                return Poll::Ready(false);
            }
        }
        // What is wrong with the socket shows when it is read.
        guarded.get_ref().stream.poll_readable(cx).map(|_| true)
    })
    .await
}

/// Notes that a connection rests, for as long as this is held.
struct Resting<'c> {
    worker: &'c Worker,
    connection: &'c Connection,
}

impl<'c> Resting<'c> {
    fn begin(worker: &'c Worker, connection: &'c Connection) -> Self {
        connection.resting.set(true);
        worker.numbers().resting.up();
        Self { worker, connection }
    }
}

impl Drop for Resting<'_> {
    fn drop(&mut self) {
        self.worker.numbers().resting.down();
        self.connection.resting.set(false);
    }
}

/// Ends our side, and reads and drops what the client still sends, until it ends too or has had enough time: a socket that
/// is closed with unread bytes is reset, and who is still sending may never read its answer (RFC 9112 §9.6).
async fn linger(worker: &Rc<Worker>, connection: &Connection, mut stream: Stream) {
    let limits = &worker.config.limits;
    connection.lingers();
    let over = async {
        // The library has done so, unless another protocol was asked for.
        stream.shutdown().await.ok()?;
        drop_unread(connection, &mut stream, limits.unread_bytes_max).await
    };
    let deadline_ms = worker.read_clock() + limits.body_timeout_ms;
    let over = timers::until(&worker.timers, &*worker.clock, deadline_ms, pin!(over)).await;
    if let Some(limit) = over.unwrap_or(Some(Limit::BodyTimeout)) {
        worker.numbers().limit(limit);
    }
}

/// Reads and drops up to so many bytes, while the connection may go on; the limit where there are more.
async fn drop_unread(connection: &Connection, stream: &mut Stream, max: u64) -> Option<Limit> {
    let mut left = max;
    std::future::poll_fn(|cx| {
        let mut bytes = [MaybeUninit::uninit(); LINGER_READ_BYTES];
        loop {
            match connection.order.get() {
                Order::Go | Order::Drain | Order::Rest => {}
                Order::CloseGracefully | Order::HeadTimedOut | Order::Cut => {
                    return Poll::Ready(None);
                }
            }
            let mut buf = ReadBuf::uninit(&mut bytes);
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buf));
            let length = buf.filled().len() as u64;
            if read.is_err() || length == 0 {
                return Poll::Ready(None);
            }
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return Poll::Ready(Some(Limit::Unread)),
            }
        }
    })
    .await
}

async fn say_timed_out(worker: &Worker, mut stream: Stream) -> Result<(), ServeError> {
    let reject = policy::Reject::new(
        base::code::REQUEST_TIMEOUT,
        "the head of the request did not come in time",
    );
    worker.numbers().reject(&reject.code);
    let said = async {
        stream.write_all(&answer::raw_problem(&reject)).await?;
        stream.shutdown().await
    };
    let time = std::time::Duration::from_secs(1);
    // A client that does not read does not hear of it.
    let said = tokio::time::timeout(time, said).await;
    said.unwrap_or(Ok(())).map_err(ServeError::Socket)
}

fn rules(limits: &Limits) -> guard::Rules {
    guard::Rules {
        head_bytes_max: limits.head_bytes_max,
        headers_max: limits.headers_max,
        target_bytes_max: limits.target_bytes_max,
        trailers_max: limits.trailers_max,
        trailer_bytes_max: limits.trailer_bytes_max,
        extension_bytes_max: limits.chunk_extension_bytes_max,
        pipelined_max: limits.pipelined_max,
    }
}
