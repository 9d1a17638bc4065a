//! Keys as the engine's table holds them and as they are asked for, and the hashes that others see.

use std::hash::{BuildHasher, Hash, Hasher};

use quick_cache::Equivalent;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128};

/// The stable 64-bit hash of a key (XXH3), the same on every machine: for consistent hashing over servers.
pub fn key_hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// A hash of 16 bytes (XXH3, big-endian) that stands for a value where sending the value would be too much.
pub fn value_hash(value: &[u8]) -> [u8; 16] {
    xxh3_128(value).to_be_bytes()
}

/// A key at rest: namespace and key in one allocation.
pub(super) struct StoredKey {
    pub(super) hash: u64,
    joined: Box<[u8]>,
    namespace_length: usize,
}

impl StoredKey {
    pub(super) fn new(probe: &Probe<'_>) -> Self {
        let mut joined = Vec::with_capacity(probe.namespace.len() + probe.key.len());
        joined.extend_from_slice(probe.namespace);
        joined.extend_from_slice(probe.key);
        Self {
            hash: probe.hash,
            joined: joined.into_boxed_slice(),
            namespace_length: probe.namespace.len(),
        }
    }

    #[cfg(test)]
    pub(super) fn length(&self) -> usize {
        self.joined.len()
    }

    pub(super) fn namespace(&self) -> &[u8] {
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
pub(super) struct Probe<'a> {
    hash: u64,
    namespace: &'a [u8],
    key: &'a [u8],
}

impl<'a> Probe<'a> {
    pub(super) fn new(seed: u64, namespace: &'a [u8], key: &'a [u8]) -> Self {
        // Seeding the key's hash with the namespace's keeps ("ab", "c") and ("a", "bc") apart without joining them.
        let hash = xxh3_64_with_seed(key, xxh3_64_with_seed(namespace, seed));
        Self { hash, namespace, key }
    }
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
pub(super) struct HashOnly(pub(super) u64);

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
pub(super) struct StoredHash(u64);

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
