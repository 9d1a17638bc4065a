//! A stream socket's system calls, none of which waits, whatever the socket is set to.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::os::fd::RawFd;

use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;

/// A program that has `SIGPIPE` kill it is not to be killed by a peer that went away.
#[cfg(target_os = "linux")]
const SEND: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
#[cfg(not(target_os = "linux"))]
const SEND: libc::c_int = libc::MSG_DONTWAIT;

/// Reads what is there, at most as much as `memory` holds; 0 at the end. `socket` is open.
pub fn receive(socket: RawFd, memory: &mut [u8]) -> Result<usize> {
    // SAFETY: writes no more than the length to memory that is borrowed for that.
    let count = unsafe {
        libc::recv(
            socket,
            memory.as_mut_ptr().cast(),
            memory.len(),
            libc::MSG_DONTWAIT,
        )
    };
    usize::try_from(count).map_err(|_| Error::last_os_error())
}

/// Writes as much of `parts` as the socket takes now; the bytes written. `socket` is open.
pub fn send(socket: RawFd, parts: &[IoSlice<'_>]) -> Result<usize> {
    // SAFETY: a message header of zeros is a valid one of nothing; what it is told to read is borrowed for that, and
    // `IoSlice` has the layout of `iovec`.
    let count = unsafe {
        match parts {
            [part] => libc::send(socket, part.as_ptr().cast(), part.len(), SEND),
            _ => {
                let mut message: libc::msghdr = std::mem::zeroed();
                message.msg_iov = parts.as_ptr().cast_mut().cast();
                message.msg_iovlen = parts.len() as _;
                libc::sendmsg(socket, &message, SEND)
            }
        }
    };
    usize::try_from(count).map_err(|_| Error::last_os_error())
}

/// Whether a read or a write has failed for now only.
pub fn is_in_vain(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// The `OSError` of what failed.
#[cold]
pub fn os_error(py: Python<'_>, error: &Error) -> PyErr {
    let Some(code) = error.raw_os_error() else {
        return PyOSError::new_err(error.to_string());
    };
    let text = py
        .import(intern!(py, "os"))
        .and_then(|os| os.call_method1(intern!(py, "strerror"), (code,)))
        .map(Bound::unbind);
    match text {
        Ok(text) => PyOSError::new_err((code, text)),
        Err(error) => error,
    }
}
