//! The switch that turns off everything that is done with the insides of CPython and asyncio.
//!
//! Each of those tricks has a general way beside it, which needs nothing but what Python documents: plain futures,
//! tasks and `call_soon`. A trick is quicker, and a new Python version may break it. With
//! `PROTOSOCKET_PLAIN_ASYNCIO=1` in the environment when the package is imported, none of them is used: no type slot
//! is replaced, `client.unary` is PyO3's method, a task is woken by the event loop and not within the reading of a
//! connection, `rpc.task_factory` gives asyncio's tasks, each handler has a task of asyncio's, message objects are made
//! and freed by msgspec, and the running event loop is asked for by asyncio's functions. Results are the same; calls
//! cost more.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const NAME: &str = "PROTOSOCKET_PLAIN_ASYNCIO";

static PLAIN: AtomicBool = AtomicBool::new(false);

/// Reads the environment, once: when the module is made, before anything is done that depends on it.
pub fn read() {
    let is_set = std::env::var_os(NAME).is_some_and(|value| !value.is_empty() && value != "0");
    PLAIN.store(is_set, Relaxed);
}

/// Whether the tricks are turned off.
#[inline]
pub fn plain() -> bool {
    PLAIN.load(Relaxed)
}
