//! Requests as they arrive: a batch at a time, each to its handler when its turn has come.

use protosocket_core::rpc::message;
use protosocket_core::rpc::server::{Event, Turn};
use protosocket_core::wire::header::Header;
use pyo3::intern;
use pyo3::prelude::*;

use super::connection::{ServerCall, ServerConnection, Waiting};
use super::native::{NativeHandler, native};
use crate::asyncio_glue::handlers::Handlers;
use crate::codec::Payload;
use crate::connection::{BadInput, Connection, end_for_bad_input};
use crate::guarded::Held;

impl Waiting {
    fn request(self, py: Python<'_>, id: u64, is_last: bool) -> Result<Request<'_>, BadInput> {
        match self {
            Waiting::Encoded(kept) if is_last => Ok(Request::Last(id, kept.payload(py))),
            Waiting::Encoded(kept) => Ok(Request::Call(id, kept.payload(py))),
            Waiting::Decoded(message) => Ok(Request::Decoded(id, message.free().into_bound(py))),
            Waiting::Undecodable(error) => Err(BadInput::Undecodable(error)),
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
    Cancelled(Option<Py<ServerCall>>, Vec<Waiting>, Header),
    Dropped,
}

/// The requests that are handled in one go, and what they are handled with.
pub struct Batch<'a, 'py> {
    pub server: &'a Bound<'py, ServerConnection>,
    pub handler: &'a Bound<'py, PyAny>,
    pub handlers: Handlers<'py>,
    /// What each handler's context is a copy of.
    pub context: Bound<'py, PyAny>,
    native: Option<&'a dyn NativeHandler>,
}

impl ServerConnection {
    /// Handles the requests in the receive buffer.
    pub fn handle(slf: &Bound<'_, Self>) -> PyResult<()> {
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
            Ok(Some(why)) => end_for_bad_input(slf.as_any(), connection, why),
            Err(error) => {
                // What stops the program is for the event loop; the requests behind it still wait here.
                connection.proceed_soon(py)?;
                Err(error)
            }
        }
    }

    fn batch(slf: &Bound<'_, Self>, handled: &mut usize) -> PyResult<Option<BadInput>> {
        let py = slf.py();
        let this = slf.get();
        let (handler, event_loop, context, spare) = {
            let mut state = this.state.borrow(py);
            let Some(serving) = &state.serving else {
                return Ok(None);
            };
            let handler = serving.handler.bind(py).clone();
            let event_loop = serving.event_loop.bind(py).clone();
            let context = serving.context.bind(py).clone();
            (handler, event_loop, context, state.spare.take())
        };
        let mut batch = Batch {
            server: slf,
            handler: &handler,
            handlers: Handlers::begin(&event_loop, spare.map(Held::free))?,
            context,
            native: native(&handler),
        };
        let result = batch.run(handled);
        let spare = batch.handlers.end()?;
        if result.is_ok() {
            let before = {
                let mut state = this.state.borrow(py);
                match state.serving {
                    Some(_) => std::mem::replace(&mut state.spare, spare.map(Held::from)),
                    None => None,
                }
            };
            drop(before);
        }
        result
    }

    /// Takes the next message off the receive buffer; with `only_calls` none but a request whose handler may be called.
    #[inline]
    fn next<'py>(
        &self,
        connection: &Connection,
        py: Python<'py>,
        only_calls: bool,
    ) -> Result<Option<Request<'py>>, BadInput> {
        let mut state = connection.state(py);
        let Some((header, start, total)) = state.next_with_header(py, &self.receive, self.exchanges)? else {
            return Ok(None);
        };
        let server = &mut self.state.borrow(py).server;
        if only_calls && !server.is_call(header) {
            return Ok(None);
        }
        let payload = || state.payload(self.codec.get(), py, start, total);
        let event = server.receive(header);
        let request = match event.map_err(|violation| BadInput::Invalid(violation.to_string()))? {
            Event::Call => Request::Call(header.id, payload()),
            Event::Last => Request::Last(header.id, payload()),
            Event::Wait => Request::Wait(header, payload()),
            Event::Refused(header) => Request::Refused(header),
            Event::Cancelled(call, withdrawn, header) => {
                Request::Cancelled(call.map(|call| call.clone_ref(py)), withdrawn, header)
            }
            Event::Dropped => Request::Dropped,
        };
        state.consume(total);
        Ok(Some(request))
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
}

impl<'py> Batch<'_, 'py> {
    /// Until nothing more can be taken; what broke the connection, if something did.
    fn run(&mut self, handled: &mut usize) -> PyResult<Option<BadInput>> {
        let py = self.server.py();
        let connection = self.server.as_super().get();
        let this = self.server.get();
        let budget = connection.state(py).budget();
        let ahead = match self.native {
            Some(_) => 1,
            None => this.codec.get().ahead,
        };
        loop {
            if !connection.state(py).has_room() {
                this.state.borrow(py).server.stall();
                return connection.pause(py).map(|()| None);
            }
            if *handled == budget {
                connection.pause(py)?;
                return connection.proceed_soon(py).map(|()| None);
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
                Turn::Stall => return connection.pause(py).map(|()| None),
            };
            let request = match taken {
                Ok(Some(request)) => request,
                Ok(None) => return Ok(None),
                Err(why) => return Ok(Some(why)),
            };
            *handled += 1;
            if let Some(why) = self.execute(request)? {
                return Ok(Some(why));
            }
        }
    }

    /// Does what one message asks for.
    #[inline]
    fn execute(&mut self, request: Request<'py>) -> PyResult<Option<BadInput>> {
        let (server, py) = (self.server, self.server.py());
        let this = server.get();
        match request {
            Request::Dropped => {}
            Request::Cancelled(call, withdrawn, header) => {
                drop(withdrawn);
                if let Some(call) = call {
                    call.get().abandon(py)?;
                }
                ServerConnection::send_empty(server, header)?;
            }
            Request::Refused(header) => ServerConnection::send_empty(server, header)?,
            Request::Wait(header, payload) => {
                let length = payload.length();
                let waits = Waiting::Encoded(payload.keep(py));
                this.state.borrow(py).server.wait(header, waits, length);
            }
            Request::Decoded(id, request) => self.call(id, request)?,
            Request::Last(id, payload) => {
                match this.codec.get().decode(py, payload) {
                    Ok(request) => self.call(id, request)?,
                    Err(error) => return Ok(Some(BadInput::Undecodable(error))),
                }
                server.call_method1(intern!(py, "_half_closed"), (id,))?;
            }
            Request::Call(id, payload) => {
                let mut send = |answer: &[u8]| ServerConnection::put(server, message(id), answer);
                let native = self.native;
                if let Some(sent) =
                    native.and_then(|native| native.execute(py, payload.as_bytes(), &mut send))
                {
                    payload.give_back(this.codec.get(), py);
                    sent?;
                    return server.as_super().get().appended(py).map(|()| None);
                }
                match this.codec.get().decode(py, payload) {
                    Ok(request) => self.call(id, request)?,
                    Err(error) => return Ok(Some(BadInput::Undecodable(error))),
                }
            }
        }
        Ok(None)
    }
}
