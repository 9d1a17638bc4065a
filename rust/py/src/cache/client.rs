//! `_core.CacheCalls`: the native half of a cache's client.

use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyTuple, PyType};

use crate::cache::messages::{delete_command, get_command, set_command};
use crate::guarded::{Guarded, Held};
use crate::rpc::call::{Reading, UnaryCall};
use crate::rpc::pool::{CallPool, generic_alias};

/// The native half of a cache's client: its everyday calls, each one native object from request to result.
///
/// Until `_call_with` they raise RuntimeError.
#[pyclass(subclass, frozen, weakref, module = "protosocket._core")]
pub struct CacheCalls {
    parts: Guarded<Option<Parts>>,
}

struct Parts {
    caller: Held<CallPool>,
    read_get: Held<PyAny>,
    read_set: Held<PyAny>,
    read_delete: Held<PyAny>,
    failed: Held<PyAny>,
    ttl_milliseconds: Held<PyAny>,
}

#[pymethods]
impl CacheCalls {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        CacheCalls {
            parts: Guarded::new(None),
        }
    }

    #[classmethod]
    fn __class_getitem__(class: &Bound<'_, PyType>, item: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        generic_alias(class, item)
    }

    /// Takes whose calls they are, what makes results of the three responses, what gives the exception to raise
    /// for one that ended a call, and what makes milliseconds of a time to live.
    fn _call_with(
        &self,
        py: Python<'_>,
        caller: Py<CallPool>,
        readers: (Py<PyAny>, Py<PyAny>, Py<PyAny>),
        failed: Py<PyAny>,
        ttl_milliseconds: Py<PyAny>,
    ) {
        let (read_get, read_set, read_delete) = readers;
        let parts = Parts {
            caller: caller.into(),
            read_get: read_get.into(),
            read_set: read_set.into(),
            read_delete: read_delete.into(),
            failed: failed.into(),
            ttl_milliseconds: ttl_milliseconds.into(),
        };
        let before = self.parts.borrow(py).replace(parts);
        drop(before);
    }

    /// ``Hit`` with the value, or ``Miss``; see ``CacheClient``.
    #[pyo3(signature = (namespace, key, *, timeout=None))]
    fn get(&self, py: Python<'_>, namespace: &str, key: &[u8], timeout: Option<f64>) -> PyResult<UnaryCall> {
        let request = get_command(py, namespace, key);
        self.call(py, request, timeout, |parts| &parts.read_get)
    }

    /// Store ``value`` for ``ttl`` seconds; see ``CacheClient``. Raises ``OptionError`` for a ``ttl`` that is none,
    /// before it is awaited.
    #[pyo3(signature = (namespace, key, value, ttl, *, timeout=None))]
    fn set(
        &self,
        py: Python<'_>,
        namespace: &str,
        key: &[u8],
        value: &[u8],
        ttl: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<UnaryCall> {
        let ttl_ms = self.ttl_milliseconds(ttl)?;
        let request = set_command(py, namespace, key, value, ttl_ms);
        self.call(py, request, timeout, |parts| &parts.read_set)
    }

    /// Remove the key; see ``CacheClient``.
    #[pyo3(signature = (namespace, key, *, timeout=None))]
    fn delete(
        &self,
        py: Python<'_>,
        namespace: &str,
        key: &[u8],
        timeout: Option<f64>,
    ) -> PyResult<UnaryCall> {
        let request = delete_command(py, namespace, key);
        self.call(py, request, timeout, |parts| &parts.read_delete)
    }

    /// The call with the encoded `request`, whose result `read` makes of the encoded answer: a command without a method
    /// of its own here.
    fn _call(
        &self,
        py: Python<'_>,
        request: Bound<'_, PyBytes>,
        read: Py<PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<UnaryCall> {
        self.made(py, request, timeout, |_| read)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.parts.peek().as_deref() {
            Some(Some(parts)) => {
                visit.call(&parts.caller)?;
                visit.call(&parts.read_get)?;
                visit.call(&parts.read_set)?;
                visit.call(&parts.read_delete)?;
                visit.call(&parts.failed)?;
                visit.call(&parts.ttl_milliseconds)
            }
            _ => Ok(()),
        }
    }

    fn __clear__(&self, py: Python<'_>) {
        let held = self.parts.borrow(py).take();
        drop(held);
    }
}

impl CacheCalls {
    #[inline]
    fn call(
        &self,
        py: Python<'_>,
        request: Bound<'_, PyBytes>,
        timeout: Option<f64>,
        read: impl FnOnce(&Parts) -> &Py<PyAny>,
    ) -> PyResult<UnaryCall> {
        self.made(py, request, timeout, |parts| read(parts).clone_ref(py))
    }

    #[inline]
    fn made(
        &self,
        py: Python<'_>,
        request: Bound<'_, PyBytes>,
        timeout: Option<f64>,
        read: impl FnOnce(&Parts) -> Py<PyAny>,
    ) -> PyResult<UnaryCall> {
        let parts = self.parts.borrow(py);
        let parts = parts.as_ref().ok_or_else(unprepared)?;
        let reading = Reading {
            read: read(parts),
            failed: parts.failed.clone_ref(py),
        };
        let request = request.into_any().unbind();
        Ok(UnaryCall::new(
            parts.caller.clone_ref(py),
            request,
            timeout,
            Some(reading),
        ))
    }

    /// A time to live in milliseconds; whole seconds that are no more than a year are not looked at in Python.
    #[inline]
    fn ttl_milliseconds(&self, ttl: &Bound<'_, PyAny>) -> PyResult<u64> {
        const YEAR: f64 = 366.0 * 24.0 * 3600.0;
        let py = ttl.py();
        if let Ok(seconds) = ttl.cast_exact::<PyFloat>() {
            let seconds = seconds.value();
            if (1.0..=YEAR).contains(&seconds) && seconds.trunc() == seconds {
                return Ok(seconds as u64 * 1000);
            }
        }
        let function = match self.parts.borrow(py).as_ref() {
            Some(parts) => parts.ttl_milliseconds.clone_ref(py),
            None => return Err(unprepared()),
        };
        function.bind(py).call1((ttl,))?.extract()
    }
}

#[cold]
fn unprepared() -> PyErr {
    PyRuntimeError::new_err("the client was not initialised")
}
