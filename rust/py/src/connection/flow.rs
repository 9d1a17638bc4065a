//! When a connection reads and handles what it read: pauses, turns, budgets.

use protosocket_core::connection::reading_on::ReadingOn;

/// Whether messages are handled now, and whether the transport reads.
#[derive(Default)]
pub struct Flow {
    /// Messages are not handled for now, and so the transport is not to read.
    pub is_paused: bool,
    /// The transport was told to stop reading.
    pub is_halted: bool,
    /// The messages that wait are handled in a later turn of the event loop.
    pub is_scheduled: bool,
    /// Messages that were handled since the event loop's last read.
    pub spent: usize,
    pub reading_on: ReadingOn,
}

impl Flow {
    /// Whether what was read is handled at once. While reading is stopped, or the rest of a batch waits for its turn,
    /// bytes only gather.
    #[inline]
    pub fn handles(&self) -> bool {
        !self.is_paused && !self.is_scheduled
    }
}
