//! The steps of a handler's coroutine after it has suspended: each until it waits for a future again, whose callback
//! takes the next.

use pyo3::exceptions::asyncio::CancelledError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::state::{HandlerTask, Outcome};
use crate::asyncio_glue::coroutine::{Sent, cancelled, send, throw};
use crate::asyncio_glue::current_task::{enter, leave};
use crate::guarded::Held;

/// Goes on with the coroutine, from a callback of the event loop.
pub fn resume(task: &Bound<'_, HandlerTask>, error: Option<PyErr>) -> PyResult<()> {
    let py = task.py();
    let this = task.get();
    let (coroutine, must_cancel, before) = {
        let mut state = this.state.borrow(py);
        let before = state.waiter.take();
        let coroutine = if state.done {
            None
        } else {
            state.coroutine.as_ref()
        };
        let coroutine = coroutine.map(|coroutine| coroutine.clone_ref(py));
        let must_cancel = coroutine.is_some().then(|| state.must_cancel.take());
        (coroutine, must_cancel.flatten(), before)
    };
    drop(before);
    let Some(coroutine) = coroutine else {
        return Ok(());
    };
    let error = match (must_cancel, error) {
        (Some(_), Some(error)) if error.is_instance_of::<CancelledError>(py) => Some(error),
        (Some(message), _) => Some(cancelled(py, message.map(Held::free))),
        (None, error) => error,
    };
    let event_loop = this.event_loop.bind(py);
    let coroutine = coroutine.bind(py);
    enter(event_loop, task)?;
    // The event loop runs the callback in the handler's context: `suspend` asked for that.
    let sent = match error {
        None => send(coroutine, py.None().bind(py)),
        Some(error) => throw(py, coroutine, error),
    };
    let suspended = match &sent {
        Sent::Yielded(awaited) => suspend(task, awaited.bind(py)),
        _ => Ok(()),
    };
    leave(event_loop, task)?;
    let outcome = match sent {
        Sent::Yielded(_) => return suspended,
        Sent::Raised(error) => Err(error),
        Sent::Returned(value) => {
            let must_cancel = this.state.borrow(py).must_cancel.take();
            match must_cancel {
                Some(message) => Err(cancelled(py, message.map(Held::free))),
                None => Ok(value),
            }
        }
    };
    let owner = this.state.borrow(py).owner.take();
    let settled = settle(task, &outcome);
    // Its traceback would know what it was raised in.
    drop(outcome);
    match owner {
        Some(owner) => owner.free().call1(py, (task,)).map(drop).and(settled),
        None => settled,
    }
}

/// Keeps how the handler ended, and has every callback called in a later turn of the event loop.
pub fn settle(task: &Bound<'_, HandlerTask>, outcome: &PyResult<Py<PyAny>>) -> PyResult<()> {
    let py = task.py();
    let outcome = Outcome::of(py, outcome);
    let (callbacks, dropped) = {
        let mut state = task.get().state.borrow(py);
        state.done = true;
        let callbacks = std::mem::take(&mut state.callbacks);
        let (coroutine, context) = (state.coroutine.take(), state.context.take());
        let (wakeup, waiter) = (state.wakeup.take(), state.waiter.take());
        let before = state.outcome.replace(outcome);
        (callbacks, (before, coroutine, context, wakeup, waiter))
    };
    drop(dropped);
    for (callback, context) in callbacks {
        HandlerTask::call_soon(task, callback.free(), context.free())?;
    }
    Ok(())
}

/// Waits for what the coroutine yielded.
pub fn suspend(task: &Bound<'_, HandlerTask>, awaited: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = task.py();
    let this = task.get();
    let event_loop = this.event_loop.bind(py);
    let options = PyDict::new(py);
    if let Some(context) = this.get_context(py) {
        options.set_item(intern!(py, "context"), context)?;
    }
    if let Some(text) = why_not(task, awaited)? {
        let text = format!("{text}: {}", awaited.repr()?);
        let fail = task.getattr(intern!(py, "_fail"))?;
        let call_soon = intern!(py, "call_soon");
        return event_loop
            .call_method(call_soon, (fail, text), Some(&options))
            .map(drop);
    }
    if awaited.is_none() {
        let step = task.getattr(intern!(py, "_step"))?;
        let call_soon = intern!(py, "call_soon");
        return event_loop
            .call_method(call_soon, (step,), Some(&options))
            .map(drop);
    }
    awaited.setattr(intern!(py, "_asyncio_future_blocking"), false)?;
    let wakeup = wakeup_of(task)?;
    awaited.call_method(intern!(py, "add_done_callback"), (wakeup,), Some(&options))?;
    let (must_cancel, before) = {
        let mut state = this.state.borrow(py);
        let before = state.waiter.replace(awaited.clone().into());
        let must_cancel = state
            .must_cancel
            .as_ref()
            .map(|message| message.as_ref().map(|message| message.clone_ref(py)));
        (must_cancel, before)
    };
    drop(before);
    if let Some(message) = must_cancel {
        if cancel_future(awaited, message.as_ref())? {
            let before = this.state.borrow(py).must_cancel.take();
            drop(before);
        }
    }
    Ok(())
}

/// What is wrong with what the coroutine yielded, which is raised in it in a later turn of the event loop.
fn why_not(task: &Bound<'_, HandlerTask>, awaited: &Bound<'_, PyAny>) -> PyResult<Option<&'static str>> {
    let py = task.py();
    if awaited.is_none() {
        // A bare `yield` asks for a turn of the event loop.
        return Ok(None);
    }
    if awaited.is(task) {
        return Ok(Some("a handler cannot await itself"));
    }
    let is_future = match awaited.getattr_opt(intern!(py, "_asyncio_future_blocking"))? {
        Some(blocking) => blocking.is_truthy()?,
        None => false,
    };
    if !is_future {
        return Ok(Some("a handler awaited something that is not an asyncio future"));
    }
    match awaited.getattr_opt(intern!(py, "get_loop"))? {
        Some(get_loop) if !get_loop.call0()?.is(&task.get().event_loop) => {
            Ok(Some("a handler awaited a future of another event loop"))
        }
        _ => Ok(None),
    }
}

/// The callback of the futures that the task waits for.
fn wakeup_of(task: &Bound<'_, HandlerTask>) -> PyResult<Py<PyAny>> {
    let py = task.py();
    let known = {
        let state = task.get().state.borrow(py);
        state.wakeup.as_ref().map(|wakeup| wakeup.clone_ref(py))
    };
    if let Some(wakeup) = known {
        return Ok(wakeup);
    }
    let wakeup = task.getattr(intern!(py, "_wakeup"))?.unbind();
    let before = task
        .get()
        .state
        .borrow(py)
        .wakeup
        .replace(wakeup.clone_ref(py).into());
    drop(before);
    Ok(wakeup)
}

/// Asks a future to be cancelled; whether it will be.
pub fn cancel_future(future: &Bound<'_, PyAny>, message: Option<&Py<PyAny>>) -> PyResult<bool> {
    let py = future.py();
    let options = PyDict::new(py);
    if let Some(message) = message {
        options.set_item(intern!(py, "msg"), message)?;
    }
    future
        .call_method(intern!(py, "cancel"), (), Some(&options))?
        .is_truthy()
}
