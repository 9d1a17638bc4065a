//! What begins unary calls: a pool's connections, whose turn it is, and their event loop.

use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};

use crate::client::ClientReactor;
use crate::guarded::Guarded;
use crate::handshake::EventLoop;
use crate::unary::{Reading, UnaryCall};

/// The native half of a client.
///
/// The Python class adds `_unary_later(index, request, timeout)`: a coroutine for a call whose connection is
/// not there or has no room.
#[pyclass(subclass, frozen, weakref, module = "protosocket._core")]
pub struct Caller {
    pool: Guarded<Pool>,
}

#[derive(Default)]
struct Pool {
    /// A `ClientReactor`, or None, for each place in the pool; the Python class fills them.
    channels: Option<Py<PyList>>,
    turn: usize,
    event_loop: Option<EventLoop>,
}

#[pymethods]
impl Caller {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Caller {
            pool: Guarded::new(Pool::default()),
        }
    }

    #[classmethod]
    fn __class_getitem__(class: &Bound<'_, PyType>, item: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let alias = class.py().import("types")?.getattr("GenericAlias")?;
        alias.call1((class, item)).map(Bound::unbind)
    }

    /// Takes the list of connections, and the event loop of all calls.
    fn _use(&self, channels: Py<PyList>, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        let event_loop_parts = EventLoop::new(event_loop)?;
        let mut pool = self.pool.borrow(event_loop.py());
        pool.channels = Some(channels);
        pool.event_loop = Some(event_loop_parts);
        Ok(())
    }

    /// The place in the pool whose turn it is.
    fn _next_turn(&self, py: Python<'_>) -> PyResult<usize> {
        self.turn(py).map(|(index, _)| index)
    }

    /// Send ``request`` and wait for its one response: ``response = await client.unary(request)``.
    ///
    /// ``timeout`` (seconds, 0 or more; default: none) covers everything, connecting included. When it
    /// passes, and when the call is cancelled, the server is told to stop. Raises ``DeadlineExceeded``;
    /// ``CancelledRemotely`` when the server rejected or aborted the call; ``ConnectError`` when there is no
    /// connection; ``ConnectionClosed`` when it is lost before the answer, which the server may or may not
    /// have worked on; ``EncodeError`` when the request cannot be encoded; ``OptionError`` for a timeout
    /// that is none.
    ///
    /// It gives a coroutine: nothing is sent before it is awaited or made a task. The task that awaits it goes
    /// on as soon as the response was read, before other callbacks that wait for their turn.
    #[pyo3(signature = (request, *, timeout=None))]
    fn unary(slf: &Bound<'_, Self>, request: Py<PyAny>, timeout: Option<f64>) -> UnaryCall {
        UnaryCall::new(slf.clone().unbind(), request, timeout, None)
    }

    /// The same with `read(response)` for the result. What ends the call otherwise, cancelling it included, is
    /// given to `failed(error)`, which gives the exception to raise.
    fn unary_read(
        slf: &Bound<'_, Self>,
        request: Py<PyAny>,
        timeout: Option<f64>,
        read: Py<PyAny>,
        failed: Py<PyAny>,
    ) -> UnaryCall {
        let reading = Some(Reading { read, failed });
        UnaryCall::new(slf.clone().unbind(), request, timeout, reading)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(pool) = self.pool.peek() else {
            return Ok(());
        };
        visit.call(&pool.channels)?;
        match &pool.event_loop {
            Some(event_loop) => event_loop
                .held()
                .into_iter()
                .try_for_each(|held| visit.call(held)),
            None => Ok(()),
        }
    }

    fn __clear__(&self, py: Python<'_>) {
        let held = std::mem::take(&mut *self.pool.borrow(py));
        drop(held);
    }
}

impl Caller {
    /// Whose turn it is: its place, and its connection if there is one.
    #[inline]
    pub fn turn<'py>(&self, py: Python<'py>) -> PyResult<(usize, Option<Bound<'py, ClientReactor>>)> {
        let (index, channel) = {
            let mut pool = self.pool.borrow(py);
            let Some(channels) = &pool.channels else {
                return Err(unprepared());
            };
            let channels = channels.bind(py);
            let index = pool.turn;
            let channel = channels.get_item(index)?;
            let next = if index + 1 < channels.len() { index + 1 } else { 0 };
            pool.turn = next;
            (index, channel)
        };
        Ok((index, channel.cast_into::<ClientReactor>().ok()))
    }

    /// The event loop of all calls.
    #[inline]
    pub fn event_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.asked(py, |event_loop| &event_loop.event_loop)
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

#[cold]
fn unprepared() -> PyErr {
    PyRuntimeError::new_err("the client was not initialised")
}
