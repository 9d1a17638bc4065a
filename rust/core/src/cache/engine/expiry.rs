//! When entries expire: a flat table that a cursor walks round and round, so that no sweep is ever unbounded work.

pub(super) const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

/// When what lives `ttl_ms` milliseconds from `now` is over; for ever if that is more than the clock has.
pub(super) fn expiry_after(now: u64, ttl_ms: u64) -> u64 {
    now.saturating_add(ttl_ms.saturating_mul(NANOSECONDS_PER_MILLISECOND))
}

/// When each entry expires, in slots that a cursor walks round and round.
#[derive(Default)]
pub(super) struct ExpiryTable {
    slots: Vec<ExpirySlot>,
    free: Vec<u32>,
    cursor: usize,
}

struct ExpirySlot {
    hash: u64,
    /// `NEVER` in a free slot.
    expires_at: u64,
}

const NEVER: u64 = u64::MAX;

impl ExpiryTable {
    pub(super) fn insert(&mut self, hash: u64, expires_at: u64) -> u32 {
        let new = ExpirySlot { hash, expires_at };
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = new;
            return slot;
        }
        let slot = u32::try_from(self.slots.len()).expect("fewer than 4 billion entries");
        self.slots.push(new);
        slot
    }

    pub(super) fn remove(&mut self, slot: u32) {
        self.slots[slot as usize].expires_at = NEVER;
        self.free.push(slot);
    }

    /// The entry in `slot` expires at another time.
    pub(super) fn update(&mut self, slot: u32, expires_at: u64) {
        self.slots[slot as usize].expires_at = expires_at;
    }

    /// How many slots there are, free ones among them.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// How many slots are in use.
    #[cfg(test)]
    pub(super) fn in_use(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Moves the cursor by one slot; the hash there, if its entry has expired.
    pub(super) fn next_expired(&mut self, now: u64) -> Option<u64> {
        if self.cursor >= self.slots.len() {
            self.cursor = 0;
        }
        let slot = self.slots.get(self.cursor)?;
        self.cursor += 1;
        (slot.expires_at != NEVER && slot.expires_at <= now).then_some(slot.hash)
    }
}
