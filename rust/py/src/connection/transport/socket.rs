//! The transport of a plain TCP or Unix socket, which it alone reads, writes and closes.
//!
//! It does what the documentation of `asyncio.Transport` and `asyncio.BufferedProtocol` says, on every event loop that
//! has `add_reader` and `add_writer`. A protocol in native code reads and writes without the event loop as well, by
//! [`SocketTransport::read`] and [`SocketTransport::write_now`].

use std::io;
use std::os::fd::RawFd;

use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::memory::with_memory;
use super::system::{self, is_in_vain, os_error};
use super::unsent::Unsent;
use crate::errors;
use crate::guarded::{Guarded, Held};

/// Unsent bytes above which the protocol is paused, unless told otherwise: asyncio's number.
const HIGH_WATER: usize = 64 * 1024;

/// A transport of a connected socket.
#[pyclass(frozen, weakref, module = "protosocket._core")]
pub struct SocketTransport {
    event_loop: Py<PyAny>,
    /// Python's object, which closes the descriptor.
    socket: Py<PyAny>,
    descriptor: RawFd,
    extra: Py<PyDict>,
    state: Guarded<State>,
}

struct State {
    protocol: Option<Held<PyAny>>,
    phase: Phase,
    /// The protocol wants nothing for now.
    is_paused: bool,
    /// The peer has sent everything, and the protocol keeps the connection open.
    has_ended: bool,
    /// Nothing is written after what is unsent.
    writes_end: bool,
    /// The event loop calls `_readable`, and `_writable`.
    watches_reading: bool,
    watches_writing: bool,
    unsent: Unsent,
    /// The protocol was told to write no more.
    is_full: bool,
    low: usize,
    high: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
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
    fn write_unsent(&self, py: Python<'_>) -> io::Result<()> {
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
    fn wait_to_write(slf: &Bound<'_, Self>) -> PyResult<()> {
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
    fn tell(slf: &Bound<'_, Self>, method: &str) -> PyResult<()> {
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

    fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
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
    fn watch(slf: &Bound<'_, Self>) -> PyResult<()> {
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

    fn unwatch_reading(&self, py: Python<'_>) -> PyResult<()> {
        if std::mem::take(&mut self.state.borrow(py).watches_reading) {
            self.call_loop(py, "remove_reader", (self.descriptor,))?;
        }
        Ok(())
    }

    fn unwatch_writing(&self, py: Python<'_>) -> PyResult<()> {
        if std::mem::take(&mut self.state.borrow(py).watches_writing) {
            self.call_loop(py, "remove_writer", (self.descriptor,))?;
        }
        Ok(())
    }

    /// The peer sends no more.
    #[cold]
    fn ended(slf: &Bound<'_, Self>, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let keeps_open = protocol
            .call_method0(intern!(py, "eof_received"))
            .and_then(|keeps| keeps.is_truthy());
        match keeps_open {
            Ok(true) => {
                this.state.borrow(py).has_ended = true;
                this.unwatch_reading(py)
            }
            Ok(false) => Self::close(slf),
            Err(error) => Self::fail(slf, error, "protocol.eof_received() failed"),
        }
    }

    /// The protocol raised: the connection ends, unless it is what stops the program.
    #[cold]
    fn fail(slf: &Bound<'_, Self>, error: PyErr, what: &str) -> PyResult<()> {
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
    fn lose(slf: &Bound<'_, Self>, error: Option<PyErr>) -> PyResult<()> {
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
}

#[pymethods]
impl SocketTransport {
    /// Takes `socket`, which is connected, and which nobody else closes. `extra` is what `get_extra_info` gives.
    #[new]
    fn new(
        py: Python<'_>,
        event_loop: Py<PyAny>,
        socket: Py<PyAny>,
        protocol: Py<PyAny>,
        extra: Py<PyDict>,
    ) -> PyResult<Self> {
        let descriptor = socket.call_method0(py, intern!(py, "fileno"))?.extract(py)?;
        Ok(SocketTransport {
            event_loop,
            socket,
            descriptor,
            extra,
            state: Guarded::new(State {
                protocol: Some(protocol.into()),
                phase: Phase::Open,
                is_paused: false,
                has_ended: false,
                writes_end: false,
                watches_reading: false,
                watches_writing: false,
                unsent: Unsent::default(),
                is_full: false,
                low: HIGH_WATER / 4,
                high: HIGH_WATER,
            }),
        })
    }

    /// Calls the protocol's `connection_made`, and then reads. What that raises is reported, and ends the connection.
    fn _start(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if let Some(protocol) = slf.get().protocol(py) {
            if let Err(error) = protocol.call_method1(intern!(py, "connection_made"), (slf,)) {
                return Self::fail(slf, error, "protocol.connection_made() failed");
            }
        }
        Self::watch(slf)
    }

    /// For the event loop: there is something to read.
    fn _readable(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let protocol = {
            let state = this.state.borrow(py);
            if state.phase != Phase::Open || state.is_paused || state.has_ended {
                return Ok(());
            }
            match &state.protocol {
                Some(protocol) => protocol.bind(py).clone(),
                None => return Ok(()),
            }
        };
        let read = protocol
            .call_method1(intern!(py, "get_buffer"), (-1,))
            .and_then(|buffer| {
                with_memory(&buffer, |memory| {
                    (!memory.is_empty()).then(|| system::receive(this.descriptor, memory))
                })
            });
        match read {
            Ok(Some(Ok(0))) => Self::ended(slf, &protocol),
            Ok(Some(Ok(count))) => match protocol.call_method1(intern!(py, "buffer_updated"), (count,)) {
                Ok(_) => Ok(()),
                Err(error) => Self::fail(slf, error, "protocol.buffer_updated() failed"),
            },
            Ok(Some(Err(error))) if is_in_vain(&error) => Ok(()),
            Ok(Some(Err(error))) => Self::failed(slf, &error),
            Ok(None) => {
                let error = PyRuntimeError::new_err("get_buffer() returned an empty buffer");
                Self::fail(slf, error, "protocol.get_buffer() failed")
            }
            Err(error) => Self::fail(slf, error, "protocol.get_buffer() failed"),
        }
    }

    /// For the event loop: the socket takes more.
    fn _writable(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        if this.state.borrow(py).phase == Phase::Lost {
            return Ok(());
        }
        if let Err(error) = this.write_unsent(py) {
            return Self::failed(slf, &error);
        }
        let resume = {
            let mut state = this.state.borrow(py);
            let resume = state.is_full && state.unsent.bytes() <= state.low;
            state.is_full &= !resume;
            resume
        };
        if resume {
            Self::tell(slf, "resume_writing")?;
        }
        let (phase, writes_end) = {
            let state = this.state.borrow(py);
            if state.unsent.bytes() > 0 {
                return Ok(());
            }
            (state.phase, state.writes_end)
        };
        this.unwatch_writing(py)?;
        match phase {
            Phase::Closing => Self::lose(slf, None),
            Phase::Open if writes_end => this.end_writing(py),
            Phase::Open | Phase::Lost => Ok(()),
        }
    }

    /// For the event loop: tells the protocol that it is over, and closes the socket.
    fn _lost(&self, py: Python<'_>, error: Py<PyAny>) -> PyResult<()> {
        let protocol = self.state.borrow(py).protocol.take();
        let told = match protocol {
            Some(protocol) => {
                let protocol = protocol.free().into_bound(py);
                protocol.call_method1(intern!(py, "connection_lost"), (error,)).map(drop)
            }
            None => Ok(()),
        };
        self.socket.call_method0(py, intern!(py, "close"))?;
        told
    }

    #[pyo3(name = "is_closing")]
    fn py_is_closing(&self, py: Python<'_>) -> bool {
        self.is_closing(py)
    }

    /// Reads no more, writes what is unsent, and ends.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        {
            let mut state = this.state.borrow(py);
            if state.phase != Phase::Open {
                return Ok(());
            }
            if state.unsent.bytes() > 0 {
                state.phase = Phase::Closing;
            }
        }
        if this.is_closing(py) {
            this.unwatch_reading(py)
        } else {
            Self::lose(slf, None)
        }
    }

    /// Ends at once.
    fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::lose(slf, None)
    }

    fn is_reading(&self, py: Python<'_>) -> bool {
        let state = self.state.borrow(py);
        state.phase == Phase::Open && !state.is_paused
    }

    /// Gives the protocol nothing until `resume_reading`.
    pub fn pause_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
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

    pub fn resume_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().state.borrow(slf.py()).is_paused = false;
        Self::watch(slf)
    }

    /// Writes now what the socket takes, and the rest when it can.
    fn write(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        if this.state.borrow(py).writes_end {
            return Err(PyRuntimeError::new_err("cannot write after write_eof()"));
        }
        let bytes = match data.cast::<PyBytes>() {
            Ok(bytes) => bytes.clone(),
            Err(_) => PyBytes::new(py, &pyo3::buffer::PyBuffer::<u8>::get(data)?.to_vec(py)?),
        };
        if bytes.as_bytes().is_empty() {
            return Ok(());
        }
        Self::write_parts(slf, vec![bytes.into()]).map(drop)
    }

    fn writelines(slf: &Bound<'_, Self>, lines: &Bound<'_, PyAny>) -> PyResult<()> {
        let empty = PyBytes::new(slf.py(), b"");
        Self::write(slf, &empty.call_method1(intern!(slf.py(), "join"), (lines,))?)
    }

    /// Nothing will be written but what is unsent; then the peer sees the end.
    fn write_eof(&self, py: Python<'_>) -> PyResult<()> {
        {
            let mut state = self.state.borrow(py);
            if state.phase != Phase::Open || std::mem::replace(&mut state.writes_end, true) {
                return Ok(());
            }
            if state.unsent.bytes() > 0 {
                return Ok(());
            }
        }
        self.end_writing(py)
    }

    fn can_write_eof(&self) -> bool {
        true
    }

    fn get_write_buffer_size(&self, py: Python<'_>) -> usize {
        self.state.borrow(py).unsent.bytes()
    }

    fn get_write_buffer_limits(&self, py: Python<'_>) -> (usize, usize) {
        let state = self.state.borrow(py);
        (state.low, state.high)
    }

    #[pyo3(signature = (high=None, low=None))]
    fn set_write_buffer_limits(
        slf: &Bound<'_, Self>,
        high: Option<usize>,
        low: Option<usize>,
    ) -> PyResult<()> {
        let high = high.unwrap_or_else(|| low.map_or(HIGH_WATER, |low| 4 * low));
        let low = low.unwrap_or(high / 4);
        if high < low {
            let text = format!("high ({high}) must be >= low ({low}) must be >= 0");
            return Err(PyValueError::new_err(text));
        }
        {
            let mut state = slf.get().state.borrow(slf.py());
            (state.low, state.high) = (low, high);
        }
        Self::wait_to_write(slf)
    }

    #[pyo3(signature = (name, default=None))]
    fn get_extra_info<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.extra.bind(py).get_item(name)?.or(default))
    }

    fn set_protocol(&self, py: Python<'_>, protocol: Py<PyAny>) {
        let before = self.state.borrow(py).protocol.replace(protocol.into());
        drop(before);
    }

    fn get_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.protocol(py)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let state = self.state.borrow(py);
        let phase = match state.phase {
            Phase::Open => "open",
            Phase::Closing => "closing",
            Phase::Lost => "lost",
        };
        let (descriptor, unsent) = (self.descriptor, state.unsent.bytes());
        format!("<SocketTransport fd={descriptor} {phase}, {unsent} bytes unsent>")
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        visit.call(&self.socket)?;
        visit.call(&self.extra)?;
        match self.state.peek() {
            Some(state) => visit.call(state.protocol.as_deref()),
            None => Ok(()),
        }
    }

    fn __clear__(&self, py: Python<'_>) {
        let protocol = self.state.borrow(py).protocol.take();
        drop(protocol);
    }
}

impl SocketTransport {
    fn end_writing(&self, py: Python<'_>) -> PyResult<()> {
        let shut = self.socket.call_method1(py, intern!(py, "shutdown"), (libc::SHUT_WR,));
        match shut {
            // The peer has reset the connection, which reading tells.
            Err(error) if error.is_instance_of::<PyOSError>(py) => Ok(()),
            shut => shut.map(drop),
        }
    }
}
