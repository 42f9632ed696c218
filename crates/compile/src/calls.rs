//! How a backend is called: from its document to its model.

use spec::{BackendSpec, BackendTls, Ca, CircuitBreaker, Condition, Retry, RetryOn, TlsVersion};
use sync::calls::{
    BreakerRules, CaSource, CallRules, Http2Rules, KeepAliveRules, QueueRules, RetryRules, TlsRules,
};

/// The rules of a backend's document.
pub(crate) fn call_rules(backend: &BackendSpec) -> CallRules {
    let keep_alive = backend.keep_alive.as_ref();
    let http2 = backend.http2.as_ref();
    CallRules {
        retry: backend
            .retry
            .as_ref()
            .map(|retry| Box::new(self::retry(retry))),
        breaker: backend
            .circuit_breaker
            .as_ref()
            .map(|breaker| Box::new(self::breaker(breaker))),
        tls: backend.tls.as_deref().map(tls).unwrap_or_default(),
        body_idle_ms: backend.idle_timeout.map(spec::Duration::as_ms),
        keep_alive: keep_alive.map_or_else(KeepAliveRules::default, |rules| KeepAliveRules {
            idle_ms: rules.idle.map(spec::Duration::as_ms),
            idle_max: rules.max_idle,
            age_max_ms: rules.max_age.map(spec::Duration::as_ms),
            requests_max: rules.max_requests,
        }),
        http2: http2.map_or_else(Http2Rules::default, |rules| Http2Rules {
            streams_max: rules.max_streams,
            connections_max: rules.max_connections,
            ping_every_ms: rules.ping_every.map(spec::Duration::as_ms),
            ping_timeout_ms: rules.ping_timeout.map(spec::Duration::as_ms),
        }),
    }
}

fn retry(retry: &Retry) -> RetryRules {
    let on = |condition| retry.on.contains(&RetryOn::Condition(condition));
    let status = |on: &RetryOn| match on {
        RetryOn::Status(status) => Some(*status),
        RetryOn::Condition(_) => None,
    };
    RetryRules {
        attempts: retry.attempts,
        on_connect_failure: on(Condition::ConnectFailure),
        on_reset: on(Condition::Reset),
        on_refused_stream: on(Condition::RefusedStream),
        on_timeout: on(Condition::Timeout),
        on_statuses: retry.on.iter().filter_map(status).collect(),
        methods: retry.methods.clone(),
        per_try_ms: retry.per_try.map(spec::Duration::as_ms),
        budget_percent: retry.budget.get(),
        budget_floor: retry.budget_floor,
        backoff_base_ms: retry.backoff.base.as_ms(),
        backoff_max_ms: retry.backoff.max.as_ms(),
        retry_after_max_ms: retry.retry_after_max.as_ms(),
        body_bytes_max: retry.body_max.as_bytes(),
    }
}

fn breaker(breaker: &CircuitBreaker) -> BreakerRules {
    BreakerRules {
        connections_max: breaker.max_connections,
        pending_max: breaker.max_pending,
        requests_max: breaker.max_requests,
        queue: breaker.queue.as_ref().map(|queue| QueueRules {
            calls_max: queue.calls,
            wait_ms: queue.wait.as_ms(),
        }),
        error_percent: breaker.error_rate.map(spec::Percent::get),
        window_ms: breaker.window.as_ms(),
        requests_min: breaker.min_requests,
        statuses: breaker.statuses.clone(),
        open_ms: breaker.open_for.as_ms(),
        probes: breaker.probes,
    }
}

fn tls(tls: &BackendTls) -> TlsRules {
    TlsRules {
        ca: tls.ca.as_ref().and_then(ca),
        sni: tls.sni.clone(),
        client_certificate: tls
            .client_certificate
            .as_ref()
            .map(|certificate| certificate.secret_ref.clone()),
        only_tls13: tls.min_version == TlsVersion::Tls13,
    }
}

fn ca(ca: &Ca) -> Option<CaSource> {
    let inline = ca.inline.clone().map(CaSource::Inline);
    let secret = || ca.secret_ref.clone().map(CaSource::Secret);
    let file = || ca.file.clone().map(CaSource::File);
    inline.or_else(secret).or_else(file)
}
