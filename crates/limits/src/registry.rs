//! The counters of one size, by key, and what is done when there is no room for another.

use std::hash::{Hash, Hasher};
use std::sync::atomic::Ordering::Relaxed;

use papaya::HashMap;

use crate::counter::Shape;
use crate::quotas::Key;
use crate::seats::{NO_SEAT, Seats};

/// What is filed in a registry.
pub(crate) trait Filed {
    fn make(shape: Shape, tag: u16, now_ms: u64) -> Self;
    /// Which seat it holds.
    fn tag(&self) -> u16;
    /// Ends it if it remembers nothing.
    fn retire(&self, now_ms: u64) -> bool;
    fn is_retired(&self) -> bool;
}

/// A key and the shape of its limit, in 16 bytes. A limit's digest and a key's value are of 128 bits each, and whoever
/// chooses a value does not choose its digest: two keys agree by an accident of 2¹²⁸.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place([u64; 2]);

/// What the overflow of a limit is filed under.
const OVERFLOW: u128 = 0x6f76_6572_666c_6f77_5b8a_2d1f_93e4_c76d;

impl Place {
    pub(crate) fn of(key: Key, shape: Shape) -> Self {
        Self::from_bits(key.limit.digest ^ key.value ^ shape.mark())
    }

    fn overflow(key: Key, shape: Shape) -> Self {
        Self::from_bits(key.limit.digest ^ OVERFLOW ^ shape.mark())
    }

    pub(crate) fn from_bits(bits: u128) -> Self {
        let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0);
        Self([half(bits >> 64), half(bits)])
    }

    pub(crate) fn bits(self) -> u128 {
        u128::from(self.0[0]) << 64 | u128::from(self.0[1])
    }
}

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0]);
        state.write_u64(self.0[1]);
    }
}

pub(crate) type Pinned<'m, C> =
    papaya::HashMapRef<'m, Place, C, foldhash::fast::RandomState, papaya::LocalGuard<'m>>;

/// Counters of one size.
pub(crate) struct Registry<C>(HashMap<Place, C, foldhash::fast::RandomState>);

impl<C: Filed> Registry<C> {
    pub(crate) fn new() -> Self {
        let hasher = foldhash::fast::RandomState::default();
        Self(HashMap::builder().hasher(hasher).build())
    }

    pub(crate) fn pin(&self) -> Pinned<'_, C> {
        self.0.pin()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Drops what remembers nothing, and answers how many.
    pub(crate) fn sweep(&self, seats: &Seats, now_ms: u64) -> usize {
        let counters = self.0.pin();
        let mut dropped = 0;
        for (place, counter) in &counters {
            if counter.retire(now_ms) && forget(&counters, *place, seats) {
                dropped += 1;
            }
        }
        dropped
    }
}

/// Removes a counter that was retired; whether it was here.
pub(crate) fn forget<C: Filed>(counters: &Pinned<'_, C>, place: Place, seats: &Seats) -> bool {
    match counters.remove_if(&place, |_, held| held.is_retired()) {
        Ok(Some((_, counter))) => {
            seats.give(counter.tag());
            true
        }
        _ => false,
    }
}

/// The counter of a key that has none yet. Where there is no seat for it, all such keys of a limit are counted together:
/// strict, and for them alone. So they are while that counter remembers a call, since the key may be one of those.
///
/// `None`: there is no seat, and counters of this shape cannot be shared.
pub(crate) fn begin<'g, C: Filed>(
    counters: &'g Pinned<'_, C>,
    key: Key,
    shape: Shape,
    seats: &Seats,
    now_ms: u64,
    make_room: impl FnOnce() -> bool,
) -> Option<&'g C> {
    let overflow = Place::overflow(key, shape);
    if let Some(shared) = counters.get(&overflow) {
        if !shared.retire(now_ms) {
            seats.overflowed.fetch_add(1, Relaxed);
            return Some(shared);
        }
        forget(counters, overflow, seats);
    }
    let seat = seats.take(key.limit);
    let seat = seat.or_else(|| make_room().then(|| seats.take(key.limit)).flatten());
    let place = Place::of(key, shape);
    match seat {
        Some(tag) => Some(
            match counters.try_insert(place, C::make(shape, tag, now_ms)) {
                Ok(counter) => counter,
                Err(taken) => {
                    seats.give(tag);
                    taken.current
                }
            },
        ),
        None => {
            seats.overflowed.fetch_add(1, Relaxed);
            (shape != Shape::Flights)
                .then(|| counters.get_or_insert_with(overflow, || C::make(shape, NO_SEAT, now_ms)))
        }
    }
}
