//! The client's reactor: calls out, answers in, deadlines, cancellation.

use protosocket_core::deadlines::Deadlines;
use protosocket_core::header::{Control, Layout};
use protosocket_core::table::Pending;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::codec::{Side, WireCodec};
use crate::errors;
use crate::guarded::Guarded;
use crate::link::{Broken, Limits, Link, Next, broken};

/// Many calls in flight on one connection.
#[pyclass(extends = Link, subclass, frozen, module = "protosocket._core")]
pub struct ClientReactor {
    codec: Py<WireCodec>,
    send: Side,
    receive: Layout,
    calls: Guarded<Calls>,
}

struct Calls {
    pending: Pending<Call>,
    deadlines: Deadlines,
    /// The loop time a timer is set for, and the timer.
    timer: Option<(f64, Py<PyAny>)>,
}

enum Call {
    /// An `asyncio.Future` for the one answer.
    Unary(Py<PyAny>),
    /// A sink with `_item(message)` and `_end()` for the answers of a stream.
    Stream(Py<PyAny>),
}

impl Call {
    fn waiter(self) -> Py<PyAny> {
        match self {
            Call::Unary(waiter) | Call::Stream(waiter) => waiter,
        }
    }
}

/// An answer and, where somebody wants it, its payload.
type Taken<'py> = (Answer, Option<Bound<'py, PyBytes>>);

/// What an answer means for its call.
enum Answer {
    Response(Py<PyAny>),
    Item(Py<PyAny>),
    End(Call),
    Cancelled(Call),
    Unknown,
}

#[pymethods]
impl ClientReactor {
    #[new]
    fn new(
        codec: Py<WireCodec>,
        receive_limit: usize,
        send_messages: usize,
        send_bytes: usize,
        read_messages: usize,
    ) -> PyResult<PyClassInitializer<Self>> {
        let limits = Limits {
            receive: receive_limit,
            send_messages,
            send_bytes,
            read_messages,
        };
        let link = Link::create(codec.get().framing, limits);
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
            pending: Pending::new(largest_id),
            deadlines: Deadlines::default(),
            timer: None,
        };
        Ok(PyClassInitializer::from(link).add_subclass(ClientReactor {
            codec,
            send,
            receive,
            calls: Guarded::new(calls),
        }))
    }

    fn buffer_updated(slf: &Bound<'_, Self>, nbytes: usize) -> PyResult<()> {
        if slf.as_super().get().received(slf.py(), nbytes) {
            Self::handle(slf)
        } else {
            Ok(())
        }
    }

    fn _proceed(slf: &Bound<'_, Self>) -> PyResult<()> {
        let link = slf.as_super().get();
        if link.proceeds(slf.py()) {
            Self::handle(slf)?;
            link.resume_reading(slf.py())?;
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
        Self::start(slf, request, Call::Unary(future), timeout, clock)
    }

    /// The same for a request that is answered by a stream: `sink._item(message)`, then `sink._end()`.
    fn open(
        slf: &Bound<'_, Self>,
        request: &Bound<'_, PyAny>,
        sink: Py<PyAny>,
        timeout: Option<f64>,
        clock: &Bound<'_, PyAny>,
    ) -> PyResult<u64> {
        Self::start(slf, request, Call::Stream(sink), timeout, clock)
    }

    /// Gives up a call: its answer is dropped and the server told to stop. False if it had ended.
    fn cancel(slf: &Bound<'_, Self>, id: u64) -> PyResult<bool> {
        let py = slf.py();
        let call = slf.get().calls.borrow(py).pending.remove(id);
        match call {
            Some(_) => Self::send_cancel(slf, id).map(|()| true),
            None => Ok(false),
        }
    }

    /// Calls in flight.
    #[getter]
    fn _in_flight(&self, py: Python<'_>) -> usize {
        self.calls.borrow(py).pending.len()
    }

    /// Ends every call here: the futures and sinks that wait, for the caller to fail.
    fn _abandon(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        let (waiting, timer) = {
            let mut calls = self.calls.borrow(py);
            (calls.pending.drain(), calls.timer.take())
        };
        if let Some((_, timer)) = timer {
            timer.bind(py).call_method0(intern!(py, "cancel"))?;
        }
        Ok(waiting.into_iter().map(|(_, call)| call.waiter()).collect())
    }

    /// The timer's callback: ends the calls whose time has passed and sets the next timer.
    fn _tick(slf: &Bound<'_, Self>, clock: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let now: f64 = clock.call_method0(intern!(py, "time"))?.extract()?;
        slf.get().calls.borrow(py).timer = None;
        loop {
            let expired = {
                let mut calls = slf.get().calls.borrow(py);
                let Some(id) = calls.deadlines.expired(now) else {
                    break;
                };
                calls.pending.remove(id).map(|call| (id, call))
            };
            if let Some((id, call)) = expired {
                Self::send_cancel(slf, id)?;
                slf.call_method1(intern!(py, "_call_expired"), (call.waiter(),))?;
            }
        }
        let next = {
            let mut calls = slf.get().calls.borrow(py);
            let Calls {
                pending, deadlines, ..
            } = &mut *calls;
            deadlines.earliest(|id| pending.contains(id))
        };
        match next {
            Some(when) => Self::set_timer(slf, when, clock),
            None => Ok(()),
        }
    }
}

impl ClientReactor {
    #[inline]
    fn start(
        slf: &Bound<'_, Self>,
        request: &Bound<'_, PyAny>,
        call: Call,
        timeout: Option<f64>,
        clock: &Bound<'_, PyAny>,
    ) -> PyResult<u64> {
        let py = slf.py();
        let this = slf.get();
        let link = slf.as_super().get();
        if timeout.is_some_and(|timeout| !(timeout >= 0.0 && timeout.is_finite())) {
            return Err(errors::option(
                py,
                "timeout is a number of seconds, 0 or more; None means no limit",
            ));
        }
        // Room is looked for first: a request that must wait is encoded when it is its turn.
        {
            let state = link.state(py);
            if state.closed || !state.has_room() {
                return Ok(0);
            }
        }
        let codec = this.codec.get();
        let encoded = codec.encode(request)?;
        let (id, alone, due) = {
            let mut calls = this.calls.borrow(py);
            let mut state = link.state(py);
            if state.closed {
                return Ok(0);
            }
            let id = calls.pending.next_id();
            let payload = encoded.as_bytes();
            if let Err(malformed) =
                this.send
                    .layout
                    .frame(codec.framing, payload, id, Control::Normal, &mut state.output)
            {
                return Err(errors::encode(py, request, PyValueError::new_err(malformed.0)));
            }
            let id = calls.pending.insert(call);
            let in_flight = calls.pending.len();
            state.policy.observe(in_flight);
            (id, in_flight == 1, state.wrote())
        };
        let set = timeout.map_or(Ok(()), |timeout| Self::set_deadline(slf, id, timeout, clock));
        // A call that is alone gains nothing by waiting for others.
        let flushed = set.and_then(|()| {
            if due || alone {
                link.flush(py)
            } else {
                link.flush_soon(py)
            }
        });
        match flushed {
            Ok(()) => Ok(id),
            Err(error) => {
                // The caller hears of it in this way, so nobody waits for the answer.
                let call = this.calls.borrow(py).pending.remove(id);
                drop(call);
                Err(error)
            }
        }
    }

    fn set_deadline(slf: &Bound<'_, Self>, id: u64, timeout: f64, clock: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let now: f64 = clock.call_method0(intern!(py, "time"))?.extract()?;
        let when = now + timeout;
        let set = {
            let mut calls = slf.get().calls.borrow(py);
            let Calls {
                pending,
                deadlines,
                timer,
            } = &mut *calls;
            let earliest = deadlines.add(when, id, pending.len(), |id| pending.contains(id));
            earliest && timer.as_ref().is_none_or(|(set, _)| when < *set)
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
        let old = slf.get().calls.borrow(py).timer.replace((when, timer));
        if let Some((_, old)) = old {
            old.bind(py).call_method0(intern!(py, "cancel"))?;
        }
        Ok(())
    }

    fn send_cancel(slf: &Bound<'_, Self>, id: u64) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let link = slf.as_super().get();
        {
            let mut state = link.state(py);
            if state.closed {
                return Ok(());
            }
            let framing = this.codec.get().framing;
            let framed =
                this.send
                    .layout
                    .frame(framing, &this.send.empty, id, Control::Cancel, &mut state.output);
            debug_assert!(framed.is_ok());
        }
        link.appended(py)
    }

    fn handle(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let link = slf.as_super().get();
        let budget = link.state(py).limits.read_messages;
        for _ in 0..budget {
            let (answer, payload) = match Self::next(slf) {
                Ok(Some(next)) => next,
                Ok(None) => return Ok(()),
                Err(why) => return broken(slf.as_any(), link, why),
            };
            match (answer, payload) {
                (Answer::Response(future), Some(payload)) => match slf.get().codec.get().decode(payload) {
                    // A future whose task was cancelled in this very tick refuses its result: nobody waits.
                    Ok(message) => drop(
                        future
                            .bind(py)
                            .call_method1(intern!(py, "set_result"), (message,)),
                    ),
                    Err(error) => {
                        let why = Broken::Invalid(error.to_string());
                        slf.call_method1(intern!(py, "_call_undecodable"), (future, error.value(py)))?;
                        return broken(slf.as_any(), link, why);
                    }
                },
                (Answer::Item(sink), Some(payload)) => match slf.get().codec.get().decode(payload) {
                    Ok(message) => {
                        sink.bind(py).call_method1(intern!(py, "_item"), (message,))?;
                    }
                    Err(error) => return broken(slf.as_any(), link, Broken::Invalid(error.to_string())),
                },
                (Answer::End(call), _) => {
                    slf.call_method1(intern!(py, "_call_ended"), (call.waiter(),))?;
                }
                (Answer::Cancelled(call), _) => {
                    slf.call_method1(intern!(py, "_call_cancelled"), (call.waiter(),))?;
                }
                _ => {}
            }
            if link.is_paused(py) {
                return Ok(());
            }
        }
        link.pause(py)?;
        link.proceed_soon(py)
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
        let (start, total) = match state.next() {
            Next::Frame { header, total } => (header, total),
            Next::Wait => return Ok(None),
            Next::Broken(why) => return Err(why),
        };
        let payload = &state.receive.unread()[start..total];
        let header = this
            .receive
            .scan(payload)
            .map_err(|malformed| Broken::Invalid(malformed.0.to_owned()))?;
        let mut calls = this.calls.borrow(py);
        let answer = match header.control {
            Control::Normal => match calls.pending.get(header.id) {
                Some(Call::Stream(sink)) => Answer::Item(sink.clone_ref(py)),
                Some(Call::Unary(_)) => match calls.pending.remove(header.id) {
                    Some(call) => Answer::Response(call.waiter()),
                    None => Answer::Unknown,
                },
                None => Answer::Unknown,
            },
            Control::End => calls
                .pending
                .remove(header.id)
                .map_or(Answer::Unknown, Answer::End),
            Control::Cancel => calls
                .pending
                .remove(header.id)
                .map_or(Answer::Unknown, Answer::Cancelled),
        };
        let wanted = matches!(answer, Answer::Response(_) | Answer::Item(_));
        let payload = wanted.then(|| PyBytes::new(py, payload));
        state.consume(total);
        Ok(Some((answer, payload)))
    }
}
