//! Answers in: each is taken off the receive buffer, decoded, and given to who waits for it.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use protosocket_core::rpc::client::Event;
use pyo3::intern;
use pyo3::prelude::*;

use super::ClientConnection;
use crate::asyncio_glue::current_task::{Turns, is_task_running};
use crate::asyncio_glue::switch::plain;
use crate::codec::Payload;
use crate::connection::{BadInput, end_for_bad_input};
use crate::errors;
use crate::guarded::Held;
use crate::rpc::call::UnaryCall;
use crate::rpc::pool::Answering;

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
    BadInput(BadInput),
}

/// What an answer means for its call.
type Answer = Event<Held<PyAny>>;

impl ClientConnection {
    /// Handles the answers in the receive buffer.
    pub(super) fn handle(slf: &Bound<'_, Self>) -> PyResult<()> {
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
                Err(why) => return After::BadInput(why),
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
            answering.note(call.get().caller(py), slf);
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
        let undecodable = |error: PyErr| {
            end_for_bad_input(slf.as_any(), connection, BadInput::Undecodable(error)).map(|()| false)
        };
        let lost = |waiter: Py<PyAny>, error: PyErr| {
            let value = errors::value(py, &error);
            slf.call_method1(intern!(py, "_call_undecodable"), (waiter, value))?;
            undecodable(error)
        };
        let (answer, payload) = match after {
            After::Other(answer, payload) => (answer, payload),
            After::Undecodable(waiter, error) => return lost(waiter, error),
            After::BadInput(why) => return end_for_bad_input(slf.as_any(), connection, why).map(|()| false),
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
    fn next<'py>(slf: &Bound<'py, Self>) -> Result<Option<Taken<'py>>, BadInput> {
        let py = slf.py();
        let this = slf.get();
        let mut state = slf.as_super().get().state(py);
        let Some((header, start, total)) = state.next_with_header(py, &this.receive, this.exchanges)? else {
            return Ok(None);
        };
        let mut calls = this.calls.borrow(py);
        let event = calls
            .client
            .receive(header, total - start, |sink| sink.clone_ref(py).into())
            .map_err(|violation| BadInput::Invalid(violation.to_string()))?;
        let payload = event
            .has_message()
            .then(|| state.payload(this.codec.get(), py, start, total));
        state.consume(total);
        Ok(Some((event, payload)))
    }
}
