//! Any of the four collections, and what they have in common.

use std::fmt;

use super::dictionary::Dictionary;
use super::list::List;
use super::set::Set;
use super::sorted_set::SortedSet;

/// What kind of value is under a key; the numbers are those of Momento's ItemType.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Plain bytes.
    Scalar = 0,
    /// Fields with values.
    Dictionary = 1,
    /// Distinct elements.
    Set = 2,
    /// Elements in order.
    List = 3,
    /// Distinct elements ordered by their scores.
    SortedSet = 4,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "a scalar",
            Self::Dictionary => "a dictionary",
            Self::Set => "a set",
            Self::List => "a list",
            Self::SortedSet => "a sorted set",
        })
    }
}

/// Any collection.
#[derive(Debug)]
pub enum Collection {
    /// Fields with values.
    Dictionary(Dictionary),
    /// Distinct elements.
    Set(Set),
    /// Elements in order.
    List(List),
    /// Distinct elements ordered by their scores.
    SortedSet(SortedSet),
}

impl Collection {
    /// Which of them it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Dictionary(_) => Kind::Dictionary,
            Self::Set(_) => Kind::Set,
            Self::List(_) => Kind::List,
            Self::SortedSet(_) => Kind::SortedSet,
        }
    }
}

/// What the four collections have in common; an empty one is never stored.
pub trait Family: Default {
    /// Which of them it is.
    const KIND: Kind;

    /// The collection as one of any kind.
    fn wrap(self) -> Collection;

    /// The collection of this kind, if it is one.
    fn of(collection: &Collection) -> Option<&Self>;

    /// The collection of this kind, if it is one, to be changed.
    fn of_mut(collection: &mut Collection) -> Option<&mut Self>;

    /// How many elements it has.
    fn len(&self) -> usize;

    /// Bytes the engine charges for it.
    fn charged(&self) -> usize;

    /// Gives back what it no longer needs: where less than a quarter of the places is in use, twice as many as are
    /// stay. It costs no more than what was done since the last time, on average.
    fn trim(&mut self);

    /// Places in the largest of its containers.
    #[cfg(test)]
    fn places(&self) -> usize;

    /// Whether nothing is in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

macro_rules! family {
    ($($name:ident),+) => {
        $(impl Family for $name {
            const KIND: Kind = Kind::$name;

            fn wrap(self) -> Collection {
                Collection::$name(self)
            }

            fn of(collection: &Collection) -> Option<&Self> {
                match collection {
                    Collection::$name(found) => Some(found),
                    _ => None,
                }
            }

            fn of_mut(collection: &mut Collection) -> Option<&mut Self> {
                match collection {
                    Collection::$name(found) => Some(found),
                    _ => None,
                }
            }

            fn len(&self) -> usize {
                self.count()
            }

            fn charged(&self) -> usize {
                self.weight()
            }

            fn trim(&mut self) {
                self.give_back();
            }

            #[cfg(test)]
            fn places(&self) -> usize {
                self.most_places()
            }
        })+
    };
}

family!(Dictionary, Set, List, SortedSet);
