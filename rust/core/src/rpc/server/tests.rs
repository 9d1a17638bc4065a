//! What each message means to a server, one rule at a time.

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
