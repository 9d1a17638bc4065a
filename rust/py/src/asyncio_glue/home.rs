//! Where something is at home: its event loop, and the thread that ran it last.
//!
//! An object that belongs to an event loop and is used from another one, or from another thread, would wait for what
//! never comes. Asking for the running event loop each time costs a system call in Python 3.11. While a task of the
//! event loop runs, in the thread that ran it before, that is where we are; anything else is looked at closely.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::asyncio_glue::current_task::{has_current_task, running_loop};
use crate::asyncio_glue::switch::plain;
use crate::guarded::Held;

thread_local! {
    static MARK: u8 = const { 0 };
}

/// What no other thread has that lives.
#[inline]
pub fn this_thread() -> usize {
    MARK.with(|mark| std::ptr::from_ref(mark) as usize)
}

/// An event loop, and the thread that it was seen in.
pub struct Home {
    pub event_loop: Held<PyAny>,
    thread: AtomicUsize,
}

impl Home {
    pub fn new(event_loop: Py<PyAny>) -> Self {
        Home {
            event_loop: event_loop.into(),
            thread: AtomicUsize::new(this_thread()),
        }
    }

    /// Whether this is the thread that the event loop ran in before.
    #[inline]
    pub fn is_same_thread(&self) -> bool {
        self.thread.load(Relaxed) == this_thread()
    }

    /// Whether an event loop was closed.
    pub fn is_closed(event_loop: &Bound<'_, PyAny>) -> PyResult<bool> {
        event_loop
            .call_method0(intern!(event_loop.py(), "is_closed"))?
            .is_truthy()
    }

    /// It has come into this thread.
    pub fn follow(&self) {
        self.thread.store(this_thread(), Relaxed);
    }

    /// The event loop, if this is the thread that it ran in before.
    #[inline]
    pub fn near<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.is_same_thread().then(|| self.event_loop.bind(py).clone())
    }
}

/// Whether an event loop runs in this thread, which it ran in before.
#[inline]
pub fn is_running(event_loop: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(!plain() && has_current_task(event_loop)? || running_loop(event_loop.py())?.is(event_loop))
}

/// Raises EventLoopError for `whose` event loop does not run here, unless it runs nowhere.
#[cold]
pub fn require(whose: &Bound<'_, PyAny>, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
    static REQUIRE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = whose.py();
    let require = REQUIRE.get_or_try_init(py, || {
        py.import("protosocket.event_loops")?
            .getattr(intern!(py, "require_loop"))
            .map(Bound::unbind)
    })?;
    require.bind(py).call1((event_loop, whose)).map(drop)
}
