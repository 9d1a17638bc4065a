//! The client's side of a connection: calls out, answers in, deadlines, windows, cancellation.

use super::calls::Pending;
use super::deadline_heap::Deadlines;
use super::{CONNECTION, Violation, cancel, end, normal};
use crate::wire::header::{Control, Header};

/// The calls of one connection; `W` waits for the answer of one.
///
/// A call is known by its handle, which no other call ever has; its id on the wire may be used again.
pub struct Client<W> {
    calls: Pending<Call<W>>,
    deadlines: Deadlines,
    exchanges: bool,
    queueing: usize,
}

/// A call, as the table holds it.
pub struct Call<W>(State<W>);

enum State<W> {
    Unary(W),
    Stream(W, Option<Window>),
    /// Given up here, but not yet ended by the peer; whether its answer may be many messages.
    Abandoned {
        is_stream: bool,
    },
}

/// How much of a streamed answer the peer may still send, in bytes of messages.
struct Window {
    size: i64,
    left: i64,
}

/// What a message from the server means.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<W> {
    /// The message is the one answer of a call, which has ended.
    Response(W),
    /// The message is part of a streamed answer.
    Item(W),
    /// A call has ended.
    End(W),
    /// A call has ended, and the message is the last of its answer.
    Last(W),
    /// The server ended a call without an answer.
    Cancelled(W),
    /// The message is about the connection.
    Told,
    /// Nobody waits for it.
    Dropped,
}

impl<W> Event<W> {
    /// Whether somebody wants the message itself.
    #[inline]
    pub fn has_message(&self) -> bool {
        match self {
            Event::Response(_) | Event::Item(_) | Event::Last(_) | Event::Told => true,
            Event::End(_) | Event::Cancelled(_) | Event::Dropped => false,
        }
    }
}

impl Window {
    /// Takes note of a message; false if it should not have come. The peer counts by a little otherwise, and one
    /// message may overdraw: so it is let do twice what it was granted.
    #[inline]
    fn takes(&mut self, length: usize) -> bool {
        let may = self.left > -self.size;
        self.left = self.left.saturating_sub(length as i64);
        may
    }
}

impl<W> Call<W> {
    /// A call with one answer.
    pub fn unary(waiter: W) -> Self {
        Call(State::Unary(waiter))
    }

    /// A call that is answered by a stream, of which the server may send `window` bytes before it is granted more.
    pub fn stream(waiter: W, window: Option<i64>) -> Self {
        Call(State::Stream(
            waiter,
            window.map(|size| Window { size, left: size }),
        ))
    }

    fn waiter(&self) -> Option<&W> {
        match &self.0 {
            State::Unary(waiter) | State::Stream(waiter, _) => Some(waiter),
            State::Abandoned { .. } => None,
        }
    }

    #[inline]
    fn into_waiter(self) -> Option<W> {
        match self.0 {
            State::Unary(waiter) | State::Stream(waiter, _) => Some(waiter),
            State::Abandoned { .. } => None,
        }
    }
}

impl<W> Client<W> {
    /// No calls yet; an id field holds ids up to `largest_id`.
    pub fn new(largest_id: u64) -> Self {
        Client {
            calls: Pending::new(largest_id),
            deadlines: Deadlines::default(),
            exchanges: false,
            queueing: 0,
        }
    }

    /// The same with exchanges: the server says of every call when it has ended, so ids are used again at once.
    pub fn with_exchanges() -> Self {
        Client {
            calls: Pending::reusing(),
            exchanges: true,
            ..Client::new(0)
        }
    }

    /// Whether calls have exchanges.
    pub fn has_exchanges(&self) -> bool {
        self.exchanges
    }

    /// The header of the next call's request; [`Client::started`] follows once that is on its way.
    #[inline]
    pub fn request(&self) -> Header {
        normal(self.calls.next_id())
    }

    /// The request with this header is on its way; the call's handle.
    #[inline]
    pub fn started(&mut self, request: Header, call: Call<W>) -> u64 {
        self.calls.insert_as(request.id, call);
        self.calls.handle(request.id)
    }

    /// The header of another message of a call; None if it has ended.
    pub fn message(&self, handle: u64) -> Option<Header> {
        self.calls.id(handle).map(normal)
    }

    /// The header that says that a call has no further message; None if it has ended.
    pub fn end(&self, handle: u64) -> Option<Header> {
        self.calls.id(handle).map(end)
    }

    /// Lets the server send so many bytes more of a streamed answer; the call's id, None if it has ended.
    pub fn grant(&mut self, handle: u64, credit: i64) -> Option<u64> {
        let id = self.calls.id(handle)?;
        if let Some(Call(State::Stream(_, Some(window)))) = self.calls.get_mut(id) {
            window.left = window.left.saturating_add(credit);
        }
        Some(id)
    }

    /// Gives a call up: what to tell the server, and who waited; None if it has ended. With exchanges the id stays
    /// taken until the server has ended the call, too.
    pub fn cancel(&mut self, handle: u64) -> Option<(Header, W)> {
        let id = self.calls.id(handle)?;
        let call = if self.exchanges {
            let call = self.calls.get_mut(id)?;
            let is_stream = match call.0 {
                State::Unary(_) => false,
                State::Stream(..) => true,
                State::Abandoned { .. } => return None,
            };
            std::mem::replace(call, Call(State::Abandoned { is_stream }))
        } else {
            self.calls.remove(id)?
        };
        Some((cancel(id), call.into_waiter()?))
    }

    /// Gives a call until `when`; true if no other one ends earlier.
    pub fn set_deadline(&mut self, handle: u64, when: f64) -> bool {
        let calls = &self.calls;
        self.deadlines
            .add(when, handle, calls.len(), |handle| calls.id(handle).is_some())
    }

    /// Gives up a call whose time has come at `now`; None if there is no other. As [`Client::cancel`].
    pub fn expire(&mut self, now: f64) -> Option<(Header, W)> {
        loop {
            let handle = self.deadlines.expired(now)?;
            if let Some(given_up) = self.cancel(handle) {
                return Some(given_up);
            }
        }
    }

    /// When the next call runs out of time.
    pub fn next_deadline(&mut self) -> Option<f64> {
        let calls = &self.calls;
        self.deadlines.earliest(|handle| calls.id(handle).is_some())
    }

    /// What a message of `length` bytes with this header means. `share` makes another reference to who waits for a
    /// stream.
    #[inline]
    pub fn receive(
        &mut self,
        header: Header,
        length: usize,
        share: impl FnOnce(&W) -> W,
    ) -> Result<Event<W>, Violation> {
        let id = header.id;
        Ok(match header.control {
            Control::Normal => match self.calls.get_mut(id) {
                Some(Call(State::Stream(waiter, window))) => {
                    if window.as_mut().is_some_and(|window| !window.takes(length)) {
                        return Err(Violation::Overrun { id });
                    }
                    Event::Item(share(waiter))
                }
                Some(Call(State::Abandoned { is_stream: true })) => Event::Dropped,
                Some(_) => self.take(id).map_or(Event::Dropped, Event::Response),
                None if id == CONNECTION && self.exchanges => Event::Told,
                None => Event::Dropped,
            },
            Control::End if self.exchanges => self.take(id).map_or(Event::Dropped, Event::Last),
            Control::End => self.take(id).map_or(Event::Dropped, Event::End),
            // Cancel, and whatever a client is not sent: nobody is left to wait for an answer that does not come.
            _ => self.take(id).map_or(Event::Dropped, Event::Cancelled),
        })
    }

    /// Takes out a call that has ended; who waits for it.
    #[inline]
    fn take(&mut self, id: u64) -> Option<W> {
        self.calls.remove(id).and_then(Call::into_waiter)
    }

    /// The connection is lost: who still waits, in the order of the ids. No call is left.
    pub fn lose(&mut self) -> Vec<W> {
        let calls = self.calls.drain().into_iter();
        calls.filter_map(|(_, call)| call.into_waiter()).collect()
    }

    /// Calls in flight; with exchanges those that were given up and have not been ended by the server count.
    #[inline]
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether no call is in flight.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The id that a call has on the wire; None if it has ended.
    pub fn id(&self, handle: u64) -> Option<u64> {
        self.calls.id(handle)
    }

    /// Who waits for the answer of the call with this id.
    pub fn waiter(&self, id: u64) -> Option<&W> {
        self.calls.get(id).and_then(Call::waiter)
    }

    /// Who waits, in the order of the ids.
    pub fn waiters(&self) -> Vec<&W> {
        let mut waiters: Vec<_> = self.by_id().collect();
        waiters.sort_unstable_by_key(|(id, _)| *id);
        waiters.into_iter().map(|(_, waiter)| waiter).collect()
    }

    /// Who waits, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &W> {
        self.by_id().map(|(_, waiter)| waiter)
    }

    fn by_id(&self) -> impl Iterator<Item = (u64, &W)> {
        let calls = self.calls.iter();
        calls.filter_map(|(id, call)| call.waiter().map(|waiter| (id, waiter)))
    }

    /// A call begins to wait for room in the send queue; whether another does already.
    pub fn queue_up(&mut self) -> bool {
        self.queueing += 1;
        self.queueing > 1
    }

    /// A call does not wait for room any more.
    pub fn leave_queue(&mut self) {
        self.queueing = self.queueing.saturating_sub(1);
    }

    /// Whether calls wait for room: others do not overtake them.
    #[inline]
    pub fn has_queue(&self) -> bool {
        self.queueing > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(client: &mut Client<char>, waiter: char, window: Option<i64>) -> (u64, u64) {
        let request = client.request();
        (request.id, client.started(request, Call::stream(waiter, window)))
    }

    fn unary(client: &mut Client<char>, waiter: char) -> (u64, u64) {
        let request = client.request();
        (request.id, client.started(request, Call::unary(waiter)))
    }

    #[test]
    fn a_call_has_one_end_and_what_comes_later_is_dropped() {
        let ends = [
            (normal(1), Event::Response('a')),
            (end(1), Event::End('a')),
            (cancel(1), Event::Cancelled('a')),
        ];
        for (header, event) in ends {
            let mut client = Client::new(9);
            let (id, handle) = unary(&mut client, 'a');
            assert_eq!(client.receive(normal(id + 1), 1, char::clone), Ok(Event::Dropped));
            assert_eq!(client.receive(header, 1, char::clone), Ok(event));
            for late in [normal(id), end(id), cancel(id)] {
                assert_eq!(client.receive(late, 1, char::clone), Ok(Event::Dropped));
            }
            assert_eq!((client.cancel(handle), client.end(handle)), (None, None));
        }
    }

    #[test]
    fn a_code_that_is_not_known_is_a_cancel() {
        let mut client = Client::new(9);
        for code in [1, 3, 4, u64::MAX] {
            let (id, _) = stream(&mut client, 'a', None);
            let control = Control::from_wire(code);
            assert_eq!(
                client.receive(Header { id, control }, 1, char::clone),
                Ok(Event::Cancelled('a'))
            );
        }
    }

    #[test]
    fn a_call_given_up_has_no_event() {
        let mut client = Client::new(9);
        let (id, handle) = unary(&mut client, 'a');
        assert_eq!(client.cancel(handle), Some((cancel(id), 'a')));
        assert_eq!(client.cancel(handle), None);
        assert_eq!(client.receive(normal(id), 1, char::clone), Ok(Event::Dropped));
        assert!(client.is_empty());
    }

    #[test]
    fn with_exchanges_an_id_stays_taken_until_the_server_ended_the_call() {
        let mut client = Client::with_exchanges();
        assert_eq!(client.receive(normal(0), 1, char::clone), Ok(Event::Told));
        let (id, handle) = stream(&mut client, 'a', None);
        let (single, other) = unary(&mut client, 'b');
        assert_eq!(client.cancel(handle), Some((cancel(id), 'a')));
        assert_eq!(client.cancel(other), Some((cancel(single), 'b')));
        assert_eq!(client.waiters(), Vec::<&char>::new());
        // More items of a stream do not end it; the one answer does.
        assert_eq!(client.receive(normal(id), 1, char::clone), Ok(Event::Dropped));
        assert_eq!(client.receive(normal(single), 1, char::clone), Ok(Event::Dropped));
        assert_eq!(client.len(), 1);
        assert_eq!(unary(&mut client, 'c').0, single);
        assert_eq!(client.receive(cancel(id), 1, char::clone), Ok(Event::Dropped));
        let (again, younger) = stream(&mut client, 'd', None);
        assert_eq!(again, id);
        assert_eq!(client.cancel(handle), None);
        assert_eq!(client.message(younger), Some(normal(id)));
        assert_eq!(client.receive(end(id), 1, char::clone), Ok(Event::Last('d')));
    }

    #[test]
    fn a_server_may_overdraw_a_window_by_its_size_and_one_message() {
        let mut client = Client::new(9);
        let (id, handle) = stream(&mut client, 'a', Some(10));
        assert_eq!(client.receive(normal(id), 19, char::clone), Ok(Event::Item('a')));
        assert_eq!(client.receive(normal(id), 100, char::clone), Ok(Event::Item('a')));
        assert_eq!(
            client.receive(normal(id), 1, char::clone),
            Err(Violation::Overrun { id })
        );
        assert_eq!(client.grant(handle, 120), Some(id));
        assert_eq!(client.receive(normal(id), 1, char::clone), Ok(Event::Item('a')));
        assert_eq!(client.receive(end(id), 1000, char::clone), Ok(Event::End('a')));
        assert_eq!(client.grant(handle, 1), None);
    }

    #[test]
    fn deadlines_end_the_calls_that_still_run() {
        let mut client = Client::new(9);
        let calls = ['a', 'b', 'c'].map(|waiter| unary(&mut client, waiter));
        assert!(client.set_deadline(calls[0].1, 5.0));
        assert!(client.set_deadline(calls[1].1, 2.0));
        assert!(!client.set_deadline(calls[2].1, 3.0));
        assert_eq!(
            client.receive(normal(calls[1].0), 1, char::clone),
            Ok(Event::Response('b'))
        );
        assert_eq!(client.next_deadline(), Some(3.0));
        assert_eq!(client.expire(2.9), None);
        assert_eq!(client.expire(3.0), Some((cancel(calls[2].0), 'c')));
        assert_eq!(client.expire(3.0), None);
        assert_eq!(client.lose(), ['a']);
        assert_eq!((client.next_deadline(), client.len()), (None, 0));
    }
}
