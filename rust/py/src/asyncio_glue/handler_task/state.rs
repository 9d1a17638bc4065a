//! A handler's task: its state, and how it may have ended.

use pyo3::exceptions::asyncio::CancelledError;
use pyo3::prelude::*;
use pyo3::types::PyTraceback;

use crate::asyncio_glue::waiting::Callback;
use crate::errors;
use crate::guarded::{Guarded, Held};

/// A running handler.
#[pyclass(frozen, weakref, module = "protosocket._core")]
pub struct HandlerTask {
    pub event_loop: Py<PyAny>,
    pub state: Guarded<TaskState>,
}

#[derive(Default)]
pub struct TaskState {
    /// Of the call, for the task's name.
    pub id: u64,
    pub name: Option<String>,
    pub coroutine: Option<Held<PyAny>>,
    pub context: Option<Held<PyAny>>,
    /// The future the coroutine waits for.
    pub waiter: Option<Held<PyAny>>,
    pub wakeup: Option<Held<PyAny>>,
    /// A cancellation that is thrown in at the next step, with its message.
    pub must_cancel: Option<Option<Held<PyAny>>>,
    pub cancelling: usize,
    /// The server has cancelled it, which it does once.
    pub stopped: bool,
    pub done: bool,
    /// How it ended, for who kept hold of it.
    pub outcome: Option<Outcome>,
    /// What is called at once when it has ended.
    pub owner: Option<Held<PyAny>>,
    /// What is called when it has ended in a later turn of the event loop, each in its context.
    pub callbacks: Vec<Callback>,
    /// Another task is about to wait for this one.
    pub is_awaited: bool,
}

pub enum Outcome {
    Returned(Held<PyAny>),
    /// Any exception but the one below, and its traceback: each time it is raised adds to that.
    Raised(Held<PyAny>, Option<Held<PyTraceback>>),
    Cancelled(Held<PyAny>),
}

impl Outcome {
    pub fn of(py: Python<'_>, outcome: &PyResult<Py<PyAny>>) -> Self {
        match outcome {
            Ok(value) => Outcome::Returned(value.clone_ref(py).into()),
            Err(error) if error.is_instance_of::<CancelledError>(py) => {
                Outcome::Cancelled(errors::value(py, error).into_any().into())
            }
            Err(error) => Outcome::Raised(
                errors::value(py, error).into_any().into(),
                error.traceback(py).map(Held::from),
            ),
        }
    }
}

impl HandlerTask {
    pub fn create<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, HandlerTask>> {
        let task = HandlerTask {
            event_loop: event_loop.clone().unbind(),
            state: Guarded::new(TaskState::default()),
        };
        Bound::new(event_loop.py(), task)
    }

    /// Has `owner(task)` called at once when a handler that is suspended has ended.
    pub fn report_to(&self, owner: &Bound<'_, PyAny>) {
        let before = self.state.borrow(owner.py()).owner.replace(owner.clone().into());
        drop(before);
    }

    /// Cancels the handler for the server, which does so once: its time may be up, its caller leave and the server
    /// stop while it cleans up after the first of these.
    pub fn stop(&self, py: Python<'_>) -> PyResult<()> {
        if std::mem::replace(&mut self.state.borrow(py).stopped, true) {
            return Ok(());
        }
        self.cancel(py, None).map(drop)
    }
}
