//! A router's connection to a storage: whose calls are under way there, and where answers go.

use crate::rpc::calls::Pending;
use crate::rpc::{cancel, normal};
use crate::wire::header::{Control, Header};

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
