//! What a service is asked, and what its answer means: Envoy's gRPC protocol, and its HTTP protocol.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue,
    LOCATION, PROXY_AUTHORIZATION, TE, WWW_AUTHENTICATE,
};
use http::{Method, StatusCode};
use policy::{Peeked, RequestCx, ServiceAnswer};
use prost::Message as _;

use super::change::{Action, Allowed, Changes, Field, fields_of_response};
use super::messages::{
    Address, AttributeContext, CheckRequest, CheckResponse, HttpRequest, Peer, Request,
    SocketAddress, Timestamp,
};
use super::{Grpc, Http, Misunderstood};

pub(super) const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const FORWARDED_HOST: &str = "x-forwarded-host";

/// A question on its way.
pub(super) struct Question {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What a service says.
pub(super) enum Said {
    Pass(Changes),
    Deny(Denied),
}

/// What the client gets in place of the backend's answer.
pub(super) struct Denied {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Which fields of a call the service gets to see.
fn told(cx: &RequestCx, names: Option<&[HeaderName]>) -> HeaderMap {
    let secret = [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE];
    let mut told = HeaderMap::new();
    for (name, value) in &cx.headers {
        let is_told = match names {
            None => !secret.contains(name),
            Some(names) => names.contains(name),
        };
        if is_told {
            told.append(name, value.clone());
        }
    }
    told
}

fn text(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).map(HeaderValue::as_bytes);
    String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
}

impl Grpc {
    pub(super) fn question(
        &self,
        cx: &RequestCx,
        body: Option<&Peeked>,
        headers: Option<&[HeaderName]>,
    ) -> Question {
        let message = CheckRequest {
            attributes: Some(AttributeContext {
                source: Some(source(cx)),
                request: Some(Request {
                    time: Some(time(cx.unix_ms)),
                    http: Some(self.http(cx, body, headers)),
                }),
                context_extensions: self.context.clone(),
            }),
        };
        let mut frame = BytesMut::with_capacity(5 + message.encoded_len());
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.encoded_len()).unwrap_or(u32::MAX));
        frame.put_slice(&message.encode_to_vec());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        if let Some(trace) = cx.headers.get(TRACEPARENT) {
            headers.insert(TRACEPARENT, trace.clone());
        }
        Question {
            method: Method::POST,
            path: CHECK.to_owned(),
            query: None,
            headers,
            body: frame.freeze(),
        }
    }

    fn http(
        &self,
        cx: &RequestCx,
        body: Option<&Peeked>,
        names: Option<&[HeaderName]>,
    ) -> HttpRequest {
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in &told(cx, names) {
            let value = String::from_utf8_lossy(value.as_bytes());
            headers
                .entry(name.as_str().to_owned())
                .and_modify(|known| {
                    known.push(',');
                    known.push_str(&value);
                })
                .or_insert_with(|| value.into_owned());
        }
        let path = match &cx.query {
            None => cx.path.clone(),
            Some(query) => format!("{}?{query}", cx.path),
        };
        let host = text(&cx.headers, FORWARDED_HOST);
        let scheme = if cx.client.tls { "https" } else { "http" };
        for (name, value) in [
            (":method", cx.method.as_str()),
            (":path", &path),
            (":authority", &host),
            (":scheme", scheme),
        ] {
            headers.insert(name.to_owned(), value.to_owned());
        }
        let length = cx.headers.get(CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        let bytes = body.map(|body| body.bytes.clone()).unwrap_or_default();
        let (body, raw_body) = match self.raw {
            true => (String::new(), bytes.to_vec()),
            false => (String::from_utf8_lossy(&bytes).into_owned(), Vec::new()),
        };
        HttpRequest {
            id: hex(&cx.trace.trace_id),
            method: cx.method.as_str().to_owned(),
            headers,
            path,
            host,
            scheme: scheme.to_owned(),
            size: length.unwrap_or(-1),
            body,
            raw_body,
        }
    }

    pub(super) fn understood(
        &self,
        answer: &ServiceAnswer,
        allowed: &Allowed,
    ) -> Result<Said, Misunderstood> {
        if answer.status != StatusCode::OK {
            return Err(Misunderstood("it is no gRPC service"));
        }
        // An error without a message has its status in the head.
        for fields in [&answer.headers, &answer.trailers] {
            match fields.get("grpc-status").map(HeaderValue::as_bytes) {
                None | Some(b"0") => {}
                Some(_) => return Err(Misunderstood("it answers a gRPC error")),
            }
        }
        let message = match answer.body.split_first_chunk::<5>() {
            Some(([0, length @ ..], message))
                if u32::from_be_bytes(*length) as usize == message.len() =>
            {
                message
            }
            _ => return Err(Misunderstood("its answer is no gRPC message")),
        };
        let answer = CheckResponse::decode(message)
            .map_err(|_| Misunderstood("its answer is no CheckResponse"))?;
        let code = answer.status.map(|status| status.code);
        match (code, answer.denied_response) {
            (Some(0), None) => {
                let changes = Changes::of(answer.ok_response.unwrap_or_default(), allowed)?;
                Ok(Said::Pass(changes))
            }
            (Some(0), Some(_)) | (None, _) => {
                Err(Misunderstood("its answer says neither yes nor no"))
            }
            (Some(_), denied) => {
                let denied = denied.unwrap_or_default();
                let status = denied.status.map_or(0, |status| status.code);
                let mut headers = HeaderMap::new();
                for field in fields_of_response(&denied.headers)? {
                    // Here what says nothing else takes the place of what is there, too.
                    field.apply(&mut headers);
                }
                Ok(Said::Deny(Denied {
                    status: denial(status),
                    headers,
                    body: denied.body.into(),
                }))
            }
        }
    }
}

/// The status of a denial; 403 for none, and for one that is no status of an answer.
fn denial(code: i32) -> StatusCode {
    let code = u16::try_from(code)
        .ok()
        .filter(|code| (200..600).contains(code));
    code.and_then(|code| StatusCode::from_u16(code).ok())
        .unwrap_or(StatusCode::FORBIDDEN)
}

fn source(cx: &RequestCx) -> Peer {
    let principal = cx.principal.as_ref();
    let named = principal.and_then(|of| {
        let subject = of.identity.subject.clone();
        subject.or_else(|| of.application.map(|id| id.to_string()))
    });
    Peer {
        address: Some(Address {
            socket_address: Some(SocketAddress {
                address: cx.client.ip.to_canonical().to_string(),
                // The port is not known here; the protocol wants one.
                port_value: Some(0),
            }),
        }),
        principal: named.unwrap_or_default(),
    }
}

fn time(unix_ms: u64) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX),
        nanos: i32::try_from(unix_ms % 1000 * 1_000_000).unwrap_or(0),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String never fails");
        text
    })
}

impl Http {
    pub(super) fn question(
        &self,
        cx: &RequestCx,
        body: Option<&Peeked>,
        headers: Option<&[HeaderName]>,
    ) -> Question {
        let mut told = told(cx, Some(headers.unwrap_or_default()));
        let ours = [
            "x-forwarded-for",
            "x-forwarded-proto",
            FORWARDED_HOST,
            "traceparent",
        ];
        for name in ours {
            if let Some(value) = cx.headers.get(name) {
                told.insert(HeaderName::from_static(name), value.clone());
            }
        }
        told.remove(CONTENT_LENGTH);
        if let (Some(_), Some(kind)) = (body, cx.headers.get(CONTENT_TYPE)) {
            told.insert(CONTENT_TYPE, kind.clone());
        }
        Question {
            method: cx.method.clone(),
            path: format!("{}{}", self.path_prefix, cx.path),
            query: cx.query.clone(),
            headers: told,
            body: body.map(|body| body.bytes.clone()).unwrap_or_default(),
        }
    }

    pub(super) fn understood(
        &self,
        answer: &ServiceAnswer,
        allowed: &Allowed,
    ) -> Result<Said, Misunderstood> {
        if answer.status.is_server_error() {
            return Err(Misunderstood("it answers an error of its own (5xx)"));
        }
        if answer.status == StatusCode::OK {
            let mut changes = Changes::default();
            let Allowed::Named(names) = allowed else {
                return Ok(Said::Pass(changes));
            };
            for name in names {
                for (index, value) in answer.headers.get_all(name).iter().enumerate() {
                    let action = if index == 0 {
                        Action::Set
                    } else {
                        Action::Append
                    };
                    changes.fields.push(Field {
                        name: name.clone(),
                        value: value.clone(),
                        action,
                    });
                }
            }
            return Ok(Said::Pass(changes));
        }
        if answer.status.is_success() {
            return Err(Misunderstood("it answers neither 200 nor a refusal"));
        }
        let mut headers = HeaderMap::new();
        let usual = [CONTENT_TYPE, WWW_AUTHENTICATE, LOCATION];
        for name in usual.iter().chain(&self.client_headers) {
            if headers.contains_key(name) {
                continue;
            }
            for value in answer.headers.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        Ok(Said::Deny(Denied {
            status: answer.status,
            headers,
            body: answer.body.clone(),
        }))
    }
}
