//! The cache, bound to Python: its engine, and its commands as they are called and answered.

pub mod commands;
pub mod engine;
