//! The methods of a socket's transport that Python calls: `asyncio.Transport`'s, and the event loop's callbacks.

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::memory::with_memory;
use super::socket::{HIGH_WATER, Phase, SocketTransport, State};
use super::system::{self, is_in_vain};
use super::unsent::Unsent;
use crate::guarded::Guarded;

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
                protocol
                    .call_method1(intern!(py, "connection_lost"), (error,))
                    .map(drop)
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
        Self::finish(slf)
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
    fn pause_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::pause(slf)
    }

    fn resume_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::resume(slf)
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
