//! The relay: commands from many clients go to the storage of their key and the answers back,
//! with only the message id changed. No Python object is made for a message that is forwarded.

use protosocket_core::engine::key_hash;
use protosocket_core::framing::Framing;
use protosocket_core::header::{Control, Header, Layout};
use protosocket_core::relay::{KeyPath, Kind};
use protosocket_core::table::Pending;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3::intern;

use crate::codec::{HeaderLayout, Side};
use crate::guarded::Guarded;
use crate::link::{Broken, Limits, Link, Next, broken};

const FRAMING: Framing = Framing::Varint;

/// Bytes that are written before the tick ends; else the relay writes once a tick (it is so cheap
/// that it would wake for fragments, and spend its time in the kernel).
const WRITE_NOW: usize = 128 * 1024;

/// Where keys live and which connections lead there; shared by all fronts of a router.
#[pyclass(frozen, module = "protosocket._core")]
pub struct RelayRoutes {
    requests: Side,
    responses: Side,
    key: KeyPath,
    /// Points of the consistent hash, sorted: (position, storage).
    points: Vec<(u64, usize)>,
    state: Guarded<RoutesState>,
}

struct RoutesState {
    /// The live connections to each storage.
    links: Vec<Vec<Py<RelayBack>>>,
    /// The answer for the keys of a storage that is down, without an id.
    unavailable: Vec<Vec<u8>>,
    /// Fronts that wait for room on a connection to a storage.
    stalled: Vec<Py<RelayFront>>,
    fronts: usize,
}

#[pymethods]
impl RelayRoutes {
    /// `points` are sorted `(position, storage)`; `command`, `keyed` and `key` are field numbers: a
    /// request carries its key in `command` > one of `keyed` > `key`.
    #[new]
    fn new(
        requests: &Bound<'_, HeaderLayout>,
        responses: &Bound<'_, HeaderLayout>,
        points: Vec<(u64, usize)>,
        unavailable: Vec<Vec<u8>>,
        command: u32,
        keyed: Vec<u32>,
        key: u32,
    ) -> PyResult<Self> {
        let storages = unavailable.len();
        if points.is_empty() || points.iter().any(|(_, storage)| *storage >= storages) || !points.is_sorted() {
            return Err(PyValueError::new_err("points are sorted and each belongs to a storage"));
        }
        Ok(RelayRoutes {
            requests: requests.get().0.clone(),
            responses: responses.get().0.clone(),
            key: KeyPath { command, keyed, key },
            points,
            state: Guarded::new(RoutesState {
                links: (0..storages).map(|_| Vec::new()).collect(),
                unavailable,
                stalled: Vec::new(),
                fronts: 0,
            }),
        })
    }

    /// Uses a connection to its storage from now on.
    fn _add(&self, py: Python<'_>, link: Py<RelayBack>) {
        let storage = link.get().storage;
        self.state.borrow(py).links[storage].push(link);
    }

    /// Uses a connection no more.
    fn _remove(&self, py: Python<'_>, link: &Bound<'_, RelayBack>) {
        let removed = {
            let mut state = self.state.borrow(py);
            let links = &mut state.links[link.get().storage];
            links.iter().position(|known| known.is(link)).map(|at| links.remove(at))
        };
        drop(removed);
    }

    /// The storage of a key: the owner of the first point after its hash, going round.
    fn storage_of(&self, key: &[u8]) -> usize {
        self.owner(key)
    }

    /// Live connections to a storage.
    fn _connections(&self, py: Python<'_>, storage: usize) -> usize {
        self.state.borrow(py).links[storage].len()
    }

    /// A live connection to the storage of a key, or None.
    fn _link_for(&self, py: Python<'_>, key: &[u8], turn: usize) -> Option<Py<RelayBack>> {
        let state = self.state.borrow(py);
        let links = &state.links[self.owner(key)];
        if links.is_empty() { None } else { Some(links[turn % links.len()].clone_ref(py)) }
    }
}

impl RelayRoutes {
    #[inline]
    fn owner(&self, key: &[u8]) -> usize {
        let hash = key_hash(key);
        let at = self.points.partition_point(|(position, _)| *position <= hash);
        self.points[if at < self.points.len() { at } else { 0 }].1
    }

    /// Lets the fronts go on that waited for a storage's connection.
    fn resume_stalled(&self, py: Python<'_>) -> PyResult<()> {
        let stalled = std::mem::take(&mut self.state.borrow(py).stalled);
        for front in stalled {
            front.bind(py).as_super().get().proceed_soon(py)?;
        }
        Ok(())
    }
}

/// Who waits for an answer from a storage.
enum Caller {
    Front(Py<RelayFront>, u64),
    /// Python code: a future for the answer, with this id in it.
    Future(Py<PyAny>, u64),
}

/// A router's connection to a storage.
#[pyclass(extends = Link, subclass, frozen, module = "protosocket._core")]
pub struct RelayBack {
    routes: Py<RelayRoutes>,
    storage: usize,
    max_calls: usize,
    pending: Guarded<Pending<Caller>>,
}

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
        if storage >= routes.get().points.iter().map(|(_, storage)| storage + 1).max().unwrap_or(0) {
            return Err(PyValueError::new_err("there is no such storage"));
        }
        let link = Link::create(FRAMING, limits(receive_limit, send_bytes));
        let largest = routes.get().requests.largest_id;
        Ok(PyClassInitializer::from(link).add_subclass(RelayBack {
            routes,
            storage,
            max_calls,
            pending: Guarded::new(Pending::new(largest)),
        }))
    }

    fn buffer_updated(slf: &Bound<'_, Self>, count: usize) -> PyResult<()> {
        if slf.as_super().get().received(slf.py(), count) { Self::handle(slf) } else { Ok(()) }
    }

    fn _proceed(slf: &Bound<'_, Self>) -> PyResult<()> {
        let link = slf.as_super().get();
        if link.proceeds(slf.py()) {
            Self::handle(slf)?;
            link.resume_reading(slf.py())?;
        }
        Ok(())
    }

    fn resume_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.py_super()?.call_method0(intern!(slf.py(), "resume_writing"))?;
        slf.get().routes.get().resume_stalled(slf.py())
    }

    /// Sends an encoded request for Python code: `future` gets the encoded answer, with the id
    /// `message_id` in it. False if nothing was sent because there is no room.
    fn _forward(slf: &Bound<'_, Self>, request: &[u8], message_id: u64, future: Py<PyAny>) -> PyResult<bool> {
        let py = slf.py();
        let link = slf.as_super().get();
        {
            let this = slf.get();
            let mut state = link.state(py);
            let mut pending = this.pending.borrow(py);
            if state.closed || !state.has_room() || pending.len() >= this.max_calls {
                return Ok(false);
            }
            let id = pending.next_id();
            let layout = &this.routes.get().requests.layout;
            layout
                .frame(FRAMING, request, id, Control::Normal, &mut state.output)
                .map_err(|malformed| PyValueError::new_err(malformed.0))?;
            pending.insert(Caller::Future(future, message_id));
            state.wrote();
        }
        link.flush_soon(py)?;
        Ok(true)
    }

    /// Commands that wait for their answer.
    #[getter]
    fn _in_flight(&self, py: Python<'_>) -> usize {
        self.pending.borrow(py).len()
    }

    /// The connection is lost: clients are told that the storage is down; the futures of Python code
    /// are given back for their caller to fail.
    fn _abandon(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        let waiting = self.pending.borrow(py).drain();
        let mut futures = Vec::new();
        for (_, caller) in waiting {
            match caller {
                Caller::Front(front, id) => {
                    let front = front.bind(py);
                    RelayFront::answered(front, py)?;
                    RelayFront::unavailable(front, id, self.storage)?;
                }
                Caller::Future(future, _) => futures.push(future),
            }
        }
        self.routes.get().resume_stalled(py)?;
        Ok(futures)
    }
}

impl RelayBack {
    fn handle(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let link = slf.as_super().get();
        let layout = &this.routes.get().responses.layout;
        loop {
            let mut state = link.state(py);
            if state.closed {
                break;
            }
            let (start, total) = match state.next() {
                Next::Frame { header, total } => (header, total),
                Next::Wait => break,
                Next::Broken(why) => {
                    drop(state);
                    return broken(slf.as_any(), link, why);
                }
            };
            let payload = &state.receive.unread()[start..total];
            let located = match layout.locate(payload) {
                Ok(located) => located,
                Err(malformed) => {
                    drop(state);
                    return broken(slf.as_any(), link, Broken::Invalid(malformed.0.to_owned()));
                }
            };
            let caller = this.pending.borrow(py).remove(located.header.id);
            match caller {
                // A command that was cancelled meanwhile.
                None => state.consume(total),
                Some(Caller::Front(front, id)) => {
                    let front = front.bind(py);
                    let target = front.as_super().get();
                    {
                        let mut target = target.state(py);
                        if !target.closed {
                            let header = Header { id, control: located.header.control };
                            // The walk went well, so the message can be written again.
                            let _ = layout.frame_located(FRAMING, payload, &located, header, &mut target.output);
                            target.wrote();
                        }
                    }
                    state.consume(total);
                    drop(state);
                    RelayFront::answered(front, py)?;
                    RelayFront::written(front)?;
                }
                Some(Caller::Future(future, id)) => {
                    let mut answer = Vec::with_capacity(payload.len() + 16);
                    let spliced = layout.splice(payload, id, located.header.control, &mut answer);
                    state.consume(total);
                    drop(state);
                    if spliced.is_ok() {
                        let answer = PyBytes::new(py, &answer);
                        // Refused if its waiter has gone: then nobody wants it.
                        drop(future.bind(py).call_method1(intern!(py, "set_result"), (answer,)));
                    }
                }
            }
        }
        this.routes.get().resume_stalled(py)
    }

    fn cancel(slf: &Bound<'_, Self>, id: u64) -> PyResult<()> {
        let py = slf.py();
        let requests = &slf.get().routes.get().requests;
        let link = slf.as_super().get();
        {
            let mut state = link.state(py);
            if state.closed {
                return Ok(());
            }
            let framed = requests.layout.frame(FRAMING, &requests.empty, id, Control::Cancel, &mut state.output);
            debug_assert!(framed.is_ok());
            state.wrote();
        }
        link.flush_soon(py)
    }
}

/// A client's connection to a router.
///
/// The Python class adds `_local(request)`, which gives the encoded answer (without an id) to what
/// is not forwarded, and `_broken` of `Link`.
#[pyclass(extends = Link, subclass, frozen, module = "protosocket._core")]
pub struct RelayFront {
    routes: Py<RelayRoutes>,
    max_calls: usize,
    /// Bytes of unread answers that end a client that does not read.
    most_unread: usize,
    state: Guarded<FrontState>,
}

struct FrontState {
    /// Commands are forwarded; before, everything is answered here.
    open: bool,
    /// Which of several connections to a storage this client's commands use: always the same, so
    /// that commands on one key stay in order.
    turn: usize,
    in_flight: usize,
    /// Stopped because too many commands are in flight or answers unread.
    stalled: bool,
}

/// What to do with a request.
enum Action<'py> {
    Forwarded(Py<RelayBack>),
    /// The connection to the storage has no room: the request stays where it is.
    Stall,
    Unavailable(u64, usize),
    Local(u64, Bound<'py, PyBytes>),
    Cancel(u64),
    Ignored,
}

#[pymethods]
impl RelayFront {
    #[new]
    fn new(
        py: Python<'_>,
        routes: Py<RelayRoutes>,
        open: bool,
        receive_limit: usize,
        send_bytes: usize,
        max_calls: usize,
    ) -> PyClassInitializer<Self> {
        let link = Link::create(FRAMING, limits(receive_limit, send_bytes));
        let turn = {
            let mut state = routes.get().state.borrow(py);
            state.fronts = state.fronts.wrapping_add(1);
            state.fronts
        };
        PyClassInitializer::from(link).add_subclass(RelayFront {
            routes,
            max_calls,
            most_unread: receive_limit.saturating_add(send_bytes).saturating_mul(4),
            state: Guarded::new(FrontState { open, turn, in_flight: 0, stalled: false }),
        })
    }

    fn buffer_updated(slf: &Bound<'_, Self>, count: usize) -> PyResult<()> {
        if slf.as_super().get().received(slf.py(), count) { Self::handle(slf) } else { Ok(()) }
    }

    fn _proceed(slf: &Bound<'_, Self>) -> PyResult<()> {
        let link = slf.as_super().get();
        if link.proceeds(slf.py()) {
            Self::handle(slf)?;
            link.resume_reading(slf.py())?;
        }
        Ok(())
    }

    fn resume_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.py_super()?.call_method0(intern!(slf.py(), "resume_writing"))?;
        Self::go_on(slf)
    }

    /// Forwards commands from now on.
    fn _set_open(&self, py: Python<'_>) {
        self.state.borrow(py).open = true;
    }

    /// Commands that wait for their answer.
    #[getter]
    fn _in_flight(&self, py: Python<'_>) -> usize {
        self.state.borrow(py).in_flight
    }

    /// The client has gone: its commands are cancelled at the storages.
    fn _abandon(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::cancel(slf, None).map(drop)
    }
}

impl RelayFront {
    fn handle(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let link = slf.as_super().get();
        loop {
            let crowded = this.state.borrow(py).in_flight >= this.max_calls || !link.state(py).has_room();
            if crowded {
                this.state.borrow(py).stalled = true;
                return link.pause(py);
            }
            let action = match Self::next(slf) {
                Ok(Some(action)) => action,
                Ok(None) => return Ok(()),
                Err(why) => return broken(slf.as_any(), link, why),
            };
            match action {
                Action::Ignored => {}
                Action::Forwarded(back) => {
                    this.state.borrow(py).in_flight += 1;
                    let target = back.bind(py).as_super().get();
                    if target.state(py).output.len() >= WRITE_NOW { target.flush(py)? } else { target.flush_soon(py)? }
                }
                Action::Stall => {
                    this.routes.get().state.borrow(py).stalled.push(slf.clone().unbind());
                    return link.pause(py);
                }
                Action::Unavailable(id, storage) => Self::unavailable(slf, id, storage)?,
                Action::Local(id, request) => {
                    let answer = slf.call_method1(intern!(py, "_local"), (request,))?;
                    let answer = answer.cast::<PyBytes>()?;
                    Self::answer(slf, id, answer.as_bytes(), Control::Normal)?;
                }
                Action::Cancel(id) => {
                    if Self::cancel(slf, Some(id))? {
                        this.state.borrow(py).in_flight -= 1;
                        let empty = &this.routes.get().responses.empty;
                        Self::answer(slf, id, empty, Control::Cancel)?;
                    }
                }
            }
        }
    }

    /// Takes the next request off the receive buffer and puts it on its way.
    #[inline]
    fn next<'py>(slf: &Bound<'py, Self>) -> Result<Option<Action<'py>>, Broken> {
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
            Next::Broken(why) => return Err(why),
        };
        let payload = &state.receive.unread()[start..total];
        let invalid = |malformed: protosocket_core::header::Malformed| Broken::Invalid(malformed.0.to_owned());
        let layout = &routes.requests.layout;
        let located = layout.locate(payload).map_err(invalid)?;
        let id = located.header.id;
        let (open, turn) = {
            let front = this.state.borrow(py);
            (front.open, front.turn)
        };
        let action = match located.header.control {
            Control::Cancel => Action::Cancel(id),
            Control::End => Action::Ignored,
            Control::Normal => match routes.key.find(payload).map_err(invalid)? {
                Kind::Keyed(key) if open => {
                    let storage = routes.owner(key);
                    let known = routes.state.borrow(py);
                    let links = &known.links[storage];
                    match links.get(turn % links.len().max(1)) {
                        None => Action::Unavailable(id, storage),
                        Some(back) => {
                            let link = back.bind(py).as_super().get();
                            let mut target = link.state(py);
                            let mut pending = back.get().pending.borrow(py);
                            if target.closed {
                                Action::Unavailable(id, storage)
                            } else if !target.has_room() || pending.len() >= back.get().max_calls {
                                Action::Stall
                            } else {
                                let header = Header { id: pending.next_id(), control: Control::Normal };
                                layout
                                    .frame_located(FRAMING, payload, &located, header, &mut target.output)
                                    .map_err(invalid)?;
                                pending.insert(Caller::Front(slf.clone().unbind(), id));
                                target.wrote();
                                Action::Forwarded(back.clone_ref(py))
                            }
                        }
                    }
                }
                _ => Action::Local(id, PyBytes::new(py, payload)),
            },
        };
        if !matches!(action, Action::Stall) {
            state.consume(total);
        }
        Ok(Some(action))
    }

    /// Takes the calls with this id, or all, off the connections to the storages; true if there was one.
    fn cancel(slf: &Bound<'_, Self>, id: Option<u64>) -> PyResult<bool> {
        let py = slf.py();
        let links: Vec<Py<RelayBack>> = {
            let state = slf.get().routes.get().state.borrow(py);
            state.links.iter().flatten().map(|link| link.clone_ref(py)).collect()
        };
        let mut found = false;
        for back in links {
            let back = back.bind(py);
            let mine = back.get().pending.borrow(py).extract(
                |caller| matches!(caller, Caller::Front(front, call) if front.is(slf) && id.is_none_or(|id| id == *call)),
            );
            for (call, _) in mine {
                found = true;
                RelayBack::cancel(back, call)?;
            }
        }
        Ok(found)
    }

    /// One command of this client has its answer.
    #[inline]
    fn answered(slf: &Bound<'_, Self>, py: Python<'_>) -> PyResult<()> {
        let go_on = {
            let this = slf.get();
            let mut state = this.state.borrow(py);
            state.in_flight = state.in_flight.saturating_sub(1);
            state.stalled && state.in_flight * 2 <= this.max_calls
        };
        if go_on { Self::go_on(slf) } else { Ok(()) }
    }

    /// Something was appended to the client's send queue.
    #[inline]
    fn written(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let link = slf.as_super().get();
        let queued = link.state(py).output.len();
        if queued > slf.get().most_unread {
            slf.call_method1(intern!(py, "_unread_answers"), (queued,))?;
            return Ok(());
        }
        if queued >= WRITE_NOW { link.flush(py) } else { link.flush_soon(py) }
    }

    fn answer(slf: &Bound<'_, Self>, id: u64, message: &[u8], control: Control) -> PyResult<()> {
        let py = slf.py();
        {
            let mut state = slf.as_super().get().state(py);
            if state.closed {
                return Ok(());
            }
            let layout: &Layout = &slf.get().routes.get().responses.layout;
            layout
                .frame(FRAMING, message, id, control, &mut state.output)
                .map_err(|malformed| PyValueError::new_err(malformed.0))?;
            state.wrote();
        }
        Self::written(slf)
    }

    fn unavailable(slf: &Bound<'_, Self>, id: u64, storage: usize) -> PyResult<()> {
        let message = slf.get().routes.get().state.borrow(slf.py()).unavailable[storage].clone();
        Self::answer(slf, id, &message, Control::Normal)
    }

    /// Takes requests again if there is reason to.
    fn go_on(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let link = slf.as_super().get();
        let go_on = {
            let mut state = this.state.borrow(py);
            let go_on = state.stalled && state.in_flight < this.max_calls && link.state(py).has_room();
            state.stalled &= !go_on;
            go_on
        };
        if go_on { link.proceed_soon(py) } else { Ok(()) }
    }
}

fn limits(receive: usize, send_bytes: usize) -> Limits {
    // A relay's queue is bounded by bytes: it writes once a tick, however many messages that is.
    Limits { receive, send_messages: usize::MAX, send_bytes, read_messages: usize::MAX }
}
