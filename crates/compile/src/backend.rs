//! Backends: from a model to what can be dialled.

use std::sync::Arc;

use base::{Diagnostic, Diagnostics};
use expr::Expr;
use snapshot::{
    Backend, BackendKey, Balance, Check, CheckAsk, EjectOn, Endpoint, HashBy, Health, Lookup,
    Protocol, Scheme,
};
use sync::backend::{
    BackendModel, BalanceModel, CheckAskModel, EndpointModel, HashByModel, HealthModel, PlaceModel,
};

/// Builds a backend.
///
/// # Errors
/// All endpoints that are no `http://` or `https://` URL or no name; what cannot be hashed; a backend without endpoints.
pub fn build_backend(model: &BackendModel) -> Result<Arc<Backend>, Diagnostics> {
    let mut found = Diagnostics::default();
    let mut endpoints = Vec::new();
    for (index, place) in model.endpoints.iter().enumerate() {
        match endpoint(place, index) {
            Ok(endpoint) => endpoints.push(endpoint),
            Err(fault) => found.push(*fault),
        }
    }
    if endpoints.is_empty() && !found.has_errors() {
        let message = "a backend needs at least one endpoint";
        found.push(Diagnostic::error("endpoint", "/spec/endpoints", message));
    }
    let balance = balance(&model.balance).unwrap_or_else(|fault| {
        found.push(*fault);
        Balance::default()
    });
    if found.has_errors() {
        return Err(found);
    }
    let key = |name: &str| BackendKey {
        org: model.org.clone(),
        name: name.into(),
    };
    Ok(Arc::new(Backend {
        key: key(&model.name),
        endpoints,
        balance,
        health: health(&model.health),
        failover: model.failover.iter().map(|name| key(name)).collect(),
        slow_start_ms: model.slow_start_ms,
        protocol: match model.protocol {
            sync::Protocol::Auto => Protocol::Auto,
            sync::Protocol::Http1 => Protocol::Http1,
            sync::Protocol::Http2 => Protocol::Http2,
        },
        timeout_ms: model.timeout_ms,
        calls: model.calls.clone(),
        digest: model.digest,
    }))
}

fn endpoint(model: &EndpointModel, index: usize) -> Result<Endpoint, Box<Diagnostic>> {
    let fault = |key: &str, message: String, mend: &str| {
        let pointer = format!("/spec/endpoints/{index}/{key}");
        Box::new(Diagnostic::error("endpoint", pointer, message).mend(mend))
    };
    let scheme = |tls: bool| if tls { Scheme::Https } else { Scheme::Http };
    let at_name = |key, name: &str, scheme: Scheme, port: Option<u16>, path: &str, lookup| {
        let port = port.unwrap_or(scheme.port());
        match Endpoint::new(scheme, name, port) {
            Some(endpoint) => Ok(Endpoint {
                path: path.trim_end_matches('/').to_owned(),
                lookup,
                ..endpoint
            }),
            None => Err(fault(
                key,
                format!("`{name}` is no name"),
                "write a DNS name, as in `orders.internal`",
            )),
        }
    };
    let endpoint = match &model.place {
        PlaceModel::Url(url) => from_url(url).ok_or_else(|| {
            fault(
                "url",
                format!("`{url}` is no URL of a backend"),
                "write it as http://host:port/path or https://host:port/path",
            )
        })?,
        PlaceModel::Dns {
            name,
            port,
            tls,
            path,
        } => at_name("dns", name, scheme(*tls), *port, path, Lookup::Addresses)?,
        PlaceModel::Srv { name, tls, path } => {
            at_name("srv", name, scheme(*tls), None, path, Lookup::Services)?
        }
    };
    Ok(Endpoint {
        weight: model.weight.max(1),
        priority: model.priority,
        ..endpoint
    })
}

fn balance(model: &BalanceModel) -> Result<Balance, Box<Diagnostic>> {
    let (by, bound_percent) = match model {
        BalanceModel::RoundRobin => return Ok(Balance::RoundRobin),
        BalanceModel::LeastRequest => return Ok(Balance::LeastRequest),
        BalanceModel::Hash { by, bound_percent } => (by, *bound_percent),
    };
    let by = match by {
        HashByModel::Header(name) => HashBy::Header(name.parse().map_err(|_| {
            let message = format!("`{name}` is no header name");
            Box::new(Diagnostic::error(
                "balance",
                "/spec/balance/hash/header",
                message,
            ))
        })?),
        HashByModel::Cookie(name) => HashBy::Cookie(name.clone()),
        HashByModel::Ip => HashBy::Ip,
        HashByModel::Cel(text) => HashBy::Expr(Arc::new(Expr::compile(text).map_err(|error| {
            let pointer = "/spec/balance/hash/cel";
            Box::new(Diagnostic::error("expression", pointer, error.to_string()))
        })?)),
    };
    Ok(Balance::Hash {
        by,
        bound_percent: bound_percent.max(101),
    })
}

fn health(model: &HealthModel) -> Health {
    Health {
        check: model.check.as_ref().map(|check| Check {
            ask: match check.ask.clone() {
                CheckAskModel::Http {
                    target,
                    host,
                    expect,
                } => CheckAsk::Http {
                    target,
                    host,
                    expect,
                },
                CheckAskModel::Tcp => CheckAsk::Tcp,
                CheckAskModel::Grpc { service } => CheckAsk::Grpc { service },
            },
            every_ms: check.every_ms,
            timeout_ms: check.timeout_ms,
        }),
        healthy_after: model.healthy_after,
        unhealthy_after: model.unhealthy_after,
        eject_after: model.eject_after,
        eject_on: match model.eject_on {
            sync::backend::EjectOn::NoAnswer => EjectOn::NoAnswer,
            sync::backend::EjectOn::GatewayErrors => EjectOn::GatewayErrors,
            sync::backend::EjectOn::ServerErrors => EjectOn::ServerErrors,
        },
        eject_for_ms: model.eject_for_ms,
        max_ejected_percent: model.max_ejected_percent,
        min_healthy_percent: model.min_healthy_percent,
        panic_below_percent: model.panic_below_percent,
    }
}

/// Reads a backend's URL; user information, query and fragment have no place in one.
fn from_url(url: &str) -> Option<Endpoint> {
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
    let port = authority.port_u16().unwrap_or(scheme.port());
    let host = authority.host().trim_matches(['[', ']']);
    Some(Endpoint {
        path: uri.path().trim_end_matches('/').to_owned(),
        ..Endpoint::new(scheme, host, port)?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_become_endpoints() {
        let shown = |url: &str| {
            from_url(url).map(|found| {
                let Endpoint {
                    scheme,
                    host,
                    port,
                    authority,
                    path,
                    ..
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
