//! Why the engine did not do something, in words for whoever asked.

use std::convert::Infallible;
use std::fmt;

use super::store::EntryTooLarge;
use crate::cache::collections::dictionary::NotIncremented;
use crate::cache::collections::sorted_set::NotScored;
use crate::cache::collections::{CollectionTooLarge, Kind, NotCountable};

/// The most caches that can have a name at once.
pub const MAX_CACHES: usize = 10_000;

/// The most bytes of a cache's name: `MAX_CACHES` of them are still one answer below the 4 MiB that connections
/// accept by default.
pub const MAX_CACHE_NAME: usize = 256;

/// Why something was not done; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// What is under the key is of another kind.
    WrongKind {
        /// What is there.
        found: Kind,
        /// What the command is for.
        wanted: Kind,
    },
    /// What is there cannot be counted with.
    NotCountable(NotCountable),
    /// The entry could never fit.
    EntryTooLarge(EntryTooLarge),
    /// The collection would become too large.
    CollectionTooLarge(CollectionTooLarge),
    /// There are `MAX_CACHES` caches.
    TooManyCaches,
    /// The name of a cache is longer than `MAX_CACHE_NAME`.
    CacheNameTooLong {
        /// Bytes it has.
        length: usize,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongKind { found, wanted } => write!(f, "the item is {found}, not {wanted}"),
            Self::NotCountable(why) => why.fmt(f),
            Self::EntryTooLarge(why) => why.fmt(f),
            Self::CollectionTooLarge(why) => why.fmt(f),
            Self::TooManyCaches => write!(f, "there are {MAX_CACHES} caches, which is the limit"),
            Self::CacheNameTooLong { length } => write!(
                f,
                "the name of the cache has {length} bytes; the limit is {MAX_CACHE_NAME} bytes"
            ),
        }
    }
}

impl std::error::Error for Refused {}

impl From<EntryTooLarge> for Refused {
    fn from(why: EntryTooLarge) -> Self {
        Self::EntryTooLarge(why)
    }
}

impl From<CollectionTooLarge> for Refused {
    fn from(why: CollectionTooLarge) -> Self {
        Self::CollectionTooLarge(why)
    }
}

impl From<Infallible> for Refused {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl From<NotIncremented> for Refused {
    fn from(why: NotIncremented) -> Self {
        match why {
            NotIncremented::NotCountable(why) => Self::NotCountable(why),
            NotIncremented::TooLarge(why) => Self::CollectionTooLarge(why),
        }
    }
}

impl From<NotScored> for Refused {
    fn from(why: NotScored) -> Self {
        match why {
            NotScored::NotCountable(why) => Self::NotCountable(why),
            NotScored::TooLarge(why) => Self::CollectionTooLarge(why),
        }
    }
}
