//! Who shares limits out may fail: what happens then is chosen, and counted. (req: R2)

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use limits::{
    Authority, Claim, Concurrency, Decision, Key, Limit, OnFailure, Quota, Quotas, Rate, Room,
    Shares, Unavailable,
};

use crate::claim;

/// Half of every quota is this node's, while the authority is there.
#[derive(Default)]
struct Half {
    away: AtomicBool,
}

impl Shares for Half {
    fn share(&self, _: Key, limit: Limit, _: u64) -> Result<Limit, Unavailable> {
        if self.away.load(Ordering::Relaxed) {
            return Err(Unavailable);
        }
        Ok(match limit {
            Limit::Quota(quota) => Limit::Quota(Quota {
                limit: quota.limit / 2,
                ..quota
            }),
            other => other,
        })
    }
}

const QUOTA: Quota = Quota {
    limit: 10,
    window_ms: 1000,
};

fn claims() -> [Claim; 3] {
    let rate = Rate {
        requests: 1000,
        per_ms: 1000,
        burst: 20,
    };
    [
        claim(1, rate),
        claim(1, QUOTA),
        claim(1, Concurrency { calls: 100 }),
    ]
}

fn passes(authority: &Authority, now_ms: u64) -> Result<usize, Unavailable> {
    let mut passed = 0;
    for _ in 0..30 {
        match authority.admit_all(&claims(), now_ms)? {
            (_, Decision::Admitted { .. }) => passed += 1,
            (index, Decision::Refused { .. }) => assert!(index < 3),
        }
    }
    Ok(passed)
}

fn with(on_failure: OnFailure) -> (Arc<Half>, Authority) {
    let shares = Arc::new(Half::default());
    let counters = Quotas::new(Room::for_keys(10));
    let authority = Authority::shared(counters, Arc::clone(&shares) as _, on_failure);
    (shares, authority)
}

#[test]
fn a_node_admits_its_share() {
    let (_, authority) = with(OnFailure::Local);
    assert_eq!(passes(&authority, 0), Ok(5));
    assert_eq!(authority.degraded(), 0);
    let alone = Authority::local(Quotas::new(Room::for_keys(10)));
    assert_eq!(passes(&alone, 0), Ok(10));
}

#[test]
fn what_a_failure_means_is_chosen() {
    for (on_failure, passed) in [
        (OnFailure::Local, Ok(5)),
        (OnFailure::Closed, Err(Unavailable)),
        (OnFailure::Open, Ok(30)),
    ] {
        let (shares, authority) = with(on_failure);
        assert_eq!(passes(&authority, 0), Ok(5));
        shares.away.store(true, Ordering::Relaxed);
        assert_eq!(passes(&authority, 0), passed, "{on_failure:?}");
        assert!(authority.degraded() > 0);
        let room = authority.has_room(claim(1, QUOTA).key, QUOTA.into(), 0);
        assert_eq!(room, on_failure == OnFailure::Open);
        shares.away.store(false, Ordering::Relaxed);
        assert_eq!(passes(&authority, 0), Ok(0), "it was counted all the time");
        assert_eq!(passes(&authority, 1100), Ok(5), "{on_failure:?}");
    }
}
