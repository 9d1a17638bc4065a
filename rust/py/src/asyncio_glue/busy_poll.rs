//! Busy polling: an event loop that looks for more instead of sleeping, for a short time after each message.
//!
//! A process that sleeps until its peer's next message is woken by the kernel, which takes several times as long
//! as everything else a lone call does. So it looks for more for as long as a connection's options say, or where
//! that is likely to be worth it (`protosocket_core::connection::polling`): a callback that is always scheduled again keeps the
//! event loop from sleeping. Each of its turns asks for events of all connections and timers as ever, but does not
//! wait for them.

use std::time::{Duration, Instant};

use protosocket_core::connection::polling::{WORTH, Waits};
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
    is_scheduled: bool,
    /// Until when a connection's options have it awake.
    fixed_until: Option<Instant>,
    /// Until when it looks for more because that is likely to be worth it.
    looks_until: Option<Instant>,
    /// It has looked for more since it had something to do.
    has_looked: bool,
    waits: Waits,
    /// The processor is not offered before then.
    keeps_until: Option<Instant>,
}

/// Who was given the processor for so long had more to do than to answer: that is no help for a reply.
const MUCH: Duration = Duration::from_millis(1);
/// So long it is not offered then.
const KEPT: Duration = Duration::from_secs(1);

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
        let (this, py) = (slf.get(), slf.py());
        let now = Instant::now();
        let offers = {
            let mut state = this.state.borrow(py);
            if state.looks_until.is_some_and(|until| now >= until) {
                state.looks_until = None;
                state.waits.in_vain();
            }
            let is_fixed = state.fixed_until.is_some_and(|until| now < until);
            if !is_fixed && state.looks_until.is_none() {
                state.is_scheduled = false;
                return Ok(());
            }
            // What has come already is looked at first.
            let has_looked = std::mem::replace(&mut state.has_looked, true);
            has_looked && !is_fixed && state.keeps_until.is_none_or(|until| now >= until)
        };
        if offers {
            // Who else wants this processor may be whom the message will come from.
            py.detach(std::thread::yield_now);
            let back = Instant::now();
            if back - now > MUCH {
                this.state.borrow(py).keeps_until = Some(back + KEPT);
            }
        }
        Self::schedule(slf)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.call_soon)?;
        visit.call(&self.keywords)
    }
}

impl State {
    #[inline]
    fn fix(&mut self, until: Instant) {
        self.fixed_until = Some(self.fixed_until.map_or(until, |before| before.max(until)));
    }
}

impl BusyPoller {
    /// Something was read. Keeps the event loop awake for this time; without one, takes note of the wait.
    #[inline]
    pub fn read(slf: &Bound<'_, Self>, time: Option<Duration>) -> PyResult<()> {
        let now = Instant::now();
        {
            let mut state = slf.get().state.borrow(slf.py());
            match time {
                Some(time) => state.fix(now + time),
                None => {
                    state.looks_until = None;
                    state.waits.observe(now);
                    return Ok(());
                }
            }
        }
        Self::awake(slf)
    }

    /// Something was written, and there is nothing to do until more is read. Keeps the event loop awake for this
    /// time; without one, if that is likely to be worth it.
    #[inline]
    pub fn wrote(slf: &Bound<'_, Self>, time: Option<Duration>) -> PyResult<()> {
        let now = Instant::now();
        {
            let mut state = slf.get().state.borrow(slf.py());
            match time {
                Some(time) => state.fix(now + time),
                None if state.waits.begin(now) => {
                    state.looks_until = Some(now + WORTH);
                    state.has_looked = false;
                }
                None => return Ok(()),
            }
        }
        Self::awake(slf)
    }

    fn awake(slf: &Bound<'_, Self>) -> PyResult<()> {
        let was_scheduled = std::mem::replace(&mut slf.get().state.borrow(slf.py()).is_scheduled, true);
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
