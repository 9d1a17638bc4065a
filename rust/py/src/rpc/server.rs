//! A server's connection: requests in, handlers driven in place, answers out.

use protosocket_core::header::{Header, Layout};
use protosocket_core::rpc::server::Limits as ServerLimits;
use protosocket_core::rpc::server::{Answer, Event, Finished, Server, Turn};
use protosocket_core::rpc::{about_connection, message, refusal};
use pyo3::exceptions::asyncio::CancelledError;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PySuper;
use pyo3::{ffi, intern};

use crate::asyncio_glue::task::{HandlerTask, Step, copy_context, current_context, in_context, is_plain};
use crate::cache::storage::CacheCommands;
use crate::codec::{Kept, Payload, Side, WireCodec};
use crate::connection::{Broken, Connection, Limits, Next, broken};
use crate::errors;
use crate::guarded::{Guarded, Held};

/// One connection of an RPC server.
///
/// The Python class adds `_adopt(task, result)` (what to run for a handler's result that is no
/// coroutine), `_failed(id, error)` (logs a handler's error), `_drained()`, `_handlers_wait()` (the first that
/// suspends) and `_broken` of `Connection`.
///
/// With `exchanges`, a call may have more than one message, and some are about the connection: the handler gets
/// all of them, and has nothing to answer where it gives None. Behind the last one of a call, `_half_closed(id)` is
/// called.
#[pyclass(extends = Connection, subclass, frozen, module = "protosocket._core")]
pub struct ServerConnection {
    codec: Py<WireCodec>,
    receive: Layout,
    send: Side,
    exchanges: bool,
    state: Guarded<ServerState>,
}

struct ServerState {
    server: Server<Held<HandlerTask>, Waiting>,
    handler: Option<Held<PyAny>>,
    event_loop: Option<Held<PyAny>>,
    /// What each handler's context is a copy of.
    context: Option<Held<PyAny>>,
    /// A task object that nobody else holds, for the next handler.
    spare: Option<Held<HandlerTask>>,
    /// `_handlers_wait()` was called, and `_rest()` not since then.
    known_to_wait: bool,
}

/// A request that waits for its handler.
enum Waiting {
    Encoded(Kept),
    Decoded(Held<PyAny>),
    Undecodable(PyErr),
}

impl Waiting {
    fn request(self, py: Python<'_>, id: u64, is_last: bool) -> Result<Request<'_>, Broken> {
        match self {
            Waiting::Encoded(kept) if is_last => Ok(Request::Last(id, kept.payload(py))),
            Waiting::Encoded(kept) => Ok(Request::Call(id, kept.payload(py))),
            Waiting::Decoded(message) => Ok(Request::Decoded(id, message.free().into_bound(py))),
            Waiting::Undecodable(error) => Err(Broken::Undecodable(error)),
        }
    }
}

/// What a message asks for: the core's event, with what came with it.
enum Request<'py> {
    Call(u64, Payload<'py>),
    /// The same; then `_half_closed(id)` is called.
    Last(u64, Payload<'py>),
    Decoded(u64, Bound<'py, PyAny>),
    Wait(Header, Payload<'py>),
    /// The client is told that there is no answer.
    Refused(Header),
    Cancelled(Option<Py<HandlerTask>>, Vec<Waiting>, Header),
    Dropped,
}

#[pymethods]
impl ServerConnection {
    #[new]
    #[pyo3(signature = (
        codec, receive_limit, send_messages, send_bytes, read_messages, max_calls, exchanges=false
    ))]
    fn new(
        codec: Py<WireCodec>,
        receive_limit: usize,
        send_messages: usize,
        send_bytes: usize,
        read_messages: usize,
        max_calls: usize,
        exchanges: bool,
    ) -> PyResult<PyClassInitializer<Self>> {
        let limits = Limits {
            receive: receive_limit,
            send_messages,
            send_bytes,
            read_messages,
        };
        let connection = Connection::create(codec.get().framing, codec.get().is_protobuf(), limits);
        let (send, receive) = match (&codec.get().send, &codec.get().receive) {
            (Some(send), Some(receive)) => (send.clone(), receive.layout.clone()),
            _ => {
                return Err(PyValueError::new_err(
                    "a server needs to know where messages carry their id",
                ));
            }
        };
        // A 64-bit field carries any id, whichever of them its own clients choose.
        let largest_id = if send.largest_id > u64::from(u32::MAX) {
            u64::MAX
        } else {
            send.largest_id
        };
        let limits = ServerLimits {
            calls: max_calls,
            waiting: read_messages,
            waiting_bytes: receive_limit,
            largest_id,
        };
        let state = ServerState {
            server: Server::new(limits, exchanges),
            handler: None,
            event_loop: None,
            context: None,
            spare: None,
            known_to_wait: false,
        };
        Ok(
            PyClassInitializer::from(connection).add_subclass(ServerConnection {
                codec,
                receive,
                send,
                exchanges,
                state: Guarded::new(state),
            }),
        )
    }

    /// Sets what is called with each request, in a copy of the present context, and the loop it is called in.
    fn _serve(&self, py: Python<'_>, handler: Py<PyAny>, event_loop: Py<PyAny>) -> PyResult<()> {
        let context = current_context(py)?.unbind();
        let before = {
            let mut state = self.state.borrow(py);
            (
                state.handler.replace(handler.into()),
                state.event_loop.replace(event_loop.into()),
                state.context.replace(context.into()),
            )
        };
        drop(before);
        Ok(())
    }

    fn buffer_updated(slf: &Bound<'_, Self>, nbytes: usize) -> PyResult<()> {
        let connection = slf.as_super().get();
        connection.read_on(slf.py(), nbytes, || Self::handle(slf))
    }

    fn _proceed(slf: &Bound<'_, Self>) -> PyResult<()> {
        let connection = slf.as_super().get();
        if connection.proceeds(slf.py()) {
            Self::handle(slf)?;
            connection.resume_reading(slf.py())?;
        }
        Ok(())
    }

    /// The send queue has room again.
    fn resume_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        // Of this very class: the super of the object's own class would be this method again.
        let connection = PySuper::new(&slf.py().get_type::<Self>(), slf.as_any())?;
        connection.call_method0(intern!(slf.py(), "resume_writing"))?;
        Self::go_on(slf)
    }

    /// Sends an item of a stream; false if the send queue is full now. Raises EncodeError, and
    /// CancelledError if the call was given up: a handler that caught that does not go on for nobody.
    fn _item(
        slf: &Bound<'_, Self>,
        task: &Bound<'_, HandlerTask>,
        item: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let py = slf.py();
        if task.get().is_abandoned(py) {
            return Err(CancelledError::new_err(()));
        }
        let encoded = slf.get().codec.get().encode(item)?;
        Self::put(slf, message(task.get().id(py)), encoded.as_bytes())?;
        let connection = slf.as_super().get();
        connection.appended(py)?;
        Ok(connection.state(py).has_room())
    }

    /// Sends a message about the connection: one with the id 0. Raises EncodeError.
    fn tell(slf: &Bound<'_, Self>, message: &Bound<'_, PyAny>) -> PyResult<()> {
        let encoded = slf.get().codec.get().encode(message)?;
        Self::put(slf, about_connection(), encoded.as_bytes())?;
        slf.as_super().get().appended(slf.py())
    }

    /// The client said that a call has no further message; for classes that have calls with several.
    fn _half_closed(&self, _id: u64) {}

    /// Handlers that run.
    #[getter]
    fn _in_flight(&self, py: Python<'_>) -> usize {
        self.state.borrow(py).server.len()
    }

    /// Refuses requests from now on; true if no handler runs, else `_drained()` is called when that is so.
    /// Reading goes on: callers may cancel, and closing with bytes unread would cut answers off.
    fn _drain(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        let refused = this.state.borrow(py).server.drain();
        for (header, _) in refused {
            Self::send_empty(slf, header)?;
        }
        Ok(this.state.borrow(py).server.is_empty())
    }

    /// Cancels every handler that runs and was not cancelled before.
    fn _cancel_all(&self, py: Python<'_>) -> PyResult<usize> {
        let tasks = self._handlers(py);
        for task in &tasks {
            let id = task.get().id(py);
            if self.state.borrow(py).server.give_up(id, address(task)) {
                task.get().abandon(py)?;
            }
        }
        Ok(tasks.len())
    }

    /// Has `_handlers_wait()` called when a handler suspends again.
    fn _rest(&self, py: Python<'_>) {
        self.state.borrow(py).known_to_wait = false;
    }

    /// The suspended handlers of calls that were not given up, by the ids of their calls.
    fn _handlers(&self, py: Python<'_>) -> Vec<Py<HandlerTask>> {
        let state = self.state.borrow(py);
        let handlers = state.server.handlers().into_iter();
        handlers.map(|task| task.clone_ref(py)).collect()
    }

    /// Lets go of the service.
    fn _release(&self, py: Python<'_>) {
        let held = {
            let mut state = self.state.borrow(py);
            (
                state.handler.take(),
                state.spare.take(),
                state.context.take(),
                state.server.withdraw(),
            )
        };
        drop(held);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.codec)?;
        let Some(state) = self.state.peek() else {
            return Ok(());
        };
        for held in [&state.handler, &state.event_loop, &state.context] {
            visit.call(held.as_deref())?;
        }
        for task in state.server.tasks().chain(&state.spare) {
            visit.call(task)?;
        }
        for waiting in state.server.requests() {
            if let Waiting::Decoded(message) = waiting {
                visit.call(message)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self, py: Python<'_>) {
        let held = {
            let mut state = self.state.borrow(py);
            (
                state.server.lose(),
                state.server.withdraw(),
                state.handler.take(),
                state.event_loop.take(),
                state.context.take(),
                state.spare.take(),
            )
        };
        drop(held);
    }
}

impl ServerConnection {
    pub fn event_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.state.borrow(py).event_loop {
            Some(event_loop) => Ok(event_loop.bind(py).clone()),
            None => Err(PyRuntimeError::new_err(
                "the server's connection has no event loop",
            )),
        }
    }

    /// Handles the requests in the receive buffer.
    fn handle(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let connection = slf.as_super().get();
        connection.state(py).in_batch = true;
        let mut handled = 0;
        let result = Self::batch(slf, &mut handled);
        {
            let mut state = connection.state(py);
            state.in_batch = false;
            state.policy.observe_batch(handled);
        }
        slf.get().state.borrow(py).server.settle();
        connection.flush(py)?;
        match result {
            Ok(None) => Ok(()),
            Ok(Some(why)) => broken(slf.as_any(), connection, why),
            Err(error) => {
                // What stops the program is for the event loop; the requests behind it still wait here.
                connection.proceed_soon(py)?;
                Err(error)
            }
        }
    }

    /// One batch, under one task that is handed over to a handler only if it suspends.
    fn batch(slf: &Bound<'_, Self>, handled: &mut usize) -> PyResult<Option<Broken>> {
        let py = slf.py();
        let connection = slf.as_super().get();
        let this = slf.get();
        let (handler, event_loop, context) = {
            let state = this.state.borrow(py);
            match (&state.handler, &state.event_loop, &state.context) {
                (Some(handler), Some(event_loop), Some(context)) => (
                    handler.bind(py).clone(),
                    event_loop.bind(py).clone(),
                    context.bind(py).clone(),
                ),
                _ => return Ok(None),
            }
        };
        let budget = connection.state(py).budget();
        let native = handler.cast::<CacheCommands>().ok().map(Bound::get);
        let ahead = if native.is_some() {
            1
        } else {
            this.codec.get().ahead
        };
        let mut task = this.task(slf)?;
        HandlerTask::enter(&task, &event_loop)?;
        // SAFETY: reads the count of a live object.
        let references = unsafe { ffi::Py_REFCNT(task.as_ptr()) };
        let result = loop {
            if !connection.state(py).has_room() {
                break this.stall(connection, py);
            }
            if *handled == budget {
                break connection
                    .pause(py)
                    .and_then(|()| connection.proceed_soon(py))
                    .map(|()| None);
            }
            if ahead > 1 {
                let free = this.state.borrow(py).server.ahead();
                this.decode_ahead(connection, py, ahead.min(budget - *handled).min(free));
            }
            let turn = this.state.borrow(py).server.turn();
            let taken = match turn {
                Turn::Read => this.next(connection, py, false),
                Turn::Call(id, waited) => waited.request(py, id, false).map(Some),
                Turn::Last(id, waited) => waited.request(py, id, true).map(Some),
                Turn::Refused(header, _) => Ok(Some(Request::Refused(header))),
                Turn::Stall => break connection.pause(py).map(|()| None),
            };
            let request = match taken {
                Ok(Some(request)) => request,
                Ok(None) => break Ok(None),
                Err(why) => break Ok(Some(why)),
            };
            *handled += 1;
            let done = match request {
                Request::Dropped => Ok(false),
                Request::Cancelled(task, withdrawn, header) => {
                    drop(withdrawn);
                    let abandoned = task.map_or(Ok(()), |task| task.get().abandon(py));
                    abandoned
                        .and_then(|()| Self::send_empty(slf, header))
                        .map(|()| false)
                }
                Request::Refused(header) => Self::send_empty(slf, header).map(|()| false),
                Request::Wait(header, payload) => {
                    let length = payload.length();
                    let waits = Waiting::Encoded(payload.keep(py));
                    this.state.borrow(py).server.wait(header, waits, length);
                    Ok(false)
                }
                Request::Decoded(id, request) => Self::call(
                    slf,
                    (&task, references),
                    id,
                    &handler,
                    request,
                    &event_loop,
                    &context,
                )
                .map(|suspended| suspended || !HandlerTask::is_fresh(&task, references)),
                Request::Last(id, payload) => {
                    let request = match this.codec.get().decode(py, payload) {
                        Ok(request) => request,
                        Err(error) => break Ok(Some(Broken::Undecodable(error))),
                    };
                    let task = (&task, references);
                    Self::call(slf, task, id, &handler, request, &event_loop, &context)
                        .and_then(|suspended| {
                            slf.call_method1(intern!(py, "_half_closed"), (id,))
                                .map(|_| suspended)
                        })
                        .map(|suspended| suspended || !HandlerTask::is_fresh(task.0, references))
                }
                Request::Call(id, payload) => {
                    if let Some(sent) = native.and_then(|native| {
                        native.execute(py, payload.as_bytes(), |answer| {
                            Self::put(slf, message(id), answer)
                        })
                    }) {
                        payload.give_back(this.codec.get(), py);
                        match sent.and_then(|()| connection.appended(py)) {
                            Ok(()) => continue,
                            Err(error) => break Err(error),
                        }
                    }
                    let request = match this.codec.get().decode(py, payload) {
                        Ok(request) => request,
                        Err(error) => break Ok(Some(Broken::Undecodable(error))),
                    };
                    Self::call(
                        slf,
                        (&task, references),
                        id,
                        &handler,
                        request,
                        &event_loop,
                        &context,
                    )
                    .map(|suspended| suspended || !HandlerTask::is_fresh(&task, references))
                }
            };
            match done {
                Ok(false) => {}
                Ok(true) => {
                    HandlerTask::leave(&task, &event_loop)?;
                    task.get().retire_unless_suspended(py);
                    task = HandlerTask::create(py, slf)?.into_bound(py);
                    HandlerTask::enter(&task, &event_loop)?;
                }
                Err(error) => break Err(error),
            }
        };
        HandlerTask::leave(&task, &event_loop)?;
        if result.is_ok() {
            let before = {
                let mut state = this.state.borrow(py);
                let keeps = state.handler.is_some();
                keeps.then(|| state.spare.replace(task.into()))
            };
            drop(before);
        }
        result
    }

    /// Reads no further until there is room.
    #[cold]
    fn stall(&self, connection: &Connection, py: Python<'_>) -> PyResult<Option<Broken>> {
        self.state.borrow(py).server.stall();
        connection.pause(py).map(|()| None)
    }

    fn task<'py>(&self, slf: &Bound<'py, Self>) -> PyResult<Bound<'py, HandlerTask>> {
        let py = slf.py();
        let spare = self.state.borrow(py).spare.take();
        match spare {
            Some(spare) => Ok(spare.free().into_bound(py)),
            None => Ok(HandlerTask::create(py, slf)?.into_bound(py)),
        }
    }

    /// Decodes requests, at most `most`, that wait from then on: up to the first message that is none.
    #[inline]
    fn decode_ahead(&self, connection: &Connection, py: Python<'_>, most: usize) {
        let codec = self.codec.get();
        for _ in 0..most {
            let Ok(Some(Request::Call(id, payload))) = self.next(connection, py, true) else {
                return;
            };
            let length = payload.length();
            let (waits, goes_on) = match codec.decode(py, payload) {
                Ok(message) => (Waiting::Decoded(message.into()), true),
                Err(error) => (Waiting::Undecodable(error), false),
            };
            self.state.borrow(py).server.wait(message(id), waits, length);
            if !goes_on {
                return;
            }
        }
    }

    /// Takes the next message off the receive buffer; with `only_calls` none but a request whose handler may be called.
    #[inline]
    fn next<'py>(
        &self,
        connection: &Connection,
        py: Python<'py>,
        only_calls: bool,
    ) -> Result<Option<Request<'py>>, Broken> {
        let mut state = connection.state(py);
        if state.closed {
            return Ok(None);
        }
        if self.exchanges {
            if let Some(what) = state.foreign() {
                return Err(Broken::Invalid(what.to_owned()));
            }
        }
        let (start, total) = match state.next() {
            Next::Frame { header, total } => (header, total),
            Next::Wait => return Ok(None),
            Next::Broken(why) => return Err(why),
        };
        let payload = state.frame(py, start, total);
        let header = self
            .receive
            .scan(payload)
            .map_err(|malformed| Broken::Invalid(malformed.0.to_owned()))?;
        let server = &mut self.state.borrow(py).server;
        if only_calls && !server.is_call(header) {
            return Ok(None);
        }
        let payload = || state.payload(self.codec.get(), py, start, total);
        let event = server.receive(header);
        let request = match event.map_err(|violation| Broken::Invalid(violation.to_string()))? {
            Event::Call => Request::Call(header.id, payload()),
            Event::Last => Request::Last(header.id, payload()),
            Event::Wait => Request::Wait(header, payload()),
            Event::Refused(header) => Request::Refused(header),
            Event::Cancelled(task, withdrawn, header) => {
                Request::Cancelled(task.map(|task| task.clone_ref(py)), withdrawn, header)
            }
            Event::Dropped => Request::Dropped,
        };
        state.consume(total);
        Ok(Some(request))
    }

    /// Calls the handler; true if it suspended and keeps the task, which has so many references before.
    #[inline]
    fn call(
        slf: &Bound<'_, Self>,
        (task, references): (&Bound<'_, HandlerTask>, ffi::Py_ssize_t),
        id: u64,
        handler: &Bound<'_, PyAny>,
        request: Bound<'_, PyAny>,
        event_loop: &Bound<'_, PyAny>,
        context: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        let context = copy_context(context)?;
        task.get().begin(py, id, &context);
        let mut is_stream = false;
        let step = in_context(&context, || {
            let result = match handler.call1((request,)) {
                Ok(result) => result,
                Err(error) => return Ok(Step::Raised(error)),
            };
            // SAFETY: a type check of a live object.
            let coroutine = if unsafe { ffi::PyCoro_CheckExact(result.as_ptr()) } != 0 {
                result
            } else if is_plain(&result) {
                // A handler that is an ordinary function has answered already.
                return Ok(Step::Returned(result.unbind()));
            } else {
                let adopted: (Option<Bound<'_, PyAny>>, bool) = slf
                    .call_method1(intern!(py, "_adopt"), (task, &result))?
                    .extract()?;
                is_stream = adopted.1;
                match adopted.0 {
                    Some(coroutine) => coroutine,
                    None => return Ok(Step::Returned(result.unbind())),
                }
            };
            HandlerTask::start(task, is_stream, coroutine, event_loop)
        })?;
        let outcome = match step {
            Step::Returned(value) => Ok(value),
            Step::Raised(error) => Err(error),
            Step::Suspended => {
                let is_known = {
                    let mut state = this.state.borrow(py);
                    let key = address(task.as_unbound());
                    state.server.suspended(id, key, task.clone().into());
                    std::mem::replace(&mut state.known_to_wait, true)
                };
                if !is_known {
                    slf.call_method0(intern!(py, "_handlers_wait"))?;
                }
                return Ok(true);
            }
        };
        let outcome = HandlerTask::ended(task, references, outcome);
        this.answer(slf, id, is_stream, outcome).map(|()| false)
    }

    /// Sends a message with nothing but its header.
    fn send_empty(slf: &Bound<'_, Self>, header: Header) -> PyResult<()> {
        Self::put(slf, header, &slf.get().send.empty)?;
        slf.as_super().get().appended(slf.py())
    }

    /// A handler that had suspended has ended.
    pub fn finished(
        slf: &Bound<'_, Self>,
        task: &Bound<'_, HandlerTask>,
        outcome: PyResult<Py<PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let id = task.get().id(py);
        let finished = {
            let mut state = this.state.borrow(py);
            state.server.finished(id, address(task.as_unbound()))
        };
        let Finished {
            is_awaited,
            has_drained,
            task: held,
        } = finished;
        drop(held);
        let answered = if is_awaited {
            this.answer(slf, id, task.get().is_stream(py), outcome)
        } else if let Err(error) = outcome {
            Self::failed(slf, id, &error)
        } else {
            Ok(())
        };
        if has_drained {
            slf.call_method0(intern!(py, "_drained"))?;
        }
        Self::go_on(slf)?;
        answered
    }

    /// Takes requests again if there is reason to.
    fn go_on(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let connection = slf.as_super().get();
        let goes_on = {
            let mut state = slf.get().state.borrow(py);
            let has_room = connection.state(py).has_room();
            state.server.goes_on(has_room)
        };
        if goes_on {
            connection.proceed_soon(py)
        } else {
            Ok(())
        }
    }

    /// Sends the answer of a handler that has ended.
    #[inline]
    fn answer(
        &self,
        slf: &Bound<'_, Self>,
        id: u64,
        is_stream: bool,
        outcome: PyResult<Py<PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let sent = match outcome {
            Ok(value) => {
                let answer = {
                    let state = self.state.borrow(py);
                    state.server.answer(id, is_stream, !value.is_none(py))
                };
                match answer {
                    Answer::Nothing => return Ok(()),
                    Answer::Empty(header) => Self::put(slf, header, &self.send.empty),
                    Answer::Message(header) => match self.codec.get().encode(value.bind(py)) {
                        Ok(encoded) => Self::put(slf, header, encoded.as_bytes()),
                        Err(error) => Err(error),
                    },
                }
            }
            Err(error) => Err(error),
        };
        match sent {
            Ok(()) => slf.as_super().get().appended(py),
            Err(error) => Self::abort(slf, id, &error),
        }
    }

    /// Tells the caller that there will be no answer, and Python why.
    #[cold]
    fn abort(slf: &Bound<'_, Self>, id: u64, error: &PyErr) -> PyResult<()> {
        Self::send_empty(slf, refusal(id))?;
        Self::failed(slf, id, error)
    }

    #[cold]
    fn failed(slf: &Bound<'_, Self>, id: u64, error: &PyErr) -> PyResult<()> {
        let py = slf.py();
        slf.call_method1(intern!(py, "_failed"), (id, errors::value(py, error)))
            .map(drop)
    }

    #[inline]
    fn put(slf: &Bound<'_, Self>, header: Header, payload: &[u8]) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let mut state = slf.as_super().get().state(py);
        if state.closed {
            return Ok(());
        }
        let framing = this.codec.get().framing;
        state
            .append(py, &this.send.layout, framing, payload, header)
            .map_err(|malformed| PyValueError::new_err(malformed.0))
    }
}

fn address(task: &Py<HandlerTask>) -> usize {
    task.as_ptr() as usize
}
