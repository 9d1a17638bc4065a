//! Hash flooding: whether numbers, and tuples of them, were chosen as keys so that they collide in a dict of Python.
//!
//! CPython hashes a number to itself and probes further places in an order that everybody knows. Half a million keys, each
//! of which collides with all before it, take minutes. Texts and bytes are hashed with a secret and need no such care.

/// Keys of a dict from which on they are watched: if each of fewer collides with every other one, that takes a
/// millisecond.
pub const MIN_WATCHED: usize = 1024;

/// Places that a key may find taken, on the average over a dict. Keys that nobody chose badly find two, multiples of large
/// powers of two about ten.
const MAX_PROBES: usize = 64;

/// What a dict takes the numbers modulo of (CPython, `Include/pyhash.h`).
const MODULUS: u64 = (1 << 61) - 1;

/// No number has this hash.
const FREE: i64 = -1;

/// A dict of numbers that counts its probes: they are those of CPython's `Objects/dictobject.c`.
#[derive(Debug)]
pub struct Probes {
    /// The hashes; a power of two of them.
    table: Vec<i64>,
    used: usize,
    added: usize,
    met: usize,
}

impl Default for Probes {
    fn default() -> Self {
        Probes {
            table: vec![FREE; 8],
            used: 0,
            added: 0,
            met: 0,
        }
    }
}

impl Probes {
    /// Takes the hash of a number that is set, again or for the first time; false if too many keys have met.
    ///
    /// Few numbers have the same hash, so that those with the same one are taken for the same.
    pub fn add(&mut self, hash: i64) -> bool {
        self.set(hash, Some(hash))
    }

    /// The same for a key that is set for the first time, whoever has its hash.
    pub fn add_new(&mut self, hash: i64) -> bool {
        self.set(hash, None)
    }

    fn set(&mut self, hash: i64, same: Option<i64>) -> bool {
        self.added += 1;
        if self.used == self.table.len() * 2 / 3 {
            let longer = vec![FREE; (3 * self.used).next_power_of_two()];
            let before = std::mem::replace(&mut self.table, longer);
            for hash in before.into_iter().filter(|hash| *hash != FREE) {
                let place = self.find(hash, None);
                self.table[place] = hash;
            }
        }
        let place = self.find(hash, same);
        if self.table[place] == FREE {
            self.table[place] = hash;
            self.used += 1;
        }
        self.met <= MAX_PROBES * self.added.max(MIN_WATCHED)
    }

    /// Where a key with this hash is put: in the place of the one with the hash `same`, if there is one.
    fn find(&mut self, hash: i64, same: Option<i64>) -> usize {
        let mask = self.table.len() - 1;
        let mut rest = hash as u64;
        let mut place = rest as usize & mask;
        while self.table[place] != FREE && Some(self.table[place]) != same {
            self.met += 1;
            rest >>= 5;
            place = place.wrapping_mul(5).wrapping_add(rest as usize).wrapping_add(1) & mask;
        }
        place
    }
}

/// What Python's `hash` gives for an int.
pub fn hash_of_int(number: i128) -> i64 {
    let hash = (number.unsigned_abs() % u128::from(MODULUS)) as i64;
    signed(hash, number < 0)
}

/// What it gives for a float; for one that is no number it gives something else each time.
pub fn hash_of_float(number: f64) -> i64 {
    if !number.is_finite() {
        return if number < 0.0 { -314_159 } else { 314_159 };
    }
    let bits = number.to_bits();
    let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i64, bits & ((1 << 52) - 1));
    // The number is a whole one times a power of two, and 2^61 is 1 here.
    let (whole, exponent) = match exponent {
        0 => (fraction, -1074),
        _ => (fraction | 1 << 52, exponent - 1075),
    };
    let turns = exponent.rem_euclid(61) as u32;
    let turned = u128::from(whole) << turns;
    signed((turned % u128::from(MODULUS)) as i64, number < 0.0)
}

/// What it gives for a tuple, from the hashes of what is in it (CPython, `Objects/tupleobject.c`).
#[derive(Debug)]
pub struct HashOfTuple {
    sum: u64,
    length: u64,
}

/// The primes of xxHash.
const PRIMES: [u64; 3] = [
    0x9e37_79b1_85eb_ca87,
    0xc2b2_ae3d_27d4_eb4f,
    0x27d4_eb2f_1656_67c5,
];

impl Default for HashOfTuple {
    fn default() -> Self {
        HashOfTuple {
            sum: PRIMES[2],
            length: 0,
        }
    }
}

impl HashOfTuple {
    /// Takes the hash of what comes next in it.
    pub fn add(&mut self, hash: i64) {
        let sum = self.sum.wrapping_add((hash as u64).wrapping_mul(PRIMES[1]));
        self.sum = sum.rotate_left(31).wrapping_mul(PRIMES[0]);
        self.length += 1;
    }

    /// The hash of the whole.
    pub fn finish(self) -> i64 {
        match self.sum.wrapping_add(self.length ^ PRIMES[2] ^ 3_527_539) {
            u64::MAX => 1_546_275_796,
            hash => hash as i64,
        }
    }
}

fn signed(hash: i64, is_negative: bool) -> i64 {
    match if is_negative { -hash } else { hash } {
        -1 => -2,
        hash => hash,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(keys: impl IntoIterator<Item = i128>) -> bool {
        let mut places = Probes::default();
        keys.into_iter().all(|key| places.add(hash_of_int(key)))
    }

    #[test]
    fn keys_that_nobody_chose_badly_fit() {
        let mut random = 1u64;
        assert!(fit((0..100_000).map(|_| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            i128::from(random as i64)
        })));
        for step in [1, 3, 5, 1000, 4096, 65_537, 1 << 20, (1 << 31) - 1, 1 << 32] {
            assert!(fit((0..50_000).map(|each| each * step)), "{step}");
            assert!(fit((0..50_000).map(|each| -each * step)), "{step}");
        }
        for shift in 0..48 {
            assert!(fit((0..32_768i128).map(|each| each << shift)), "{shift}");
            assert!(fit((0..32_768i128).map(|each| (each << shift) - 1)), "{shift}");
        }
        assert!(fit([7].repeat(1_000_000)));
    }

    #[test]
    fn keys_that_were_chosen_to_meet_do_not() {
        // A third of the places, each the one after which the next is tried; then keys that try them all.
        let size = 1i128 << 17;
        let chain: Vec<i128> = std::iter::successors(Some(1), |place| Some((place * 5 + 1) % size))
            .take(40_000)
            .collect();
        assert!(fit(chain.iter().copied()));
        assert!(!fit(chain
            .iter()
            .copied()
            .chain((1..40_000).map(|turn| 1 + turn * size))));
        // The same one again and again, at the end of such a chain.
        let last = chain[..1_000].iter().copied().chain([1 + size].repeat(1_000_000));
        let _ = fit(last);
    }

    #[test]
    fn hashes_are_pythons() {
        let modulus = i128::from(MODULUS);
        for (number, hash) in [
            (0, 0),
            (-1, -2),
            (-2, -2),
            (modulus, 0),
            (modulus + 3, 3),
            (i128::from(u64::MAX), 7),
        ] {
            assert_eq!(hash_of_int(number), hash);
        }
        for (number, hash) in [
            (0.0, 0),
            (-1.0, -2),
            (1.5, 1_152_921_504_606_846_977),
            (1e300, 1_224_995_262_755_759_164),
            (5e-324, 16_777_216),
            (-0.1, -230_584_300_921_369_408),
            (f64::NEG_INFINITY, -314_159),
        ] {
            assert_eq!(hash_of_float(number), hash, "{number}");
        }
        for (hashes, hash) in [
            (&[][..], 5_740_354_900_026_072_187),
            (&[1, -2], -6_779_188_579_744_246_035),
            (&[0, 0, 0], 3_010_437_511_937_009_226),
        ] {
            let mut of_tuple = HashOfTuple::default();
            hashes.iter().for_each(|hash| of_tuple.add(*hash));
            assert_eq!(of_tuple.finish(), hash, "{hashes:?}");
        }
    }
}
