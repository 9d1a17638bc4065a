//! The handlers of a batch, run in place: each under the same task, which goes to the first that suspends.

use pyo3::prelude::*;

use super::drive;
use super::state::HandlerTask;
use crate::asyncio_glue::coroutine::{Begun, Sent, Step, cancelled, in_context, send};
use crate::asyncio_glue::current_task::{enter, leave};
use crate::asyncio_glue::waiting::{has_others, holders};
use crate::guarded::Held;

/// Where handlers run that mostly do not suspend; until `end`, the current task is one of these.
pub struct InPlace<'py> {
    event_loop: Bound<'py, PyAny>,
    task: Bound<'py, HandlerTask>,
    /// To the task, before anybody else knows it.
    references: isize,
}

impl<'py> InPlace<'py> {
    /// The handlers of `event_loop`; `spare` is what `end` gave.
    pub fn begin(event_loop: &Bound<'py, PyAny>, spare: Option<Py<HandlerTask>>) -> PyResult<Self> {
        let task = match spare {
            Some(spare) => spare.into_bound(event_loop.py()),
            None => HandlerTask::create(event_loop)?,
        };
        enter(event_loop, &task)?;
        Ok(InPlace {
            references: holders(&task),
            event_loop: event_loop.clone(),
            task,
        })
    }

    /// No handler runs any more; the task for the next batch.
    pub fn end(self) -> PyResult<Py<HandlerTask>> {
        leave(&self.event_loop, &self.task)?;
        Ok(self.task.unbind())
    }

    /// Another task takes the place of one that somebody knows.
    fn replace(&mut self) -> PyResult<()> {
        leave(&self.event_loop, &self.task)?;
        {
            let mut state = self.task.get().state.borrow(self.task.py());
            state.done |= state.coroutine.is_none();
        }
        self.task = HandlerTask::create(&self.event_loop)?;
        enter(&self.event_loop, &self.task)
    }

    /// Runs the handler of the call `id`, which `begin` calls, in `context`.
    #[inline]
    pub fn run(
        &mut self,
        id: u64,
        context: &Bound<'py, PyAny>,
        begin: impl FnOnce() -> PyResult<Begun<'py>>,
    ) -> PyResult<Step<'py>> {
        let before = {
            let mut state = self.task.get().state.borrow(context.py());
            state.id = id;
            state.context.replace(context.clone().into())
        };
        drop(before);
        let outcome = match in_context(context, || self.first_step(begin))? {
            Some(outcome) => outcome,
            None => {
                let task = self.task.clone().into_any();
                return self.replace().map(|()| Step::Suspended(task));
            }
        };
        let outcome = self.outcome(outcome);
        if !self.is_fresh() {
            drive::settle(&self.task, &outcome)?;
            self.replace()?;
        }
        Ok(Step::Ended(outcome))
    }

    /// How the handler ended; nothing if it has suspended.
    #[inline]
    fn first_step(
        &self,
        begin: impl FnOnce() -> PyResult<Begun<'py>>,
    ) -> PyResult<Option<PyResult<Py<PyAny>>>> {
        let py = self.task.py();
        let coroutine = match begin() {
            Ok(Begun::Coroutine(coroutine)) => coroutine,
            Ok(Begun::Answer(answer)) => return Ok(Some(Ok(answer.unbind()))),
            Err(error) => return Ok(Some(Err(error))),
        };
        let before = {
            // There before it runs: cancel scopes of libraries look at it.
            let mut state = self.task.get().state.borrow(py);
            state.coroutine.replace(coroutine.clone().into())
        };
        drop(before);
        match send(&coroutine, py.None().bind(py)) {
            Sent::Returned(value) => Ok(Some(Ok(value))),
            Sent::Raised(error) => Ok(Some(Err(error))),
            Sent::Yielded(awaited) => drive::suspend(&self.task, awaited.bind(py)).map(|()| None),
        }
    }

    /// The outcome of a handler that never suspended, which is a cancellation if it cancelled itself.
    #[inline]
    fn outcome(&self, outcome: PyResult<Py<PyAny>>) -> PyResult<Py<PyAny>> {
        let py = self.task.py();
        let (coroutine, context, must_cancel) = {
            let mut state = self.task.get().state.borrow(py);
            (
                state.coroutine.take(),
                state.context.take(),
                state.must_cancel.take(),
            )
        };
        drop((coroutine, context));
        match must_cancel {
            Some(message) if outcome.is_ok() => Err(cancelled(py, message.map(Held::free))),
            _ => outcome,
        }
    }

    /// Whether nothing is left of the handler that ran last: the task can be another's.
    #[inline]
    fn is_fresh(&self) -> bool {
        let is_known = has_others(&self.task, self.references);
        let state = self.task.get().state.borrow(self.task.py());
        let is_asked = state.cancelling > 0 || state.stopped || !state.callbacks.is_empty();
        !is_known && !is_asked && state.name.is_none() && !state.done
    }
}
