//! A server's connection and its calls, as Python knows them.

use protosocket_core::rpc::server::{Limits as ServerLimits, Server};
use protosocket_core::rpc::{about_connection, message};
use protosocket_core::wire::layouts::Layout;
use pyo3::exceptions::asyncio::CancelledError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;

use crate::asyncio_glue::coroutine::current_context;
use crate::asyncio_glue::handler_task::HandlerTask;
use crate::asyncio_glue::handlers::{stop_handler, tells_of_exits};
use crate::codec::{Kept, Side, WireCodec};
use crate::connection::{Connection, Limits};
use crate::errors;
use crate::guarded::{Guarded, Held};

/// One connection of an RPC server.
///
/// The Python class adds `_adopt(call, result)` (what to run for a handler's result that is no
/// coroutine, and whether that streams), `_failed(id, error)` (logs a handler's error), `_drained()`, `_handlers_wait()` (the first that
/// suspends) and what `Connection` calls.
///
/// With `exchanges`, a call may have more than one message, and some are about the connection: the handler gets
/// all of them, and has nothing to answer where it gives None. Behind the last one of a call, `_half_closed(id)` is
/// called.
#[pyclass(extends = Connection, subclass, frozen, module = "protosocket._core")]
pub struct ServerConnection {
    pub codec: Py<WireCodec>,
    pub receive: Layout,
    pub send: Side,
    pub exchanges: bool,
    pub state: Guarded<ServerState>,
}

pub struct ServerState {
    pub server: Server<Held<ServerCall>, Waiting>,
    pub serving: Option<Serving>,
    /// A task object that nobody else holds, for the next batch.
    pub spare: Option<Held<HandlerTask>>,
    /// `_handlers_wait()` was called, and `_rest()` not since then.
    pub known_to_wait: bool,
}

/// A request that waits for its handler.
pub enum Waiting {
    Encoded(Kept),
    Decoded(Held<PyAny>),
    Undecodable(PyErr),
}

/// What requests are served with.
pub struct Serving {
    pub handler: Held<PyAny>,
    pub event_loop: Held<PyAny>,
    /// What each handler's context is a copy of.
    pub context: Held<PyAny>,
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
        let (send, receive) = codec.get().sides("a server")?;
        // A 64-bit field carries any id, whichever of them its own clients choose.
        let largest_id = if send.largest_id > u64::from(u32::MAX) {
            u64::MAX
        } else {
            send.largest_id
        };
        let (send, receive) = (send.clone(), receive.layout.clone());
        let limits = ServerLimits {
            calls: max_calls,
            waiting: read_messages,
            waiting_bytes: receive_limit,
            largest_id,
        };
        let state = ServerState {
            server: Server::new(limits, exchanges),
            serving: None,
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
        let serving = Serving {
            handler: handler.into(),
            event_loop: event_loop.into(),
            context: current_context(py)?.into(),
        };
        let before = self.state.borrow(py).serving.replace(serving);
        drop(before);
        Ok(())
    }

    fn buffer_updated(slf: &Bound<'_, Self>, nbytes: usize) -> PyResult<()> {
        let connection = slf.as_super().get();
        connection.read_on(slf.py(), nbytes, || Self::handle(slf))
    }

    fn _proceed(slf: &Bound<'_, Self>) -> PyResult<()> {
        let connection = slf.as_super().get();
        connection.proceed(slf.py(), || Self::handle(slf))
    }

    /// The send queue has room again.
    fn _writes_again(slf: &Bound<'_, Self>) -> PyResult<()> {
        Connection::write_again(slf.as_super())?;
        Self::go_on(slf)
    }

    /// Sends an item of a stream; false if the send queue is full now. Raises EncodeError, and
    /// CancelledError if the call was given up: a handler that caught that does not go on for nobody.
    fn _item(slf: &Bound<'_, Self>, call: &Bound<'_, ServerCall>, item: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = slf.py();
        if call.get().is_abandoned(py) {
            return Err(CancelledError::new_err(()));
        }
        let encoded = slf.get().codec.get().encode(item)?;
        Self::put(slf, message(call.get().id), encoded.as_bytes())?;
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
        let calls = self._calls(py);
        for call in &calls {
            if self.state.borrow(py).server.give_up(call.get().id, key(call)) {
                call.get().abandon(py)?;
            }
        }
        Ok(calls.len())
    }

    /// Has `_handlers_wait()` called when a handler suspends again.
    fn _rest(&self, py: Python<'_>) {
        self.state.borrow(py).known_to_wait = false;
    }

    /// The calls whose handlers have suspended and that were not given up, by their ids.
    fn _calls(&self, py: Python<'_>) -> Vec<Py<ServerCall>> {
        let state = self.state.borrow(py);
        let calls = state.server.handlers().into_iter();
        calls.map(|call| call.clone_ref(py)).collect()
    }

    /// Lets go of the service; handlers that have suspended go on.
    fn _release(&self, py: Python<'_>) {
        let held = {
            let mut state = self.state.borrow(py);
            (state.serving.take(), state.spare.take(), state.server.withdraw())
        };
        drop(held);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.codec)?;
        let Some(state) = self.state.peek() else {
            return Ok(());
        };
        if let Some(serving) = &state.serving {
            for held in [&serving.handler, &serving.event_loop, &serving.context] {
                visit.call(held)?;
            }
        }
        visit.call(state.spare.as_deref())?;
        for call in state.server.tasks() {
            visit.call(call)?;
        }
        for waiting in state.server.requests() {
            if let Waiting::Decoded(message) = waiting {
                visit.call(message)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self, py: Python<'_>) {
        self._release(py);
    }
}

/// By what the core knows a call whose handler has suspended.
pub fn key(call: &Py<ServerCall>) -> usize {
    call.as_ptr() as usize
}

/// A call of a server, as its handler's task and Python code know it.
#[pyclass(frozen, module = "protosocket._core")]
pub struct ServerCall {
    pub id: u64,
    state: Guarded<CallState>,
}

struct CallState {
    connection: Option<Held<ServerConnection>>,
    /// What runs its handler, once that has suspended.
    task: Option<Held<PyAny>>,
    is_stream: bool,
    /// The caller gave it up, or the connection was lost: there is nobody to answer.
    is_abandoned: bool,
}

#[pymethods]
impl ServerCall {
    /// The handler's task has ended.
    fn __call__(slf: &Bound<'_, Self>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let (connection, known) = {
            let mut state = slf.get().state.borrow(py);
            (state.connection.take(), state.task.take())
        };
        drop(known);
        let Some(connection) = connection else {
            return Ok(());
        };
        let outcome = task.call_method0(intern!(py, "result"));
        match ServerConnection::finished(connection.bind(py), slf, outcome.map(Bound::unbind)) {
            Err(error) if !errors::is_ordinary(py, &error) && tells_of_exits(task) => Ok(()),
            answered => answered,
        }
    }

    /// Cancels the handler for the server, which does so once.
    pub fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let task = {
            let state = self.state.borrow(py);
            state.task.as_ref().map(|task| task.bind(py).clone())
        };
        task.map_or(Ok(()), |task| stop_handler(&task))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(state) = self.state.peek() else {
            return Ok(());
        };
        visit.call(state.connection.as_deref())?;
        visit.call(state.task.as_deref())
    }

    fn __clear__(&self, py: Python<'_>) {
        let held = {
            let mut state = self.state.borrow(py);
            (state.connection.take(), state.task.take())
        };
        drop(held);
    }
}

impl ServerCall {
    pub fn create<'py>(connection: &Bound<'py, ServerConnection>, id: u64) -> PyResult<Bound<'py, Self>> {
        let state = CallState {
            connection: Some(connection.clone().into()),
            task: None,
            is_stream: false,
            is_abandoned: false,
        };
        let state = Guarded::new(state);
        Bound::new(connection.py(), ServerCall { id, state })
    }

    /// What a handler that suspended goes on in.
    pub fn goes_on_in(&self, task: &Bound<'_, PyAny>) {
        let before = self.state.borrow(task.py()).task.replace(task.clone().into());
        drop(before);
    }

    pub fn set_stream(&self, py: Python<'_>, is_stream: bool) {
        self.state.borrow(py).is_stream = is_stream;
    }

    pub fn is_stream(&self, py: Python<'_>) -> bool {
        self.state.borrow(py).is_stream
    }

    pub fn is_abandoned(&self, py: Python<'_>) -> bool {
        self.state.borrow(py).is_abandoned
    }

    /// Cancels a handler whose answer nobody wants any more.
    pub fn abandon(&self, py: Python<'_>) -> PyResult<()> {
        self.state.borrow(py).is_abandoned = true;
        self.stop(py)
    }
}
