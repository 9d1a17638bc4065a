//! A task's coroutine that goes from call to call by itself: what `rpc.task_factory` gives its tasks to run.
//!
//! Each time a coroutine waits, asyncio's task looks at what it waits for, leaves a callback there, and does the
//! same again a call later. This object stands between the two: its task waits for the first of some calls while
//! the coroutine goes on from one to the next, and takes a step when the coroutine ends, waits for anything else,
//! or is to be cancelled. It is then told what the coroutine led to.

use std::sync::OnceLock;

use pyo3::exceptions::{PyBaseException, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

use crate::asyncio_glue::coroutine::{Sent, send, throw};
use crate::asyncio_glue::current_task::{Turns, running_task};
use crate::asyncio_glue::slots::Steps;
use crate::asyncio_glue::waiting::{Awaited, Callback, has_others, wake};
use crate::guarded::{Guarded, Held};

/// A call that a coroutine may wait for while its task waits for another one.
pub trait Drivable: Sync {
    /// Whether a coroutine waits for it, and nothing else does.
    fn is_drivable(&self, py: Python<'_>) -> bool;

    /// When it is answered, `driver` goes on before the task that waits for it.
    fn driven_by(&self, py: Python<'_>, driver: Option<Py<DrivenCoroutine>>);

    /// `driver` waits for it while its task waits for another call; `waiter` wakes that task.
    fn drive(&self, py: Python<'_>, driver: Py<DrivenCoroutine>, waiter: Callback);

    fn event_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>>;
}

/// An object as a call that coroutines may go on from, if it is one.
pub type Recognise = for<'a> fn(&'a Bound<'_, PyAny>) -> Option<&'a dyn Drivable>;

static RECOGNISE: OnceLock<Recognise> = OnceLock::new();

/// Which objects are such calls: said once, when the module is made.
pub fn drives(recognise: Recognise) {
    RECOGNISE.get_or_init(|| recognise);
}

#[inline]
fn recognised<'a>(object: &'a Bound<'_, PyAny>) -> Option<&'a dyn Drivable> {
    RECOGNISE.get().and_then(|recognise| recognise(object))
}

/// A coroutine around a coroutine.
#[pyclass(frozen, weakref, module = "protosocket._core")]
pub struct DrivenCoroutine {
    coroutine: Py<PyAny>,
    state: Guarded<State>,
}

#[derive(Default)]
struct State {
    /// While the coroutine is ahead of its task: the call that the task waits for, and the one that the coroutine does.
    first: Option<Held<PyAny>>,
    current: Option<Held<PyAny>>,
    /// What the coroutine led to while its task waited.
    outcome: Option<Sent>,
    /// The coroutine runs while its task waits.
    is_running: bool,
    /// The task was cancelled meanwhile.
    is_cancelled: bool,
}

impl DrivenCoroutine {
    /// Goes on with the coroutine, which waits for this call that was answered. No task runs; `waiter` wakes its
    /// task in the context that was entered.
    #[inline]
    pub fn go_on<'py, T: Awaited + Drivable>(
        slf: Bound<'py, Self>,
        call: &Bound<'py, T>,
        task: &Bound<'py, PyAny>,
        waiter: Callback,
        turns: &mut Turns<'py>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let event_loop = T::of(call).event_loop(py)?;
        let is_first = this.state.borrow(py).first.is_none();
        // Who has kept the call may cancel it later, and means only that.
        if is_first && has_other_owners(call) {
            let ended = turns.end();
            return wake(waiter.0.bind(py), call).map(drop).and(ended);
        }
        if turns.enter(&event_loop, task).is_err() {
            return wake(waiter.0.bind(py), call).map(drop);
        }
        if is_first {
            // It stays what the task waits for.
            T::of(call).driven_by(py, Some(slf.clone().unbind()));
            let before = this
                .state
                .borrow(py)
                .first
                .replace(call.clone().into_any().into());
            drop(before);
        }
        this.state.borrow(py).is_running = true;
        let sent = send(this.coroutine.bind(py), py.None().bind(py));
        let is_cancelled = {
            let mut state = this.state.borrow(py);
            state.is_running = false;
            std::mem::take(&mut state.is_cancelled)
        };
        let left = turns.leave(&event_loop, task);
        if let (Sent::Yielded(awaited), false, Ok(())) = (&sent, is_cancelled, &left) {
            if let Some(next) = drivable(awaited.bind(py)) {
                let same = next.event_loop(py);
                if same.is_ok_and(|next_loop| next_loop.is(&event_loop)) {
                    let before = this
                        .state
                        .borrow(py)
                        .current
                        .replace(awaited.clone_ref(py).into());
                    drop(before);
                    next.drive(py, slf.unbind(), waiter);
                    return Ok(());
                }
            }
        }
        let before = this.state.borrow(py).outcome.replace(sent);
        drop(before);
        let left = left.and(turns.end());
        wake(waiter.0.bind(py), call).map(drop).and(left)
    }

    /// Cancels the call that the coroutine waits for, while its task waits for another.
    pub fn cancel(&self, py: Python<'_>, message: Option<Py<PyAny>>) -> PyResult<bool> {
        let current = {
            let mut state = self.state.borrow(py);
            state.is_cancelled = state.is_running;
            state
                .current
                .as_ref()
                .filter(|_| !state.is_running)
                .map(|call| call.clone_ref(py))
        };
        match current {
            Some(call) => call
                .bind(py)
                .call_method1(intern!(py, "cancel"), (message,))?
                .is_truthy(),
            None => Ok(false),
        }
    }

    /// Its task takes a step: it waits for nothing.
    #[inline]
    fn woken(&self, py: Python<'_>) -> Option<Sent> {
        let (outcome, first, current) = {
            let mut state = self.state.borrow(py);
            if state.is_running {
                // The coroutine itself says that this is not its turn.
                return None;
            }
            (state.outcome.take(), state.first.take(), state.current.take())
        };
        if let Some(first) = first.as_ref().and_then(|first| recognised(first.bind(py))) {
            first.driven_by(py, None);
        }
        drop(current);
        outcome
    }

    /// Takes note of a call that the coroutine waits for: when it is answered the coroutine goes on. If that is one
    /// of another event loop the task refuses it.
    #[inline]
    fn waits(slf: &Bound<'_, Self>, sent: Sent) -> Sent {
        if let Sent::Yielded(awaited) = &sent {
            if let Some(call) = drivable(awaited.bind(slf.py())) {
                call.driven_by(slf.py(), Some(slf.clone().unbind()));
            }
        }
        sent
    }
}

impl Steps for DrivenCoroutine {
    #[inline]
    fn step(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> Sent {
        let py = slf.py();
        match slf.get().woken(py) {
            Some(outcome) => outcome,
            None => Self::waits(slf, send(slf.get().coroutine.bind(py), value)),
        }
    }
}

/// Whether others than the coroutine, its task and the reading of the connection hold a call, or know of it.
#[inline]
fn has_other_owners<T>(call: &Bound<'_, T>) -> bool {
    has_others(call, 3)
}

/// The call that a coroutine waits for, if it alone does.
#[inline]
fn drivable<'a>(awaited: &'a Bound<'_, PyAny>) -> Option<&'a dyn Drivable> {
    recognised(awaited).filter(|call| call.is_drivable(awaited.py()))
}

#[pymethods]
impl DrivenCoroutine {
    #[new]
    fn new(coroutine: Py<PyAny>) -> Self {
        DrivenCoroutine {
            coroutine,
            state: Guarded::new(State::default()),
        }
    }

    fn __await__<'a, 'py>(slf: &'a Bound<'py, Self>) -> &'a Bound<'py, Self> {
        slf
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::send(slf, slf.py().None().bind(slf.py()))
    }

    /// The next step of the coroutine, as every coroutine has it.
    fn send(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        Self::step(slf, value).given()
    }

    /// Raises an exception where the coroutine waits, as every coroutine does.
    #[pyo3(signature = (kind, value=None, traceback=None))]
    fn throw(
        slf: &Bound<'_, Self>,
        kind: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let error = exception(kind, value)?;
        if let Some(traceback) = traceback.filter(|traceback| !traceback.is_none()) {
            error.setattr(intern!(py, "__traceback__"), traceback)?;
        }
        if let Some(outcome) = this.woken(py) {
            // The coroutine has gone on since its task was cancelled: that is still to come, as for a task that is
            // cancelled while it runs.
            cancel_again(slf, &error)?;
            return Self::waits(slf, outcome).given();
        }
        let thrown = throw(py, this.coroutine.bind(py), PyErr::from_value(error));
        Self::waits(slf, thrown).given()
    }

    /// Ends the coroutine.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        drop(self.woken(py));
        self.coroutine
            .bind(py)
            .call_method0(intern!(py, "close"))
            .map(drop)
    }

    /// What else there is to see of the coroutine.
    fn __getattr__<'py>(&self, py: Python<'py>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        self.coroutine.bind(py).getattr(name)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<driven {}>", self.coroutine.bind(py).repr()?))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.coroutine)?;
        let Some(state) = self.state.peek() else {
            return Ok(());
        };
        for call in [&state.first, &state.current] {
            visit.call(call.as_deref())?;
        }
        // One that was raised is here only until the task has taken its step.
        if let Some(Sent::Yielded(held) | Sent::Returned(held)) = &state.outcome {
            visit.call(held)?;
        }
        Ok(())
    }

    fn __clear__(&self, py: Python<'_>) {
        let held = std::mem::take(&mut *self.state.borrow(py));
        drop(held);
    }
}

/// Has the task that takes this step cancelled after it, with the message of an error, and counts it once.
#[cold]
fn cancel_again(slf: &Bound<'_, DrivenCoroutine>, error: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = slf.py();
    let task = running_task(py)?;
    if task.is_none() {
        return Ok(());
    }
    let kwargs = PyDict::new(py);
    if let Ok(message) = error.getattr(intern!(py, "args"))?.get_item(0) {
        kwargs.set_item(intern!(py, "msg"), message)?;
    }
    task.call_method(intern!(py, "cancel"), (), Some(&kwargs))?;
    task.call_method0(intern!(py, "uncancel")).map(drop)
}

/// The exception that the arguments of a coroutine's `throw` name.
pub fn exception<'py>(
    kind: &Bound<'py, PyAny>,
    value: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let base = kind.py().get_type::<PyBaseException>();
    if kind.is_instance(&base)? {
        return Ok(kind.clone());
    }
    if !kind
        .cast::<PyType>()
        .is_ok_and(|kind| kind.is_subclass(&base).unwrap_or(false))
    {
        return Err(PyTypeError::new_err(
            "exceptions must be derived from BaseException",
        ));
    }
    match value {
        Some(value) if value.is_instance(kind)? => Ok(value.clone()),
        Some(value) if !value.is_none() => kind.call1((value,)),
        _ => kind.call0(),
    }
}
