//! What a collection may grow to, what it weighs, and when it gives back what it no longer needs.

use std::fmt;

/// The most bytes the elements of one collection may take in a message, so that one answer can hold them all:
/// below the 4 MiB that connections accept by default.
pub const MAX_COLLECTION: usize = 4 * 1024 * 1024 - 16 * 1024;

/// Bytes a message spends on an element besides its content, at most: tags, lengths, a score.
const ELEMENT_ON_THE_WIRE: usize = 24;

/// Places a container may hold without being asked how many of them are in use.
pub(super) const FEW_PLACES: usize = 64;

/// A collection that would become larger than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectionTooLarge {
    /// Bytes it would take.
    pub needed: usize,
    /// Bytes it may take.
    pub limit: usize,
}

impl fmt::Display for CollectionTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the collection would take {} bytes with its overhead; the limit is {} bytes",
            self.needed, self.limit
        )
    }
}

impl std::error::Error for CollectionTooLarge {}

/// What a collection may grow to: `memory` bytes as the engine charges it, and `MAX_COLLECTION` in a message.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    /// Bytes the engine may charge for the collection.
    pub memory: usize,
}

impl Capacity {
    /// Whether `count` elements with `payload` bytes of content, each charged `overhead` more, are not too many.
    pub(crate) fn check(
        self,
        payload: usize,
        count: usize,
        overhead: usize,
    ) -> Result<(), CollectionTooLarge> {
        let on_the_wire = payload + count * ELEMENT_ON_THE_WIRE;
        let charged = payload + count * overhead;
        if on_the_wire > MAX_COLLECTION {
            return Err(CollectionTooLarge {
                needed: on_the_wire,
                limit: MAX_COLLECTION,
            });
        }
        if charged > self.memory {
            return Err(CollectionTooLarge {
                needed: charged,
                limit: self.memory,
            });
        }
        Ok(())
    }
}

/// What an engine asks of a collection of `$container`s that charges `$overhead` for each element beside its payload.
macro_rules! weighed {
    ($name:ident, $overhead:path, $($container:ident),+) => {
        impl $name {
            /// Bytes the engine charges for it.
            pub(super) fn weight(&self) -> usize {
                self.payload + self.count() * $overhead
            }

            /// Gives back what it no longer needs; see `Family::trim`.
            pub(super) fn give_back(&mut self) {
                $(
                    let (places, used) = (self.$container.capacity(), self.$container.len());
                    if places > $crate::cache::collections::capacity::FEW_PLACES && used * 4 < places {
                        self.$container.shrink_to(used * 2);
                    }
                )+
            }

            #[cfg(test)]
            pub(super) fn most_places(&self) -> usize {
                [$(self.$container.capacity()),+].into_iter().max().unwrap_or(0)
            }
        }
    };
}
pub(super) use weighed;
