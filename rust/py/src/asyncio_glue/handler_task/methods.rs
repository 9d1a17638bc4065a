//! What a handler's task has of the methods of `asyncio.Task`.

use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;

use super::future::HandlerWait;
use super::state::{HandlerTask, Outcome};
use super::{drive, future};
use crate::asyncio_glue::coroutine::{current_context, name_of};
use crate::guarded::Held;

#[pymethods]
impl HandlerTask {
    /// The awaited future is done.
    fn _wakeup(slf: &Bound<'_, Self>, future: &Bound<'_, PyAny>) -> PyResult<()> {
        let error = future.call_method0(intern!(slf.py(), "result")).err();
        drive::resume(slf, error)
    }

    /// The turn of the loop that a bare `yield` asked for has come.
    fn _step(slf: &Bound<'_, Self>) -> PyResult<()> {
        drive::resume(slf, None)
    }

    fn _fail(slf: &Bound<'_, Self>, text: String) -> PyResult<()> {
        drive::resume(slf, Some(PyRuntimeError::new_err(text)))
    }

    /// Asks the handler to stop: CancelledError is raised where it waits. False if it has ended.
    #[pyo3(signature = (msg=None))]
    pub fn cancel(&self, py: Python<'_>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        let waiter = {
            let mut state = self.state.borrow(py);
            if state.done {
                return Ok(false);
            }
            state.cancelling += 1;
            state.waiter.as_ref().map(|waiter| waiter.clone_ref(py))
        };
        if let Some(waiter) = waiter {
            if drive::cancel_future(waiter.bind(py), msg.as_ref())? {
                return Ok(true);
            }
        }
        let before = self.state.borrow(py).must_cancel.replace(msg.map(Held::from));
        drop(before);
        Ok(true)
    }

    /// How many cancellations were asked for and not taken back.
    fn cancelling(&self, py: Python<'_>) -> usize {
        self.state.borrow(py).cancelling
    }

    /// Takes one cancellation back; how many are left.
    fn uncancel(&self, py: Python<'_>) -> usize {
        let (left, before) = {
            let mut state = self.state.borrow(py);
            state.cancelling = state.cancelling.saturating_sub(1);
            let left = state.cancelling;
            (left, state.must_cancel.take_if(|_| left == 0))
        };
        drop(before);
        left
    }

    fn get_name(&self, py: Python<'_>) -> String {
        let state = self.state.borrow(py);
        state.name.clone().unwrap_or_else(|| name_of(state.id))
    }

    fn set_name(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        let name = name.str()?.to_string();
        self.state.borrow(py).name = Some(name);
        Ok(())
    }

    fn get_coro(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state
            .borrow(py)
            .coroutine
            .as_ref()
            .map(|coroutine| coroutine.clone_ref(py))
    }

    pub(super) fn get_context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state
            .borrow(py)
            .context
            .as_ref()
            .map(|context| context.clone_ref(py))
    }

    fn done(&self, py: Python<'_>) -> bool {
        self.state.borrow(py).done
    }

    fn cancelled(&self, py: Python<'_>) -> bool {
        self.cancellation(py).is_some()
    }

    /// What the handler's coroutine returned: the response, or None of a stream. Raises what it raised, and
    /// InvalidStateError while it runs.
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.outcome(py)
    }

    /// What the handler raised, or None; CancelledError and InvalidStateError are raised.
    fn exception(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match self.raised(py) {
            Some(error) => Ok(Some(error)),
            None => self.outcome(py).map(|_| None),
        }
    }

    /// Have `callback(task)` called when the handler has ended, in a later turn of the event loop and in `context`,
    /// a copy of the current one by default.
    #[pyo3(signature = (callback, /, *, context=None))]
    fn add_done_callback(
        slf: &Bound<'_, Self>,
        callback: Py<PyAny>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let context = match context {
            Some(context) => context,
            None => current_context(py)?.unbind(),
        };
        let is_done = slf.get().state.borrow(py).done;
        if is_done {
            return Self::call_soon(slf, callback, context);
        }
        slf.get()
            .state
            .borrow(py)
            .callbacks
            .push((callback.into(), context.into()));
        Ok(())
    }

    /// Forget every callback that equals `callback`; how many.
    fn remove_done_callback(&self, py: Python<'_>, callback: &Bound<'_, PyAny>) -> PyResult<usize> {
        self.remove(py, callback)
    }

    /// The frames of the handler: where it waits, or of the exception that it raised.
    #[pyo3(signature = (*, limit=None))]
    fn get_stack<'py>(slf: &Bound<'py, Self>, limit: Option<usize>) -> PyResult<Bound<'py, PyAny>> {
        future::stack(slf, "_task_get_stack", (slf, limit))
    }

    /// Print the same to `file`, by default to standard error.
    #[pyo3(signature = (*, limit=None, file=None))]
    fn print_stack<'py>(
        slf: &Bound<'py, Self>,
        limit: Option<usize>,
        file: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        future::stack(slf, "_task_print_stack", (slf, limit, file))
    }

    /// A task's result is what its coroutine returns.
    fn set_result(&self, _result: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyRuntimeError::new_err("a task does not support set_result"))
    }

    /// A task's exception is what its coroutine raises.
    fn set_exception(&self, _exception: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyRuntimeError::new_err("a task does not support set_exception"))
    }

    /// Wait until the handler has ended: gives what `result` does.
    fn __await__(slf: &Bound<'_, Self>) -> HandlerWait {
        HandlerWait::new(slf.clone().unbind())
    }

    fn __iter__(slf: &Bound<'_, Self>) -> HandlerWait {
        HandlerWait::new(slf.clone().unbind())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let coroutine = self.get_coro(py);
        let what = match &coroutine {
            Some(coroutine) => format!(" coro={}", coroutine.bind(py).repr()?),
            None => String::new(),
        };
        let state = self._state(py).to_lowercase();
        Ok(format!(
            "<HandlerTask {state} name='{}'{what}>",
            self.get_name(py)
        ))
    }

    fn get_loop<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.event_loop.bind(py).clone()
    }

    // What libraries use of asyncio's own tasks although it has an underscore.

    #[getter(_asyncio_future_blocking)]
    fn is_awaited(&self, py: Python<'_>) -> bool {
        self.state.borrow(py).is_awaited
    }

    #[setter(_asyncio_future_blocking)]
    fn set_awaited(&self, py: Python<'_>, value: bool) {
        self.state.borrow(py).is_awaited = value;
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.get_loop(py)
    }

    #[getter]
    fn _coro(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.get_coro(py)
    }

    #[getter]
    fn _exception(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.raised(py)
    }

    #[getter]
    fn _callbacks(&self, py: Python<'_>) -> Option<Vec<(Py<PyAny>, Py<PyAny>)>> {
        let state = self.state.borrow(py);
        let all = state.callbacks.iter();
        let all: Vec<_> = all
            .map(|(callback, context)| (callback.clone_ref(py), context.clone_ref(py)))
            .collect();
        (!all.is_empty()).then_some(all)
    }

    #[getter]
    fn _state(&self, py: Python<'_>) -> &'static str {
        match &self.state.borrow(py).outcome {
            Some(Outcome::Cancelled(_)) => "CANCELLED",
            Some(_) => "FINISHED",
            None => "PENDING",
        }
    }

    #[getter]
    fn _cancel_message<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.cancellation(py) {
            Some(error) => Ok(error.bind(py).getattr(intern!(py, "args"))?.get_item(0).ok()),
            None => Ok(None),
        }
    }

    fn _make_cancelled_error(&self, py: Python<'_>) -> Py<PyAny> {
        self.cancelled_error(py)
    }

    /// The future the handler waits for, by the name asyncio's own tasks have for it.
    #[getter]
    fn _fut_waiter(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state
            .borrow(py)
            .waiter
            .as_ref()
            .map(|waiter| waiter.clone_ref(py))
    }

    /// Whether a cancellation is still to be raised, by the name asyncio's own tasks have for it.
    #[getter]
    fn _must_cancel(&self, py: Python<'_>) -> bool {
        self.state.borrow(py).must_cancel.is_some()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        let Some(state) = self.state.peek() else {
            return Ok(());
        };
        for held in [
            &state.coroutine,
            &state.context,
            &state.waiter,
            &state.wakeup,
            &state.owner,
        ] {
            visit.call(held.as_deref())?;
        }
        match &state.outcome {
            Some(Outcome::Returned(held) | Outcome::Cancelled(held)) => visit.call(held)?,
            Some(Outcome::Raised(error, traceback)) => {
                visit.call(error)?;
                visit.call(traceback.as_deref())?;
            }
            None => {}
        }
        for (callback, context) in &state.callbacks {
            visit.call(callback)?;
            visit.call(context)?;
        }
        Ok(())
    }

    fn __clear__(&self, py: Python<'_>) {
        let held = std::mem::take(&mut *self.state.borrow(py));
        drop(held);
    }
}
