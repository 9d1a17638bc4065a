//! The calls in flight on one connection, found by their message id.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Ids are chosen in sequence by clients, so one multiplication spreads them.
///
/// A peer that picks ids to collide slows down only its own connection, within its call limit.
#[derive(Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte) ^ self.0);
        }
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        let product = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }
}

/// A map from message ids.
pub type IdMap<T> = HashMap<u64, T, BuildHasherDefault<IdHasher>>;

/// A client's calls in flight; the table chooses the ids: 1, 2, 3, ...
pub struct Pending<T> {
    calls: IdMap<T>,
    last: u64,
    largest: u64,
}

impl<T> Pending<T> {
    /// An empty table whose ids are at most `largest`, what the id field can hold; then they start anew.
    pub fn new(largest: u64) -> Self {
        Pending {
            calls: IdMap::default(),
            last: 0,
            largest,
        }
    }

    /// The id the next call gets, if `insert` follows: the next one that is not in flight.
    #[inline]
    pub fn next_id(&self) -> u64 {
        let mut id = self.last;
        loop {
            id = if id >= self.largest { 1 } else { id + 1 };
            if !self.calls.contains_key(&id) {
                return id;
            }
        }
    }

    /// Takes a call in under [`Pending::next_id`].
    #[inline]
    pub fn insert(&mut self, call: T) -> u64 {
        self.last = self.next_id();
        self.calls.insert(self.last, call);
        self.last
    }

    /// Ends a call.
    #[inline]
    pub fn remove(&mut self, id: u64) -> Option<T> {
        self.calls.remove(&id)
    }

    /// Looks at a call.
    #[inline]
    pub fn get(&self, id: u64) -> Option<&T> {
        self.calls.get(&id)
    }

    /// Whether the call is in flight.
    pub fn contains(&self, id: u64) -> bool {
        self.calls.contains_key(&id)
    }

    /// Calls in flight.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether no call is in flight.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The calls in flight with their ids, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.calls.iter().map(|(id, call)| (*id, call))
    }

    /// Ends every call, in the order of their ids.
    pub fn drain(&mut self) -> Vec<(u64, T)> {
        let mut calls: Vec<_> = self.calls.drain().collect();
        calls.sort_unstable_by_key(|(id, _)| *id);
        calls
    }

    /// Ends the calls that `matches` picks.
    pub fn extract(&mut self, mut matches: impl FnMut(&T) -> bool) -> Vec<(u64, T)> {
        let ids: Vec<u64> = self
            .calls
            .iter()
            .filter(|(_, call)| matches(call))
            .map(|(id, _)| *id)
            .collect();
        ids.into_iter()
            .filter_map(|id| self.calls.remove(&id).map(|call| (id, call)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_start_anew_and_skip_those_in_flight() {
        let mut pending = Pending::new(3);
        assert_eq!(
            [pending.insert('a'), pending.insert('b'), pending.insert('c')],
            [1, 2, 3]
        );
        assert_eq!(pending.remove(2), Some('b'));
        assert_eq!(pending.insert('d'), 2);
        assert_eq!(pending.extract(|call| *call == 'd'), [(2, 'd')]);
        assert_eq!(pending.drain(), [(1, 'a'), (3, 'c')]);
    }
}
