//! `_core.CacheEngine`, `_core.key_hash` and `_core.value_hash`: the storage engine bound to Python, plain values staying Python `bytes`.

use std::collections::hash_map::RandomState;
use std::convert::Infallible;
use std::hash::BuildHasher;
use std::time::Instant;

use protosocket_core::collections::sorted_set::Bound as ScoreBound;
use protosocket_core::collections::{CollectionTooLarge, Dictionary, Family, List, Room, Set, SortedSet};
use protosocket_core::engine::condition::Condition;
use protosocket_core::engine::item::Scalar;
use protosocket_core::engine::items::{CollectionTtl, Items, TtlChange};
use protosocket_core::engine::refused::Refused;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyString, PyType};

use crate::guarded::Guarded;

/// gRPC's INVALID_ARGUMENT, which is how the cache answers what it could never do.
const INVALID_ARGUMENT: u32 = 3;

/// gRPC's RESOURCE_EXHAUSTED, which is how the cache answers what is too large.
const RESOURCE_EXHAUSTED: u32 = 8;

/// gRPC's FAILED_PRECONDITION, which is how the cache answers a command on an item of another kind.
const FAILED_PRECONDITION: u32 = 9;

/// Elements of a collection, given as a sequence of `bytes`.
type Elements<'py> = Vec<Bound<'py, PyBytes>>;

/// Elements with their scores, as two lists.
type Scored<'py> = (Elements<'py>, Vec<f64>);

/// A plain value: the `bytes` object that was given. Of a class that derives from `bytes` it is a copy: dropping such
/// an object may run Python code.
struct Value(Py<PyBytes>);

impl Value {
    fn of(bytes: &Bound<'_, PyBytes>) -> Self {
        if bytes.is_exact_instance_of::<PyBytes>() {
            Self(bytes.clone().unbind())
        } else {
            Self(PyBytes::new(bytes.py(), bytes.as_bytes()).unbind())
        }
    }
}

impl Scalar for Value {
    fn read<R>(&self, read: impl FnOnce(&[u8]) -> R) -> R {
        Python::attach(|py| read(self.0.as_bytes(py)))
    }

    fn make(bytes: &[u8]) -> Self {
        Python::attach(|py| Self(PyBytes::new(py, bytes).unbind()))
    }
}

/// A bounded in-process store with a time to live per entry; one memory limit for all namespaces.
#[pyclass(frozen, module = "protosocket._core")]
pub struct CacheEngine {
    items: Guarded<Items<Value>>,
    started: Instant,
}

#[pymethods]
impl CacheEngine {
    /// An empty store that never charges more than `max_memory` bytes for keys, values and overhead.
    #[new]
    fn new(max_memory: u64) -> Self {
        Self {
            items: Guarded::new(Items::new(max_memory, RandomState::new().hash_one(0))),
            started: Instant::now(),
        }
    }

    /// The live value under the key, or None. CacheError (code 9) for a collection.
    #[pyo3(signature = (namespace, key, /))]
    fn get(&self, py: Python<'_>, namespace: Namespace<'_>, key: &[u8]) -> PyResult<Option<Py<PyBytes>>> {
        self.with(py, |items, now| {
            items.get(now, namespace.0, key, |value| value.0.clone_ref(py))
        })
        .map_err(|why| refused(py, why))
    }

    /// Stores value for ttl_ms milliseconds; 0 removes what was there. CacheError (code 8) if it can never fit.
    #[pyo3(signature = (namespace, key, value, ttl_ms, /))]
    fn set(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        value: Bound<'_, PyBytes>,
        ttl_ms: u64,
    ) -> PyResult<()> {
        let size = value.as_bytes().len();
        self.with(py, |items, now| {
            items.set(now, namespace.0, key, Value::of(&value), size, ttl_ms)
        })
        .map_err(|why| refused(py, why.into()))
    }

    /// Removes the entry, whatever it is; whether a live one was there.
    #[pyo3(signature = (namespace, key, /))]
    fn delete(&self, py: Python<'_>, namespace: Namespace<'_>, key: &[u8]) -> bool {
        self.with(py, |items, now| items.delete(now, namespace.0, key))
    }

    /// Stores value as set does if the condition holds; whether it did.
    #[pyo3(signature = (namespace, key, value, ttl_ms, condition, other, /))]
    #[expect(clippy::too_many_arguments, reason = "a write and its condition")]
    fn set_if(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        value: Bound<'_, PyBytes>,
        ttl_ms: u64,
        condition: u32,
        other: &[u8],
    ) -> PyResult<bool> {
        let condition = match condition {
            0 => Condition::Present,
            1 => Condition::Absent,
            2 => Condition::Equal(other),
            3 => Condition::NotEqual(other),
            4 => Condition::PresentAndNotEqual(other),
            5 => Condition::AbsentOrEqual(other),
            6 => Condition::PresentAndHashEqual(other),
            7 => Condition::PresentAndNotHashEqual(other),
            8 => Condition::AbsentOrHashEqual(other),
            9 => Condition::AbsentOrNotHashEqual(other),
            _ => return Err(PyValueError::new_err("there is no such condition")),
        };
        let size = value.as_bytes().len();
        let value = Value::of(&value);
        self.with(py, |items, now| {
            items.set_if(now, namespace.0, key, value, size, ttl_ms, condition)
        })
        .map_err(|why| refused(py, why))
    }

    /// Adds to the integer under the key, or sets it to amount, for ttl_ms milliseconds from now; the sum.
    #[pyo3(signature = (namespace, key, amount, ttl_ms, /))]
    fn increment(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        amount: i64,
        ttl_ms: u64,
    ) -> PyResult<i64> {
        self.with(py, |items, now| {
            items.increment(now, namespace.0, key, amount, ttl_ms)
        })
        .map_err(|why| refused(py, why))
    }

    /// The kind of the entry (Momento's ItemType) and the milliseconds it has left, or None.
    #[pyo3(signature = (namespace, key, /))]
    fn inspect(&self, py: Python<'_>, namespace: Namespace<'_>, key: &[u8]) -> Option<(u8, u64)> {
        let (kind, left) = self.with(py, |items, now| items.inspect(now, namespace.0, key))?;
        Some((kind as u8, left))
    }

    /// Changes the time to live: 0 overwrites, 1 only increases, 2 only decreases it; whether it did, None if nothing is there.
    #[pyo3(signature = (namespace, key, ttl_ms, change, /))]
    fn update_ttl(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        ttl_ms: u64,
        change: u32,
    ) -> PyResult<Option<bool>> {
        let change = match change {
            0 => TtlChange::Overwrite,
            1 => TtlChange::Increase,
            2 => TtlChange::Decrease,
            _ => return Err(PyValueError::new_err("there is no such change of a time to live")),
        };
        Ok(self.with(py, |items, now| {
            items.update_ttl(now, namespace.0, key, ttl_ms, change)
        }))
    }

    /// How many elements the collection of this kind has, or None.
    #[pyo3(signature = (namespace, key, kind, /))]
    fn length(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        kind: u32,
    ) -> PyResult<Option<usize>> {
        match kind {
            1 => self.read(py, namespace, key, |found: &Dictionary| found.len()),
            2 => self.read(py, namespace, key, |found: &Set| found.len()),
            3 => self.read(py, namespace, key, |found: &List| found.len()),
            4 => self.read(py, namespace, key, |found: &SortedSet| found.len()),
            _ => Err(no_such_kind()),
        }
    }

    /// Removes the collection of this kind; whether there was one.
    #[pyo3(signature = (namespace, key, kind, /))]
    fn clear(&self, py: Python<'_>, namespace: Namespace<'_>, key: &[u8], kind: u32) -> PyResult<bool> {
        match kind {
            1 => self.empty::<Dictionary>(py, namespace, key),
            2 => self.empty::<Set>(py, namespace, key),
            3 => self.empty::<List>(py, namespace, key),
            4 => self.empty::<SortedSet>(py, namespace, key),
            _ => Err(no_such_kind()),
        }
    }

    /// Sets fields of a dictionary to values.
    #[pyo3(signature = (namespace, key, fields, values, ttl_ms, refresh, /))]
    #[expect(clippy::too_many_arguments, reason = "two lists and a time to live")]
    fn dictionary_set(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        fields: Elements<'_>,
        values: Elements<'_>,
        ttl_ms: u64,
        refresh: bool,
    ) -> PyResult<()> {
        if fields.len() != values.len() {
            return Err(PyValueError::new_err("there are not as many values as fields"));
        }
        let items: Vec<_> = fields
            .iter()
            .zip(&values)
            .map(|(field, value)| (field.as_bytes(), value.as_bytes()))
            .collect();
        let ttl = CollectionTtl { ttl_ms, refresh };
        self.write(py, namespace, key, ttl, |found: &mut Dictionary, room| {
            found.set(&items, room)
        })
    }

    /// The values of fields, None for those that are not there, or None without the dictionary.
    #[pyo3(signature = (namespace, key, fields, /))]
    fn dictionary_get<'py>(
        &self,
        py: Python<'py>,
        namespace: Namespace<'_>,
        key: &[u8],
        fields: Elements<'_>,
    ) -> PyResult<Option<Vec<Option<Bound<'py, PyBytes>>>>> {
        let fields = slices(&fields);
        let values = self.read(py, namespace, key, |found: &Dictionary| {
            let values = found.get_all(&fields)?;
            Ok(values
                .into_iter()
                .map(|value| value.map(|value| PyBytes::new(py, value)))
                .collect())
        })?;
        values
            .transpose()
            .map_err(|why: CollectionTooLarge| refused(py, why.into()))
    }

    /// All fields and their values, in the same order, or None.
    #[pyo3(signature = (namespace, key, /))]
    fn dictionary_fetch<'py>(
        &self,
        py: Python<'py>,
        namespace: Namespace<'_>,
        key: &[u8],
    ) -> PyResult<Option<(Elements<'py>, Elements<'py>)>> {
        self.read(py, namespace, key, |found: &Dictionary| {
            found
                .iter()
                .map(|(field, value)| (PyBytes::new(py, field), PyBytes::new(py, value)))
                .unzip()
        })
    }

    /// Adds to the integer in a field, or sets it to amount; the sum.
    #[pyo3(signature = (namespace, key, field, amount, ttl_ms, refresh, /))]
    #[expect(clippy::too_many_arguments, reason = "a field, an amount and a time to live")]
    fn dictionary_increment(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        field: &[u8],
        amount: i64,
        ttl_ms: u64,
        refresh: bool,
    ) -> PyResult<i64> {
        let ttl = CollectionTtl { ttl_ms, refresh };
        self.write(py, namespace, key, ttl, |found: &mut Dictionary, room| {
            found.increment(field, amount, room)
        })
    }

    /// Removes fields; whether there is the dictionary.
    #[pyo3(signature = (namespace, key, fields, /))]
    fn dictionary_remove(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        fields: Elements<'_>,
    ) -> PyResult<bool> {
        let edited = self.edit(py, namespace, key, None, |found: &mut Dictionary| {
            found.remove(&slices(&fields));
        });
        edited.map(|found| found.is_some())
    }

    /// Adds elements to a set.
    #[pyo3(signature = (namespace, key, elements, ttl_ms, refresh, /))]
    fn set_add(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        elements: Elements<'_>,
        ttl_ms: u64,
        refresh: bool,
    ) -> PyResult<()> {
        let ttl = CollectionTtl { ttl_ms, refresh };
        self.write(py, namespace, key, ttl, |found: &mut Set, room| {
            found.add(&slices(&elements), room)
        })
    }

    /// Removes elements; whether there is the set.
    #[pyo3(signature = (namespace, key, elements, /))]
    fn set_remove(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        elements: Elements<'_>,
    ) -> PyResult<bool> {
        let edited = self.edit(py, namespace, key, None, |found: &mut Set| {
            found.remove(&slices(&elements));
        });
        edited.map(|found| found.is_some())
    }

    /// Leaves those of the elements that were not in the set; whether there is the set.
    #[pyo3(signature = (namespace, key, elements, /))]
    fn set_subtract_from(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        elements: Elements<'_>,
    ) -> PyResult<bool> {
        self.with(py, |items, now| {
            items.edit(now, namespace.0, key, None, |found: &mut Set, room| {
                found.subtract_from(&slices(&elements), room)
            })
        })
        .map(|found| found.is_some())
        .map_err(|why| refused(py, why))
    }

    /// All elements of a set, or None.
    #[pyo3(signature = (namespace, key, /))]
    fn set_fetch<'py>(
        &self,
        py: Python<'py>,
        namespace: Namespace<'_>,
        key: &[u8],
    ) -> PyResult<Option<Elements<'py>>> {
        self.read(py, namespace, key, |found: &Set| objects(py, found.iter()))
    }

    /// Up to count different elements at random, or None.
    #[pyo3(signature = (namespace, key, count, /))]
    fn set_sample<'py>(
        &self,
        py: Python<'py>,
        namespace: Namespace<'_>,
        key: &[u8],
        count: usize,
    ) -> PyResult<Option<Elements<'py>>> {
        let draw = self.with(py, |items, _| items.draw());
        self.read(py, namespace, key, |found: &Set| {
            objects(py, found.sample(count, draw).into_iter())
        })
    }

    /// Takes up to count elements out at random, or None.
    #[pyo3(signature = (namespace, key, count, /))]
    fn set_pop<'py>(
        &self,
        py: Python<'py>,
        namespace: Namespace<'_>,
        key: &[u8],
        count: usize,
    ) -> PyResult<Option<Elements<'py>>> {
        let draw = self.with(py, |items, _| items.draw());
        self.edit(py, namespace, key, None, |found: &mut Set| {
            let taken = found.pop(count, draw);
            objects(py, taken.iter().map(AsRef::as_ref))
        })
    }

    /// Whether each of the elements is in the set, or None.
    #[pyo3(signature = (namespace, key, elements, /))]
    fn set_contains(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        elements: Elements<'_>,
    ) -> PyResult<Option<Vec<bool>>> {
        self.read(py, namespace, key, |found: &Set| {
            elements
                .iter()
                .map(|element| found.contains(element.as_bytes()))
                .collect()
        })
    }

    /// Adds values at an end of a list and drops what is over keep (None: nothing) at the other; the new length.
    #[pyo3(signature = (namespace, key, values, front, keep, ttl_ms, refresh, /))]
    #[expect(
        clippy::too_many_arguments,
        reason = "values, where they go and a time to live"
    )]
    fn list_push(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        values: Elements<'_>,
        front: bool,
        keep: Option<usize>,
        ttl_ms: u64,
        refresh: bool,
    ) -> PyResult<usize> {
        let ttl = CollectionTtl { ttl_ms, refresh };
        self.write(py, namespace, key, ttl, |found: &mut List, room| {
            let values = slices(&values);
            if front {
                found.push_front(&values, keep, room)?;
            } else {
                found.push_back(&values, keep, room)?;
            }
            Ok::<_, CollectionTooLarge>(found.len())
        })
    }

    /// Takes an element out at an end of a list; it and the new length, or None.
    #[pyo3(signature = (namespace, key, front, /))]
    fn list_pop<'py>(
        &self,
        py: Python<'py>,
        namespace: Namespace<'_>,
        key: &[u8],
        front: bool,
    ) -> PyResult<Option<(Bound<'py, PyBytes>, usize)>> {
        let popped = self.edit(py, namespace, key, None, |found: &mut List| {
            let value = if front {
                found.pop_front()
            } else {
                found.pop_back()
            };
            value.map(|value| (PyBytes::new(py, &value), found.len()))
        });
        popped.map(Option::flatten)
    }

    /// The elements from start to end, as Python slices, or None.
    #[pyo3(signature = (namespace, key, start, end, /))]
    fn list_fetch<'py>(
        &self,
        py: Python<'py>,
        namespace: Namespace<'_>,
        key: &[u8],
        start: Option<i32>,
        end: Option<i32>,
    ) -> PyResult<Option<Elements<'py>>> {
        self.read(py, namespace, key, |found: &List| {
            objects(py, found.fetch(start, end))
        })
    }

    /// Leaves the elements from start to end, as Python slices; the new length, or None.
    #[pyo3(signature = (namespace, key, start, end, ttl_ms, refresh, /))]
    #[expect(clippy::too_many_arguments, reason = "a slice and a time to live")]
    fn list_retain(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        start: Option<i32>,
        end: Option<i32>,
        ttl_ms: u64,
        refresh: bool,
    ) -> PyResult<Option<usize>> {
        let ttl = CollectionTtl { ttl_ms, refresh };
        self.edit(py, namespace, key, Some(ttl), |found: &mut List| {
            found.retain(start, end);
            found.len()
        })
    }

    /// Removes every element equal to value; the new length, or None.
    #[pyo3(signature = (namespace, key, value, /))]
    fn list_remove(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        value: &[u8],
    ) -> PyResult<Option<usize>> {
        self.edit(py, namespace, key, None, |found: &mut List| {
            found.remove(value);
            found.len()
        })
    }

    /// Removes what is in any of the ranges, each a first index and a count; the new length, or None.
    #[pyo3(signature = (namespace, key, ranges, /))]
    fn list_erase(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        ranges: Vec<(u32, u32)>,
    ) -> PyResult<Option<usize>> {
        self.edit(py, namespace, key, None, |found: &mut List| {
            found.erase(&ranges);
            found.len()
        })
    }

    /// Sets the scores of elements of a sorted set.
    #[pyo3(signature = (namespace, key, values, scores, ttl_ms, refresh, /))]
    #[expect(clippy::too_many_arguments, reason = "two lists and a time to live")]
    fn sorted_set_put(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        values: Elements<'_>,
        scores: Vec<f64>,
        ttl_ms: u64,
        refresh: bool,
    ) -> PyResult<()> {
        let elements = scored(&values, &scores)?;
        let ttl = CollectionTtl { ttl_ms, refresh };
        self.write(py, namespace, key, ttl, |found: &mut SortedSet, room| {
            found.put(&elements, room)
        })
    }

    /// Stores a sorted set of these elements, whatever was there; nothing if there are none.
    #[pyo3(signature = (namespace, key, values, scores, ttl_ms, /))]
    fn sorted_set_store(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        values: Elements<'_>,
        scores: Vec<f64>,
        ttl_ms: u64,
    ) -> PyResult<()> {
        let elements = scored(&values, &scores)?;
        let mut new = SortedSet::default();
        let room = self.with(py, |items, _| items.room(namespace.0, key));
        new.put(&elements, room).map_err(|why| refused(py, why.into()))?;
        self.with(py, |items, now| items.store(now, namespace.0, key, new, ttl_ms))
            .map_err(|why| refused(py, why.into()))
    }

    /// Adds to the score of an element, or sets it to amount; the sum.
    #[pyo3(signature = (namespace, key, value, amount, ttl_ms, refresh, /))]
    #[expect(
        clippy::too_many_arguments,
        reason = "an element, an amount and a time to live"
    )]
    fn sorted_set_increment(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        value: &[u8],
        amount: f64,
        ttl_ms: u64,
        refresh: bool,
    ) -> PyResult<f64> {
        let ttl = CollectionTtl { ttl_ms, refresh };
        self.write(py, namespace, key, ttl, |found: &mut SortedSet, room| {
            found.increment(value, amount, room)
        })
    }

    /// Removes elements; whether there is the sorted set.
    #[pyo3(signature = (namespace, key, values, /))]
    fn sorted_set_remove(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        values: Elements<'_>,
    ) -> PyResult<bool> {
        let edited = self.edit(py, namespace, key, None, |found: &mut SortedSet| {
            found.remove(&slices(&values));
        });
        edited.map(|found| found.is_some())
    }

    /// The scores of elements, None for those that are not there, or None without the sorted set.
    #[pyo3(signature = (namespace, key, values, /))]
    fn sorted_set_scores(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        values: Elements<'_>,
    ) -> PyResult<Option<Vec<Option<f64>>>> {
        self.read(py, namespace, key, |found: &SortedSet| {
            values.iter().map(|value| found.get(value.as_bytes())).collect()
        })
    }

    /// How many elements come before this one, or None without it.
    #[pyo3(signature = (namespace, key, value, descending, /))]
    fn sorted_set_rank(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        value: &[u8],
        descending: bool,
    ) -> PyResult<Option<usize>> {
        let rank = self.read(py, namespace, key, |found: &SortedSet| {
            found.rank(value, descending)
        });
        rank.map(Option::flatten)
    }

    /// The elements with ranks from start to end, as Python slices, and their scores, or None.
    #[pyo3(signature = (namespace, key, start, end, descending, /))]
    fn sorted_set_by_rank<'py>(
        &self,
        py: Python<'py>,
        namespace: Namespace<'_>,
        key: &[u8],
        start: Option<i32>,
        end: Option<i32>,
        descending: bool,
    ) -> PyResult<Option<Scored<'py>>> {
        self.read(py, namespace, key, |found: &SortedSet| {
            lists(py, found.by_rank(start, end, descending))
        })
    }

    /// The elements with scores between two bounds, each a score and whether it is excluded, and their scores, or None.
    ///
    /// The first offset of them are left out, and at most count (None: all) are given.
    #[pyo3(signature = (namespace, key, least, most, descending, offset, count, /))]
    #[expect(clippy::too_many_arguments, reason = "two bounds and a page")]
    fn sorted_set_by_score<'py>(
        &self,
        py: Python<'py>,
        namespace: Namespace<'_>,
        key: &[u8],
        least: Option<(f64, bool)>,
        most: Option<(f64, bool)>,
        descending: bool,
        offset: usize,
        count: Option<usize>,
    ) -> PyResult<Option<Scored<'py>>> {
        let (least, most) = (bound(least), bound(most));
        self.read(py, namespace, key, |found: &SortedSet| {
            let elements = found.by_score(least, most, descending);
            lists(py, elements.skip(offset).take(count.unwrap_or(usize::MAX)))
        })
    }

    /// How many elements have scores between two bounds, or None.
    #[pyo3(signature = (namespace, key, least, most, /))]
    fn sorted_set_count(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        least: Option<(f64, bool)>,
        most: Option<(f64, bool)>,
    ) -> PyResult<Option<usize>> {
        let (least, most) = (bound(least), bound(most));
        self.read(py, namespace, key, |found: &SortedSet| {
            found.count_by_score(least, most)
        })
    }

    /// Notes that there is a cache of this name; whether there was none. CacheError if it is too long (code 3) or
    /// there are too many (code 8).
    #[pyo3(signature = (name, /))]
    fn create_cache(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        self.with(py, |items, _| items.create_cache(name))
            .map_err(|why| refused(py, why))
    }

    /// Removes the cache of this name with all its entries; whether there was one.
    #[pyo3(signature = (name, /))]
    fn delete_cache(&self, py: Python<'_>, name: &str) -> bool {
        self.with(py, |items, _| items.delete_cache(name))
    }

    /// The names of the caches that were created, sorted.
    fn caches(&self, py: Python<'_>) -> Vec<String> {
        self.with(py, |items, _| items.caches().map(str::to_owned).collect())
    }

    /// Removes all entries of a namespace; how many there were.
    #[pyo3(signature = (namespace, /))]
    fn flush(&self, py: Python<'_>, namespace: Namespace<'_>) -> usize {
        self.with(py, |items, _| items.flush(namespace.0))
    }

    /// Looks at up to limit entries after those of the last sweep, removes the expired and says how many.
    #[pyo3(signature = (limit, /))]
    fn sweep(&self, py: Python<'_>, limit: usize) -> usize {
        self.with(py, |items, now| items.sweep(now, limit))
    }

    /// The limit in bytes.
    #[getter]
    fn max_memory(&self, py: Python<'_>) -> u64 {
        self.with(py, |items, _| items.max_memory())
    }

    /// A dict of items, bytes_used, hits, misses, evictions and expired.
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let statistics = self.with(py, |items, _| items.statistics());
        let dict = PyDict::new(py);
        dict.set_item("items", statistics.items)?;
        dict.set_item("bytes_used", statistics.bytes_used)?;
        dict.set_item("hits", statistics.hits)?;
        dict.set_item("misses", statistics.misses)?;
        dict.set_item("evictions", statistics.evictions)?;
        dict.set_item("expired", statistics.expired)?;
        Ok(dict)
    }
}

impl CacheEngine {
    /// The live plain value under the key; None where `get` raises.
    #[inline]
    pub fn look_up(&self, py: Python<'_>, namespace: &str, key: &[u8]) -> Option<Option<Py<PyBytes>>> {
        self.with(py, |items, now| {
            items.get(now, namespace.as_bytes(), key, |value| value.0.clone_ref(py))
        })
        .ok()
    }

    /// Stores a value; None, and nothing is changed, where `set` raises.
    #[inline]
    pub fn store(
        &self,
        py: Python<'_>,
        namespace: &str,
        key: &[u8],
        value: &[u8],
        ttl_ms: u64,
    ) -> Option<()> {
        let kept = Value(PyBytes::new(py, value).unbind());
        self.with(py, |items, now| {
            items.set(now, namespace.as_bytes(), key, kept, value.len(), ttl_ms)
        })
        .ok()
    }

    /// Removes the entry, whatever it is.
    #[inline]
    pub fn remove(&self, py: Python<'_>, namespace: &str, key: &[u8]) {
        self.with(py, |items, now| items.delete(now, namespace.as_bytes(), key));
    }

    /// Borrows the items, at this moment.
    #[inline]
    fn with<R>(&self, py: Python<'_>, act: impl FnOnce(&mut Items<Value>, u64) -> R) -> R {
        let now = self.now();
        act(&mut self.items.borrow(py), now)
    }

    fn now(&self) -> u64 {
        // 584 years of nanoseconds fit.
        self.started.elapsed().as_nanos() as u64
    }

    fn read<C: Family, R>(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        read: impl FnOnce(&C) -> R,
    ) -> PyResult<Option<R>> {
        self.with(py, |items, now| items.read(now, namespace.0, key, read))
            .map_err(|why| refused(py, why))
    }

    /// A change that makes nothing larger, of a collection that is there.
    fn edit<C: Family, R>(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        ttl: Option<CollectionTtl>,
        edit: impl FnOnce(&mut C) -> R,
    ) -> PyResult<Option<R>> {
        self.with(py, |items, now| {
            items.edit(now, namespace.0, key, ttl, |found: &mut C, _| {
                Ok::<_, Infallible>(edit(found))
            })
        })
        .map_err(|why| refused(py, why))
    }

    /// A change of a collection that is there or is made.
    fn write<C: Family, R, E: Into<Refused>>(
        &self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        ttl: CollectionTtl,
        edit: impl FnOnce(&mut C, Room) -> Result<R, E>,
    ) -> PyResult<R> {
        self.with(py, |items, now| {
            items.edit_or_create(now, namespace.0, key, ttl, edit)
        })
        .map_err(|why| refused(py, why))
    }

    fn empty<C: Family>(&self, py: Python<'_>, namespace: Namespace<'_>, key: &[u8]) -> PyResult<bool> {
        let emptied = self.edit(py, namespace, key, None, |found: &mut C| *found = C::default());
        emptied.map(|found| found.is_some())
    }
}

/// The stable 64-bit hash (XXH3) of a key.
#[pyfunction]
#[pyo3(signature = (key, /))]
pub fn key_hash(key: &[u8]) -> u64 {
    protosocket_core::engine::key_hash(key)
}

/// The hash of 16 bytes (XXH3) that stands for a value in conditions of set_if.
#[pyfunction]
#[pyo3(signature = (value, /))]
pub fn value_hash<'py>(py: Python<'py>, value: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &protosocket_core::engine::value_hash(value))
}

/// The bytes of a namespace's name, borrowed from the `str` or `bytes` given.
struct Namespace<'a>(&'a [u8]);

impl<'a, 'py> FromPyObject<'a, 'py> for Namespace<'a> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if object.is_instance_of::<PyString>() {
            Ok(Self(object.extract::<&str>()?.as_bytes()))
        } else if object.is_instance_of::<PyBytes>() {
            Ok(Self(object.extract()?))
        } else {
            Err(PyTypeError::new_err("a namespace is str or bytes"))
        }
    }
}

fn slices<'a>(elements: &'a [Bound<'_, PyBytes>]) -> Vec<&'a [u8]> {
    elements.iter().map(|element| element.as_bytes()).collect()
}

fn objects<'py, 'a>(py: Python<'py>, elements: impl Iterator<Item = &'a [u8]>) -> Elements<'py> {
    elements.map(|element| PyBytes::new(py, element)).collect()
}

fn lists<'py, 'a>(py: Python<'py>, elements: impl Iterator<Item = (&'a [u8], f64)>) -> Scored<'py> {
    elements
        .map(|(element, score)| (PyBytes::new(py, element), score))
        .unzip()
}

fn scored<'a>(values: &'a [Bound<'_, PyBytes>], scores: &[f64]) -> PyResult<Vec<(&'a [u8], f64)>> {
    if values.len() != scores.len() {
        return Err(PyValueError::new_err("there are not as many scores as values"));
    }
    Ok(values
        .iter()
        .zip(scores)
        .map(|(value, score)| (value.as_bytes(), *score))
        .collect())
}

fn bound(bound: Option<(f64, bool)>) -> ScoreBound {
    match bound {
        None => ScoreBound::Unbounded,
        Some((score, true)) => ScoreBound::Exclusive(score),
        Some((score, false)) => ScoreBound::Inclusive(score),
    }
}

fn no_such_kind() -> PyErr {
    PyValueError::new_err("there is no such kind of collection")
}

fn refused(py: Python<'_>, why: Refused) -> PyErr {
    static CACHE_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let code = match why {
        Refused::CacheNameTooLong { .. } => INVALID_ARGUMENT,
        Refused::WrongKind { .. } | Refused::NotCountable(_) => FAILED_PRECONDITION,
        Refused::EntryTooLarge(_) | Refused::CollectionTooLarge(_) | Refused::TooManyCaches => {
            RESOURCE_EXHAUSTED
        }
    };
    let raise = || -> PyResult<PyErr> {
        let class = CACHE_ERROR.import(py, "protosocket.errors", "CacheError")?;
        let text = why.to_string();
        let details = PyDict::new(py);
        details.set_item("code", code)?;
        details.set_item("detail", &text)?;
        Ok(PyErr::from_value(class.call((text,), Some(&details))?))
    };
    raise().unwrap_or_else(|failed| failed)
}
