//! What a storage of the cache does: the engine that keeps its entries, their collections, and commands on the wire.

pub mod collections;
pub mod commands;
pub mod engine;
