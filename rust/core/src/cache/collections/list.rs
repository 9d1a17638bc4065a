//! A list: elements in order, cheap to grow and shrink at both ends.

use std::collections::VecDeque;

use super::capacity::{Capacity, CollectionTooLarge, weighed};
use super::slices::slice;

/// Bytes an element is charged on top of its content: its place and its allocation.
pub const ELEMENT_OVERHEAD: usize = 48;

/// Elements in order.
#[derive(Debug, Default)]
pub struct List {
    elements: VecDeque<Box<[u8]>>,
    payload: usize,
}

weighed!(List, ELEMENT_OVERHEAD, elements);

impl List {
    /// Adds `values` behind the last; of more than `keep` elements those at the front go.
    ///
    /// All or nothing; what goes does not count against the capacity.
    pub fn push_back(
        &mut self,
        values: &[&[u8]],
        keep: Option<usize>,
        capacity: Capacity,
    ) -> Result<(), CollectionTooLarge> {
        let (dropped, skipped) = self.surplus(values.len(), keep);
        let gone = lengths(self.elements.range(..dropped).map(|each| each.len()));
        let added = &values[skipped..];
        self.admit(gone, dropped, added, capacity)?;
        self.elements.drain(..dropped);
        self.elements.extend(added.iter().map(|value| Box::from(*value)));
        Ok(())
    }

    /// Adds `values`, in their order, before the first; of more than `keep` elements those at the back go.
    ///
    /// All or nothing; what goes does not count against the capacity.
    pub fn push_front(
        &mut self,
        values: &[&[u8]],
        keep: Option<usize>,
        capacity: Capacity,
    ) -> Result<(), CollectionTooLarge> {
        let (dropped, skipped) = self.surplus(values.len(), keep);
        let left = self.count() - dropped;
        let gone = lengths(self.elements.range(left..).map(|each| each.len()));
        let added = &values[..values.len() - skipped];
        self.admit(gone, dropped, added, capacity)?;
        self.elements.truncate(left);
        for value in added.iter().rev() {
            self.elements.push_front(Box::from(*value));
        }
        Ok(())
    }

    /// Takes the first out.
    pub fn pop_front(&mut self) -> Option<Box<[u8]>> {
        let element = self.elements.pop_front()?;
        self.payload -= element.len();
        Some(element)
    }

    /// Takes the last out.
    pub fn pop_back(&mut self) -> Option<Box<[u8]>> {
        let element = self.elements.pop_back()?;
        self.payload -= element.len();
        Some(element)
    }

    /// The elements from `start` to `end`, as `slice` takes them.
    pub fn fetch(&self, start: Option<i32>, end: Option<i32>) -> impl Iterator<Item = &[u8]> {
        self.elements
            .range(slice(self.count(), start, end))
            .map(AsRef::as_ref)
    }

    /// Leaves the elements from `start` to `end`, as `slice` takes them, and nothing else.
    pub fn retain(&mut self, start: Option<i32>, end: Option<i32>) {
        let kept = slice(self.count(), start, end);
        self.elements.truncate(kept.end);
        self.elements.drain(..kept.start);
        self.weigh();
    }

    /// Removes every element equal to `value`.
    pub fn remove(&mut self, value: &[u8]) {
        self.elements.retain(|element| element.as_ref() != value);
        self.weigh();
    }

    /// Removes what lies in any of the `ranges`, each a first index and a count, all in the list as it was.
    pub fn erase(&mut self, ranges: &[(u32, u32)]) {
        // How many more ranges an element lies in than the one before it: many long ranges cost no more than many.
        let mut steps = vec![0_isize; self.count() + 1];
        for (begin, count) in ranges {
            let begin = (*begin as usize).min(self.count());
            let end = begin.saturating_add(*count as usize).min(self.count());
            steps[begin] += 1;
            steps[end] -= 1;
        }
        let (mut steps, mut ranges_here) = (steps.into_iter(), 0);
        self.elements.retain(|_| {
            ranges_here += steps.next().unwrap_or(0);
            ranges_here == 0
        });
        self.weigh();
    }

    pub(super) fn count(&self) -> usize {
        self.elements.len()
    }

    /// How many of the old, then of `new` elements have to go so that `keep` are left.
    fn surplus(&self, new: usize, keep: Option<usize>) -> (usize, usize) {
        let surplus = keep.map_or(0, |keep| (self.count() + new).saturating_sub(keep));
        let dropped = surplus.min(self.count());
        (dropped, surplus - dropped)
    }

    fn admit(
        &mut self,
        gone: usize,
        dropped: usize,
        added: &[&[u8]],
        capacity: Capacity,
    ) -> Result<(), CollectionTooLarge> {
        let payload = self.payload - gone + lengths(added.iter().map(|each| each.len()));
        capacity.check(payload, self.count() - dropped + added.len(), ELEMENT_OVERHEAD)?;
        self.payload = payload;
        Ok(())
    }

    fn weigh(&mut self) {
        self.payload = lengths(self.elements.iter().map(|element| element.len()));
    }
}

fn lengths(of: impl Iterator<Item = usize>) -> usize {
    of.sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cache::collections::Family;

    #[derive(Debug, Clone)]
    enum Step {
        PushBack(Vec<Vec<u8>>, Option<usize>),
        PushFront(Vec<Vec<u8>>, Option<usize>),
        PopBack,
        PopFront,
        Retain(Option<i32>, Option<i32>),
        Remove(Vec<u8>),
        Erase(Vec<(u32, u32)>),
    }

    fn step() -> impl Strategy<Value = Step> {
        let value = || proptest::collection::vec(0_u8..3, 0..3);
        let values = move || proptest::collection::vec(value(), 0..6);
        let keep = || proptest::option::of(0_usize..8);
        let index = || proptest::option::of(-9_i32..9);
        prop_oneof![
            3 => (values(), keep()).prop_map(|(values, keep)| Step::PushBack(values, keep)),
            3 => (values(), keep()).prop_map(|(values, keep)| Step::PushFront(values, keep)),
            1 => Just(Step::PopBack),
            1 => Just(Step::PopFront),
            1 => (index(), index()).prop_map(|(start, end)| Step::Retain(start, end)),
            1 => value().prop_map(Step::Remove),
            1 => proptest::collection::vec((0_u32..9, 0_u32..4), 0..3).prop_map(Step::Erase),
        ]
    }

    fn slices(values: &[Vec<u8>]) -> Vec<&[u8]> {
        values.iter().map(Vec::as_slice).collect()
    }

    proptest! {
        /// Against a vector, fetched through every pair of small indexes.
        #[test]
        fn agrees_with_a_vector(memory in 60_usize..600, steps in proptest::collection::vec(step(), 1..60)) {
            let capacity = Capacity { memory };
            let mut list = List::default();
            let mut model: Vec<Vec<u8>> = Vec::new();
            let charge =
                |model: &[Vec<u8>]| -> usize { model.iter().map(|each| each.len() + ELEMENT_OVERHEAD).sum() };
            for step in steps {
                let mut wanted = model.clone();
                let done = match step {
                    Step::PushBack(values, keep) => {
                        wanted.extend(values.iter().cloned());
                        let surplus = keep.map_or(0, |keep| wanted.len().saturating_sub(keep));
                        wanted.drain(..surplus);
                        list.push_back(&slices(&values), keep, capacity).is_ok()
                    }
                    Step::PushFront(values, keep) => {
                        wanted = values.iter().chain(&model).cloned().collect();
                        wanted.truncate(keep.unwrap_or(usize::MAX));
                        list.push_front(&slices(&values), keep, capacity).is_ok()
                    }
                    Step::PopBack => {
                        prop_assert_eq!(list.pop_back().map(Vec::from), wanted.pop());
                        true
                    }
                    Step::PopFront => {
                        let first = (!wanted.is_empty()).then(|| wanted.remove(0));
                        prop_assert_eq!(list.pop_front().map(Vec::from), first);
                        true
                    }
                    Step::Retain(start, end) => {
                        wanted = wanted[slice(wanted.len(), start, end)].to_vec();
                        list.retain(start, end);
                        true
                    }
                    Step::Remove(value) => {
                        wanted.retain(|element| *element != value);
                        list.remove(&value);
                        true
                    }
                    Step::Erase(ranges) => {
                        let hit = |index: usize| {
                            ranges.iter().any(|(begin, count)| {
                                (*begin as usize..(*begin + *count) as usize).contains(&index)
                            })
                        };
                        wanted = wanted
                            .into_iter()
                            .enumerate()
                            .filter(|(index, _)| !hit(*index))
                            .map(|(_, element)| element)
                            .collect();
                        list.erase(&ranges);
                        true
                    }
                };
                prop_assert!(done || charge(&wanted) > memory);
                if done {
                    model = wanted;
                }
                let held: Vec<Vec<u8>> = list.fetch(None, None).map(<[u8]>::to_vec).collect();
                prop_assert_eq!(&held, &model);
                prop_assert_eq!(list.len(), model.len());
                prop_assert_eq!(list.charged(), charge(&model));
            }
        }
    }
}
