//! How a call ended: read and explained when somebody asks first, and told to the event loop if nobody does.

use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeWarning, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::UnaryCall;
use super::phase::Phase;
use crate::asyncio_glue::coroutine::cancelled;
use crate::asyncio_glue::slots::Finalizes;
use crate::errors;

impl UnaryCall {
    /// The call's result, or the exception to raise, of what ended it.
    #[inline]
    pub(super) fn read(&self, py: Python<'_>, outcome: PyResult<Py<PyAny>>) -> PyResult<Py<PyAny>> {
        let read = match (&self.reading, outcome) {
            (Some(reading), Ok(message)) => reading.read.bind(py).call1((message,)).map(Bound::unbind),
            (_, outcome) => outcome,
        };
        read.map_err(|error| self.explain(py, error))
    }

    /// How it ended, or None if it has not: read and explained when somebody asks first, and kept.
    pub(super) fn outcome(&self, py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        let (outcome, is_read) = {
            let mut state = self.state.borrow(py);
            let outcome = match &state.phase {
                Phase::Answered(message) => Ok(message.clone_ref(py)),
                Phase::Failed(error) => Err(error.clone_ref(py)),
                Phase::Cancelled(message) => {
                    let message = message.as_ref().map(|message| message.clone_ref(py));
                    drop(state);
                    return Some(Err(cancelled(py, message)));
                }
                _ => return None,
            };
            state.is_seen = true;
            (outcome, state.is_read || self.reading.is_none())
        };
        let outcome = outcome.map_err(|error| PyErr::from_value(error.into_bound(py)));
        if is_read {
            return Some(outcome.inspect_err(|error| self.rewind(py, error)));
        }
        let outcome = self.read(py, outcome);
        let phase = match &outcome {
            Ok(result) => Phase::Answered(result.clone_ref(py).into()),
            Err(error) if stops_the_program(py, error) => return Some(outcome),
            Err(error) => Phase::failed(errors::value(py, error)),
        };
        let before = {
            let mut state = self.state.borrow(py);
            state.is_read = true;
            std::mem::replace(&mut state.phase, phase)
        };
        // Dropped outside the borrow: the last reference may run Python code.
        drop(before);
        Some(outcome.inspect_err(|error| self.rewind(py, error)))
    }

    /// Gives the error that ended it the traceback that it had when it was raised first.
    fn rewind(&self, py: Python<'_>, error: &PyErr) {
        let now = error.traceback(py).map(Bound::unbind);
        let kept = {
            let mut state = self.state.borrow(py);
            match &state.traceback {
                Some(kept) => kept.as_ref().map(|traceback| traceback.clone_ref(py)),
                None => {
                    state.traceback = Some(now.as_ref().map(|traceback| traceback.clone_ref(py).into()));
                    now
                }
            }
        };
        let kept = kept.map(|traceback| traceback.into_bound(py));
        error.set_traceback(py, kept);
    }

    /// The exception to raise for the one that ended the call.
    pub(super) fn explain(&self, py: Python<'_>, error: PyErr) -> PyErr {
        match &self.reading {
            Some(reading) => match reading.failed.bind(py).call1((error.into_value(py),)) {
                Ok(explained) => PyErr::from_value(explained),
                Err(raised) => raised,
            },
            None => error,
        }
    }

    /// Tells the event loop of an error that nobody else hears of.
    #[cold]
    pub(super) fn report(&self, py: Python<'_>, message: &str, error: &PyErr) -> PyResult<()> {
        let context = PyDict::new(py);
        context.set_item("message", message)?;
        context.set_item("exception", errors::value(py, error))?;
        self.caller
            .get()
            .event_loop(py)?
            .call_method1(intern!(py, "call_exception_handler"), (context,))
            .map(drop)
    }

    /// Tells the event loop of an error of a call that was started, if nobody has asked how it ended.
    pub(super) fn report_unseen(&self, py: Python<'_>) {
        let is_of_interest = {
            let state = self.state.borrow(py);
            let may_fail = match state.phase {
                Phase::Answered(_) => self.reading.is_some(),
                Phase::Failed(_) => true,
                _ => false,
            };
            may_fail && state.is_started && !state.is_seen
        };
        if is_of_interest {
            aside(py, || {
                let Some(Err(error)) = self.outcome(py) else {
                    return Ok(());
                };
                let message = "the error of a call that was started was never retrieved";
                self.report(py, message, &error)
            });
        }
    }
}

impl Finalizes for UnaryCall {
    fn finalize(slf: &Bound<'_, Self>) {
        slf.get().report_unseen(slf.py());
    }
}

/// Nobody awaited it, or nobody asked how it ended: what Python says of every such coroutine or future.
impl Drop for UnaryCall {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        match &state.phase {
            Phase::New(_) => Python::attach(|py| {
                let kind = py.get_type::<PyRuntimeWarning>();
                let text = c"coroutine 'Client.unary' was never awaited";
                aside(py, || PyErr::warn(py, &kind, text, 1));
            }),
            Phase::Answered(_) | Phase::Failed(_) => Python::attach(|py| self.report_unseen(py)),
            _ => {}
        }
    }
}

/// Does something while an exception may be on its way, which nobody can be told an error of.
fn aside(py: Python<'_>, act: impl FnOnce() -> PyResult<()>) {
    let raised = PyErr::take(py);
    if let Err(error) = act() {
        error.write_unraisable(py, None);
    }
    if let Some(raised) = raised {
        raised.restore(py);
    }
}

pub fn stops_the_program(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyKeyboardInterrupt>(py) || error.is_instance_of::<PySystemExit>(py)
}
