//! What a connection is attached to: its transport, its event loop, and what that calls.

use std::time::Duration;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::asyncio_glue::busy_poll::BusyPoller;
use crate::asyncio_glue::home::Home;
use crate::connection::transport::Transport;
use crate::guarded::Held;

/// All of it, from `_attach` to `_detach`.
pub struct Attached {
    pub home: Home,
    pub transport: Transport,
    /// The connection's own Python object, whose methods tell of what is rare.
    pub owner: Held<PyAny>,
    pub call_soon: Held<PyAny>,
    pub flush: Held<PyAny>,
    pub proceed: Held<PyAny>,
    /// What keeps the event loop awake, and for how long after each read and write.
    pub poller: Option<(Held<BusyPoller>, Option<Duration>)>,
}

impl Attached {
    /// What keeps the event loop awake after a read or a write, if anything does.
    #[inline]
    pub fn polling(&self, py: Python<'_>) -> Option<(Py<BusyPoller>, Option<Duration>)> {
        self.poller
            .as_ref()
            .map(|(poller, time)| (poller.clone_ref(py), *time))
    }

    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.home.event_loop)?;
        self.transport.traverse(visit)?;
        for held in [&self.owner, &self.call_soon, &self.flush, &self.proceed] {
            visit.call(held)?;
        }
        match &self.poller {
            Some((poller, _)) => visit.call(poller),
            None => Ok(()),
        }
    }
}
