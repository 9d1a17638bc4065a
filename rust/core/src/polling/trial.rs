//! What looking for more brings: tried out, in turns with sleeping, against what comes without it.
//!
//! Where messages are answers to what this process sends, who looks has them sooner, sends the next sooner, and so has
//! more of them. Where they come as they please, or another program needs the processor more, it has not, and what
//! was spent is wasted. Nobody can tell from the waits alone; so where looking takes much of the time, the event loop
//! looks for some milliseconds and sleeps for some, and goes on with what brought more messages once that is certain.
//! What stays certain is tried ever more seldom.

use std::time::{Duration, Instant};

/// The shortest time for which one way is tried: hundreds of batches, and longer than the kernel's time slices.
const WINDOW: Duration = Duration::from_millis(8);
/// Up to half of it is added, so that programs do not try in step.
const JITTER: Duration = Duration::from_millis(4);
/// A window that ends so late had pauses in it, and says nothing.
const PAUSED: Duration = Duration::from_millis(20);
/// So many times as many messages must looking bring.
const ENOUGH: f32 = 1.05;
/// What is thought of it at first, and how far comparisons are expected to be from that, squared.
const MEAN_AT_FIRST: f32 = 1.15;
const VARIANCE_AT_FIRST: f32 = 0.02;
/// A smaller part of the time, spent looking, is not worth saving.
const CHEAP: f32 = 0.1;
/// No comparison counts for more.
const MOST_RATIO: f32 = 2.0;
/// The part of the mean that is the newest comparison.
const NEWEST: f32 = 0.2;
/// So many standard errors make the mean certain.
const CERTAIN: f32 = 2.0;
/// Windows between two comparisons while the result is not certain, and when it has long been.
const OFTEN: u8 = 2;
const RAREST: u8 = 64;

/// Windows of time in which an event loop looks for more, and windows in which it sleeps.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// What is done but for comparisons.
    looks: bool,
    /// Messages when it looks, to messages when it sleeps: the mean of the last comparisons, and their variance.
    mean: f32,
    variance: f32,
    /// Windows between comparisons, and how many are left to the next.
    pause: u8,
    left: u8,
    window: Window,
    began: Option<Instant>,
    until: Option<Instant>,
    messages: u32,
    looked: Duration,
}

/// A comparison is of three windows: the second does what the others do not.
#[derive(Clone, Copy, Debug)]
enum Window {
    First,
    /// With the messages per second of the first.
    Second(f32),
    /// With those of the first and the second.
    Third(f32, f32),
}

impl Default for Trial {
    fn default() -> Self {
        Trial {
            looks: true,
            mean: MEAN_AT_FIRST,
            variance: VARIANCE_AT_FIRST,
            pause: OFTEN,
            left: OFTEN,
            window: Window::First,
            began: None,
            until: None,
            messages: 0,
            looked: Duration::ZERO,
        }
    }
}

impl Trial {
    /// So many messages were sent until `now`: whether to look for more. What could not look where it should have,
    /// for the waits are too long, says nothing about looking.
    #[inline]
    pub fn looks(&mut self, now: Instant, messages: u32, could: bool) -> bool {
        self.messages = self.messages.saturating_add(messages);
        if self.until.is_none_or(|until| now >= until) {
            self.window_ended(now, could);
        }
        self.is_looking()
    }

    #[inline]
    fn is_looking(&self) -> bool {
        self.looks != matches!(self.window, Window::Second(_))
    }

    /// So much time was spent looking.
    #[inline]
    pub fn looked(&mut self, time: Duration) {
        self.looked += time;
    }

    #[cold]
    fn window_ended(&mut self, now: Instant, could: bool) {
        let took = self.began.map_or(PAUSED, |began| now - began);
        if took >= PAUSED || !could || self.messages == 0 {
            self.window = Window::First;
        } else if self.is_looking() && self.looked < took.mul_f32(CHEAP) {
            *self = Trial::default();
        } else {
            self.measured(self.messages as f32 / took.as_secs_f32());
        }
        self.messages = 0;
        self.looked = Duration::ZERO;
        self.began = Some(now);
        // The nanoseconds that a window took are as good as random.
        let random = took.subsec_nanos().wrapping_mul(0x9e37_79b9) as f32 / u32::MAX as f32;
        self.until = Some(now + WINDOW + JITTER.mul_f32(random));
    }

    /// A window had so many messages per second.
    fn measured(&mut self, rate: f32) {
        self.window = match self.window {
            Window::First if self.left > 1 => {
                self.left -= 1;
                Window::First
            }
            Window::First => Window::Second(rate),
            Window::Second(first) => Window::Third(first, rate),
            Window::Third(first, second) => {
                self.compared(2.0 * second / (first + rate));
                Window::First
            }
        }
    }

    /// The second window had so many times the messages of the others.
    fn compared(&mut self, second_to_others: f32) {
        let ratio = if self.looks {
            second_to_others.recip()
        } else {
            second_to_others
        };
        let ratio = ratio.clamp(MOST_RATIO.recip(), MOST_RATIO);
        let difference = ratio - self.mean;
        self.mean += NEWEST * difference;
        self.variance = (1.0 - NEWEST) * (self.variance + NEWEST * difference * difference);
        let error = (self.variance * NEWEST / (2.0 - NEWEST)).sqrt();
        let gain = self.mean - ENOUGH;
        if gain.abs() < CERTAIN * error {
            self.pause = OFTEN;
        } else if self.looks == (gain > 0.0) {
            self.pause = (self.pause * 2).min(RAREST);
        } else {
            self.looks = gain > 0.0;
            self.pause = OFTEN;
        }
        self.left = self.pause;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Run {
        trial: Trial,
        now: Instant,
        /// Of the time that a batch takes.
        part_that_is_looking: f32,
    }

    impl Run {
        fn new() -> Self {
            Run {
                trial: Trial::default(),
                now: Instant::now(),
                part_that_is_looking: 0.5,
            }
        }

        /// Batches of eight messages that each take so many nanoseconds when it looks and when it sleeps, and what
        /// `uneven` adds to some; how often of the last half of them it looked.
        fn share_that_looks(&mut self, looking: u64, sleeping: u64, uneven: &[u64]) -> f64 {
            const BATCHES: usize = 200_000;
            let mut looked = 0;
            for batch in 0..BATCHES {
                let looks = self.trial.looks(self.now, 8, true);
                looked += usize::from(looks && batch >= BATCHES / 2);
                let time = if looks { looking } else { sleeping };
                if looks {
                    let looked = Duration::from_nanos(time).mul_f32(self.part_that_is_looking);
                    self.trial.looked(looked);
                }
                let more = uneven.get(batch % uneven.len().max(1)).unwrap_or(&0);
                self.now += Duration::from_nanos(time + more);
            }
            looked as f64 / (BATCHES / 2) as f64
        }
    }

    #[test]
    fn it_looks_where_that_brings_answers_sooner() {
        assert!(Run::new().share_that_looks(12_000, 57_000, &[]) > 0.95);
    }

    #[test]
    fn it_sleeps_where_messages_come_as_they_please() {
        assert!(Run::new().share_that_looks(50_000, 50_000, &[]) < 0.05);
    }

    #[test]
    fn it_sleeps_where_looking_takes_the_processor_from_others() {
        assert!(Run::new().share_that_looks(80_000, 60_000, &[]) < 0.05);
    }

    #[test]
    fn what_takes_little_time_is_not_tried() {
        let mut run = Run::new();
        run.part_that_is_looking = 0.05;
        assert_eq!(run.share_that_looks(50_000, 50_000, &[]), 1.0);
        // Nor is it left out any longer once it takes little.
        run.part_that_is_looking = 0.5;
        assert!(run.share_that_looks(50_000, 50_000, &[]) < 0.1);
        run.part_that_is_looking = 0.05;
        assert!(run.share_that_looks(50_000, 50_000, &[]) > 0.9);
    }

    #[test]
    fn it_follows_a_change() {
        let mut run = Run::new();
        for _ in 0..3 {
            assert!(run.share_that_looks(50_000, 50_000, &[]) < 0.1);
            assert!(run.share_that_looks(20_000, 50_000, &[]) > 0.9);
        }
    }

    #[test]
    fn a_window_with_a_pause_says_nothing() {
        let mut run = Run::new();
        for _ in 0..1000 {
            assert!(run.trial.looks(run.now, 8, true));
            run.now += Duration::from_millis(25);
        }
    }

    #[test]
    fn windows_without_messages_and_windows_that_could_not_look_say_nothing() {
        for (messages, could) in [(0, true), (8, false)] {
            let mut run = Run::new();
            for _ in 0..100_000 {
                assert!(run.trial.looks(run.now, messages, could));
                run.now += Duration::from_micros(50);
            }
        }
    }

    proptest! {
        /// Whatever the pattern of the batches, a clear difference is found, and none is not.
        #[test]
        fn uneven_batches_do_not_mislead(
            looking in 5_000_u64..50_000,
            gain in 1.5_f64..4.0,
            uneven in prop::collection::vec(0_u64..30_000, 1..50),
        ) {
            let mean = uneven.iter().sum::<u64>() / uneven.len() as u64;
            let sleeping = ((looking + mean) as f64 * gain) as u64 - mean;
            for (sleeping, most, least) in [(sleeping, 1.0, 0.8), (looking, 0.2, 0.0)] {
                let mut run = Run::new();
                run.part_that_is_looking = 1.0;
                let share = run.share_that_looks(looking, sleeping, &uneven);
                prop_assert!((least..=most).contains(&share), "{share}");
            }
        }
    }
}
