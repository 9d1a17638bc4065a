//! The module `protosocket._core`: the protocol core bound to Python.

use pyo3::pymodule;

mod busy_poll;
mod caller;
mod client;
mod codec;
mod commands;
mod driven;
mod engine;
mod errors;
mod framing;
mod guarded;
mod handshake;
mod home;
mod link;
mod native;
mod relay;
mod server;
mod stopwatch;
mod stream;
mod task;
mod unary;

/// The native core of protosocket: framing, reactors, relay.
#[pymodule(gil_used = true)]
mod _core {
    use pyo3::exceptions::PyImportError;
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::busy_poll::BusyPoller;
    #[pymodule_export]
    use crate::caller::Caller;
    #[pymodule_export]
    use crate::client::ClientReactor;
    #[pymodule_export]
    use crate::codec::{HeaderLayout, WireCodec};
    #[pymodule_export]
    use crate::commands::{
        CacheCalls, CacheCommands, DoneReader, ValueReader, delete_command, get_command, set_command,
    };
    #[pymodule_export]
    use crate::driven::DrivenCoroutine;
    #[pymodule_export]
    use crate::engine::{CacheEngine, key_hash, value_hash};
    #[pymodule_export]
    use crate::framing::next_frame;
    #[cfg(debug_assertions)]
    #[pymodule_export]
    use crate::guarded::check::{call_while_borrowed, drop_while_borrowed};
    #[pymodule_export]
    use crate::link::Link;
    #[pymodule_export]
    use crate::native::{NativeDecoder, NativeSchema};
    #[pymodule_export]
    use crate::relay::{RelayBack, RelayFront, RelayRoutes};
    #[pymodule_export]
    use crate::server::ServerReactor;
    #[pymodule_export]
    use crate::stopwatch::Stopwatch;
    #[pymodule_export]
    use crate::stream::StreamReactor;
    #[pymodule_export]
    use crate::task::{HandlerTask, HandlerWait};
    #[pymodule_export]
    use crate::unary::UnaryCall;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        refuse_without_gil(module.py())?;
        crate::unary::fill_slots(module.py());
        crate::driven::fill_slots(module.py());
        crate::caller::shorten_unary(module.py())
    }

    /// A free-threaded interpreter enables its lock for this module, unless it was told never to.
    fn refuse_without_gil(py: Python<'_>) -> PyResult<()> {
        match py.import("sys")?.getattr_opt("_is_gil_enabled")? {
            Some(is_enabled) if !is_enabled.call0()?.is_truthy()? => Err(PyImportError::new_err(
                "protosocket needs Python's global lock (GIL), which PYTHON_GIL=0 or -X gil=0 has disabled: \
                 start Python without that",
            )),
            _ => Ok(()),
        }
    }
}
