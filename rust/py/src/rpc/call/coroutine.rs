//! A call as a coroutine: its steps, and what ends it from outside.

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;

use super::UnaryCall;
use super::phase::Phase;
use crate::asyncio_glue::client_task::exception;
use crate::asyncio_glue::coroutine::{Sent, cancelled, send};
use crate::asyncio_glue::slots::Steps;
use crate::guarded::Held;
use crate::rpc::client::ClientConnection;
use crate::rpc::pool::CallPool;

const AWAITED_ALREADY: &str = "this call is awaited already, and has not ended";

impl UnaryCall {
    /// A step of the coroutine: the first, and the one after the end.
    #[inline]
    fn next_step(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<Sent> {
        let py = slf.py();
        let this = slf.get();
        let (phase, is_read) = {
            let mut state = this.state.borrow(py);
            if state.is_started {
                state.is_yielded = state.phase.is_pending();
                if state.is_yielded {
                    drop(state);
                    CallPool::require_home(this.caller.bind(py))?;
                    return Ok(Sent::Yielded(slf.clone().into_any().unbind()));
                }
                drop(state);
                return this
                    .outcome(py)
                    .unwrap_or_else(|| Err(over()))
                    .map(Sent::Returned);
            }
            match &state.phase {
                Phase::Waiting(..) => {
                    return Err(PyRuntimeError::new_err(AWAITED_ALREADY));
                }
                Phase::Delegated(coroutine) => {
                    let coroutine = coroutine.clone_ref(py);
                    drop(state);
                    return this.delegate(coroutine.bind(py), value);
                }
                _ => (
                    std::mem::replace(&mut state.phase, Phase::Over),
                    state.is_read || this.reading.is_none(),
                ),
            }
        };
        match phase {
            Phase::Answered(message) if is_read => Ok(Sent::Returned(message.free())),
            Phase::Answered(message) => this.read(py, Ok(message.free())).map(Sent::Returned),
            Phase::New(request) => Self::first_step(slf, &request.free().into_bound(py)),
            Phase::Failed(error) if is_read => Err(PyErr::from_value(error.free().into_bound(py))),
            Phase::Failed(error) => Err(this.explain(py, PyErr::from_value(error.free().into_bound(py)))),
            Phase::Cancelled(message) => Err(this.explain(py, cancelled(py, message.map(Held::free)))),
            Phase::Waiting(..) | Phase::Delegated(_) | Phase::Handed(_) | Phase::Over => Err(over()),
        }
    }

    #[inline]
    fn first_step(slf: &Bound<'_, Self>, request: &Bound<'_, PyAny>) -> PyResult<Sent> {
        let py = slf.py();
        let this = slf.get();
        if let Some(coroutine) = Self::begin(slf, request).map_err(|error| this.explain(py, error))? {
            drop(this.enter(py, Phase::Delegated(coroutine.clone().into())));
            return this.delegate(&coroutine, py.None().bind(py));
        }
        let mut state = this.state.borrow(py);
        // It may have ended already: with the connection, when the request was written.
        if matches!(state.phase, Phase::Waiting(..)) {
            state.is_yielded = true;
            drop(state);
            return Ok(Sent::Yielded(slf.clone().into_any().unbind()));
        }
        drop(state);
        Self::next_step(slf, request)
    }

    fn delegate(&self, coroutine: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<Sent> {
        let py = coroutine.py();
        let step = match send(coroutine, value) {
            Sent::Yielded(awaited) => return Ok(Sent::Yielded(awaited)),
            Sent::Returned(result) => Ok(result),
            Sent::Raised(error) => Err(error),
        };
        self.end(py);
        self.read(py, step).map(Sent::Returned)
    }

    /// What is awaited a second time must not be on its way.
    pub(super) fn require_unawaited(&self, py: Python<'_>) -> PyResult<()> {
        // The coroutine that does it all would go on for the wrong task.
        match self.state.borrow(py).phase {
            Phase::Delegated(_) => Err(PyRuntimeError::new_err(AWAITED_ALREADY)),
            _ => Ok(()),
        }
    }

    /// Raises an exception where the call waits, as every coroutine does: the server is told to stop, unless
    /// the call was started, which others may wait for.
    pub(super) fn raise(
        slf: &Bound<'_, Self>,
        kind: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let delegated = slf.get().state.borrow(py).delegate(py);
        if let Some(coroutine) = delegated {
            let error = exception(kind, value)?;
            let thrown = coroutine.bind(py).call_method1(intern!(py, "throw"), (error,));
            return thrown.map(Bound::unbind).map_err(|error| {
                slf.get().end(py);
                slf.get().explain(py, error)
            });
        }
        let error = exception(kind, value)?;
        let is_own = {
            let state = slf.get().state.borrow(py);
            state.is_read && matches!(&state.phase, Phase::Failed(own) if own.is(&error))
        };
        if !slf.get().state.borrow(py).is_started {
            Self::give_up(slf)?;
        }
        if let Some(traceback) = traceback.filter(|traceback| !traceback.is_none()) {
            error.setattr(intern!(py, "__traceback__"), traceback)?;
        }
        let error = PyErr::from_value(error);
        // What `result` raised to whoever woke the task has been explained.
        Err(if is_own {
            error
        } else {
            slf.get().explain(py, error)
        })
    }

    /// Ends the coroutine: the server is told to stop. A call that was started is no coroutine, and goes on.
    pub(super) fn stop(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (this, py) = (slf.get(), slf.py());
        let delegated = this.state.borrow(py).delegate(py);
        if let Some(coroutine) = delegated {
            this.end(py);
            return coroutine.bind(py).call_method0(intern!(py, "close")).map(drop);
        }
        if this.state.borrow(py).is_started {
            return Ok(());
        }
        Self::give_up(slf)
    }

    /// Ends it in whatever phase it is, and tells the server to stop if that works on it; what was before.
    pub(super) fn end(&self, py: Python<'_>) -> Phase {
        let (phase, held) = {
            let mut state = self.state.borrow(py);
            let driver = state.undriven();
            let phase = std::mem::replace(&mut state.phase, Phase::Over);
            (phase, (state.callbacks(), driver))
        };
        drop(held);
        phase
    }

    #[cold]
    fn has_closed_loop(&self, py: Python<'_>) -> bool {
        let event_loop = self.caller.get().event_loop(py);
        let is_closed = event_loop.and_then(|event_loop| event_loop.call_method0(intern!(py, "is_closed")));
        is_closed.is_ok_and(|is_closed| is_closed.is_truthy().unwrap_or(false))
    }

    /// Ends it from outside; whoever else waits for it hears of that.
    fn give_up(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if let Err(error) = Self::tell(slf) {
            // Freed with the program: there is nobody to tell any more.
            if !slf.get().has_closed_loop(py) {
                return Err(error);
            }
        }
        match slf.get().end(py) {
            Phase::Waiting(channel, handle) => ClientConnection::give_up(channel.bind(py), handle).map(drop),
            _ => Ok(()),
        }
    }
}

impl Steps for UnaryCall {
    #[inline]
    fn step(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> Sent {
        Self::next_step(slf, value).unwrap_or_else(Sent::Raised)
    }
}

#[cold]
fn over() -> PyErr {
    PyRuntimeError::new_err("cannot reuse already awaited coroutine")
}
