//! A client's connection to a router: what it asks, and how much of it is taken in.

use crate::rpc::refusal;
use crate::wire::header::{Control, Header};

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
            _ => Event::Dropped,
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
