//! The engine's methods on lists.

use protosocket_core::cache::collections::{CollectionTooLarge, Family, List};
use protosocket_core::cache::engine::items::CollectionTtl;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::CacheEngine;
use super::convert::{Elements, Namespace, objects, slices};

#[pymethods]
impl CacheEngine {
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
        self.write(py, namespace, key, ttl, |found: &mut List, capacity| {
            let values = slices(&values);
            if front {
                found.push_front(&values, keep, capacity)?;
            } else {
                found.push_back(&values, keep, capacity)?;
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
}
