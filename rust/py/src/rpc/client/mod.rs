//! A client's connection: what it knows of the calls that are in flight on it.
//!
//! How a call is sent is in `requests`, what becomes of the answers in `answers`, and what Python sees in `methods`.

mod answers;
mod methods;
mod requests;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use protosocket_core::rpc::client::Client;
use protosocket_core::wire::header::Header;
use protosocket_core::wire::layouts::Layout;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::codec::{Side, WireCodec};
use crate::connection::Connection;
use crate::errors;
use crate::guarded::{Guarded, Held};

/// Many calls in flight on one connection.
///
/// With `exchanges`, a call may send more than one message, its last answer is passed on, there are messages
/// about the connection (id 0: `_told(message)`), and the peer says of every call when it has ended: then its id
/// is used again at once. What `call` and `open` give is a handle that stays the call's own.
#[pyclass(extends = Connection, subclass, frozen, module = "protosocket._core")]
pub struct ClientConnection {
    codec: Py<WireCodec>,
    send: Side,
    receive: Layout,
    exchanges: bool,
    calls: Guarded<Calls>,
    /// Responses that were taken off the receive buffer and not handed over yet: their calls are in flight still.
    taken: AtomicUsize,
}

struct Calls {
    /// A call waits with a `UnaryCall` or an `asyncio.Future` for its one answer, or with a sink with `_item(message)`
    /// and `_end()` for the answers of a stream.
    client: Client<Held<PyAny>>,
    /// The loop time a timer is set for, and the timer.
    timer: Option<(f64, Held<PyAny>)>,
}

impl ClientConnection {
    /// Calls in flight.
    #[inline]
    pub fn in_flight(&self, py: Python<'_>) -> usize {
        self.calls.borrow(py).client.len() + self.taken.load(Relaxed)
    }

    /// Gives up a call: its answer is dropped and the server told to stop. False if it had ended.
    pub fn give_up(slf: &Bound<'_, Self>, handle: u64) -> PyResult<bool> {
        match slf.get().forget(slf.py(), handle) {
            Some((header, _)) => match Self::send_empty(slf, header) {
                // Freed with the program: there is nobody to tell any more.
                Err(_) if slf.as_super().get().has_closed_loop(slf.py()) => Ok(true),
                sent => sent.map(|()| true),
            },
            None => Ok(false),
        }
    }

    /// Forgets a call that nobody waits for any more: what to tell the server, and who waited.
    fn forget(&self, py: Python<'_>, handle: u64) -> Option<(Header, Py<PyAny>)> {
        let forgotten = self.calls.borrow(py).client.cancel(handle);
        forgotten.map(|(header, waiter)| (header, waiter.free()))
    }

    /// Queues a message; false if the send queue is full now.
    fn put(
        slf: &Bound<'_, Self>,
        header: Header,
        payload: &[u8],
        message: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        let connection = slf.as_super().get();
        {
            let mut state = connection.state(py);
            if state.closed {
                return Ok(true);
            }
            let framing = this.codec.get().framing;
            if let Err(malformed) = state.append(py, &this.send.layout, framing, payload, header) {
                drop(state);
                return Err(errors::encode(py, message, PyValueError::new_err(malformed.0)));
            }
        }
        connection.appended(py)?;
        Ok(connection.state(py).has_room())
    }

    fn send_empty(slf: &Bound<'_, Self>, header: Header) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let connection = slf.as_super().get();
        {
            let mut state = connection.state(py);
            if state.closed {
                return Ok(());
            }
            let framing = this.codec.get().framing;
            let Header { id, control } = header;
            let Side { layout, empty, .. } = &this.send;
            let framed = layout.frame(framing, empty, id, control, state.output());
            debug_assert!(framed.is_ok());
        }
        connection.appended(py)
    }

    /// Ends every call here: who waits, and what is left of the timer.
    fn lose(&self, py: Python<'_>) -> (Vec<Held<PyAny>>, Option<Held<PyAny>>) {
        let mut calls = self.calls.borrow(py);
        let timer = calls.timer.take();
        (calls.client.lose(), timer.map(|(_, timer)| timer))
    }
}

/// Raises OptionError for a timeout that is none.
#[inline]
pub fn check_timeout(py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
    if timeout.is_some_and(|timeout| !(timeout >= 0.0 && timeout.is_finite())) {
        let rule = "timeout is a number of seconds, 0 or more; None means no limit";
        return Err(errors::option(py, rule));
    }
    Ok(())
}
