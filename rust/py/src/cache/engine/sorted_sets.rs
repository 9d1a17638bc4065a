//! The engine's methods on sorted sets.

use protosocket_core::cache::collections::SortedSet;
use protosocket_core::cache::engine::items::CollectionTtl;
use pyo3::prelude::*;

use super::CacheEngine;
use super::convert::{Elements, Namespace, Scored, bound, lists, refused, scored, slices};

#[pymethods]
impl CacheEngine {
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
        self.write(py, namespace, key, ttl, |found: &mut SortedSet, capacity| {
            found.put(&elements, capacity)
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
        let capacity = self.with(py, |items, _| items.capacity_of(namespace.0, key));
        new.put(&elements, capacity)
            .map_err(|why| refused(py, why.into()))?;
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
        self.write(py, namespace, key, ttl, |found: &mut SortedSet, capacity| {
            found.increment(value, amount, capacity)
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
}
