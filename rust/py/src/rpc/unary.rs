//! One unary call: what `await client.unary(request)` awaits, and the future its task waits for.
//!
//! A coroutine, an `asyncio.Future` and a turn of the event loop would each cost more than the call itself. So
//! one object is both: to its task it is a coroutine that begins with the first step and yields itself, and
//! while the task waits it is a future. When its answer arrives and no task runs, the waiting task goes on
//! within the read callback; anything else goes through the event loop's queue, as a future's callbacks do.
//!
//! Started with `start`, it is a future alone, for any number of tasks or none: a callback given to `start` is
//! called where a waiting task would go on.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::asyncio::{CancelledError, InvalidStateError};
use pyo3::exceptions::{
    PyBaseException, PyKeyboardInterrupt, PyRuntimeError, PyRuntimeWarning, PySystemExit, PyTypeError,
};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTraceback, PyType};
use pyo3::{ffi, intern};

use crate::asyncio_glue::driven::DrivenCoroutine;
use crate::asyncio_glue::switch::plain;
use crate::asyncio_glue::task::{Sent, Turns, cancelled, current_context, send};
use crate::asyncio_glue::waiting::{
    Steps, am_send, fill_attribute_slots, given_back, is_known_weakly, wake, woken_task,
};
use crate::errors;
use crate::guarded::{Guarded, Held};
use crate::rpc::client::{ClientConnection, check_timeout};
use crate::rpc::pool::{CallPool, generic_alias};

const AWAITED_ALREADY: &str = "this call is awaited already, and has not ended";
const NO_FUTURE: &str = "callbacks are for a call that was begun with start()";

/// A call of `CallPool.unary`.
#[pyclass(frozen, weakref, module = "protosocket._core")]
pub struct UnaryCall {
    caller: Py<CallPool>,
    timeout: Option<f64>,
    reading: Option<Reading>,
    state: Guarded<State>,
}

/// What makes a call's result of its response, and the exception to raise of the one that ended it.
pub struct Reading {
    pub read: Py<PyAny>,
    pub failed: Py<PyAny>,
}

struct State {
    phase: Phase,
    /// What waits for the end: its task, as a rule.
    waiter: Option<Callback>,
    /// What goes on when it is answered, in place of the task that waits; or has gone on, and waits for another
    /// call, while the task still waits for this one. No other call that has ended has one.
    driver: Option<Held<DrivenCoroutine>>,
    /// What else does.
    others: Vec<Callback>,
    /// Set when this is yielded to a task and not taken by it yet.
    is_yielded: bool,
    /// It was begun with `start`: a future from then on.
    is_started: bool,
    /// Somebody was told how it ended.
    is_seen: bool,
    /// What ended it went through `reading` already.
    is_read: bool,
    /// The traceback of the error that ended it, when it was raised first: each time it is raised adds to it.
    traceback: Option<Option<Held<PyTraceback>>>,
}

/// A callback with the context it runs in.
pub type Callback = (Held<PyAny>, Held<PyAny>);

impl Phase {
    fn failed(error: Py<PyBaseException>) -> Self {
        Phase::Failed(error.into_any().into())
    }

    /// Whether it is under way and ends by itself.
    #[inline]
    fn is_pending(&self) -> bool {
        matches!(self, Phase::Waiting(..) | Phase::Handed(_))
    }
}

impl State {
    /// Whether it is under way by itself, or has ended so and nobody has taken the result away.
    #[inline]
    fn is_future(&self) -> bool {
        !matches!(self.phase, Phase::New(_) | Phase::Delegated(_) | Phase::Over)
    }

    /// What would go on when it is answered, if it waits for that.
    fn undriven(&mut self) -> Option<Held<DrivenCoroutine>> {
        self.driver.take_if(|_| self.phase.is_pending())
    }

    fn callbacks(&mut self) -> impl Iterator<Item = Callback> + use<> {
        self.waiter
            .take()
            .into_iter()
            .chain(std::mem::take(&mut self.others))
    }
}

enum Phase {
    /// Nothing was sent; the request.
    New(Held<PyAny>),
    /// Sent on this connection, under this handle.
    Waiting(Held<ClientConnection>, u64),
    Answered(Held<PyAny>),
    /// Ended with this exception.
    Failed(Held<PyAny>),
    /// The task that waits was cancelled, with this message.
    Cancelled(Option<Held<PyAny>>),
    /// There was no connection or no room: a coroutine does it all.
    Delegated(Held<PyAny>),
    /// The same for a call that was started: a task does it all.
    Handed(Held<PyAny>),
    Over,
}

/// What a step of a coroutine leads to.
enum Step {
    Yields(Py<PyAny>),
    Returns(Py<PyAny>),
}

impl UnaryCall {
    #[inline]
    pub fn new(
        caller: Py<CallPool>,
        request: Py<PyAny>,
        timeout: Option<f64>,
        reading: Option<Reading>,
    ) -> Self {
        UnaryCall {
            caller,
            timeout,
            reading,
            state: Guarded::new(State {
                phase: Phase::New(request.into()),
                waiter: None,
                driver: None,
                others: Vec::new(),
                is_yielded: false,
                is_started: false,
                is_seen: false,
                is_read: false,
                traceback: None,
            }),
        }
    }

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
        match (only, turns) {
            (Some((callback, context)), Some(turns)) => {
                // SAFETY: a live Context object, left below.
                if unsafe { ffi::PyContext_Enter(context.as_ptr()) } != 0 {
                    // Somebody runs in it: that ends before the event loop's next turn.
                    drop(PyErr::take(py));
                    let ended = turns.end();
                    return slf
                        .get()
                        .call_soon(slf, callback.free(), context.free())
                        .and(ended);
                }
                let result = match (driver, woken_task(callback.bind(py))) {
                    (Some(driver), Some(task)) => {
                        let waiter = (callback, context.clone_ref(py).into());
                        DrivenCoroutine::go_on(driver.free().into_bound(py), slf, &task, waiter, turns)
                    }
                    _ => {
                        let ended = turns.end();
                        wake(callback.bind(py), slf).map(drop).and(ended)
                    }
                };
                // SAFETY: the context that was entered above; leaving it fails only if it is not the current one.
                if unsafe { ffi::PyContext_Exit(context.as_ptr()) } != 0 {
                    return Err(PyErr::fetch(py));
                }
                match result {
                    Err(error) if !stops_the_program(py, &error) => {
                        slf.get().report(py, "a callback of a call raised", &error)
                    }
                    result => result,
                }
            }
            (_, turns) => {
                let ended = turns.map_or(Ok(()), Turns::end);
                Self::tell(slf).and(ended)
            }
        }
    }

    /// Whether freeing it may run Python code: somebody waits for that, or what reads its answer goes with it.
    #[inline]
    pub fn is_watched(slf: &Bound<'_, Self>) -> bool {
        // SAFETY: the class has a list of weak references.
        unsafe { is_known_weakly(slf) || slf.get().reading.is_some() }
    }

    /// Tells the event loop of an error that nobody else hears of.
    #[cold]
    fn report(&self, py: Python<'_>, message: &str, error: &PyErr) -> PyResult<()> {
        let context = PyDict::new(py);
        context.set_item("message", message)?;
        context.set_item("exception", errors::value(py, error))?;
        self.caller
            .get()
            .event_loop(py)?
            .call_method1(intern!(py, "call_exception_handler"), (context,))
            .map(drop)
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

    /// Whether a coroutine waits for it, and nothing else does.
    #[inline]
    pub fn is_drivable(&self, py: Python<'_>) -> bool {
        let state = self.state.borrow(py);
        state.is_yielded
            && !state.is_started
            && matches!(state.phase, Phase::Waiting(..))
            && state.waiter.is_none()
            && state.others.is_empty()
    }

    /// When it is answered, `driver` goes on before the task that waits for it.
    #[inline]
    pub fn driven_by(&self, py: Python<'_>, driver: Option<Py<DrivenCoroutine>>) {
        let before = std::mem::replace(&mut self.state.borrow(py).driver, driver.map(Held::from));
        drop(before);
    }

    /// `driver` waits for it while its task waits for another call; `waiter` wakes that task.
    #[inline]
    pub fn drive(&self, py: Python<'_>, driver: Py<DrivenCoroutine>, waiter: Callback) {
        let before = {
            let mut state = self.state.borrow(py);
            state.is_yielded = false;
            (state.driver.replace(driver.into()), state.waiter.replace(waiter))
        };
        drop(before);
    }

    /// Whose call it is.
    #[inline]
    pub fn caller(&self) -> &CallPool {
        self.caller.get()
    }

    /// The same, to hold.
    #[inline]
    pub fn caller_object<'py>(&self, py: Python<'py>) -> &Bound<'py, CallPool> {
        self.caller.bind(py)
    }

    /// Has every callback called in a later turn of the event loop.
    fn tell(slf: &Bound<'_, Self>) -> PyResult<()> {
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

    /// The call's result, or the exception to raise, of what ended it.
    #[inline]
    fn read(&self, py: Python<'_>, outcome: PyResult<Py<PyAny>>) -> PyResult<Py<PyAny>> {
        let read = match (&self.reading, outcome) {
            (Some(reading), Ok(message)) => reading.read.bind(py).call1((message,)).map(Bound::unbind),
            (_, outcome) => outcome,
        };
        read.map_err(|error| self.explain(py, error))
    }

    /// How it ended, or None if it has not: read and explained when somebody asks first, and kept.
    fn outcome(&self, py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        let (outcome, is_read) = {
            let mut state = self.state.borrow(py);
            let outcome = match &state.phase {
                Phase::Answered(message) => Ok(message.clone_ref(py)),
                Phase::Failed(error) => Err(error.clone_ref(py)),
                Phase::Cancelled(message) => {
                    let message = message.as_ref().map(|message| message.clone_ref(py));
                    drop(state);
                    return Some(Err(cancelled(py, message)));
                }
                _ => return None,
            };
            state.is_seen = true;
            (outcome, state.is_read || self.reading.is_none())
        };
        let outcome = outcome.map_err(|error| PyErr::from_value(error.into_bound(py)));
        if is_read {
            return Some(outcome.inspect_err(|error| self.rewind(py, error)));
        }
        let outcome = self.read(py, outcome);
        let phase = match &outcome {
            Ok(result) => Phase::Answered(result.clone_ref(py).into()),
            Err(error) if stops_the_program(py, error) => return Some(outcome),
            Err(error) => Phase::failed(errors::value(py, error)),
        };
        let before = {
            let mut state = self.state.borrow(py);
            state.is_read = true;
            std::mem::replace(&mut state.phase, phase)
        };
        // Dropped outside the borrow: the last reference may run Python code.
        drop(before);
        Some(outcome.inspect_err(|error| self.rewind(py, error)))
    }

    /// Gives the error that ended it the traceback that it had when it was raised first.
    fn rewind(&self, py: Python<'_>, error: &PyErr) {
        let now = error.traceback(py).map(Bound::unbind);
        let kept = {
            let mut state = self.state.borrow(py);
            match &state.traceback {
                Some(kept) => kept.as_ref().map(|traceback| traceback.clone_ref(py)),
                None => {
                    state.traceback = Some(now.as_ref().map(|traceback| traceback.clone_ref(py).into()));
                    now
                }
            }
        };
        let kept = kept.map(|traceback| traceback.into_bound(py));
        error.set_traceback(py, kept);
    }

    /// The exception to raise for the one that ended the call.
    fn explain(&self, py: Python<'_>, error: PyErr) -> PyErr {
        match &self.reading {
            Some(reading) => match reading.failed.bind(py).call1((error.into_value(py),)) {
                Ok(explained) => PyErr::from_value(explained),
                Err(raised) => raised,
            },
            None => error,
        }
    }

    /// A step of the coroutine: the first, and the one after the end.
    #[inline]
    fn step(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<Step> {
        let py = slf.py();
        let this = slf.get();
        let (phase, is_read) = {
            let mut state = this.state.borrow(py);
            if state.is_started {
                state.is_yielded = state.phase.is_pending();
                if state.is_yielded {
                    drop(state);
                    CallPool::require_home(this.caller.bind(py))?;
                    return Ok(Step::Yields(slf.clone().into_any().unbind()));
                }
                drop(state);
                return this.outcome(py).unwrap_or_else(|| Err(over())).map(Step::Returns);
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
            Phase::Answered(message) if is_read => Ok(Step::Returns(message.free())),
            Phase::Answered(message) => this.read(py, Ok(message.free())).map(Step::Returns),
            Phase::New(request) => Self::first_step(slf, &request.free().into_bound(py)),
            Phase::Failed(error) if is_read => Err(PyErr::from_value(error.free().into_bound(py))),
            Phase::Failed(error) => Err(this.explain(py, PyErr::from_value(error.free().into_bound(py)))),
            Phase::Cancelled(message) => Err(this.explain(py, cancelled(py, message.map(Held::free)))),
            Phase::Waiting(..) | Phase::Delegated(_) | Phase::Handed(_) | Phase::Over => Err(over()),
        }
    }

    #[inline]
    fn first_step(slf: &Bound<'_, Self>, request: &Bound<'_, PyAny>) -> PyResult<Step> {
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
            return Ok(Step::Yields(slf.clone().into_any().unbind()));
        }
        drop(state);
        Self::step(slf, request)
    }

    /// Sends the request; a coroutine that does it all if there is no connection or no room.
    #[inline]
    fn begin<'py>(
        slf: &Bound<'py, Self>,
        request: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        let this = slf.get();
        let caller = this.caller.bind(py);
        CallPool::require_home(caller).inspect_err(|_| drop(this.end(py)))?;
        let starts_on = |channel: &Bound<'py, ClientConnection>| {
            let started = ClientConnection::start_unary(channel, request, slf, this.timeout, caller.get());
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
    pub fn sent(&self, py: Python<'_>, channel: &Bound<'_, ClientConnection>, handle: u64) {
        drop(self.enter(py, Phase::Waiting(channel.clone().into(), handle)));
    }

    /// The phase before, which is dropped when nothing is borrowed.
    #[inline]
    fn enter(&self, py: Python<'_>, phase: Phase) -> Phase {
        std::mem::replace(&mut self.state.borrow(py).phase, phase)
    }

    fn delegate(&self, coroutine: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<Step> {
        let py = coroutine.py();
        let step = match send(coroutine, value) {
            Sent::Yielded(awaited) => return Ok(Step::Yields(awaited)),
            Sent::Returned(result) => Ok(result),
            Sent::Raised(error) => Err(error),
        };
        self.end(py);
        self.read(py, step).map(Step::Returns)
    }

    /// Tells the event loop of an error of a call that was started, if nobody has asked how it ended.
    fn report_unseen(&self, py: Python<'_>) {
        let is_of_interest = {
            let state = self.state.borrow(py);
            let may_fail = match state.phase {
                Phase::Answered(_) => self.reading.is_some(),
                Phase::Failed(_) => true,
                _ => false,
            };
            may_fail && state.is_started && !state.is_seen
        };
        if is_of_interest {
            aside(py, || {
                let Some(Err(error)) = self.outcome(py) else {
                    return Ok(());
                };
                let message = "the error of a call that was started was never retrieved";
                self.report(py, message, &error)
            });
        }
    }

    /// Ends it in whatever phase it is, and tells the server to stop if that works on it; what was before.
    fn end(&self, py: Python<'_>) -> Phase {
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
            Phase::Waiting(channel, handle) => ClientConnection::cancel(channel.bind(py), handle).map(drop),
            _ => Ok(()),
        }
    }

    /// Lets go of a connection that ended its calls with an error, and tells who waits.
    fn finish(slf: &Bound<'_, Self>, phase: Phase) -> PyResult<bool> {
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
}

impl Steps for UnaryCall {
    #[inline]
    fn step(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> Sent {
        match UnaryCall::step(slf, value) {
            Ok(Step::Yields(awaited)) => Sent::Yielded(awaited),
            Ok(Step::Returns(value)) => Sent::Returned(value),
            Err(error) => Sent::Raised(error),
        }
    }
}

#[pymethods]
impl UnaryCall {
    #[classmethod]
    fn __class_getitem__(class: &Bound<'_, PyType>, item: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        generic_alias(class, item)
    }

    /// Begin the call now, and have `answered(call)` called when it has ended; it gives the call itself.
    ///
    /// No task has to wait for it: `answered` is called as soon as the response was read, before other callbacks
    /// that wait for their turn, in a copy of the context that `start` was called in. It finds what ended the call
    /// in `call.result()`, which gives the response or raises. From now on the call is a future: it may be awaited
    /// by any number of tasks, `call.cancel()` gives it up, and the event loop's exception handler is told of an
    /// error that nobody asked for. Raises OptionError for a timeout that is none and RuntimeError for a call that
    /// has begun, and EncodeError for the request unless it has to wait for a connection or for room: then that is
    /// how the call ends. When it raises nothing was sent, and `answered` is not called.
    #[pyo3(signature = (answered=None, /))]
    fn start<'a, 'py>(
        slf: &'a Bound<'py, Self>,
        answered: Option<Py<PyAny>>,
    ) -> PyResult<&'a Bound<'py, Self>> {
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
        Ok(slf)
    }

    /// The task that does it all has ended.
    fn _settle(slf: &Bound<'_, Self>, task: &Bound<'_, PyAny>) -> PyResult<()> {
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

    fn __await__<'a, 'py>(slf: &'a Bound<'py, Self>) -> PyResult<&'a Bound<'py, Self>> {
        // The coroutine that does it all would go on for the wrong task.
        if matches!(slf.get().state.borrow(slf.py()).phase, Phase::Delegated(_)) {
            return Err(PyRuntimeError::new_err(AWAITED_ALREADY));
        }
        Ok(slf)
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::send(slf, slf.py().None().bind(slf.py()))
    }

    /// The next step of the coroutine, as every coroutine has it.
    fn send(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        <Self as Steps>::step(slf, value).given()
    }

    /// Raises an exception where the call waits, as every coroutine does: the server is told to stop, unless
    /// the call was started, which others may wait for.
    #[pyo3(signature = (kind, value=None, traceback=None))]
    fn throw(
        slf: &Bound<'_, Self>,
        kind: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let delegated = match &slf.get().state.borrow(py).phase {
            Phase::Delegated(coroutine) => Some(coroutine.clone_ref(py)),
            _ => None,
        };
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
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (this, py) = (slf.get(), slf.py());
        let delegated = match &this.state.borrow(py).phase {
            Phase::Delegated(coroutine) => Some(coroutine.clone_ref(py)),
            _ => None,
        };
        if let Some(coroutine) = delegated {
            this.end(py);
            return coroutine.bind(py).call_method0(intern!(py, "close")).map(drop);
        }
        if this.state.borrow(py).is_started {
            return Ok(());
        }
        Self::give_up(slf)
    }

    // What a future has, while a task waits for it.

    /// None says that this is no future: as long as no task waits for it.
    #[getter(_asyncio_future_blocking)]
    pub fn is_yielded(&self, py: Python<'_>) -> Option<bool> {
        let state = self.state.borrow(py);
        match state.phase {
            Phase::New(_) | Phase::Delegated(_) => None,
            Phase::Over if !state.is_started => None,
            _ => Some(state.is_yielded),
        }
    }

    #[setter(_asyncio_future_blocking)]
    pub fn set_yielded(&self, py: Python<'_>, value: bool) {
        self.state.borrow(py).is_yielded = value;
    }

    /// What asyncio calls it where it tells of tasks.
    #[getter(__qualname__)]
    fn qualified_name(&self) -> &'static str {
        "Client.unary"
    }

    #[getter(__name__)]
    fn name(&self) -> &'static str {
        "unary"
    }

    fn get_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.caller.get().event_loop(py)
    }

    /// Have `callback(call)` called when the call has ended: in a later turn of the event loop and a copy of the
    /// current context, or, with a `context`, in it and as soon as the response was read. Raises RuntimeError
    /// for a call that was not started and that no task awaits.
    #[pyo3(signature = (callback, /, *, context=None))]
    fn add_done_callback(
        slf: &Bound<'_, Self>,
        callback: Py<PyAny>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        match context {
            Some(context) => Self::add_callback(slf, callback, context, true),
            // What asyncio's own tools give here expects its turn.
            None => Self::add_callback(slf, callback, current_context(slf.py())?.unbind(), false),
        }
    }

    fn remove_done_callback(&self, py: Python<'_>, callback: &Bound<'_, PyAny>) -> PyResult<usize> {
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

    /// Give the call up: the server is told to stop. False if it has ended. A task that waits for it asks for this
    /// when it is cancelled.
    #[pyo3(signature = (msg=None))]
    pub fn cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
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
            (Ok(channel), Some(handle)) => ClientConnection::cancel(channel, handle).map(|_| true),
            _ => channel.bind(py).call_method0(intern!(py, "cancel")).map(|_| true),
        }
    }

    fn done(&self, py: Python<'_>) -> bool {
        !matches!(
            self.state.borrow(py).phase,
            Phase::New(_) | Phase::Waiting(..) | Phase::Delegated(_) | Phase::Handed(_)
        )
    }

    fn cancelled(&self, py: Python<'_>) -> bool {
        matches!(self.state.borrow(py).phase, Phase::Cancelled(_))
    }

    /// The response; raises what ended the call otherwise, and InvalidStateError before it has ended.
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.outcome(py)
            .unwrap_or_else(|| Err(InvalidStateError::new_err("the call has no result yet")))
    }

    /// What `result` would raise, or None; CancelledError and InvalidStateError are raised.
    fn exception(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let Some(outcome) = self.outcome(py) else {
            return Err(InvalidStateError::new_err("the call has no exception yet"));
        };
        match outcome {
            Ok(_) => Ok(None),
            Err(error) if self.cancelled(py) => Err(error),
            Err(error) => Ok(Some(error.into_value(py).into_any())),
        }
    }

    // What `asyncio.gather` asks a cancelled future.

    fn _make_cancelled_error(&self, py: Python<'_>) -> Py<PyAny> {
        let message = self._cancel_message(py);
        cancelled(py, message).into_value(py).into_any()
    }

    #[getter]
    fn _cancel_message(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match &self.state.borrow(py).phase {
            Phase::Cancelled(Some(message)) => Some(message.clone_ref(py)),
            _ => None,
        }
    }

    /// Ends it with an error, as the connection does when it ends or time has passed.
    fn set_exception(slf: &Bound<'_, Self>, error: &Bound<'_, PyBaseException>) -> PyResult<()> {
        if let Some(timeout) = slf.get().timeout {
            let name = intern!(slf.py(), "timeout");
            if error.hasattr(name)? {
                error.setattr(name, timeout)?;
            }
        }
        let phase = if error.is_instance_of::<CancelledError>() {
            Phase::Cancelled(None)
        } else {
            Phase::failed(error.clone().unbind())
        };
        Self::finish(slf, phase).map(drop)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.caller)?;
        if let Some(reading) = &self.reading {
            visit.call(&reading.read)?;
            visit.call(&reading.failed)?;
        }
        let Some(state) = self.state.peek() else {
            return Ok(());
        };
        match &state.phase {
            Phase::Waiting(channel, _) => visit.call(channel)?,
            Phase::Cancelled(held) => visit.call(held.as_deref())?,
            Phase::New(held)
            | Phase::Answered(held)
            | Phase::Failed(held)
            | Phase::Delegated(held)
            | Phase::Handed(held) => visit.call(held)?,
            Phase::Over => {}
        }
        if let Some(Some(traceback)) = &state.traceback {
            visit.call(traceback)?;
        }
        visit.call(state.driver.as_deref())?;
        for (callback, context) in state.waiter.iter().chain(&state.others) {
            visit.call(callback)?;
            visit.call(context)?;
        }
        Ok(())
    }

    fn __clear__(&self, py: Python<'_>) {
        let held = {
            let mut state = self.state.borrow(py);
            (state.traceback.take(), state.driver.take())
        };
        drop((self.end(py), held));
    }
}

/// Nobody awaited it, or nobody asked how it ended: what Python says of every such coroutine or future.
impl Drop for UnaryCall {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        match &state.phase {
            Phase::New(_) => Python::attach(|py| {
                let kind = py.get_type::<PyRuntimeWarning>();
                let text = c"coroutine 'Client.unary' was never awaited";
                aside(py, || PyErr::warn(py, &kind, text, 1));
            }),
            Phase::Answered(_) | Phase::Failed(_) => Python::attach(|py| self.report_unseen(py)),
            _ => {}
        }
    }
}

/// Does something while an exception may be on its way, which nobody can be told an error of.
fn aside(py: Python<'_>, act: impl FnOnce() -> PyResult<()>) {
    let raised = PyErr::take(py);
    if let Err(error) = act() {
        error.write_unraisable(py, None);
    }
    if let Some(raised) = raised {
        raised.restore(py);
    }
}

#[cold]
fn over() -> PyErr {
    PyRuntimeError::new_err("cannot reuse already awaited coroutine")
}

fn stops_the_program(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyKeyboardInterrupt>(py) || error.is_instance_of::<PySystemExit>(py)
}

/// The exception that the arguments of `throw` name.
pub fn exception<'py>(
    kind: &Bound<'py, PyAny>,
    value: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let base = kind.py().get_type::<pyo3::exceptions::PyBaseException>();
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

/// Lets `await` and tasks take a step without a StopIteration for its result, and look at it as a future quickly.
///
/// There are no names for these slots among a class's methods, so they are filled in here.
pub fn fill_slots(py: Python<'_>) {
    let kind = py.get_type::<UnaryCall>().as_type_ptr();
    // SAFETY: the module is being made, so nobody uses the class; as a heap type with `__await__` it has a table
    // of these slots of its own.
    unsafe {
        // For `yield from` in a generator.
        (*kind).tp_iter = Some(ffi::PyObject_SelfIter);
        (*kind).tp_finalize = Some(finalize);
        if plain() {
            return;
        }
        if let Some(slots) = (*kind).tp_as_async.as_mut() {
            slots.am_send = Some(am_send::<UnaryCall>);
            slots.am_await = Some(am_await);
        }
        fill_attribute_slots(kind);
    }
}

/// The garbage collector asks before it takes anything apart; what it drops then is too late to be told of.
///
/// # Safety
///
/// Called by the interpreter, with a live object.
unsafe extern "C" fn finalize(call: *mut ffi::PyObject) {
    // SAFETY: the interpreter holds the GIL. Attaching would panic where it collects for the last time.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: the slot is this class's alone, and nobody derives from it.
    let this = unsafe { Bound::from_borrowed_ptr(py, call).cast_into_unchecked::<UnaryCall>() };
    // A panic must not leave the function; there is nobody to tell.
    drop(catch_unwind(AssertUnwindSafe(|| this.get().report_unseen(py))));
}

/// # Safety
///
/// Called by the interpreter, with a live object.
unsafe extern "C" fn am_await(call: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the interpreter holds the GIL; nothing is dropped here, which is what attaching would be for.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: the slot is this class's alone, and nobody derives from it.
    let this = unsafe { Bound::from_borrowed_ptr(py, call).cast_into_unchecked::<UnaryCall>() };
    let result = catch_unwind(AssertUnwindSafe(|| {
        UnaryCall::__await__(&this).map(|this| this.clone().into_any())
    }));
    given_back(py, result)
}
