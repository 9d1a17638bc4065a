//! What begins unary calls: a pool's connections, whose turn it is, and their event loop.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};
use pyo3::{ffi, intern};

use crate::asyncio_glue::home;
use crate::asyncio_glue::waiting::{EventLoop, given_back};
use crate::guarded::{Guarded, Held};
use crate::rpc::client::ClientConnection;
use crate::rpc::unary::{Reading, UnaryCall};

/// The native half of a client.
///
/// The Python class adds `_unary_later(index, request, timeout)`: a coroutine for a call whose connection is
/// not there or has no room.
#[pyclass(subclass, frozen, weakref, module = "protosocket._core")]
pub struct CallPool {
    pool: Guarded<Pool>,
}

#[derive(Default)]
struct Pool {
    /// A `ClientConnection`, or None, for each place in the pool; the Python class fills them.
    channels: Option<Held<PyList>>,
    turn: usize,
    /// Where calls go first, while answers are handled.
    nearby: Option<Nearby>,
    event_loop: Option<EventLoop>,
}

/// The connection whose answers are handled, and the one whose turn it is.
///
/// A call that is made by who has just been answered goes back the same way: what the connection needs is in the
/// processor's cache then, and what a batch of answers leads to goes out in one write. Were it always so, nothing
/// would ever come to a connection that has less to do than the others, such as a new one: so it goes to the other
/// one if that has fewer calls in flight (docs/decisions/0015).
struct Nearby {
    answering: Held<ClientConnection>,
    other: Held<ClientConnection>,
}

impl Pool {
    /// Calls go to `channel` first, or to the one whose turn it is; what was before.
    fn go_near(&mut self, channel: &Bound<'_, ClientConnection>) -> Option<Nearby> {
        let nearby = self.nearby_to(channel);
        std::mem::replace(&mut self.nearby, nearby)
    }

    /// `channel` with the connection whose turn it is; None if there is no other, or it has to be made first.
    fn nearby_to(&mut self, channel: &Bound<'_, ClientConnection>) -> Option<Nearby> {
        let channels = self.channels.as_ref()?.bind(channel.py());
        let count = channels.len();
        if count < 2 {
            return None;
        }
        let mut place = self.turn;
        let mut other = channels.get_item(place).ok()?;
        if other.is(channel) {
            place = (place + 1) % count;
            other = channels.get_item(place).ok()?;
        }
        let other = other.cast_into::<ClientConnection>().ok()?;
        if !other.as_super().get().is_open(channel.py()) {
            return None;
        }
        self.turn = (place + 1) % count;
        Some(Nearby {
            answering: channel.clone().into(),
            other: other.into(),
        })
    }
}

#[pymethods]
impl CallPool {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        CallPool {
            pool: Guarded::new(Pool::default()),
        }
    }

    #[classmethod]
    fn __class_getitem__(class: &Bound<'_, PyType>, item: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        generic_alias(class, item)
    }

    /// Takes the list of connections, and the event loop of all calls.
    fn _use(&self, channels: Py<PyList>, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        let event_loop_parts = EventLoop::new(event_loop)?;
        let before = {
            let mut pool = self.pool.borrow(event_loop.py());
            (
                pool.channels.replace(channels.into()),
                pool.event_loop.replace(event_loop_parts),
            )
        };
        drop(before);
        Ok(())
    }

    /// The place in the pool whose turn it is.
    fn _next_turn(&self, py: Python<'_>) -> PyResult<usize> {
        self.turn(py).map(|(index, _)| index)
    }

    /// Send ``request`` and wait for its one response: ``response = await client.unary(request)``.
    ///
    /// ``timeout`` (seconds, 0 or more; default: none) covers everything, connecting included. When it
    /// passes, and when the call is cancelled, the server is told to stop. Raises ``DeadlineExceeded``;
    /// ``CancelledRemotely`` when the server rejected or aborted the call; ``ConnectError`` when there is no
    /// connection; ``ConnectionClosed`` when it is lost before the answer, which the server may or may not
    /// have worked on; ``EncodeError`` when the request cannot be encoded; ``OptionError`` for a timeout
    /// that is none.
    ///
    /// It gives a coroutine: nothing is sent before it is awaited or made a task. The task that awaits it goes
    /// on as soon as the response was read, before other callbacks that wait for their turn.
    #[pyo3(signature = (request, *, timeout=None))]
    fn unary(slf: &Bound<'_, Self>, request: Py<PyAny>, timeout: Option<f64>) -> UnaryCall {
        UnaryCall::new(slf.clone().unbind(), request, timeout, None)
    }

    /// The same with `read(response)` for the result. What ends the call otherwise, cancelling it included, is
    /// given to `failed(error)`, which gives the exception to raise.
    fn unary_read(
        slf: &Bound<'_, Self>,
        request: Py<PyAny>,
        timeout: Option<f64>,
        read: Py<PyAny>,
        failed: Py<PyAny>,
    ) -> UnaryCall {
        let reading = Some(Reading { read, failed });
        UnaryCall::new(slf.clone().unbind(), request, timeout, reading)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(pool) = self.pool.peek() else {
            return Ok(());
        };
        visit.call(pool.channels.as_deref())?;
        match &pool.event_loop {
            Some(event_loop) => event_loop
                .held()
                .into_iter()
                .try_for_each(|held| visit.call(held)),
            None => Ok(()),
        }
    }

    fn __clear__(&self, py: Python<'_>) {
        let held = std::mem::take(&mut *self.pool.borrow(py));
        drop(held);
    }
}

/// While it lives, calls go back to the connection whose answers are handled, or to the next one.
#[derive(Default)]
pub struct Answering<'py>(Option<Bound<'py, CallPool>>);

impl<'py> Answering<'py> {
    /// Takes note that `channel` has an answer for a call of `caller`.
    #[inline]
    pub fn note(&mut self, caller: &Bound<'py, CallPool>, channel: &Bound<'py, ClientConnection>) {
        if self.0.is_none() {
            let before = caller.get().pool.borrow(channel.py()).go_near(channel);
            drop(before);
            self.0 = Some(caller.clone());
        }
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        if let Some(caller) = &self.0 {
            let before = caller.get().pool.borrow(caller.py()).nearby.take();
            drop(before);
        }
    }
}

impl CallPool {
    /// Where a call goes that is made while answers are handled.
    #[inline]
    pub fn nearby<'py>(&self, py: Python<'py>) -> Option<Bound<'py, ClientConnection>> {
        let (answering, other) = {
            let pool = self.pool.borrow(py);
            let Nearby { answering, other } = pool.nearby.as_ref()?;
            let answering = answering.bind(py).clone();
            if other.get().in_flight(py) + 1 >= answering.get().in_flight(py) {
                return Some(answering);
            }
            (answering, other.bind(py).clone())
        };
        // Many calls of one task go to all connections.
        let before = self.pool.borrow(py).go_near(&answering);
        drop(before);
        Some(other)
    }

    /// Whose turn it is: its place, and its connection if there is one.
    #[inline]
    pub fn turn<'py>(&self, py: Python<'py>) -> PyResult<(usize, Option<Bound<'py, ClientConnection>>)> {
        let (index, channels) = {
            let mut pool = self.pool.borrow(py);
            let Some(channels) = &pool.channels else {
                return Err(unprepared());
            };
            let channels = channels.bind(py).clone();
            let index = pool.turn;
            pool.turn = if index + 1 < channels.len() { index + 1 } else { 0 };
            (index, channels)
        };
        let channel = channels.get_item(index)?;
        Ok((index, channel.cast_into::<ClientConnection>().ok()))
    }

    /// The event loop of all calls.
    #[inline]
    pub fn event_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.asked(py, |event_loop| &event_loop.home.event_loop)
    }

    /// Raises EventLoopError if a call cannot be made here.
    #[inline]
    pub fn require_home(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let near = match &slf.get().pool.borrow(py).event_loop {
            Some(event_loop) => event_loop.home.near(py),
            None => return Err(unprepared()),
        };
        if let Some(event_loop) = near {
            if home::is_running(&event_loop)? {
                return Ok(());
            }
        }
        home::require(slf, &slf.get().event_loop(py)?)?;
        if let Some(event_loop) = &slf.get().pool.borrow(py).event_loop {
            event_loop.home.follow();
        }
        Ok(())
    }

    /// One of the things that the event loop's tasks ask for.
    #[inline]
    pub fn asked<'py>(
        &self,
        py: Python<'py>,
        which: impl FnOnce(&EventLoop) -> &Py<PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match &self.pool.borrow(py).event_loop {
            Some(event_loop) => Ok(which(event_loop).bind(py).clone()),
            None => Err(unprepared()),
        }
    }
}

/// The class with type arguments, which type checkers look at.
pub fn generic_alias(class: &Bound<'_, PyType>, item: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let alias = class.py().import("types")?.getattr("GenericAlias")?;
    alias.call1((class, item)).map(Bound::unbind)
}

#[cold]
fn unprepared() -> PyErr {
    PyRuntimeError::new_err("the client was not initialised")
}

/// Puts a function of the interpreter's quickest convention in front of `unary`, for the two ways it is called
/// in: PyO3's reading of arguments takes as long as sending the request does. Any other call goes to the method.
pub fn shorten_unary(py: Python<'_>) -> PyResult<()> {
    let class = py.get_type::<CallPool>();
    let general = class.getattr(intern!(py, "unary"))?;
    // SAFETY: it is the descriptor of a method, whose definition lives as long as the program.
    let documentation = unsafe {
        if ffi::Py_TYPE(general.as_ptr()) != &raw mut ffi::PyMethodDescr_Type {
            return Ok(());
        }
        (*(*general.as_ptr().cast::<ffi::PyMethodDescrObject>()).d_method).ml_doc
    };
    let definition = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: c"unary".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            PyCFunctionFastWithKeywords: unary,
        },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: documentation,
    }));
    // SAFETY: a live class; the definition is never freed.
    let short = unsafe {
        let descriptor = ffi::PyDescr_NewMethod(class.as_type_ptr(), definition);
        Bound::from_owned_ptr_or_err(py, descriptor)?
    };
    drop(UNARY.set(py, general.unbind()));
    class.setattr(intern!(py, "unary"), short)
}

/// `CallPool.unary` as PyO3 made it.
static UNARY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// # Safety
///
/// Called by the interpreter, with a `CallPool` and its arguments.
unsafe extern "C" fn unary(
    caller: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter holds the GIL; no `Py` is dropped here as a rule, which is what attaching would be for.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: `names` is a tuple or null; behind the positional arguments are as many values.
    let timeout = unsafe {
        match (count, names.is_null()) {
            (1, true) => Some(None),
            (1, false) if ffi::PyTuple_GET_SIZE(names) == 1 => {
                let value = *arguments.add(1);
                if ffi::PyTuple_GET_ITEM(names, 0) != intern!(py, "timeout").as_ptr() {
                    None
                } else if value == ffi::Py_None() {
                    Some(None)
                } else if ffi::PyFloat_CheckExact(value) != 0 {
                    Some(Some(ffi::PyFloat_AS_DOUBLE(value)))
                } else {
                    None
                }
            }
            _ => None,
        }
    };
    let result = catch_unwind(AssertUnwindSafe(|| match timeout {
        Some(timeout) => {
            // SAFETY: live objects; the descriptor has checked the first one's class.
            let (caller, request) = unsafe {
                (
                    Bound::from_borrowed_ptr(py, caller).cast_into_unchecked::<CallPool>(),
                    Bound::from_borrowed_ptr(py, *arguments).unbind(),
                )
            };
            let call = UnaryCall::new(caller.unbind(), request, timeout, None);
            Bound::new(py, call).map(Bound::into_any)
        }
        // SAFETY: the arguments as they came, with the caller in front.
        None => unsafe {
            let named = if names.is_null() {
                0
            } else {
                ffi::PyTuple_GET_SIZE(names)
            };
            let given = std::slice::from_raw_parts(arguments, (count + named) as usize);
            let all: Vec<_> = std::iter::once(caller).chain(given.iter().copied()).collect();
            let general = UNARY.get(py).ok_or_else(unprepared)?;
            let called = ffi::PyObject_Vectorcall(general.as_ptr(), all.as_ptr(), count as usize + 1, names);
            Bound::from_owned_ptr_or_err(py, called)
        },
    }));
    given_back(py, result)
}
