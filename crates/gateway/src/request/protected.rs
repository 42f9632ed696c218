//! Where the tokens of an API come from: protected resource metadata (RFC 9728).
//!
//! Told where the gateway's document says at which URL clients reach it; never made of the `Host` field, which anybody
//! writes. A host of the API's own is one that was configured, too: it takes the place of the gateway's.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW,
    CACHE_CONTROL, CONTENT_TYPE, Entry, HeaderValue, WWW_AUTHENTICATE,
};
use http::{Method, Response, StatusCode};
use policy::{Reject, RequestCx};
use serde_json::json;
use snapshot::{Api, Protected, Snapshot};

use super::Scene;
use super::answered::Answer;
use super::opened::host_key;
use crate::decisions::Matched;

/// Stands before the path of the API (RFC 9728 §3.1).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
/// Whether tokens that are bound to a certificate (RFC 8705 §3) are good: where clients can show one.
const CERTIFICATES: &str = "tls_client_certificate_bound_access_tokens";
/// Clients may keep an answer so long; a change of the API is known everywhere after it.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// What is told at this path; `None` where it is no such question, or nothing is told.
pub(super) fn metadata<'s>(
    scene: Scene<'s>,
    host: &str,
    cx: &RequestCx,
) -> Option<(Matched<'s>, Box<Answer>)> {
    let (worker, snapshot) = (scene.worker, scene.snapshot);
    let mount = cx.path.strip_prefix(WELL_KNOWN)?;
    let public = snapshot.public_url.as_deref()?;
    let api = snapshot.mounted(host, mount)?;
    let protected = api.protected.as_deref()?;
    let matched = Matched::api(api, "the metadata of the API's tokens");
    let mut response = Response::new(Bytes::new());
    if cx.method == Method::OPTIONS {
        *response.status_mut() = StatusCode::NO_CONTENT;
    } else if matches!(cx.method, Method::GET | Method::HEAD) {
        let resource = url(public, "", api, host, mount);
        let mut told = told(&resource, api, protected, cx);
        told[CERTIFICATES] = scene.connection.takes_certificates().into();
        *response.body_mut() = serde_json::to_vec(&told).expect("texts alone").into();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, CACHE);
    } else {
        let detail = "the metadata of an API's tokens are read by GET";
        let reject = Reject::new(base::code::METHOD_NOT_ALLOWED, detail).header(ALLOW, METHODS);
        return Some((matched, Answer::refuse(worker, cx, reject)));
    }
    // It says nothing that is not public: scripts of any origin may read it.
    let headers = response.headers_mut();
    let any = HeaderValue::from_static("*");
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, any.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, any);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    Some((matched, Answer::own(response)))
}

/// RFC 9728 §2. No API demands tokens that are bound to a DPoP key, so `dpop_bound_access_tokens_required` is left out,
/// which says so.
fn told(resource: &str, api: &Api, protected: &Protected, cx: &RequestCx) -> serde_json::Value {
    let directory = &*cx.core.runtime.directory;
    let issuers = protected.issuers.iter();
    let issuers: Vec<String> = issuers
        .filter_map(|name| directory.issuer(&api.org, name))
        .map(|issuer| issuer.issuer.clone())
        .collect();
    let methods: &[&str] = if protected.in_authorization {
        &["header"]
    } else {
        &[]
    };
    json!({
        "resource": resource,
        "resource_name": format!("{} {}", api.api, api.version),
        "authorization_servers": issuers,
        "scopes_supported": protected.scopes,
        "bearer_methods_supported": methods,
        "dpop_signing_alg_values_supported": jose::ALGORITHMS,
    })
}

/// Says in the challenges of a refusal where the tokens come from (RFC 9728 §5.1).
pub(super) fn point(
    snapshot: &Snapshot,
    matched: &Matched<'_>,
    host: &HeaderValue,
    cx: &RequestCx,
    answer: &mut Answer,
) {
    if answer.head.status != StatusCode::UNAUTHORIZED || answer.refused.is_none() {
        return;
    }
    let (Some(api), Some(public)) = (matched.api, snapshot.public_url.as_deref()) else {
        return;
    };
    let mount = cx.path.get(..cx.rest_at).unwrap_or_default();
    if mount.is_empty() || api.protected.is_none() {
        return;
    }
    let url = url(public, WELL_KNOWN, api, &host_key(host), mount);
    if url.contains(['"', '\\']) {
        return;
    }
    let Entry::Occupied(mut challenges) = answer.head.headers.entry(WWW_AUTHENTICATE) else {
        return;
    };
    for challenge in challenges.iter_mut() {
        let text = challenge.to_str().unwrap_or_default();
        let joint = match text.split_once(' ') {
            Some(("Bearer" | "DPoP", _)) => ",",
            None if matches!(text, "Bearer" | "DPoP") => "",
            _ => continue,
        };
        let pointing = format!("{text}{joint} resource_metadata=\"{url}\"");
        if let Ok(pointing) = HeaderValue::try_from(pointing) {
            *challenge = pointing;
        }
    }
}

/// The URL of an API's mount as clients know it, with `between` before the path: at the gateway's public origin, or, where
/// the API names its hosts, at the host that was asked for: it is one of them, or the API would not have been found.
fn url(public: &str, between: &str, api: &Api, host: &str, mount: &str) -> String {
    if api.vhosts.is_empty() {
        return format!("{public}{between}{mount}");
    }
    let (scheme, authority) = public.split_once("://").unwrap_or(("https", public));
    let port = authority
        .rsplit_once(':')
        .filter(|(_, port)| !port.contains(']'));
    let port = port.map(|(_, port)| format!(":{port}")).unwrap_or_default();
    format!("{scheme}://{host}{port}{between}{mount}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base::{Digest, Org};
    use policy::{Access, Chain};
    use snapshot::{Gate, Router};

    use super::*;

    fn api(vhosts: &[&str]) -> Arc<Api> {
        Arc::new(Api {
            org: Org::default_org(),
            name: "pets-1".to_owned(),
            api: "pets".to_owned(),
            version: "1".to_owned(),
            vhosts: vhosts.iter().map(|host| (*host).to_owned()).collect(),
            mounts: vec!["/pets/1".to_owned()],
            gate: Gate::Serve,
            router: Router::default(),
            preflight: Chain::new(Vec::new(), Access::Open),
            protected: None,
            backend_keys: Box::default(),
            digest: Digest::of(b"pets"),
        })
    }

    #[test]
    fn the_host_is_a_configured_one() {
        let of = |public: &str, vhosts: &[&str], host: &str| {
            url(public, "/w", &api(vhosts), host, "/pets/1")
        };
        assert_eq!(
            of("https://a.example", &[], "evil.example"),
            "https://a.example/w/pets/1"
        );
        let hosts = ["b.example", "c.example"];
        assert_eq!(
            of("https://a.example:8443", &hosts, "c.example"),
            "https://c.example:8443/w/pets/1"
        );
        assert_eq!(
            of("http://[::1]", &hosts, "b.example"),
            "http://b.example/w/pets/1"
        );
        assert_eq!(
            of("http://[::1]:80", &hosts, "b.example"),
            "http://b.example:80/w/pets/1"
        );
    }
}
