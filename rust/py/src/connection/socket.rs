//! A transport's own socket, used without the transport.

use std::io::{Error, Result};

/// A stream socket, which the transport closes after it has told the connection that it is lost.
pub struct Socket(i32);

impl Socket {
    /// The socket with this descriptor.
    pub fn new(descriptor: i32) -> Self {
        Socket(descriptor)
    }

    /// Reads what is there, at most as much as `memory` holds; 0 at the end.
    #[cfg(target_os = "linux")]
    pub fn read(&self, memory: &mut [u8]) -> Result<usize> {
        // SAFETY: writes no more than the length to memory that is borrowed for that. The descriptor is open, for the
        // connection is not lost.
        let count = unsafe {
            let memory = (memory.as_mut_ptr().cast(), memory.len());
            libc::recv(self.0, memory.0, memory.1, libc::MSG_DONTWAIT)
        };
        usize::try_from(count).map_err(|_| Error::last_os_error())
    }

    /// Writes as much of `bytes` as the socket takes now; the bytes written.
    #[cfg(target_os = "linux")]
    pub fn write(&self, bytes: &[u8]) -> Result<usize> {
        // SAFETY: reads no more than the length from memory that is borrowed for that. The descriptor is open, for the
        // connection is not lost.
        let count = unsafe {
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
            libc::send(self.0, bytes.as_ptr().cast(), bytes.len(), flags)
        };
        usize::try_from(count).map_err(|_| Error::last_os_error())
    }

    /// Only the transport can read here.
    #[cfg(not(target_os = "linux"))]
    pub fn read(&self, _memory: &mut [u8]) -> Result<usize> {
        Err(std::io::ErrorKind::WouldBlock.into())
    }

    /// Only the transport can write here.
    #[cfg(not(target_os = "linux"))]
    pub fn write(&self, _bytes: &[u8]) -> Result<usize> {
        Err(std::io::ErrorKind::WouldBlock.into())
    }
}
