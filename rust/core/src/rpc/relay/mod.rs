//! A router's two sides: a client's calls travel to a storage under ids of the router's own, and the answers back.

mod back;
mod front;
pub mod key_path;
#[cfg(test)]
mod tests;

pub use back::{Answer, Back, Caller};
pub use front::{Answered, Event, Front};
