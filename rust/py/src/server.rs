//! The server's reactor: requests in, handlers driven in place, answers out.

use protosocket_core::header::{Control, Layout};
use protosocket_core::table::IdMap;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3::{ffi, intern};

use crate::codec::{Side, WireCodec};
use crate::guarded::Guarded;
use crate::link::{Broken, Limits, Link, Next, broken};
use crate::task::{HandlerTask, Step, copy_context};

/// One connection of an RPC server.
///
/// The Python class adds `_adopt(id, result)` (what to run for a handler's result that is no
/// coroutine), `_failed(id, error)` (logs a handler's error; true if the call was rejected on
/// purpose) and `_broken` of `Link`.
#[pyclass(extends = Link, subclass, frozen, module = "protosocket._core")]
pub struct ServerReactor {
    codec: Py<WireCodec>,
    receive: Layout,
    send: Side,
    max_calls: usize,
    state: Guarded<ServerState>,
}

#[derive(Default)]
struct ServerState {
    handler: Option<Py<PyAny>>,
    event_loop: Option<Py<PyAny>>,
    /// Handlers that are suspended, by the id of their call.
    active: IdMap<Py<HandlerTask>>,
    /// Handlers that run, those whose call was cancelled included.
    running: usize,
    /// A task object that nobody else holds, for the next handler.
    spare: Option<Py<HandlerTask>>,
    /// Requests wait in the receive buffer because too many handlers run or the send queue is full.
    stalled: bool,
    /// `_drained()` is called when the last handler has ended.
    draining: bool,
}

/// A request taken off the receive buffer.
enum Request<'py> {
    Call(u64, Bound<'py, PyBytes>),
    Cancel(u64),
    Ignored,
}

#[pymethods]
impl ServerReactor {
    #[new]
    fn new(
        codec: Py<WireCodec>,
        receive_limit: usize,
        send_messages: usize,
        send_bytes: usize,
        read_messages: usize,
        max_calls: usize,
    ) -> PyResult<PyClassInitializer<Self>> {
        let limits = Limits { receive: receive_limit, send_messages, send_bytes, read_messages };
        let link = Link::create(codec.get().framing, limits);
        let (send, receive) = match (&codec.get().send, &codec.get().receive) {
            (Some(send), Some(receive)) => (send.clone(), receive.layout.clone()),
            _ => return Err(PyValueError::new_err("a server needs to know where messages carry their id")),
        };
        Ok(PyClassInitializer::from(link).add_subclass(ServerReactor {
            codec,
            receive,
            send,
            max_calls,
            state: Guarded::new(ServerState::default()),
        }))
    }

    /// Sets what is called with each request, and the loop it is called in.
    fn _serve(&self, py: Python<'_>, handler: Py<PyAny>, event_loop: Py<PyAny>) {
        let mut state = self.state.borrow(py);
        state.handler = Some(handler);
        state.event_loop = Some(event_loop);
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

    /// The send queue has room again.
    fn resume_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.py_super()?.call_method0(intern!(slf.py(), "resume_writing"))?;
        Self::go_on(slf)
    }

    /// Sends an item of a stream; false if the send queue is full now.
    fn _item(slf: &Bound<'_, Self>, id: u64, item: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = slf.py();
        let encoded = slf.get().codec.get().encode(item)?;
        Self::put(slf, id, Control::Normal, encoded.as_bytes())?;
        slf.as_super().get().appended(py)?;
        Ok(slf.as_super().get().state(py).has_room())
    }

    /// Handlers that run.
    #[getter]
    fn _in_flight(&self, py: Python<'_>) -> usize {
        self.state.borrow(py).running
    }

    /// Takes no more requests; true if no handler runs, else `_drained()` is called when that is so.
    fn _drain(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        slf.as_super().get().pause(py)?;
        let mut state = slf.get().state.borrow(py);
        state.draining = true;
        Ok(state.running == 0)
    }

    /// Cancels every handler that runs.
    fn _cancel_all(&self, py: Python<'_>) -> PyResult<usize> {
        let mut active: Vec<_> = self.state.borrow(py).active.drain().collect();
        active.sort_unstable_by_key(|(id, _)| *id);
        for (_, task) in &active {
            task.get().cancel(py, None)?;
        }
        Ok(active.len())
    }

    /// Lets go of the service.
    fn _release(&self, py: Python<'_>) {
        let held = {
            let mut state = self.state.borrow(py);
            (state.handler.take(), state.spare.take())
        };
        drop(held);
    }
}

impl ServerReactor {
    pub fn event_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.state.borrow(py).event_loop {
            Some(event_loop) => Ok(event_loop.bind(py).clone()),
            None => Err(PyRuntimeError::new_err("the server's connection has no event loop")),
        }
    }

    /// Handles the requests in the receive buffer.
    fn handle(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let link = slf.as_super().get();
        link.state(py).in_batch = true;
        let mut handled = 0;
        let result = Self::batch(slf, &mut handled);
        {
            let mut state = link.state(py);
            state.in_batch = false;
            state.policy.observe_batch(handled);
        }
        link.flush(py)?;
        match result? {
            None => Ok(()),
            Some(why) => broken(slf.as_any(), link, why),
        }
    }

    /// One batch, under one task that is handed over to a handler only if it suspends.
    fn batch(slf: &Bound<'_, Self>, handled: &mut usize) -> PyResult<Option<Broken>> {
        let py = slf.py();
        let link = slf.as_super().get();
        let this = slf.get();
        let (handler, event_loop) = {
            let state = this.state.borrow(py);
            match (&state.handler, &state.event_loop) {
                (Some(handler), Some(event_loop)) => (handler.bind(py).clone(), event_loop.bind(py).clone()),
                _ => return Ok(None),
            }
        };
        let budget = link.state(py).limits.read_messages;
        let mut task = this.task(slf)?;
        HandlerTask::enter(&task, &event_loop)?;
        let result = loop {
            let stalled = this.state.borrow(py).running >= this.max_calls || !link.state(py).has_room();
            if stalled {
                this.state.borrow(py).stalled = true;
                link.pause(py)?;
                break Ok(None);
            }
            if *handled == budget {
                link.pause(py)?;
                link.proceed_soon(py)?;
                break Ok(None);
            }
            let request = match this.next(link, py) {
                Ok(Some(request)) => request,
                Ok(None) => break Ok(None),
                Err(why) => break Ok(Some(why)),
            };
            *handled += 1;
            match request {
                Request::Ignored => {}
                Request::Cancel(id) => this.cancel(slf, id)?,
                Request::Call(id, payload) => {
                    let request = match this.codec.get().decode(payload) {
                        Ok(request) => request,
                        Err(error) => break Ok(Some(Broken::Invalid(error.to_string()))),
                    };
                    match Self::call(slf, &task, id, &handler, request, &event_loop) {
                        Ok(false) => {}
                        Ok(true) => {
                            HandlerTask::leave(&task, &event_loop)?;
                            task = HandlerTask::create(py, slf)?.into_bound(py);
                            HandlerTask::enter(&task, &event_loop)?;
                        }
                        Err(error) => break Err(error),
                    }
                }
            }
        };
        HandlerTask::leave(&task, &event_loop)?;
        // A task somebody kept hold of is not used for another handler.
        // SAFETY: reads the count of a live object.
        if unsafe { ffi::Py_REFCNT(task.as_ptr()) } == 1 {
            this.state.borrow(py).spare = Some(task.unbind());
        }
        result
    }

    fn task<'py>(&self, slf: &Bound<'py, Self>) -> PyResult<Bound<'py, HandlerTask>> {
        let py = slf.py();
        let spare = self.state.borrow(py).spare.take();
        match spare {
            Some(spare) => Ok(spare.into_bound(py)),
            None => Ok(HandlerTask::create(py, slf)?.into_bound(py)),
        }
    }

    #[inline]
    fn next<'py>(&self, link: &Link, py: Python<'py>) -> Result<Option<Request<'py>>, Broken> {
        let mut state = link.state(py);
        if state.closed {
            return Ok(None);
        }
        let (start, total) = match state.next() {
            Next::Frame { header, total } => (header, total),
            Next::Wait => return Ok(None),
            Next::Broken(why) => return Err(why),
        };
        let payload = &state.receive.unread()[start..total];
        let header = self.receive.scan(payload).map_err(|malformed| Broken::Invalid(malformed.0.to_owned()))?;
        let request = match header.control {
            Control::Normal => Request::Call(header.id, PyBytes::new(py, payload)),
            Control::Cancel => Request::Cancel(header.id),
            Control::End => Request::Ignored,
        };
        state.consume(total);
        Ok(Some(request))
    }

    /// Calls the handler; true if it suspended and keeps the task.
    #[inline]
    fn call(
        slf: &Bound<'_, Self>,
        task: &Bound<'_, HandlerTask>,
        id: u64,
        handler: &Bound<'_, PyAny>,
        request: Bound<'_, PyAny>,
        event_loop: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        let result = match handler.call1((request,)) {
            Ok(result) => result,
            Err(error) => return this.answer(slf, id, false, Err(error)).map(|()| false),
        };
        // SAFETY: a type check of a live object.
        let (coroutine, is_stream) = if unsafe { ffi::PyCoro_CheckExact(result.as_ptr()) } != 0 {
            (result, false)
        } else if !is_asynchronous(&result) {
            // A handler that is an ordinary function has answered already.
            return this.answer(slf, id, false, Ok(result.unbind())).map(|()| false);
        } else {
            let (coroutine, is_stream): (Option<Bound<'_, PyAny>>, bool) =
                slf.call_method1(intern!(py, "_adopt"), (id, &result))?.extract()?;
            match coroutine {
                Some(coroutine) => (coroutine, is_stream),
                None => return this.answer(slf, id, false, Ok(result.unbind())).map(|()| false),
            }
        };
        let context = copy_context(py)?;
        match HandlerTask::start(task, id, is_stream, coroutine, &context, event_loop)? {
            Step::Suspended => {
                let mut state = this.state.borrow(py);
                state.running += 1;
                state.active.insert(id, task.clone().unbind());
                Ok(true)
            }
            Step::Returned(value) => this.answer(slf, id, is_stream, Ok(value)).map(|()| false),
            Step::Raised(error) => this.answer(slf, id, is_stream, Err(error)).map(|()| false),
        }
    }

    /// The peer gave up a call: its handler is cancelled, and the peer told that it ended.
    fn cancel(&self, slf: &Bound<'_, Self>, id: u64) -> PyResult<()> {
        let py = slf.py();
        let task = self.state.borrow(py).active.remove(&id);
        match task {
            None => Ok(()),
            Some(task) => {
                task.get().cancel(py, None)?;
                Self::put(slf, id, Control::Cancel, &self.send.empty)?;
                slf.as_super().get().appended(py)
            }
        }
    }

    /// A handler that had suspended has ended.
    pub fn finished(slf: &Bound<'_, Self>, task: &Bound<'_, HandlerTask>, outcome: PyResult<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let id = task.get().id(py);
        let wanted = {
            let mut state = this.state.borrow(py);
            state.running -= 1;
            // The id is another's, or nobody's, if the call was cancelled or its id used again.
            match state.active.get(&id) {
                Some(current) if current.is(task) => state.active.remove(&id).is_some(),
                _ => false,
            }
        };
        if wanted {
            this.answer(slf, id, task.get().is_stream(py), outcome)?;
        } else if let Err(error) = outcome {
            slf.call_method1(intern!(py, "_failed"), (id, error.value(py)))?;
        }
        let drained = {
            let state = this.state.borrow(py);
            state.draining && state.running == 0
        };
        if drained {
            slf.call_method0(intern!(py, "_drained"))?;
        }
        Self::go_on(slf)
    }

    /// Takes requests again if there is reason to.
    fn go_on(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let link = slf.as_super().get();
        let go_on = {
            let mut state = this.state.borrow(py);
            let go_on = state.stalled && !state.draining && state.running < this.max_calls && link.state(py).has_room();
            state.stalled &= !go_on;
            go_on
        };
        if go_on { link.proceed_soon(py) } else { Ok(()) }
    }

    /// Sends the answer of a handler that has ended.
    #[inline]
    fn answer(&self, slf: &Bound<'_, Self>, id: u64, is_stream: bool, outcome: PyResult<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let sent = match outcome {
            Ok(_) if is_stream => Self::put(slf, id, Control::End, &self.send.empty),
            Ok(value) => match self.codec.get().encode(value.bind(py)) {
                Ok(encoded) => Self::put(slf, id, Control::Normal, encoded.as_bytes()),
                Err(error) => self.abort(slf, id, error),
            },
            Err(error) => self.abort(slf, id, error),
        };
        sent?;
        slf.as_super().get().appended(py)
    }

    /// Tells the caller that there will be no answer.
    #[cold]
    fn abort(&self, slf: &Bound<'_, Self>, id: u64, error: PyErr) -> PyResult<()> {
        let py = slf.py();
        slf.call_method1(intern!(py, "_failed"), (id, error.value(py)))?;
        Self::put(slf, id, Control::Cancel, &self.send.empty)
    }

    #[inline]
    fn put(slf: &Bound<'_, Self>, id: u64, control: Control, payload: &[u8]) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let mut state = slf.as_super().get().state(py);
        if state.closed {
            return Ok(());
        }
        let framing = this.codec.get().framing;
        this.send
            .layout
            .frame(framing, payload, id, control, &mut state.output)
            .map_err(|malformed| PyValueError::new_err(malformed.0))
    }
}

/// Whether an object's type can be awaited or iterated over asynchronously.
#[inline]
fn is_asynchronous(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the type of a live object is alive, and so are its slots.
    unsafe {
        let slots = (*ffi::Py_TYPE(object.as_ptr())).tp_as_async;
        !slots.is_null() && ((*slots).am_await.is_some() || (*slots).am_aiter.is_some())
    }
}
