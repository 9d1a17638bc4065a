//! Handlers called, and what is sent when they have ended.

use protosocket_core::rpc::refusal;
use protosocket_core::rpc::server::{Answer, Finished};
use protosocket_core::wire::header::Header;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;

use super::connection::{ServerCall, ServerConnection, key};
use super::requests::Batch;
use crate::asyncio_glue::coroutine::{Begun, Step, copy_context, is_coroutine, is_plain};
use crate::asyncio_glue::handlers::report;
use crate::errors;

impl<'py> Batch<'_, 'py> {
    /// Calls the handler, and sends its answer if it has one already.
    #[inline]
    pub fn call(&mut self, id: u64, request: Bound<'py, PyAny>) -> PyResult<()> {
        let (server, handler) = (self.server, self.handler);
        let context = copy_context(&self.context)?;
        let mut adopted = None;
        let begin = || {
            let result = handler.call1((request,))?;
            if is_coroutine(&result)? {
                return Ok(Begun::Coroutine(result));
            }
            if is_plain(&result)? {
                return Ok(Begun::Answer(result));
            }
            Self::adopt(server, id, result, &mut adopted)
        };
        let step = self.handlers.run(id, &context, begin)?;
        let is_stream = |call: &Bound<'_, ServerCall>| call.get().is_stream(server.py());
        match step {
            Step::Ended(outcome) => {
                let is_stream = adopted.as_ref().is_some_and(is_stream);
                server.get().answer(server, id, is_stream, outcome)
            }
            Step::Suspended(task) => {
                let call = match adopted {
                    Some(call) => call,
                    None => ServerCall::create(server, id)?,
                };
                call.get().goes_on_in(&task);
                ServerConnection::suspended(server, &call)?;
                report(&task, &call, &context)
            }
        }
    }

    /// What to run for a handler's result that is no coroutine.
    fn adopt(
        server: &Bound<'py, ServerConnection>,
        id: u64,
        result: Bound<'py, PyAny>,
        adopted: &mut Option<Bound<'py, ServerCall>>,
    ) -> PyResult<Begun<'py>> {
        let py = server.py();
        let call = ServerCall::create(server, id)?;
        let (coroutine, is_stream): (Option<Bound<'_, PyAny>>, bool) = server
            .call_method1(intern!(py, "_adopt"), (&call, &result))?
            .extract()?;
        call.get().set_stream(py, is_stream);
        *adopted = Some(call);
        Ok(coroutine.map_or(Begun::Answer(result), Begun::Coroutine))
    }
}

impl ServerConnection {
    /// A handler goes on later.
    fn suspended(slf: &Bound<'_, Self>, call: &Bound<'_, ServerCall>) -> PyResult<()> {
        let py = slf.py();
        let is_known = {
            let mut state = slf.get().state.borrow(py);
            let key = key(call.as_unbound());
            state.server.suspended(call.get().id, key, call.clone().into());
            std::mem::replace(&mut state.known_to_wait, true)
        };
        if !is_known {
            slf.call_method0(intern!(py, "_handlers_wait"))?;
        }
        Ok(())
    }

    /// Sends a message with nothing but its header.
    pub fn send_empty(slf: &Bound<'_, Self>, header: Header) -> PyResult<()> {
        Self::put(slf, header, &slf.get().send.empty)?;
        slf.as_super().get().appended(slf.py())
    }

    /// A handler that had suspended has ended.
    pub fn finished(
        slf: &Bound<'_, Self>,
        call: &Bound<'_, ServerCall>,
        outcome: PyResult<Py<PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let id = call.get().id;
        let finished = {
            let mut state = this.state.borrow(py);
            state.server.finished(id, key(call.as_unbound()))
        };
        let Finished {
            is_awaited,
            has_drained,
            task: held,
        } = finished;
        drop(held);
        let answered = if is_awaited {
            this.answer(slf, id, call.get().is_stream(py), outcome)
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
    pub fn go_on(slf: &Bound<'_, Self>) -> PyResult<()> {
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
    pub fn put(slf: &Bound<'_, Self>, header: Header, payload: &[u8]) -> PyResult<()> {
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
