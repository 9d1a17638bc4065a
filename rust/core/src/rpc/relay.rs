//! A router's two sides: a client's calls travel to a storage under ids of the router's own, and the answers back.

use super::{cancel, normal, refusal};
use crate::header::{Control, Header};
use crate::table::Pending;

/// Who waits for an answer from a storage, and the id of the call there.
#[derive(Debug, PartialEq, Eq)]
pub enum Caller<F, W> {
    /// A client, at its connection to the router.
    Front(F, u64),
    /// The router itself.
    Here(W, u64),
}

/// A router's connection to a storage: the calls under way on it.
pub struct Back<F, W> {
    calls: Pending<Caller<F, W>>,
    most_calls: usize,
}

/// Where a message from a storage goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer<F, W> {
    /// To a client, with this header.
    Front(F, Header),
    /// To the router itself, with this header.
    Here(W, Header),
    /// The storage refused or aborted a call of the router's own, who is told so with this header.
    Unavailable(W, Header),
    /// Nowhere: the call was given up meanwhile.
    Dropped,
}

impl<F, W> Back<F, W> {
    /// No calls yet, `most_calls` at a time; an id field holds ids up to `largest_id`.
    pub fn new(largest_id: u64, most_calls: usize) -> Self {
        Back {
            calls: Pending::new(largest_id),
            most_calls,
        }
    }

    /// The header of the next request, [`Back::started`] follows once that is on its way; None if too many are.
    #[inline]
    pub fn request(&self) -> Option<Header> {
        (self.calls.len() < self.most_calls).then(|| normal(self.calls.next_id()))
    }

    /// The request with this header is on its way.
    #[inline]
    pub fn started(&mut self, request: Header, caller: Caller<F, W>) {
        self.calls.insert_as(request.id, caller);
    }

    /// Where the message with this header goes. Whatever it is, it ends its call: a storage's answers are single.
    #[inline]
    pub fn receive(&mut self, header: Header) -> Answer<F, W> {
        match self.calls.remove(header.id) {
            Some(Caller::Front(front, id)) => Answer::Front(front, Header { id, ..header }),
            Some(Caller::Here(waiter, id)) if header.control == Control::Normal => {
                Answer::Here(waiter, normal(id))
            }
            Some(Caller::Here(waiter, id)) => Answer::Unavailable(waiter, normal(id)),
            None => Answer::Dropped,
        }
    }

    /// Nobody waits for a call any more: who did, and what to tell the storage.
    pub fn cancel(&mut self, id: u64) -> Option<(Header, Caller<F, W>)> {
        self.calls.remove(id).map(|caller| (cancel(id), caller))
    }

    /// The same if it is the call `call` of this client.
    pub fn cancel_call(
        &mut self,
        id: u64,
        call: u64,
        is_front: impl Fn(&F) -> bool,
    ) -> Option<(Header, Caller<F, W>)> {
        match self.calls.get(id) {
            Some(Caller::Front(front, known)) if *known == call && is_front(front) => self.cancel(id),
            _ => None,
        }
    }

    /// A client has gone: its calls, and what to tell the storage.
    pub fn forget(&mut self, is_front: impl Fn(&F) -> bool) -> Vec<(Header, Caller<F, W>)> {
        let is_its = |caller: &Caller<F, W>| matches!(caller, Caller::Front(front, _) if is_front(front));
        let gone = self.calls.extract(is_its).into_iter();
        gone.map(|(id, caller)| (cancel(id), caller)).collect()
    }

    /// The calls of a client: their ids, and the ids they travel under.
    pub fn calls_of(&self, is_front: impl Fn(&F) -> bool) -> Vec<(u64, u64)> {
        let calls = self.calls.iter();
        let its = calls.filter_map(|(id, caller)| match caller {
            Caller::Front(front, call) if is_front(front) => Some((*call, id)),
            _ => None,
        });
        its.collect()
    }

    /// The connection is lost: who still waits, in the order of the ids. No call is left.
    pub fn lose(&mut self) -> Vec<Caller<F, W>> {
        self.calls.drain().into_iter().map(|(_, caller)| caller).collect()
    }

    /// Whether a quarter of the calls that may be under way are free, so that many who wait for room are not woken
    /// for every answer.
    #[inline]
    pub fn has_much_room(&self) -> bool {
        self.calls.len() <= self.most_calls / 4 * 3
    }

    /// Calls under way.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether no call is under way.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Who waits, in no order.
    pub fn callers(&self) -> impl Iterator<Item = &Caller<F, W>> {
        self.calls.iter().map(|(_, caller)| caller)
    }
}

/// A client's connection to a router.
pub struct Front {
    most_calls: usize,
    in_flight: usize,
    /// Nothing more is taken in: too many calls are in flight or answers unread.
    stalled: bool,
    draining: bool,
}

/// What a message from a client means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is a command.
    Command,
    /// It comes too late: the client is told so.
    Refused(Header),
    /// The call with this id was given up, which is ended where it is under way.
    Cancel(u64),
    /// Nothing.
    Dropped,
}

/// What an answer to a client leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// There may be reason to take commands in again: [`Front::goes_on`] says.
    pub may_go_on: bool,
    /// It was the last one of a connection that drains.
    pub has_drained: bool,
}

impl Front {
    /// No calls yet, `most_calls` at a time.
    pub fn new(most_calls: usize) -> Self {
        Front {
            most_calls,
            in_flight: 0,
            stalled: false,
            draining: false,
        }
    }

    /// What the message with this header means.
    #[inline]
    pub fn receive(&self, header: Header) -> Event {
        match header.control {
            Control::Normal if self.draining => Event::Refused(refusal(header.id)),
            Control::Normal => Event::Command,
            // None under way: there is no call to look for.
            Control::Cancel if self.in_flight > 0 => Event::Cancel(header.id),
            Control::Cancel | Control::End => Event::Dropped,
        }
    }

    /// A command was forwarded.
    #[inline]
    pub fn forwarded(&mut self) {
        self.in_flight += 1;
    }

    /// A forwarded command has its answer, or was given up.
    #[inline]
    pub fn answered(&mut self) -> Answered {
        self.in_flight = self.in_flight.saturating_sub(1);
        Answered {
            may_go_on: self.stalled && self.in_flight * 2 <= self.most_calls,
            has_drained: self.draining && self.in_flight == 0,
        }
    }

    /// Whether a command is taken in now; if not, [`Front::goes_on`] says when.
    #[inline]
    pub fn takes(&mut self, has_room: bool) -> bool {
        let takes = has_room && self.in_flight < self.most_calls;
        self.stalled |= !takes;
        takes
    }

    /// Whether there is reason to take commands in again.
    pub fn goes_on(&mut self, has_room: bool) -> bool {
        let goes_on = self.stalled && has_room && self.in_flight < self.most_calls;
        self.stalled &= !goes_on;
        goes_on
    }

    /// Refuses commands from now on; true if none is under way.
    pub fn drain(&mut self) -> bool {
        self.draining = true;
        self.in_flight == 0
    }

    /// The client has gone: none of its commands is under way any more.
    pub fn lose(&mut self) {
        self.in_flight = 0;
    }

    /// Commands that wait for their answer.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }
}

#[cfg(test)]
mod tests {
    use super::super::end;
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn a_client_s_answers_keep_their_code_and_the_router_s_own_are_answers() {
        let mut back: Back<char, char> = Back::new(9, 3);
        for header in [normal(1), end(1), cancel(1)] {
            for caller in [Caller::Front('f', 7), Caller::Here('h', 8)] {
                let request = back.request().unwrap();
                back.started(request, caller);
            }
            let id = back.calls_of(|front| *front == 'f')[0].1;
            let answer = back.receive(Header { id, ..header });
            assert_eq!(answer, Answer::Front('f', Header { id: 7, ..header }));
            let expected = match header.control {
                Control::Normal => Answer::Here('h', normal(8)),
                _ => Answer::Unavailable('h', normal(8)),
            };
            assert_eq!(back.receive(Header { id: id + 1, ..header }), expected);
            assert_eq!(back.receive(Header { id, ..header }), Answer::Dropped);
        }
    }

    #[test]
    fn a_connection_takes_as_many_calls_as_it_may() {
        let mut back: Back<char, char> = Back::new(9, 4);
        for call in 0..4 {
            assert_eq!(back.has_much_room(), call <= 3);
            let request = back.request().unwrap();
            back.started(request, Caller::Front('f', call));
        }
        assert_eq!((back.request(), back.has_much_room()), (None, false));
        assert_eq!(back.cancel_call(1, 1, |_| true), None);
        assert_eq!(back.cancel_call(1, 0, |front| *front == 'g'), None);
        let cancelled = (cancel(1), Caller::Front('f', 0));
        assert_eq!(back.cancel_call(1, 0, |front| *front == 'f'), Some(cancelled));
        assert_eq!(back.request(), Some(normal(5)));
        assert_eq!(back.lose().len(), 3);
        assert!(back.is_empty());
    }

    #[test]
    fn codes_ask_for_what_they_say() {
        let mut front = Front::new(1);
        assert_eq!(front.receive(normal(1)), Event::Command);
        assert_eq!(front.receive(end(1)), Event::Dropped);
        assert_eq!(front.receive(cancel(1)), Event::Dropped);
        front.forwarded();
        assert_eq!(front.receive(cancel(1)), Event::Cancel(1));
        assert!(!front.drain());
        assert_eq!(front.receive(normal(2)), Event::Refused(cancel(2)));
        assert!(front.answered().has_drained);
    }

    #[test]
    fn a_client_with_too_many_commands_is_taken_from_again_at_half() {
        let mut front = Front::new(4);
        for _ in 0..4 {
            assert!(front.takes(true));
            front.forwarded();
        }
        assert!(!front.takes(true));
        assert!(!front.answered().may_go_on);
        assert!(front.answered().may_go_on);
        assert!(!front.goes_on(false));
        assert!(front.goes_on(true));
        assert!(!front.goes_on(true));
    }

    proptest! {
        /// Clients and the router itself over one connection to a storage, which answers in any order and whose
        /// clients give up and go away: every call has one end, at who made it.
        #[test]
        fn every_call_ends_once_at_its_caller(
            steps in prop::collection::vec((0u8..8, 0u64..3, 0usize..8, 0u64..4), 0..200),
        ) {
            let mut back: Back<u64, u64> = Back::new(20, 8);
            let mut fronts = [(); 3].map(|()| Front::new(4));
            // What the storage was sent and has not answered, by the id there; and the calls under way.
            let mut there: BTreeMap<u64, (bool, u64)> = BTreeMap::new();
            let mut calls: BTreeSet<(bool, u64)> = BTreeSet::new();
            for (call, (step, who, at, code)) in steps.into_iter().enumerate() {
                let call = call as u64;
                let front = &mut fronts[who as usize];
                let id = there.keys().nth(at).copied();
                match (step, id) {
                    (0..3, _) if front.takes(true) => {
                        let Some(request) = back.request() else { continue };
                        // The storage answers whom it was asked for before an id is used again.
                        if there.contains_key(&request.id) {
                            continue;
                        }
                        front.forwarded();
                        back.started(request, Caller::Front(who, call));
                        there.insert(request.id, (true, call));
                        calls.insert((true, call));
                    }
                    (3, _) => {
                        let Some(request) = back.request() else { continue };
                        if there.contains_key(&request.id) {
                            continue;
                        }
                        back.started(request, Caller::Here(call, call));
                        there.insert(request.id, (false, call));
                        calls.insert((false, call));
                    }
                    (4..6, Some(id)) => {
                        let (is_front, asked) = there.remove(&id).unwrap();
                        let control = Control::from_wire(code);
                        match back.receive(Header { id, control }) {
                            Answer::Front(who, header) => {
                                prop_assert_eq!(header, Header { id: asked, control });
                                prop_assert!(is_front);
                                fronts[who as usize].answered();
                            }
                            Answer::Here(waiter, header) | Answer::Unavailable(waiter, header) => {
                                prop_assert_eq!((waiter, header), (asked, normal(asked)));
                                prop_assert!(!is_front);
                            }
                            Answer::Dropped => {
                                prop_assert!(!calls.contains(&(is_front, asked)));
                                continue;
                            }
                        }
                        prop_assert!(calls.remove(&(is_front, asked)));
                    }
                    (6, _) => {
                        let Some((call, id)) = back.calls_of(|front| *front == who).first().copied() else {
                            continue;
                        };
                        prop_assert_eq!(fronts[who as usize].receive(cancel(call)), Event::Cancel(call));
                        let cancelled = back.cancel_call(id, call, |front| *front == who);
                        prop_assert_eq!(cancelled, Some((cancel(id), Caller::Front(who, call))));
                        fronts[who as usize].answered();
                        prop_assert!(calls.remove(&(true, call)));
                    }
                    (7, _) => {
                        for (_, caller) in back.forget(|front| *front == who) {
                            let Caller::Front(_, call) = caller else { unreachable!() };
                            prop_assert!(calls.remove(&(true, call)));
                        }
                        fronts[who as usize].lose();
                    }
                    _ => {}
                }
                let in_flight: usize = fronts.iter().map(Front::in_flight).sum();
                prop_assert_eq!(calls.iter().filter(|(is_front, _)| *is_front).count(), in_flight);
                prop_assert_eq!(back.len(), calls.len());
            }
            prop_assert_eq!(back.lose().len(), calls.len());
        }
    }
}
