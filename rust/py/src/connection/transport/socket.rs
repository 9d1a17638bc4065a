//! The transport of a plain TCP or Unix socket, which it alone reads, writes and closes.
//!
//! It does what the documentation of `asyncio.Transport` and `asyncio.BufferedProtocol` says, on every event loop that
//! has `add_reader` and `add_writer`. A protocol in native code reads and writes without the event loop as well, by
//! [`SocketTransport::read`] and [`SocketTransport::write_now`].

use std::io;
use std::os::fd::RawFd;

use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::system::{self, is_in_vain, os_error};
use super::unsent::Unsent;
use crate::errors;
use crate::guarded::{Guarded, Held};

/// Unsent bytes above which the protocol is paused, unless told otherwise: asyncio's number.
pub(super) const HIGH_WATER: usize = 64 * 1024;

/// A transport of a connected socket.
#[pyclass(frozen, weakref, module = "protosocket._core")]
pub struct SocketTransport {
    pub(super) event_loop: Py<PyAny>,
    /// Python's object, which closes the descriptor.
    pub(super) socket: Py<PyAny>,
    pub(super) descriptor: RawFd,
    pub(super) extra: Py<PyDict>,
    pub(super) state: Guarded<State>,
}

pub(super) struct State {
    pub(super) protocol: Option<Held<PyAny>>,
    pub(super) phase: Phase,
    /// The protocol wants nothing for now.
    pub(super) is_paused: bool,
    /// The peer has sent everything, and the protocol keeps the connection open.
    pub(super) has_ended: bool,
    /// Nothing is written after what is unsent.
    pub(super) writes_end: bool,
    /// The event loop calls `_readable`, and `_writable`.
    pub(super) watches_reading: bool,
    pub(super) watches_writing: bool,
    pub(super) unsent: Unsent,
    /// The protocol was told to write no more.
    pub(super) is_full: bool,
    pub(super) low: usize,
    pub(super) high: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// Nothing is read, and what is unsent is written.
    Closing,
    /// The protocol is told, or was, and the socket closed after that.
    Lost,
}

impl SocketTransport {
    #[inline]
    pub fn is_closing(&self, py: Python<'_>) -> bool {
        self.state.borrow(py).phase != Phase::Open
    }

    /// Reads for a protocol that was just given something; 0 if there is no more, or if the event loop will find out.
    /// No Python code runs.
    pub fn read(&self, py: Python<'_>, memory: &mut [u8]) -> io::Result<usize> {
        let state = self.state.borrow(py);
        if state.phase != Phase::Open || state.is_paused || state.has_ended {
            return Ok(0);
        }
        system::receive(self.descriptor, memory)
    }

    /// Writes what the socket takes now, unless something waits before it; the bytes written. No Python code runs.
    #[inline]
    pub fn write_now(&self, py: Python<'_>, bytes: &[u8]) -> io::Result<usize> {
        let state = self.state.borrow(py);
        if state.phase != Phase::Open || state.writes_end || state.unsent.bytes() > 0 {
            return Ok(0);
        }
        match system::send(self.descriptor, &[io::IoSlice::new(bytes)]) {
            Err(error) if is_in_vain(&error) => Ok(0),
            written => written,
        }
    }

    /// Writes these when all before them is written; the bytes of them that will never be.
    pub fn write_parts(slf: &Bound<'_, Self>, parts: Vec<Held<PyBytes>>) -> PyResult<usize> {
        let (py, this) = (slf.py(), slf.get());
        let waits = {
            let mut state = this.state.borrow(py);
            let waits = state.unsent.bytes() > 0;
            if state.phase == Phase::Open {
                for part in parts {
                    state.unsent.push(py, part);
                }
            } else {
                drop(state);
                return Ok(parts.iter().map(|part| part.as_bytes(py).len()).sum());
            }
            waits
        };
        if !waits {
            if let Err(error) = this.write_unsent(py) {
                let left = this.state.borrow(py).unsent.bytes();
                Self::failed(slf, &error)?;
                return Ok(left);
            }
        }
        Self::wait_to_write(slf)?;
        Ok(0)
    }

    /// A read or a write has failed.
    #[cold]
    pub fn failed(slf: &Bound<'_, Self>, error: &io::Error) -> PyResult<()> {
        Self::lose(slf, Some(os_error(slf.py(), error)))
    }

    /// Writes as much of what is unsent as the socket takes.
    pub(super) fn write_unsent(&self, py: Python<'_>) -> io::Result<()> {
        let done = {
            let mut state = self.state.borrow(py);
            if state.unsent.bytes() == 0 {
                return Ok(());
            }
            match system::send(self.descriptor, &state.unsent.slices(py)) {
                Ok(count) => state.unsent.wrote(py, count),
                Err(error) if is_in_vain(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        };
        drop(done);
        Ok(())
    }

    /// Has the event loop tell when the socket takes more, if anything is unsent, and the protocol stop if that is much.
    pub(super) fn wait_to_write(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let (watch, pause) = {
            let mut state = this.state.borrow(py);
            let unsent = state.unsent.bytes();
            if unsent == 0 || state.phase == Phase::Lost {
                return Ok(());
            }
            let watch = !std::mem::replace(&mut state.watches_writing, true);
            let pause = unsent > state.high && !std::mem::replace(&mut state.is_full, true);
            (watch, pause)
        };
        if watch {
            let writable = slf.getattr(intern!(py, "_writable"))?;
            this.call_loop(py, "add_writer", (this.descriptor, writable))?;
        }
        if pause {
            Self::tell(slf, "pause_writing")?;
        }
        Ok(())
    }

    /// Calls a method of the protocol that cannot stop the transport.
    pub(super) fn tell(slf: &Bound<'_, Self>, method: &str) -> PyResult<()> {
        let py = slf.py();
        let Some(protocol) = slf.get().protocol(py) else {
            return Ok(());
        };
        match protocol.call_method0(method) {
            Err(error) if errors::is_ordinary(py, &error) => {
                Self::report(slf, &error, &format!("protocol.{method}() failed"))
            }
            told => told.map(drop),
        }
    }

    pub(super) fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let state = self.state.borrow(py);
        state.protocol.as_ref().map(|protocol| protocol.bind(py).clone())
    }

    fn call_loop<'py>(
        &self,
        py: Python<'py>,
        method: &str,
        arguments: impl pyo3::call::PyCallArgs<'py>,
    ) -> PyResult<()> {
        self.event_loop.bind(py).call_method1(method, arguments).map(drop)
    }

    /// Has the event loop tell when there is something to read.
    pub(super) fn watch(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        {
            let mut state = this.state.borrow(py);
            if state.phase != Phase::Open || state.is_paused || state.has_ended || state.watches_reading {
                return Ok(());
            }
            state.watches_reading = true;
        }
        let readable = slf.getattr(intern!(py, "_readable"))?;
        this.call_loop(py, "add_reader", (this.descriptor, readable))
    }

    pub(super) fn unwatch_reading(&self, py: Python<'_>) -> PyResult<()> {
        if std::mem::take(&mut self.state.borrow(py).watches_reading) {
            self.call_loop(py, "remove_reader", (self.descriptor,))?;
        }
        Ok(())
    }

    pub(super) fn unwatch_writing(&self, py: Python<'_>) -> PyResult<()> {
        if std::mem::take(&mut self.state.borrow(py).watches_writing) {
            self.call_loop(py, "remove_writer", (self.descriptor,))?;
        }
        Ok(())
    }

    /// The peer sends no more.
    #[cold]
    pub(super) fn ended(slf: &Bound<'_, Self>, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let keeps_open = protocol
            .call_method0(intern!(py, "eof_received"))
            .and_then(|keeps| keeps.is_truthy());
        match keeps_open {
            Ok(true) => {
                this.state.borrow(py).has_ended = true;
                this.unwatch_reading(py)
            }
            Ok(false) => Self::finish(slf),
            Err(error) => Self::fail(slf, error, "protocol.eof_received() failed"),
        }
    }

    /// Reads no more, writes what is unsent, and ends.
    pub(super) fn finish(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let is_unsent = {
            let mut state = this.state.borrow(py);
            if state.phase != Phase::Open {
                return Ok(());
            }
            let is_unsent = state.unsent.bytes() > 0;
            if is_unsent {
                state.phase = Phase::Closing;
            }
            is_unsent
        };
        if is_unsent {
            this.unwatch_reading(py)
        } else {
            Self::lose(slf, None)
        }
    }

    /// Gives the protocol nothing until [`SocketTransport::resume`].
    pub fn pause(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        {
            let mut state = this.state.borrow(py);
            if state.phase != Phase::Open || state.is_paused {
                return Ok(());
            }
            state.is_paused = true;
        }
        this.unwatch_reading(py)
    }

    pub fn resume(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().state.borrow(slf.py()).is_paused = false;
        Self::watch(slf)
    }

    /// The protocol raised: the connection ends, unless it is what stops the program.
    #[cold]
    pub(super) fn fail(slf: &Bound<'_, Self>, error: PyErr, what: &str) -> PyResult<()> {
        let py = slf.py();
        if !errors::is_ordinary(py, &error) {
            return Err(error);
        }
        if !error.is_instance_of::<PyOSError>(py) {
            Self::report(slf, &error, what)?;
        }
        Self::lose(slf, Some(error))
    }

    /// Tells the event loop's exception handler.
    #[cold]
    fn report(slf: &Bound<'_, Self>, error: &PyErr, what: &str) -> PyResult<()> {
        let py = slf.py();
        let context = PyDict::new(py);
        context.set_item("message", what)?;
        context.set_item("exception", errors::value(py, error))?;
        context.set_item("transport", slf)?;
        context.set_item("protocol", slf.get().protocol(py))?;
        slf.get().call_loop(py, "call_exception_handler", (context,))
    }

    /// Ends at once: the protocol is told in a later turn, and the socket closed after that.
    #[cold]
    pub(super) fn lose(slf: &Bound<'_, Self>, error: Option<PyErr>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        if this.state.borrow(py).phase == Phase::Lost {
            return Ok(());
        }
        // First what raises in another thread, in asyncio's debug mode: then nothing has changed.
        let error = error.map(|error| error.into_value(py));
        let lost = slf.getattr(intern!(py, "_lost"))?;
        this.call_loop(py, "call_soon", (lost, error))?;
        let dropped = {
            let mut state = this.state.borrow(py);
            state.phase = Phase::Lost;
            std::mem::take(&mut state.unsent)
        };
        drop(dropped);
        this.unwatch_reading(py)?;
        this.unwatch_writing(py)
    }

    pub(super) fn end_writing(&self, py: Python<'_>) -> PyResult<()> {
        let shut = self
            .socket
            .call_method1(py, intern!(py, "shutdown"), (libc::SHUT_WR,));
        match shut {
            // The peer has reset the connection, which reading tells.
            Err(error) if error.is_instance_of::<PyOSError>(py) => Ok(()),
            shut => shut.map(drop),
        }
    }
}
