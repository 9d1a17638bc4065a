//! `_core.CacheEngine` and `_core.key_hash`: the storage engine bound to Python, values staying Python `bytes`.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Instant;

use protosocket_core::engine::{Engine, EntryTooLarge};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyString, PyType};

/// gRPC's RESOURCE_EXHAUSTED, which is how the cache answers an entry that is too large.
const RESOURCE_EXHAUSTED: u32 = 8;

/// A bounded in-process store with a time to live per entry; one memory limit for all namespaces.
#[pyclass(module = "protosocket._core")]
pub struct CacheEngine {
    engine: Engine<Py<PyBytes>>,
    started: Instant,
}

#[pymethods]
impl CacheEngine {
    /// An empty store that never charges more than `max_memory` bytes for keys, values and overhead.
    #[new]
    fn new(max_memory: u64) -> Self {
        Self {
            engine: Engine::new(max_memory, RandomState::new().hash_one(0)),
            started: Instant::now(),
        }
    }

    /// The live value under the key, or None.
    #[pyo3(signature = (namespace, key, /))]
    fn get(&mut self, py: Python<'_>, namespace: Namespace<'_>, key: &[u8]) -> Option<Py<PyBytes>> {
        let now = self.now();
        self.engine
            .get(now, namespace.0, key, |value| value.clone_ref(py))
    }

    /// Stores value for ttl_ms milliseconds; 0 removes what was there. CacheError (code 8) if it can never fit.
    #[pyo3(signature = (namespace, key, value, ttl_ms, /))]
    fn set(
        &mut self,
        py: Python<'_>,
        namespace: Namespace<'_>,
        key: &[u8],
        value: Bound<'_, PyBytes>,
        ttl_ms: u64,
    ) -> PyResult<()> {
        let now = self.now();
        let size = value.as_bytes().len();
        self.engine
            .set(now, namespace.0, key, value.unbind(), size, ttl_ms)
            .map_err(|error| too_large(py, error))
    }

    /// Removes the entry; whether a live one was there.
    #[pyo3(signature = (namespace, key, /))]
    fn delete(&mut self, namespace: Namespace<'_>, key: &[u8]) -> bool {
        let now = self.now();
        self.engine.delete(now, namespace.0, key)
    }

    /// Looks at up to limit entries after those of the last sweep, removes the expired and says how many.
    #[pyo3(signature = (limit, /))]
    fn sweep(&mut self, limit: usize) -> usize {
        let now = self.now();
        self.engine.sweep(now, limit)
    }

    /// The limit in bytes.
    #[getter]
    fn max_memory(&self) -> u64 {
        self.engine.max_memory()
    }

    /// A dict of items, bytes_used, hits, misses, evictions and expired.
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let statistics = self.engine.statistics();
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
    fn now(&self) -> u64 {
        // 584 years of nanoseconds fit.
        self.started.elapsed().as_nanos() as u64
    }
}

/// The stable 64-bit hash (XXH3) of a key.
#[pyfunction]
#[pyo3(signature = (key, /))]
pub fn key_hash(key: &[u8]) -> u64 {
    protosocket_core::engine::key_hash(key)
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

fn too_large(py: Python<'_>, error: EntryTooLarge) -> PyErr {
    static CACHE_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let raise = || -> PyResult<PyErr> {
        let class = CACHE_ERROR.import(py, "protosocket.errors", "CacheError")?;
        let text = error.to_string();
        let details = PyDict::new(py);
        details.set_item("code", RESOURCE_EXHAUSTED)?;
        details.set_item("detail", &text)?;
        Ok(PyErr::from_value(class.call((text,), Some(&details))?))
    };
    raise().unwrap_or_else(|failed| failed)
}
