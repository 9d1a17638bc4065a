//! The two errors of the native codec: what cannot be written, and what cannot be read.

use protosocket_core::header::Malformed;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

static ENCODE_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static INVALID_MESSAGE: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// An `EncodeError` with this text.
#[cold]
pub fn encode(py: Python<'_>, text: String) -> PyErr {
    make(py, &ENCODE_ERROR, "EncodeError", text)
}

/// An `InvalidMessage` with this text.
#[cold]
pub fn decode(py: Python<'_>, text: String) -> PyErr {
    make(py, &INVALID_MESSAGE, "InvalidMessage", text)
}

/// An `InvalidMessage` for a message of this name.
#[cold]
pub fn malformed(py: Python<'_>, name: &str, malformed: Malformed) -> PyErr {
    decode(py, format!("not a message of type {name}: {}", malformed.0))
}

fn make(py: Python<'_>, class: &'static PyOnceLock<Py<PyType>>, name: &str, text: String) -> PyErr {
    match class.import(py, "protosocket.errors", name) {
        Ok(class) => PyErr::from_type(class.clone(), (text,)),
        Err(error) => error,
    }
}
