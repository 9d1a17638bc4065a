//! The storage engine: a bounded key-value store with a time to live per entry; generic over the value, clock passed in.
//!
//! Eviction is `quick_cache`'s (CLOCK-PRO / S3-FIFO family, scan-resistant) over one byte budget for all namespaces.
//! Expiry is ours: checked on every read, and a cursor over a flat table of expiry times looks at a few
//! entries on every write, so that dead entries leave even if nobody reads them and no call ever does unbounded work.

pub mod condition;
pub mod item;
pub mod items;
pub mod refused;

use std::cell::RefCell;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};

use quick_cache::unsync::Cache;
use quick_cache::{Equivalent, Lifecycle, OptionsBuilder, Weighter};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128};

/// Bytes an entry is charged on top of its namespace, key and value: table slots, expiry slot, allocation
/// headers and its share of the policy's memory of evicted keys (measured, docs/decisions/0002-storage-engine.md).
pub const ENTRY_OVERHEAD: u64 = 256;

/// The share of the budget that the policy's hot section may take; no single entry may be larger than that.
const HOT_ALLOCATION: f64 = 0.97;

/// What an average entry is assumed to weigh; only sizes the policy's memory of evicted keys.
const ASSUMED_ENTRY: u64 = ENTRY_OVERHEAD + 256;

/// Expiry slots looked at on every write. Two, so that the cursor outruns the growth of the table.
const SWEEP_PER_WRITE: usize = 2;

const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

/// The stable 64-bit hash of a key (XXH3), the same on every machine: for consistent hashing over servers.
pub fn key_hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// A hash of 16 bytes (XXH3, big-endian) that stands for a value where sending the value would be too much.
pub fn value_hash(value: &[u8]) -> [u8; 16] {
    xxh3_128(value).to_be_bytes()
}

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
    pub fn room(&self, namespace: &[u8], key: &[u8]) -> usize {
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
        for _ in 0..limit.min(self.expiry.slots.len()) {
            if let Some(hash) = self.expiry.next_expired(now) {
                self.remove_expired_hash(hash, now);
            }
        }
        (self.expired - before) as usize
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
        // Seeding the key's hash with the namespace's keeps ("ab", "c") and ("a", "bc") apart without joining them.
        let hash = xxh3_64_with_seed(key, xxh3_64_with_seed(namespace, self.seed));
        Probe { hash, namespace, key }
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
    /// `edit` gets the value and when it expires, and sees to it that it grows to no more than `room`. With an
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
                    self.expiry.slots[slot as usize].expires_at = entry.expires_at;
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

fn expiry_after(now: u64, ttl_ms: u64) -> u64 {
    now.saturating_add(ttl_ms.saturating_mul(NANOSECONDS_PER_MILLISECOND))
}

/// One stored value.
struct Entry<V> {
    value: V,
    expires_at: u64,
    weight: u64,
    /// Its place in the expiry table.
    slot: u32,
}

/// A key at rest: namespace and key in one allocation.
struct StoredKey {
    hash: u64,
    joined: Box<[u8]>,
    namespace_length: usize,
}

impl StoredKey {
    fn new(probe: &Probe<'_>) -> Self {
        let mut joined = Vec::with_capacity(probe.namespace.len() + probe.key.len());
        joined.extend_from_slice(probe.namespace);
        joined.extend_from_slice(probe.key);
        Self {
            hash: probe.hash,
            joined: joined.into_boxed_slice(),
            namespace_length: probe.namespace.len(),
        }
    }

    fn namespace(&self) -> &[u8] {
        &self.joined[..self.namespace_length]
    }
}

impl Hash for StoredKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialEq for StoredKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && self.namespace_length == other.namespace_length
            && self.joined == other.joined
    }
}

impl Eq for StoredKey {}

/// A key asked for, borrowed from the caller.
struct Probe<'a> {
    hash: u64,
    namespace: &'a [u8],
    key: &'a [u8],
}

impl Hash for Probe<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<StoredKey> for Probe<'_> {
    fn equivalent(&self, stored: &StoredKey) -> bool {
        self.hash == stored.hash
            && self.namespace.len() == stored.namespace_length
            && self.namespace == &stored.joined[..stored.namespace_length]
            && self.key == &stored.joined[stored.namespace_length..]
    }
}

/// Any entry with this hash: enough for the sweep, which removes only what has expired anyway.
struct HashOnly(u64);

impl Hash for HashOnly {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

impl Equivalent<StoredKey> for HashOnly {
    fn equivalent(&self, stored: &StoredKey) -> bool {
        self.0 == stored.hash
    }
}

/// Keys carry their hash, so the table's hasher only hands it on.
#[derive(Clone, Default)]
struct StoredHash(u64);

impl BuildHasher for StoredHash {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl Hasher for StoredHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("keys write their hash as one u64");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
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

/// When each entry expires, in slots that a cursor walks round and round.
#[derive(Default)]
struct ExpiryTable {
    slots: Vec<ExpirySlot>,
    free: Vec<u32>,
    cursor: usize,
}

struct ExpirySlot {
    hash: u64,
    /// `NEVER` in a free slot.
    expires_at: u64,
}

const NEVER: u64 = u64::MAX;

impl ExpiryTable {
    fn insert(&mut self, hash: u64, expires_at: u64) -> u32 {
        let new = ExpirySlot { hash, expires_at };
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = new;
            return slot;
        }
        let slot = u32::try_from(self.slots.len()).expect("fewer than 4 billion entries");
        self.slots.push(new);
        slot
    }

    fn remove(&mut self, slot: u32) {
        self.slots[slot as usize].expires_at = NEVER;
        self.free.push(slot);
    }

    /// Moves the cursor by one slot; the hash there, if its entry has expired.
    fn next_expired(&mut self, now: u64) -> Option<u64> {
        if self.cursor >= self.slots.len() {
            self.cursor = 0;
        }
        let slot = self.slots.get(self.cursor)?;
        self.cursor += 1;
        (slot.expires_at != NEVER && slot.expires_at <= now).then_some(slot.hash)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const MS: u64 = NANOSECONDS_PER_MILLISECOND;

    fn get(engine: &mut Engine<u64>, now: u64, namespace: &[u8], key: &[u8]) -> Option<u64> {
        engine.get(now, namespace, key, |value| *value)
    }

    #[test]
    fn keeps_namespaces_apart() {
        let mut engine = Engine::new(1 << 20, 1);
        engine.set(0, b"ab", b"c", 1, 8, 1000).unwrap();
        engine.set(0, b"a", b"bc", 2, 8, 1000).unwrap();
        assert_eq!(get(&mut engine, 0, b"ab", b"c"), Some(1));
        assert_eq!(get(&mut engine, 0, b"a", b"bc"), Some(2));
        assert_eq!(get(&mut engine, 0, b"", b"abc"), None);
    }

    #[test]
    fn lives_exactly_its_time() {
        let mut engine = Engine::new(1 << 20, 1);
        engine.set(5 * MS, b"n", b"k", 1, 8, 10).unwrap();
        assert_eq!(get(&mut engine, 15 * MS - 1, b"n", b"k"), Some(1));
        assert_eq!(get(&mut engine, 15 * MS, b"n", b"k"), None);
        let statistics = engine.statistics();
        assert_eq!(
            (statistics.items, statistics.bytes_used, statistics.expired),
            (0, 0, 1)
        );
    }

    #[test]
    fn the_longest_time_is_for_ever() {
        let mut engine = Engine::new(1 << 20, 1);
        engine.set(1, b"n", b"k", 1, 8, u64::MAX).unwrap();
        assert_eq!(get(&mut engine, u64::MAX - 1, b"n", b"k"), Some(1));
    }

    #[test]
    fn a_time_of_zero_removes() {
        let mut engine = Engine::new(1 << 20, 1);
        engine.set(0, b"n", b"k", 1, 8, 1000).unwrap();
        engine.set(0, b"n", b"k", 2, 8, 0).unwrap();
        assert_eq!(get(&mut engine, 0, b"n", b"k"), None);
        assert_eq!(engine.statistics().items, 0);
    }

    #[test]
    fn refuses_what_can_never_fit_and_keeps_the_old() {
        let mut engine = Engine::new(10_000, 1);
        engine.set(0, b"n", b"k", 1, 8, 1000).unwrap();
        let refused = engine.set(0, b"n", b"k", 2, 10_000, 1000).unwrap_err();
        assert_eq!(
            refused,
            EntryTooLarge {
                needed: 10_002 + ENTRY_OVERHEAD,
                limit: 9_700
            }
        );
        assert_eq!(get(&mut engine, 0, b"n", b"k"), Some(1));
        engine
            .set(0, b"n", b"k", 3, 9_700 - 2 - ENTRY_OVERHEAD as usize, 1000)
            .unwrap();
        assert_eq!(get(&mut engine, 0, b"n", b"k"), Some(3));
    }

    #[test]
    fn a_bounded_sweep_clears_the_expired() {
        let mut engine = Engine::new(1 << 20, 1);
        for key in 0..100_u64 {
            engine
                .set(
                    0,
                    b"n",
                    &key.to_be_bytes(),
                    key,
                    8,
                    if key % 2 == 0 { 1 } else { 1000 },
                )
                .unwrap();
        }
        assert!(engine.sweep(2 * MS, 10) <= 10);
        engine.sweep(2 * MS, 100);
        let statistics = engine.statistics();
        assert_eq!((statistics.items, statistics.expired), (50, 50));
        assert_eq!(engine.sweep(2 * MS, 1000), 0);
    }

    #[test]
    fn writes_alone_keep_the_expired_from_piling_up() {
        let mut engine = Engine::new(1 << 30, 1);
        for step in 0..10_000_u64 {
            engine
                .set(step * MS, b"n", &step.to_be_bytes(), step, 8, 1)
                .unwrap();
        }
        assert!(engine.statistics().items < 10, "{:?}", engine.statistics());
    }

    #[test]
    fn a_scan_does_not_flush_what_is_read_often() {
        let mut engine = Engine::new(1000 * (ENTRY_OVERHEAD + 16), 1);
        for round in 0..3 {
            for key in 0..400_u64 {
                if round == 0 {
                    engine.set(0, b"", &key.to_be_bytes(), key, 8, 1000).unwrap();
                }
                get(&mut engine, 0, b"", &key.to_be_bytes());
            }
        }
        for key in 1_000_000..1_020_000_u64 {
            engine.set(0, b"", &key.to_be_bytes(), key, 8, 1000).unwrap();
        }
        let kept = (0..400_u64)
            .filter(|key| get(&mut engine, 0, b"", &key.to_be_bytes()).is_some())
            .count();
        assert!(kept > 350, "{kept} of 400 kept");
    }

    #[derive(Debug, Clone)]
    enum Step {
        Get(u8),
        Set(u8, u16, u8),
        Delete(u8),
        Wait(u8),
        Sweep(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0_u8..24).prop_map(Step::Get),
            4 => (0_u8..24, 0_u16..1200, 0_u8..20).prop_map(|(k, s, t)| Step::Set(k, s, t)),
            1 => (0_u8..24).prop_map(Step::Delete),
            2 => (0_u8..8).prop_map(Step::Wait),
            1 => (0_u8..8).prop_map(Step::Sweep),
        ]
    }

    proptest! {
        /// Against a map without a limit: never a wrong or dead value, never over the limit, and with room for
        /// everything never a live value missing; the charge is exactly that of the entries held.
        #[test]
        fn agrees_with_a_map(limit in prop_oneof![Just(4_000_u64), Just(1 << 20)],
                             steps in proptest::collection::vec(step(), 1..300)) {
            let mut engine = Engine::new(limit, 7);
            let mut model: HashMap<u8, (u64, u64)> = HashMap::new();
            let (mut now, mut version) = (0_u64, 0_u64);
            let (mut hits, mut misses) = (0_u64, 0_u64);
            for step in steps {
                match step {
                    Step::Get(key) => {
                        let expected = model.get(&key).filter(|(_, end)| *end > now).map(|(value, _)| *value);
                        let found = get(&mut engine, now, &[key % 3], &[key]);
                        if found.is_some() { hits += 1 } else { misses += 1 }
                        if found.is_some() || limit > 4_000 {
                            prop_assert_eq!(found, expected);
                        }
                    }
                    Step::Set(key, size, ttl) => {
                        version += 1;
                        let set = engine.set(now, &[key % 3], &[key], version, size.into(), ttl.into());
                        prop_assert!(set.is_ok());
                        model.insert(key, (version, now + u64::from(ttl) * MS));
                    }
                    Step::Delete(key) => {
                        let live = model.remove(&key).is_some_and(|(_, end)| end > now);
                        let deleted = engine.delete(now, &[key % 3], &[key]);
                        prop_assert!(deleted == live || (limit == 4_000 && !deleted));
                    }
                    Step::Wait(ms) => now += u64::from(ms) * MS,
                    Step::Sweep(count) => {
                        prop_assert!(engine.sweep(now, count.into()) <= count.into());
                    }
                }
                let statistics = engine.statistics();
                prop_assert!(statistics.bytes_used <= limit);
                prop_assert_eq!((statistics.hits, statistics.misses), (hits, misses));
                let charged: u64 = engine.cache.iter().map(|(_, entry)| entry.weight).sum();
                prop_assert_eq!(statistics.bytes_used, charged);
                let in_use = engine.expiry.slots.len() - engine.expiry.free.len();
                prop_assert_eq!(in_use as u64, statistics.items);
            }
            if limit > 4_000 {
                prop_assert_eq!(engine.statistics().evictions, 0);
            }
        }
    }
}
