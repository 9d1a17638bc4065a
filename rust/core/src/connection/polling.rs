//! Whether an event loop that has nothing to do should look for more for a moment, or sleep at once.
//!
//! To sleep and be woken takes the two processes ten to twenty microseconds of processor time, and one of them as
//! much again until it runs. An end that is awake when its peer is woken saves both the next time, and so one after
//! the other they come to wait a third as long. So looking is done where it mostly ends with a message: the time
//! between messages is watched, and what was spent in vain must be outweighed by short waits. Figures:
//! docs/decisions/0012 to 0014 and 0020.

use std::time::{Duration, Instant};

/// How long to look for more: as long as it takes to wake a peer that sleeps, and it to answer some messages.
pub const WORTH: Duration = Duration::from_micros(60);
/// A wait that would have ended within that time, had neither end been asleep, takes about so long.
const SHORT: Duration = Duration::from_micros(100);
/// Messages of several connections that are there at once come so close to each other: that is no wait.
const NONE: Duration = Duration::from_micros(4);
/// So many more short waits than others make the next one likely to be short.
const LIKELY: u8 = 8;
/// No more of them are remembered.
const MOST: u8 = 16;
/// What is forgotten for a wait that was long, and for one that was spent looking in vain.
const LONG: u8 = 2;
const IN_VAIN: u8 = 8;

/// The waits of one event loop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waits {
    /// When it last had something to do.
    ended: Option<Instant>,
    /// It has looked for more since then.
    is_awake: bool,
    short: u8,
}

impl Waits {
    /// A message came at `now`.
    #[inline]
    pub fn observe(&mut self, now: Instant) {
        if let Some(ended) = self.ended {
            let short = if self.is_awake { WORTH } else { SHORT };
            let wait = now.duration_since(ended);
            if wait > short {
                self.short = self.short.saturating_sub(LONG);
            } else if wait > NONE {
                self.short = (self.short + 1).min(MOST);
            }
        }
        self.is_awake = false;
        self.ended = Some(now);
    }

    /// It has written and has nothing to do from `now` on: whether it should look for more, for `WORTH`.
    #[inline]
    pub fn begin(&mut self, now: Instant) -> bool {
        self.ended = Some(now);
        self.is_awake = self.short >= LIKELY;
        self.is_awake
    }

    /// Nothing came while it looked.
    pub fn in_vain(&mut self) {
        if !self.is_awake {
            return;
        }
        self.is_awake = false;
        self.short = self.short.saturating_sub(IN_VAIN);
        self.ended = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages that come so many microseconds after there was nothing to do; whether it looked for the last one.
    fn come(waits: &mut Waits, now: &mut Instant, gaps: impl IntoIterator<Item = u64>) -> bool {
        let mut looks = false;
        for gap in gaps {
            looks = waits.begin(*now);
            if looks && Duration::from_micros(gap) > WORTH {
                waits.in_vain();
            }
            *now += Duration::from_micros(gap);
            waits.observe(*now);
            // It works on the message.
            *now += Duration::from_micros(10);
        }
        looks
    }

    #[test]
    fn it_looks_for_more_after_some_short_waits() {
        let (mut waits, mut now) = (Waits::default(), Instant::now());
        assert!(!come(&mut waits, &mut now, [15; 8]));
        assert!(come(&mut waits, &mut now, [15; 100]));
    }

    #[test]
    fn waits_in_vain_end_it() {
        let (mut waits, mut now) = (Waits::default(), Instant::now());
        assert!(come(&mut waits, &mut now, [15; 100]));
        assert!(come(&mut waits, &mut now, [160]));
        assert!(!come(&mut waits, &mut now, [160, 15]));
        assert!(come(&mut waits, &mut now, [15; 9]));
    }

    #[test]
    fn it_does_not_look_where_waits_are_long() {
        let (mut waits, mut now) = (Waits::default(), Instant::now());
        for _ in 0..1000 {
            assert!(!come(&mut waits, &mut now, [200]));
            assert!(!come(&mut waits, &mut now, [10, 10, 400]));
        }
    }

    #[test]
    fn where_it_mostly_looks_in_vain_it_seldom_looks() {
        let (mut waits, mut now) = (Waits::default(), Instant::now());
        let looks = (0..10_000)
            .filter(|turn| come(&mut waits, &mut now, [if turn % 3 == 0 { 15 } else { 200 }]))
            .count();
        assert!(looks < 10, "{looks}");
    }

    #[test]
    fn messages_that_are_there_at_once_are_no_waits() {
        let (mut waits, mut now) = (Waits::default(), Instant::now());
        for _ in 0..1000 {
            assert!(!come(&mut waits, &mut now, [1000, 1, 0, 2, 3, 1]));
        }
    }
}
