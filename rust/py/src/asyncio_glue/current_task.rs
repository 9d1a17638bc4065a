//! Which task of an event loop runs now, as `asyncio.current_task()` tells.

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

struct Asyncio {
    enter_task: Py<PyAny>,
    leave_task: Py<PyAny>,
    current_task: Py<PyAny>,
    running_loop: Py<PyAny>,
    /// Where the interpreter keeps the task of each event loop, if it has such a dictionary: until Python 3.13.
    current_tasks: Option<Py<PyDict>>,
}

static ASYNCIO: PyOnceLock<Asyncio> = PyOnceLock::new();

fn asyncio(py: Python<'_>) -> PyResult<&Asyncio> {
    ASYNCIO.get_or_try_init(py, || {
        let tasks = py.import("asyncio.tasks")?;
        let current_tasks = py.import("_asyncio")?.getattr_opt("_current_tasks")?;
        Ok(Asyncio {
            current_tasks: current_tasks
                .and_then(|tasks| tasks.cast_into().ok())
                .map(Bound::unbind),
            enter_task: tasks.getattr("_enter_task")?.unbind(),
            leave_task: tasks.getattr("_leave_task")?.unbind(),
            current_task: tasks.getattr("current_task")?.unbind(),
            running_loop: py
                .import("asyncio.events")?
                .getattr("_get_running_loop")?
                .unbind(),
        })
    })
}

/// The task of the running event loop that runs now, or None.
pub fn running_task(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    asyncio(py)?.current_task.bind(py).call0()
}

/// The event loop that runs in this thread, or None.
pub fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    asyncio(py)?.running_loop.bind(py).call0()
}

/// Whether a task of an event loop is known to run now. Where the interpreter does not tell, none is.
#[inline]
pub fn has_current_task(event_loop: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = event_loop.py();
    match &asyncio(py)?.current_tasks {
        Some(tasks) => tasks.bind(py).contains(event_loop),
        None => Ok(false),
    }
}

/// Whether a task of the running event loop runs now: then no other may.
pub fn is_task_running(py: Python<'_>) -> PyResult<bool> {
    Ok(!running_task(py)?.is_none())
}

/// `task` runs now, and no other of the event loop does.
pub fn enter(event_loop: &Bound<'_, PyAny>, task: &Bound<'_, impl Sized>) -> PyResult<()> {
    let enter_task = asyncio(task.py())?.enter_task.bind(task.py());
    enter_task.call1((event_loop, task.as_any())).map(drop)
}

/// The other half of [`enter`].
pub fn leave(event_loop: &Bound<'_, PyAny>, task: &Bound<'_, impl Sized>) -> PyResult<()> {
    let leave_task = asyncio(task.py())?.leave_task.bind(task.py());
    leave_task.call1((event_loop, task.as_any())).map(drop)
}

/// The tasks that go on one after the other while answers are handled: each is the current one of its event loop
/// while it runs.
///
/// Where the interpreter keeps a dictionary of them, a task stays in it until the next one takes its place or
/// `end` takes it out, which takes a third of the instructions. So `end` comes before anything else may run. (What
/// the garbage collector of Python 3.11 frees when it likes finds some task or none, here as anywhere.)
#[derive(Default)]
pub struct Turns<'py> {
    /// The event loop that has a current task left from the last turn.
    left: Option<Bound<'py, PyAny>>,
}

impl<'py> Turns<'py> {
    /// `task` runs now, and no other of the event loop does.
    #[inline]
    pub fn enter(&mut self, event_loop: &Bound<'py, PyAny>, task: &Bound<'py, PyAny>) -> PyResult<()> {
        let Some(tasks) = &asyncio(task.py())?.current_tasks else {
            return enter(event_loop, task);
        };
        if !self.left.as_ref().is_some_and(|left| left.is(event_loop)) {
            self.end()?;
        }
        if let Err(error) = tasks.bind(task.py()).set_item(event_loop, task) {
            return self.end().and(Err(error));
        }
        self.left.get_or_insert_with(|| event_loop.clone());
        Ok(())
    }

    /// The other half of `enter`.
    #[inline]
    pub fn leave(&self, event_loop: &Bound<'py, PyAny>, task: &Bound<'py, PyAny>) -> PyResult<()> {
        if self.left.is_some() {
            return Ok(());
        }
        leave(event_loop, task)
    }

    /// No task is the current one any more.
    #[inline]
    pub fn end(&mut self) -> PyResult<()> {
        match self.left.take() {
            Some(event_loop) => Self::take_out(&event_loop),
            None => Ok(()),
        }
    }

    fn take_out(event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = event_loop.py();
        let Some(tasks) = &asyncio(py)?.current_tasks else {
            return Ok(());
        };
        match tasks.bind(py).del_item(event_loop) {
            // The task has taken itself out.
            Err(error) if error.is_instance_of::<PyKeyError>(py) => Ok(()),
            result => result,
        }
    }
}

impl Drop for Turns<'_> {
    /// After a panic, too, others can run.
    fn drop(&mut self) {
        drop(self.end());
    }
}
