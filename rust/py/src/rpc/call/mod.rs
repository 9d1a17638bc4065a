//! One unary call: what `await client.unary(request)` awaits, and the future its task waits for.
//!
//! A coroutine, an `asyncio.Future` and a turn of the event loop would each cost more than the call itself. So
//! one object is both: to its task it is a coroutine (`coroutine`) that begins with the first step (`begin`) and yields
//! itself, and while the task waits it is a future (`future`). How it ended is in `outcome`.
//!
//! Started with `start`, it is a future alone, for any number of tasks or none: a callback given to `start` is
//! called where a waiting task would go on.

mod begin;
mod coroutine;
mod future;
mod methods;
mod outcome;
mod phase;

use pyo3::prelude::*;

use crate::asyncio_glue::client_task::{Drivable, DrivenCoroutine, drives};
use crate::asyncio_glue::slots::{fill_finalizer, fill_steps};
use crate::asyncio_glue::waiting::{Awaited, Callback, EventLoop, fill_attribute_slots};
use crate::guarded::{Guarded, Held};
use crate::rpc::pool::CallPool;
use phase::{Phase, State};

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
            state: Guarded::new(State::new(request)),
        }
    }

    /// Whose call it is.
    #[inline]
    pub fn caller<'py>(&self, py: Python<'py>) -> &Bound<'py, CallPool> {
        self.caller.bind(py)
    }
}

impl Awaited for UnaryCall {
    #[inline]
    fn of<'a>(slf: &'a Bound<'_, Self>) -> &'a Self {
        slf.get()
    }

    #[inline]
    fn blocking(&self, py: Python<'_>) -> Option<bool> {
        let state = self.state.borrow(py);
        match state.phase {
            Phase::New(_) | Phase::Delegated(_) => None,
            Phase::Over if !state.is_started => None,
            _ => Some(state.is_yielded),
        }
    }

    #[inline]
    fn set_blocking(&self, py: Python<'_>, value: bool) {
        self.state.borrow(py).is_yielded = value;
    }

    #[inline]
    fn asked<'py>(
        &self,
        py: Python<'py>,
        which: impl FnOnce(&EventLoop) -> &Py<PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.caller.get().asked(py, which)
    }
}

impl Drivable for UnaryCall {
    #[inline]
    fn is_drivable(&self, py: Python<'_>) -> bool {
        let state = self.state.borrow(py);
        state.is_yielded
            && !state.is_started
            && matches!(state.phase, Phase::Waiting(..))
            && state.waiter.is_none()
            && state.others.is_empty()
    }

    #[inline]
    fn driven_by(&self, py: Python<'_>, driver: Option<Py<DrivenCoroutine>>) {
        let before = std::mem::replace(&mut self.state.borrow(py).driver, driver.map(Held::from));
        drop(before);
    }

    #[inline]
    fn drive(&self, py: Python<'_>, driver: Py<DrivenCoroutine>, waiter: Callback) {
        let before = {
            let mut state = self.state.borrow(py);
            state.is_yielded = false;
            (state.driver.replace(driver.into()), state.waiter.replace(waiter))
        };
        drop(before);
    }

    #[inline]
    fn event_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.caller.get().event_loop(py)
    }
}

/// What the class has beside its methods: called when the module is made.
pub fn fill_slots(py: Python<'_>) {
    fill_steps::<UnaryCall>(py);
    fill_finalizer::<UnaryCall>(py);
    fill_attribute_slots::<UnaryCall>(py);
    drives(|object| {
        let call = object.cast_exact::<UnaryCall>().ok()?;
        Some(call.get() as &dyn Drivable)
    });
}
