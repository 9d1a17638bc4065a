//! Handlers that answer encoded requests themselves, without an object of Python for a message.

use std::sync::OnceLock;

use pyo3::prelude::*;

/// Such a handler; in Python a callable, as any other.
pub trait NativeHandler {
    /// Executes an encoded request and gives the encoded answer, without a header, to `send`; None if the request is for
    /// the callable, and nothing was done.
    fn execute(
        &self,
        py: Python<'_>,
        request: &[u8],
        send: &mut dyn FnMut(&[u8]) -> PyResult<()>,
    ) -> Option<PyResult<()>>;
}

type Find = for<'a> fn(&'a Bound<'_, PyAny>) -> Option<&'a dyn NativeHandler>;

static FIND: OnceLock<Find> = OnceLock::new();

/// Has `find` say which handlers are native: the rooms above know, as the cache does.
pub fn register(find: Find) {
    // Python imports the module once; a second time would say the same.
    let _ = FIND.set(find);
}

/// The native handler in `handler`, if there is one.
pub fn native<'a>(handler: &'a Bound<'_, PyAny>) -> Option<&'a dyn NativeHandler> {
    FIND.get().and_then(|find| find(handler))
}
