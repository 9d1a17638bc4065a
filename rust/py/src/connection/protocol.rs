//! The methods of a connection that Python calls: `asyncio.BufferedProtocol`'s, and those of its Python class.

use std::ffi::c_int;
use std::time::Duration;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;
use pyo3::{PyErr, ffi};

use crate::asyncio_glue::busy_poll::BusyPoller;
use crate::asyncio_glue::home::Home;
use crate::connection::attached::Attached;
use crate::connection::counts::Counts;
use crate::connection::state::Connection;
use crate::connection::transport::Transport;

#[pymethods]
impl Connection {
    /// Takes the transport; `loop` is the running event loop. `direct` says that the transport reads
    /// into any buffer object, not only into a memoryview. `polling` is what keeps the loop awake, and for how many
    /// seconds after each read and write.
    fn _attach(
        slf: &Bound<'_, Self>,
        transport: Bound<'_, PyAny>,
        r#loop: Bound<'_, PyAny>,
        direct: bool,
        polling: Option<(Py<BusyPoller>, Option<f64>)>,
    ) -> PyResult<()> {
        let py = slf.py();
        let attached = Attached {
            transport: Transport::new(&transport)?,
            owner: slf.clone().into_any().into(),
            call_soon: r#loop.getattr(intern!(py, "call_soon"))?.into(),
            flush: slf.getattr(intern!(py, "_flush"))?.into(),
            proceed: slf.getattr(intern!(py, "_proceed"))?.into(),
            poller: polling.map(|(poller, seconds)| (poller.into(), seconds.map(Duration::from_secs_f64))),
            home: Home::new(r#loop.unbind()),
        };
        let replaced = {
            let mut state = slf.get().state(py);
            state.incoming.read_by(direct);
            state.attached.replace(attached)
        };
        // Dropped outside the borrow: the last reference may run Python code.
        drop(replaced);
        // What was sent before the transport was there.
        Self::flush_and_tell(slf)
    }

    /// Lets go of the transport; nothing is read or written any more.
    fn _detach(&self, py: Python<'_>) {
        let held = {
            let mut state = self.state(py);
            state.closed = true;
            state.incoming.drop_all();
            (state.take_queued(), state.attached.take())
        };
        // Dropped outside the borrow: the last reference may run Python code.
        drop(held);
    }

    /// Writes everything queued now.
    fn _flush(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().state(slf.py()).outgoing.is_flush_scheduled = false;
        Self::flush_and_tell(slf)
    }

    /// Hands over everything queued even if the transport has enough: nothing will follow.
    fn _finish(&self, py: Python<'_>) -> PyResult<()> {
        self.write_out(py)
    }

    /// Stops reading from the peer.
    fn _pause(&self, py: Python<'_>) -> PyResult<()> {
        self.pause(py)
    }

    /// Reads from the peer again, beginning with what waits in the receive buffer.
    fn _unpause(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_paused(py) {
            self.proceed_soon(py)
        } else {
            Ok(())
        }
    }

    /// The transport is about to be used by somebody else.
    fn _follow(&self, py: Python<'_>) -> PyResult<()> {
        self.transport(py).map(drop)
    }

    /// Raises EventLoopError if the connection's event loop does not run here, unless it runs nowhere.
    fn _require_home(&self, py: Python<'_>) -> PyResult<()> {
        self.require_home(py)
    }

    /// Whether the transport was told to stop reading.
    #[getter]
    fn _is_halted(&self, py: Python<'_>) -> bool {
        self.state(py).flow.is_halted
    }

    /// Bytes received that are no whole message yet.
    #[getter]
    fn _unread(&self, py: Python<'_>) -> usize {
        self.state(py).incoming.arrived()
    }

    /// Derived classes override this: handles messages that wait.
    fn _proceed(&self) {}

    /// Where the transport reads to: this object itself, or a view of it for transports that slice it.
    fn get_buffer<'py>(slf: &Bound<'py, Self>, _sizehint: isize) -> PyResult<Bound<'py, PyAny>> {
        if slf.get().state(slf.py()).incoming.is_direct() {
            return Ok(slf.clone().into_any());
        }
        PyMemoryView::from(slf.as_any()).map(Bound::into_any)
    }

    fn pause_writing(&self, py: Python<'_>) {
        let mut state = self.state(py);
        state.outgoing.is_stalled = true;
        state.counts.write_stalls += 1;
    }

    fn resume_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let call_soon = match &slf.get().state(py).attached {
            None => return Ok(()),
            Some(attached) if attached.transport.is_socket() => None,
            Some(attached) => Some(attached.call_soon.clone_ref(py)),
        };
        match call_soon {
            None => slf.call_method0(intern!(py, "_writes_again")).map(drop),
            // asyncio's transports (selector_events.py, `_write_sendmsg`) end twice if a write fails within this call.
            Some(call_soon) => {
                let writes_again = slf.getattr(intern!(py, "_writes_again"))?;
                call_soon.bind(py).call1((writes_again,)).map(drop)
            }
        }
    }

    /// The transport takes more; derived classes go on with what waited for that.
    fn _writes_again(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::write_again(slf)
    }

    /// Whether the send queue has room. If not, `_room()` is called when it has.
    fn _has_room(&self, py: Python<'_>) -> bool {
        let mut state = self.state(py);
        let room = state.has_room() || state.closed;
        state.outgoing.wants_room |= !room;
        room
    }

    /// Messages and bytes queued for writing.
    #[getter]
    fn _queue(&self, py: Python<'_>) -> (usize, usize) {
        let state = self.state(py);
        (state.outgoing.messages, state.outgoing.bytes())
    }

    /// Bytes of memory held by the two buffers.
    #[getter]
    fn _memory(&self, py: Python<'_>) -> usize {
        let state = self.state(py);
        state.incoming.capacity() + state.outgoing.capacity()
    }

    /// Counts since the connection was made, by the names of `ConnectionStatistics`.
    fn _counts(&self, py: Python<'_>) -> Counts {
        self.state(py).counts
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.state.peek().as_deref() {
            Some(state) => state.attached.as_ref().map_or(Ok(()), |it| it.traverse(&visit)),
            None => Ok(()),
        }
    }

    fn __clear__(slf: &Bound<'_, Self>) {
        slf.get()._detach(slf.py());
    }

    /// The free part of the receive buffer, for the transport to read into.
    ///
    /// # Safety
    /// The memory stays where it is while it is exported: only this function moves it, and only
    /// while no export is alive. The shared buffer stays until the read into it was reported.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let py = slf.py();
        let mut state = slf.get().state(py);
        let (memory, length) = state
            .incoming
            .with_room(py, |room| (room.as_mut_ptr(), room.len()))?;
        // SAFETY: `view` is the caller's to fill; memory and length describe live, initialised memory.
        let filled = unsafe {
            let length = length as ffi::Py_ssize_t;
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), memory.cast(), length, 0, flags)
        };
        if filled != 0 {
            drop(state);
            return Err(PyErr::fetch(py));
        }
        state.incoming.exported();
        Ok(())
    }

    /// # Safety
    /// Called by Python once for each export.
    unsafe fn __releasebuffer__(&self, py: Python<'_>, _view: *mut ffi::Py_buffer) {
        self.state(py).incoming.released();
    }
}
