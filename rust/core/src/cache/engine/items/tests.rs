//! Tests of what a storage does with its entries: by example, and against a map of lists.

use std::collections::HashMap;
use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::cache::collections::{CollectionTooLarge, Dictionary, List, Set, SortedSet};
use crate::cache::engine::value_hash;

const MS: u64 = NANOSECONDS_PER_MILLISECOND;

fn items(limit: u64) -> Items<Vec<u8>> {
    Items::new(limit, 3)
}

fn set(items: &mut Items<Vec<u8>>, now: u64, key: &[u8], value: &[u8], ttl_ms: u64) {
    items
        .set(now, b"n", key, value.to_vec(), value.len(), ttl_ms)
        .unwrap();
}

fn get(items: &mut Items<Vec<u8>>, now: u64, key: &[u8]) -> Result<Option<Vec<u8>>, Refused> {
    items.get(now, b"n", key, Clone::clone)
}

fn add(items: &mut Items<Vec<u8>>, now: u64, key: &[u8], ttl_ms: u64, refresh: bool) {
    let ttl = CollectionTtl { ttl_ms, refresh };
    items
        .edit_or_create::<Set, _, _>(now, b"n", key, ttl, |set, capacity| set.add(&[b"e"], capacity))
        .unwrap();
}

#[test]
fn conditions_hold_as_they_say() {
    let hash = value_hash(b"a");
    let cases: [(Condition<'_>, [bool; 3]); 10] = [
        // Nothing there, "a" there, "b" there.
        (Condition::Present, [false, true, true]),
        (Condition::Absent, [true, false, false]),
        (Condition::Equal(b"a"), [false, true, false]),
        (Condition::NotEqual(b"a"), [true, false, true]),
        (Condition::PresentAndNotEqual(b"a"), [false, false, true]),
        (Condition::AbsentOrEqual(b"a"), [true, true, false]),
        (Condition::PresentAndHashEqual(&hash), [false, true, false]),
        (Condition::PresentAndNotHashEqual(&hash), [false, false, true]),
        (Condition::AbsentOrHashEqual(&hash), [true, true, false]),
        (Condition::AbsentOrNotHashEqual(&hash), [true, false, true]),
    ];
    for (condition, expected) in cases {
        for (there, expected) in [None, Some(b"a"), Some(b"b")].into_iter().zip(expected) {
            let mut items = items(1 << 20);
            if let Some(there) = there {
                set(&mut items, 0, b"k", there, 10);
            }
            let stored = items.set_if(0, b"n", b"k", b"new".to_vec(), 3, 10, condition);
            assert_eq!(stored, Ok(expected), "{condition:?} {there:?}");
            let left = if expected {
                Some(b"new".to_vec())
            } else {
                there.map(|b| b.to_vec())
            };
            assert_eq!(get(&mut items, 0, b"k"), Ok(left));
        }
    }
}

#[test]
fn the_wrong_kind_is_refused_and_stays() {
    let mut items = items(1 << 20);
    set(&mut items, 0, b"scalar", b"5", 10);
    add(&mut items, 0, b"set", 10, false);
    let not_a_scalar = Refused::WrongKind {
        found: Kind::Set,
        wanted: Kind::Scalar,
    };
    assert_eq!(get(&mut items, 0, b"set"), Err(not_a_scalar));
    assert_eq!(items.increment(0, b"n", b"set", 1, 10), Err(not_a_scalar));
    let equal = Condition::Equal(b"e");
    assert_eq!(
        items.set_if(0, b"n", b"set", vec![], 0, 10, equal),
        Err(not_a_scalar)
    );
    let ttl = CollectionTtl {
        ttl_ms: 10,
        refresh: true,
    };
    let refused = items.edit_or_create::<Dictionary, _, _>(0, b"n", b"scalar", ttl, |found, capacity| {
        found.set(&[(b"f", b"v")], capacity)
    });
    let not_a_dictionary = Refused::WrongKind {
        found: Kind::Scalar,
        wanted: Kind::Dictionary,
    };
    assert_eq!(refused, Err(not_a_dictionary));
    assert_eq!(
        items.read::<SortedSet, _>(0, b"n", b"set", |_| ()),
        Err(Refused::WrongKind {
            found: Kind::Set,
            wanted: Kind::SortedSet
        })
    );
    assert_eq!(items.increment(0, b"n", b"scalar", 2, 10), Ok(7));
    assert_eq!(items.inspect(0, b"n", b"set"), Some((Kind::Set, 10)));
    set(&mut items, 0, b"set", b"a plain value replaces anything", 10);
    assert_eq!(items.inspect(0, b"n", b"set"), Some((Kind::Scalar, 10)));
}

#[test]
fn times_to_live_change_as_they_should() {
    let mut items = items(1 << 20);
    set(&mut items, 0, b"k", b"v", 100);
    let mut update = |ttl, change| items.update_ttl(0, b"n", b"k", ttl, change);
    assert_eq!(update(50, TtlChange::Increase), Some(false));
    assert_eq!(update(200, TtlChange::Increase), Some(true));
    assert_eq!(update(300, TtlChange::Decrease), Some(false));
    assert_eq!(update(150, TtlChange::Decrease), Some(true));
    assert_eq!(update(170, TtlChange::Overwrite), Some(true));
    assert_eq!(items.inspect(MS / 2, b"n", b"k"), Some((Kind::Scalar, 170)));
    assert_eq!(
        items.update_ttl(170 * MS, b"n", b"k", 1, TtlChange::Overwrite),
        None
    );
    assert_eq!(items.statistics().items, 0);
    set(&mut items, 0, b"k", b"v", 100);
    assert_eq!(
        items.update_ttl(0, b"n", b"k", 0, TtlChange::Overwrite),
        Some(true)
    );
    assert_eq!(items.statistics().items, 0);
}

#[test]
fn a_collection_lives_on_only_if_it_is_refreshed() {
    let mut items = items(1 << 20);
    add(&mut items, 0, b"k", 10, false);
    add(&mut items, 5 * MS, b"k", 10, false);
    assert_eq!(items.inspect(5 * MS, b"n", b"k"), Some((Kind::Set, 5)));
    add(&mut items, 5 * MS, b"k", 10, true);
    assert_eq!(items.inspect(5 * MS, b"n", b"k"), Some((Kind::Set, 10)));
    // The sweep goes by the refreshed time.
    assert_eq!(items.sweep(14 * MS, 10), 0);
    assert_eq!(items.sweep(15 * MS, 10), 1);
}

#[test]
fn an_emptied_collection_is_gone() {
    let mut items = items(1 << 20);
    add(&mut items, 0, b"k", 10, false);
    let edited = items.edit::<Set, _, Infallible>(0, b"n", b"k", None, |set, _| {
        set.remove(&[b"e"]);
        Ok(())
    });
    assert_eq!(edited, Ok(Some(())));
    assert_eq!(items.inspect(0, b"n", b"k"), None);
    assert_eq!((items.statistics().items, items.statistics().bytes_used), (0, 0));
}

/// Grows a collection by 10,000 elements, shrinks it to 10, and grows it again; each time its places are looked at.
fn grown_and_shrunk<C: Family>(
    put: impl Fn(&mut C, &[&[u8]], Capacity),
    remove: impl Fn(&mut C, &[&[u8]]),
    shown: impl Fn(&C) -> Vec<Vec<u8>>,
) {
    let mut items = items(1 << 24);
    let elements: Vec<Vec<u8>> = (0..10_000_u32).map(|each| each.to_be_bytes().to_vec()).collect();
    let elements: Vec<&[u8]> = elements.iter().map(Vec::as_slice).collect();
    let ttl = CollectionTtl {
        ttl_ms: 10,
        refresh: false,
    };
    let grow = |items: &mut Items<Vec<u8>>| {
        items
            .edit_or_create::<C, _, Infallible>(0, b"n", b"k", ttl, |found, capacity| {
                put(found, &elements, capacity);
                Ok(())
            })
            .unwrap();
    };
    let held = |items: &mut Items<Vec<u8>>| {
        let read = items.read::<C, _>(0, b"n", b"k", |found| (shown(found), found.places()));
        let (mut shown, places) = read.unwrap().unwrap();
        shown.sort();
        (shown, places)
    };
    grow(&mut items);
    assert!(held(&mut items).1 >= 10_000);
    // A few at a time, as clients do it, and never more than a few places too many.
    for batch in elements[10..].chunks(90) {
        items
            .edit::<C, _, Infallible>(0, b"n", b"k", None, |found, _| {
                remove(found, batch);
                Ok(())
            })
            .unwrap();
        let (shown, places) = held(&mut items);
        assert!(places <= 64.max(shown.len() * 4), "{places} for {}", shown.len());
    }
    assert_eq!(held(&mut items).0, &elements[..10]);
    grow(&mut items);
    let (mut shown, _) = held(&mut items);
    shown.dedup();
    assert_eq!(shown, elements);
}

#[test]
fn a_collection_that_shrinks_gives_its_memory_back() {
    grown_and_shrunk::<List>(
        |list, values, capacity| list.push_back(values, None, capacity).unwrap(),
        |list, gone| gone.iter().for_each(|_| drop(list.pop_back())),
        |list| list.fetch(None, None).map(<[u8]>::to_vec).collect(),
    );
    grown_and_shrunk::<Set>(
        |set, elements, capacity| set.add(elements, capacity).unwrap(),
        Set::remove,
        |set| set.iter().map(<[u8]>::to_vec).collect(),
    );
    grown_and_shrunk::<Dictionary>(
        |dictionary, fields, capacity| {
            let pairs: Vec<(&[u8], &[u8])> = fields.iter().map(|field| (*field, b"v".as_slice())).collect();
            dictionary.set(&pairs, capacity).unwrap();
        },
        Dictionary::remove,
        |dictionary| dictionary.iter().map(|(field, _)| field.to_vec()).collect(),
    );
    grown_and_shrunk::<SortedSet>(
        |set, elements, capacity| {
            let pairs: Vec<(&[u8], f64)> = elements.iter().map(|element| (*element, 1.0)).collect();
            set.put(&pairs, capacity).unwrap();
        },
        SortedSet::remove,
        |set| {
            set.by_rank(None, None, false)
                .map(|(element, _)| element.to_vec())
                .collect()
        },
    );
}

#[test]
fn flushing_takes_one_namespace() {
    let mut items = items(1 << 20);
    for number in 0..100_u8 {
        set(&mut items, 0, &[number], b"v", 10);
        items.set(0, b"other", &[number], vec![], 0, 10).unwrap();
    }
    assert_eq!(items.flush(b"n"), 100);
    assert_eq!(items.statistics().items, 100);
    assert_eq!(get(&mut items, 0, &[1]), Ok(None));
    assert_eq!(items.flush(b"n"), 0);
    assert_eq!(items.sweep(10 * MS, 1000), 100);
}

#[test]
fn caches_have_names() {
    let mut items = items(1 << 20);
    assert_eq!(items.create_cache("n"), Ok(true));
    assert_eq!(items.create_cache("n"), Ok(false));
    assert_eq!(items.caches().collect::<Vec<_>>(), ["n"]);
    set(&mut items, 0, b"k", b"v", 10);
    assert!(items.delete_cache("n"));
    assert!(!items.delete_cache("n"));
    assert_eq!(get(&mut items, 0, b"k"), Ok(None));
}

#[test]
fn names_of_caches_are_short() {
    let mut items = items(1 << 20);
    let longest = "n".repeat(MAX_CACHE_NAME);
    assert_eq!(items.create_cache(&longest), Ok(true));
    let length = MAX_CACHE_NAME + 1;
    assert_eq!(
        items.create_cache(&(longest + "n")),
        Err(Refused::CacheNameTooLong { length })
    );
    assert_eq!(items.caches().count(), 1);
}

#[derive(Debug, Clone)]
enum Step {
    Set(u8, u16),
    Grow(u8, u16, bool),
    Pop(u8, u16),
    Read(u8),
    Delete(u8),
    Wait(u8),
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0_u8..16, 0_u16..900).prop_map(|(key, size)| Step::Set(key, size)),
        6 => (0_u8..16, 0_u16..900, any::<bool>()).prop_map(|(key, size, refresh)| Step::Grow(key, size, refresh)),
        2 => (0_u8..16, 0_u16..4).prop_map(|(key, count)| Step::Pop(key, count)),
        3 => (0_u8..16).prop_map(Step::Read),
        1 => (0_u8..16).prop_map(Step::Delete),
        1 => (0_u8..6).prop_map(Step::Wait),
        1 => Just(Step::Flush),
    ]
}

#[derive(Debug, Clone, PartialEq)]
enum Model {
    Plain(Vec<u8>),
    Listed(Vec<Vec<u8>>),
}

fn read_any(items: &mut Items<Vec<u8>>, now: u64, key: &[u8]) -> Option<Model> {
    match get(items, now, key) {
        Ok(found) => found.map(Model::Plain),
        Err(_) => items
            .read::<List, _>(now, b"n", key, |list| {
                Model::Listed(list.fetch(None, None).map(<[u8]>::to_vec).collect())
            })
            .unwrap(),
    }
}

proptest! {
    /// Growing and shrinking lists beside plain values against a map without a limit: the memory limit holds
    /// after every step, the charge is that of what is held, and with capacity for everything nothing is missing.
    #[test]
    fn agrees_with_a_map_of_lists(limit in prop_oneof![Just(6_000_u64), Just(1 << 22)],
                                  steps in proptest::collection::vec(step(), 1..200)) {
        let mut items = items(limit);
        let mut model: HashMap<u8, (Model, u64)> = HashMap::new();
        let mut now = 0;
        for step in steps {
            model.retain(|_, (_, end)| *end > now);
            match step {
                Step::Set(key, size) => {
                    let value = vec![key; size.into()];
                    set(&mut items, now, &[key], &value, 8);
                    model.insert(key, (Model::Plain(value), now + 8 * MS));
                }
                Step::Grow(key, size, refresh) => {
                    let value = vec![key; size.into()];
                    let ttl = CollectionTtl { ttl_ms: 8, refresh };
                    let done = items.edit_or_create::<List, _, _>(now, b"n", &[key], ttl, |list, capacity| {
                        list.push_back(&[&value], None, capacity)?;
                        Ok::<usize, CollectionTooLarge>(list.len())
                    });
                    match (done, model.get_mut(&key)) {
                        (Ok(1), _) => {
                            model.insert(key, (Model::Listed(vec![value]), now + 8 * MS));
                        }
                        (Ok(length), Some((Model::Listed(held), end))) => {
                            held.push(value);
                            prop_assert_eq!(length, held.len());
                            if refresh {
                                *end = now + 8 * MS;
                            }
                        }
                        (Err(Refused::WrongKind { .. }), Some((Model::Plain(_), _))) => {}
                        (Err(Refused::CollectionTooLarge(_)), _) => prop_assert!(limit == 6_000),
                        other => prop_assert!(false, "{other:?}"),
                    }
                }
                Step::Pop(key, count) => {
                    let done = items.edit::<List, _, Infallible>(now, b"n", &[key], None, |list, _| {
                        for _ in 0..count {
                            list.pop_front();
                        }
                        Ok(list.len())
                    });
                    if let Ok(Some(left)) = done {
                        let Some((Model::Listed(held), _)) = model.get_mut(&key) else {
                            return Err(TestCaseError::fail("a list nobody made"));
                        };
                        held.drain(..usize::from(count).min(held.len()));
                        prop_assert_eq!(left, held.len());
                        if held.is_empty() {
                            model.remove(&key);
                        }
                    }
                }
                Step::Read(key) => {
                    let found = read_any(&mut items, now, &[key]);
                    let expected = model.get(&key).map(|(value, _)| value.clone());
                    if found.is_some() || limit > 6_000 {
                        prop_assert_eq!(found, expected);
                    }
                }
                Step::Delete(key) => {
                    items.delete(now, b"n", &[key]);
                    model.remove(&key);
                }
                Step::Wait(ms) => now += u64::from(ms) * MS,
                Step::Flush => {
                    items.flush(b"n");
                    model.clear();
                }
            }
            let statistics = items.statistics();
            prop_assert!(statistics.bytes_used <= limit);
            let (charged, slots) = items.engine.held(|item| item.size() as u64);
            prop_assert_eq!(statistics.bytes_used, charged);
            prop_assert_eq!(slots as u64, statistics.items);
        }
    }
}
