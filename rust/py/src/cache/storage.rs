//! `_core.CacheCommands`: a storage's handler, which executes everyday commands without an object of Python for a message.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::cache::engine::CacheEngine;
use crate::guarded::Guarded;
use crate::rpc::server::native::NativeHandler;

/// A storage's handler: commands that have a native form are executed natively, anything else by `handler(request)`.
///
/// It is what a service has as `unary`. Until `open()` everything goes to `handler`, so that nothing is executed for a
/// peer that has to show a token first.
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
    memory: Vec<u8>,
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

    /// The peer may do everything: from now on, what can be is executed natively.
    fn open(&self, py: Python<'_>) {
        self.state.borrow(py).is_open = true;
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.engine)?;
        visit.call(&self.handler)
    }
}

/// The native handler in what a service has as `unary`, for the room of calls.
pub fn native_handler<'a>(handler: &'a Bound<'_, PyAny>) -> Option<&'a dyn NativeHandler> {
    let commands = handler.cast::<CacheCommands>().ok()?;
    Some(commands.get())
}

impl NativeHandler for CacheCommands {
    #[inline]
    fn execute(
        &self,
        py: Python<'_>,
        request: &[u8],
        send: &mut dyn FnMut(&[u8]) -> PyResult<()>,
    ) -> Option<PyResult<()>> {
        let mut memory = {
            let mut state = self.state.borrow(py);
            if !state.is_open {
                return None;
            }
            std::mem::take(&mut state.memory)
        };
        let sent = self.engine.get().execute(py, request, &mut memory).map(send);
        if memory.capacity() <= KEPT {
            self.state.borrow(py).memory = memory;
        }
        sent
    }
}
