//! Interior state of the native classes, reached only by a thread that is attached to Python.

use std::cell::{Ref, RefCell, RefMut};

use pyo3::Python;

/// A `RefCell` that may sit in a Python object.
///
/// Borrows are short and never span a call into Python: Python code may come back to the same object.
pub struct Guarded<T>(RefCell<T>);

// SAFETY: every access takes a `Python` token, so the thread holds the GIL (the module declares
// that it needs it, and refuses an interpreter without), and no borrow is held while the GIL is released: between
// two borrows of one thread no other thread can be inside.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    pub fn new(value: T) -> Self {
        Guarded(RefCell::new(value))
    }

    #[inline]
    pub fn borrow<'a>(&'a self, _py: Python<'a>) -> RefMut<'a, T> {
        self.0.borrow_mut()
    }

    /// For what is being dropped.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }

    /// For the garbage collector's visit: nothing while the state is being changed, which makes
    /// the collector keep what it holds.
    pub fn peek(&self) -> Option<Ref<'_, T>> {
        self.0.try_borrow().ok()
    }
}
