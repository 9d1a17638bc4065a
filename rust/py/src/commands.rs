//! The cache's everyday commands without an object of Python for a message: what its storages answer and its clients send.

use protosocket_core::cache_commands::{
    Command, MISS, REMOVED, STORED, read_command, read_found, write_command, write_found,
};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::engine::CacheEngine;
use crate::guarded::Guarded;

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
        let mut engine = self.engine.bind(py).try_borrow_mut().ok()?;
        match command {
            Command::Get { namespace, key } => match engine.look_up(py, namespace, key)? {
                Some(value) => {
                    drop(engine);
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
                engine.remove(namespace, key);
                Some(send(REMOVED))
            }
        }
    }
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
