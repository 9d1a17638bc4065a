//! What a storage does with its entries in one step: plain values, collections, and the names of the caches.

use std::collections::BTreeSet;

use super::condition::Condition;
use super::expiry::{NANOSECONDS_PER_MILLISECOND, expiry_after};
use super::item::{Item, Scalar};
use super::refused::{MAX_CACHE_NAME, MAX_CACHES, Refused};
use super::store::{Engine, EntryTooLarge, Fate, Statistics};
use crate::cache::collections::{Capacity, Family, Kind, add_to_integer};

/// How a time to live is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TtlChange {
    /// It is this from now on.
    Overwrite,
    /// It is this from now on if that is longer than what is left.
    Increase,
    /// It is this from now on if that is shorter than what is left.
    Decrease,
}

/// The time to live of a collection that is written to: for a new one always, for an old one if `refresh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectionTtl {
    /// Milliseconds.
    pub ttl_ms: u64,
    /// Whether it replaces what is left of an old one's.
    pub refresh: bool,
}

/// An engine for items of every kind.
pub struct Items<S> {
    engine: Engine<Item<S>>,
    caches: BTreeSet<Box<str>>,
    luck: u64,
}

impl<S: Scalar> Items<S> {
    /// As `Engine::new`; `seed` also decides what is drawn at random.
    pub fn new(max_memory: u64, seed: u64) -> Self {
        Self {
            engine: Engine::new(max_memory, seed),
            caches: BTreeSet::new(),
            luck: seed,
        }
    }

    /// What `read` makes of the plain value under the key, or nothing.
    #[inline]
    pub fn get<R>(
        &mut self,
        now: u64,
        namespace: &[u8],
        key: &[u8],
        read: impl FnOnce(&S) -> R,
    ) -> Result<Option<R>, Refused> {
        self.engine
            .get(now, namespace, key, |item| Ok(read(item.scalar()?)))
            .transpose()
    }

    /// Stores a plain value of `size` bytes, whatever was there; as `Engine::set`.
    #[inline]
    pub fn set(
        &mut self,
        now: u64,
        namespace: &[u8],
        key: &[u8],
        value: S,
        size: usize,
        ttl_ms: u64,
    ) -> Result<(), EntryTooLarge> {
        self.engine
            .set(now, namespace, key, Item::Scalar(value), size, ttl_ms)
    }

    /// As `Engine::delete`.
    pub fn delete(&mut self, now: u64, namespace: &[u8], key: &[u8]) -> bool {
        self.engine.delete(now, namespace, key)
    }

    /// Stores a plain value of `size` bytes if the condition holds; whether it did.
    #[expect(clippy::too_many_arguments, reason = "a write and its condition")]
    pub fn set_if(
        &mut self,
        now: u64,
        namespace: &[u8],
        key: &[u8],
        value: S,
        size: usize,
        ttl_ms: u64,
        condition: Condition<'_>,
    ) -> Result<bool, Refused> {
        let holds = self
            .engine
            .look(now, namespace, key, |item, _| condition.when_present(item))
            .unwrap_or(Ok(condition.when_absent()))?;
        if holds {
            self.set(now, namespace, key, value, size, ttl_ms)?;
        }
        Ok(holds)
    }

    /// Adds to the integer under the key, or sets it to `amount` if nothing is there, for `ttl_ms` from now; the sum.
    pub fn increment(
        &mut self,
        now: u64,
        namespace: &[u8],
        key: &[u8],
        amount: i64,
        ttl_ms: u64,
    ) -> Result<i64, Refused> {
        let sum = self
            .engine
            .look(now, namespace, key, |item, _| {
                item.scalar()?
                    .read(|bytes| add_to_integer(bytes, amount).map_err(Refused::NotCountable))
            })
            .unwrap_or(Ok(amount))?;
        let text = sum.to_string();
        let value = S::make(text.as_bytes());
        self.set(now, namespace, key, value, text.len(), ttl_ms)?;
        Ok(sum)
    }

    /// What is under the key, and the milliseconds it has left, rounded up.
    pub fn inspect(&mut self, now: u64, namespace: &[u8], key: &[u8]) -> Option<(Kind, u64)> {
        self.engine.look(now, namespace, key, |item, expires_at| {
            (
                item.kind(),
                (expires_at - now).div_ceil(NANOSECONDS_PER_MILLISECOND),
            )
        })
    }

    /// Changes the time to live of what is under the key; whether it was changed, or nothing if nothing is there.
    pub fn update_ttl(
        &mut self,
        now: u64,
        namespace: &[u8],
        key: &[u8],
        ttl_ms: u64,
        change: TtlChange,
    ) -> Option<bool> {
        let wanted = expiry_after(now, ttl_ms);
        let edited: Result<bool, Refused> = self.engine.change(now, namespace, key, |item, expires_at| {
            let apply = match change {
                TtlChange::Overwrite => true,
                TtlChange::Increase => wanted > expires_at,
                TtlChange::Decrease => wanted < expires_at,
            };
            let fate = if apply {
                Fate::Kept {
                    size: item.size(),
                    ttl_ms: Some(ttl_ms),
                }
            } else {
                Fate::Untouched
            };
            Ok((apply, fate))
        })?;
        edited.ok()
    }

    /// What `read` makes of the collection under the key, or nothing.
    pub fn read<C: Family, R>(
        &mut self,
        now: u64,
        namespace: &[u8],
        key: &[u8],
        read: impl FnOnce(&C) -> R,
    ) -> Result<Option<R>, Refused> {
        self.engine
            .get(now, namespace, key, |item| Ok(read(item.collection()?)))
            .transpose()
    }

    /// Lets `edit` change the collection under the key, or nothing if nothing is there; an emptied one is removed.
    pub fn edit<C: Family, R, E: Into<Refused>>(
        &mut self,
        now: u64,
        namespace: &[u8],
        key: &[u8],
        ttl: Option<CollectionTtl>,
        edit: impl FnOnce(&mut C, Capacity) -> Result<R, E>,
    ) -> Result<Option<R>, Refused> {
        let capacity = self.capacity_of(namespace, key);
        self.engine
            .change(now, namespace, key, |item, _| {
                let found = item.collection_mut::<C>()?;
                let result = edit(found, capacity).map_err(Into::into)?;
                Ok((result, fate(found, ttl)))
            })
            .transpose()
    }

    /// As `edit`, but on a new collection if nothing is there.
    pub fn edit_or_create<C: Family, R, E: Into<Refused>>(
        &mut self,
        now: u64,
        namespace: &[u8],
        key: &[u8],
        ttl: CollectionTtl,
        edit: impl FnOnce(&mut C, Capacity) -> Result<R, E>,
    ) -> Result<R, Refused> {
        if self.engine.look(now, namespace, key, |_, _| ()).is_none() {
            let mut new = C::default();
            let result = edit(&mut new, self.capacity_of(namespace, key)).map_err(Into::into)?;
            self.store(now, namespace, key, new, ttl.ttl_ms)?;
            return Ok(result);
        }
        let capacity = self.capacity_of(namespace, key);
        self.engine
            .change(now, namespace, key, |item, _| {
                let found = item.collection_mut::<C>()?;
                let result = edit(found, capacity).map_err(Into::into)?;
                Ok((result, fate(found, Some(ttl))))
            })
            .expect("it was there a moment ago")
    }

    /// Stores a collection, whatever was there; an empty one leaves nothing.
    pub fn store<C: Family>(
        &mut self,
        now: u64,
        namespace: &[u8],
        key: &[u8],
        collection: C,
        ttl_ms: u64,
    ) -> Result<(), EntryTooLarge> {
        if collection.is_empty() {
            self.delete(now, namespace, key);
            return Ok(());
        }
        let size = collection.charged();
        let item = Item::Collection(Box::new(collection.wrap()));
        self.engine.set(now, namespace, key, item, size, ttl_ms)
    }

    /// What a collection under the key may grow to.
    pub fn capacity_of(&self, namespace: &[u8], key: &[u8]) -> Capacity {
        Capacity {
            memory: self.engine.capacity_of(namespace, key),
        }
    }

    /// Numbers to draw with, each less than its argument: of no use where somebody gains by guessing them.
    pub fn draw(&mut self) -> impl FnMut(usize) -> usize + use<S> {
        // SplitMix64, a stream of its own for each draw.
        self.luck = self.luck.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut state = self.luck;
        move |limit| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
            ((u128::from(mixed) * limit as u128) >> 64) as usize
        }
    }

    /// Notes that there is a cache of this name; whether there was none yet.
    pub fn create_cache(&mut self, name: &str) -> Result<bool, Refused> {
        if self.caches.contains(name) {
            return Ok(false);
        }
        if name.len() > MAX_CACHE_NAME {
            return Err(Refused::CacheNameTooLong { length: name.len() });
        }
        if self.caches.len() >= MAX_CACHES {
            return Err(Refused::TooManyCaches);
        }
        Ok(self.caches.insert(name.into()))
    }

    /// Removes the cache of this name and every entry in it; whether there was one.
    pub fn delete_cache(&mut self, name: &str) -> bool {
        self.engine.flush(name.as_bytes());
        self.caches.remove(name)
    }

    /// The names of the caches, in order.
    pub fn caches(&self) -> impl Iterator<Item = &str> {
        self.caches.iter().map(AsRef::as_ref)
    }

    /// As `Engine::flush`.
    pub fn flush(&mut self, namespace: &[u8]) -> usize {
        self.engine.flush(namespace)
    }

    /// As `Engine::sweep`.
    pub fn sweep(&mut self, now: u64, limit: usize) -> usize {
        self.engine.sweep(now, limit)
    }

    /// As `Engine::statistics`.
    pub fn statistics(&self) -> Statistics {
        self.engine.statistics()
    }

    /// As `Engine::max_memory`.
    pub fn max_memory(&self) -> u64 {
        self.engine.max_memory()
    }
}

fn fate<C: Family>(collection: &mut C, ttl: Option<CollectionTtl>) -> Fate {
    if collection.is_empty() {
        return Fate::Gone;
    }
    // Only its elements are charged, so places that many more once took must not stay.
    collection.trim();
    Fate::Kept {
        size: collection.charged(),
        ttl_ms: ttl.filter(|ttl| ttl.refresh).map(|ttl| ttl.ttl_ms),
    }
}

#[cfg(test)]
mod tests;
