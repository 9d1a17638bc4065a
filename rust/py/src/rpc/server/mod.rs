//! A server's side of a connection: requests in, handlers called, answers out.

mod answers;
mod connection;
pub mod native;
mod requests;

pub use connection::{ServerCall, ServerConnection};
