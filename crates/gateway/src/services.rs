//! Services that policies ask about a call: backends, asked over the core's own pools.

use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use policy::services::{NoAnswer, ServiceAnswer, ServiceCall, Services};
use policy::{Access, Chain, LocalFuture, RequestCx, Slots};
use snapshot::BackendKey;

use crate::body::RequestBody;
use crate::timers;
use crate::trace::Arrival;
use crate::upstream::tries::Tries;
use crate::upstream::{self, Ask, Destination, Replay, Source, Streaming, Target};
use crate::worker::Worker;

/// The worker whose pools are used; it owns this.
pub(crate) struct OverBackends(pub(crate) Weak<Worker>);

impl Services for OverBackends {
    fn call(
        &self,
        about: &RequestCx,
        mut call: ServiceCall,
    ) -> LocalFuture<'static, Result<ServiceAnswer, NoAnswer>> {
        let Some(worker) = self.0.upgrade() else {
            return Box::pin(std::future::ready(Err(NoAnswer::Failed("the node ends"))));
        };
        let monotonic_ms = worker.read_clock();
        let headers = std::mem::take(&mut call.headers);
        let cx = RequestCx {
            method: call.method.clone(),
            path: std::mem::take(&mut call.path),
            rest_at: 0,
            query: call.query.take(),
            headers: HeaderMap::new(),
            client: about.client,
            trace: about.trace,
            unix_ms: about.unix_ms,
            monotonic_ms,
            timeout_ms: None,
            body_bytes_max: None,
            principal: None,
            subscription: None,
            slots: Slots::default(),
            core: Rc::clone(&about.core),
        };
        let deadline_ms = monotonic_ms + call.timeout_ms;
        Box::pin(async move {
            let asked = Box::pin(ask(&worker, cx, headers, &call, deadline_ms));
            let asked = timers::until(&worker.timers, &*worker.clock, deadline_ms, asked).await;
            asked.unwrap_or(Err(NoAnswer::Failed("no whole answer in time")))
        })
    }
}

async fn ask(
    worker: &Rc<Worker>,
    mut cx: RequestCx,
    headers: HeaderMap,
    call: &ServiceCall,
    deadline_ms: u64,
) -> Result<ServiceAnswer, NoAnswer> {
    let current = worker.snapshot();
    let snapshot = current.get().ok_or(NoAnswer::Missing)?;
    let key = BackendKey {
        org: call.org.clone(),
        name: call.backend.clone(),
    };
    let backend = snapshot.backend(&key).ok_or(NoAnswer::Missing)?;
    // The call is the gateway's own: there are no policies for it.
    let (_, permit) = Chain::new(Vec::new(), Access::Open).run(&mut cx).await;
    let permit = permit.map_err(|_| NoAnswer::Failed("the call is not permitted"))?;
    let ask = Ask {
        method: cx.method.clone(),
        headers,
        body: whole(&call.body),
        body_state: None,
        switches: false,
        deadline_ms,
    };
    let to = Destination {
        snapshot,
        backend,
        cx: &cx,
        target: Target {
            rest: &cx.path,
            query: cx.query.as_deref(),
        },
    };
    let mut tries = Tries::new(Instant::now(), &cx.trace, &Arrival::unrecorded());
    let answered = upstream::call(worker, permit, to, ask, &mut tries).await;
    let (head, source) =
        answered.map_err(|failure| NoAnswer::Failed(failure.reject().code.title))?;
    let (body, trailers) = match source {
        Source::Complete(body) if body.len() > call.answer_bytes_max => {
            return Err(NoAnswer::TooLong);
        }
        Source::Complete(body) => (body, HeaderMap::new()),
        Source::Streaming(streaming) => read(streaming, call.answer_bytes_max).await?,
        Source::Switched(_) => return Err(NoAnswer::Failed("it changed its protocol")),
    };
    Ok(ServiceAnswer {
        status: head.status,
        headers: head.headers,
        body,
        trailers,
    })
}

/// A body that is there already.
fn whole(bytes: &Bytes) -> RequestBody {
    if bytes.is_empty() {
        return RequestBody::Empty;
    }
    let taken = vec![bytes.clone()];
    let replay = Replay::after(taken, RequestBody::Empty, Some(bytes.len() as u64));
    RequestBody::Kept(Box::new(replay))
}

/// All of an answer's body, and what comes behind it.
async fn read(mut body: Streaming, bytes_max: usize) -> Result<(Bytes, HeaderMap), NoAnswer> {
    let mut bytes = BytesMut::new();
    let mut trailers = HeaderMap::new();
    while let Some(frame) = poll_fn(|cx| body.poll_frame(cx)).await {
        let frame = frame.map_err(|_| NoAnswer::Failed("the answer broke off"))?;
        match frame.into_data() {
            Ok(data) if bytes.len() + data.len() > bytes_max => return Err(NoAnswer::TooLong),
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    Ok((bytes.freeze(), trailers))
}
