//! Busy polling: an event loop that looks for more instead of sleeping, for a short time after each message.
//!
//! A process that sleeps until its peer's next message is woken by the kernel, which takes several times as long
//! as everything else a lone call does. A callback that is always scheduled again keeps the event loop from
//! sleeping: each of its turns asks for events of all connections and timers as ever, but does not wait for them.

use std::time::{Duration, Instant};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;

use crate::guarded::Guarded;

/// Keeps one event loop awake; all its connections share it.
#[pyclass(frozen, weakref, module = "protosocket._core")]
pub struct BusyPoller {
    call_soon: Py<PyAny>,
    state: Guarded<State>,
}

#[derive(Default)]
struct State {
    /// When the event loop may sleep again.
    until: Option<Instant>,
    is_scheduled: bool,
}

#[pymethods]
impl BusyPoller {
    /// `call_soon` is the event loop's.
    #[new]
    fn new(call_soon: Py<PyAny>) -> Self {
        BusyPoller {
            call_soon,
            state: Guarded::new(State::default()),
        }
    }

    /// A turn of the event loop: the next one follows at once until the time has passed.
    fn _turn(slf: &Bound<'_, Self>) -> PyResult<()> {
        {
            let mut state = slf.get().state.borrow(slf.py());
            if state.until.is_none_or(|until| Instant::now() >= until) {
                state.is_scheduled = false;
                return Ok(());
            }
        }
        Self::schedule(slf)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.call_soon)
    }
}

impl BusyPoller {
    /// Keeps the event loop awake for so long from now.
    pub fn extend(slf: &Bound<'_, Self>, time: Duration) -> PyResult<()> {
        let was_scheduled = {
            let mut state = slf.get().state.borrow(slf.py());
            let until = Instant::now() + time;
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
        let turn = slf.getattr(intern!(slf.py(), "_turn"))?;
        let scheduled = slf.get().call_soon.bind(slf.py()).call1((turn,));
        scheduled.map(drop).inspect_err(|_| {
            slf.get().state.borrow(slf.py()).is_scheduled = false;
        })
    }
}
