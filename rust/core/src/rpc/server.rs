//! The server's side of a connection: requests in, handlers that run, answers out, draining.

use std::collections::{HashMap, VecDeque};

use super::{CONNECTION, Violation, end, normal, refusal};
use crate::header::{Control, Header};
use crate::table::IdMap;

/// A connection without requests that wait keeps room for so many.
const KEPT: usize = 4;

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
            Control::Cancel => false,
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
        if self.waiting.is_empty() && self.waiting.capacity() > KEPT {
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
mod tests {
    use super::super::cancel;
    use super::*;

    fn server(exchanges: bool) -> Server<char, char> {
        let limits = Limits {
            calls: 2,
            waiting: 2,
            waiting_bytes: 100,
            largest_id: 9,
        };
        Server::new(limits, exchanges)
    }

    /// A server whose every handler runs: keys 1 and 2 for the ids 1 and 2.
    fn busy(exchanges: bool) -> Server<char, char> {
        let mut server = server(exchanges);
        server.suspended(1, 1, 'a');
        server.suspended(2, 2, 'b');
        server
    }

    #[test]
    fn codes_ask_for_what_they_say() {
        let mut server = server(false);
        assert_eq!(server.receive(normal(1)), Ok(Event::Call));
        assert_eq!(server.receive(normal(0)), Ok(Event::Call));
        assert_eq!(server.receive(end(1)), Ok(Event::Dropped));
        assert_eq!(server.receive(cancel(1)), Ok(Event::Dropped));
        assert_eq!(server.receive(normal(10)), Err(Violation::LargeId { id: 10 }));
        assert_eq!(self::server(true).receive(end(1)), Ok(Event::Last));
        server.suspended(1, 7, 'a');
        let unknown = Header {
            id: 1,
            control: Control::from_wire(3),
        };
        assert_eq!(
            server.receive(unknown),
            Ok(Event::Cancelled(Some(&'a'), vec![], cancel(1)))
        );
        assert_eq!(server.receive(unknown), Ok(Event::Dropped));
        let finished = server.finished(1, 7);
        assert_eq!((finished.task, finished.is_awaited), (Some('a'), false));
        assert!(server.is_empty());
    }

    #[test]
    fn requests_wait_while_as_many_handlers_run_as_may() {
        let mut server = busy(false);
        assert_eq!((server.ahead(), server.is_call(normal(3))), (0, false));
        for id in [3, 4] {
            assert_eq!(server.turn(), Turn::Read);
            assert_eq!(server.receive(normal(id)), Ok(Event::Wait));
            server.wait(normal(id), 'w', 10);
        }
        assert_eq!(server.turn(), Turn::Stall);
        assert!(!server.goes_on(true));
        server.finished(2, 2);
        assert!(!server.goes_on(false));
        assert!(server.goes_on(true));
        assert_eq!(server.turn(), Turn::Call(3, 'w'));
        assert_eq!(server.turn(), Turn::Call(4, 'w'));
        assert_eq!((server.turn(), server.ahead()), (Turn::Read, 1));
        assert!(!server.goes_on(true));
    }

    #[test]
    fn few_requests_wait_if_they_are_long() {
        let mut server = busy(false);
        server.wait(normal(3), 'w', 100);
        assert_eq!(server.turn(), Turn::Stall);
        assert_eq!(
            server.receive(cancel(3)),
            Ok(Event::Cancelled(None, vec!['w'], cancel(3)))
        );
        assert_eq!(server.turn(), Turn::Read);
        server.wait(normal(4), 'w', 100);
        assert_eq!(server.withdraw(), ['w']);
        assert_eq!(server.turn(), Turn::Read);
    }

    #[test]
    fn two_calls_with_one_id_are_both_answered_and_a_cancel_is_for_the_younger() {
        let mut server = server(false);
        server.suspended(1, 7, 'a');
        server.suspended(1, 8, 'b');
        assert_eq!(server.handlers(), [&'b', &'a']);
        assert_eq!(
            server.receive(cancel(1)),
            Ok(Event::Cancelled(Some(&'b'), vec![], cancel(1)))
        );
        assert_eq!(server.handlers(), [&'a']);
        assert_eq!(server.receive(cancel(1)), Ok(Event::Dropped));
        assert!(server.finished(1, 7).is_awaited);
        assert!(!server.finished(1, 8).is_awaited);
    }

    #[test]
    fn a_cancel_takes_every_message_of_a_call_that_has_several() {
        let mut server = busy(true);
        for id in [1, 3, 3] {
            server.wait(normal(id), 'w', 10);
        }
        assert_eq!(
            server.receive(cancel(3)),
            Ok(Event::Cancelled(None, vec!['w', 'w'], cancel(3)))
        );
        assert_eq!(
            server.receive(cancel(1)),
            Ok(Event::Cancelled(Some(&'a'), vec!['w'], cancel(1)))
        );
        assert_eq!(server.requests().count(), 0);
    }

    #[test]
    fn the_last_message_of_a_call_is_the_last_also_if_it_waited() {
        let mut server = busy(true);
        assert_eq!(server.receive(end(1)), Ok(Event::Wait));
        server.wait(end(1), 'w', 10);
        server.finished(2, 2);
        assert_eq!(server.turn(), Turn::Last(1, 'w'));
        assert!(!server.is_call(end(1)));
    }

    #[test]
    fn one_of_several_calls_with_an_id_is_withdrawn() {
        let mut server = busy(false);
        for request in ['w', 'x'] {
            server.wait(normal(3), request, 10);
        }
        assert_eq!(
            server.receive(cancel(3)),
            Ok(Event::Cancelled(None, vec!['w'], cancel(3)))
        );
        assert_eq!(server.requests().collect::<Vec<_>>(), [&'x']);
    }

    #[test]
    fn a_server_that_drains_refuses_what_has_not_begun() {
        let mut server = busy(false);
        server.wait(normal(3), 'w', 10);
        assert_eq!(server.drain(), [(cancel(3), 'w')]);
        assert_eq!(server.receive(normal(1)), Ok(Event::Refused(cancel(1))));
        assert!(!server.finished(1, 1).has_drained);
        assert!(server.finished(2, 2).has_drained);

        let mut server = busy(true);
        server.wait(normal(3), 'w', 10);
        server.wait(normal(1), 'x', 10);
        assert_eq!(server.drain(), [(cancel(3), 'w')]);
        server.finished(2, 2);
        assert_eq!(server.receive(normal(0)), Ok(Event::Call));
        assert_eq!(server.receive(end(1)), Ok(Event::Last));
        assert_eq!(server.receive(normal(2)), Ok(Event::Refused(cancel(2))));
        server.finished(1, 1);
        assert_eq!(server.turn(), Turn::Refused(cancel(1), 'x'));
    }

    #[test]
    fn answers_end_their_calls() {
        let (plain, exchanges) = (server(false), server(true));
        assert_eq!(plain.answer(1, false, true), Answer::Message(normal(1)));
        assert_eq!(plain.answer(1, false, false), Answer::Message(normal(1)));
        assert_eq!(plain.answer(1, true, false), Answer::Empty(end(1)));
        assert_eq!(plain.answer(1, true, true), Answer::Message(end(1)));
        assert_eq!(exchanges.answer(1, false, false), Answer::Nothing);
    }
}
