//! A transport's own socket, read from without the transport.

/// A socket that does not block; the transport closes it after it has told the connection that it is lost.
pub struct Socket(i32);

impl Socket {
    /// The socket with this descriptor.
    pub fn new(descriptor: i32) -> Self {
        Socket(descriptor)
    }

    /// Reads what is there, at most as much as `memory` holds; 0 at the end.
    #[cfg(unix)]
    pub fn read(&self, memory: &mut [u8]) -> std::io::Result<usize> {
        use std::fs::File;
        use std::io::Read;
        use std::mem::ManuallyDrop;
        use std::os::fd::FromRawFd;

        // SAFETY: the descriptor is open, for the connection is not lost, and stays so: nothing drops the file.
        let file = ManuallyDrop::new(unsafe { File::from_raw_fd(self.0) });
        (&*file).read(memory)
    }

    /// Only the transport can read here.
    #[cfg(not(unix))]
    pub fn read(&self, _memory: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::WouldBlock.into())
    }
}
