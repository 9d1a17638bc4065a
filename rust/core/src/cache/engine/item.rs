//! What is under a key: a plain value or a collection.

use super::refused::Refused;
use crate::cache::collections::{Collection, Family, Kind, List};

/// A plain value, as whoever binds the engine keeps it.
pub trait Scalar {
    /// What `read` makes of its bytes.
    fn read<R>(&self, read: impl FnOnce(&[u8]) -> R) -> R;

    /// A value of these bytes.
    fn make(bytes: &[u8]) -> Self;
}

impl Scalar for Vec<u8> {
    fn read<R>(&self, read: impl FnOnce(&[u8]) -> R) -> R {
        read(self)
    }

    fn make(bytes: &[u8]) -> Self {
        bytes.to_vec()
    }
}

/// What is under a key.
pub enum Item<S> {
    /// Plain bytes.
    Scalar(S),
    /// Anything of more than one part; boxed, so that entries of plain bytes stay small.
    Collection(Box<Collection>),
}

impl<S> Default for Item<S> {
    fn default() -> Self {
        Self::Collection(Box::new(List::default().wrap()))
    }
}

impl<S> Item<S> {
    /// Which kind it is of.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Scalar(_) => Kind::Scalar,
            Self::Collection(collection) => collection.kind(),
        }
    }

    pub(crate) fn scalar(&self) -> Result<&S, Refused> {
        match self {
            Self::Scalar(value) => Ok(value),
            Self::Collection(_) => Err(self.not(Kind::Scalar)),
        }
    }

    pub(crate) fn collection<C: Family>(&self) -> Result<&C, Refused> {
        match self {
            Self::Collection(found) => C::of(found),
            Self::Scalar(_) => None,
        }
        .ok_or_else(|| self.not(C::KIND))
    }

    pub(crate) fn collection_mut<C: Family>(&mut self) -> Result<&mut C, Refused> {
        let refused = self.not(C::KIND);
        match self {
            Self::Collection(found) => C::of_mut(found),
            Self::Scalar(_) => None,
        }
        .ok_or(refused)
    }

    fn not(&self, wanted: Kind) -> Refused {
        Refused::WrongKind {
            found: self.kind(),
            wanted,
        }
    }
}

impl<S: Scalar> Item<S> {
    /// Bytes it counts as.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Scalar(value) => value.read(<[u8]>::len),
            Self::Collection(found) => match found.as_ref() {
                Collection::Dictionary(found) => found.charged(),
                Collection::Set(found) => found.charged(),
                Collection::List(found) => found.charged(),
                Collection::SortedSet(found) => found.charged(),
            },
        }
    }
}
