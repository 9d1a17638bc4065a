//! Slots of our own classes that PyO3 has no names for, or fills with slower functions than they need.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::PyTypeInfo;
use pyo3::ffi;
use pyo3::panic::PanicException;
use pyo3::prelude::*;

use crate::asyncio_glue::coroutine::Sent;
use crate::asyncio_glue::switch::plain;

/// A coroutine of a class that nobody derives from.
pub trait Steps: PyTypeInfo {
    /// The next step, which finds `value` where the coroutine waits.
    fn step(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> Sent;
}

/// Lets `await` and tasks take a step without a StopIteration for its result. Without it they use `__next__` and `send`.
pub fn fill_steps<T: Steps>(py: Python<'_>) {
    let kind = py.get_type::<T>().as_type_ptr();
    // SAFETY: the module is being made, so nobody uses the class; as a heap type with `__await__` it has a table
    // of these slots of its own.
    unsafe {
        // For `yield from` in a generator: with a method `__iter__`, type checkers would take it for one.
        (*kind).tp_iter = Some(ffi::PyObject_SelfIter);
        if let Some(slots) = (*kind).tp_as_async.as_mut().filter(|_| !plain()) {
            slots.am_send = Some(am_send::<T>);
        }
    }
}

/// # Safety
///
/// Called by the interpreter, with an object of the class, a live value and a place for the result.
unsafe extern "C" fn am_send<T: Steps>(
    coroutine: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: the slot is this class's alone, and nobody derives from it; `Any` is every object's.
    let (coroutine, value) = unsafe { (borrowed::<T>(coroutine), borrowed::<PyAny>(value)) };
    let py = coroutine.py();
    let step = catch_unwind(AssertUnwindSafe(|| T::step(&coroutine, &value)));
    let (status, object) = match step {
        Ok(Sent::Yielded(awaited)) => (ffi::PySendResult::PYGEN_NEXT, awaited.into_ptr()),
        Ok(Sent::Returned(value)) => (ffi::PySendResult::PYGEN_RETURN, value.into_ptr()),
        Ok(Sent::Raised(error)) => {
            error.restore(py);
            (ffi::PySendResult::PYGEN_ERROR, std::ptr::null_mut())
        }
        Err(_) => (ffi::PySendResult::PYGEN_ERROR, panicked(py)),
    };
    // SAFETY: the interpreter gave a place for the result.
    unsafe { *result = object };
    status
}

/// What has something to say before it is freed, of a class that nobody derives from.
pub trait Finalizes: PyTypeInfo {
    fn finalize(slf: &Bound<'_, Self>);
}

/// The garbage collector asks before it takes anything apart; what it drops then is too late to be told of. (PEP 442:
/// no trick, but PyO3 has no name for it.)
pub fn fill_finalizer<T: Finalizes>(py: Python<'_>) {
    // SAFETY: the module is being made, so nobody uses the class.
    unsafe { (*py.get_type::<T>().as_type_ptr()).tp_finalize = Some(finalize::<T>) };
}

/// # Safety
///
/// Called by the interpreter, with a live object of the class.
unsafe extern "C" fn finalize<T: Finalizes>(object: *mut ffi::PyObject) {
    // SAFETY: the slot is this class's alone, and nobody derives from it.
    let this = unsafe { borrowed::<T>(object) };
    // A panic must not leave the function; there is nobody to tell.
    drop(catch_unwind(AssertUnwindSafe(|| T::finalize(&this))));
}

/// What a C function was given. It does not attach, which takes as long as a step's own work, and would panic where
/// the interpreter collects for the last time: PyO3's count of that is for `Py`s that are dropped, which wait for the
/// next function that attaches if none has. So what such functions drop as a rule are `Bound`s.
///
/// # Safety
///
/// The interpreter calls, and so holds the GIL, with a live object of this class.
#[inline]
pub unsafe fn borrowed<'py, T>(object: *mut ffi::PyObject) -> Bound<'py, T> {
    // SAFETY: the caller's promise.
    unsafe { Bound::from_borrowed_ptr(Python::assume_attached(), object).cast_into_unchecked::<T>() }
}

/// What a C function gives back: a new reference, or null with an error set.
#[inline]
pub fn given_back(
    py: Python<'_>,
    result: std::thread::Result<PyResult<Bound<'_, PyAny>>>,
) -> *mut ffi::PyObject {
    match result {
        Ok(Ok(object)) => object.into_ptr(),
        Ok(Err(error)) => {
            error.restore(py);
            std::ptr::null_mut()
        }
        Err(_) => panicked(py),
    }
}

#[cold]
pub fn panicked(py: Python<'_>) -> *mut ffi::PyObject {
    PanicException::new_err("a call panicked").restore(py);
    std::ptr::null_mut()
}
