//! The server's side of a connection: requests in, handlers that run, answers out, draining.

use std::collections::{HashMap, VecDeque};

use super::calls::IdMap;
use super::{CONNECTION, Violation, end, normal, refusal};
use crate::wire::header::{Control, Header};

/// Requests for which a connection keeps room while none waits: thousands of idle connections keep no more.
const MIN_KEPT: usize = 4;

/// The calls of one connection; `T` is a handler that is suspended, `R` a request that waits for its handler.
///
/// A handler is known by a key, which no other one that runs has. A client may use the id of a call again that has not
/// ended: then both are answered, as the Rust crate does, and a Cancel is for the younger.
pub struct Server<T, R> {
    limits: Limits,
    exchanges: bool,
    /// Suspended handlers, by the id of their call.
    active: IdMap<Handler<T>>,
    /// Suspended handlers that no id leads to, by their key: the call was given up, or its id used again.
    others: HashMap<usize, Other<T>>,
    /// Requests for which no handler may start yet, taken in to see Cancels behind them; and those decoded ahead.
    waiting: VecDeque<Waiting<R>>,
    waiting_bytes: usize,
    /// Nothing more is taken in until there is room.
    stalled: bool,
    draining: bool,
}

/// How much one client may have here at a time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Handlers that run.
    pub calls: usize,
    /// Requests that wait while so many run.
    pub waiting: usize,
    /// Their bytes.
    pub waiting_bytes: usize,
    /// The largest id that an answer can carry.
    pub largest_id: u64,
}

struct Handler<T> {
    key: usize,
    task: T,
}

struct Other<T> {
    id: u64,
    task: T,
    is_given_up: bool,
}

struct Waiting<R> {
    header: Header,
    request: R,
    length: usize,
}

/// What a message from the client means.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a, T, R> {
    /// The message is for a handler, which may be called now.
    Call,
    /// The same, and its call has no further message.
    Last,
    /// The message is for a handler, but too many run: [`Server::wait`] takes it in.
    Wait,
    /// The message comes too late: the client is told so.
    Refused(Header),
    /// The client gave a call up: its handler is to be cancelled if it has one, what waited for one is withdrawn, and
    /// the client is told that the call ended.
    Cancelled(Option<&'a T>, Vec<R>, Header),
    /// There is no such call, or the message means nothing.
    Dropped,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn<R> {
    /// The request of the call with this id has waited: its handler is called.
    Call(u64, R),
    /// The same, and its call has no further message.
    Last(u64, R),
    /// A request has waited and comes too late: the client is told so.
    Refused(Header, R),
    /// The next message.
    Read,
    /// Nothing until [`Server::goes_on`] says otherwise: as many requests wait as may.
    Stall,
}

/// What is sent when a handler has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What it returned.
    Message(Header),
    /// A message with nothing but its header.
    Empty(Header),
    /// Nothing.
    Nothing,
}

/// A handler that was suspended has ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Finished<T> {
    /// The handler.
    pub task: Option<T>,
    /// Whether the client waits for an answer.
    pub is_awaited: bool,
    /// Whether it was the last one of a connection that drains.
    pub has_drained: bool,
}

impl<T, R> Server<T, R> {
    /// No calls yet.
    pub fn new(limits: Limits, exchanges: bool) -> Self {
        Server {
            limits,
            exchanges,
            active: IdMap::default(),
            others: HashMap::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            stalled: false,
            draining: false,
        }
    }

    /// Whether calls have exchanges.
    pub fn has_exchanges(&self) -> bool {
        self.exchanges
    }

    /// Handlers that are suspended.
    #[inline]
    pub fn len(&self) -> usize {
        self.active.len() + self.others.len()
    }

    /// Whether no handler is suspended.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn is_busy(&self) -> bool {
        self.len() >= self.limits.calls
    }

    /// Whether a message is for a handler: not everything else has a meaning.
    #[inline]
    fn is_for_handler(&self, control: Control) -> bool {
        match control {
            Control::Normal => true,
            Control::End => self.exchanges,
            _ => false,
        }
    }

    /// Whether a message comes too late; those of calls that run go on.
    #[inline]
    fn is_refused(&self, id: u64) -> bool {
        self.draining && !(self.exchanges && (id == CONNECTION || self.active.contains_key(&id)))
    }

    /// What comes next.
    #[inline]
    pub fn turn(&mut self) -> Turn<R> {
        if self.is_busy() {
            if self.waiting.len() >= self.limits.waiting || self.waiting_bytes >= self.limits.waiting_bytes {
                self.stalled = true;
                return Turn::Stall;
            }
            return Turn::Read;
        }
        let Some(Waiting {
            header: Header { id, control },
            request,
            length,
        }) = self.waiting.pop_front()
        else {
            return Turn::Read;
        };
        self.waiting_bytes -= length;
        if self.is_refused(id) {
            Turn::Refused(refusal(id), request)
        } else if control == Control::End {
            Turn::Last(id, request)
        } else {
            Turn::Call(id, request)
        }
    }

    /// How many requests may be taken in ahead of their turn: as many as handlers could run.
    #[inline]
    pub fn ahead(&self) -> usize {
        if self.draining || !self.waiting.is_empty() {
            return 0;
        }
        self.limits.calls.saturating_sub(self.len())
    }

    /// Whether [`Server::receive`] would say [`Event::Call`].
    #[inline]
    pub fn is_call(&self, header: Header) -> bool {
        header.control == Control::Normal && !self.is_busy() && !self.is_refused(header.id)
    }

    /// What a message with this header means.
    #[inline]
    pub fn receive(&mut self, header: Header) -> Result<Event<'_, T, R>, Violation> {
        let Header { id, control } = header;
        if id > self.limits.largest_id {
            return Err(Violation::LargeId { id });
        }
        Ok(if self.is_for_handler(control) {
            if self.is_refused(id) {
                Event::Refused(refusal(id))
            } else if self.is_busy() {
                Event::Wait
            } else if control == Control::End {
                Event::Last
            } else {
                Event::Call
            }
        } else if control == Control::Cancel {
            self.cancel(id)
        } else {
            Event::Dropped
        })
    }

    /// The client gave up a call.
    fn cancel(&mut self, id: u64) -> Event<'_, T, R> {
        let current = self.active.remove(&id);
        // The messages of a call are all in front of its Cancel. Where each call has one, another one with that id is
        // another call, which goes on: a Cancel is for one of them.
        let withdrawn = match current {
            Some(_) if !self.exchanges => Vec::new(),
            _ => self.withdraw_call(id),
        };
        if current.is_none() && withdrawn.is_empty() {
            return Event::Dropped;
        }
        let task = current.map(|Handler { key, task }| {
            let is_given_up = true;
            let other = Other {
                id,
                task,
                is_given_up,
            };
            &self.others.entry(key).or_insert(other).task
        });
        Event::Cancelled(task, withdrawn, refusal(id))
    }

    /// Takes out what waits for a handler of one call.
    fn withdraw_call(&mut self, id: u64) -> Vec<R> {
        let mut withdrawn = Vec::new();
        while let Some(at) = self.waiting.iter().position(|waiting| waiting.header.id == id) {
            let Some(Waiting { request, length, .. }) = self.waiting.remove(at) else {
                break;
            };
            self.waiting_bytes -= length;
            withdrawn.push(request);
            if !self.exchanges {
                break;
            }
        }
        withdrawn
    }

    /// A request of `length` bytes, with this header, waits for its handler.
    #[inline]
    pub fn wait(&mut self, header: Header, request: R, length: usize) {
        self.waiting_bytes += length;
        self.waiting.push_back(Waiting {
            header,
            request,
            length,
        });
    }

    /// Keeps no more memory than what waits needs.
    #[inline]
    pub fn settle(&mut self) {
        if self.waiting.is_empty() && self.waiting.capacity() > MIN_KEPT {
            self.waiting = VecDeque::new();
        }
    }

    /// The handler of a call goes on later.
    pub fn suspended(&mut self, id: u64, key: usize, task: T) {
        if let Some(Handler { key, task }) = self.active.insert(id, Handler { key, task }) {
            let is_given_up = false;
            let replaced = self.others.insert(
                key,
                Other {
                    id,
                    task,
                    is_given_up,
                },
            );
            debug_assert!(replaced.is_none(), "two handlers have one key");
        }
    }

    /// A handler that was suspended has ended.
    pub fn finished(&mut self, id: u64, key: usize) -> Finished<T> {
        let is_current = self.active.get(&id).is_some_and(|current| current.key == key);
        let (task, is_given_up) = if is_current {
            (self.active.remove(&id).map(|current| current.task), false)
        } else {
            let other = self.others.remove(&key);
            let is_given_up = other.as_ref().is_some_and(|other| other.is_given_up);
            (other.map(|other| other.task), is_given_up)
        };
        Finished {
            task,
            is_awaited: !is_given_up,
            has_drained: self.draining && self.is_empty(),
        }
    }

    /// What is sent when a handler has ended, with a message or without.
    #[inline]
    pub fn answer(&self, id: u64, is_stream: bool, has_message: bool) -> Answer {
        match (is_stream, has_message) {
            (true, true) => Answer::Message(end(id)),
            (true, false) => Answer::Empty(end(id)),
            (false, false) if self.exchanges => Answer::Nothing,
            (false, _) => Answer::Message(normal(id)),
        }
    }

    /// Gives up the call of a handler; false if it has ended or was given up before.
    pub fn give_up(&mut self, id: u64, key: usize) -> bool {
        if self.active.get(&id).is_some_and(|current| current.key == key) {
            if let Some(Handler { key, task }) = self.active.remove(&id) {
                let is_given_up = true;
                self.others.insert(
                    key,
                    Other {
                        id,
                        task,
                        is_given_up,
                    },
                );
            }
            return true;
        }
        match self.others.get_mut(&key) {
            Some(other) => !std::mem::replace(&mut other.is_given_up, true),
            None => false,
        }
    }

    /// Refuses requests from now on; those that waited and are refused. The connection has drained when no handler
    /// is suspended.
    pub fn drain(&mut self) -> Vec<(Header, R)> {
        self.draining = true;
        let mut refused = Vec::new();
        for waiting in self.release() {
            let id = waiting.header.id;
            if self.is_refused(id) {
                refused.push((refusal(id), waiting.request));
            } else {
                self.wait(waiting.header, waiting.request, waiting.length);
            }
        }
        refused
    }

    /// Nothing more is taken in until [`Server::goes_on`]: the send queue is full.
    pub fn stall(&mut self) {
        self.stalled = true;
    }

    /// Whether there is reason to take requests in again, now that a handler has ended or there is room to send.
    pub fn goes_on(&mut self, has_room: bool) -> bool {
        let is_wanted = self.stalled || !self.waiting.is_empty();
        let goes_on = is_wanted && has_room && !self.is_busy();
        self.stalled &= !goes_on;
        goes_on
    }

    /// The handlers of calls that were not given up, in the order of the ids.
    pub fn handlers(&self) -> Vec<&T> {
        let active = self.active.iter().map(|(id, current)| (*id, &current.task));
        let others = self.others.values().filter(|other| !other.is_given_up);
        let mut handlers: Vec<_> = active
            .chain(others.map(|other| (other.id, &other.task)))
            .collect();
        handlers.sort_unstable_by_key(|(id, _)| *id);
        handlers.into_iter().map(|(_, task)| task).collect()
    }

    /// Every handler that is suspended, in no order.
    pub fn tasks(&self) -> impl Iterator<Item = &T> {
        let active = self.active.values().map(|current| &current.task);
        active.chain(self.others.values().map(|other| &other.task))
    }

    /// The requests that wait.
    pub fn requests(&self) -> impl Iterator<Item = &R> {
        self.waiting.iter().map(|waiting| &waiting.request)
    }

    fn release(&mut self) -> VecDeque<Waiting<R>> {
        self.waiting_bytes = 0;
        std::mem::take(&mut self.waiting)
    }

    /// No request waits any more: those that did.
    pub fn withdraw(&mut self) -> Vec<R> {
        self.release()
            .into_iter()
            .map(|waiting| waiting.request)
            .collect()
    }

    /// Forgets the handlers: they are given back.
    pub fn lose(&mut self) -> Vec<T> {
        let active = std::mem::take(&mut self.active).into_values();
        let others = std::mem::take(&mut self.others).into_values();
        active
            .map(|current| current.task)
            .chain(others.map(|other| other.task))
            .collect()
    }
}

#[cfg(test)]
mod tests;
