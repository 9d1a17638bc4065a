//! What is done with the insides of CPython and asyncio, which a new Python version may change.

pub mod busy_poll;
pub mod client_task;
pub mod coroutine;
pub mod current_task;
pub mod handler_task;
pub mod handlers;
pub mod home;
pub mod slots;
pub mod switch;
pub mod waiting;
pub mod waking;
