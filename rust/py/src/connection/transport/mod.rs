//! Who moves a connection's bytes: our own transport of a plain socket, or another with asyncio's methods.

mod memory;
mod methods;
pub mod socket;
mod system;
mod unsent;

use std::io;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::guarded::Held;
use socket::SocketTransport;

pub use system::is_in_vain;

/// A connection's transport, as its state holds it.
pub enum Transport {
    Socket(Held<SocketTransport>),
    /// TLS, the event loop's own, or one in memory: the transport, and its `write`.
    Other(Held<PyAny>, Held<PyAny>),
}

/// The same to be used while state is not borrowed.
pub enum Bind<'py> {
    Socket(Bound<'py, SocketTransport>),
    Other(Bound<'py, PyAny>, Bound<'py, PyAny>),
}

impl Transport {
    pub fn new(transport: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(socket) = transport.cast::<SocketTransport>() {
            return Ok(Transport::Socket(socket.clone().into()));
        }
        let write = transport.getattr(intern!(transport.py(), "write"))?;
        Ok(Transport::Other(transport.clone().into(), write.into()))
    }

    /// Whether it is our own.
    pub fn is_socket(&self) -> bool {
        matches!(self, Transport::Socket(_))
    }

    #[inline]
    pub fn bind<'py>(&self, py: Python<'py>) -> Bind<'py> {
        match self {
            Transport::Socket(socket) => Bind::Socket(socket.bind(py).clone()),
            Transport::Other(transport, write) => {
                Bind::Other(transport.bind(py).clone(), write.bind(py).clone())
            }
        }
    }

    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Transport::Socket(socket) => visit.call(socket),
            Transport::Other(transport, write) => {
                visit.call(transport)?;
                visit.call(write)
            }
        }
    }
}

impl Bind<'_> {
    /// Whether it takes nothing any more.
    #[inline]
    pub fn is_closing(&self) -> PyResult<bool> {
        match self {
            Bind::Socket(socket) => Ok(socket.get().is_closing(socket.py())),
            Bind::Other(transport, _) => transport
                .call_method0(intern!(transport.py(), "is_closing"))?
                .is_truthy(),
        }
    }

    /// Reads without the event loop; 0 if there is nothing, or if that is the event loop's to find.
    #[inline]
    pub fn read(&self, memory: &mut [u8]) -> io::Result<usize> {
        match self {
            Bind::Socket(socket) => socket.get().read(socket.py(), memory),
            Bind::Other(..) => Ok(0),
        }
    }

    /// Writes what a socket takes now, if nothing waits before it; the bytes written. No Python code runs.
    #[inline]
    pub fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Bind::Socket(socket) => socket.get().write_now(socket.py(), bytes),
            Bind::Other(..) => Ok(0),
        }
    }

    /// Hands over what [`Bind::write_now`] did not write; the bytes that will never get out. After a part that was
    /// refused for good no other follows.
    pub fn write(&self, parts: Vec<Held<PyBytes>>) -> PyResult<usize> {
        let (transport, write) = match self {
            Bind::Socket(socket) => return SocketTransport::write_parts(socket, parts),
            Bind::Other(transport, write) => (transport, write),
        };
        let mut parts = parts
            .into_iter()
            .map(|part| part.free().into_bound(transport.py()));
        if let Some(part) = parts.next() {
            write.call1((part,))?;
        }
        while let Some(part) = parts.next() {
            if self.is_closing()? {
                return Ok(parts.fold(part.as_bytes().len(), |sum, part| sum + part.as_bytes().len()));
            }
            write.call1((part,))?;
        }
        Ok(0)
    }

    /// What was read or written directly failed: the connection ends.
    #[cold]
    pub fn failed(&self, error: &io::Error) -> PyResult<()> {
        match self {
            Bind::Socket(socket) => SocketTransport::failed(socket, error),
            Bind::Other(..) => Ok(()),
        }
    }

    pub fn pause(&self) -> PyResult<()> {
        match self {
            Bind::Socket(socket) => SocketTransport::pause(socket),
            Bind::Other(transport, _) => transport
                .call_method0(intern!(transport.py(), "pause_reading"))
                .map(drop),
        }
    }

    pub fn resume(&self) -> PyResult<()> {
        match self {
            Bind::Socket(socket) => SocketTransport::resume(socket),
            Bind::Other(transport, _) => transport
                .call_method0(intern!(transport.py(), "resume_reading"))
                .map(drop),
        }
    }
}
