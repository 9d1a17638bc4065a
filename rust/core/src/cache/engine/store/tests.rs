//! Tests of the store: by example, and against a map without a limit.

use std::collections::HashMap;

use proptest::prelude::*;

use super::super::expiry::NANOSECONDS_PER_MILLISECOND;
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
    /// Against a map without a limit: never a wrong or dead value, never over the limit, and with capacity for
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
            prop_assert_eq!(engine.expiry.in_use() as u64, statistics.items);
        }
        if limit > 4_000 {
            prop_assert_eq!(engine.statistics().evictions, 0);
        }
    }
}
