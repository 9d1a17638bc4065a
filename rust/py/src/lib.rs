//! The module `protosocket._core`: the protocol core bound to Python.

use pyo3::pymodule;

mod asyncio_glue;
mod cache;
mod codec;
mod connection;
mod errors;
mod guarded;
mod native;
mod relay;
mod rpc;
mod stopwatch;

/// The native core of protosocket: framing, connections, calls, relay.
#[pymodule(gil_used = true)]
mod _core {
    use pyo3::exceptions::PyImportError;
    use pyo3::prelude::*;

    use crate::asyncio_glue::slots::fill_steps;
    use crate::asyncio_glue::switch;

    #[pymodule_export]
    use crate::asyncio_glue::busy_poll::BusyPoller;
    #[pymodule_export]
    use crate::asyncio_glue::client_task::DrivenCoroutine;
    #[pymodule_export]
    use crate::asyncio_glue::handler_task::{HandlerTask, HandlerWait};
    #[pymodule_export]
    use crate::asyncio_glue::handlers::stop_handler;
    #[pymodule_export]
    use crate::cache::client::CacheCalls;
    #[pymodule_export]
    use crate::cache::engine::CacheEngine;
    #[pymodule_export]
    use crate::cache::hashes::{key_hash, value_hash};
    #[pymodule_export]
    use crate::cache::messages::{DoneReader, ValueReader, delete_command, get_command, set_command};
    #[pymodule_export]
    use crate::cache::storage::CacheCommands;
    #[pymodule_export]
    use crate::codec::next_frame::{FrameStep, next_frame};
    #[pymodule_export]
    use crate::codec::{HeaderLayout, WireCodec};
    #[pymodule_export]
    use crate::connection::Connection;
    #[pymodule_export]
    use crate::connection::messages::MessageConnection;
    #[pymodule_export]
    use crate::connection::transport::socket::SocketTransport;
    #[cfg(debug_assertions)]
    #[pymodule_export]
    use crate::guarded::check::{call_while_borrowed, drop_while_borrowed};
    #[pymodule_export]
    use crate::native::{NativeDecoder, NativeSchema};
    #[pymodule_export]
    use crate::relay::{RelayBack, RelayFront, RelayRoutes};
    #[pymodule_export]
    use crate::rpc::call::UnaryCall;
    #[pymodule_export]
    use crate::rpc::client::ClientConnection;
    #[pymodule_export]
    use crate::rpc::pool::CallPool;
    #[pymodule_export]
    use crate::rpc::server::{ServerCall, ServerConnection};
    #[pymodule_export]
    use crate::stopwatch::Stopwatch;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        refuse_without_gil(module.py())?;
        switch::read();
        module.add("PLAIN_ASYNCIO", switch::plain())?;
        crate::rpc::server::native::register(crate::cache::storage::native_handler);
        crate::rpc::call::fill_slots(module.py());
        fill_steps::<DrivenCoroutine>(module.py());
        Ok(())
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
