//! The encoded commands of the cache, and what makes results of its encoded answers.

use protosocket_core::cache::commands::{delete, get, is_done, set};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The encoded command that reads a key.
#[pyfunction]
pub fn get_command<'py>(py: Python<'py>, namespace: &str, key: &[u8]) -> Bound<'py, PyBytes> {
    encoded(py, |bytes| get::write(namespace, key, bytes))
}

/// The encoded command that stores a value.
#[pyfunction]
pub fn set_command<'py>(
    py: Python<'py>,
    namespace: &str,
    key: &[u8],
    value: &[u8],
    ttl_milliseconds: u64,
) -> Bound<'py, PyBytes> {
    encoded(py, |bytes| {
        set::write(namespace, key, value, ttl_milliseconds, bytes)
    })
}

/// The encoded command that removes a key.
#[pyfunction]
pub fn delete_command<'py>(py: Python<'py>, namespace: &str, key: &[u8]) -> Bound<'py, PyBytes> {
    encoded(py, |bytes| delete::write(namespace, key, bytes))
}

fn encoded(py: Python<'_>, write: impl FnOnce(&mut Vec<u8>)) -> Bound<'_, PyBytes> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    PyBytes::new(py, &bytes)
}

/// Makes a read's result of the encoded answer: `found(value)`, or `otherwise(answer)` for one without a value.
#[pyclass(frozen, module = "protosocket._core")]
pub struct ValueReader {
    found: Py<PyAny>,
    otherwise: Py<PyAny>,
}

#[pymethods]
impl ValueReader {
    #[new]
    fn new(found: Py<PyAny>, otherwise: Py<PyAny>) -> Self {
        ValueReader { found, otherwise }
    }

    fn __call__(&self, py: Python<'_>, answer: &Bound<'_, PyBytes>) -> PyResult<Py<PyAny>> {
        match get::read_answer(answer.as_bytes()) {
            Some(value) => self.found.call1(py, (PyBytes::new(py, value),)),
            None => self.otherwise.call1(py, (answer,)),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.found)?;
        visit.call(&self.otherwise)
    }
}

/// Makes nothing of the encoded answer that is empty, in the field `done` of a response; what `otherwise(answer)` makes of
/// any other.
#[pyclass(frozen, module = "protosocket._core")]
pub struct DoneReader {
    done: u32,
    otherwise: Py<PyAny>,
}

#[pymethods]
impl DoneReader {
    #[new]
    fn new(done: u32, otherwise: Py<PyAny>) -> Self {
        DoneReader { done, otherwise }
    }

    fn __call__(&self, py: Python<'_>, answer: &Bound<'_, PyBytes>) -> PyResult<Py<PyAny>> {
        if is_done(answer.as_bytes(), self.done) {
            Ok(py.None())
        } else {
            self.otherwise.call1(py, (answer,))
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.otherwise)
    }
}
