//! The keys that backends check tokens of the gateway (`backendJwt`) with, as a JWK set (RFC 7517 §5).

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Response};
use policy::{Reject, RequestCx};
use serde_json::json;
use snapshot::Snapshot;

use super::answered::Answer;
use crate::decisions::Matched;
use crate::worker::Worker;

/// Stands before the path of the API (RFC 8615).
const WELL_KNOWN: &str = "/.well-known/tollway/backend-jwks";
/// Backends may keep the keys so long: the next one has to be published for longer before it signs.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD");

/// The keys of the API that is mounted behind this path; `None` where it is no such question, or there are none. Public keys
/// alone; an API that cannot be called now tells them as well, since its tokens may be on their way.
pub(super) fn keys<'s>(
    worker: &Worker,
    snapshot: &'s Snapshot,
    host: &str,
    cx: &RequestCx,
) -> Option<(Matched<'s>, Box<Answer>)> {
    let mount = cx.path.strip_prefix(WELL_KNOWN)?;
    let api = snapshot.mounted(host, mount)?;
    if api.backend_keys.is_empty() {
        return None;
    }
    let matched = Matched::api(api, "the keys of the API's tokens for backends");
    if !matches!(cx.method, Method::GET | Method::HEAD) {
        let detail = "the keys of an API are read by GET";
        let reject = Reject::new(base::code::METHOD_NOT_ALLOWED, detail).header(ALLOW, METHODS);
        return Some((matched, Answer::refuse(worker, cx, reject)));
    }
    let now_ms = cx.monotonic_ms;
    let files = api.backend_keys.iter();
    let keys: Vec<_> = files
        .filter_map(|file| policies::backend_jwt::public_key(&cx.core, now_ms, file))
        .map(|key| key.to_json())
        .collect();
    let told = json!({ "keys": keys });
    let body = serde_json::to_vec(&told).expect("texts alone");
    let mut response = Response::new(Bytes::from(body));
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/jwk-set+json");
    headers.insert(CONTENT_TYPE, json);
    headers.insert(CACHE_CONTROL, CACHE);
    Some((matched, Answer::own(response)))
}
