//! What Python sees of a call: a coroutine, and the methods of an asyncio future.

use pyo3::exceptions::PyBaseException;
use pyo3::exceptions::asyncio::{CancelledError, InvalidStateError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::UnaryCall;
use super::phase::Phase;
use crate::asyncio_glue::coroutine::{cancelled, current_context};
use crate::asyncio_glue::slots::Steps;
use crate::asyncio_glue::waiting::Awaited;
use crate::rpc::pool::generic_alias;

#[pymethods]
impl UnaryCall {
    #[classmethod]
    fn __class_getitem__(class: &Bound<'_, PyType>, item: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        generic_alias(class, item)
    }

    /// Begin the call now, and have `answered(call)` called when it has ended; it gives the call itself.
    ///
    /// No task has to wait for it: `answered` is called as soon as the response was read, before other callbacks
    /// that wait for their turn, in a copy of the context that `start` was called in. It finds what ended the call
    /// in `call.result()`, which gives the response or raises. From now on the call is a future: it may be awaited
    /// by any number of tasks, `call.cancel()` gives it up, and the event loop's exception handler is told of an
    /// error that nobody asked for. Raises OptionError for a timeout that is none and RuntimeError for a call that
    /// has begun, and EncodeError for the request unless it has to wait for a connection or for room: then that is
    /// how the call ends. When it raises nothing was sent, and `answered` is not called.
    #[pyo3(signature = (answered=None, /))]
    fn start<'a, 'py>(
        slf: &'a Bound<'py, Self>,
        answered: Option<Py<PyAny>>,
    ) -> PyResult<&'a Bound<'py, Self>> {
        Self::begin_now(slf, answered).map(|()| slf)
    }

    /// The task that does it all has ended.
    fn _settle(slf: &Bound<'_, Self>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::settle(slf, task)
    }

    fn __await__<'a, 'py>(slf: &'a Bound<'py, Self>) -> PyResult<&'a Bound<'py, Self>> {
        slf.get().require_unawaited(slf.py()).map(|()| slf)
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::send(slf, slf.py().None().bind(slf.py()))
    }

    /// The next step of the coroutine, as every coroutine has it.
    fn send(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        <Self as Steps>::step(slf, value).given()
    }

    /// Raises an exception where the call waits, as every coroutine does: the server is told to stop, unless
    /// the call was started, which others may wait for.
    #[pyo3(signature = (kind, value=None, traceback=None))]
    fn throw(
        slf: &Bound<'_, Self>,
        kind: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        Self::raise(slf, kind, value, traceback)
    }

    /// Ends the coroutine: the server is told to stop. A call that was started is no coroutine, and goes on.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::stop(slf)
    }

    // What a future has, while a task waits for it.

    /// None says that this is no future: as long as no task waits for it.
    #[getter(_asyncio_future_blocking)]
    fn is_yielded(&self, py: Python<'_>) -> Option<bool> {
        self.blocking(py)
    }

    #[setter(_asyncio_future_blocking)]
    fn set_yielded(&self, py: Python<'_>, value: bool) {
        self.set_blocking(py, value);
    }

    /// What asyncio calls it where it tells of tasks.
    #[getter(__qualname__)]
    fn qualified_name(&self) -> &'static str {
        "Client.unary"
    }

    #[getter(__name__)]
    fn name(&self) -> &'static str {
        "unary"
    }

    fn get_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.caller.get().event_loop(py)
    }

    /// Have `callback(call)` called when the call has ended: in a later turn of the event loop and a copy of the
    /// current context, or, with a `context`, in it and as soon as the response was read. Raises RuntimeError
    /// for a call that was not started and that no task awaits.
    #[pyo3(signature = (callback, /, *, context=None))]
    fn add_done_callback(
        slf: &Bound<'_, Self>,
        callback: Py<PyAny>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        match context {
            Some(context) => Self::add_callback(slf, callback, context, true),
            // What asyncio's own tools give here expects its turn.
            None => Self::add_callback(slf, callback, current_context(slf.py())?.unbind(), false),
        }
    }

    fn remove_done_callback(&self, py: Python<'_>, callback: &Bound<'_, PyAny>) -> PyResult<usize> {
        self.remove(py, callback)
    }

    /// Give the call up: the server is told to stop. False if it has ended. A task that waits for it asks for this
    /// when it is cancelled.
    #[pyo3(signature = (msg=None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        Self::give_away(slf, msg)
    }

    fn done(&self, py: Python<'_>) -> bool {
        !matches!(
            self.state.borrow(py).phase,
            Phase::New(_) | Phase::Waiting(..) | Phase::Delegated(_) | Phase::Handed(_)
        )
    }

    fn cancelled(&self, py: Python<'_>) -> bool {
        matches!(self.state.borrow(py).phase, Phase::Cancelled(_))
    }

    /// The response; raises what ended the call otherwise, and InvalidStateError before it has ended.
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.outcome(py)
            .unwrap_or_else(|| Err(InvalidStateError::new_err("the call has no result yet")))
    }

    /// What `result` would raise, or None; CancelledError and InvalidStateError are raised.
    fn exception(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let Some(outcome) = self.outcome(py) else {
            return Err(InvalidStateError::new_err("the call has no exception yet"));
        };
        match outcome {
            Ok(_) => Ok(None),
            Err(error) if self.cancelled(py) => Err(error),
            Err(error) => Ok(Some(error.into_value(py).into_any())),
        }
    }

    // What `asyncio.gather` asks a cancelled future.

    fn _make_cancelled_error(&self, py: Python<'_>) -> Py<PyAny> {
        let message = self._cancel_message(py);
        cancelled(py, message).into_value(py).into_any()
    }

    #[getter]
    fn _cancel_message(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match &self.state.borrow(py).phase {
            Phase::Cancelled(Some(message)) => Some(message.clone_ref(py)),
            _ => None,
        }
    }

    /// Ends it with an error, as the connection does when it ends or time has passed.
    fn set_exception(slf: &Bound<'_, Self>, error: &Bound<'_, PyBaseException>) -> PyResult<()> {
        if let Some(timeout) = slf.get().timeout {
            let name = intern!(slf.py(), "timeout");
            if error.hasattr(name)? {
                error.setattr(name, timeout)?;
            }
        }
        let phase = if error.is_instance_of::<CancelledError>() {
            Phase::Cancelled(None)
        } else {
            Phase::failed(error.clone().unbind())
        };
        Self::finish(slf, phase).map(drop)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.caller)?;
        if let Some(reading) = &self.reading {
            visit.call(&reading.read)?;
            visit.call(&reading.failed)?;
        }
        let Some(state) = self.state.peek() else {
            return Ok(());
        };
        match &state.phase {
            Phase::Waiting(channel, _) => visit.call(channel)?,
            Phase::Cancelled(held) => visit.call(held.as_deref())?,
            Phase::New(held)
            | Phase::Answered(held)
            | Phase::Failed(held)
            | Phase::Delegated(held)
            | Phase::Handed(held) => visit.call(held)?,
            Phase::Over => {}
        }
        if let Some(Some(traceback)) = &state.traceback {
            visit.call(traceback)?;
        }
        visit.call(state.driver.as_deref())?;
        for (callback, context) in state.waiter.iter().chain(&state.others) {
            visit.call(callback)?;
            visit.call(context)?;
        }
        Ok(())
    }

    fn __clear__(&self, py: Python<'_>) {
        let held = {
            let mut state = self.state.borrow(py);
            (state.traceback.take(), state.driver.take())
        };
        drop((self.end(py), held));
    }
}
