//! The relay: commands from many clients go to the storage of their key and the answers back,
//! with only the message id changed. No Python object is made for a message that is forwarded.

mod back;
mod front;
mod routes;
mod types;

pub use types::{RelayBack, RelayFront, RelayRoutes};
