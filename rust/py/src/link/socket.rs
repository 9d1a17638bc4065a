//! A transport's own socket, used without the transport.
#![cfg_attr(
    unix,
    expect(
        clippy::disallowed_types,
        reason = "the socket is the transport's, and stays so"
    )
)]

#[cfg(unix)]
use std::mem::ManuallyDrop;
#[cfg(unix)]
use std::net::TcpStream;

/// A socket that does not block; the transport closes it after it has told the connection that it is lost.
pub struct Socket(i32);

impl Socket {
    /// The socket with this descriptor.
    pub fn new(descriptor: i32) -> Self {
        Socket(descriptor)
    }

    /// Its reads and writes are the same for every kind of stream socket, and raise no signal.
    #[cfg(unix)]
    fn stream(&self) -> ManuallyDrop<TcpStream> {
        use std::os::fd::FromRawFd;

        // SAFETY: the descriptor is open, for the connection is not lost, and stays so: nothing drops the stream.
        ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(self.0) })
    }

    /// Reads what is there, at most as much as `memory` holds; 0 at the end.
    #[cfg(unix)]
    pub fn read(&self, memory: &mut [u8]) -> std::io::Result<usize> {
        use std::io::Read;

        (&*self.stream()).read(memory)
    }

    /// Writes as much of `bytes` as the socket takes now; the bytes written.
    #[cfg(unix)]
    pub fn write(&self, bytes: &[u8]) -> std::io::Result<usize> {
        use std::io::Write;

        (&*self.stream()).write(bytes)
    }

    /// Only the transport can read here.
    #[cfg(not(unix))]
    pub fn read(&self, _memory: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::WouldBlock.into())
    }

    /// Only the transport can write here.
    #[cfg(not(unix))]
    pub fn write(&self, _bytes: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::WouldBlock.into())
    }
}
