//! How handlers run: each one's coroutine in a task of its own, or those of a batch in place.
//!
//! The general way is [`Tasks`], and what everybody expects. But most handlers never suspend, and a task costs more
//! than all the rest of a call (docs/decisions/0022): so they run in place, and only one that suspends goes on by
//! itself. With the switch of `asyncio_glue` on, all go the general way.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::coroutine::{Begun, Step, in_context, name_of};
use super::handler_task::{HandlerTask, InPlace};
use super::switch::plain;

/// The handlers of a batch of requests.
pub enum Handlers<'py> {
    Tasks(Tasks<'py>),
    InPlace(InPlace<'py>),
}

impl<'py> Handlers<'py> {
    /// Those of `event_loop`; `spare` is what `end` gave.
    pub fn begin(event_loop: &Bound<'py, PyAny>, spare: Option<Py<HandlerTask>>) -> PyResult<Self> {
        if plain() {
            let event_loop = event_loop.clone();
            return Ok(Handlers::Tasks(Tasks { event_loop }));
        }
        InPlace::begin(event_loop, spare).map(Handlers::InPlace)
    }

    /// Runs the handler of the call `id`, which `begin` calls, in `context`.
    #[inline]
    pub fn run(
        &mut self,
        id: u64,
        context: &Bound<'py, PyAny>,
        begin: impl FnOnce() -> PyResult<Begun<'py>>,
    ) -> PyResult<Step<'py>> {
        match self {
            Handlers::InPlace(handlers) => handlers.run(id, context, begin),
            Handlers::Tasks(handlers) => Ok(handlers.run(id, context, begin)),
        }
    }

    /// What the next batch may use again.
    pub fn end(self) -> PyResult<Option<Py<HandlerTask>>> {
        match self {
            Handlers::InPlace(handlers) => handlers.end().map(Some),
            Handlers::Tasks(_) => Ok(None),
        }
    }
}

/// The general way: the event loop, or its task factory, makes a task of each coroutine. An ordinary function runs in
/// no task, as any callback of the event loop.
pub struct Tasks<'py> {
    event_loop: Bound<'py, PyAny>,
}

impl<'py> Tasks<'py> {
    fn run(
        &self,
        id: u64,
        context: &Bound<'py, PyAny>,
        begin: impl FnOnce() -> PyResult<Begun<'py>>,
    ) -> Step<'py> {
        let task = match in_context(context, begin) {
            Ok(Begun::Answer(answer)) => return Step::Ended(Ok(answer.unbind())),
            Ok(Begun::Coroutine(coroutine)) => self.create(id, context, coroutine),
            Err(error) => Err(error),
        };
        match task {
            Ok(task) => Step::Suspended(task),
            Err(error) => Step::Ended(Err(error)),
        }
    }

    fn create(
        &self,
        id: u64,
        context: &Bound<'py, PyAny>,
        coroutine: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = context.py();
        let options = PyDict::new(py);
        options.set_item(intern!(py, "name"), name_of(id))?;
        options.set_item(intern!(py, "context"), context)?;
        let create_task = intern!(py, "create_task");
        let task = self
            .event_loop
            .call_method(create_task, (coroutine,), Some(&options))?;
        // An event loop that is closed with handlers left was closed on purpose. A task of another kind may not listen.
        let _ = task.setattr(intern!(py, "_log_destroy_pending"), false);
        Ok(task)
    }
}

/// Has `owner(task)` called, in the handler's context, when the task of a handler that is suspended has ended.
pub fn report(task: &Bound<'_, PyAny>, owner: &Bound<'_, PyAny>, context: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = task.py();
    if let Ok(task) = task.cast::<HandlerTask>() {
        task.get().report_to(owner);
        return Ok(());
    }
    let options = PyDict::new(py);
    options.set_item(intern!(py, "context"), context)?;
    task.call_method(intern!(py, "add_done_callback"), (owner,), Some(&options))
        .map(drop)
}

/// Whether the event loop hears itself of a KeyboardInterrupt or SystemExit that a task ends with.
pub fn tells_of_exits(task: &Bound<'_, PyAny>) -> bool {
    !task.is_instance_of::<HandlerTask>()
}

/// Cancels the task of a handler for the server, which does so once: its time may be up, its caller leave and the
/// server stop while it cleans up after the first of these.
#[pyfunction]
pub fn stop_handler(task: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = task.py();
    if let Ok(task) = task.cast::<HandlerTask>() {
        return task.get().stop(py);
    }
    // Where the program ends, all tasks have been cancelled before.
    if !task.call_method0(intern!(py, "cancelling"))?.is_truthy()? {
        task.call_method0(intern!(py, "cancel"))?;
    }
    Ok(())
}
