//! The protocol core: bytes in, events and bytes out. No Python, no sockets, no clock.
