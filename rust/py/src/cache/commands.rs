//! The cache's everyday commands without an object of Python for a message: what its storages answer and its clients send.

use protosocket_core::cache_commands::{
    Command, MISS, REMOVED, STORED, is_answer, read_command, read_found, write_command, write_found,
};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyTuple, PyType};

use crate::cache::engine::CacheEngine;
use crate::guarded::{Guarded, Held};
use crate::rpc::pool::{CallPool, generic_alias};
use crate::rpc::unary::{Reading, UnaryCall};

/// A storage's handler: reads, writes and removals are carried out natively, anything else by `handler(request)`.
///
/// It is what a service has as `unary`. Until `open()` everything goes to `handler`, so that nothing is carried
/// out for a peer that has to show a token first.
#[pyclass(frozen, module = "protosocket._core")]
pub struct CacheCommands {
    engine: Py<CacheEngine>,
    handler: Py<PyAny>,
    state: Guarded<State>,
}

#[derive(Default)]
struct State {
    is_open: bool,
    /// Memory for the next answer.
    answer: Vec<u8>,
}

/// Memory of an answer is kept for the next one up to this many bytes.
const KEPT: usize = 64 * 1024;

#[pymethods]
impl CacheCommands {
    #[new]
    fn new(engine: Py<CacheEngine>, handler: Py<PyAny>) -> Self {
        CacheCommands {
            engine,
            handler,
            state: Guarded::new(State::default()),
        }
    }

    fn __call__(&self, py: Python<'_>, request: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.handler.call1(py, (request,))
    }

    /// The peer may do everything: from now on, what can be is carried out natively.
    fn open(&self, py: Python<'_>) {
        self.state.borrow(py).is_open = true;
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.engine)?;
        visit.call(&self.handler)
    }
}

impl CacheCommands {
    /// Carries out an encoded command and gives the encoded answer, without a header, to `send`; None if that is
    /// for `handler` to do, and nothing was done.
    #[inline]
    pub fn carry_out<R>(&self, py: Python<'_>, request: &[u8], send: impl FnOnce(&[u8]) -> R) -> Option<R> {
        if !self.state.borrow(py).is_open {
            return None;
        }
        let command = read_command(request)?;
        let engine = self.engine.get();
        match command {
            Command::Get { namespace, key } => match engine.look_up(py, namespace, key)? {
                Some(value) => {
                    let mut answer = std::mem::take(&mut self.state.borrow(py).answer);
                    answer.clear();
                    write_found(value.as_bytes(py), &mut answer);
                    let sent = send(&answer);
                    if answer.capacity() <= KEPT {
                        self.state.borrow(py).answer = answer;
                    }
                    Some(sent)
                }
                None => Some(send(MISS)),
            },
            Command::Set {
                namespace,
                key,
                value,
                ttl_ms,
            } => {
                engine.store(py, namespace, key, value, ttl_ms)?;
                Some(send(STORED))
            }
            Command::Delete { namespace, key } => {
                engine.remove(py, namespace, key);
                Some(send(REMOVED))
            }
        }
    }
}

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
        let request = encoded(py, &Command::Get { namespace, key });
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
        let command = Command::Set {
            namespace,
            key,
            value,
            ttl_ms,
        };
        self.call(py, encoded(py, &command), timeout, |parts| &parts.read_set)
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
        let request = encoded(py, &Command::Delete { namespace, key });
        self.call(py, request, timeout, |parts| &parts.read_delete)
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
        let parts = self.parts.borrow(py);
        let parts = parts.as_ref().ok_or_else(unprepared)?;
        let reading = Reading {
            read: read(parts).clone_ref(py),
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

/// The encoded command that reads a key.
#[pyfunction]
pub fn get_command<'py>(py: Python<'py>, namespace: &str, key: &[u8]) -> Bound<'py, PyBytes> {
    encoded(py, &Command::Get { namespace, key })
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
    let command = Command::Set {
        namespace,
        key,
        value,
        ttl_ms: ttl_milliseconds,
    };
    encoded(py, &command)
}

/// The encoded command that removes a key.
#[pyfunction]
pub fn delete_command<'py>(py: Python<'py>, namespace: &str, key: &[u8]) -> Bound<'py, PyBytes> {
    encoded(py, &Command::Delete { namespace, key })
}

fn encoded<'py>(py: Python<'py>, command: &Command<'_>) -> Bound<'py, PyBytes> {
    let mut bytes = Vec::new();
    write_command(command, &mut bytes);
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
        match read_found(answer.as_bytes()) {
            Some(value) => self.found.call1(py, (PyBytes::new(py, value),)),
            None => self.otherwise.call1(py, (answer,)),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.found)?;
        visit.call(&self.otherwise)
    }
}

/// Makes nothing of the encoded answer to a write (`"set"`) or a removal (`"delete"`); what `otherwise(answer)`
/// makes of any other.
#[pyclass(frozen, module = "protosocket._core")]
pub struct DoneReader {
    done: &'static [u8],
    otherwise: Py<PyAny>,
}

#[pymethods]
impl DoneReader {
    #[new]
    fn new(done: &str, otherwise: Py<PyAny>) -> PyResult<Self> {
        let done = match done {
            "set" => STORED,
            "delete" => REMOVED,
            other => return Err(PyValueError::new_err(format!("no such answer: {other}"))),
        };
        Ok(DoneReader { done, otherwise })
    }

    fn __call__(&self, py: Python<'_>, answer: &Bound<'_, PyBytes>) -> PyResult<Py<PyAny>> {
        if is_answer(answer.as_bytes(), self.done) {
            Ok(py.None())
        } else {
            self.otherwise.call1(py, (answer,))
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.otherwise)
    }
}
