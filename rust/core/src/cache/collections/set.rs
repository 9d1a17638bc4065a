//! A set: distinct elements, any of which can be drawn at random.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::capacity::{Capacity, CollectionTooLarge, weighed};

/// Bytes an element is charged on top of its content: its table slot at the usual load, its place in the order and
/// one counted allocation.
pub const ELEMENT_OVERHEAD: usize = 96;

/// Distinct elements. The order is nobody's business; it is there to draw from.
#[derive(Debug, Default)]
pub struct Set {
    order: Vec<Arc<[u8]>>,
    places: HashMap<Arc<[u8]>, usize>,
    payload: usize,
}

weighed!(Set, ELEMENT_OVERHEAD, order, places);

impl Set {
    /// Adds all the elements, or none if they would be too many.
    pub fn add(&mut self, elements: &[&[u8]], capacity: Capacity) -> Result<(), CollectionTooLarge> {
        let most = self.payload + elements.iter().map(|element| element.len()).sum::<usize>();
        if capacity
            .check(most, self.count() + elements.len(), ELEMENT_OVERHEAD)
            .is_err()
        {
            let new: HashSet<&[u8]> = elements
                .iter()
                .copied()
                .filter(|element| !self.contains(element))
                .collect();
            let payload = self.payload + new.iter().map(|element| element.len()).sum::<usize>();
            capacity.check(payload, self.count() + new.len(), ELEMENT_OVERHEAD)?;
        }
        for element in elements {
            if !self.contains(element) {
                let element: Arc<[u8]> = (*element).into();
                self.payload += element.len();
                self.places.insert(element.clone(), self.order.len());
                self.order.push(element);
            }
        }
        Ok(())
    }

    /// Removes the elements; those that are not there do not matter.
    pub fn remove(&mut self, elements: &[&[u8]]) {
        for element in elements {
            if let Some(place) = self.places.get(*element) {
                self.take(*place);
            }
        }
    }

    /// Leaves those of `elements` that were not in the set, and nothing else; all or nothing as in `add`.
    pub fn subtract_from(
        &mut self,
        elements: &[&[u8]],
        capacity: Capacity,
    ) -> Result<(), CollectionTooLarge> {
        let mut rest = Self::default();
        let new: Vec<&[u8]> = elements
            .iter()
            .copied()
            .filter(|element| !self.contains(element))
            .collect();
        rest.add(&new, capacity)?;
        *self = rest;
        Ok(())
    }

    /// Whether the element is in the set.
    pub fn contains(&self, element: &[u8]) -> bool {
        self.places.contains_key(element)
    }

    /// All elements.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.order.iter().map(AsRef::as_ref)
    }

    /// Up to `count` different elements at random; `below(n)` draws a number less than `n`.
    pub fn sample(&self, count: usize, mut below: impl FnMut(usize) -> usize) -> Vec<&[u8]> {
        let mut places: Vec<usize> = (0..self.order.len()).collect();
        let count = count.min(places.len());
        for position in 0..count {
            let drawn = position + below(places.len() - position);
            places.swap(position, drawn);
        }
        places[..count]
            .iter()
            .map(|place| self.order[*place].as_ref())
            .collect()
    }

    /// Takes up to `count` elements out at random; `below(n)` draws a number less than `n`.
    pub fn pop(&mut self, count: usize, mut below: impl FnMut(usize) -> usize) -> Vec<Arc<[u8]>> {
        let count = count.min(self.order.len());
        (0..count)
            .map(|_| {
                let drawn = below(self.order.len());
                self.take(drawn)
            })
            .collect()
    }

    pub(super) fn count(&self) -> usize {
        self.order.len()
    }

    fn take(&mut self, place: usize) -> Arc<[u8]> {
        let element = self.order.swap_remove(place);
        self.places.remove(&element);
        self.payload -= element.len();
        if let Some(moved) = self.order.get(place) {
            // The last one is where the one taken was.
            if let Some(known) = self.places.get_mut(moved) {
                *known = place;
            }
        }
        element
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::cache::collections::Family;

    #[derive(Debug, Clone)]
    enum Step {
        Add(Vec<Vec<u8>>),
        Remove(Vec<Vec<u8>>),
        SubtractFrom(Vec<Vec<u8>>),
        Sample(usize),
        Pop(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let elements = || proptest::collection::vec(proptest::collection::vec(0_u8..3, 0..3), 0..6);
        prop_oneof![
            4 => elements().prop_map(Step::Add),
            2 => elements().prop_map(Step::Remove),
            1 => elements().prop_map(Step::SubtractFrom),
            1 => (0_usize..8).prop_map(Step::Sample),
            1 => (0_usize..4).prop_map(Step::Pop),
        ]
    }

    fn slices(elements: &[Vec<u8>]) -> Vec<&[u8]> {
        elements.iter().map(Vec::as_slice).collect()
    }

    proptest! {
        /// Against an ordered set; what is drawn was in it, once each, and as many as there are.
        #[test]
        fn agrees_with_a_set(memory in 100_usize..1200, mut luck in any::<u64>(),
                             steps in proptest::collection::vec(step(), 1..60)) {
            let capacity = Capacity { memory };
            let mut below = |limit: usize| {
                luck = luck.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (luck >> 33) as usize % limit
            };
            let mut set = Set::default();
            let mut model: BTreeSet<Vec<u8>> = BTreeSet::new();
            let charge = |model: &BTreeSet<Vec<u8>>| -> usize {
                model.iter().map(|element| element.len() + ELEMENT_OVERHEAD).sum()
            };
            for step in steps {
                let mut wanted = model.clone();
                let done = match step {
                    Step::Add(elements) => {
                        wanted.extend(elements.iter().cloned());
                        set.add(&slices(&elements), capacity).is_ok()
                    }
                    Step::Remove(elements) => {
                        wanted.retain(|element| !elements.contains(element));
                        set.remove(&slices(&elements));
                        true
                    }
                    Step::SubtractFrom(elements) => {
                        wanted = elements.iter().filter(|each| !model.contains(*each)).cloned().collect();
                        set.subtract_from(&slices(&elements), capacity).is_ok()
                    }
                    Step::Sample(count) => {
                        let drawn: Vec<Vec<u8>> =
                            set.sample(count, &mut below).into_iter().map(<[u8]>::to_vec).collect();
                        let distinct: BTreeSet<Vec<u8>> = drawn.iter().cloned().collect();
                        prop_assert_eq!(drawn.len(), count.min(model.len()));
                        prop_assert_eq!(distinct.len(), drawn.len());
                        prop_assert!(distinct.is_subset(&model));
                        true
                    }
                    Step::Pop(count) => {
                        let drawn = set.pop(count, &mut below);
                        prop_assert_eq!(drawn.len(), count.min(model.len()));
                        for element in drawn {
                            prop_assert!(wanted.remove(element.as_ref()));
                        }
                        true
                    }
                };
                prop_assert!(done || charge(&wanted) > memory);
                if done {
                    model = wanted;
                }
                let held: BTreeSet<Vec<u8>> = set.iter().map(<[u8]>::to_vec).collect();
                prop_assert_eq!(&held, &model);
                prop_assert_eq!(set.len(), model.len());
                prop_assert_eq!(set.charged(), charge(&model));
                prop_assert!(model.iter().all(|element| set.contains(element)));
            }
        }
    }
}
