//! From a class to its index: a hash table whose keys are the addresses of class objects.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Addresses differ in their middle bits; multiplication spreads them over the upper ones.
#[derive(Default)]
pub struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    #[inline]
    fn write_usize(&mut self, address: usize) {
        let product = (self.0 ^ address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ product >> 32;
    }
}

/// The indices of classes by their addresses; whoever holds one keeps the classes alive.
pub type ClassMap = HashMap<usize, usize, BuildHasherDefault<AddressHasher>>;
