//! What Python sees of a client's connection.

use std::sync::atomic::AtomicUsize;

use protosocket_core::rpc::about_connection;
use protosocket_core::rpc::client::{Call, Client};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;

use super::{Calls, ClientConnection};
use crate::codec::WireCodec;
use crate::connection::{Connection, Limits};
use crate::guarded::{Guarded, Held};

#[pymethods]
impl ClientConnection {
    #[new]
    #[pyo3(signature = (codec, receive_limit, send_messages, send_bytes, read_messages, exchanges=false))]
    fn new(
        codec: Py<WireCodec>,
        receive_limit: usize,
        send_messages: usize,
        send_bytes: usize,
        read_messages: usize,
        exchanges: bool,
    ) -> PyResult<PyClassInitializer<Self>> {
        let limits = Limits {
            receive: receive_limit,
            send_messages,
            send_bytes,
            read_messages,
        };
        let connection = Connection::create(codec.get().framing, codec.get().is_protobuf(), limits);
        let (send, receive) = codec.get().sides("a client")?;
        let largest_id = receive.largest_id.min(send.largest_id);
        let (send, receive) = (send.clone(), receive.layout.clone());
        let calls = Calls {
            client: if exchanges {
                Client::with_exchanges()
            } else {
                Client::new(largest_id)
            },
            timer: None,
        };
        Ok(
            PyClassInitializer::from(connection).add_subclass(ClientConnection {
                codec,
                send,
                receive,
                exchanges,
                calls: Guarded::new(calls),
                taken: AtomicUsize::new(0),
            }),
        )
    }

    fn buffer_updated(slf: &Bound<'_, Self>, nbytes: usize) -> PyResult<()> {
        let connection = slf.as_super().get();
        connection.read_on(slf.py(), nbytes, || Self::handle(slf))
    }

    fn _proceed(slf: &Bound<'_, Self>) -> PyResult<()> {
        let connection = slf.as_super().get();
        connection.proceed(slf.py(), || Self::handle(slf))
    }

    /// Sends a request whose one answer completes `future`. The call's id, or 0 if nothing was sent
    /// because the connection is closed or its send queue is full. Raises EncodeError, and OptionError
    /// for a timeout (seconds) that is none.
    fn call(
        slf: &Bound<'_, Self>,
        request: &Bound<'_, PyAny>,
        future: Py<PyAny>,
        timeout: Option<f64>,
        clock: &Bound<'_, PyAny>,
    ) -> PyResult<u64> {
        Self::start(slf, request, Call::unary(future.into()), timeout, clock)
    }

    /// The same for a request that is answered by a stream: `sink._item(message)`, then `sink._end()`.
    /// With a `window` (bytes) the connection ends if the peer sends much more than that and what `_grant` adds.
    #[pyo3(signature = (request, sink, timeout, clock, window=None))]
    fn open(
        slf: &Bound<'_, Self>,
        request: &Bound<'_, PyAny>,
        sink: Py<PyAny>,
        timeout: Option<f64>,
        clock: &Bound<'_, PyAny>,
        window: Option<i64>,
    ) -> PyResult<u64> {
        Self::start(slf, request, Call::stream(sink.into(), window), timeout, clock)
    }

    /// Sends another message of a call; false if the send queue is full now. Nothing is sent if the call has
    /// ended or the connection is closed. Raises EncodeError.
    fn send(slf: &Bound<'_, Self>, handle: u64, message: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = slf.py();
        slf.as_super().get().require_home(py)?;
        let encoded = slf.get().codec.get().encode(message)?;
        let header = slf.get().calls.borrow(py).client.message(handle);
        match header {
            Some(header) => Self::put(slf, header, encoded.as_bytes(), message),
            None => Ok(true),
        }
    }

    /// Says that no further message of a call will be sent.
    fn end(slf: &Bound<'_, Self>, handle: u64) -> PyResult<()> {
        let header = slf.get().calls.borrow(slf.py()).client.end(handle);
        header.map_or(Ok(()), |header| Self::send_empty(slf, header))
    }

    /// Sends a message about the connection: one with the id 0. Raises EncodeError.
    fn tell(slf: &Bound<'_, Self>, message: &Bound<'_, PyAny>) -> PyResult<()> {
        let encoded = slf.get().codec.get().encode(message)?;
        Self::put(slf, about_connection(), encoded.as_bytes(), message).map(drop)
    }

    /// The future or sink of the call that has this id on the wire now.
    fn _waiter(&self, py: Python<'_>, id: u64) -> Option<Py<PyAny>> {
        let calls = self.calls.borrow(py);
        calls.client.waiter(id).map(|waiter| waiter.clone_ref(py))
    }

    /// Lets the peer send so many bytes more of a streamed answer; the call's id on the wire, or 0 if it has ended.
    fn _grant(&self, py: Python<'_>, handle: u64, credit: i64) -> u64 {
        let id = self.calls.borrow(py).client.grant(handle, credit);
        id.unwrap_or(0)
    }

    /// A call begins to wait for room; whether another does already.
    fn _queue_up(&self, py: Python<'_>) -> bool {
        self.calls.borrow(py).client.queue_up()
    }

    /// A call does not wait for room any more.
    fn _leave_queue(&self, py: Python<'_>) {
        self.calls.borrow(py).client.leave_queue();
    }

    /// The id that a call has on the wire, or 0 if it has ended.
    fn _id(&self, py: Python<'_>, handle: u64) -> u64 {
        self.calls.borrow(py).client.id(handle).unwrap_or(0)
    }

    /// Gives up a call: its answer is dropped and the server told to stop. False if it had ended.
    fn cancel(slf: &Bound<'_, Self>, handle: u64) -> PyResult<bool> {
        Self::give_up(slf, handle)
    }

    /// Calls in flight.
    #[getter]
    fn _in_flight(&self, py: Python<'_>) -> usize {
        self.in_flight(py)
    }

    /// The futures and sinks that wait, in the order of their ids.
    fn _waiters(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        let calls = self.calls.borrow(py);
        let waiters = calls.client.waiters().into_iter();
        waiters.map(|waiter| waiter.clone_ref(py)).collect()
    }

    /// Ends every call here: the futures and sinks that wait, for the caller to fail.
    fn _abandon(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        let (waiting, timer) = self.lose(py);
        if let Some(timer) = timer {
            timer.bind(py).call_method0(intern!(py, "cancel"))?;
        }
        Ok(waiting.into_iter().map(Held::free).collect())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.codec)?;
        let Some(calls) = self.calls.peek() else {
            return Ok(());
        };
        if let Some((_, timer)) = &calls.timer {
            visit.call(timer)?;
        }
        calls.client.iter().try_for_each(|waiter| visit.call(waiter))
    }

    fn __clear__(&self, py: Python<'_>) {
        drop(self.lose(py));
    }

    /// The timer's callback: ends the calls whose time has passed and sets the next timer.
    fn _tick(slf: &Bound<'_, Self>, clock: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::tick(slf, clock)
    }
}
