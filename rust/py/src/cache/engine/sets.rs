//! The engine's methods on sets.

use protosocket_core::cache::collections::Set;
use protosocket_core::cache::engine::items::CollectionTtl;
use pyo3::prelude::*;

use super::CacheEngine;
use super::convert::{Elements, Namespace, objects, refused, slices};

#[pymethods]
impl CacheEngine {
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
        self.write(py, namespace, key, ttl, |found: &mut Set, capacity| {
            found.add(&slices(&elements), capacity)
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
            items.edit(now, namespace.0, key, None, |found: &mut Set, capacity| {
                found.subtract_from(&slices(&elements), capacity)
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
}
