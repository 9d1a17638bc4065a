//! A sorted set: distinct elements ordered by their scores, those of the same score by their bytes.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::capacity::{Capacity, CollectionTooLarge, weighed};
use super::counting::NotCountable;
use super::slices::slice;

/// Bytes an element is charged on top of its content: its table slot at the usual load, its place in the order and
/// one counted allocation.
pub const ELEMENT_OVERHEAD: usize = 112;

/// A batch of more than this part of the set is sorted in or taken out as a whole, a smaller one element by element:
/// where the two cost the same for the largest sets.
const AS_A_WHOLE: usize = 64;

/// Elements with scores. A score is never NaN, and zero has no sign.
#[derive(Debug, Default)]
pub struct SortedSet {
    scores: HashMap<Arc<[u8]>, f64>,
    /// Sorted. Inserting moves what lies behind, at most 3 MB: `MAX_COLLECTION` bounds the number.
    order: Vec<(f64, Arc<[u8]>)>,
    payload: usize,
}

weighed!(SortedSet, ELEMENT_OVERHEAD, scores, order);

/// Why a score could not be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotScored {
    /// The score would not be a number.
    NotCountable(NotCountable),
    /// There is no room for new elements.
    TooLarge(CollectionTooLarge),
}

/// A limit of scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// None.
    Unbounded,
    /// This score and everything on its inner side.
    Inclusive(f64),
    /// Everything on the inner side of this score.
    Exclusive(f64),
}

impl SortedSet {
    /// Sets the scores of all the elements, or of none; of an element given twice the last score counts.
    pub fn put(&mut self, elements: &[(&[u8], f64)], capacity: Capacity) -> Result<(), NotScored> {
        if elements.iter().any(|(_, score)| score.is_nan()) {
            return Err(NotScored::NotCountable(NotCountable::NotANumber));
        }
        let most = self.payload + elements.iter().map(|(each, _)| each.len()).sum::<usize>();
        if capacity
            .check(most, self.count() + elements.len(), ELEMENT_OVERHEAD)
            .is_err()
        {
            let new: HashMap<&[u8], f64> = elements
                .iter()
                .copied()
                .filter(|(element, _)| !self.scores.contains_key(*element))
                .collect();
            let payload = self.payload + new.keys().map(|element| element.len()).sum::<usize>();
            capacity
                .check(payload, self.count() + new.len(), ELEMENT_OVERHEAD)
                .map_err(NotScored::TooLarge)?;
        }
        if elements.len() * AS_A_WHOLE > self.count() {
            for (element, score) in elements {
                self.score(element, *score);
            }
            self.order = self
                .scores
                .iter()
                .map(|(element, score)| (*score, element.clone()))
                .collect();
            self.order.sort_unstable_by(compare);
        } else {
            for (element, score) in elements {
                self.place(element, *score);
            }
        }
        Ok(())
    }

    /// Adds `amount` to the score of an element, or sets it to `amount` if there is none; the sum.
    pub fn increment(&mut self, element: &[u8], amount: f64, capacity: Capacity) -> Result<f64, NotScored> {
        let sum = self.get(element).unwrap_or(0.0) + amount;
        self.put(&[(element, sum)], capacity)?;
        Ok(sum)
    }

    /// The score of an element.
    pub fn get(&self, element: &[u8]) -> Option<f64> {
        self.scores.get(element).copied()
    }

    /// Removes the elements; those that are not there do not matter.
    pub fn remove(&mut self, elements: &[&[u8]]) {
        let as_a_whole = elements.len() * AS_A_WHOLE > self.count();
        for element in elements {
            if let Some((element, score)) = self.scores.remove_entry(*element) {
                self.payload -= element.len();
                if !as_a_whole {
                    self.take(&element, score);
                }
            }
        }
        if as_a_whole {
            self.order
                .retain(|(_, element)| self.scores.contains_key(element));
        }
    }

    /// How many elements come before this one.
    pub fn rank(&self, element: &[u8], descending: bool) -> Option<usize> {
        let score = self.get(element)?;
        let place = self.order.partition_point(|each| before(each, score, element));
        Some(if descending {
            self.count() - 1 - place
        } else {
            place
        })
    }

    /// The elements whose ranks lie between `start` and `end`, as `slice` takes them.
    pub fn by_rank(
        &self,
        start: Option<i32>,
        end: Option<i32>,
        descending: bool,
    ) -> impl Iterator<Item = (&[u8], f64)> {
        let ranks = slice(self.count(), start, end);
        let places = if descending {
            self.count() - ranks.end..self.count() - ranks.start
        } else {
            ranks
        };
        self.elements(places, descending)
    }

    /// The elements whose scores lie between two bounds.
    pub fn by_score(
        &self,
        least: Bound,
        most: Bound,
        descending: bool,
    ) -> impl Iterator<Item = (&[u8], f64)> {
        self.elements(self.between(least, most), descending)
    }

    /// How many elements have scores between two bounds.
    pub fn count_by_score(&self, least: Bound, most: Bound) -> usize {
        self.between(least, most).len()
    }

    pub(super) fn count(&self) -> usize {
        self.scores.len()
    }

    fn between(&self, least: Bound, most: Bound) -> Range<usize> {
        let from = match least {
            Bound::Unbounded => 0,
            Bound::Inclusive(bound) => self.order.partition_point(|(score, _)| *score < bound),
            Bound::Exclusive(bound) => self.order.partition_point(|(score, _)| *score <= bound),
        };
        let to = match most {
            Bound::Unbounded => self.order.len(),
            Bound::Inclusive(bound) => self.order.partition_point(|(score, _)| *score <= bound),
            Bound::Exclusive(bound) => self.order.partition_point(|(score, _)| *score < bound),
        };
        from..to.max(from)
    }

    fn elements(&self, places: Range<usize>, descending: bool) -> impl Iterator<Item = (&[u8], f64)> {
        let (first, last) = (places.start, places.end);
        (0..last - first).map(move |index| {
            let place = if descending {
                last - 1 - index
            } else {
                first + index
            };
            let (score, element) = &self.order[place];
            (element.as_ref(), *score)
        })
    }

    /// Sets a score in the table alone; the shared element and its old score.
    fn score(&mut self, element: &[u8], score: f64) -> (Arc<[u8]>, Option<f64>) {
        // Adding zero takes the sign off a zero.
        let score = score + 0.0;
        if let Some((known, old)) = self.scores.get_key_value(element) {
            let (known, old) = (known.clone(), *old);
            self.scores.insert(known.clone(), score);
            return (known, Some(old));
        }
        let element: Arc<[u8]> = element.into();
        self.payload += element.len();
        self.scores.insert(element.clone(), score);
        (element, None)
    }

    /// Sets a score in the table and in the order.
    fn place(&mut self, element: &[u8], score: f64) {
        let (element, old) = self.score(element, score);
        if let Some(old) = old {
            self.take(&element, old);
        }
        let score = score + 0.0;
        let place = self.order.partition_point(|each| before(each, score, &element));
        self.order.insert(place, (score, element));
    }

    /// Takes an element that was in the order with this score out of it.
    fn take(&mut self, element: &[u8], score: f64) {
        let place = self.order.partition_point(|each| before(each, score, element));
        self.order.remove(place);
    }
}

fn compare(one: &(f64, Arc<[u8]>), other: &(f64, Arc<[u8]>)) -> Ordering {
    one.0.total_cmp(&other.0).then_with(|| one.1.cmp(&other.1))
}

fn before(each: &(f64, Arc<[u8]>), score: f64, element: &[u8]) -> bool {
    each.0
        .total_cmp(&score)
        .then_with(|| each.1.as_ref().cmp(element))
        .is_lt()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::cache::collections::Family;

    #[derive(Debug, Clone)]
    enum Step {
        Put(Vec<(u8, f64)>),
        Increment(u8, f64),
        Remove(Vec<u8>),
    }

    fn score() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => (-3_i8..4).prop_map(f64::from),
            1 => any::<f64>(),
            1 => Just(f64::INFINITY),
            1 => Just(f64::NEG_INFINITY),
            1 => Just(-0.0),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => proptest::collection::vec((any::<u8>(), score()), 0..40).prop_map(Step::Put),
            3 => proptest::collection::vec((any::<u8>(), score()), 0..3).prop_map(Step::Put),
            2 => (any::<u8>(), score()).prop_map(|(element, amount)| Step::Increment(element, amount)),
            1 => proptest::collection::vec(any::<u8>(), 0..9).prop_map(Step::Remove),
        ]
    }

    fn bound() -> impl Strategy<Value = Bound> {
        prop_oneof![
            Just(Bound::Unbounded),
            score().prop_map(Bound::Inclusive),
            score().prop_map(Bound::Exclusive),
        ]
    }

    fn owned<'a>(elements: impl Iterator<Item = (&'a [u8], f64)>) -> Vec<(u8, f64)> {
        elements.map(|(element, score)| (element[0], score)).collect()
    }

    proptest! {
        /// Against a map that is sorted anew each time: ranks, ranges of ranks and of scores, both ways.
        #[test]
        fn agrees_with_a_map(memory in prop_oneof![Just(2_000_usize), Just(1 << 20)],
                             steps in proptest::collection::vec(step(), 1..30),
                             start in proptest::option::of(-20_i32..20), end in proptest::option::of(-20_i32..20),
                             least in bound(), most in bound()) {
            let capacity = Capacity { memory };
            let mut set = SortedSet::default();
            let mut model: BTreeMap<u8, f64> = BTreeMap::new();
            for step in steps {
                let mut wanted = model.clone();
                let done = match step {
                    Step::Put(elements) => {
                        wanted.extend(elements.iter().map(|(element, score)| (*element, *score + 0.0)));
                        let bytes: Vec<[u8; 1]> = elements.iter().map(|(element, _)| [*element]).collect();
                        let pairs: Vec<(&[u8], f64)> = bytes
                            .iter()
                            .zip(&elements)
                            .map(|(element, (_, score))| (element.as_slice(), *score))
                            .collect();
                        set.put(&pairs, capacity)
                    }
                    Step::Increment(element, amount) => {
                        let sum = wanted.get(&element).copied().unwrap_or(0.0) + amount;
                        wanted.insert(element, sum);
                        set.increment(&[element], amount, capacity).map(|got| assert_eq!(got, sum))
                    }
                    Step::Remove(elements) => {
                        wanted.retain(|element, _| !elements.contains(element));
                        let bytes: Vec<[u8; 1]> = elements.into_iter().map(|element| [element]).collect();
                        set.remove(&bytes.iter().map(|element| element.as_slice()).collect::<Vec<_>>());
                        Ok(())
                    }
                };
                match done {
                    Ok(()) => model = wanted,
                    Err(NotScored::NotCountable(_)) => {
                        prop_assert!(wanted.values().any(|score| score.is_nan()));
                    }
                    Err(NotScored::TooLarge(_)) => {
                        prop_assert!(wanted.len() * (1 + ELEMENT_OVERHEAD) > memory);
                    }
                }
                let mut sorted: Vec<(u8, f64)> = model.iter().map(|(element, score)| (*element, *score)).collect();
                sorted.sort_by(|one, other| one.1.total_cmp(&other.1).then(one.0.cmp(&other.0)));
                prop_assert_eq!(set.len(), model.len());
                prop_assert_eq!(set.charged(), model.len() * (1 + ELEMENT_OVERHEAD));
                prop_assert_eq!(&owned(set.by_rank(None, None, false)), &sorted);
                prop_assert_eq!(
                    owned(set.by_rank(start, end, false)), &sorted[slice(sorted.len(), start, end)]
                );
                for (rank, (element, score)) in sorted.iter().enumerate() {
                    prop_assert_eq!(set.rank(&[*element], false), Some(rank));
                    prop_assert_eq!(set.rank(&[*element], true), Some(sorted.len() - 1 - rank));
                    prop_assert_eq!(set.get(&[*element]), Some(*score));
                }
                let inside = |score: f64| {
                    (match least {
                        Bound::Unbounded => true,
                        Bound::Inclusive(bound) => score >= bound,
                        Bound::Exclusive(bound) => score > bound,
                    }) && match most {
                        Bound::Unbounded => true,
                        Bound::Inclusive(bound) => score <= bound,
                        Bound::Exclusive(bound) => score < bound,
                    }
                };
                let mut expected: Vec<(u8, f64)> =
                    sorted.iter().copied().filter(|(_, score)| inside(*score)).collect();
                prop_assert_eq!(&owned(set.by_score(least, most, false)), &expected);
                prop_assert_eq!(set.count_by_score(least, most), expected.len());
                expected.reverse();
                prop_assert_eq!(&owned(set.by_score(least, most, true)), &expected);
                sorted.reverse();
                prop_assert_eq!(
                    owned(set.by_rank(start, end, true)), &sorted[slice(sorted.len(), start, end)]
                );
            }
        }
    }
}
