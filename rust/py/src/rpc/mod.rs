//! Calls, bound to Python: the pool and the calls of a client, the handlers of a server.

pub mod client;
pub mod pool;
pub mod server;
pub mod unary;
