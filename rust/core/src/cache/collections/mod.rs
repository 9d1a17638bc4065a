//! The values of more than one part: dictionary, set, list and sorted set; each knows what it may grow to and what it weighs.

mod capacity;
mod collection;
mod counting;
pub mod dictionary;
pub mod list;
pub mod set;
mod slices;
pub mod sorted_set;

pub use capacity::{Capacity, CollectionTooLarge, MAX_COLLECTION};
pub use collection::{Collection, Family, Kind};
pub use counting::{NotCountable, add_to_integer};
pub use dictionary::Dictionary;
pub use list::List;
pub use set::Set;
pub use slices::slice;
pub use sorted_set::SortedSet;
