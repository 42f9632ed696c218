//! Backends: from a document to a model. What is left out gets its default here.

use base::{Digest, Org};
use spec::{BackendSpec, Balance, BalanceRule, EndpointScheme, EndpointSpec, HealthSpec};
use sync::backend::{
    BackendModel, BalanceModel, CheckAskModel, CheckModel, EjectOn, EndpointModel, HashByModel,
    HealthModel, PlaceModel, Protocol,
};

use crate::reduce::digest;

pub(crate) fn backend_model(org: &Org, name: &str, backend: &BackendSpec) -> BackendModel {
    let health = backend.health.clone().unwrap_or_default();
    let mut model = BackendModel {
        org: org.clone(),
        name: name.to_owned(),
        endpoints: backend.endpoints.iter().map(endpoint).collect(),
        balance: balance(backend.balance.as_ref()),
        health: self::health(&health),
        failover: backend.failover.clone(),
        slow_start_ms: backend.slow_start.map_or(0, spec::Duration::as_ms),
        protocol: match backend.protocol {
            spec::Protocol::Auto => Protocol::Auto,
            spec::Protocol::Http1 => Protocol::Http1,
            spec::Protocol::Http2 => Protocol::Http2,
        },
        timeout_ms: backend.timeout.as_ms(),
        calls: crate::calls::call_rules(backend),
        digest: Digest::from_bytes([0; 32]),
    };
    model.digest = digest(&model);
    model
}

fn endpoint(endpoint: &EndpointSpec) -> EndpointModel {
    let tls = endpoint.scheme.unwrap_or_default() == EndpointScheme::Https;
    let path = endpoint.path.clone().unwrap_or_default();
    let place = match (&endpoint.url, &endpoint.dns, &endpoint.srv) {
        (Some(url), ..) => PlaceModel::Url(url.clone()),
        (None, Some(name), _) => PlaceModel::Dns {
            name: name.clone(),
            port: endpoint.port,
            tls,
            path,
        },
        (None, None, srv) => PlaceModel::Srv {
            name: srv.clone().unwrap_or_default(),
            tls,
            path,
        },
    };
    EndpointModel {
        place,
        weight: endpoint.weight,
        priority: endpoint.priority,
    }
}

fn balance(balance: Option<&Balance>) -> BalanceModel {
    let hash = match balance {
        None | Some(Balance::Rule(BalanceRule::RoundRobin)) => return BalanceModel::RoundRobin,
        Some(Balance::Rule(BalanceRule::LeastRequest)) => return BalanceModel::LeastRequest,
        Some(Balance::Hash(balance)) => &balance.hash,
    };
    let by = if let Some(header) = &hash.header {
        HashByModel::Header(header.clone())
    } else if let Some(cookie) = &hash.cookie {
        HashByModel::Cookie(cookie.clone())
    } else if let Some(cel) = &hash.cel {
        HashByModel::Cel(cel.clone())
    } else {
        HashByModel::Ip
    };
    BalanceModel::Hash {
        by,
        bound_percent: hash.bound.get().into(),
    }
}

fn health(health: &HealthSpec) -> HealthModel {
    HealthModel {
        check: check(health),
        healthy_after: health.healthy_after,
        unhealthy_after: health.unhealthy_after,
        eject_after: health.eject_after,
        eject_on: match health.eject_on {
            spec::EjectOn::NoAnswer => EjectOn::NoAnswer,
            spec::EjectOn::GatewayErrors => EjectOn::GatewayErrors,
            spec::EjectOn::ServerErrors => EjectOn::ServerErrors,
        },
        eject_for_ms: health.eject_for.as_ms(),
        max_ejected_percent: health.max_ejected.get().into(),
        min_healthy_percent: health.min_healthy.get().into(),
        panic_below_percent: health.panic_below.get().into(),
    }
}

fn check(health: &HealthSpec) -> Option<CheckModel> {
    let (ask, every, timeout) = if let Some(http) = &health.http {
        let ranges = http.expect.iter();
        let ask = CheckAskModel::Http {
            target: http.path.clone(),
            host: http.host.clone(),
            expect: ranges
                .filter_map(|text| spec::names::status_range(text))
                .collect(),
        };
        (ask, http.every, http.timeout)
    } else if let Some(tcp) = &health.tcp {
        (CheckAskModel::Tcp, tcp.every, tcp.timeout)
    } else {
        let grpc = health.grpc.as_ref()?;
        let ask = CheckAskModel::Grpc {
            service: grpc.service.clone(),
        };
        (ask, grpc.every, grpc.timeout)
    };
    Some(CheckModel {
        ask,
        every_ms: every.as_ms(),
        timeout_ms: timeout.as_ms(),
    })
}
