//! Calls, bound to Python: a client's connections, its pool and its calls; the handlers of a server.

pub mod call;
pub mod client;
pub mod pool;
pub mod server;
