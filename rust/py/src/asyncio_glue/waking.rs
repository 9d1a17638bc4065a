//! A task goes on within the reading of its answer, in place of a turn of the event loop later.

use pyo3::ffi;
use pyo3::prelude::*;

use crate::asyncio_glue::client_task::{Drivable, DrivenCoroutine};
use crate::asyncio_glue::current_task::Turns;
use crate::asyncio_glue::waiting::{Awaited, Callback, wake, woken_task};
use crate::guarded::Held;

/// Has what waits for `call` go on now, in its context, before this returns: its task, or what drives it. No task runs
/// then, but one may be left in the turns. Gives the waiter back if somebody runs in its context, which ends before
/// the event loop's next turn; what it raised otherwise.
#[inline]
pub fn go_on<'py, T: Awaited + Drivable>(
    call: &Bound<'py, T>,
    (callback, context): Callback,
    driver: Option<Held<DrivenCoroutine>>,
    turns: &mut Turns<'py>,
) -> PyResult<Option<Callback>> {
    let py = call.py();
    // SAFETY: a live Context object, left below.
    if unsafe { ffi::PyContext_Enter(context.as_ptr()) } != 0 {
        drop(PyErr::take(py));
        return Ok(Some((callback, context)));
    }
    let result = match (driver, woken_task(callback.bind(py))) {
        (Some(driver), Some(task)) => {
            let waiter = (callback, context.clone_ref(py).into());
            DrivenCoroutine::go_on(driver.free().into_bound(py), call, &task, waiter, turns)
        }
        _ => {
            let ended = turns.end();
            wake(callback.bind(py), call).map(drop).and(ended)
        }
    };
    // SAFETY: the context that was entered above; leaving it fails only if it is not the current one.
    if unsafe { ffi::PyContext_Exit(context.as_ptr()) } != 0 {
        return Err(PyErr::fetch(py));
    }
    result.map(|()| None)
}
