//! A router's connection to a storage: commands out under ids of its own, answers to who waits for them.

use protosocket_core::rpc::relay::{Answer, Back, Caller};
use protosocket_core::wire::header::Header;
use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::types::{FRAMING, RelayBack, RelayFront, RelayRoutes, Waiting, limits};
use crate::connection::{BadInput, Connection, ConnectionState, Next, end_for_bad_input};
use crate::guarded::Guarded;

#[pymethods]
impl RelayBack {
    #[new]
    fn new(
        routes: Py<RelayRoutes>,
        storage: usize,
        receive_limit: usize,
        send_bytes: usize,
        max_calls: usize,
    ) -> PyResult<PyClassInitializer<Self>> {
        if storage >= routes.get().unavailable.len() {
            return Err(PyValueError::new_err("there is no such storage"));
        }
        let connection = Connection::create(FRAMING, true, limits(receive_limit, send_bytes, usize::MAX));
        let largest = routes.get().requests.largest_id;
        Ok(PyClassInitializer::from(connection).add_subclass(RelayBack {
            routes,
            storage,
            calls: Guarded::new(Back::new(largest, max_calls)),
            waiting: Guarded::new(Waiting::default()),
        }))
    }

    fn buffer_updated(slf: &Bound<'_, Self>, nbytes: usize) -> PyResult<()> {
        let connection = slf.as_super().get();
        connection.read(slf.py(), nbytes, || Self::handle(slf))
    }

    fn _proceed(slf: &Bound<'_, Self>) -> PyResult<()> {
        let connection = slf.as_super().get();
        connection.proceed(slf.py(), || Self::handle(slf))
    }

    fn _writes_again(slf: &Bound<'_, Self>) -> PyResult<()> {
        Connection::write_again(slf.as_super())?;
        Self::resume(slf)
    }

    /// Sends an encoded request for Python code: `future` gets the encoded answer, with the id
    /// `message_id` in it. Gives the call's id, for `give_up`; 0 if nothing was sent because there is no
    /// room, which `_room()` tells.
    fn forward(slf: &Bound<'_, Self>, request: &[u8], message_id: u64, future: Py<PyAny>) -> PyResult<u64> {
        let py = slf.py();
        let this = slf.get();
        let connection = slf.as_super().get();
        let id = {
            let mut state = connection.state(py);
            let mut calls = this.calls.borrow(py);
            let Some(request_header) = request_header(&state, &calls) else {
                this.waiting.borrow(py).calls = true;
                return Ok(0);
            };
            let Header { id, control } = request_header;
            let layout = &this.routes.get().requests.layout;
            layout
                .frame(FRAMING, request, id, control, state.output())
                .map_err(|malformed| PyValueError::new_err(malformed.0))?;
            calls.started(request_header, Caller::Here(future.into(), message_id));
            state.wrote();
            id
        };
        connection.flush_soon(py)?;
        Ok(id)
    }

    /// Nobody waits for the answer to this call of Python code any more: the storage is told.
    fn give_up(slf: &Bound<'_, Self>, id: u64) -> PyResult<()> {
        let given_up = slf.get().calls.borrow(slf.py()).cancel(id);
        match given_up {
            Some((header, _)) => Self::tell(slf, header),
            None => Ok(()),
        }
    }

    /// Commands that wait for their answer.
    #[getter]
    fn _in_flight(&self, py: Python<'_>) -> usize {
        self.calls.borrow(py).len()
    }

    /// The connection is lost: clients are told that the storage is down; the futures of Python code
    /// are given back for their caller to fail.
    fn abandon(slf: &Bound<'_, Self>) -> PyResult<Vec<Py<PyAny>>> {
        let py = slf.py();
        let this = slf.get();
        let callers = this.calls.borrow(py).lose();
        let mut futures = Vec::new();
        for caller in callers {
            match caller {
                Caller::Front(front, id) => {
                    let front = front.bind(py);
                    RelayFront::unavailable(front, id, this.storage)?;
                    RelayFront::answered(front)?;
                }
                Caller::Here(future, _) => futures.push(future.free()),
            }
        }
        let waiting = std::mem::take(&mut *this.waiting.borrow(py));
        Self::wake(slf, waiting)?;
        Ok(futures)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.routes)?;
        if let Some(calls) = self.calls.peek() {
            for caller in calls.callers() {
                match caller {
                    Caller::Front(front, _) => visit.call(front)?,
                    Caller::Here(future, _) => visit.call(future)?,
                }
            }
        }
        if let Some(waiting) = self.waiting.peek() {
            waiting.fronts.iter().try_for_each(|front| visit.call(front))?;
        }
        Ok(())
    }

    fn __clear__(&self, py: Python<'_>) {
        let callers = self.calls.borrow(py).lose();
        let waiting = std::mem::take(&mut *self.waiting.borrow(py));
        // Dropped outside the borrows: the last reference may run Python code.
        drop((callers, waiting));
    }
}

impl RelayBack {
    pub(super) fn storage(&self) -> usize {
        self.storage
    }

    /// Forwards a client's command; the id it travels under, or None if there is no room.
    ///
    /// `write` appends the message with the id it is given.
    #[inline]
    pub(super) fn take<E>(
        slf: &Bound<'_, Self>,
        front: &Bound<'_, RelayFront>,
        id: u64,
        write: impl FnOnce(Header, &mut Vec<u8>) -> Result<(), E>,
    ) -> Result<Option<u64>, E> {
        let py = slf.py();
        let this = slf.get();
        let mut state = slf.as_super().get().state(py);
        let mut calls = this.calls.borrow(py);
        let Some(header) = request_header(&state, &calls) else {
            return Ok(None);
        };
        write(header, state.output())?;
        calls.started(header, Caller::Front(front.clone().into(), id));
        state.wrote();
        Ok(Some(header.id))
    }

    /// Lets a front wait for room.
    #[cold]
    pub(super) fn wait(slf: &Bound<'_, Self>, front: &Bound<'_, RelayFront>) {
        slf.get()
            .waiting
            .borrow(slf.py())
            .fronts
            .push(front.clone().into());
    }

    /// The calls of a front: their ids and the ids they travel under.
    pub(super) fn calls_of(&self, front: &Bound<'_, RelayFront>) -> Vec<(u64, u64)> {
        self.calls.borrow(front.py()).calls_of(|known| known.is(front))
    }

    /// Ends a front's call, if it is still under way, and tells the storage.
    pub(super) fn cancel_call(
        slf: &Bound<'_, Self>,
        front: &Bound<'_, RelayFront>,
        call: u64,
        id: u64,
    ) -> PyResult<bool> {
        let py = slf.py();
        let cancelled = {
            let mut calls = slf.get().calls.borrow(py);
            calls.cancel_call(id, call, |known| known.is(front))
        };
        match cancelled {
            Some((header, _)) => Self::tell(slf, header).map(|()| true),
            None => Ok(false),
        }
    }

    /// Ends every call of a front that has gone, and tells the storage.
    pub(super) fn forget(slf: &Bound<'_, Self>, front: &Bound<'_, RelayFront>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let calls = this.calls.borrow(py).forget(|known| known.is(front));
        let before: Vec<_> = {
            let mut waiting = this.waiting.borrow(py);
            let (gone, left) = std::mem::take(&mut waiting.fronts)
                .into_iter()
                .partition(|waiting| waiting.is(front));
            waiting.fronts = left;
            gone
        };
        drop(before);
        for (header, _) in calls {
            Self::tell(slf, header)?;
        }
        Ok(())
    }

    /// Tells the storage that a call was given up: a message with nothing but its header.
    fn tell(slf: &Bound<'_, Self>, Header { id, control }: Header) -> PyResult<()> {
        let py = slf.py();
        let requests = &slf.get().routes.get().requests;
        let connection = slf.as_super().get();
        {
            let mut state = connection.state(py);
            if state.closed {
                return Ok(());
            }
            let framed = requests
                .layout
                .frame(FRAMING, &requests.empty, id, control, state.output());
            debug_assert!(framed.is_ok());
            state.wrote();
        }
        connection.flush_soon(py)?;
        Self::resume(slf)
    }

    fn handle(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let connection = slf.as_super().get();
        let routes = this.routes.get();
        let layout = &routes.responses.layout;
        loop {
            let mut state = connection.state(py);
            if state.closed {
                return Ok(());
            }
            let (start, total) = match state.next() {
                Next::Frame { header, total } => (header, total),
                Next::Wait => break,
                Next::BadInput(why) => {
                    drop(state);
                    return end_for_bad_input(slf.as_any(), connection, why);
                }
            };
            let payload = state.frame(py, start, total);
            let located = match layout.locate(payload) {
                Ok(located) => located,
                Err(malformed) => {
                    drop(state);
                    return end_for_bad_input(
                        slf.as_any(),
                        connection,
                        BadInput::Invalid(malformed.0.to_owned()),
                    );
                }
            };
            let answer = this.calls.borrow(py).receive(located.header);
            let (future, answer, header) = match answer {
                // A command that was cancelled meanwhile.
                Answer::Dropped => {
                    state.consume(total);
                    continue;
                }
                Answer::Front(front, header) => {
                    let front = front.bind(py);
                    {
                        let mut target = front.as_super().get().state(py);
                        if !target.closed {
                            // The walk went well, so the message can be written again.
                            let framed =
                                layout.frame_located(FRAMING, payload, &located, header, target.output());
                            debug_assert!(framed.is_ok());
                            target.wrote();
                        }
                    }
                    state.consume(total);
                    drop(state);
                    RelayFront::written(front)?;
                    RelayFront::answered(front)?;
                    continue;
                }
                Answer::Here(future, header) => (future, payload, header),
                // An answer that every transport can carry.
                Answer::Unavailable(future, header) => {
                    (future, &routes.unavailable[this.storage][..], header)
                }
            };
            let mut message = Vec::with_capacity(answer.len() + 16);
            let spliced = layout.splice(answer, header.id, header.control, &mut message);
            debug_assert!(spliced.is_ok());
            state.consume(total);
            drop(state);
            let message = PyBytes::new(py, &message);
            // Refused if its waiter has gone: then nobody wants it.
            drop(
                future
                    .bind(py)
                    .call_method1(intern!(py, "set_result"), (message,)),
            );
        }
        Self::resume(slf)
    }

    /// Lets those go on that wait for room, once there is some.
    #[inline]
    fn resume(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let waiting = {
            let mut waiting = this.waiting.borrow(py);
            if waiting.fronts.is_empty() && !waiting.calls {
                return Ok(());
            }
            let has_room = slf.as_super().get().state(py).has_room();
            if !has_room || !this.calls.borrow(py).has_much_room() {
                return Ok(());
            }
            std::mem::take(&mut *waiting)
        };
        Self::wake(slf, waiting)
    }

    #[cold]
    fn wake(slf: &Bound<'_, Self>, waiting: Waiting) -> PyResult<()> {
        let py = slf.py();
        for front in waiting.fronts {
            front.bind(py).as_super().get().proceed_soon(py)?;
        }
        if waiting.calls {
            slf.call_method0(intern!(py, "_room"))?;
        }
        Ok(())
    }
}

/// The header of the next command, if the connection takes one now.
#[inline]
fn request_header<F, W>(state: &ConnectionState, calls: &Back<F, W>) -> Option<Header> {
    if state.closed || !state.has_room() {
        return None;
    }
    calls.request()
}
