//! `_core.key_hash` and `_core.value_hash`: the hashes of keys and values that others see.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The stable 64-bit hash (XXH3) of a key.
#[pyfunction]
#[pyo3(signature = (key, /))]
pub fn key_hash(key: &[u8]) -> u64 {
    protosocket_core::cache::engine::key_hash(key)
}

/// The hash of 16 bytes (XXH3) that stands for a value in conditions of set_if.
#[pyfunction]
#[pyo3(signature = (value, /))]
pub fn value_hash<'py>(py: Python<'py>, value: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &protosocket_core::cache::engine::value_hash(value))
}
