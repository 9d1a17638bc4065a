//! What is done with the insides of CPython and asyncio, which a new Python version may change.

pub mod busy_poll;
pub mod driven;
pub mod home;
pub mod slots;
pub mod switch;
pub mod task;
pub mod waiting;
pub mod waking;
