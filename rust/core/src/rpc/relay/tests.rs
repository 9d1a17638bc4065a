//! Clients, the router itself and a storage: every call ends once, at who made it.

use super::*;
use crate::rpc::{cancel, end, normal};
use crate::wire::header::{Control, Header};
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
