//! `advanceEndpointConfig`: how a backend is called.

use base::Diagnostic;
use spec::{
    Backoff, CircuitBreaker, Condition, Duration, Http2, KeepAlive, Percent, Retry, RetryOn,
};
use tree::{Object, pointer};

use super::reader::Reader;
use crate::model::Calls;

/// The methods that a document has a number for are tried again no more often.
const ATTEMPTS_MAX: u64 = 10;
/// Ballerina's defaults, in milliseconds and calls.
const WINDOW_MS: u64 = 60_000;
const VOLUME: u64 = 10;
/// The share of failures where the definition names none, in hundredths.
const FAILURES: u16 = 50;

/// Reads `advanceEndpointConfig`.
pub(super) fn read(reader: &mut Reader, object: &Object, place: &str) -> Calls {
    let mut calls = Calls::default();
    let Some((config, place)) = reader.object(object, place, "advanceEndpointConfig") else {
        return calls;
    };
    let known = [
        "timeoutInMillis",
        "retryConfig",
        "circuitBreaker",
        "circuitBreakers",
        "poolConfig",
    ];
    reader.unknown_members(config, &place, &known);
    calls.timeout_ms = positive(reader, config, &place, "timeoutInMillis");
    if let Some((config, place)) = reader.object(config, &place, "retryConfig") {
        calls.retry = Some(retry(reader, config, &place));
    }
    if let Some((config, place)) = reader.object(config, &place, "circuitBreaker") {
        calls.breaker = Some(breaker(reader, config, &place));
    }
    if let Some((config, place)) = reader.object(config, &place, "circuitBreakers") {
        limits(reader, config, &place, &mut calls);
    }
    if let Some((config, place)) = reader.object(config, &place, "poolConfig") {
        pool(reader, config, &place, &mut calls);
    }
    calls
}

fn retry(reader: &mut Reader, config: &Object, place: &str) -> Retry {
    let known = [
        "count",
        "intervalInMillis",
        "backOffFactor",
        "maxWaitIntervalInMillis",
        "statusCodes",
    ];
    reader.unknown_members(config, place, &known);
    let mut retry = Retry::default();
    if let Some(count) = number(reader, config, place, "count") {
        if count > ATTEMPTS_MAX {
            let message = format!("a call is tried again {ATTEMPTS_MAX} times at most");
            differs(reader, place, "count", &message);
        }
        retry.attempts = narrow(count.min(ATTEMPTS_MAX));
    }
    if let Some(base_ms) = number(reader, config, place, "intervalInMillis") {
        let max_ms = number(reader, config, place, "maxWaitIntervalInMillis");
        retry.backoff = Backoff {
            base: Duration::from_ms(base_ms),
            max: Duration::from_ms(max_ms.unwrap_or(base_ms).max(base_ms)),
            ..Backoff::default()
        };
    }
    let factor = config.get("backOffFactor");
    let factor = factor.and_then(|node| node.as_number()?.as_f64());
    if factor.is_some_and(|factor| (factor - 2.0).abs() > f64::EPSILON) {
        let message = "pauses double with each try, and are a random part of that";
        differs(reader, place, "backOffFactor", message);
    }
    let statuses = statuses(reader, config, place).unwrap_or_default();
    retry.on = [Condition::ConnectFailure, Condition::Reset]
        .map(RetryOn::Condition)
        .into_iter()
        .chain(statuses.into_iter().map(RetryOn::Status))
        .collect();
    let message =
        "calls are tried again with idempotent methods alone (GET, HEAD, OPTIONS, PUT, DELETE)";
    let problem = Diagnostic::warning("wso2-differs", place, message);
    reader.record(problem.mend("name others in the document's `retry.methods`"));
    retry
}

/// That of the Microgateway.
fn breaker(reader: &mut Reader, config: &Object, place: &str) -> CircuitBreaker {
    let known = [
        "rollingWindow",
        "failureThreshold",
        "resetTimeInMillis",
        "statusCodes",
    ];
    reader.unknown_members(config, place, &known);
    let mut breaker = CircuitBreaker {
        error_rate: Some(Percent::new(FAILURES)),
        window: Duration::from_ms(WINDOW_MS),
        min_requests: narrow(VOLUME),
        ..CircuitBreaker::default()
    };
    if let Some((window, place)) = reader.object(config, place, "rollingWindow") {
        let known = [
            "requestVolumeThreshold",
            "timeWindowInMillis",
            "bucketSizeInMillis",
        ];
        reader.unknown_members(window, &place, &known);
        if let Some(volume) = positive(reader, window, &place, "requestVolumeThreshold") {
            breaker.min_requests = narrow(volume.min(1_000_000));
        }
        if let Some(ms) = positive(reader, window, &place, "timeWindowInMillis") {
            breaker.window = Duration::from_ms(ms);
        }
    }
    if let Some(node) = config.get("failureThreshold") {
        match node.as_number().and_then(serde_json::Number::as_f64) {
            Some(share) if share > 0.0 && share <= 1.0 => {
                let hundredths =
                    (1..=100).find(|hundredths| f64::from(*hundredths) >= share * 100.0);
                breaker.error_rate = Some(Percent::new(hundredths.unwrap_or(100)));
            }
            _ => {
                let place = pointer::join(place, "failureThreshold");
                let message = "a share above 0 and up to 1 is expected";
                reader.record(Diagnostic::error("wso2-value", place, message));
            }
        }
    }
    if let Some(ms) = positive(reader, config, place, "resetTimeInMillis") {
        breaker.open_for = Duration::from_ms(ms);
    }
    breaker.statuses = statuses(reader, config, place).filter(|list| !list.is_empty());
    breaker
}

/// `circuitBreakers`: the limits of Choreo Connect.
fn limits(reader: &mut Reader, config: &Object, place: &str, calls: &mut Calls) {
    let known = [
        "maxConnections",
        "maxRequests",
        "maxPendingRequests",
        "maxRetries",
        "maxConnectionPools",
    ];
    reader.unknown_members(config, place, &known);
    let mut limit = |key: &str| positive(reader, config, place, key).map(at_most_a_million);
    let (connections, requests, pending, retries) = (
        limit("maxConnections"),
        limit("maxRequests"),
        limit("maxPendingRequests"),
        limit("maxRetries"),
    );
    if connections.or(requests).or(pending).is_some() {
        let breaker = calls.breaker.get_or_insert_with(CircuitBreaker::default);
        breaker.max_connections = connections;
        breaker.max_requests = requests;
        breaker.max_pending = pending;
    }
    if let (Some(retries), Some(retry)) = (retries, &mut calls.retry) {
        (retry.budget, retry.budget_floor) = (Percent::new(0), retries.min(10_000));
    }
    if config.get("maxConnectionPools").is_some() {
        let instead = "each core has a pool for each endpoint";
        reader.not_served(
            pointer::join(place, "maxConnectionPools"),
            "maxConnectionPools",
            instead,
        );
    }
}

/// `poolConfig` of the Microgateway; -1 means no limit there.
fn pool(reader: &mut Reader, config: &Object, place: &str, calls: &mut Calls) {
    let known = [
        "maxActiveConnections",
        "maxIdleConnections",
        "waitTimeInMillis",
        "maxActiveStreamsPerConnection",
    ];
    reader.unknown_members(config, place, &known);
    let mut limit = |key: &str| {
        let number = config.get(key)?.as_number()?.as_i64();
        if number.is_none() {
            number_expected(reader, place, key);
        }
        number.and_then(|number| u64::try_from(number).ok())
    };
    let active = limit("maxActiveConnections").filter(|max| *max > 0);
    let idle = limit("maxIdleConnections");
    let streams = limit("maxActiveStreamsPerConnection").filter(|max| *max > 0);
    let wait = limit("waitTimeInMillis");
    if let Some(max) = active {
        let breaker = calls.breaker.get_or_insert_with(CircuitBreaker::default);
        breaker.max_connections = Some(at_most_a_million(max));
    }
    if let Some(max) = idle {
        calls.keep_alive = Some(KeepAlive {
            max_idle: Some(narrow(max.min(100_000))),
            ..KeepAlive::default()
        });
    }
    if let Some(max) = streams {
        calls.http2 = Some(Http2 {
            max_streams: Some(at_most_a_million(max)),
            ..Http2::default()
        });
    }
    if wait.is_some() {
        let instead = "a call waits for a connection until its timeout";
        reader.not_served(
            pointer::join(place, "waitTimeInMillis"),
            "waitTimeInMillis",
            instead,
        );
    }
}

fn statuses(reader: &mut Reader, config: &Object, place: &str) -> Option<Vec<u16>> {
    let node = config.get("statusCodes")?;
    let place = pointer::join(place, "statusCodes");
    let Some(items) = node.as_array() else {
        reader.wrong_type(node, place, "a list");
        return None;
    };
    let mut statuses: Vec<u16> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let status = item.as_number().and_then(serde_json::Number::as_u64);
        let status = status.and_then(|status| u16::try_from(status).ok());
        match status.filter(|status| (400..600).contains(status)) {
            Some(status) if statuses.contains(&status) => {}
            Some(status) => statuses.push(status),
            None => {
                let message = "a status from 400 to 599 is expected";
                let place = format!("{place}/{index}");
                reader.record(Diagnostic::error("wso2-value", place, message));
            }
        }
    }
    Some(statuses)
}

/// A whole number, 0 or above.
fn number(reader: &mut Reader, config: &Object, place: &str, key: &str) -> Option<u64> {
    let node = config.get(key)?;
    let number = node.as_number().and_then(serde_json::Number::as_u64);
    if number.is_none() {
        number_expected(reader, place, key);
    }
    number
}

fn number_expected(reader: &mut Reader, place: &str, key: &str) {
    let place = pointer::join(place, key);
    let message = "a whole number is expected, 0 or above";
    reader.record(Diagnostic::error("wso2-value", place, message));
}

/// A whole number above 0.
fn positive(reader: &mut Reader, config: &Object, place: &str, key: &str) -> Option<u64> {
    let node = config.get(key)?;
    let number = node.as_number().and_then(serde_json::Number::as_u64);
    let positive = number.filter(|number| *number > 0);
    if positive.is_none() {
        let place = pointer::join(place, key);
        let message = match key.ends_with("InMillis") {
            true => "a whole number of milliseconds above 0 is expected",
            false => "a whole number above 0 is expected",
        };
        reader.record(Diagnostic::error("wso2-value", place, message));
    }
    positive
}

fn differs(reader: &mut Reader, place: &str, key: &str, message: &str) {
    let place = pointer::join(place, key);
    reader.record(Diagnostic::warning("wso2-differs", place, message));
}

fn at_most_a_million(number: u64) -> u32 {
    narrow(number.min(1_000_000))
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
