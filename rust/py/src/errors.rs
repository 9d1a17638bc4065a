//! Errors of the Python package, raised from native code.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

static OPTION_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static ENCODE_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// An `EncodeError` for a message that could not be encoded, with its cause.
#[cold]
pub fn encode(py: Python<'_>, message: &Bound<'_, PyAny>, cause: PyErr) -> PyErr {
    let kind = match ENCODE_ERROR.import(py, "protosocket.errors", "EncodeError") {
        Ok(kind) => kind,
        Err(error) => return error,
    };
    let name = message
        .get_type()
        .name()
        .map(|name| name.to_string())
        .unwrap_or_default();
    let text = format!(
        "a message of type {name} cannot be encoded: {}; nothing was sent",
        cause.value(py)
    );
    let error = PyErr::from_type(kind.clone(), (text,));
    error.set_cause(py, Some(cause));
    error
}

/// An `OptionError` with this text.
#[cold]
pub fn option(py: Python<'_>, text: &str) -> PyErr {
    match OPTION_ERROR.import(py, "protosocket.errors", "OptionError") {
        Ok(kind) => PyErr::from_type(kind.clone(), (text.to_owned(),)),
        Err(error) => error,
    }
}
