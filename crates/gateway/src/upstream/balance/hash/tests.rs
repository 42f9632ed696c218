use std::cell::RefCell;

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn names(count: usize) -> Vec<String> {
    (0..count)
        .map(|n| format!("http://10.0.0.{n}:80"))
        .collect()
}

fn ring(names: &[String]) -> Ring {
    Ring::new(names.iter().map(|name| (name.as_str(), 1)))
}

fn home(ring: &Ring, key: u64, candidates: &[usize]) -> usize {
    ring.choose(key, candidates, |_| 1, |_| 0, 150)
}

#[test]
fn keys_are_spread_by_weight() {
    let names = names(4);
    let ring = Ring::new(
        names
            .iter()
            .zip([1, 1, 2, 4])
            .map(|(name, weight)| (name.as_str(), weight)),
    );
    let mut counts = [0_u32; 4];
    for key in 0..40_000_u64 {
        counts[home(&ring, hash(&key.to_le_bytes()), &[0, 1, 2, 3])] += 1;
    }
    for (count, share) in counts.iter().zip([5_000, 5_000, 10_000, 20_000]) {
        assert!(count.abs_diff(share) < share / 4, "{counts:?}");
    }
}

/// Only the keys of the endpoint that goes move, and all keys come back with it.
#[test]
fn an_endpoint_that_goes_moves_its_own_keys_alone() {
    let all = names(10);
    let less: Vec<_> = all
        .iter()
        .filter(|name| !name.contains("0.3:"))
        .cloned()
        .collect();
    let (before, after) = (ring(&all), ring(&less));
    let (ten, nine): (Vec<_>, Vec<_>) = ((0..10).collect(), (0..9).collect());
    let mut moved = 0;
    for key in 0..10_000_u64 {
        let key = hash(&key.to_le_bytes());
        let (was, is) = (
            &all[home(&before, key, &ten)],
            &less[home(&after, key, &nine)],
        );
        if was.contains("0.3:") {
            moved += 1;
        } else {
            assert_eq!(was, is);
        }
        // The same without a new ring: one that is not able.
        let able: Vec<_> = ten.iter().copied().filter(|index| *index != 3).collect();
        assert_eq!(&all[home(&before, key, &able)], is);
    }
    assert!((500..1_500).contains(&moved), "{moved}");
}

proptest! {
    /// However the calls come and go, none has more than the bound of its share, rounded up.
    #[test]
    fn the_bound_holds(
        weights in prop::collection::vec(1_u64..5, 2..8),
        bound in 101_u32..300,
        calls in prop::collection::vec((0_u64..6, any::<bool>()), 1..200),
    ) {
        let names = names(weights.len());
        let ring = Ring::new(names.iter().zip(&weights).map(|(name, weight)| (name.as_str(), *weight)));
        let candidates: Vec<_> = (0..weights.len()).collect();
        let loads = RefCell::new(vec![0_u64; weights.len()]);
        let total: u64 = weights.iter().sum();
        for (key, ends) in calls {
            let load = |index: usize| loads.borrow()[index];
            let chosen = ring.choose(hash(&key.to_le_bytes()), &candidates, |i| weights[i], load, bound);
            loads.borrow_mut()[chosen] += 1;
            let all: u64 = loads.borrow().iter().sum();
            let most = (all * u64::from(bound) * weights[chosen]).div_ceil(100 * total);
            prop_assert!(loads.borrow()[chosen] <= most, "{loads:?} {most}");
            if ends {
                loads.borrow_mut()[chosen] -= 1;
            }
        }
    }
}

#[test]
fn a_cookie_is_found_among_others() {
    let mut headers = HeaderMap::new();
    headers.append(COOKIE, HeaderValue::from_static("a=1; session=x=y;b=2"));
    headers.append(COOKIE, HeaderValue::from_static("c=3"));
    assert_eq!(cookie(&headers, "session"), Some(&b"x=y"[..]));
    assert_eq!(cookie(&headers, "c"), Some(&b"3"[..]));
    assert_eq!(cookie(&headers, "ession"), None);
}

/// All nodes, of all versions, lead a key to the same endpoint.
#[test]
fn the_hash_is_stable() {
    assert_eq!(hash(b""), 0xefd0_1f60_ba99_2926);
    assert_eq!(hash(b"alice"), hash(b"alice"));
    assert_eq!(home(&ring(&names(5)), hash(b"alice"), &[0, 1, 2, 3, 4]), 4);
}
