//! A handler's coroutine driven in place: what `asyncio.current_task()` is while a handler runs.
//!
//! Most handlers never suspend: they run to their end inside the read callback and cost no
//! `asyncio.Task`. One that does suspend goes on from the callback of the future it awaits. The
//! object has the methods of a task (see `task/future.rs`), and is none.

mod future;

use pyo3::exceptions::asyncio::CancelledError;
use pyo3::exceptions::{PyKeyError, PyRuntimeError, PyStopIteration};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTraceback};
use pyo3::{ffi, intern};

use crate::asyncio_glue::waiting::{Callback, is_known_weakly};
use crate::errors;
use crate::guarded::{Guarded, Held};
use crate::rpc::server::ServerConnection;
pub use future::HandlerWait;

/// A running handler.
#[pyclass(frozen, weakref, module = "protosocket._core")]
pub struct HandlerTask {
    server: Py<ServerConnection>,
    state: Guarded<TaskState>,
}

#[derive(Default)]
struct TaskState {
    id: u64,
    is_stream: bool,
    coroutine: Option<Held<PyAny>>,
    context: Option<Held<PyAny>>,
    /// The future the coroutine waits for.
    waiter: Option<Held<PyAny>>,
    wakeup: Option<Held<PyAny>>,
    /// A cancellation that is thrown in at the next step, with its message.
    must_cancel: Option<Option<Held<PyAny>>>,
    cancelling: usize,
    name: Option<String>,
    done: bool,
    /// How it ended, for who kept hold of it.
    outcome: Option<Outcome>,
    /// What is called when it has ended, each in its context.
    callbacks: Vec<Callback>,
    /// Another task is about to wait for this one.
    is_awaited: bool,
    /// The caller gave the call up: there is nobody to answer.
    abandoned: bool,
    /// The server has cancelled it.
    stopped: bool,
}

enum Outcome {
    Returned(Held<PyAny>),
    /// Any exception but the one below, and its traceback: each time it is raised adds to that.
    Raised(Held<PyAny>, Option<Held<PyTraceback>>),
    Cancelled(Held<PyAny>),
}

impl Outcome {
    fn of(py: Python<'_>, outcome: &PyResult<Py<PyAny>>) -> Self {
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

/// How far a coroutine came.
pub enum Step {
    /// It returned this value.
    Returned(Py<PyAny>),
    Raised(PyErr),
    /// It waits.
    Suspended,
}

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
        let asyncio = asyncio(task.py())?;
        let Some(tasks) = &asyncio.current_tasks else {
            let enter_task = asyncio.enter_task.bind(task.py());
            return enter_task.call1((event_loop, task)).map(drop);
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
        let leave_task = asyncio(task.py())?.leave_task.bind(task.py());
        leave_task.call1((event_loop, task)).map(drop)
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

impl HandlerTask {
    pub fn create(py: Python<'_>, server: &Bound<'_, ServerConnection>) -> PyResult<Py<HandlerTask>> {
        Py::new(
            py,
            HandlerTask {
                server: server.clone().unbind(),
                state: Guarded::new(TaskState::default()),
            },
        )
    }

    /// Makes this the current task of `loop`.
    pub fn enter(slf: &Bound<'_, Self>, r#loop: &Bound<'_, PyAny>) -> PyResult<()> {
        asyncio(slf.py())?
            .enter_task
            .bind(slf.py())
            .call1((r#loop, slf))
            .map(drop)
    }

    /// The other half of [`HandlerTask::enter`].
    pub fn leave(slf: &Bound<'_, Self>, r#loop: &Bound<'_, PyAny>) -> PyResult<()> {
        asyncio(slf.py())?
            .leave_task
            .bind(slf.py())
            .call1((r#loop, slf))
            .map(drop)
    }

    pub fn is_stream(&self, py: Python<'_>) -> bool {
        self.state.borrow(py).is_stream
    }

    pub fn id(&self, py: Python<'_>) -> u64 {
        self.state.borrow(py).id
    }

    pub fn is_abandoned(&self, py: Python<'_>) -> bool {
        self.state.borrow(py).abandoned
    }

    /// Cancels a handler whose answer nobody wants any more.
    pub fn abandon(&self, py: Python<'_>) -> PyResult<()> {
        self.state.borrow(py).abandoned = true;
        self._stop(py)
    }

    /// Becomes the task of the call `id`, whose handler runs in `context`.
    #[inline]
    pub fn begin(&self, py: Python<'_>, id: u64, context: &Bound<'_, PyAny>) {
        let before = {
            let mut state = self.state.borrow(py);
            state.id = id;
            state.is_stream = false;
            state.context.replace(context.clone().into())
        };
        drop(before);
    }

    /// Starts a coroutine. The caller has entered this task and its context.
    #[inline]
    pub fn start(
        slf: &Bound<'_, Self>,
        is_stream: bool,
        coroutine: Bound<'_, PyAny>,
        r#loop: &Bound<'_, PyAny>,
    ) -> PyResult<Step> {
        let py = slf.py();
        let before = {
            // There before it runs: cancel scopes of libraries look at it.
            let mut state = slf.get().state.borrow(py);
            state.is_stream = is_stream;
            state.coroutine.replace(coroutine.clone().into())
        };
        drop(before);
        match send(&coroutine, py.None().bind(py)) {
            Sent::Returned(value) => Ok(Step::Returned(value)),
            Sent::Raised(error) => Ok(Step::Raised(error)),
            Sent::Yielded(awaited) => {
                Self::suspend(slf, awaited.bind(py), r#loop)?;
                Ok(Step::Suspended)
            }
        }
    }

    /// A handler ended that never suspended: its outcome, which is a cancellation if it cancelled itself. It is kept
    /// for whoever else than the `references` before knows the task.
    #[inline]
    pub fn ended(
        slf: &Bound<'_, Self>,
        references: ffi::Py_ssize_t,
        outcome: PyResult<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let (coroutine, context, must_cancel) = {
            let mut state = slf.get().state.borrow(py);
            (
                state.coroutine.take(),
                state.context.take(),
                state.must_cancel.take(),
            )
        };
        drop((coroutine, context));
        let outcome = match must_cancel {
            Some(message) if outcome.is_ok() => Err(cancelled(py, message.map(Held::free))),
            _ => outcome,
        };
        if !Self::is_fresh(slf, references) {
            Self::settle(slf, &outcome)?;
        }
        outcome
    }

    /// Whether nothing is left of the handler that ran last: the task can be another's.
    #[inline]
    pub fn is_fresh(slf: &Bound<'_, Self>, references: ffi::Py_ssize_t) -> bool {
        // SAFETY: both look at a live object; the class has a list of weak references.
        let unknown = unsafe { ffi::Py_REFCNT(slf.as_ptr()) == references && !is_known_weakly(slf) };
        let state = slf.get().state.borrow(slf.py());
        unknown && state.cancelling == 0 && state.name.is_none() && state.callbacks.is_empty() && !state.done
    }

    /// Not used for another handler: who kept hold of it sees that its handler has ended.
    pub fn retire_unless_suspended(&self, py: Python<'_>) {
        let mut state = self.state.borrow(py);
        state.done |= state.coroutine.is_none();
    }

    /// Goes on with the coroutine, from a callback of the loop.
    fn resume(slf: &Bound<'_, Self>, error: Option<PyErr>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let server = this.server.bind(py);
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
            (Some(message), None) => Some(cancelled(py, message.map(Held::free))),
            (Some(_), Some(error)) if error.is_instance_of::<CancelledError>(py) => Some(error),
            (Some(message), Some(_)) => Some(cancelled(py, message.map(Held::free))),
            (None, error) => error,
        };
        let r#loop = server.get().event_loop(py)?;
        let coroutine = coroutine.bind(py);
        Self::enter(slf, &r#loop)?;
        // The loop runs the callback in the handler's context: `suspend` asked for that.
        let sent = match error {
            None => send(coroutine, py.None().bind(py)),
            Some(error) => throw(py, coroutine, error),
        };
        let suspended = match &sent {
            Sent::Yielded(awaited) => Some(Self::suspend(slf, awaited.bind(py), &r#loop)),
            _ => None,
        };
        Self::leave(slf, &r#loop)?;
        let outcome = match sent {
            Sent::Yielded(_) => return suspended.unwrap_or(Ok(())),
            Sent::Returned(value) => {
                let must_cancel = this.state.borrow(py).must_cancel.take();
                match must_cancel {
                    Some(message) => Err(cancelled(py, message.map(Held::free))),
                    None => Ok(value),
                }
            }
            Sent::Raised(error) => Err(error),
        };
        let settled = Self::settle(slf, &outcome);
        ServerConnection::finished(server, slf, outcome).and(settled)
    }

    /// Keeps how the handler ended, and has every callback called in a later turn of the event loop.
    fn settle(slf: &Bound<'_, Self>, outcome: &PyResult<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let outcome = Outcome::of(py, outcome);
        let (callbacks, dropped) = {
            let mut state = slf.get().state.borrow(py);
            state.done = true;
            (
                std::mem::take(&mut state.callbacks),
                (
                    state.outcome.replace(outcome),
                    state.coroutine.take(),
                    state.context.take(),
                    state.wakeup.take(),
                    state.waiter.take(),
                ),
            )
        };
        drop(dropped);
        for (callback, context) in callbacks {
            Self::call_soon(slf, callback.free(), context.free())?;
        }
        Ok(())
    }

    /// Waits for what the coroutine yielded.
    fn suspend(slf: &Bound<'_, Self>, awaited: &Bound<'_, PyAny>, r#loop: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let kwargs = PyDict::new(py);
        if let Some(context) = this.get_context(py) {
            kwargs.set_item(intern!(py, "context"), context)?;
        }
        if awaited.is(slf) {
            return Self::fail_soon(slf, "a handler cannot await itself", awaited, &kwargs, r#loop);
        }
        let blocking = match awaited.getattr_opt(intern!(py, "_asyncio_future_blocking"))? {
            Some(blocking) => blocking.is_truthy()?,
            None if awaited.is_none() => {
                let step = slf.getattr(intern!(py, "_step"))?;
                r#loop.call_method(intern!(py, "call_soon"), (step,), Some(&kwargs))?;
                return Ok(());
            }
            None => false,
        };
        if !blocking {
            let text = "a handler awaited something that is not an asyncio future";
            return Self::fail_soon(slf, text, awaited, &kwargs, r#loop);
        }
        if let Some(get_loop) = awaited.getattr_opt(intern!(py, "get_loop"))? {
            if !get_loop.call0()?.is(r#loop) {
                let text = "a handler awaited a future of another event loop";
                return Self::fail_soon(slf, text, awaited, &kwargs, r#loop);
            }
        }
        awaited.setattr(intern!(py, "_asyncio_future_blocking"), false)?;
        let wakeup = {
            let known = this
                .state
                .borrow(py)
                .wakeup
                .as_ref()
                .map(|wakeup| wakeup.clone_ref(py));
            match known {
                Some(wakeup) => wakeup,
                None => {
                    let wakeup = slf.getattr(intern!(py, "_wakeup"))?.unbind();
                    let before = this.state.borrow(py).wakeup.replace(wakeup.clone_ref(py).into());
                    drop(before);
                    wakeup
                }
            }
        };
        awaited.call_method(intern!(py, "add_done_callback"), (wakeup,), Some(&kwargs))?;
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
}

impl HandlerTask {
    /// Raises a RuntimeError about what the coroutine awaits, in a later turn of the loop.
    #[cold]
    fn fail_soon(
        slf: &Bound<'_, Self>,
        text: &str,
        awaited: &Bound<'_, PyAny>,
        kwargs: &Bound<'_, PyDict>,
        r#loop: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        let text = format!("{text}: {}", awaited.repr()?);
        let step = slf.getattr(intern!(py, "_fail"))?;
        r#loop
            .call_method(intern!(py, "call_soon"), (step, text), Some(kwargs))
            .map(drop)
    }
}

fn cancel_future(future: &Bound<'_, PyAny>, message: Option<&Py<PyAny>>) -> PyResult<bool> {
    let py = future.py();
    let kwargs = PyDict::new(py);
    if let Some(message) = message {
        kwargs.set_item(intern!(py, "msg"), message)?;
    }
    future
        .call_method(intern!(py, "cancel"), (), Some(&kwargs))?
        .is_truthy()
}

#[pymethods]
impl HandlerTask {
    /// The awaited future is done.
    fn _wakeup(slf: &Bound<'_, Self>, future: &Bound<'_, PyAny>) -> PyResult<()> {
        match future.call_method0(intern!(slf.py(), "result")) {
            Ok(_) => Self::resume(slf, None),
            Err(error) => Self::resume(slf, Some(error)),
        }
    }

    /// The turn of the loop that a bare `yield` asked for has come.
    fn _step(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::resume(slf, None)
    }

    fn _fail(slf: &Bound<'_, Self>, text: String) -> PyResult<()> {
        Self::resume(slf, Some(PyRuntimeError::new_err(text)))
    }

    /// Asks the handler to stop: CancelledError is raised where it waits. False if it has ended.
    #[pyo3(signature = (msg=None))]
    pub fn cancel(&self, py: Python<'_>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        let waiter = {
            let mut state = self.state.borrow(py);
            if state.done {
                return Ok(false);
            }
            state.cancelling += 1;
            state.waiter.as_ref().map(|waiter| waiter.clone_ref(py))
        };
        if let Some(waiter) = waiter {
            if cancel_future(waiter.bind(py), msg.as_ref())? {
                return Ok(true);
            }
        }
        let before = self.state.borrow(py).must_cancel.replace(msg.map(Held::from));
        drop(before);
        Ok(true)
    }

    /// Cancels the handler for the server, which does so once: its time may be up, its caller leave and the server
    /// stop while it cleans up after the first of these.
    fn _stop(&self, py: Python<'_>) -> PyResult<()> {
        if std::mem::replace(&mut self.state.borrow(py).stopped, true) {
            return Ok(());
        }
        self.cancel(py, None).map(drop)
    }

    /// How many cancellations were asked for and not taken back.
    fn cancelling(&self, py: Python<'_>) -> usize {
        self.state.borrow(py).cancelling
    }

    /// Takes one cancellation back; how many are left.
    fn uncancel(&self, py: Python<'_>) -> usize {
        let (left, before) = {
            let mut state = self.state.borrow(py);
            state.cancelling = state.cancelling.saturating_sub(1);
            let left = state.cancelling;
            (left, state.must_cancel.take_if(|_| left == 0))
        };
        drop(before);
        left
    }

    fn get_name(&self, py: Python<'_>) -> String {
        let state = self.state.borrow(py);
        state
            .name
            .clone()
            .unwrap_or_else(|| format!("protosocket-rpc-{}", state.id))
    }

    fn set_name(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        let name = name.str()?.to_string();
        self.state.borrow(py).name = Some(name);
        Ok(())
    }

    fn get_coro(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state
            .borrow(py)
            .coroutine
            .as_ref()
            .map(|coroutine| coroutine.clone_ref(py))
    }

    fn get_context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state
            .borrow(py)
            .context
            .as_ref()
            .map(|context| context.clone_ref(py))
    }

    fn done(&self, py: Python<'_>) -> bool {
        self.state.borrow(py).done
    }

    fn cancelled(&self, py: Python<'_>) -> bool {
        self.cancellation(py).is_some()
    }

    /// What the handler's coroutine returned: the response, or None of a stream. Raises what it raised, and
    /// InvalidStateError while it runs.
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.outcome(py)
    }

    /// What the handler raised, or None; CancelledError and InvalidStateError are raised.
    fn exception(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match self.raised(py) {
            Some(error) => Ok(Some(error)),
            None => self.outcome(py).map(|_| None),
        }
    }

    /// Have `callback(task)` called when the handler has ended, in a later turn of the event loop and in `context`,
    /// a copy of the current one by default.
    #[pyo3(signature = (callback, /, *, context=None))]
    fn add_done_callback(
        slf: &Bound<'_, Self>,
        callback: Py<PyAny>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let context = match context {
            Some(context) => context,
            None => current_context(py)?.unbind(),
        };
        let is_done = slf.get().state.borrow(py).done;
        if is_done {
            return Self::call_soon(slf, callback, context);
        }
        slf.get()
            .state
            .borrow(py)
            .callbacks
            .push((callback.into(), context.into()));
        Ok(())
    }

    /// Forget every callback that equals `callback`; how many.
    fn remove_done_callback(&self, py: Python<'_>, callback: &Bound<'_, PyAny>) -> PyResult<usize> {
        self.remove(py, callback)
    }

    /// The frames of the handler: where it waits, or of the exception that it raised.
    #[pyo3(signature = (*, limit=None))]
    fn get_stack<'py>(slf: &Bound<'py, Self>, limit: Option<usize>) -> PyResult<Bound<'py, PyAny>> {
        future::stack(slf, "_task_get_stack", (slf, limit))
    }

    /// Print the same to `file`, by default to standard error.
    #[pyo3(signature = (*, limit=None, file=None))]
    fn print_stack<'py>(
        slf: &Bound<'py, Self>,
        limit: Option<usize>,
        file: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        future::stack(slf, "_task_print_stack", (slf, limit, file))
    }

    /// A task's result is what its coroutine returns.
    fn set_result(&self, _result: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyRuntimeError::new_err("a task does not support set_result"))
    }

    /// A task's exception is what its coroutine raises.
    fn set_exception(&self, _exception: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyRuntimeError::new_err("a task does not support set_exception"))
    }

    /// Wait until the handler has ended: gives what `result` does.
    fn __await__(slf: &Bound<'_, Self>) -> HandlerWait {
        HandlerWait::new(slf.clone().unbind())
    }

    fn __iter__(slf: &Bound<'_, Self>) -> HandlerWait {
        HandlerWait::new(slf.clone().unbind())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let coroutine = self.get_coro(py);
        let what = match &coroutine {
            Some(coroutine) => format!(" coro={}", coroutine.bind(py).repr()?),
            None => String::new(),
        };
        let state = self._state(py).to_lowercase();
        Ok(format!(
            "<HandlerTask {state} name='{}'{what}>",
            self.get_name(py)
        ))
    }

    fn get_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.server.get().event_loop(py)
    }

    // What libraries use of asyncio's own tasks although it has an underscore.

    #[getter(_asyncio_future_blocking)]
    fn is_awaited(&self, py: Python<'_>) -> bool {
        self.state.borrow(py).is_awaited
    }

    #[setter(_asyncio_future_blocking)]
    fn set_awaited(&self, py: Python<'_>, value: bool) {
        self.state.borrow(py).is_awaited = value;
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get_loop(py)
    }

    #[getter]
    fn _coro(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.get_coro(py)
    }

    #[getter]
    fn _exception(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.raised(py)
    }

    #[getter]
    fn _callbacks(&self, py: Python<'_>) -> Option<Vec<(Py<PyAny>, Py<PyAny>)>> {
        let state = self.state.borrow(py);
        let all = state.callbacks.iter();
        let all: Vec<_> = all
            .map(|(callback, context)| (callback.clone_ref(py), context.clone_ref(py)))
            .collect();
        (!all.is_empty()).then_some(all)
    }

    #[getter]
    fn _state(&self, py: Python<'_>) -> &'static str {
        match &self.state.borrow(py).outcome {
            Some(Outcome::Cancelled(_)) => "CANCELLED",
            Some(_) => "FINISHED",
            None => "PENDING",
        }
    }

    #[getter]
    fn _cancel_message<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.cancellation(py) {
            Some(error) => Ok(error.bind(py).getattr(intern!(py, "args"))?.get_item(0).ok()),
            None => Ok(None),
        }
    }

    fn _make_cancelled_error(&self, py: Python<'_>) -> Py<PyAny> {
        self.cancelled_error(py)
    }

    /// The future the handler waits for, by the name asyncio's own tasks have for it.
    #[getter]
    fn _fut_waiter(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state
            .borrow(py)
            .waiter
            .as_ref()
            .map(|waiter| waiter.clone_ref(py))
    }

    /// Whether a cancellation is still to be raised, by the name asyncio's own tasks have for it.
    #[getter]
    fn _must_cancel(&self, py: Python<'_>) -> bool {
        self.state.borrow(py).must_cancel.is_some()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.server)?;
        let Some(state) = self.state.peek() else {
            return Ok(());
        };
        for held in [&state.coroutine, &state.context, &state.waiter, &state.wakeup] {
            visit.call(held.as_deref())?;
        }
        match &state.outcome {
            Some(Outcome::Returned(held) | Outcome::Cancelled(held)) => visit.call(held)?,
            Some(Outcome::Raised(error, traceback)) => {
                visit.call(error)?;
                visit.call(traceback.as_deref())?;
            }
            None => {}
        }
        for (callback, context) in &state.callbacks {
            visit.call(callback)?;
            visit.call(context)?;
        }
        Ok(())
    }

    fn __clear__(&self, py: Python<'_>) {
        let held = std::mem::take(&mut *self.state.borrow(py));
        drop(held);
    }
}

/// What the next step of a coroutine led to.
pub enum Sent {
    Yielded(Py<PyAny>),
    Returned(Py<PyAny>),
    Raised(PyErr),
}

impl Sent {
    /// What `send` and `throw` of a coroutine give.
    #[inline]
    pub fn given(self) -> PyResult<Py<PyAny>> {
        match self {
            Sent::Yielded(awaited) => Ok(awaited),
            Sent::Returned(value) => Err(PyStopIteration::new_err((value,))),
            Sent::Raised(error) => Err(error),
        }
    }
}

/// A cancellation, with the message that came with it.
pub fn cancelled(py: Python<'_>, message: Option<Py<PyAny>>) -> PyErr {
    match message {
        Some(message) => PyErr::from_type(py.get_type::<CancelledError>(), (message,)),
        None => CancelledError::new_err(()),
    }
}

/// Runs `body` in a `contextvars.Context`.
#[inline]
pub fn in_context<T>(context: &Bound<'_, PyAny>, body: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    let py = context.py();
    // SAFETY: `context` is a Context object that is alive; enter and exit are paired.
    unsafe {
        if ffi::PyContext_Enter(context.as_ptr()) != 0 {
            return Err(PyErr::fetch(py));
        }
    }
    let result = body();
    // SAFETY: see above. Exit fails only if it is not the current context, which enter made it.
    unsafe {
        if ffi::PyContext_Exit(context.as_ptr()) != 0 {
            return Err(PyErr::fetch(py));
        }
    }
    result
}

/// A copy of the current context, which handlers start from.
pub fn current_context(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: gives a new reference or null with an error set.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) }
}

/// A copy of `context`, for one handler.
#[inline]
pub fn copy_context<'py>(context: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: `context` is a live Context object; gives a new reference or null with an error set.
    unsafe { Bound::from_owned_ptr_or_err(context.py(), ffi::PyContext_Copy(context.as_ptr())) }
}

/// Whether a handler's result is certainly no awaitable and no iterator, so a message.
#[inline]
pub fn is_plain(result: &Bound<'_, PyAny>) -> bool {
    // SAFETY: reads the type of a live object; the slots of a type are there as long as the type.
    unsafe {
        let kind = ffi::Py_TYPE(result.as_ptr());
        let slots = (*kind).tp_as_async;
        // Generators are awaitable if their function says so.
        ffi::PyGen_CheckExact(result.as_ptr()) == 0
            && (slots.is_null() || ((*slots).am_await.is_none() && (*slots).am_anext.is_none()))
    }
}

/// The next step of a coroutine, which finds `value` where it waits.
#[inline]
pub fn send(coroutine: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> Sent {
    let py = coroutine.py();
    let mut result = std::ptr::null_mut();
    // SAFETY: both arguments are live objects; `result` receives a new reference unless an error is set.
    unsafe {
        match ffi::PyIter_Send(coroutine.as_ptr(), value.as_ptr(), &mut result) {
            ffi::PySendResult::PYGEN_RETURN => Sent::Returned(Bound::from_owned_ptr(py, result).unbind()),
            ffi::PySendResult::PYGEN_NEXT => Sent::Yielded(Bound::from_owned_ptr(py, result).unbind()),
            ffi::PySendResult::PYGEN_ERROR => Sent::Raised(PyErr::fetch(py)),
        }
    }
}

pub fn throw(py: Python<'_>, coroutine: &Bound<'_, PyAny>, error: PyErr) -> Sent {
    match coroutine.call_method1(intern!(py, "throw"), (error.into_value(py),)) {
        Ok(yielded) => Sent::Yielded(yielded.unbind()),
        Err(error) => match error.value(py).cast::<PyStopIteration>() {
            Ok(stop) => match stop.getattr(intern!(py, "value")) {
                Ok(value) => Sent::Returned(value.unbind()),
                Err(error) => Sent::Raised(error),
            },
            Err(_) => Sent::Raised(error),
        },
    }
}
