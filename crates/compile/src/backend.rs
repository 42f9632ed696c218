//! Backends: from a model to what can be dialled.

use std::sync::Arc;

use base::{Diagnostic, Diagnostics};
use snapshot::{Backend, BackendKey, Endpoint, Protocol, Scheme};
use sync::BackendModel;

/// Builds a backend.
///
/// # Errors
/// All endpoints that are no `http://` or `https://` URL; a backend without endpoints.
pub fn build_backend(model: &BackendModel) -> Result<Arc<Backend>, Diagnostics> {
    let mut found = Diagnostics::default();
    let mut endpoints = Vec::new();
    for (index, url) in model.endpoints.iter().enumerate() {
        match endpoint(url) {
            Some(endpoint) => endpoints.push(endpoint),
            None => found.push(
                Diagnostic::error(
                    "endpoint",
                    format!("/spec/endpoints/{index}/url"),
                    format!("`{url}` is no URL of a backend"),
                )
                .mend("write it as http://host:port/path or https://host:port/path"),
            ),
        }
    }
    if endpoints.is_empty() && !found.has_errors() {
        let message = "a backend needs at least one endpoint";
        found.push(Diagnostic::error("endpoint", "/spec/endpoints", message));
    }
    if found.has_errors() {
        return Err(found);
    }
    Ok(Arc::new(Backend {
        key: BackendKey {
            org: model.org.clone(),
            name: model.name.as_str().into(),
        },
        endpoints,
        protocol: match model.protocol {
            sync::Protocol::Auto => Protocol::Auto,
            sync::Protocol::Http1 => Protocol::Http1,
            sync::Protocol::Http2 => Protocol::Http2,
        },
        timeout_ms: model.timeout_ms,
        ca_pem: model.ca_pem.clone(),
        sni: model.sni.clone(),
        digest: model.digest,
    }))
}

/// Reads a backend's URL; user information, query and fragment have no place in one.
fn endpoint(url: &str) -> Option<Endpoint> {
    let uri: http::Uri = url.parse().ok()?;
    let scheme = match uri.scheme_str()? {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return None,
    };
    let authority = uri.authority()?;
    let extra = uri.query().is_some() || url.contains('#') || authority.as_str().contains('@');
    if extra || authority.host().is_empty() {
        return None;
    }
    let own_port = match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    };
    let port = authority.port_u16().unwrap_or(own_port);
    let host = authority.host().trim_matches(['[', ']']);
    let shown = if port == own_port {
        authority.host().to_owned()
    } else {
        format!("{}:{port}", authority.host())
    };
    Some(Endpoint {
        scheme,
        host: host.to_owned(),
        port,
        authority: shown.parse().ok()?,
        path: uri.path().trim_end_matches('/').to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_become_endpoints() {
        let shown = |url: &str| {
            endpoint(url).map(|found| {
                let Endpoint {
                    scheme,
                    host,
                    port,
                    authority,
                    path,
                } = found;
                format!("{scheme:?} {host} {port} {authority} {path}")
            })
        };
        for (url, expected) in [
            ("http://a", Some("Http a 80 a ")),
            ("http://a:80/", Some("Http a 80 a ")),
            ("https://a/v1/", Some("Https a 443 a /v1")),
            ("https://a:8443/v1", Some("Https a 8443 a:8443 /v1")),
            ("http://[::1]:9000/x", Some("Http ::1 9000 [::1]:9000 /x")),
            ("http://[::1]", Some("Http ::1 80 [::1] ")),
            ("ftp://a", None),
            ("/v1", None),
            ("http://u@a", None),
            ("http://a?b", None),
            ("http://a#b", None),
        ] {
            assert_eq!(shown(url).as_deref(), expected, "{url}");
        }
    }
}
