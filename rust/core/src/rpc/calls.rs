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

/// Calls by their ids, which mostly lie close together: a ring of twice as many places as there are calls, in which an
/// id has one place. A call whose place another one has, as one that lasts longer than all others does, is kept
/// beside it.
struct Slots<T> {
    /// A power of two of them, or none.
    ring: Vec<Option<(u64, T)>>,
    others: IdMap<T>,
    count: usize,
}

impl<T> Slots<T> {
    fn new() -> Self {
        Slots {
            ring: Vec::new(),
            others: IdMap::default(),
            count: 0,
        }
    }

    #[inline]
    fn place(&self, id: u64) -> Option<usize> {
        // Without a ring nothing is at the place that this gives.
        let place = id as usize & self.ring.len().wrapping_sub(1);
        match self.ring.get(place) {
            Some(Some((at, _))) if *at == id => Some(place),
            _ => None,
        }
    }

    #[inline]
    fn contains(&self, id: u64) -> bool {
        self.place(id).is_some() || (!self.others.is_empty() && self.others.contains_key(&id))
    }

    #[inline]
    fn get(&self, id: u64) -> Option<&T> {
        match self.place(id) {
            Some(place) => self.ring[place].as_ref().map(|(_, call)| call),
            None if self.others.is_empty() => None,
            None => self.others.get(&id),
        }
    }

    #[inline]
    fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        match self.place(id) {
            Some(place) => self.ring[place].as_mut().map(|(_, call)| call),
            None if self.others.is_empty() => None,
            None => self.others.get_mut(&id),
        }
    }

    /// Takes in a call whose id is not here.
    #[inline]
    fn insert(&mut self, id: u64, call: T) {
        if 2 * self.count >= self.ring.len() {
            self.grow();
        }
        self.count += 1;
        let place = id as usize & (self.ring.len() - 1);
        match &mut self.ring[place] {
            free @ None => *free = Some((id, call)),
            Some(_) => drop(self.others.insert(id, call)),
        }
    }

    #[inline]
    fn remove(&mut self, id: u64) -> Option<T> {
        let removed = match self.place(id) {
            Some(place) => self.ring[place].take().map(|(_, call)| call),
            None if self.others.is_empty() => None,
            None => self.others.remove(&id),
        };
        self.count -= usize::from(removed.is_some());
        removed
    }

    #[cold]
    fn grow(&mut self) {
        let length = (2 * self.ring.len()).max(MIN_RING);
        let mut calls = self.drain();
        self.ring.resize_with(length, || None);
        for (id, call) in calls.drain(..) {
            self.insert(id, call);
        }
    }

    fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        let ring = self.ring.iter().flatten().map(|(id, call)| (*id, call));
        ring.chain(self.others.iter().map(|(id, call)| (*id, call)))
    }

    /// All calls; nothing is left, and no memory kept.
    fn drain(&mut self) -> Vec<(u64, T)> {
        self.count = 0;
        let ring = std::mem::take(&mut self.ring).into_iter().flatten();
        ring.chain(std::mem::take(&mut self.others)).collect()
    }
}

/// Places of the first ring, which serves up to eight calls in flight, as most connections have.
const MIN_RING: usize = 16;

/// A client's calls in flight; the table chooses the ids: 1, 2, 3, ...
///
/// A call has a handle, too, which no other call ever has; it is the id where ids are used again late.
pub struct Pending<T> {
    calls: Slots<T>,
    last: u64,
    largest: u64,
    reuse: Option<Reuse>,
}

/// What is needed where ids are used again at once.
#[derive(Default)]
struct Reuse {
    /// Ids that were given back.
    free: Vec<u64>,
    /// How many calls each id has had, by the id.
    uses: Vec<u64>,
}

/// The bits of a handle that are the id, where ids are used again at once.
const ID_BITS: u32 = 24;

impl<T> Pending<T> {
    /// An empty table whose ids are at most `largest`, what the id field can hold; then they start anew.
    pub fn new(largest: u64) -> Self {
        Pending {
            calls: Slots::new(),
            last: 0,
            largest,
            reuse: None,
        }
    }

    /// An empty table that gives an id again as soon as its call was removed, so that ids stay small. Only for
    /// peers that say of every call when it has ended, and calls that stay here until then.
    pub fn reusing() -> Self {
        Pending {
            reuse: Some(Reuse::default()),
            ..Pending::new((1 << ID_BITS) - 1)
        }
    }

    /// The handle of the call that has this id now.
    #[inline]
    pub fn handle(&self, id: u64) -> u64 {
        match &self.reuse {
            Some(reuse) => reuse.uses.get(id as usize).copied().unwrap_or(0) << ID_BITS | id,
            None => id,
        }
    }

    /// The id of the call with this handle, if it is here.
    #[inline]
    pub fn id(&self, handle: u64) -> Option<u64> {
        let id = match &self.reuse {
            Some(_) => handle & ((1 << ID_BITS) - 1),
            None => handle,
        };
        (self.calls.contains(id) && self.handle(id) == handle).then_some(id)
    }

    /// The id the next call gets, if `insert` follows: the next one that is not in flight.
    #[inline]
    pub fn next_id(&self) -> u64 {
        if let Some(id) = self.reuse.as_ref().and_then(|reuse| reuse.free.last()) {
            return *id;
        }
        let mut id = self.last;
        loop {
            id = if id >= self.largest { 1 } else { id + 1 };
            if !self.calls.contains(id) {
                return id;
            }
        }
    }

    /// Takes a call in under [`Pending::next_id`].
    pub fn insert(&mut self, call: T) -> u64 {
        let id = self.next_id();
        self.insert_as(id, call);
        id
    }

    /// Takes a call in under `id`, which [`Pending::next_id`] has just given.
    #[inline]
    pub fn insert_as(&mut self, id: u64, call: T) {
        debug_assert_eq!(id, self.next_id());
        match &mut self.reuse {
            Some(reuse) => {
                if reuse.free.pop().is_none() {
                    self.last = id;
                }
                let at = id as usize;
                if reuse.uses.len() <= at {
                    reuse.uses.resize(at + 1, 0);
                }
                reuse.uses[at] += 1;
            }
            None => self.last = id,
        }
        self.calls.insert(id, call);
    }

    /// Ends a call.
    #[inline]
    pub fn remove(&mut self, id: u64) -> Option<T> {
        let removed = self.calls.remove(id);
        if let (Some(reuse), Some(_)) = (&mut self.reuse, &removed) {
            reuse.free.push(id);
        }
        removed
    }

    /// Looks at a call.
    #[inline]
    pub fn get(&self, id: u64) -> Option<&T> {
        self.calls.get(id)
    }

    /// Looks at a call to change it.
    #[inline]
    pub fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        self.calls.get_mut(id)
    }

    /// Calls in flight.
    pub fn len(&self) -> usize {
        self.calls.count
    }

    /// Whether no call is in flight.
    pub fn is_empty(&self) -> bool {
        self.calls.count == 0
    }

    /// The calls in flight with their ids, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.calls.iter()
    }

    /// Ends every call, in the order of their ids.
    pub fn drain(&mut self) -> Vec<(u64, T)> {
        if let Some(reuse) = &mut self.reuse {
            reuse.free.clear();
            self.last = 0;
        }
        let mut calls = self.calls.drain();
        calls.sort_unstable_by_key(|(id, _)| *id);
        calls
    }

    /// Ends the calls that `matches` picks.
    pub fn extract(&mut self, mut matches: impl FnMut(&T) -> bool) -> Vec<(u64, T)> {
        let ids: Vec<u64> = self
            .calls
            .iter()
            .filter(|(_, call)| matches(call))
            .map(|(id, _)| id)
            .collect();
        ids.into_iter()
            .filter_map(|id| self.remove(id).map(|call| (id, call)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever ids there are, in a ring they are found as in a map.
        #[test]
        fn calls_are_found_by_any_id(
            steps in prop::collection::vec((0u8..8, prop_oneof![0u64..40, any::<u64>(), 0u64..5000]), 0..300),
        ) {
            let mut slots = Slots::new();
            let mut map = HashMap::new();
            for (number, (step, id)) in steps.into_iter().enumerate() {
                match step {
                    0..4 if !map.contains_key(&id) => {
                        slots.insert(id, number);
                        map.insert(id, number);
                    }
                    4..7 => prop_assert_eq!(slots.remove(id), map.remove(&id)),
                    7 if number % 50 == 0 => {
                        let (mut all, mut known) = (slots.drain(), map.drain().collect::<Vec<_>>());
                        all.sort_unstable();
                        known.sort_unstable();
                        prop_assert_eq!(all, known);
                    }
                    _ => {}
                }
                prop_assert_eq!(slots.get(id), map.get(&id));
                prop_assert_eq!(slots.contains(id), map.contains_key(&id));
                prop_assert_eq!(slots.get_mut(id).copied(), map.get(&id).copied());
                prop_assert_eq!(slots.count, map.len());
                let mut all: Vec<_> = slots.iter().map(|(id, call)| (id, *call)).collect();
                let mut known: Vec<_> = map.iter().map(|(id, call)| (*id, *call)).collect();
                all.sort_unstable();
                known.sort_unstable();
                prop_assert_eq!(all, known);
            }
        }
    }

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

    #[test]
    fn ids_given_back_are_used_again_at_once() {
        let mut pending = Pending::reusing();
        assert_eq!(
            [pending.insert('a'), pending.insert('b'), pending.insert('c')],
            [1, 2, 3]
        );
        let first = pending.handle(1);
        assert_eq!(pending.id(first), Some(1));
        assert_eq!(pending.remove(9), None);
        assert_eq!(pending.remove(1), Some('a'));
        assert_eq!(pending.id(first), None);
        assert_eq!(pending.next_id(), 1);
        assert_eq!([pending.insert('d'), pending.insert('e')], [1, 4]);
        assert_eq!(pending.id(first), None);
        assert_ne!(pending.handle(1), first);
        assert_eq!(pending.drain().len(), 4);
        assert_eq!(pending.insert('f'), 1);
        assert_eq!(pending.id(first), None);
    }

    #[test]
    fn where_ids_are_not_used_again_the_handle_is_the_id() {
        let mut pending = Pending::new(10);
        assert_eq!(pending.insert('a'), 1);
        assert_eq!(
            (pending.handle(1), pending.id(1), pending.id(2)),
            (1, Some(1), None)
        );
    }
}
