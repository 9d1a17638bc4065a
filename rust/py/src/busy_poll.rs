//! Busy polling: an event loop that looks for more instead of sleeping, for a short time after each message.
//!
//! A process that sleeps until its peer's next message is woken by the kernel, which takes several times as long
//! as everything else a lone call does. So it is done for as long as a connection's options say, or where it is
//! likely to be worth it (`protosocket_core::polling`). A callback that is always scheduled again keeps the event loop from
//! sleeping: each of its turns asks for events of all connections and timers as ever, but does not wait for them.

use std::time::{Duration, Instant};

use protosocket_core::polling::{WORTH, Waits};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::guarded::Guarded;

/// Keeps one event loop awake; all its connections share it.
#[pyclass(frozen, weakref, module = "protosocket._core")]
pub struct BusyPoller {
    call_soon: Py<PyAny>,
    /// A context of its own for the turns: they would keep the one they were first asked for in.
    keywords: Py<PyDict>,
    state: Guarded<State>,
}

#[derive(Default)]
struct State {
    /// When the event loop may sleep again.
    until: Option<Instant>,
    is_scheduled: bool,
    /// What is known of the waits, for connections that have no time of their own.
    waits: Waits,
}

#[pymethods]
impl BusyPoller {
    /// `call_soon` is the event loop's.
    #[new]
    fn new(py: Python<'_>, call_soon: Py<PyAny>) -> PyResult<Self> {
        let keywords = PyDict::new(py);
        let context = py.import("contextvars")?.getattr("Context")?.call0()?;
        keywords.set_item("context", context)?;
        Ok(BusyPoller {
            call_soon,
            keywords: keywords.unbind(),
            state: Guarded::new(State::default()),
        })
    }

    /// A turn of the event loop: the next one follows at once until the time has passed.
    fn _turn(slf: &Bound<'_, Self>) -> PyResult<()> {
        {
            let mut state = slf.get().state.borrow(slf.py());
            if state.until.is_none_or(|until| Instant::now() >= until) {
                state.is_scheduled = false;
                state.waits.in_vain();
                return Ok(());
            }
        }
        // Who else wants this processor may be whom the message will come from.
        std::thread::yield_now();
        Self::schedule(slf)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.call_soon)?;
        visit.call(&self.keywords)
    }
}

impl BusyPoller {
    /// Something was read. Keeps the event loop awake for this time; without one, takes note of the wait.
    #[inline]
    pub fn read(slf: &Bound<'_, Self>, time: Option<Duration>) -> PyResult<()> {
        let now = Instant::now();
        match time {
            Some(time) => Self::extend(slf, now + time),
            None => {
                slf.get().state.borrow(slf.py()).waits.observe(now);
                Ok(())
            }
        }
    }

    /// Something was written, and there is nothing to do until more is read. Keeps the event loop awake for this
    /// time; without one, if that is likely to be worth it.
    #[inline]
    pub fn wrote(slf: &Bound<'_, Self>, time: Option<Duration>) -> PyResult<()> {
        let now = Instant::now();
        match time {
            Some(time) => Self::extend(slf, now + time),
            None if slf.get().state.borrow(slf.py()).waits.begin(now) => Self::extend(slf, now + WORTH),
            None => Ok(()),
        }
    }

    fn extend(slf: &Bound<'_, Self>, until: Instant) -> PyResult<()> {
        let was_scheduled = {
            let mut state = slf.get().state.borrow(slf.py());
            state.until = Some(state.until.map_or(until, |before| before.max(until)));
            std::mem::replace(&mut state.is_scheduled, true)
        };
        if was_scheduled {
            Ok(())
        } else {
            Self::schedule(slf)
        }
    }

    fn schedule(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (this, py) = (slf.get(), slf.py());
        let turn = slf.getattr(intern!(py, "_turn"))?;
        let scheduled = this
            .call_soon
            .bind(py)
            .call((turn,), Some(this.keywords.bind(py)));
        scheduled.map(drop).inspect_err(|_| {
            this.state.borrow(py).is_scheduled = false;
        })
    }
}
