//! The engine's methods on dictionaries.

use protosocket_core::cache::collections::{CollectionTooLarge, Dictionary};
use protosocket_core::cache::engine::items::CollectionTtl;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::CacheEngine;
use super::convert::{Elements, Namespace, refused, slices};

#[pymethods]
impl CacheEngine {
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
        self.write(py, namespace, key, ttl, |found: &mut Dictionary, capacity| {
            found.set(&items, capacity)
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
        self.write(py, namespace, key, ttl, |found: &mut Dictionary, capacity| {
            found.increment(field, amount, capacity)
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
}
