//! The cache, bound to Python: its engine, and its commands as they are called, executed and answered.

pub mod client;
pub mod engine;
pub mod hashes;
pub mod messages;
pub mod storage;
