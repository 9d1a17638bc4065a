//! The debug build's check that no Python code runs while state is borrowed, and no reference that
//! state holds is dropped.

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::ffi::c_int;

use pyo3::ffi;
use pyo3::prelude::*;

thread_local! {
    /// How many borrows this thread holds.
    static BORROWED: Cell<usize> = const { Cell::new(0) };
    /// The interpreter tells of this thread's calls.
    static IS_WATCHED: Cell<bool> = const { Cell::new(false) };
}

/// Counts a borrow while it lives.
pub struct Counted;

impl Counted {
    pub fn new(_py: Python<'_>) -> Self {
        if !IS_WATCHED.replace(true) {
            // SAFETY: this thread holds the GIL; the function is there as long as the program.
            unsafe { ffi::PyEval_SetProfile(Some(called), std::ptr::null_mut()) };
        }
        BORROWED.set(BORROWED.get() + 1);
        Counted
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        BORROWED.set(BORROWED.get() - 1);
    }
}

/// Sits beside a reference that state holds.
pub struct Dropped;

impl Drop for Dropped {
    fn drop(&mut self) {
        expect_nothing_borrowed("a reference is dropped");
    }
}

/// # Safety
///
/// Called by the interpreter, in the thread whose code runs.
unsafe extern "C" fn called(
    _: *mut ffi::PyObject,
    _: *mut ffi::PyFrameObject,
    what: c_int,
    _: *mut ffi::PyObject,
) -> c_int {
    if what == ffi::PyTrace_CALL {
        expect_nothing_borrowed("Python code runs");
    }
    0
}

fn expect_nothing_borrowed(what: &str) {
    let borrowed = BORROWED.get();
    if borrowed > 0 {
        // A panic might be caught and go unnoticed.
        eprintln!(
            "{what} while {borrowed} borrows are held\n{}",
            Backtrace::force_capture()
        );
        std::process::abort();
    }
}

/// Does what is a fault, for the test of this check: calls `function` while something is borrowed.
#[pyfunction]
pub fn call_while_borrowed(py: Python<'_>, function: Py<PyAny>) -> PyResult<()> {
    let state = super::Guarded::new(());
    let _borrowed = state.borrow(py);
    function.call0(py).map(drop)
}

/// Does the other fault: drops a reference that state could hold.
#[pyfunction]
pub fn drop_while_borrowed(py: Python<'_>, object: Py<PyAny>) {
    let held = super::Held::from(object);
    let state = super::Guarded::new(());
    let _borrowed = state.borrow(py);
    drop(held);
}
