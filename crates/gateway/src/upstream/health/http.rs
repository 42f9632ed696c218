//! A check by HTTP.

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::uri::Authority;
use http::{Method, Request, Uri, Version};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use snapshot::Scheme;
use tokio::task::spawn_local;

use crate::io::Stream;
use crate::worker::LocalExecutor;

/// Who asks; for the backend's log.
const NAME: &str = "tollway-health-check";

/// The status that a path is answered with.
pub(super) async fn ask(
    stream: Stream,
    h2: bool,
    scheme: Scheme,
    host: &Authority,
    target: &str,
) -> Result<u16, String> {
    let failed = |error: hyper::Error| format!("no answer: {error}");
    let io = TokioIo::new(stream);
    let request = request(h2, scheme, host, target)?;
    let answer = if h2 {
        let made = http2::handshake(LocalExecutor, io).await;
        let (mut sender, connection) = made.map_err(failed)?;
        let _driving = Driving(spawn_local(async move { drop(connection.await) }));
        sender.send_request(request).await.map_err(failed)?
    } else {
        let made = http1::handshake(io).await;
        let (mut sender, connection) = made.map_err(failed)?;
        let _driving = Driving(spawn_local(async move { drop(connection.await) }));
        sender.send_request(request).await.map_err(failed)?
    };
    Ok(answer.status().as_u16())
}

/// The task of a connection, which ends with the check.
pub(super) struct Driving(pub(super) tokio::task::JoinHandle<()>);

impl Drop for Driving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn request(
    h2: bool,
    scheme: Scheme,
    host: &Authority,
    target: &str,
) -> Result<Request<Empty<Bytes>>, String> {
    let target: Uri = match h2 {
        true => format!("{}://{host}{target}", scheme.as_str()).parse(),
        false => target.parse(),
    }
    .map_err(|error| format!("the path of the check is none: {error}"))?;
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = target;
    request
        .headers_mut()
        .insert(USER_AGENT, http::HeaderValue::from_static(NAME));
    if h2 {
        *request.version_mut() = Version::HTTP_2;
    } else {
        let host = http::HeaderValue::from_str(host.as_str());
        let host = host.map_err(|error| format!("the host of the check is none: {error}"))?;
        request.headers_mut().insert(HOST, host);
    }
    Ok(request)
}
