//! The two errors of the native codec: what cannot be written, and what cannot be read.

use protosocket_core::wire::Malformed;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::errors;

static ENCODE_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// An `EncodeError` with this text.
#[cold]
pub fn encode(py: Python<'_>, text: String) -> PyErr {
    match ENCODE_ERROR.import(py, "protosocket.errors", "EncodeError") {
        Ok(kind) => PyErr::from_type(kind.clone(), (text,)),
        Err(error) => error,
    }
}

/// An `InvalidMessage` with this text.
#[cold]
pub fn decode(py: Python<'_>, text: String) -> PyErr {
    errors::invalid(py, text)
}

/// An `InvalidMessage` for a message of this name.
#[cold]
pub fn malformed(py: Python<'_>, name: &str, malformed: Malformed) -> PyErr {
    decode(py, format!("not a message of type {name}: {}", malformed.0))
}
