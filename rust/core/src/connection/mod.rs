//! One connection's rules without I/O: its receive buffer, when it writes, when it reads again, when its event loop polls.

pub mod flush;
pub mod polling;
pub mod reading_on;
pub mod receive_buffer;
