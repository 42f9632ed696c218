//! Consistent hashing with bounded loads: a key leads to one endpoint, unless that one has far more than its share.
//!
//! Endpoints stand on a ring at many points, by their names and weights; a key belongs to the first point behind it. An
//! endpoint that comes or goes moves the keys of its own points alone. One whose calls in flight have reached the bound is
//! passed over, as are those that are not able. Source: V. Mirrokni, M. Thorup, M. Zadimoghaddam, Consistent Hashing with
//! Bounded Loads, 2016.

use std::fmt::Write as _;

use http::HeaderMap;
use http::header::COOKIE;
use snapshot::HashBy;

use super::PickInput;
use crate::upstream::attributes::OfCall;

/// Points of an endpoint of average weight; fewer where there are many endpoints.
const POINTS: usize = 512;
/// Points of a ring, about.
const POINTS_MAX: usize = 65_536;

/// What a call is hashed by; `None` where it has none of it.
pub(super) fn key(by: &HashBy, input: &PickInput<'_>) -> Option<u64> {
    match by {
        HashBy::Header(name) => Some(hash(input.headers.get(name)?.as_bytes())),
        HashBy::Cookie(name) => cookie(input.headers, name).map(hash),
        HashBy::Ip => {
            let mut text = String::with_capacity(45);
            write!(text, "{}", input.cx.client.ip).ok()?;
            Some(hash(text.as_bytes()))
        }
        HashBy::Expr(expr) => {
            let text = expr.text(&OfCall(input)).ok()?;
            (!text.is_empty()).then(|| hash(text.as_bytes()))
        }
    }
}

/// The value of a cookie (RFC 6265 §5.4).
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let fields = headers.get_all(COOKIE).iter();
    let pairs = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    let mut values = pairs.filter_map(|pair| {
        let pair = pair.trim_ascii();
        let at = pair.iter().position(|byte| *byte == b'=')?;
        (&pair[..at] == name.as_bytes()).then(|| &pair[at + 1..])
    });
    values.next()
}

/// FNV-1a with the last step of MurmurHash3: the same on every node and in every version, so that all lead a key to the
/// same endpoint.
fn hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// Points in their order, each with the index of its endpoint.
#[derive(Debug)]
pub(in crate::upstream) struct Ring(Vec<(u64, u32)>);

impl Ring {
    /// Of endpoints by name and weight.
    pub(in crate::upstream) fn new<'m>(members: impl Iterator<Item = (&'m str, u64)>) -> Self {
        let members: Vec<_> = members.collect();
        let total: u64 = members.iter().map(|(_, weight)| weight).sum();
        let average = POINTS.min(POINTS_MAX / members.len().max(1)).max(1);
        let mut points = Vec::with_capacity(average * members.len());
        for (index, (name, weight)) in members.iter().enumerate() {
            let share = average as u64 * weight * members.len() as u64 / total.max(1);
            for point in 0..share.max(1) {
                let place = hash(format!("{name}#{point}").as_bytes());
                points.push((place, u32::try_from(index).unwrap_or(u32::MAX)));
            }
        }
        points.sort_unstable();
        Self(points)
    }

    /// The first of the candidates behind the key that has room. There is at least one candidate.
    pub(in crate::upstream) fn choose(
        &self,
        key: u64,
        candidates: &[usize],
        weight: impl Fn(usize) -> u64,
        in_flight: impl Fn(usize) -> u64,
        bound_percent: u32,
    ) -> usize {
        let of_all =
            |count: &dyn Fn(usize) -> u64| candidates.iter().map(|i| count(*i)).sum::<u64>();
        let (weights, calls) = (of_all(&weight), of_all(&in_flight) + 1);
        // At least one has room: the bounds are together more than all calls.
        let has_room = |index: usize| {
            let bound = u128::from(calls) * u128::from(bound_percent) * u128::from(weight(index));
            let bound = bound.div_ceil(100 * u128::from(weights.max(1)));
            u128::from(in_flight(index)) < bound
        };
        let start = self.0.partition_point(|(place, _)| *place < key);
        let (before, behind) = self.0.split_at(start);
        let mut passed = usize::MAX;
        for (_, index) in behind.iter().chain(before) {
            let index = *index as usize;
            if index != passed && candidates.binary_search(&index).is_ok() && has_room(index) {
                return index;
            }
            passed = index;
        }
        candidates[0]
    }
}

#[cfg(test)]
mod tests;
