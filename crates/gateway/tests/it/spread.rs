//! How calls spread over endpoints where that is a matter of load, of time, or of how few are left.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::ManualClock;
use snapshot::{Balance, Check, CheckAsk, Endpoint, Health};

use crate::balance::{Answering, asked, until};
use crate::sandbox::{GET, OK, Peer, Setup, soon};

async fn three() -> [Answering; 3] {
    [
        Answering::named("a").await,
        Answering::named("b").await,
        Answering::named("c").await,
    ]
}

/// req: GW2
#[tokio::test]
async fn least_request_passes_by_who_has_a_call_and_comes_back_when_it_has_ended() {
    let (peer, b, c) = (
        Peer::bind().await,
        Answering::named("b").await,
        Answering::named("c").await,
    );
    let held = Endpoint {
        path: String::new(),
        ..peer.endpoint()
    };
    let mut setup = Setup::new(vec![held, b.endpoint(), c.endpoint()]);
    setup.backend.balance = Balance::LeastRequest;
    let sandbox = setup.start();
    // One call after the other until the first endpoint has one; each has a chance of a third.
    let mut calling = None;
    for _ in 0..200 {
        let mut client = sandbox.connect().await;
        client.send(GET).await;
        let wire = tokio::select! {
            wire = peer.accept_when_it_comes() => Some(wire),
            _ = client.answer() => None,
        };
        if let Some(mut wire) = wire {
            wire.head().await;
            calling = Some((client, wire));
            break;
        }
    }
    let (mut client, mut wire) = calling.expect("the first endpoint gets its share");
    // Two are drawn, and whoever has nothing to do is taken: it is never the one with a call.
    let seen = asked(&sandbox, 100).await;
    assert_eq!(seen.values().sum::<usize>(), 100, "{seen:?}");
    assert!(seen.keys().all(|name| name == "b" || name == "c"));
    wire.send(OK).await;
    assert_eq!(client.answer().await.1, "ok");
    // It has served one, and is drawn like the others.
    let again = async {
        loop {
            client.send(GET).await;
            tokio::select! {
                _ = wire.head() => return,
                _ = client.answer() => {}
            }
        }
    };
    soon("its next call", again).await;
}

/// Of 600 calls in a row each of three gets its share by weight. The bound is six standard deviations: a draw beyond it
/// comes once in a thousand million.
#[tokio::test]
async fn least_request_spreads_by_weight_where_nobody_has_calls() {
    let all = three().await;
    let mut endpoints: Vec<_> = all.iter().map(Answering::endpoint).collect();
    endpoints[2].weight = 2;
    let mut setup = Setup::new(endpoints);
    setup.backend.balance = Balance::LeastRequest;
    let sandbox = setup.start();
    let seen = asked(&sandbox, 600).await;
    for (name, expected, bound) in [("a", 150, 64), ("b", 150, 64), ("c", 300, 74)] {
        let count = seen.get(name).copied().unwrap_or_default();
        assert!(count.abs_diff(expected) <= bound, "{name}: {seen:?}");
    }
}

/// Time is turned by hand, and turns go by weight without chance: every count is known.
#[tokio::test]
async fn who_comes_back_begins_with_a_tenth_and_gets_more() {
    let (a, b) = (Answering::named("a").await, Answering::named("b").await);
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let mut setup = Setup::new(vec![a.endpoint(), b.endpoint()]);
    setup.clock = clock.clone();
    setup.backend.slow_start_ms = 10_000;
    setup.backend.health.eject_after = 2;
    setup.backend.health.eject_for_ms = 30_000;
    let sandbox = setup.start();
    a.status.store(503, Ordering::SeqCst);
    until("it is ejected", &sandbox, |seen| {
        seen.len() == 1 && seen.contains_key("b")
    })
    .await;
    a.status.store(200, Ordering::SeqCst);
    clock.advance_ms(30_000);
    for (advance_ms, of_a, of_all) in [
        (0, 10, 110),
        (1_000, 10, 110),
        (4_000, 40, 120),
        (5_000, 60, 120),
        (60_000, 60, 120),
    ] {
        clock.advance_ms(advance_ms);
        let seen = asked(&sandbox, of_all).await;
        let count = seen.get("a").copied().unwrap_or_default();
        assert!(count.abs_diff(of_a) <= 2, "{advance_ms}: {seen:?}");
    }
}

fn checked(panic_below_percent: u32) -> Health {
    Health {
        check: Some(Check {
            ask: CheckAsk::Http {
                target: "/healthz".to_owned(),
                host: None,
                expect: vec![(200, 299)],
            },
            every_ms: 20,
            timeout_ms: 60_000,
        }),
        healthy_after: 1,
        unhealthy_after: 1,
        eject_after: 0,
        panic_below_percent,
        ..Health::default()
    }
}

/// req: GW2
#[tokio::test]
async fn with_fewer_able_than_the_floor_all_are_called() {
    for (panic_below, called) in [(50, 4), (0, 1)] {
        let [a, b, c] = three().await;
        let d = Answering::named("d").await;
        let all = [&a, &b, &c, &d];
        let mut setup = Setup::new(all.map(Answering::endpoint).to_vec());
        setup.backend.health = checked(panic_below);
        let sandbox = setup.start();
        until("all answer", &sandbox, |seen| seen.len() == 4).await;
        // A half of them is not less than a half.
        for ill in [&a, &b] {
            ill.status.store(500, Ordering::SeqCst);
        }
        until("two are called", &sandbox, |seen| {
            seen.len() == 2 && seen.contains_key("c") && seen.contains_key("d")
        })
        .await;
        c.status.store(500, Ordering::SeqCst);
        let what = format!("{called} are called below {panic_below}%");
        until(&what, &sandbox, |seen| {
            seen.len() == called && seen.contains_key("d")
        })
        .await;
        // Enough are back.
        c.status.store(200, Ordering::SeqCst);
        until("two are called again", &sandbox, |seen| {
            seen.len() == 2 && seen.contains_key("c") && seen.contains_key("d")
        })
        .await;
    }
}
