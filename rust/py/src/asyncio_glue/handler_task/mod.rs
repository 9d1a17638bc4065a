//! A handler's coroutine driven in place: what `asyncio.current_task()` is while a handler runs.
//!
//! The object has the methods of a task (`methods`, `future`), and is none. How its coroutine goes on after it has
//! suspended is in `drive`; how one task serves all handlers of a batch that do not is in `in_place`.

mod drive;
mod future;
mod in_place;
mod methods;
mod state;

pub use future::HandlerWait;
pub use in_place::InPlace;
pub use state::HandlerTask;
