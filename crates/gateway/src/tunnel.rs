//! A connection that changed its protocol: bytes pass both ways until one side ends, nothing comes for too long, or the
//! gateway ends it ([`crate::live`]).
//!
//! A tunnel that is idle holds no buffer: what is read goes through one buffer of the worker, and only what the other
//! side does not take at once is kept.

mod limits;

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use policy::{Measure, Meter};

use crate::connection::Connection;
use crate::events::Messages;
use crate::live::{Place, Reason};
use crate::metrics::TunnelEnd;
use crate::upstream::Far;
use crate::usage::table::Row;
use crate::worker::Worker;

pub(crate) use limits::{Full, Slot, Tunnels};

/// What is read at once.
const READ_BYTES: usize = 64 * 1024;
/// How long nothing may come from one side when the other has ended. A side that has really gone often only says that
/// it sends no more.
const HALF_OPEN_MS: u64 = 10_000;
/// Reads of one direction before others have their turn.
const TURNS: usize = 16;

/// A tunnel whose client's end is not free yet: the answer that switches goes out first.
pub(crate) struct Tunnel {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    backend: Far,
    live: Place,
    /// What its bytes are counted under.
    row: Rc<Row>,
    /// What limits count of it.
    metered: Option<Box<Metered>>,
    _slot: Slot,
}

/// What limits count of a tunnel; how many messages there are is read in each direction.
struct Metered {
    meter: Meter,
    counts_messages: bool,
}

/// One direction.
#[derive(Default)]
struct Lane {
    /// What was read and not taken by the other side.
    waiting: Vec<u8>,
    written: usize,
    unflushed: bool,
    /// Nothing more will be read.
    ended: bool,
    /// The other side was told.
    shut: bool,
    /// Bytes that were read since they were last counted.
    moved: u64,
    /// Of a tunnel whose messages are limited.
    messages: Option<Box<Messages>>,
}

/// A direction broke.
enum Fault {
    /// Where it is read.
    Read,
    /// Where it is written.
    Write,
    /// A limit has nothing left for a message.
    Limited,
}

impl Lane {
    /// Begins with what was read already.
    fn of(waiting: Vec<u8>) -> Self {
        Self {
            moved: waiting.len() as u64,
            waiting,
            ..Self::default()
        }
    }

    /// Moves what there is; ready when the direction has ended. `admit` is asked for messages, where they are counted.
    fn poll<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        &mut self,
        from: &mut R,
        to: &mut W,
        scratch: &mut [u8],
        admit: &dyn Fn(u32) -> bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        if self.shut {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..TURNS {
            ready!(self.poll_waiting(to, cx))?;
            if self.ended {
                // A side that has gone cannot be told.
                let _ = ready!(Pin::new(&mut *to).poll_shutdown(cx));
                self.shut = true;
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(scratch);
            match Pin::new(&mut *from).poll_read(cx, &mut buf) {
                Poll::Pending => {
                    if self.unflushed {
                        ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(|_| Fault::Write)?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Fault::Read)),
                Poll::Ready(Ok(())) if buf.filled().is_empty() => self.ended = true,
                Poll::Ready(Ok(())) => {
                    self.moved += buf.filled().len() as u64;
                    if !self.admits(buf.filled(), admit) {
                        return Poll::Ready(Err(Fault::Limited));
                    }
                    ready!(self.pass(to, buf.filled(), cx))?;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether limits leave anything for what was read.
    fn admits(&mut self, read: &[u8], admit: &dyn Fn(u32) -> bool) -> bool {
        let Some(messages) = &mut self.messages else {
            return true;
        };
        let count = messages.read(read);
        count == 0 || admit(count)
    }

    /// Writes what was read; keeps what is not taken.
    fn pass<W: AsyncWrite + Unpin>(
        &mut self,
        to: &mut W,
        mut bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        self.unflushed = true;
        while !bytes.is_empty() {
            match Pin::new(&mut *to).poll_write(cx, bytes) {
                Poll::Ready(Ok(count)) if count > 0 => bytes = &bytes[count..],
                Poll::Ready(_) => return Poll::Ready(Err(Fault::Write)),
                Poll::Pending => {
                    self.waiting = bytes.to_vec();
                    self.written = 0;
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_waiting<W: AsyncWrite + Unpin>(
        &mut self,
        to: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        while self.written < self.waiting.len() {
            let rest = &self.waiting[self.written..];
            match ready!(Pin::new(&mut *to).poll_write(cx, rest)) {
                Ok(count) if count > 0 => self.written += count,
                _ => return Poll::Ready(Err(Fault::Write)),
            }
            self.unflushed = true;
        }
        self.waiting = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl Tunnel {
    pub(crate) fn new(
        worker: &Rc<Worker>,
        connection: &Rc<Connection>,
        backend: Far,
        live: Place,
        row: Rc<Row>,
        slot: Slot,
        meter: Option<Meter>,
    ) -> Self {
        // The connection is not idle as long as this lives.
        connection.request_begins();
        worker.numbers().tunnels_open.up();
        Self {
            worker: Rc::clone(worker),
            connection: Rc::clone(connection),
            backend,
            live,
            row,
            metered: meter.map(|meter| {
                let counts_messages = meter.counts(Measure::Events);
                Box::new(Metered {
                    meter,
                    counts_messages,
                })
            }),
            _slot: slot,
        }
    }

    /// Passes bytes until the end. `ahead` is what the client has sent behind its request.
    pub(crate) async fn run<C: AsyncRead + AsyncWrite + Unpin>(
        mut self,
        mut client: C,
        ahead: Vec<u8>,
    ) {
        let mut inward = Lane::of(ahead);
        let mut outward = Lane::of(self.backend.take_unread());
        let metered = self.metered.take();
        let (meter, worker) = (metered.as_deref(), Rc::clone(&self.worker));
        let admit = |count| {
            let now_ms = worker.now_ms.get();
            meter.is_none_or(|metered| metered.meter.admit(Measure::Events, count, now_ms))
        };
        let mut ahead_admitted = true;
        if meter.is_some_and(|metered| metered.counts_messages) {
            for lane in [&mut inward, &mut outward] {
                lane.messages = Some(Box::default());
                let ahead = std::mem::take(&mut lane.waiting);
                ahead_admitted &= lane.admits(&ahead, &admit);
                lane.waiting = ahead;
            }
        }
        let mut first = None;
        let end = std::future::poll_fn(|cx| {
            if let Some(reason) = self.live.closing(cx) {
                return Poll::Ready(end_of(reason));
            }
            if !ahead_admitted {
                return Poll::Ready(TunnelEnd::Limited);
            }
            let backend = &mut self.backend;
            let mut scratch = self.worker.scratch.borrow_mut();
            scratch.resize(READ_BYTES, 0);
            let there = inward.poll(&mut client, backend, &mut scratch, &admit, cx);
            let back = outward.poll(backend, &mut client, &mut scratch, &admit, cx);
            drop(scratch);
            self.count(&mut inward, &mut outward, meter);
            if first.is_none() && (inward.ended || outward.ended) {
                self.live.hurry(HALF_OPEN_MS);
            }
            first = first
                .or(inward.ended.then_some(TunnelEnd::Client))
                .or(outward.ended.then_some(TunnelEnd::Backend));
            match (there, back) {
                (Poll::Ready(Err(Fault::Limited)), _) | (_, Poll::Ready(Err(Fault::Limited))) => {
                    Poll::Ready(TunnelEnd::Limited)
                }
                (Poll::Ready(Err(Fault::Read)), _) | (_, Poll::Ready(Err(Fault::Write))) => {
                    Poll::Ready(first.unwrap_or(TunnelEnd::Client))
                }
                (Poll::Ready(Err(Fault::Write)), _) | (_, Poll::Ready(Err(Fault::Read))) => {
                    Poll::Ready(first.unwrap_or(TunnelEnd::Backend))
                }
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => {
                    Poll::Ready(first.unwrap_or(TunnelEnd::Client))
                }
                _ => Poll::Pending,
            }
        })
        .await;
        self.worker.numbers().tunnels_ended[end as usize].add(1);
    }

    fn count(&self, inward: &mut Lane, outward: &mut Lane, metered: Option<&Metered>) {
        let (bytes_in, bytes_out) = (
            std::mem::take(&mut inward.moved),
            std::mem::take(&mut outward.moved),
        );
        if bytes_in + bytes_out == 0 {
            return;
        }
        self.live.moved();
        let numbers = self.worker.numbers();
        numbers.tunnel_bytes_in.add(bytes_in);
        numbers.tunnel_bytes_out.add(bytes_out);
        let table = &self.worker.usage.table;
        table.moved(&self.row, bytes_in, bytes_out);
        if let Some(metered) = metered {
            let (bytes, now_ms) = (bytes_in + bytes_out, self.worker.now_ms.get());
            metered.meter.debit(Measure::Bytes, bytes, now_ms);
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.worker.numbers().tunnels_open.down();
        self.connection.request_ended(self.worker.now_ms.get());
    }
}

fn end_of(reason: Reason) -> TunnelEnd {
    match reason {
        Reason::Revoked => TunnelEnd::Revoked,
        Reason::Idle => TunnelEnd::Idle,
        Reason::Drain => TunnelEnd::Drain,
    }
}

/// Runs a tunnel on a stream of an HTTP/2 connection, once the answer has gone out (RFC 8441).
pub(crate) fn on_stream(tunnel: Tunnel, upgrade: hyper::upgrade::OnUpgrade) {
    tokio::task::spawn_local(async move {
        match upgrade.await {
            Ok(stream) => {
                let stream = hyper_util::rt::TokioIo::new(stream);
                tunnel.run(stream, Vec::new()).await;
            }
            Err(error) => tracing::debug!(%error, "a tunnel's stream ended before it began"),
        }
    });
}
