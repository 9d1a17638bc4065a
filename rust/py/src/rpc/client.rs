//! A client's connection: calls out, answers in, deadlines, cancellation.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use protosocket_core::header::{Header, Layout};
use protosocket_core::rpc::about_connection;
use protosocket_core::rpc::client::{Call, Client, Event};
use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;

use crate::asyncio_glue::switch::plain;
use crate::asyncio_glue::task::{Turns, is_task_running};
use crate::codec::{Payload, Side, WireCodec};
use crate::connection::{Broken, Connection, Limits, Next, broken};
use crate::errors;
use crate::guarded::{Guarded, Held};
use crate::rpc::pool::{Answering, CallPool};
use crate::rpc::unary::UnaryCall;

/// Many calls in flight on one connection.
///
/// With `exchanges`, a call may send more than one message, its last answer is passed on, there are messages
/// about the connection (id 0: `_told(message)`), and the peer says of every call when it has ended: then its id
/// is used again at once. What `call` and `open` give is a handle that stays the call's own.
#[pyclass(extends = Connection, subclass, frozen, module = "protosocket._core")]
pub struct ClientConnection {
    codec: Py<WireCodec>,
    send: Side,
    receive: Layout,
    exchanges: bool,
    calls: Guarded<Calls>,
    /// Responses that were taken off the receive buffer and not handed over yet: their calls are in flight still.
    taken: AtomicUsize,
}

struct Calls {
    /// A call waits with a `UnaryCall` or an `asyncio.Future` for its one answer, or with a sink with `_item(message)`
    /// and `_end()` for the answers of a stream.
    client: Client<Held<PyAny>>,
    /// The loop time a timer is set for, and the timer.
    timer: Option<(f64, Held<PyAny>)>,
}

/// A call whose request is in the send queue.
struct Queued {
    handle: u64,
    is_urgent: bool,
}

/// An answer and, where somebody wants it, its payload.
type Taken<'py> = (Answer, Option<Payload<'py>>);

/// A decoded response, and who waits for it.
type Response<'py> = (Py<PyAny>, Bound<'py, PyAny>);

/// What comes after responses.
enum After<'py> {
    /// Perhaps another one.
    Another,
    Nothing,
    /// One that was to be the only one.
    Response(Py<PyAny>, Bound<'py, PyAny>),
    Other(Answer, Option<Payload<'py>>),
    Undecodable(Py<PyAny>, PyErr),
    Broken(Broken),
}

/// What an answer means for its call.
type Answer = Event<Held<PyAny>>;

#[pymethods]
impl ClientConnection {
    #[new]
    #[pyo3(signature = (codec, receive_limit, send_messages, send_bytes, read_messages, exchanges=false))]
    fn new(
        codec: Py<WireCodec>,
        receive_limit: usize,
        send_messages: usize,
        send_bytes: usize,
        read_messages: usize,
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
                    "a client needs to know where messages carry their id",
                ));
            }
        };
        let largest_id = codec
            .get()
            .receive
            .as_ref()
            .map_or(send.largest_id, |side| side.largest_id.min(send.largest_id));
        let calls = Calls {
            client: if exchanges {
                Client::with_exchanges()
            } else {
                Client::new(largest_id)
            },
            timer: None,
        };
        Ok(
            PyClassInitializer::from(connection).add_subclass(ClientConnection {
                codec,
                send,
                receive,
                exchanges,
                calls: Guarded::new(calls),
                taken: AtomicUsize::new(0),
            }),
        )
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

    /// Sends a request whose one answer completes `future`. The call's id, or 0 if nothing was sent
    /// because the connection is closed or its send queue is full. Raises EncodeError, and OptionError
    /// for a timeout (seconds) that is none.
    fn call(
        slf: &Bound<'_, Self>,
        request: &Bound<'_, PyAny>,
        future: Py<PyAny>,
        timeout: Option<f64>,
        clock: &Bound<'_, PyAny>,
    ) -> PyResult<u64> {
        Self::start(slf, request, Call::unary(future.into()), timeout, clock)
    }

    /// The same for a request that is answered by a stream: `sink._item(message)`, then `sink._end()`.
    /// With a `window` (bytes) the connection ends if the peer sends much more than that and what `_grant` adds.
    #[pyo3(signature = (request, sink, timeout, clock, window=None))]
    fn open(
        slf: &Bound<'_, Self>,
        request: &Bound<'_, PyAny>,
        sink: Py<PyAny>,
        timeout: Option<f64>,
        clock: &Bound<'_, PyAny>,
        window: Option<i64>,
    ) -> PyResult<u64> {
        Self::start(slf, request, Call::stream(sink.into(), window), timeout, clock)
    }

    /// Sends another message of a call; false if the send queue is full now. Nothing is sent if the call has
    /// ended or the connection is closed. Raises EncodeError.
    fn send(slf: &Bound<'_, Self>, handle: u64, message: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = slf.py();
        slf.as_super().get().require_home(py)?;
        let encoded = slf.get().codec.get().encode(message)?;
        let header = slf.get().calls.borrow(py).client.message(handle);
        match header {
            Some(header) => Self::put(slf, header, encoded.as_bytes(), message),
            None => Ok(true),
        }
    }

    /// Says that no further message of a call will be sent.
    fn end(slf: &Bound<'_, Self>, handle: u64) -> PyResult<()> {
        let header = slf.get().calls.borrow(slf.py()).client.end(handle);
        header.map_or(Ok(()), |header| Self::send_empty(slf, header))
    }

    /// Sends a message about the connection: one with the id 0. Raises EncodeError.
    fn tell(slf: &Bound<'_, Self>, message: &Bound<'_, PyAny>) -> PyResult<()> {
        let encoded = slf.get().codec.get().encode(message)?;
        Self::put(slf, about_connection(), encoded.as_bytes(), message).map(drop)
    }

    /// The future or sink of the call that has this id on the wire now.
    fn _waiter(&self, py: Python<'_>, id: u64) -> Option<Py<PyAny>> {
        let calls = self.calls.borrow(py);
        calls.client.waiter(id).map(|waiter| waiter.clone_ref(py))
    }

    /// Lets the peer send so many bytes more of a streamed answer; the call's id on the wire, or 0 if it has ended.
    fn _grant(&self, py: Python<'_>, handle: u64, credit: i64) -> u64 {
        let id = self.calls.borrow(py).client.grant(handle, credit);
        id.unwrap_or(0)
    }

    /// A call begins to wait for room; whether another does already.
    fn _queue_up(&self, py: Python<'_>) -> bool {
        self.calls.borrow(py).client.queue_up()
    }

    /// A call does not wait for room any more.
    fn _leave_queue(&self, py: Python<'_>) {
        self.calls.borrow(py).client.leave_queue();
    }

    /// The id that a call has on the wire, or 0 if it has ended.
    fn _id(&self, py: Python<'_>, handle: u64) -> u64 {
        self.calls.borrow(py).client.id(handle).unwrap_or(0)
    }

    /// Gives up a call: its answer is dropped and the server told to stop. False if it had ended.
    pub fn cancel(slf: &Bound<'_, Self>, handle: u64) -> PyResult<bool> {
        match slf.get().give_up(slf.py(), handle) {
            Some((header, _)) => match Self::send_empty(slf, header) {
                // Freed with the program: there is nobody to tell any more.
                Err(_) if slf.as_super().get().has_closed_loop(slf.py()) => Ok(true),
                sent => sent.map(|()| true),
            },
            None => Ok(false),
        }
    }

    /// Calls in flight.
    #[getter]
    fn _in_flight(&self, py: Python<'_>) -> usize {
        self.in_flight(py)
    }

    /// The futures and sinks that wait, in the order of their ids.
    fn _waiters(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        let calls = self.calls.borrow(py);
        let waiters = calls.client.waiters().into_iter();
        waiters.map(|waiter| waiter.clone_ref(py)).collect()
    }

    /// Ends every call here: the futures and sinks that wait, for the caller to fail.
    fn _abandon(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        let (waiting, timer) = {
            let mut calls = self.calls.borrow(py);
            (calls.client.lose(), calls.timer.take())
        };
        if let Some((_, timer)) = timer {
            timer.bind(py).call_method0(intern!(py, "cancel"))?;
        }
        Ok(waiting.into_iter().map(Held::free).collect())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.codec)?;
        let Some(calls) = self.calls.peek() else {
            return Ok(());
        };
        if let Some((_, timer)) = &calls.timer {
            visit.call(timer)?;
        }
        calls.client.iter().try_for_each(|waiter| visit.call(waiter))
    }

    fn __clear__(&self, py: Python<'_>) {
        let (waiting, timer) = {
            let mut calls = self.calls.borrow(py);
            (calls.client.lose(), calls.timer.take())
        };
        drop((waiting, timer));
    }

    /// The timer's callback: ends the calls whose time has passed and sets the next timer.
    fn _tick(slf: &Bound<'_, Self>, clock: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let now: f64 = clock.call_method0(intern!(py, "time"))?.extract()?;
        let before = slf.get().calls.borrow(py).timer.take();
        drop(before);
        loop {
            let expired = slf.get().calls.borrow(py).client.expire(now);
            let Some((header, waiter)) = expired else { break };
            let waiter = waiter.free();
            Self::send_empty(slf, header)?;
            slf.call_method1(intern!(py, "_call_expired"), (waiter,))?;
        }
        let next = slf.get().calls.borrow(py).client.next_deadline();
        match next {
            Some(when) => Self::set_timer(slf, when, clock),
            None => Ok(()),
        }
    }
}

impl ClientConnection {
    /// Calls in flight.
    #[inline]
    pub fn in_flight(&self, py: Python<'_>) -> usize {
        self.calls.borrow(py).client.len() + self.taken.load(Relaxed)
    }

    #[inline]
    fn start(
        slf: &Bound<'_, Self>,
        request: &Bound<'_, PyAny>,
        call: Call<Held<PyAny>>,
        timeout: Option<f64>,
        clock: &Bound<'_, PyAny>,
    ) -> PyResult<u64> {
        slf.as_super().get().require_home(slf.py())?;
        match Self::queue(slf, request, call, timeout)? {
            Some(queued) => {
                Self::dispatch(slf, &queued, timeout, || Ok(clock.clone())).map(|()| queued.handle)
            }
            None => Ok(0),
        }
    }

    /// Sends a request whose answer is for `call`; false if the connection is closed, its send queue full, or
    /// another call waits for room in it.
    #[inline]
    pub fn start_unary(
        slf: &Bound<'_, Self>,
        request: &Bound<'_, PyAny>,
        call: &Bound<'_, UnaryCall>,
        timeout: Option<f64>,
        caller: &CallPool,
    ) -> PyResult<bool> {
        let py = slf.py();
        if slf.get().calls.borrow(py).client.has_queue() {
            return Ok(false);
        }
        let waiter = Call::unary(call.clone().into_any().into());
        match Self::queue(slf, request, waiter, timeout)? {
            Some(queued) => {
                call.get().sent(py, slf, queued.handle);
                Self::dispatch(slf, &queued, timeout, || caller.event_loop(py)).map(|()| true)
            }
            None => Ok(false),
        }
    }

    /// Appends a request to the send queue and its call to the table; None if there is no connection or no room.
    #[inline]
    fn queue(
        slf: &Bound<'_, Self>,
        request: &Bound<'_, PyAny>,
        call: Call<Held<PyAny>>,
        timeout: Option<f64>,
    ) -> PyResult<Option<Queued>> {
        let py = slf.py();
        let this = slf.get();
        let connection = slf.as_super().get();
        check_timeout(py, timeout)?;
        // Room is looked for first: a request that must wait is encoded when it is its turn.
        {
            let state = connection.state(py);
            if state.closed || !state.has_room() {
                return Ok(None);
            }
        }
        let codec = this.codec.get();
        let encoded = codec.encode(request)?;
        let mut calls = this.calls.borrow(py);
        let mut state = connection.state(py);
        if state.closed {
            return Ok(None);
        }
        let header = calls.client.request();
        if let Err(malformed) = state.append(py, &this.send.layout, codec.framing, encoded.as_bytes(), header)
        {
            // Outside the borrows: making an error runs Python code.
            drop((calls, state));
            return Err(errors::encode(py, request, PyValueError::new_err(malformed.0)));
        }
        let handle = calls.client.started(header, call);
        let in_flight = calls.client.len() + this.taken.load(Relaxed);
        state.policy.observe(in_flight);
        let due = state.wrote();
        Ok(Some(Queued {
            handle,
            // A call that is alone gains nothing by waiting for others.
            is_urgent: due || in_flight == 1,
        }))
    }

    /// Sets the deadline of a call that was queued, and writes it now or at the end of the tick.
    #[inline]
    fn dispatch<'py>(
        slf: &Bound<'py, Self>,
        queued: &Queued,
        timeout: Option<f64>,
        clock: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let connection = slf.as_super().get();
        let set = match timeout {
            Some(timeout) => {
                clock().and_then(|clock| Self::set_deadline(slf, queued.handle, timeout, &clock))
            }
            None => Ok(()),
        };
        let flushed = set.and_then(|()| {
            if queued.is_urgent {
                connection.flush(py)
            } else {
                connection.flush_soon(py)
            }
        });
        if flushed.is_err() {
            // The caller hears of it in this way, so nobody waits for the answer.
            drop(slf.get().give_up(py, queued.handle));
        }
        flushed
    }

    fn set_deadline(
        slf: &Bound<'_, Self>,
        handle: u64,
        timeout: f64,
        clock: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        let now: f64 = clock.call_method0(intern!(py, "time"))?.extract()?;
        let when = now + timeout;
        let set = {
            let mut calls = slf.get().calls.borrow(py);
            let earliest = calls.client.set_deadline(handle, when);
            earliest && calls.timer.as_ref().is_none_or(|(set, _)| when < *set)
        };
        if set {
            Self::set_timer(slf, when, clock)
        } else {
            Ok(())
        }
    }

    fn set_timer(slf: &Bound<'_, Self>, when: f64, clock: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let tick = slf.getattr(intern!(py, "_tick"))?;
        let timer = clock
            .call_method1(intern!(py, "call_at"), (when, tick, clock))?
            .unbind();
        let old = slf.get().calls.borrow(py).timer.replace((when, timer.into()));
        if let Some((_, old)) = old {
            old.bind(py).call_method0(intern!(py, "cancel"))?;
        }
        Ok(())
    }

    /// Forgets a call that nobody waits for any more: what to tell the server, and who waited.
    fn give_up(&self, py: Python<'_>, handle: u64) -> Option<(Header, Py<PyAny>)> {
        let given_up = self.calls.borrow(py).client.cancel(handle);
        given_up.map(|(header, waiter)| (header, waiter.free()))
    }

    /// Queues a message; false if the send queue is full now.
    fn put(
        slf: &Bound<'_, Self>,
        header: Header,
        payload: &[u8],
        message: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        let connection = slf.as_super().get();
        {
            let mut state = connection.state(py);
            if state.closed {
                return Ok(true);
            }
            let framing = this.codec.get().framing;
            if let Err(malformed) = state.append(py, &this.send.layout, framing, payload, header) {
                drop(state);
                return Err(errors::encode(py, message, PyValueError::new_err(malformed.0)));
            }
        }
        connection.appended(py)?;
        Ok(connection.state(py).has_room())
    }

    fn send_empty(slf: &Bound<'_, Self>, header: Header) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let connection = slf.as_super().get();
        {
            let mut state = connection.state(py);
            if state.closed {
                return Ok(());
            }
            let framing = this.codec.get().framing;
            let Header { id, control } = header;
            let Side { layout, empty, .. } = &this.send;
            let framed = layout.frame(framing, empty, id, control, state.output());
            debug_assert!(framed.is_ok());
        }
        connection.appended(py)
    }

    /// Handles the answers in the receive buffer.
    fn handle(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let connection = slf.as_super().get();
        let at_once = !plain() && !is_task_running(py)?;
        // What tasks that go on at once send is written when the batch ends, unless that is due earlier.
        connection.state(py).in_batch = true;
        let began = Instant::now();
        let mut turns = Turns::default();
        let mut answering = Answering::default();
        let result = Self::batch(slf, at_once, &mut turns, &mut answering);
        let result = result.and(turns.end());
        drop(answering);
        {
            let mut state = connection.state(py);
            state.in_batch = false;
            state.policy.observe_work(began, Instant::now());
        }
        connection.flush(py)?;
        if result.is_err() {
            // What stops the program is for the event loop; the answers behind it still wait here.
            connection.proceed_soon(py)?;
        }
        result
    }

    fn batch<'py>(
        slf: &Bound<'py, Self>,
        at_once: bool,
        turns: &mut Turns<'py>,
        answering: &mut Answering<'py>,
    ) -> PyResult<()> {
        let py = slf.py();
        let connection = slf.as_super().get();
        let codec = slf.get().codec.get();
        let ahead = codec.ahead;
        let mut left = connection.state(py).budget();
        let mut responses = Vec::with_capacity(left.min(ahead));
        while left > 0 {
            // Only what is known to run no Python code comes between two turns.
            if !codec.decodes_natively() {
                turns.end()?;
            }
            let after = Self::take(slf, &mut responses, left.min(ahead));
            left -= responses.len();
            let mut taken = responses.len();
            let mut result = Ok(());
            for (waiter, message) in responses.drain(..) {
                taken -= 1;
                slf.get().taken.store(taken, Relaxed);
                // Each has its response, even if one before leads to what stops the program.
                let at_once = at_once && result.is_ok();
                let handed = Self::hand_over(slf, waiter, message, at_once, turns, answering);
                result = result.and(handed);
            }
            // The same goes for what was taken after them.
            let goes_on = match after {
                After::Another => Ok(true),
                After::Nothing => Ok(false),
                After::Response(waiter, message) => {
                    left -= 1;
                    Self::hand_over(slf, waiter, message, at_once, turns, answering).map(|()| true)
                }
                after => {
                    left = left.saturating_sub(1);
                    turns.end().and_then(|()| Self::handle_other(slf, after))
                }
            };
            result?;
            if !goes_on? || connection.is_paused(py) {
                return Ok(());
            }
        }
        turns.end()?;
        connection.pause(py)?;
        connection.proceed_soon(py)
    }

    /// Takes responses off the receive buffer, at most `most`, and decodes them; what comes after them.
    #[inline]
    fn take<'py>(slf: &Bound<'py, Self>, responses: &mut Vec<Response<'py>>, most: usize) -> After<'py> {
        let py = slf.py();
        while responses.len() < most {
            match Self::next(slf) {
                Ok(Some((Answer::Response(waiter), Some(payload)))) => {
                    let waiter = waiter.free();
                    match slf.get().codec.get().decode(py, payload) {
                        Ok(message) if most == 1 => return After::Response(waiter, message),
                        Ok(message) => responses.push((waiter, message)),
                        Err(error) => return After::Undecodable(waiter, error),
                    }
                }
                Ok(Some((answer, payload))) => return After::Other(answer, payload),
                Ok(None) => return After::Nothing,
                Err(why) => return After::Broken(why),
            }
        }
        After::Another
    }

    /// Gives a response to who waits for it.
    #[inline]
    fn hand_over<'py>(
        slf: &Bound<'py, Self>,
        waiter: Py<PyAny>,
        message: Bound<'py, PyAny>,
        at_once: bool,
        turns: &mut Turns<'py>,
        answering: &mut Answering<'py>,
    ) -> PyResult<()> {
        let py = slf.py();
        let Ok(call) = waiter.bind(py).cast_exact::<UnaryCall>() else {
            turns.end()?;
            // A future whose task was cancelled in this very tick refuses its result: nobody waits.
            drop(
                waiter
                    .bind(py)
                    .call_method1(intern!(py, "set_result"), (message,)),
            );
            return Ok(());
        };
        if at_once {
            answering.note(call.get().caller_object(py), slf);
        }
        let answered = UnaryCall::answer(call, message, at_once.then_some(&mut *turns));
        if answered.is_err() || UnaryCall::is_watched(call) {
            turns.end()?;
        }
        answered
    }

    /// Handles what is no response that can be decoded; whether others may follow.
    fn handle_other<'py>(slf: &Bound<'py, Self>, after: After<'py>) -> PyResult<bool> {
        let py = slf.py();
        let connection = slf.as_super().get();
        let decode = |payload| slf.get().codec.get().decode(py, payload);
        let undecodable =
            |error: PyErr| broken(slf.as_any(), connection, Broken::Undecodable(error)).map(|()| false);
        let lost = |waiter: Py<PyAny>, error: PyErr| {
            let value = errors::value(py, &error);
            slf.call_method1(intern!(py, "_call_undecodable"), (waiter, value))?;
            undecodable(error)
        };
        let (answer, payload) = match after {
            After::Other(answer, payload) => (answer, payload),
            After::Undecodable(waiter, error) => return lost(waiter, error),
            After::Broken(why) => return broken(slf.as_any(), connection, why).map(|()| false),
            After::Another | After::Nothing | After::Response(..) => return Ok(true),
        };
        match (answer, payload) {
            (Answer::Item(sink), Some(payload)) => match decode(payload) {
                Ok(message) => sink.bind(py).call_method1(intern!(py, "_item"), (message,)),
                Err(error) => return undecodable(error),
            },
            (Answer::End(waiter), _) => slf.call_method1(intern!(py, "_call_ended"), (waiter.free(),)),
            (Answer::Last(waiter), Some(payload)) => match decode(payload) {
                Ok(message) => slf.call_method1(intern!(py, "_call_ended"), (waiter.free(), message)),
                Err(error) => return lost(waiter.free(), error),
            },
            (Answer::Cancelled(waiter), _) => {
                slf.call_method1(intern!(py, "_call_cancelled"), (waiter.free(),))
            }
            (Answer::Told, Some(payload)) => match decode(payload) {
                Ok(message) => slf.call_method1(intern!(py, "_told"), (message,)),
                Err(error) => return undecodable(error),
            },
            _ => return Ok(true),
        }?;
        Ok(true)
    }

    /// Takes the next answer off the receive buffer.
    #[inline]
    fn next<'py>(slf: &Bound<'py, Self>) -> Result<Option<Taken<'py>>, Broken> {
        let py = slf.py();
        let this = slf.get();
        let mut state = slf.as_super().get().state(py);
        if state.closed {
            return Ok(None);
        }
        if this.exchanges {
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
        let header = this
            .receive
            .scan(payload)
            .map_err(|malformed| Broken::Invalid(malformed.0.to_owned()))?;
        let mut calls = this.calls.borrow(py);
        let event = calls
            .client
            .receive(header, payload.len(), |sink| sink.clone_ref(py).into())
            .map_err(|violation| Broken::Invalid(violation.to_string()))?;
        let payload = event
            .has_message()
            .then(|| state.payload(this.codec.get(), py, start, total));
        state.consume(total);
        Ok(Some((event, payload)))
    }
}

/// Raises OptionError for a timeout that is none.
#[inline]
pub fn check_timeout(py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
    if timeout.is_some_and(|timeout| !(timeout >= 0.0 && timeout.is_finite())) {
        let rule = "timeout is a number of seconds, 0 or more; None means no limit";
        return Err(errors::option(py, rule));
    }
    Ok(())
}
