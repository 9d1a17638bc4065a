//! A handler's task as something that others wait for.

use pyo3::exceptions::asyncio::InvalidStateError;
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::state::{HandlerTask, Outcome};
use crate::asyncio_glue::coroutine::cancelled;
use crate::asyncio_glue::waiting::Callback;

impl HandlerTask {
    /// Has `callback` called with this task in a later turn of the event loop.
    pub(super) fn call_soon(slf: &Bound<'_, Self>, callback: Py<PyAny>, context: Py<PyAny>) -> PyResult<()> {
        let py = slf.py();
        let kwargs = PyDict::new(py);
        kwargs.set_item(intern!(py, "context"), context)?;
        slf.get()
            .event_loop
            .bind(py)
            .call_method(intern!(py, "call_soon"), (callback, slf), Some(&kwargs))
            .map(drop)
    }

    /// What the handler returned; raises how it ended otherwise, and InvalidStateError before it has.
    pub(super) fn outcome(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (error, traceback) = match &self.state.borrow(py).outcome {
            Some(Outcome::Returned(value)) => return Ok(value.clone_ref(py)),
            Some(Outcome::Raised(error, traceback)) => (
                error.clone_ref(py),
                traceback.as_ref().map(|traceback| traceback.bind(py).clone()),
            ),
            Some(Outcome::Cancelled(error)) => {
                return Err(PyErr::from_value(error.bind(py).clone()));
            }
            None => return Err(InvalidStateError::new_err("the handler has not ended")),
        };
        let error = PyErr::from_value(error.into_bound(py));
        error.set_traceback(py, traceback);
        Err(error)
    }

    /// The exception that the handler raised, unless it was cancelled.
    pub(super) fn raised(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match &self.state.borrow(py).outcome {
            Some(Outcome::Raised(error, _)) => Some(error.clone_ref(py)),
            _ => None,
        }
    }

    /// The exception of a handler that was cancelled.
    pub(super) fn cancellation(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match &self.state.borrow(py).outcome {
            Some(Outcome::Cancelled(error)) => Some(error.clone_ref(py)),
            _ => None,
        }
    }

    /// The error to raise in who waits for a handler that was cancelled.
    pub(super) fn cancelled_error(&self, py: Python<'_>) -> Py<PyAny> {
        self.cancellation(py)
            .unwrap_or_else(|| cancelled(py, None).into_value(py).into_any())
    }

    /// Forgets every callback that equals `callback`; how many.
    pub(super) fn remove(&self, py: Python<'_>, callback: &Bound<'_, PyAny>) -> PyResult<usize> {
        let known: Vec<Py<PyAny>> = {
            let state = self.state.borrow(py);
            state
                .callbacks
                .iter()
                .map(|(other, _)| other.clone_ref(py))
                .collect()
        };
        // Outside the borrow, and before anything is changed: a comparison may run Python code, and raise.
        let mut equal = Vec::new();
        for other in known {
            if callback.eq(&other)? {
                equal.push(other);
            }
        }
        let removed: Vec<Callback> = {
            let mut state = self.state.borrow(py);
            let all = std::mem::take(&mut state.callbacks);
            let (removed, left) = all
                .into_iter()
                .partition(|(other, _)| equal.iter().any(|one| one.is(&**other)));
            state.callbacks = left;
            removed
        };
        Ok(removed.len())
    }
}

/// A wait for a handler's task: what `await` goes through.
#[pyclass(frozen, module = "protosocket._core")]
pub struct HandlerWait {
    task: Py<HandlerTask>,
}

impl HandlerWait {
    pub fn new(task: Py<HandlerTask>) -> Self {
        HandlerWait { task }
    }
}

#[pymethods]
impl HandlerWait {
    fn __iter__<'a, 'py>(slf: &'a Bound<'py, Self>) -> &'a Bound<'py, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<HandlerTask>> {
        let task = self.task.get();
        {
            let mut state = task.state.borrow(py);
            if !state.done {
                if state.is_awaited {
                    return Err(PyRuntimeError::new_err("await wasn't used with future"));
                }
                state.is_awaited = true;
                return Ok(self.task.clone_ref(py));
            }
        }
        let value = task.outcome(py)?;
        // A tuple or an exception as the only argument would be taken apart.
        let stop = PyStopIteration::new_err(());
        stop.value(py).setattr(intern!(py, "value"), value)?;
        Err(stop)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.task)
    }
}

/// What asyncio's own tasks ask where their stacks are asked for.
pub(super) fn stack<'py>(
    task: &Bound<'py, HandlerTask>,
    function: &str,
    arguments: impl pyo3::call::PyCallArgs<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    task.py()
        .import("asyncio.base_tasks")?
        .getattr(function)?
        .call1(arguments)
}
