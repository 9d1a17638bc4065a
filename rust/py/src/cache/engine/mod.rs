//! `_core.CacheEngine`: the storage engine bound to Python, plain values staying Python `bytes`.

mod convert;
mod dictionaries;
mod lists;
mod sets;
mod sorted_sets;

use std::collections::hash_map::RandomState;
use std::convert::Infallible;
use std::hash::BuildHasher;
use std::time::Instant;

use protosocket_core::cache::collections::{Capacity, Dictionary, Family, List, Set, SortedSet};
use protosocket_core::cache::commands::execute;
use protosocket_core::cache::engine::condition::Condition;
use protosocket_core::cache::engine::item::Scalar;
use protosocket_core::cache::engine::items::{CollectionTtl, Items, TtlChange};
use protosocket_core::cache::engine::refused::Refused;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::guarded::Guarded;
use convert::{Namespace, no_such_kind, refused};

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
    /// Executes an encoded command natively; see `protosocket_core::cache::commands::execute`.
    #[inline]
    pub fn execute<'b>(&self, py: Python<'_>, command: &[u8], memory: &'b mut Vec<u8>) -> Option<&'b [u8]> {
        self.with(py, |items, now| execute(command, items, now, memory))
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
        edit: impl FnOnce(&mut C, Capacity) -> Result<R, E>,
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
