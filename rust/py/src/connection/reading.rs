//! How a connection reads: what the transport has read is handled, and more read while that brings something.

use pyo3::intern;
use pyo3::prelude::*;

use crate::asyncio_glue::busy_poll::BusyPoller;
use crate::connection::state::{Connection, ConnectionState};
use crate::connection::transport::{Bind, is_in_vain};

impl Connection {
    /// The transport has read `count` bytes: has `handle` handle them.
    pub fn read(&self, py: Python<'_>, count: usize, handle: impl FnOnce() -> PyResult<()>) -> PyResult<()> {
        if self.received(py, count)? {
            handle()
        } else {
            Ok(())
        }
    }

    /// The transport has read `count` bytes: has `handle` handle them, and what comes meanwhile, if that is likely and
    /// for as long as others can wait.
    pub fn read_on(&self, py: Python<'_>, count: usize, handle: impl Fn() -> PyResult<()>) -> PyResult<()> {
        let before = {
            let mut state = self.state(py);
            state.flow.reading_on.begin(count);
            state.counts.messages_received
        };
        let result = self.rounds(py, count, before, handle);
        self.state(py).flow.spent = 0;
        result
    }

    fn rounds(
        &self,
        py: Python<'_>,
        mut count: usize,
        before: u64,
        handle: impl Fn() -> PyResult<()>,
    ) -> PyResult<()> {
        while self.received(py, count)? {
            handle()?;
            count = self.read_more(py, before)?;
            if count == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Reads without the event loop; the bytes read, 0 if that is for the event loop to do. `before`: the messages
    /// that had been handled when the event loop read.
    fn read_more(&self, py: Python<'_>, before: u64) -> PyResult<usize> {
        let mut state = self.state(py);
        state.flow.spent = (state.counts.messages_received - before) as usize;
        let transport = match &state.attached {
            Some(attached) if Self::may_read_on(&state) => attached.transport.bind(py),
            _ => return Ok(0),
        };
        if matches!(transport, Bind::Other(..)) || !state.flow.reading_on.tries() {
            return Ok(0);
        }
        let read = state.incoming.with_room(py, |memory| transport.read(memory));
        match read {
            // The event loop finds the end; a buffer that is full is for it, too.
            Ok(Ok(0)) | Err(_) => Ok(0),
            Ok(Ok(count)) => {
                state.flow.reading_on.brought(count);
                Ok(count)
            }
            Ok(Err(error)) if is_in_vain(&error) => {
                state.flow.reading_on.in_vain();
                Ok(0)
            }
            Ok(Err(error)) => {
                drop(state);
                transport.failed(&error).map(|()| 0)
            }
        }
    }

    /// Whether more is read at once: not while a long message is on its way, nor when much was handled already.
    fn may_read_on(state: &ConnectionState) -> bool {
        !state.closed
            && state.flow.handles()
            && !state.incoming.is_in_long()
            && state.flow.spent * 2 < state.limits.read_messages
    }

    /// Takes note of bytes read; false if there is nothing to do with them.
    fn received(&self, py: Python<'_>, count: usize) -> PyResult<bool> {
        let mut state = self.state(py);
        if state.closed {
            // A transport may read on until the end of the tick in which it was aborted.
            return Ok(false);
        }
        state.counts.reads += 1;
        state.counts.bytes_received += count as u64;
        let mut handles = state.incoming.filled(count);
        if handles && !state.flow.handles() {
            state.incoming.settle();
            handles = false;
        }
        let poller = state.attached.as_ref().and_then(|attached| attached.polling(py));
        drop(state);
        if let Some((poller, time)) = poller {
            BusyPoller::read(poller.bind(py), time)?;
        }
        Ok(handles)
    }

    /// Stops reading from the peer until [`Connection::proceed_soon`].
    pub fn pause(&self, py: Python<'_>) -> PyResult<()> {
        {
            let mut state = self.state(py);
            if state.flow.is_paused || state.closed {
                return Ok(());
            }
            state.flow.is_paused = true;
            state.incoming.settle();
            if state.flow.is_halted {
                return Ok(());
            }
            state.flow.is_halted = true;
            state.counts.read_pauses += 1;
        }
        let Some(transport) = self.transport(py)? else {
            return Ok(());
        };
        transport.pause().inspect_err(|_| {
            let mut state = self.state(py);
            state.flow.is_paused = false;
            state.flow.is_halted = false;
            state.counts.read_pauses -= 1;
        })
    }

    pub fn is_paused(&self, py: Python<'_>) -> bool {
        self.state(py).flow.is_paused
    }

    /// Handles the messages that wait in the receive buffer in a later turn of the loop.
    pub fn proceed_soon(&self, py: Python<'_>) -> PyResult<()> {
        let (call_soon, proceed) = {
            let mut state = self.state(py);
            if state.flow.is_scheduled || state.closed {
                return Ok(());
            }
            let Some(attached) = &state.attached else {
                return Ok(());
            };
            let found = (attached.call_soon.clone_ref(py), attached.proceed.clone_ref(py));
            state.flow.is_scheduled = true;
            found
        };
        let scheduled = call_soon.bind(py).call1((proceed,));
        if scheduled.is_err() {
            self.state(py).flow.is_scheduled = false;
        }
        scheduled.map(drop)
    }

    /// The turn that [`Connection::proceed_soon`] asked for: has `handle` handle what waits, and reads from the peer
    /// again.
    pub fn proceed(&self, py: Python<'_>, handle: impl FnOnce() -> PyResult<()>) -> PyResult<()> {
        {
            let mut state = self.state(py);
            state.flow.is_scheduled = false;
            state.flow.is_paused = false;
            if state.closed {
                return Ok(());
            }
        }
        handle()?;
        self.resume_reading(py)
    }

    /// Reads from the peer again, unless handling the waiting messages stopped it once more.
    fn resume_reading(&self, py: Python<'_>) -> PyResult<()> {
        {
            let mut state = self.state(py);
            if !state.flow.handles() || state.closed || !state.flow.is_halted {
                return Ok(());
            }
            state.flow.is_halted = false;
        }
        let Some(transport) = self.transport(py)? else {
            return Ok(());
        };
        transport.resume().inspect_err(|_| {
            self.state(py).flow.is_halted = true;
        })
    }

    /// The transport, which is about to be used. One of TLS is told if that is in another thread than before.
    pub(super) fn transport<'py>(&self, py: Python<'py>) -> PyResult<Option<Bind<'py>>> {
        let (transport, is_here) = match &self.state(py).attached {
            Some(attached) => (attached.transport.bind(py), attached.home.is_same_thread()),
            None => return Ok(None),
        };
        if !is_here && matches!(transport, Bind::Other(..)) {
            self.come_here(py)?;
        }
        Ok(Some(transport))
    }

    /// Tells senders that wait, if there is room for them.
    pub(super) fn tell_of_room(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let wanted = {
            let mut state = slf.get().state(py);
            let wanted = state.outgoing.wants_room && !state.outgoing.is_stalled && state.has_room();
            state.outgoing.wants_room &= !wanted;
            wanted
        };
        if wanted {
            slf.call_method0(intern!(py, "_room"))?;
        }
        Ok(())
    }
}
