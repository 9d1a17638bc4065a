//! The bounded store: entries of any value under their keys, evicted over one byte budget, each with its time to live.

use std::cell::RefCell;
use std::fmt;

use quick_cache::unsync::Cache;
use quick_cache::{Equivalent, Lifecycle, OptionsBuilder, Weighter};

use super::expiry::{ExpiryTable, expiry_after};
use super::keys::{HashOnly, Probe, StoredHash, StoredKey};

/// Bytes an entry is charged on top of its namespace, key and value: table slots, expiry slot, allocation
/// headers and its share of the policy's memory of evicted keys (measured, docs/decisions/0002-storage-engine.md).
pub const ENTRY_OVERHEAD: u64 = 256;

/// The share of the budget that the policy's hot section may take; no single entry may be larger than that.
const HOT_ALLOCATION: f64 = 0.97;

/// What an average entry is assumed to weigh; only sizes the policy's memory of evicted keys.
const ASSUMED_ENTRY: u64 = ENTRY_OVERHEAD + 256;

/// Expiry slots looked at on every write. Two, so that the cursor outruns the growth of the table.
const SWEEP_PER_WRITE: usize = 2;

/// An entry that can never be stored: it needs `needed` bytes and no entry may take more than `limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryTooLarge {
    /// Bytes the entry would be charged, overhead included.
    pub needed: u64,
    /// Bytes the largest entry may be charged.
    pub limit: u64,
}

impl fmt::Display for EntryTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the entry needs {} bytes with its overhead; the memory limit allows {} bytes per entry",
            self.needed, self.limit
        )
    }
}

impl std::error::Error for EntryTooLarge {}

/// Counters since the engine was made, and what it holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Entries held, among them expired ones nobody has come across yet.
    pub items: u64,
    /// Bytes charged for them.
    pub bytes_used: u64,
    /// Reads that found a live entry.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Live or dead entries dropped to stay under the memory limit.
    pub evictions: u64,
    /// Entries dropped because their time was over.
    pub expired: u64,
}

/// The store. Times are nanoseconds of a monotonic clock of the caller's choice.
pub struct Engine<V> {
    cache: Cache<StoredKey, Entry<V>, Charged, StoredHash, CollectEvicted<V>>,
    expiry: ExpiryTable,
    /// What the running write pushed out; a field only to keep its allocation.
    evicted: Vec<(StoredKey, Entry<V>)>,
    seed: u64,
    max_entry: u64,
    hits: u64,
    misses: u64,
    evictions: u64,
    expired: u64,
}

impl<V> Engine<V> {
    /// An empty store that never charges more than `max_memory` bytes; `seed` keeps outsiders from choosing colliding keys.
    pub fn new(max_memory: u64, seed: u64) -> Self {
        let assumed_items = usize::try_from(max_memory / ASSUMED_ENTRY).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .estimated_items_capacity(assumed_items.max(1))
            .weight_capacity(max_memory)
            .hot_allocation(HOT_ALLOCATION)
            .build()
            .expect("both capacities are given");
        Self {
            cache: Cache::with_options(options, Charged, StoredHash::default(), CollectEvicted::new()),
            expiry: ExpiryTable::default(),
            evicted: Vec::new(),
            seed,
            max_entry: (max_memory as f64 * HOT_ALLOCATION) as u64,
            hits: 0,
            misses: 0,
            evictions: 0,
            expired: 0,
        }
    }

    /// What `read` makes of the live value under the key, or nothing. An expired entry is removed.
    pub fn get<R>(
        &mut self,
        now: u64,
        namespace: &[u8],
        key: &[u8],
        read: impl FnOnce(&V) -> R,
    ) -> Option<R> {
        let probe = self.probe(namespace, key);
        match self.cache.get(&probe) {
            Some(entry) if entry.expires_at > now => {
                self.hits += 1;
                return Some(read(&entry.value));
            }
            Some(_) => {}
            None => {
                self.misses += 1;
                return None;
            }
        }
        self.misses += 1;
        self.remove_expired(&probe);
        None
    }

    /// Stores `value`, which counts as `value_size` bytes, for `ttl_ms` milliseconds from `now`.
    ///
    /// A time of 0 is over at once: whatever was there is gone and nothing is stored. A refused entry leaves
    /// the old one in place.
    pub fn set(
        &mut self,
        now: u64,
        namespace: &[u8],
        key: &[u8],
        value: V,
        value_size: usize,
        ttl_ms: u64,
    ) -> Result<(), EntryTooLarge> {
        let weight = (namespace.len() + key.len() + value_size) as u64 + ENTRY_OVERHEAD;
        if weight > self.max_entry {
            return Err(EntryTooLarge {
                needed: weight,
                limit: self.max_entry,
            });
        }
        if ttl_ms == 0 {
            self.delete(now, namespace, key);
            return Ok(());
        }
        let probe = self.probe(namespace, key);
        let expires_at = expiry_after(now, ttl_ms);
        let stored = StoredKey::new(&probe);
        let slot = self.expiry.insert(stored.hash, expires_at);
        let entry = Entry {
            value,
            expires_at,
            weight,
            slot,
        };
        self.cache.insert_with_lifecycle(stored, entry, &mut self.evicted);
        // The policy reports a replaced entry like an evicted one, always first.
        for (position, (gone, entry)) in self.evicted.drain(..).enumerate() {
            self.expiry.remove(entry.slot);
            if position > 0 || !probe.equivalent(&gone) {
                self.evictions += 1;
            }
        }
        self.sweep(now, SWEEP_PER_WRITE);
        Ok(())
    }

    /// What `read` makes of the live value under the key and of when it expires, or nothing; counted nowhere.
    pub fn look<R>(
        &mut self,
        now: u64,
        namespace: &[u8],
        key: &[u8],
        read: impl FnOnce(&V, u64) -> R,
    ) -> Option<R> {
        let probe = self.probe(namespace, key);
        let entry = self.cache.get(&probe)?;
        if entry.expires_at > now {
            return Some(read(&entry.value, entry.expires_at));
        }
        self.remove_expired(&probe);
        None
    }

    /// Bytes that a value under the key may take at most.
    pub fn capacity_of(&self, namespace: &[u8], key: &[u8]) -> usize {
        let taken = (namespace.len() + key.len()) as u64 + ENTRY_OVERHEAD;
        usize::try_from(self.max_entry.saturating_sub(taken)).unwrap_or(usize::MAX)
    }

    /// Removes every entry of the namespace; how many there were. It looks at all entries of all namespaces once.
    pub fn flush(&mut self, namespace: &[u8]) -> usize {
        let slots = RefCell::new(Vec::new());
        self.cache.retain(|key, entry| {
            let other = key.namespace() != namespace;
            if !other {
                slots.borrow_mut().push(entry.slot);
            }
            other
        });
        let slots = slots.into_inner();
        for slot in &slots {
            self.expiry.remove(*slot);
        }
        slots.len()
    }

    /// Removes the entry; whether a live one was there.
    pub fn delete(&mut self, now: u64, namespace: &[u8], key: &[u8]) -> bool {
        let probe = self.probe(namespace, key);
        let Some((_, entry)) = self.cache.remove(&probe) else {
            return false;
        };
        self.expiry.remove(entry.slot);
        let live = entry.expires_at > now;
        self.expired += u64::from(!live);
        live
    }

    /// Looks at up to `limit` entries after those of the last sweep and removes the expired; how many it removed.
    pub fn sweep(&mut self, now: u64, limit: usize) -> usize {
        let before = self.expired;
        for _ in 0..limit.min(self.expiry.len()) {
            if let Some(hash) = self.expiry.next_expired(now) {
                self.remove_expired_hash(hash, now);
            }
        }
        (self.expired - before) as usize
    }

    /// What all entries that are there were charged, and how many places they have in the table of expiry times.
    #[cfg(test)]
    pub(super) fn held(&self, size: impl Fn(&V) -> u64) -> (u64, usize) {
        let charged = |key: &StoredKey, value: &V| key.length() as u64 + size(value) + ENTRY_OVERHEAD;
        let held = self
            .cache
            .iter()
            .map(|(key, entry)| charged(key, &entry.value))
            .sum();
        (held, self.expiry.in_use())
    }

    /// The counters and the present size.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            items: self.cache.len() as u64,
            bytes_used: self.cache.weight(),
            hits: self.hits,
            misses: self.misses,
            evictions: self.evictions,
            expired: self.expired,
        }
    }

    /// The most bytes that entries may be charged in all.
    pub fn max_memory(&self) -> u64 {
        self.cache.capacity()
    }

    fn probe<'a>(&self, namespace: &'a [u8], key: &'a [u8]) -> Probe<'a> {
        Probe::new(self.seed, namespace, key)
    }

    fn remove_expired(&mut self, probe: &Probe<'_>) {
        if let Some((_, entry)) = self.cache.remove(probe) {
            self.expiry.remove(entry.slot);
            self.expired += 1;
        }
    }

    fn remove_expired_hash(&mut self, hash: u64, now: u64) {
        let removed = self
            .cache
            .remove_if(&HashOnly(hash), |entry| entry.expires_at <= now);
        if let Some((_, entry)) = removed {
            self.expiry.remove(entry.slot);
            self.expired += 1;
        }
    }
}

impl<V: Default> Engine<V> {
    /// Lets `edit` change the live value under the key, and keeps to what it says about it; nothing if there is none.
    ///
    /// `edit` gets the value and when it expires, and sees to it that it grows to no more than `capacity`. With an
    /// error from it the entry stays as `edit` left it.
    pub fn change<R, E>(
        &mut self,
        now: u64,
        namespace: &[u8],
        key: &[u8],
        edit: impl FnOnce(&mut V, u64) -> Result<(R, Fate), E>,
    ) -> Option<Result<R, E>> {
        let probe = self.probe(namespace, key);
        let mut entry = self.cache.get_mut(&probe)?;
        if entry.expires_at <= now {
            drop(entry);
            self.remove_expired(&probe);
            return None;
        }
        let expires_at = entry.expires_at;
        let (result, fate) = match edit(&mut entry.value, expires_at) {
            Ok(edited) => edited,
            Err(error) => return Some(Err(error)),
        };
        let slot = entry.slot;
        match fate {
            Fate::Untouched => drop(entry),
            Fate::Gone | Fate::Kept { ttl_ms: Some(0), .. } => {
                drop(entry);
                self.cache.remove(&probe);
                self.expiry.remove(slot);
            }
            Fate::Kept { size, ttl_ms } => {
                entry.weight = (namespace.len() + key.len() + size) as u64 + ENTRY_OVERHEAD;
                if let Some(ttl_ms) = ttl_ms {
                    entry.expires_at = expiry_after(now, ttl_ms);
                    self.expiry.update(slot, entry.expires_at);
                }
                drop(entry);
                if self.cache.weight() > self.cache.capacity() {
                    self.evict_for(&probe);
                }
                self.sweep(now, SWEEP_PER_WRITE);
            }
        }
        Some(Ok(result))
    }

    /// Evicts until the limit is kept again, after the entry under `probe` has grown in its place.
    fn evict_for(&mut self, probe: &Probe<'_>) {
        // Only putting a value in makes the policy evict, so the value is taken out and put back where it was: as
        // often read and as hot as before.
        let Some(mut entry) = self.cache.peek_mut(probe) else {
            return;
        };
        let same = Entry {
            value: std::mem::take(&mut entry.value),
            ..*entry
        };
        drop(entry);
        let stored = StoredKey::new(probe);
        let put_back = self
            .cache
            .replace_with_lifecycle(stored, same, true, &mut self.evicted);
        debug_assert!(put_back.is_ok(), "the entry was there a moment ago");
        // The policy reports what was replaced first: it is the emptied one, and its slot is still in use.
        for (_, entry) in self.evicted.drain(..).skip(1) {
            self.expiry.remove(entry.slot);
            self.evictions += 1;
        }
    }
}

/// What becomes of an entry after it was looked at for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It stays as it was.
    Untouched,
    /// It is removed.
    Gone,
    /// It stays with a value that counts as `size` bytes, for `ttl_ms` milliseconds from now or for as long as before.
    Kept {
        /// Bytes of the value.
        size: usize,
        /// A new time to live; 0 is over at once.
        ttl_ms: Option<u64>,
    },
}

/// One stored value.
struct Entry<V> {
    value: V,
    expires_at: u64,
    weight: u64,
    /// Its place in the expiry table.
    slot: u32,
}

/// An entry weighs what it was charged.
#[derive(Clone)]
struct Charged;

impl<V> Weighter<StoredKey, Entry<V>> for Charged {
    fn weight(&self, _key: &StoredKey, entry: &Entry<V>) -> u64 {
        entry.weight
    }
}

/// Hands what the policy evicts to the engine, which frees its expiry slot.
struct CollectEvicted<V>(std::marker::PhantomData<fn() -> V>);

impl<V> CollectEvicted<V> {
    fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<V> Lifecycle<StoredKey, Entry<V>> for CollectEvicted<V> {
    type RequestState = Vec<(StoredKey, Entry<V>)>;

    fn on_evict(&self, evicted: &mut Self::RequestState, key: StoredKey, entry: Entry<V>) {
        evicted.push((key, entry));
    }
}

#[cfg(test)]
mod tests;
