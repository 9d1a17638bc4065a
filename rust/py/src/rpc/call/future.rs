//! A call as a future: who waits for it, and is told when it ends.

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::UnaryCall;
use super::outcome::stops_the_program;
use super::phase::Phase;
use crate::asyncio_glue::current_task::Turns;
use crate::asyncio_glue::waiting::{Callback, is_known_weakly};
use crate::asyncio_glue::waking;
use crate::guarded::Held;
use crate::rpc::client::ClientConnection;

const NO_FUTURE: &str = "callbacks are for a call that was begun with start()";

impl UnaryCall {
    /// Takes the answer. With `turns` the task that waits goes on before this returns, and what stops the program
    /// may be raised; no task runs then, but one may be left in the turns.
    #[inline]
    pub fn answer<'py>(
        slf: &Bound<'py, Self>,
        message: Bound<'py, PyAny>,
        turns: Option<&mut Turns<'py>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let (only, driver, before) = {
            let mut state = slf.get().state.borrow(py);
            if !matches!(state.phase, Phase::Waiting(..)) {
                return Ok(());
            }
            let before = std::mem::replace(&mut state.phase, Phase::Answered(message.into()));
            let only = if turns.is_some() && state.others.is_empty() {
                state.waiter.take()
            } else {
                None
            };
            (only, state.driver.take(), before)
        };
        drop(before);
        let Some(turns) = turns else {
            return Self::tell(slf);
        };
        let Some(waiter) = only else {
            let ended = turns.end();
            return Self::tell(slf).and(ended);
        };
        match waking::go_on(slf, waiter, driver, turns) {
            Ok(None) => Ok(()),
            Ok(Some((callback, context))) => {
                let ended = turns.end();
                slf.get()
                    .call_soon(slf, callback.free(), context.free())
                    .and(ended)
            }
            Err(error) if stops_the_program(py, &error) => Err(error),
            Err(error) => slf.get().report(py, "a callback of a call raised", &error),
        }
    }

    /// Whether freeing it may run Python code: somebody waits for that, or what reads its answer goes with it.
    #[inline]
    pub fn is_watched(slf: &Bound<'_, Self>) -> bool {
        is_known_weakly(slf) || slf.get().reading.is_some()
    }

    /// Has `callback` called with this when it has ended, in `context`: where its task would go on if `goes_on`,
    /// else in a later turn of the event loop.
    #[inline]
    pub fn add_callback(
        slf: &Bound<'_, Self>,
        callback: Py<PyAny>,
        context: Py<PyAny>,
        goes_on: bool,
    ) -> PyResult<()> {
        {
            let mut state = slf.get().state.borrow(slf.py());
            if !state.is_future() {
                return Err(PyRuntimeError::new_err(NO_FUTURE));
            }
            if state.phase.is_pending() {
                if goes_on && state.waiter.is_none() {
                    state.waiter = Some((callback.into(), context.into()));
                } else {
                    state.others.push((callback.into(), context.into()));
                }
                return Ok(());
            }
        }
        slf.get().call_soon(slf, callback, context)
    }

    /// Has every callback called in a later turn of the event loop.
    pub(super) fn tell(slf: &Bound<'_, Self>) -> PyResult<()> {
        let callbacks = slf.get().state.borrow(slf.py()).callbacks();
        for (callback, context) in callbacks {
            slf.get().call_soon(slf, callback.free(), context.free())?;
        }
        Ok(())
    }

    fn call_soon(&self, slf: &Bound<'_, Self>, callback: Py<PyAny>, context: Py<PyAny>) -> PyResult<()> {
        let py = slf.py();
        let kwargs = PyDict::new(py);
        kwargs.set_item(intern!(py, "context"), context)?;
        self.caller
            .get()
            .event_loop(py)?
            .call_method(intern!(py, "call_soon"), (callback, slf), Some(&kwargs))
            .map(drop)
    }

    /// Lets go of a connection that ended its calls with an error, and tells who waits.
    pub(super) fn finish(slf: &Bound<'_, Self>, phase: Phase) -> PyResult<bool> {
        let before = {
            let mut state = slf.get().state.borrow(slf.py());
            if !state.phase.is_pending() {
                return Ok(false);
            }
            (state.undriven(), std::mem::replace(&mut state.phase, phase))
        };
        // Dropped outside the borrow: the last reference may run Python code.
        drop(before);
        Self::tell(slf).map(|()| true)
    }

    /// Forgets every callback that equals `callback`; how many.
    pub(super) fn remove(&self, py: Python<'_>, callback: &Bound<'_, PyAny>) -> PyResult<usize> {
        let known: Vec<Py<PyAny>> = {
            let state = self.state.borrow(py);
            let all = state.waiter.iter().chain(&state.others);
            all.map(|(other, _)| other.clone_ref(py)).collect()
        };
        // Outside the borrow, and before anything is changed: a comparison may run Python code, and raise.
        let mut equal = Vec::new();
        for other in known {
            if callback.eq(&other)? {
                equal.push(other);
            }
        }
        let is_equal = |(other, _): &Callback| equal.iter().any(|one| one.is(&**other));
        let removed = {
            let mut state = self.state.borrow(py);
            let all = std::mem::take(&mut state.others);
            let (mut removed, left): (Vec<_>, Vec<_>) = all.into_iter().partition(is_equal);
            state.others = left;
            removed.extend(state.waiter.take_if(|waiter| is_equal(waiter)));
            removed
        };
        Ok(removed.len())
    }

    /// Gives it up; false if it has ended.
    pub(super) fn give_away(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        let py = slf.py();
        let (channel, handle) = {
            let state = slf.get().state.borrow(py);
            match (&state.phase, &state.driver) {
                (Phase::Waiting(channel, handle), _) => (channel.clone_ref(py).into_any(), Some(*handle)),
                (Phase::Handed(task), _) => (task.clone_ref(py), None),
                (_, Some(driver)) => {
                    let driver = driver.clone_ref(py);
                    drop(state);
                    return driver.get().cancel(py, msg);
                }
                _ => return Ok(false),
            }
        };
        Self::finish(slf, Phase::Cancelled(msg.map(Held::from)))?;
        match (channel.bind(py).cast::<ClientConnection>(), handle) {
            (Ok(channel), Some(handle)) => ClientConnection::give_up(channel, handle).map(|_| true),
            _ => channel.bind(py).call_method0(intern!(py, "cancel")).map(|_| true),
        }
    }
}
