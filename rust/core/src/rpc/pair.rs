//! A client and a server, back to back over two queues of frames: what holds whatever happens in whatever order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::client::{Call, Client, Event as Answered};
use super::server::{Answer, Event as Asked, Limits, Server, Turn};
use super::{about_connection, message, refusal};
use crate::wire::header::{Control, Header};

/// How a call ended for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With the answer to this call, of so many items.
    Answered(usize, usize),
    CancelledHere,
    CancelledThere,
    OutOfTime,
    ConnectionLost,
}

/// A message: its header and what it carries, the call that it belongs to.
#[derive(Clone, Copy, Debug)]
struct Frame {
    header: Header,
    call: usize,
}

/// A handler at the server: the call's id, the call, the items sent, and whether it was told to stop.
#[derive(Debug)]
struct Handler {
    id: u64,
    call: usize,
    sent: usize,
    is_cancelled: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Call { is_stream: bool, timeout: Option<u8> },
    Cancel(usize),
    Send(usize),
    HalfClose(usize),
    Tell,
    Pass(u8),
    ServerReads,
    ServerFull,
    Return(usize),
    Item(usize),
    Fail(usize),
    ClientReads,
    Drain,
    Lose,
    Stray { id: u64, code: u64, to_client: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = 0usize..40;
    let step = prop_oneof![
        6 => (any::<bool>(), prop::option::of(0u8..9))
            .prop_map(|(is_stream, timeout)| Step::Call { is_stream, timeout }),
        3 => which.clone().prop_map(Step::Cancel),
        2 => which.clone().prop_map(Step::Send),
        2 => which.clone().prop_map(Step::HalfClose),
        1 => Just(Step::Tell),
        2 => (0u8..4).prop_map(Step::Pass),
        12 => Just(Step::ServerReads),
        1 => Just(Step::ServerFull),
        5 => which.clone().prop_map(Step::Return),
        4 => which.clone().prop_map(Step::Item),
        1 => which.clone().prop_map(Step::Fail),
        12 => Just(Step::ClientReads),
        1 => Just(Step::Drain),
        1 => Just(Step::Lose),
        1 => (100u64..200, 0u64..9, any::<bool>())
            .prop_map(|(id, code, to_client)| Step::Stray { id, code, to_client }),
    ];
    prop::collection::vec(step, 0..200)
}

/// Both ends, the frames between them, and what is known of every call.
struct Pair {
    client: Client<usize>,
    server: Server<usize, usize>,
    exchanges: bool,
    to_server: VecDeque<Frame>,
    to_client: VecDeque<Frame>,
    /// By the call: its handle, whether it is a stream, and the items that came.
    calls: Vec<(u64, bool, usize)>,
    ends: BTreeMap<usize, End>,
    /// By their keys.
    handlers: BTreeMap<usize, Handler>,
    keys: usize,
    /// Calls that have had a handler.
    begun: BTreeSet<usize>,
    now: f64,
    told: usize,
    draining: bool,
    lost: bool,
}

/// The call of messages that belong to none.
const NONE: usize = usize::MAX;

impl Pair {
    fn new(exchanges: bool, calls: usize, waiting: usize) -> Self {
        let limits = Limits {
            calls,
            waiting,
            waiting_bytes: 1000,
            largest_id: 500,
        };
        Pair {
            client: if exchanges {
                Client::with_exchanges()
            } else {
                Client::new(500)
            },
            server: Server::new(limits, exchanges),
            exchanges,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            calls: Vec::new(),
            ends: BTreeMap::new(),
            handlers: BTreeMap::new(),
            keys: 0,
            begun: BTreeSet::new(),
            now: 0.0,
            told: 0,
            draining: false,
            lost: false,
        }
    }

    fn ended(&mut self, call: usize, end: End) {
        let before = self.ends.insert(call, end);
        assert_eq!(before, None, "call {call} ends twice");
    }

    fn ask(&mut self, header: Header, call: usize) {
        if !self.lost {
            self.to_server.push_back(Frame { header, call });
        }
    }

    fn answer(&mut self, header: Header, call: usize) {
        if !self.lost {
            self.to_client.push_back(Frame { header, call });
        }
    }

    fn step(&mut self, step: Step) {
        let pick = |at: usize| (at < self.calls.len()).then(|| self.calls[at].0);
        match step {
            Step::Call { is_stream, timeout } if !self.lost => self.call(is_stream, timeout),
            Step::Cancel(at) => {
                if let Some((header, call)) = pick(at).and_then(|handle| self.client.cancel(handle)) {
                    self.ended(call, End::CancelledHere);
                    self.ask(header, call);
                }
            }
            Step::Send(at) if self.exchanges => {
                if let Some(header) = pick(at).and_then(|handle| self.client.message(handle)) {
                    self.ask(header, at);
                }
            }
            Step::HalfClose(at) => {
                if let Some(header) = pick(at).and_then(|handle| self.client.end(handle)) {
                    self.ask(header, at);
                }
            }
            Step::Tell if self.exchanges => self.answer(about_connection(), NONE),
            Step::Pass(seconds) => {
                self.now += f64::from(seconds);
                self.expire();
            }
            Step::ServerReads => drop(self.server_reads()),
            Step::ServerFull => self.server.stall(),
            Step::Return(at) => self.finish(at, |is_stream| Some(!is_stream)),
            Step::Fail(at) => self.finish(at, |_| None),
            Step::Item(at) => self.item(at),
            Step::ClientReads => drop(self.client_reads()),
            Step::Drain => {
                self.draining = true;
                for (header, call) in self.server.drain() {
                    self.answer(header, call);
                }
            }
            Step::Lose => self.lose(),
            Step::Stray { id, code, to_client } => {
                let control = Control::from_wire(code);
                let header = Header { id, control };
                match control {
                    // Of a call that the client does not know.
                    _ if to_client => self.answer(header, NONE),
                    Control::Normal => {}
                    _ => self.ask(header, NONE),
                }
            }
            _ => {}
        }
    }

    fn call(&mut self, is_stream: bool, timeout: Option<u8>) {
        let number = self.calls.len();
        let request = self.client.request();
        let call = if is_stream {
            Call::stream(number, Some(1 << 40))
        } else {
            Call::unary(number)
        };
        let handle = self.client.started(request, call);
        self.calls.push((handle, is_stream, 0));
        self.ask(request, number);
        if let Some(timeout) = timeout {
            self.client.set_deadline(handle, self.now + f64::from(timeout));
        }
    }

    fn expire(&mut self) {
        while let Some((header, call)) = self.client.expire(self.now) {
            self.ended(call, End::OutOfTime);
            self.ask(header, call);
        }
        assert!(self.client.next_deadline().is_none_or(|next| next > self.now));
    }

    /// The server takes one step; false if there was nothing to do.
    fn server_reads(&mut self) -> bool {
        match self.server.turn() {
            Turn::Call(id, call) | Turn::Last(id, call) => self.handle(id, call),
            Turn::Refused(header, call) => self.answer(header, call),
            Turn::Stall => return false,
            Turn::Read => {
                let Some(Frame { header, call }) = self.to_server.pop_front() else {
                    return false;
                };
                let is_call = self.server.is_call(header);
                let event = self.server.receive(header).expect("ids are small");
                assert_eq!(is_call, event == Asked::Call);
                match event {
                    Asked::Call | Asked::Last => self.handle(header.id, call),
                    Asked::Wait => self.server.wait(header, call, 10),
                    Asked::Refused(refused) => self.answer(refused, call),
                    Asked::Cancelled(key, withdrawn, cancelled) => {
                        let key = key.copied();
                        let call = match key.and_then(|key| self.handlers.get_mut(&key)) {
                            Some(handler) => {
                                assert!(!std::mem::replace(&mut handler.is_cancelled, true));
                                handler.call
                            }
                            None => withdrawn[0],
                        };
                        assert!(withdrawn.iter().all(|withdrawn| *withdrawn == call));
                        self.answer(cancelled, call);
                    }
                    Asked::Dropped => {}
                }
            }
        }
        true
    }

    /// A handler begins, or is given another message of its call.
    fn handle(&mut self, id: u64, call: usize) {
        if call == NONE || !self.begun.insert(call) {
            return;
        }
        self.keys += 1;
        self.server.suspended(id, self.keys, self.keys);
        let handler = Handler {
            id,
            call,
            sent: 0,
            is_cancelled: false,
        };
        self.handlers.insert(self.keys, handler);
    }

    fn handler(&self, at: usize) -> Option<usize> {
        let count = self.handlers.len().max(1);
        self.handlers.keys().nth(at % count).copied()
    }

    fn item(&mut self, at: usize) {
        let Some(key) = self.handler(at) else { return };
        let handler = &self.handlers[&key];
        let (id, call) = (handler.id, handler.call);
        if !handler.is_cancelled && self.calls[call].1 {
            self.answer(message(id), call);
            self.handlers.entry(key).and_modify(|handler| handler.sent += 1);
        }
    }

    /// A handler ends: with a message, without one, or with an error.
    fn finish(&mut self, at: usize, has_message: impl Fn(bool) -> Option<bool>) {
        let Some(key) = self.handler(at) else { return };
        let Some(handler) = self.handlers.remove(&key) else {
            return;
        };
        let finished = self.server.finished(handler.id, key);
        assert_eq!(finished.task, Some(key));
        assert_eq!(finished.is_awaited, !handler.is_cancelled);
        if finished.is_awaited {
            let is_stream = self.calls[handler.call].1;
            match has_message(is_stream) {
                Some(has_message) => match self.server.answer(handler.id, is_stream, has_message) {
                    Answer::Message(header) | Answer::Empty(header) => self.answer(header, handler.call),
                    Answer::Nothing => unreachable!("every handler here answers"),
                },
                None => self.answer(refusal(handler.id), handler.call),
            }
        }
        self.server.goes_on(true);
    }

    /// The client takes a message in; false if there is none.
    fn client_reads(&mut self) -> bool {
        let Some(Frame { header, call: sender }) = self.to_client.pop_front() else {
            return false;
        };
        let end = match self
            .client
            .receive(header, 10, usize::clone)
            .expect("windows are large")
        {
            Answered::Response(call) => {
                assert!(
                    !self.calls[call].1 && call == sender,
                    "{call} has another's answer"
                );
                (call, End::Answered(sender, 0))
            }
            Answered::Item(call) => {
                assert_eq!(call, sender, "an item of another call");
                self.calls[sender].2 += 1;
                return true;
            }
            Answered::End(call) | Answered::Last(call) => {
                assert_eq!(call, sender, "the end of another call");
                (call, End::Answered(sender, self.calls[call].2))
            }
            Answered::Cancelled(call) => {
                // A message that crossed its call's end is refused when the server drains; so is whatever call has
                // its id then.
                let is_refused = self.draining && self.exchanges && !self.begun.contains(&call);
                assert!(call == sender || is_refused, "another call was cancelled");
                (call, End::CancelledThere)
            }
            Answered::Told => {
                assert_eq!(sender, NONE);
                self.told += 1;
                return true;
            }
            Answered::Dropped => {
                let is_over = sender == NONE || self.ends.contains_key(&sender);
                assert!(is_over, "the answer to {sender} is lost");
                return true;
            }
        };
        self.ended(end.0, end.1);
        true
    }

    fn lose(&mut self) {
        self.lost = true;
        self.to_server.clear();
        self.to_client.clear();
        for call in self.client.lose() {
            self.ended(call, End::ConnectionLost);
        }
        let handlers: Vec<_> = self
            .handlers
            .iter()
            .map(|(key, handler)| (handler.id, *key))
            .collect();
        let running: Vec<usize> = self.server.handlers().into_iter().copied().collect();
        for (id, key) in handlers {
            let is_new = self.server.give_up(id, key);
            assert_eq!(is_new, running.contains(&key));
            assert!(!self.server.give_up(id, key));
            self.handlers
                .entry(key)
                .and_modify(|handler| handler.is_cancelled = true);
        }
        self.server.withdraw();
    }

    /// Everything goes on until nothing is left to do.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            while self.server_reads() {
                moved = true;
            }
            while self.handler(0).is_some() {
                self.finish(0, |is_stream| Some(!is_stream));
                moved = true;
            }
            while self.client_reads() {
                moved = true;
            }
            if !moved {
                return;
            }
        }
    }
}

proptest! {
    #[test]
    fn every_call_ends_once_with_its_own_answer_and_nothing_is_left(
        steps in steps(),
        exchanges in any::<bool>(),
        most_calls in 1usize..6,
        most_waiting in 1usize..6,
    ) {
        let mut pair = Pair::new(exchanges, most_calls, most_waiting);
        for step in steps {
            pair.step(step);
            prop_assert!(pair.handlers.len() <= most_calls);
            prop_assert_eq!(pair.server.len(), pair.handlers.len());
        }
        pair.settle();
        prop_assert_eq!(pair.ends.len(), pair.calls.len(), "calls without an end: {:?}", pair.ends);
        prop_assert_eq!(pair.client.len(), 0);
        prop_assert_eq!(pair.client.next_deadline(), None);
        prop_assert_eq!(pair.server.len(), 0);
        prop_assert_eq!(pair.server.requests().count(), 0);
    }
}
