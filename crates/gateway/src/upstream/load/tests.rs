use super::*;

fn rules(budget_percent: u16, budget_floor: u32) -> RetryRules {
    RetryRules {
        attempts: 1,
        on_connect_failure: true,
        on_reset: true,
        on_refused_stream: true,
        on_timeout: false,
        on_statuses: Vec::new(),
        methods: None,
        per_try_ms: None,
        budget_percent,
        budget_floor,
        backoff_base_ms: 0,
        backoff_max_ms: 0,
        retry_after_max_ms: 0,
        body_bytes_max: 0,
    }
}

#[test]
fn further_tries_are_a_share_of_the_calls_with_a_floor() {
    for (calls, percent, floor, allowed) in [
        (0, 20, 3, 3),
        (10, 20, 3, 3),
        (100, 20, 3, 20),
        (100, 0, 0, 0),
        (7, 50, 0, 3),
    ] {
        let load = Arc::new(Load::default());
        let held: Vec<_> = (0..calls).map(|_| load.call(None).unwrap()).collect();
        let rules = rules(percent, floor);
        let tries: Vec<_> = std::iter::from_fn(|| load.retry(&rules))
            .take(1000)
            .collect();
        assert_eq!(
            tries.len(),
            allowed,
            "{calls} calls, {percent}%, floor {floor}"
        );
        // What has ended makes room.
        drop(tries);
        assert_eq!(load.retry(&rules).is_some(), allowed > 0);
        drop(held);
        assert_eq!(load.numbers(), [0, 0, 0]);
    }
}

#[tokio::test]
async fn a_connection_that_goes_wakes_one_who_waits() {
    let load = Arc::new(Load::default());
    let rules = BreakerRules {
        connections_max: Some(1),
        pending_max: Some(1),
        requests_max: Some(1),
        queue: None,
        error_percent: None,
        window_ms: 1_000,
        requests_min: 1,
        statuses: None,
        open_ms: 1,
        probes: 1,
    };
    let held = load.connect(&rules).unwrap();
    assert!(load.connect(&rules).is_none());
    let waiting = tokio::spawn({
        let load = Arc::clone(&load);
        async move { load.freed().await }
    });
    while !held.is_wanted() {
        tokio::task::yield_now().await;
    }
    drop(held);
    waiting.await.unwrap();
    let (_call, _pending) = (load.call(Some(&rules)).unwrap(), load.pend(&rules).unwrap());
    assert!(load.call(Some(&rules)).is_none() && load.pend(&rules).is_none());
}
