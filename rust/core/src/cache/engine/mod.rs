//! The storage engine: a bounded key-value store with a time to live per entry; generic over the value, clock passed in.
//!
//! Eviction is `quick_cache`'s (CLOCK-PRO / S3-FIFO family, scan-resistant) over one byte budget for all namespaces.
//! Expiry is ours: checked on every read, and a cursor over a flat table of expiry times looks at a few
//! entries on every write, so that dead entries leave even if nobody reads them and no call ever does unbounded work.

pub mod condition;
mod expiry;
pub mod item;
pub mod items;
mod keys;
pub mod refused;
mod store;

pub use keys::{key_hash, value_hash};
pub use store::{ENTRY_OVERHEAD, Engine, EntryTooLarge, Fate, Statistics};
