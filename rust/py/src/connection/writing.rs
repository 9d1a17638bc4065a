//! How a connection writes: what is queued goes out when that is due, or at the end of the event loop's turn.

use pyo3::prelude::*;

use crate::asyncio_glue::busy_poll::BusyPoller;
use crate::connection::state::Connection;
use crate::connection::transport::Bind;
use crate::errors;

impl Connection {
    /// Hands everything queued to the transport, unless it has enough.
    pub fn flush(&self, py: Python<'_>) -> PyResult<()> {
        if self.state(py).outgoing.is_stalled {
            Ok(())
        } else {
            self.write_out(py)
        }
    }

    /// Hands everything queued to the transport.
    pub(super) fn write_out(&self, py: Python<'_>) -> PyResult<()> {
        if self.state(py).outgoing.bytes() == 0 {
            return Ok(());
        }
        let Some(transport) = self.transport(py)? else {
            return Ok(());
        };
        match self.write_to(py, &transport) {
            // It raised what it should not have: the connection ends, and who waits for it hears of that.
            Err(error) if errors::is_ordinary(py, &error) => {
                self.call_owner(py, "_transport_failed", (error.into_value(py),))
            }
            written => written,
        }
    }

    fn write_to(&self, py: Python<'_>, transport: &Bind<'_>) -> PyResult<()> {
        if transport.is_closing()? {
            // It has lost its socket, or was told to close: nothing gets out any more.
            let dropped = self.state(py).take_queued();
            drop(dropped);
            return Ok(());
        }
        let (sent, parts, poller) = {
            let mut state = self.state(py);
            let bytes = state.outgoing.bytes();
            if bytes == 0 || state.closed {
                return Ok(());
            }
            let sent = match state.outgoing.whole() {
                Some(output) => transport.write_now(output),
                None => Ok(0),
            };
            state.counts.writes += 1;
            state.counts.messages_sent += state.outgoing.messages as u64;
            state.counts.bytes_sent += bytes as u64;
            let parts = state.outgoing.take_left(py, *sent.as_ref().unwrap_or(&0));
            let poller = state.attached.as_ref().and_then(|attached| attached.polling(py));
            (sent, parts, poller)
        };
        if let Err(error) = sent {
            drop(parts);
            return transport.failed(&error);
        }
        if !parts.is_empty() {
            let unsent = transport.write(parts)?;
            self.state(py).counts.bytes_sent -= unsent as u64;
        }
        match poller {
            Some((poller, time)) => BusyPoller::wrote(poller.bind(py), time),
            None => Ok(()),
        }
    }

    /// The transport takes more: flushes, and tells senders that wait that there is room.
    pub fn write_again(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().state(slf.py()).outgoing.is_stalled = false;
        Self::flush_and_tell(slf)
    }

    /// Flushes, then tells senders that wait that there is room.
    pub(super) fn flush_and_tell(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().flush(slf.py())?;
        Self::tell_of_room(slf)
    }

    /// Flushes at the end of this loop tick.
    #[inline]
    pub fn flush_soon(&self, py: Python<'_>) -> PyResult<()> {
        let (call_soon, flush) = {
            let mut state = self.state(py);
            let outgoing = &state.outgoing;
            if outgoing.is_flush_scheduled || state.in_batch || outgoing.is_stalled || state.closed {
                return Ok(());
            }
            let Some(attached) = &state.attached else {
                return Ok(());
            };
            let found = (attached.call_soon.clone_ref(py), attached.flush.clone_ref(py));
            state.outgoing.is_flush_scheduled = true;
            found
        };
        let scheduled = call_soon.bind(py).call1((flush,));
        if scheduled.is_err() {
            // As from another thread in asyncio's debug mode. What waits is only what was appended for this, as all
            // else has its flush: who hears the error is not to have it sent as well.
            let dropped = {
                let mut state = self.state(py);
                state.outgoing.is_flush_scheduled = false;
                state.take_queued()
            };
            drop(dropped);
        }
        scheduled.map(drop)
    }

    /// After a message was appended: flush now if it is time, else at the end of the tick.
    #[inline]
    pub fn appended(&self, py: Python<'_>) -> PyResult<()> {
        if self.state(py).wrote() {
            self.flush(py)
        } else {
            self.flush_soon(py)
        }
    }
}
