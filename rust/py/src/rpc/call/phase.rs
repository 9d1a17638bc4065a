//! How far a call is, and who waits for its end.

use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::PyTraceback;

use crate::asyncio_glue::client_task::DrivenCoroutine;
use crate::asyncio_glue::waiting::Callback;
use crate::guarded::Held;
use crate::rpc::client::ClientConnection;

pub enum Phase {
    /// Nothing was sent; the request.
    New(Held<PyAny>),
    /// Sent on this connection, under this handle.
    Waiting(Held<ClientConnection>, u64),
    Answered(Held<PyAny>),
    /// Ended with this exception.
    Failed(Held<PyAny>),
    /// The task that waits was cancelled, with this message.
    Cancelled(Option<Held<PyAny>>),
    /// There was no connection or no room: a coroutine does it all.
    Delegated(Held<PyAny>),
    /// The same for a call that was started: a task does it all.
    Handed(Held<PyAny>),
    Over,
}

pub struct State {
    pub phase: Phase,
    /// What waits for the end: its task, as a rule.
    pub waiter: Option<Callback>,
    /// What goes on when it is answered, in place of the task that waits; or has gone on, and waits for another
    /// call, while the task still waits for this one. No other call that has ended has one.
    pub driver: Option<Held<DrivenCoroutine>>,
    /// What else does.
    pub others: Vec<Callback>,
    /// Set when this is yielded to a task and not taken by it yet.
    pub is_yielded: bool,
    /// It was begun with `start`: a future from then on.
    pub is_started: bool,
    /// Somebody was told how it ended.
    pub is_seen: bool,
    /// What ended it went through `reading` already.
    pub is_read: bool,
    /// The traceback of the error that ended it, when it was raised first: each time it is raised adds to it.
    pub traceback: Option<Option<Held<PyTraceback>>>,
}

impl Phase {
    pub fn failed(error: Py<PyBaseException>) -> Self {
        Phase::Failed(error.into_any().into())
    }

    /// Whether it is under way and ends by itself.
    #[inline]
    pub fn is_pending(&self) -> bool {
        matches!(self, Phase::Waiting(..) | Phase::Handed(_))
    }
}

impl State {
    pub fn new(request: Py<PyAny>) -> Self {
        State {
            phase: Phase::New(request.into()),
            waiter: None,
            driver: None,
            others: Vec::new(),
            is_yielded: false,
            is_started: false,
            is_seen: false,
            is_read: false,
            traceback: None,
        }
    }

    /// The phase before, which is to be dropped when nothing is borrowed.
    #[inline]
    pub fn enter(&mut self, phase: Phase) -> Phase {
        std::mem::replace(&mut self.phase, phase)
    }

    /// Whether it is under way by itself, or has ended so and nobody has taken the result away.
    #[inline]
    pub fn is_future(&self) -> bool {
        !matches!(self.phase, Phase::New(_) | Phase::Delegated(_) | Phase::Over)
    }

    /// What would go on when it is answered, if it waits for that.
    pub fn undriven(&mut self) -> Option<Held<DrivenCoroutine>> {
        self.driver.take_if(|_| self.phase.is_pending())
    }

    pub fn callbacks(&mut self) -> impl Iterator<Item = Callback> + use<> {
        self.waiter
            .take()
            .into_iter()
            .chain(std::mem::take(&mut self.others))
    }

    /// The coroutine that does it all.
    pub fn delegate(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match &self.phase {
            Phase::Delegated(coroutine) => Some(coroutine.clone_ref(py)),
            _ => None,
        }
    }
}
