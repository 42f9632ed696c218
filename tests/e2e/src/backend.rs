//! A backend that remembers what reached it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// One request as the backend got it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its method.
    pub method: Method,
    /// Its target: path and query.
    pub target: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

type Body = BoxBody<Bytes, Infallible>;

/// A running backend; it ends with the value.
///
/// It echoes method, target and body as JSON. `/sse` answers events as [`Backend::push`] sends them, `/slow` after
/// half a second, `/slow?never` not at all, `/status/NNN` with that status.
pub struct Backend {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    events: Arc<Mutex<Vec<mpsc::Sender<Bytes>>>>,
    task: JoinHandle<()>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Backend {
    /// Starts one on a free port; speaks HTTP/1.1, and HTTP/2 with prior knowledge.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let events = Arc::<Mutex<Vec<mpsc::Sender<Bytes>>>>::default();
        let (seen_by_task, events_by_task) = (Arc::clone(&seen), Arc::clone(&events));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, events) = (Arc::clone(&seen_by_task), Arc::clone(&events_by_task));
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(move |request| {
                        let (seen, events) = (Arc::clone(&seen), Arc::clone(&events));
                        async move { answer(request, &seen, &events).await }
                    });
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    // A client that goes away is no fault of the backend's.
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self {
            address,
            seen,
            events,
            task,
        })
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What has reached it so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Forgets what has reached it.
    pub fn forget(&self) {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Sends one chunk on every open `/sse` answer; `false` when there is none.
    pub async fn push(&self, chunk: &'static str) -> bool {
        let senders = self.senders().clone();
        let mut heard = false;
        for sender in senders {
            heard |= sender
                .send(Bytes::from_static(chunk.as_bytes()))
                .await
                .is_ok();
        }
        heard
    }

    /// Ends the open `/sse` answers.
    pub fn end_events(&self) {
        self.senders().clear();
    }

    fn senders(&self) -> MutexGuard<'_, Vec<mpsc::Sender<Bytes>>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: &Mutex<Vec<Seen>>,
    events: &Mutex<Vec<mpsc::Sender<Bytes>>>,
) -> Result<Response<Body>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let target = head
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str())
        .to_owned();
    let echo = serde_json::json!({
        "method": head.method.as_str(),
        "target": target,
        "body": String::from_utf8_lossy(&body),
    });
    let request = Seen {
        method: head.method,
        target: target.clone(),
        headers: head.headers,
        body,
    };
    seen.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(request);
    let path = target.split('?').next().unwrap_or_default();
    if path.ends_with("/sse") {
        let (sender, mut receiver) = mpsc::channel(8);
        events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sender);
        let chunks = stream::poll_fn(move |cx| receiver.poll_recv(cx));
        let frames =
            futures_util::StreamExt::map(chunks, |chunk| Ok::<_, Infallible>(Frame::data(chunk)));
        let mut response = Response::new(StreamBody::new(frames).boxed());
        response.headers_mut().insert(
            "content-type",
            http::HeaderValue::from_static("text/event-stream"),
        );
        return Ok(response);
    }
    if path.ends_with("/slow") {
        if target.ends_with("?never") {
            return std::future::pending().await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let mut response = Response::new(Full::new(Bytes::from(echo.to_string())).boxed());
    response.headers_mut().insert(
        "content-type",
        http::HeaderValue::from_static("application/json"),
    );
    if let Some(status) = path
        .rsplit("status/")
        .next()
        .and_then(|text| text.parse::<StatusCode>().ok())
    {
        *response.status_mut() = status;
    }
    Ok(response)
}
