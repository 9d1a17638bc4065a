//! The memory of a Python buffer object, to be read into.

use std::slice;

use pyo3::ffi;
use pyo3::prelude::*;

/// Has `fill`, which runs no Python code, look at the writable memory of `object`.
pub fn with_memory<R>(object: &Bound<'_, PyAny>, fill: impl FnOnce(&mut [u8]) -> R) -> PyResult<R> {
    let mut view = ffi::Py_buffer::new();
    // SAFETY: a view that was got describes live, initialised memory until it is released, once, at the end.
    unsafe {
        if ffi::PyObject_GetBuffer(object.as_ptr(), &mut view, ffi::PyBUF_WRITABLE) != 0 {
            return Err(PyErr::fetch(object.py()));
        }
        let filled = if view.buf.is_null() {
            fill(&mut [])
        } else {
            fill(slice::from_raw_parts_mut(view.buf.cast(), view.len as usize))
        };
        ffi::PyBuffer_Release(&mut view);
        Ok(filled)
    }
}
