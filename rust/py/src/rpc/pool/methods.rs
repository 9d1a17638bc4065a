//! What Python sees of a client's pool: what begins unary calls.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};

use super::{CallPool, Pool, generic_alias};
use crate::asyncio_glue::waiting::EventLoop;
use crate::guarded::Guarded;
use crate::rpc::call::{Reading, UnaryCall};

#[pymethods]
impl CallPool {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        CallPool {
            pool: Guarded::new(Pool::default()),
        }
    }

    #[classmethod]
    fn __class_getitem__(class: &Bound<'_, PyType>, item: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        generic_alias(class, item)
    }

    /// Takes the list of connections, and the event loop of all calls.
    fn _use(&self, channels: Py<PyList>, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        let event_loop_parts = EventLoop::new(event_loop)?;
        let before = {
            let mut pool = self.pool.borrow(event_loop.py());
            (
                pool.channels.replace(channels.into()),
                pool.event_loop.replace(event_loop_parts),
            )
        };
        drop(before);
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
        visit.call(pool.channels.as_deref())?;
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
