//! What the engine takes from Python and gives to it: namespaces, elements, scores, and refusals as exceptions.

use protosocket_core::cache::collections::sorted_set::Bound as ScoreBound;
use protosocket_core::cache::engine::refused::Refused;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyString, PyType};

/// gRPC's INVALID_ARGUMENT, which is how the cache answers what it could never do.
const INVALID_ARGUMENT: u32 = 3;

/// gRPC's RESOURCE_EXHAUSTED, which is how the cache answers what is too large.
const RESOURCE_EXHAUSTED: u32 = 8;

/// gRPC's FAILED_PRECONDITION, which is how the cache answers a command on an item of another kind.
const FAILED_PRECONDITION: u32 = 9;

/// Elements of a collection, given as a sequence of `bytes`.
pub(super) type Elements<'py> = Vec<Bound<'py, PyBytes>>;

/// Elements with their scores, as two lists.
pub(super) type Scored<'py> = (Elements<'py>, Vec<f64>);

/// The bytes of a namespace's name, borrowed from the `str` or `bytes` given.
pub(super) struct Namespace<'a>(pub(super) &'a [u8]);

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

pub(super) fn slices<'a>(elements: &'a [Bound<'_, PyBytes>]) -> Vec<&'a [u8]> {
    elements.iter().map(|element| element.as_bytes()).collect()
}

pub(super) fn objects<'py, 'a>(py: Python<'py>, elements: impl Iterator<Item = &'a [u8]>) -> Elements<'py> {
    elements.map(|element| PyBytes::new(py, element)).collect()
}

pub(super) fn lists<'py, 'a>(
    py: Python<'py>,
    elements: impl Iterator<Item = (&'a [u8], f64)>,
) -> Scored<'py> {
    elements
        .map(|(element, score)| (PyBytes::new(py, element), score))
        .unzip()
}

pub(super) fn scored<'a>(values: &'a [Bound<'_, PyBytes>], scores: &[f64]) -> PyResult<Vec<(&'a [u8], f64)>> {
    if values.len() != scores.len() {
        return Err(PyValueError::new_err("there are not as many scores as values"));
    }
    Ok(values
        .iter()
        .zip(scores)
        .map(|(value, score)| (value.as_bytes(), *score))
        .collect())
}

pub(super) fn bound(bound: Option<(f64, bool)>) -> ScoreBound {
    match bound {
        None => ScoreBound::Unbounded,
        Some((score, true)) => ScoreBound::Exclusive(score),
        Some((score, false)) => ScoreBound::Inclusive(score),
    }
}

pub(super) fn no_such_kind() -> PyErr {
    PyValueError::new_err("there is no such kind of collection")
}

pub(super) fn refused(py: Python<'_>, why: Refused) -> PyErr {
    static CACHE_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let code = match why {
        Refused::CacheNameTooLong { .. } => INVALID_ARGUMENT,
        Refused::WrongKind { .. } | Refused::NotCountable(_) => FAILED_PRECONDITION,
        Refused::EntryTooLarge(_) | Refused::CollectionTooLarge(_) | Refused::TooManyCaches => {
            RESOURCE_EXHAUSTED
        }
    };
    let raise = || -> PyResult<PyErr> {
        let class = CACHE_ERROR.import(py, "protosocket.errors", "CacheError")?;
        let text = why.to_string();
        let details = PyDict::new(py);
        details.set_item("code", code)?;
        details.set_item("detail", &text)?;
        Ok(PyErr::from_value(class.call((text,), Some(&details))?))
    };
    raise().unwrap_or_else(|failed| failed)
}
