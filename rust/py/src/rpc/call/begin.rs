//! How a call begins: on a connection of the pool, or with a coroutine or task that waits for one.

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;

use super::UnaryCall;
use super::phase::Phase;
use crate::asyncio_glue::coroutine::current_context;
use crate::errors;
use crate::rpc::client::{ClientConnection, check_timeout};
use crate::rpc::pool::CallPool;

impl UnaryCall {
    /// Sends the request; a coroutine that does it all if there is no connection or no room.
    #[inline]
    pub(super) fn begin<'py>(
        slf: &Bound<'py, Self>,
        request: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        let this = slf.get();
        let caller = this.caller.bind(py);
        CallPool::require_home(caller).inspect_err(|_| drop(this.end(py)))?;
        let starts_on = |channel: &Bound<'py, ClientConnection>| {
            let waiter = slf.clone().into_any().unbind();
            let sent = |handle| this.sent(py, channel, handle);
            let clock = || caller.get().event_loop(py);
            let started = ClientConnection::start_unary(channel, request, waiter, this.timeout, sent, clock);
            started.inspect_err(|_| drop(this.end(py)))
        };
        if let Some(channel) = caller.get().nearby(py) {
            if starts_on(&channel)? {
                return Ok(None);
            }
        }
        let (index, channel) = caller.get().turn(py)?;
        if let Some(channel) = channel {
            if starts_on(&channel)? {
                return Ok(None);
            }
        }
        check_timeout(py, this.timeout)?;
        let later = (index, request, this.timeout);
        caller.call_method1(intern!(py, "_unary_later"), later).map(Some)
    }

    /// Has a task do it all.
    fn hand_over(slf: &Bound<'_, Self>, coroutine: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let event_loop = slf.get().caller.get().event_loop(py)?;
        let task = match event_loop.call_method1(intern!(py, "create_task"), (coroutine,)) {
            Ok(task) => task,
            Err(error) => {
                coroutine.call_method0(intern!(py, "close"))?;
                return Err(error);
            }
        };
        // The program did not make it: asyncio does not complain if it is left. Other kinds may not know the name.
        drop(task.setattr(intern!(py, "_log_destroy_pending"), false));
        drop(slf.get().enter(py, Phase::Handed(task.clone().into())));
        let settle = slf.getattr(intern!(py, "_settle"))?;
        task.call_method1(intern!(py, "add_done_callback"), (settle,))
            .map(drop)
    }

    /// The request is on its way: called before anything can answer it.
    #[inline]
    fn sent(&self, py: Python<'_>, channel: &Bound<'_, ClientConnection>, handle: u64) {
        drop(self.enter(py, Phase::Waiting(channel.clone().into(), handle)));
    }

    /// The phase before, which is dropped when nothing is borrowed.
    #[inline]
    pub(super) fn enter(&self, py: Python<'_>, phase: Phase) -> Phase {
        self.state.borrow(py).enter(phase)
    }

    /// Begins it at once, as a future.
    pub(super) fn begin_now(slf: &Bound<'_, Self>, answered: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let waiter = match answered {
            Some(answered) => Some((answered.into(), current_context(py)?.into())),
            None => None,
        };
        let (request, before) = {
            let mut state = this.state.borrow(py);
            match std::mem::replace(&mut state.phase, Phase::Over) {
                Phase::New(request) => {
                    state.is_started = true;
                    (request, std::mem::replace(&mut state.waiter, waiter))
                }
                phase => {
                    state.phase = phase;
                    return Err(PyRuntimeError::new_err("this call has begun already"));
                }
            }
        };
        drop(before);
        let begun = Self::begin(slf, request.bind(py)).and_then(|later| match later {
            Some(coroutine) => Self::hand_over(slf, &coroutine),
            None => Ok(()),
        });
        if let Err(error) = begun {
            let error = this.explain(py, error);
            let value = errors::value(py, &error);
            let before = {
                let mut state = this.state.borrow(py);
                (state.is_seen, state.is_read) = (true, true);
                let phase = Phase::failed(value);
                let callbacks = state.callbacks();
                (std::mem::replace(&mut state.phase, phase), callbacks)
            };
            // Dropped outside the borrow: the last reference may run Python code.
            drop(before);
            return Err(error);
        }
        Ok(())
    }

    /// The task that does it all has ended.
    pub(super) fn settle(slf: &Bound<'_, Self>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let phase = if task.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
            Phase::Cancelled(None)
        } else {
            let error = task.call_method0(intern!(py, "exception"))?;
            if error.is_none() {
                Phase::Answered(task.call_method0(intern!(py, "result"))?.into())
            } else {
                Phase::Failed(error.into())
            }
        };
        Self::finish(slf, phase).map(drop)
    }
}
