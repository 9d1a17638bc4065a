//! A client's pool: its connections, whose turn it is, and the event loop of all calls.

mod methods;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyType};

use crate::asyncio_glue::home;
use crate::asyncio_glue::waiting::EventLoop;
use crate::guarded::{Guarded, Held};
use crate::rpc::client::ClientConnection;

/// The native half of a client.
///
/// The Python class adds `_unary_later(index, request, timeout)`: a coroutine for a call whose connection is
/// not there or has no room.
#[pyclass(subclass, frozen, weakref, module = "protosocket._core")]
pub struct CallPool {
    pool: Guarded<Pool>,
}

#[derive(Default)]
struct Pool {
    /// A `ClientConnection`, or None, for each place in the pool; the Python class fills them.
    channels: Option<Held<PyList>>,
    turn: usize,
    /// Where calls go first, while answers are handled.
    nearby: Option<Nearby>,
    event_loop: Option<EventLoop>,
}

/// The connection whose answers are handled, and the one whose turn it is.
///
/// A call that is made by who has just been answered goes back the same way: what the connection needs is in the
/// processor's cache then, and what a batch of answers leads to goes out in one write. Were it always so, nothing
/// would ever come to a connection that has less to do than the others, such as a new one: so it goes to the other
/// one if that has fewer calls in flight (docs/decisions/0015).
struct Nearby {
    answering: Held<ClientConnection>,
    other: Held<ClientConnection>,
}

impl Pool {
    /// Calls go to `channel` first, or to the one whose turn it is; what was before.
    fn go_near(&mut self, channel: &Bound<'_, ClientConnection>) -> Option<Nearby> {
        let nearby = self.nearby_to(channel);
        std::mem::replace(&mut self.nearby, nearby)
    }

    /// `channel` with the connection whose turn it is; None if there is no other, or it has to be made first.
    fn nearby_to(&mut self, channel: &Bound<'_, ClientConnection>) -> Option<Nearby> {
        let channels = self.channels.as_ref()?.bind(channel.py());
        let count = channels.len();
        if count < 2 {
            return None;
        }
        let mut place = self.turn;
        let mut other = channels.get_item(place).ok()?;
        if other.is(channel) {
            place = (place + 1) % count;
            other = channels.get_item(place).ok()?;
        }
        let other = other.cast_into::<ClientConnection>().ok()?;
        if !other.as_super().get().is_open(channel.py()) {
            return None;
        }
        self.turn = (place + 1) % count;
        Some(Nearby {
            answering: channel.clone().into(),
            other: other.into(),
        })
    }
}

/// While it lives, calls go back to the connection whose answers are handled, or to the next one.
#[derive(Default)]
pub struct Answering<'py>(Option<Bound<'py, CallPool>>);

impl<'py> Answering<'py> {
    /// Takes note that `channel` has an answer for a call of `caller`.
    #[inline]
    pub fn note(&mut self, caller: &Bound<'py, CallPool>, channel: &Bound<'py, ClientConnection>) {
        if self.0.is_none() {
            let before = caller.get().pool.borrow(channel.py()).go_near(channel);
            drop(before);
            self.0 = Some(caller.clone());
        }
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        if let Some(caller) = &self.0 {
            let before = caller.get().pool.borrow(caller.py()).nearby.take();
            drop(before);
        }
    }
}

impl CallPool {
    /// Where a call goes that is made while answers are handled.
    #[inline]
    pub fn nearby<'py>(&self, py: Python<'py>) -> Option<Bound<'py, ClientConnection>> {
        let (answering, other) = {
            let pool = self.pool.borrow(py);
            let Nearby { answering, other } = pool.nearby.as_ref()?;
            let answering = answering.bind(py).clone();
            if other.get().in_flight(py) + 1 >= answering.get().in_flight(py) {
                return Some(answering);
            }
            (answering, other.bind(py).clone())
        };
        // Many calls of one task go to all connections.
        let before = self.pool.borrow(py).go_near(&answering);
        drop(before);
        Some(other)
    }

    /// Whose turn it is: its place, and its connection if there is one.
    #[inline]
    pub fn turn<'py>(&self, py: Python<'py>) -> PyResult<(usize, Option<Bound<'py, ClientConnection>>)> {
        let (index, channels) = {
            let mut pool = self.pool.borrow(py);
            let Some(channels) = &pool.channels else {
                return Err(unprepared());
            };
            let channels = channels.bind(py).clone();
            let index = pool.turn;
            pool.turn = if index + 1 < channels.len() { index + 1 } else { 0 };
            (index, channels)
        };
        let channel = channels.get_item(index)?;
        Ok((index, channel.cast_into::<ClientConnection>().ok()))
    }

    /// The event loop of all calls.
    #[inline]
    pub fn event_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.asked(py, |event_loop| &event_loop.home.event_loop)
    }

    /// Raises EventLoopError if a call cannot be made here.
    #[inline]
    pub fn require_home(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let near = match &slf.get().pool.borrow(py).event_loop {
            Some(event_loop) => event_loop.home.near(py),
            None => return Err(unprepared()),
        };
        if let Some(event_loop) = near {
            if home::is_running(&event_loop)? {
                return Ok(());
            }
        }
        home::require(slf, &slf.get().event_loop(py)?)?;
        if let Some(event_loop) = &slf.get().pool.borrow(py).event_loop {
            event_loop.home.follow();
        }
        Ok(())
    }

    /// One of the things that the event loop's tasks ask for.
    #[inline]
    pub fn asked<'py>(
        &self,
        py: Python<'py>,
        which: impl FnOnce(&EventLoop) -> &Py<PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match &self.pool.borrow(py).event_loop {
            Some(event_loop) => Ok(which(event_loop).bind(py).clone()),
            None => Err(unprepared()),
        }
    }
}

/// The class with type arguments, which type checkers look at.
pub fn generic_alias(class: &Bound<'_, PyType>, item: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let alias = class.py().import("types")?.getattr("GenericAlias")?;
    alias.call1((class, item)).map(Bound::unbind)
}

#[cold]
fn unprepared() -> PyErr {
    PyRuntimeError::new_err("the client was not initialised")
}
