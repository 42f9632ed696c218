use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::series::Cache;
use super::*;

fn rendered(numbers: &Arc<Numbers>) -> String {
    let mut registry = Registry::default();
    Metrics(Arc::clone(numbers)).register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    text
}

fn series(operation: &str) -> Series<'_> {
    Series {
        api: "orders",
        operation,
        method: "GET",
        status_class: 2,
        plan: "Gold",
    }
}

/// req: O4
#[test]
fn series_are_capped_and_the_rest_is_overflow() {
    let numbers = Numbers::new(2, 3);
    let caches = [Cache::default(), Cache::default()];
    for operation in 0..100 {
        let name = operation.to_string();
        for (worker, cache) in numbers.workers.iter().zip(&caches) {
            let id = cache.id(&numbers.series, &series(&name));
            worker.requests[id as usize].add(1);
        }
    }
    let text = rendered(&numbers);
    let lines: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("tollway_gateway_requests_total"))
        .collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].contains("overflow") && lines[0].ends_with(" 194"));
    assert!(lines[1].contains(r#"operation="0""#) && lines[1].ends_with(" 2"));
}

#[test]
fn workers_are_added_up() {
    let numbers = Numbers::new(2, 1);
    for worker in &numbers.workers {
        worker.total.record(50);
        worker.total.record(1_000_000_000);
        worker.reject(&base::code::QUOTA_EXCEEDED);
        worker.connections[Wire::H2 as usize].up();
        worker.limit(Limit::Body);
        worker.serves(7);
    }
    numbers.workers[0].connections[Wire::H2 as usize].down();
    let text = rendered(&numbers);
    for line in [
        "tollway_gateway_request_duration_seconds_count 4",
        "tollway_gateway_request_duration_seconds_bucket{le=\"0.0001\"} 2",
        "tollway_gateway_request_duration_seconds_bucket{le=\"+Inf\"} 4",
        "tollway_gateway_rejects_total{code=\"QUOTA_EXCEEDED\"} 2",
        "tollway_gateway_connections_open{protocol=\"h2\"} 1",
        "tollway_gateway_limits_hit_total{limit=\"body\"} 2",
        "tollway_gateway_snapshot_revision 7",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}
