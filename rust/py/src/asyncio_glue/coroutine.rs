//! A handler's coroutine: its beginning, its steps, and the context that it runs in.

use pyo3::exceptions::PyStopIteration;
use pyo3::exceptions::asyncio::CancelledError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use pyo3::{ffi, intern};

/// What calling a handler gave.
pub enum Begun<'py> {
    /// What is to be run.
    Coroutine(Bound<'py, PyAny>),
    /// The handler is an ordinary function, and has answered.
    Answer(Bound<'py, PyAny>),
}

/// How far a handler came.
pub enum Step<'py> {
    Ended(PyResult<Py<PyAny>>),
    /// It goes on in this task; see `handlers::report`.
    Suspended(Bound<'py, PyAny>),
}

/// The name of a task that runs the handler of a call.
pub fn name_of(id: u64) -> String {
    format!("protosocket-rpc-{id}")
}

/// What the next step of a coroutine led to.
pub enum Sent {
    Yielded(Py<PyAny>),
    Returned(Py<PyAny>),
    Raised(PyErr),
}

impl Sent {
    /// What `send` and `throw` of a coroutine give.
    #[inline]
    pub fn given(self) -> PyResult<Py<PyAny>> {
        match self {
            Sent::Yielded(awaited) => Ok(awaited),
            Sent::Returned(value) => Err(PyStopIteration::new_err((value,))),
            Sent::Raised(error) => Err(error),
        }
    }
}

/// A cancellation, with the message that came with it.
pub fn cancelled(py: Python<'_>, message: Option<Py<PyAny>>) -> PyErr {
    match message {
        Some(message) => PyErr::from_type(py.get_type::<CancelledError>(), (message,)),
        None => CancelledError::new_err(()),
    }
}

/// Runs `body` in a `contextvars.Context`.
#[inline]
pub fn in_context<T>(context: &Bound<'_, PyAny>, body: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    let py = context.py();
    // SAFETY: `context` is a Context object that is alive; enter and exit are paired.
    unsafe {
        if ffi::PyContext_Enter(context.as_ptr()) != 0 {
            return Err(PyErr::fetch(py));
        }
    }
    let result = body();
    // SAFETY: see above. Exit fails only if it is not the current context, which enter made it.
    unsafe {
        if ffi::PyContext_Exit(context.as_ptr()) != 0 {
            return Err(PyErr::fetch(py));
        }
    }
    result
}

/// A copy of the current context, which handlers start from.
pub fn current_context(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: gives a new reference or null with an error set.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) }
}

/// A copy of `context`, for one handler.
#[inline]
pub fn copy_context<'py>(context: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: `context` is a live Context object; gives a new reference or null with an error set.
    unsafe { Bound::from_owned_ptr_or_err(context.py(), ffi::PyContext_Copy(context.as_ptr())) }
}

/// Whether an object is a coroutine of an `async def`.
#[inline]
pub fn is_coroutine(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    static COROUTINE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let kind = COROUTINE.import(object.py(), "types", "CoroutineType")?;
    Ok(object.is_exact_instance(kind))
}

/// Whether an object is certainly nothing to wait for: neither awaitable nor an iterator of that kind.
#[inline]
pub fn is_plain(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    static GENERATOR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = object.py();
    if object.is_none() {
        return Ok(true);
    }
    let kind = object.get_type();
    // Generators are awaitable if their function says so.
    let generator = GENERATOR.import(py, "types", "GeneratorType")?;
    Ok(!kind.is(generator)
        && !kind.hasattr(intern!(py, "__await__"))?
        && !kind.hasattr(intern!(py, "__anext__"))?)
}

/// The next step of a coroutine, which finds `value` where it waits.
#[inline]
pub fn send(coroutine: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> Sent {
    let py = coroutine.py();
    let mut result = std::ptr::null_mut();
    // SAFETY: both arguments are live objects; `result` receives a new reference unless an error is set.
    unsafe {
        match ffi::PyIter_Send(coroutine.as_ptr(), value.as_ptr(), &mut result) {
            ffi::PySendResult::PYGEN_RETURN => Sent::Returned(Bound::from_owned_ptr(py, result).unbind()),
            ffi::PySendResult::PYGEN_NEXT => Sent::Yielded(Bound::from_owned_ptr(py, result).unbind()),
            ffi::PySendResult::PYGEN_ERROR => Sent::Raised(PyErr::fetch(py)),
        }
    }
}

pub fn throw(py: Python<'_>, coroutine: &Bound<'_, PyAny>, error: PyErr) -> Sent {
    match coroutine.call_method1(intern!(py, "throw"), (error.into_value(py),)) {
        Ok(yielded) => Sent::Yielded(yielded.unbind()),
        Err(error) => match error.value(py).cast::<PyStopIteration>() {
            Ok(stop) => match stop.getattr(intern!(py, "value")) {
                Ok(value) => Sent::Returned(value.unbind()),
                Err(error) => Sent::Raised(error),
            },
            Err(_) => Sent::Raised(error),
        },
    }
}
