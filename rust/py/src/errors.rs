//! Errors of the Python package, raised from native code.

use pyo3::exceptions::{PyBaseException, PyException};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

static OPTION_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static INVALID_MESSAGE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static ENCODE_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// The exception to show or to raise elsewhere, with the traceback it was raised with: until Python 3.12 the
/// interpreter hands that over beside the exception, and nobody has told the exception yet.
#[cold]
pub fn value(py: Python<'_>, error: &PyErr) -> Py<PyBaseException> {
    error.clone_ref(py).into_value(py)
}

/// Whether an exception is about what was being done, and not, as KeyboardInterrupt, about the program.
#[cold]
pub fn is_ordinary(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyException>(py)
}

/// An `EncodeError` for a message that could not be encoded, with its cause; what is not about the message as it is.
#[cold]
pub fn encode(py: Python<'_>, message: &Bound<'_, PyAny>, cause: PyErr) -> PyErr {
    if !is_ordinary(py, &cause) {
        return cause;
    }
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

/// An `InvalidMessage` with this text.
#[cold]
pub fn invalid(py: Python<'_>, text: String) -> PyErr {
    match INVALID_MESSAGE.import(py, "protosocket.errors", "InvalidMessage") {
        Ok(kind) => PyErr::from_type(kind.clone(), (text,)),
        Err(error) => error,
    }
}

/// An `OptionError` with this text.
#[cold]
pub fn option(py: Python<'_>, text: &str) -> PyErr {
    match OPTION_ERROR.import(py, "protosocket.errors", "OptionError") {
        Ok(kind) => PyErr::from_type(kind.clone(), (text.to_owned(),)),
        Err(error) => error,
    }
}
