//! A client's connection to a router: each command to the storage of its key, or answered here.

use std::collections::HashMap;

use protosocket_core::rpc::relay::key_path::Kind;
use protosocket_core::rpc::relay::{Answered, Event, Front};
use protosocket_core::rpc::{message, refusal};
use protosocket_core::wire::Malformed;
use protosocket_core::wire::header::Header;
use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::types::{FRAMING, FrontState, RelayBack, RelayFront, RelayRoutes, WRITE_NOW, limits};
use crate::connection::{BadInput, Connection, Next, end_for_bad_input};
use crate::guarded::Guarded;

/// Forwarded commands that take as long as one that Python code answers.
const LOCAL_COST: usize = 16;

/// What to do with a request.
enum Action<'py> {
    Forwarded(Py<RelayBack>, u64, u64),
    /// The connection to the storage has no room: the request stays where it is.
    Stall(Py<RelayBack>),
    Unavailable(u64, usize),
    Refused(Header),
    Local(u64, Bound<'py, PyBytes>),
    Cancel(u64),
    Dropped,
}

/// Where the calls of a client are under way: connection and id there. Made for the first Cancel of a batch.
type Calls = HashMap<u64, (Py<RelayBack>, u64)>;

#[pymethods]
impl RelayFront {
    #[new]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        routes: Py<RelayRoutes>,
        open: bool,
        receive_limit: usize,
        send_bytes: usize,
        read_messages: usize,
        max_calls: usize,
        most_unread: usize,
    ) -> PyClassInitializer<Self> {
        let connection = Connection::create(FRAMING, true, limits(receive_limit, send_bytes, read_messages));
        let turn = {
            let mut state = routes.get().state.borrow(py);
            state.fronts = state.fronts.wrapping_add(1);
            state.fronts
        };
        PyClassInitializer::from(connection).add_subclass(RelayFront {
            routes,
            most_unread,
            state: Guarded::new(FrontState {
                open,
                turn,
                front: Front::new(max_calls),
            }),
        })
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
        Self::go_on(slf)
    }

    /// Forwards commands from now on.
    fn _set_open(&self, py: Python<'_>) {
        self.state.borrow(py).open = true;
    }

    /// Refuses commands from now on; true if none is under way, else `_drained()` is called when that is so.
    fn _drain(&self, py: Python<'_>) -> bool {
        self.state.borrow(py).front.drain()
    }

    /// Commands that wait for their answer.
    #[getter]
    fn _in_flight(&self, py: Python<'_>) -> usize {
        self.state.borrow(py).front.in_flight()
    }

    /// The client has gone: its commands are cancelled at the storages.
    fn _abandon(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.state.borrow(py).front.lose();
        for back in this.routes.get().backs(py) {
            RelayBack::forget(back.bind(py), slf)?;
        }
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.routes)
    }
}

impl RelayFront {
    fn handle(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let connection = slf.as_super().get();
        let budget = connection.state(py).limits.read_messages;
        let mut handled = 0;
        let mut calls: Option<Calls> = None;
        loop {
            let has_room = connection.state(py).has_room();
            if !this.state.borrow(py).front.takes(has_room) {
                return connection.pause(py);
            }
            if handled >= budget {
                connection.pause(py)?;
                return connection.proceed_soon(py);
            }
            let action = match Self::next(slf) {
                Ok(Some(action)) => action,
                Ok(None) => return Ok(()),
                Err(why) => return end_for_bad_input(slf.as_any(), connection, why),
            };
            handled += 1;
            match action {
                Action::Dropped => {}
                Action::Forwarded(back, call, id) => {
                    this.state.borrow(py).front.forwarded();
                    let target = back.bind(py).as_super().get();
                    if target.state(py).unflushed() >= WRITE_NOW {
                        target.flush(py)?;
                    } else {
                        target.flush_soon(py)?;
                    }
                    if let Some(calls) = &mut calls {
                        calls.insert(call, (back, id));
                    }
                }
                Action::Stall(back) => {
                    RelayBack::wait(back.bind(py), slf);
                    return connection.pause(py);
                }
                Action::Unavailable(id, storage) => Self::unavailable(slf, id, storage)?,
                Action::Refused(header) => Self::refuse(slf, header)?,
                Action::Local(id, request) => {
                    handled += LOCAL_COST;
                    let answer = slf.call_method1(intern!(py, "_local"), (request,))?;
                    if answer.is_none() {
                        return end_for_bad_input(
                            slf.as_any(),
                            connection,
                            BadInput::Invalid("not a command".to_owned()),
                        );
                    }
                    Self::answer(slf, message(id), answer.cast::<PyBytes>()?.as_bytes())?;
                }
                Action::Cancel(id) => {
                    let calls = calls.get_or_insert_with(|| Self::calls(slf));
                    let cancelled = match calls.remove(&id) {
                        Some((back, there)) => RelayBack::cancel_call(back.bind(py), slf, id, there)?,
                        None => false,
                    };
                    if cancelled {
                        Self::refuse(slf, refusal(id))?;
                        Self::answered(slf)?;
                    }
                }
            }
        }
    }

    /// Takes the next request off the receive buffer and puts it on its way.
    #[inline]
    fn next<'py>(slf: &Bound<'py, Self>) -> Result<Option<Action<'py>>, BadInput> {
        let py = slf.py();
        let this = slf.get();
        let routes = this.routes.get();
        let mut state = slf.as_super().get().state(py);
        if state.closed {
            return Ok(None);
        }
        let (start, total) = match state.next() {
            Next::Frame { header, total } => (header, total),
            Next::Wait => return Ok(None),
            Next::BadInput(why) => return Err(why),
        };
        let payload = state.frame(py, start, total);
        let invalid = |malformed: Malformed| BadInput::Invalid(malformed.0.to_owned());
        let layout = &routes.requests.layout;
        let located = layout.locate(payload).map_err(invalid)?;
        let id = located.header.id;
        let (event, open, turn) = {
            let known = this.state.borrow(py);
            (known.front.receive(located.header), known.open, known.turn)
        };
        let action = match event {
            Event::Cancel(id) => Action::Cancel(id),
            Event::Dropped => Action::Dropped,
            Event::Refused(header) => Action::Refused(header),
            Event::Command => match routes.path.find(payload).map_err(invalid)? {
                Kind::Keyed(key) if open => {
                    let storage = routes.storage_of(key);
                    let known = routes.state.borrow(py);
                    let backs = &known.backs[storage];
                    match backs.get(turn % backs.len().max(1)) {
                        None => Action::Unavailable(id, storage),
                        Some(back) => {
                            let sent = RelayBack::take(back.bind(py), slf, id, |header, output| {
                                layout.frame_located(FRAMING, payload, &located, header, output)
                            });
                            match sent.map_err(invalid)? {
                                Some(there) => Action::Forwarded(back.clone_ref(py), id, there),
                                None => Action::Stall(back.clone_ref(py)),
                            }
                        }
                    }
                }
                _ => Action::Local(id, PyBytes::new(py, payload)),
            },
        };
        if !matches!(action, Action::Stall(_)) {
            state.consume(total);
        }
        Ok(Some(action))
    }

    /// Where the calls of this client are under way: one look at every connection's table.
    #[cold]
    fn calls(slf: &Bound<'_, Self>) -> Calls {
        let py = slf.py();
        let mut calls = Calls::new();
        for back in slf.get().routes.get().backs(py) {
            for (call, id) in back.get().calls_of(slf) {
                calls.insert(call, (back.clone_ref(py), id));
            }
        }
        calls
    }

    /// A command of this client has its answer.
    #[inline]
    pub(super) fn answered(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Answered {
            may_go_on,
            has_drained,
        } = slf.get().state.borrow(py).front.answered();
        if may_go_on {
            Self::go_on(slf)?;
        }
        if has_drained {
            slf.call_method0(intern!(py, "_drained"))?;
        }
        Ok(())
    }

    /// Something was appended to the client's send queue.
    #[inline]
    pub(super) fn written(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let connection = slf.as_super().get();
        let queued = connection.state(py).unflushed();
        if queued < WRITE_NOW {
            return connection.flush_soon(py);
        }
        connection.flush(py)?;
        if connection.state(py).unflushed() <= slf.get().most_unread {
            return Ok(());
        }
        let queue = {
            let mut state = connection.state(py);
            state.closed = true;
            state.take_queued()
        };
        drop(queue);
        slf.call_method1(intern!(py, "_unread_answers"), (queued,))?;
        Ok(())
    }

    fn answer(slf: &Bound<'_, Self>, header: Header, message: &[u8]) -> PyResult<()> {
        let py = slf.py();
        {
            let mut state = slf.as_super().get().state(py);
            if state.closed {
                return Ok(());
            }
            let layout = &slf.get().routes.get().responses.layout;
            layout
                .frame(FRAMING, message, header.id, header.control, state.output())
                .map_err(|malformed| PyValueError::new_err(malformed.0))?;
            state.wrote();
        }
        Self::written(slf)
    }

    pub(super) fn unavailable(slf: &Bound<'_, Self>, id: u64, storage: usize) -> PyResult<()> {
        let routes = slf.get().routes.get();
        Self::answer(slf, message(id), &routes.unavailable[storage])
    }

    /// Tells the client that a call ended without an answer.
    fn refuse(slf: &Bound<'_, Self>, header: Header) -> PyResult<()> {
        let routes = slf.get().routes.get();
        Self::answer(slf, header, &routes.responses.empty)
    }

    /// Takes requests again if there is reason to.
    fn go_on(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let connection = slf.as_super().get();
        let go_on = {
            let mut state = slf.get().state.borrow(py);
            let has_room = connection.state(py).has_room();
            state.front.goes_on(has_room)
        };
        if go_on {
            connection.proceed_soon(py)
        } else {
            Ok(())
        }
    }
}
