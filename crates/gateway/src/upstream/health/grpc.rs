//! A check by the gRPC health protocol (grpc.health.v1): one call of `Health/Check`.
//!
//! Source: https://github.com/grpc/grpc/blob/master/doc/health-checking.md, and of the frames PROTOCOL-HTTP2.md there.

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue, TE};
use http::uri::Authority;
use http::{Method, Request, StatusCode, Version};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use prost::Message;
use snapshot::Scheme;
use tokio::task::spawn_local;

use crate::io::Stream;
use crate::worker::LocalExecutor;

/// What an answer may be long: a frame's head and one number.
const ANSWER_BYTES_MAX: usize = 1024;

/// `grpc.health.v1.HealthCheckRequest`
#[derive(Clone, PartialEq, Message)]
pub(super) struct HealthCheckRequest {
    /// Empty = the server as a whole.
    #[prost(string, tag = "1")]
    pub(super) service: String,
}

/// `grpc.health.v1.HealthCheckResponse`
#[derive(Clone, PartialEq, Message)]
pub(super) struct HealthCheckResponse {
    #[prost(enumeration = "ServingStatus", tag = "1")]
    pub(super) status: i32,
}

/// `grpc.health.v1.HealthCheckResponse.ServingStatus`
#[derive(Clone, Copy, PartialEq, Eq, Debug, prost::Enumeration)]
#[repr(i32)]
pub(super) enum ServingStatus {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

/// Whether a service serves; why not.
pub(super) async fn ask(
    stream: Stream,
    scheme: Scheme,
    authority: &Authority,
    service: &str,
) -> Result<(), String> {
    let failed = |error: hyper::Error| format!("no answer: {error}");
    let made = http2::handshake(LocalExecutor, TokioIo::new(stream)).await;
    let (mut sender, connection) = made.map_err(failed)?;
    let _driving = super::http::Driving(spawn_local(async move { drop(connection.await) }));
    let answer = sender.send_request(request(scheme, authority, service)?);
    let (head, body) = answer.await.map_err(failed)?.into_parts();
    if head.status != StatusCode::OK {
        return Err(format!(
            "answered {}, which is no gRPC",
            head.status.as_u16()
        ));
    }
    // An error without a message has its status in the head.
    grpc_status(&head.headers)?;
    let collected = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    let collected = collected.map_err(|error| format!("the answer broke off: {error}"))?;
    if let Some(trailers) = collected.trailers() {
        grpc_status(trailers)?;
    }
    serving(&collected.to_bytes())
}

/// The status of a call, where it is not `OK`.
fn grpc_status(headers: &http::HeaderMap) -> Result<(), String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        None | Some("0") => Ok(()),
        Some(status) => {
            let message = text("grpc-message").unwrap_or_default();
            let message: String = message.chars().take(100).collect();
            Err(format!("gRPC status {status} {message}")
                .trim_end()
                .to_owned())
        }
    }
}

/// What a message says, behind its frame's head: a flag of compression and four bytes of length.
fn serving(bytes: &[u8]) -> Result<(), String> {
    let message = match bytes.split_first_chunk::<5>() {
        Some(([0, length @ ..], message))
            if u32::from_be_bytes(*length) as usize == message.len() =>
        {
            message
        }
        _ => return Err("the answer is no gRPC message".to_owned()),
    };
    let message = HealthCheckResponse::decode(message);
    let message = message.map_err(|error| format!("the answer is no health message: {error}"))?;
    match ServingStatus::try_from(message.status) {
        Ok(ServingStatus::Serving) => Ok(()),
        Ok(status) => Err(format!("says {status:?}")),
        Err(_) => Err(format!("says {}", message.status)),
    }
}

fn request(
    scheme: Scheme,
    authority: &Authority,
    service: &str,
) -> Result<Request<Full<Bytes>>, String> {
    let message = HealthCheckRequest {
        service: service.to_owned(),
    };
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(5 + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    message
        .encode(&mut frame)
        .map_err(|error| format!("the question cannot be written: {error}"))?;
    let path = "/grpc.health.v1.Health/Check";
    let built = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(format!("{}://{authority}{path}", scheme.as_str()))
        .header(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))
        .header(TE, HeaderValue::from_static("trailers"))
        .body(Full::new(frame.freeze()));
    built.map_err(|error| format!("the question cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_whether_a_service_serves() {
        let cases: [(&[u8], Result<(), &str>); 6] = [
            (&[0, 0, 0, 0, 2, 0x08, 0x01], Ok(())),
            (&[0, 0, 0, 0, 2, 0x08, 0x02], Err("says NotServing")),
            // The default of an enumeration is not written.
            (&[0, 0, 0, 0, 0], Err("says Unknown")),
            (&[0, 0, 0, 0, 2, 0x08, 0x09], Err("says 9")),
            (
                &[1, 0, 0, 0, 2, 0x08, 0x01],
                Err("the answer is no gRPC message"),
            ),
            (
                &[0, 0, 0, 0, 3, 0x08, 0x01],
                Err("the answer is no gRPC message"),
            ),
        ];
        for (bytes, expected) in cases {
            assert_eq!(serving(bytes), expected.map_err(str::to_owned), "{bytes:?}");
        }
    }

    #[test]
    fn the_question_is_framed() {
        let authority = Authority::from_static("a:1");
        let request = request(Scheme::Http, &authority, "x.Y").unwrap();
        assert_eq!(request.uri(), "http://a:1/grpc.health.v1.Health/Check");
        let bytes = futures_util::FutureExt::now_or_never(request.into_body().collect());
        let bytes = bytes.unwrap().unwrap().to_bytes();
        assert_eq!(&bytes[..], b"\0\0\0\0\x05\x0a\x03x.Y");
    }
}
