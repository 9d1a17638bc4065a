//! One connection: bytes that arrive become frames, messages become bytes that are sent.
//!
//! What is received goes one way: a [`transport`] reads into the memory that [`incoming`] offers, [`reading`] has it
//! handled, and a class for each purpose (`messages`, and those of `rpc` and `relay`) takes frames from [`state`]. What is
//! sent waits in [`outgoing`] until [`writing`] hands it to the transport.

mod assembly;
mod attached;
mod bad_input;
mod counts;
mod flow;
mod incoming;
mod limits;
pub mod messages;
mod next;
mod outgoing;
mod protocol;
mod reading;
mod shared_memory;
mod state;
pub mod transport;
mod writing;

pub use assembly::LONG;
pub use bad_input::end_for_bad_input;
pub use limits::Limits;
pub use next::{BadInput, Next};
pub use state::{Connection, ConnectionState};
