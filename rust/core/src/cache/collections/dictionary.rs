//! A dictionary: fields with values, without an order.

use std::collections::HashMap;

use super::capacity::{Capacity, CollectionTooLarge, weighed};
use super::counting::{NotCountable, add_to_integer};

/// Bytes a field is charged on top of its name and value: its table slot at the usual load and two allocations.
pub const FIELD_OVERHEAD: usize = 96;

/// Fields and their values.
#[derive(Debug, Default)]
pub struct Dictionary {
    fields: HashMap<Box<[u8]>, Box<[u8]>>,
    payload: usize,
}

weighed!(Dictionary, FIELD_OVERHEAD, fields);

/// Why a field could not be incremented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotIncremented {
    /// What is there cannot be counted with.
    NotCountable(NotCountable),
    /// There is no room for a new field.
    TooLarge(CollectionTooLarge),
}

impl Dictionary {
    /// Sets all the fields, or none if they would be too much; of a field given twice the last value counts.
    pub fn set(&mut self, items: &[(&[u8], &[u8])], capacity: Capacity) -> Result<(), CollectionTooLarge> {
        let added = items.iter().map(|(field, value)| field.len() + value.len());
        // As if every field were new: nearly always that is room enough, and says so quickly.
        let most = self.payload + added.sum::<usize>();
        if capacity
            .check(most, self.count() + items.len(), FIELD_OVERHEAD)
            .is_err()
        {
            let (payload, count) = self.after(items);
            capacity.check(payload, count, FIELD_OVERHEAD)?;
        }
        for (field, value) in items {
            self.put(field, value);
        }
        Ok(())
    }

    /// Adds `amount` to the integer in a field, or sets it to `amount` if there is none; the sum.
    pub fn increment(
        &mut self,
        field: &[u8],
        amount: i64,
        capacity: Capacity,
    ) -> Result<i64, NotIncremented> {
        let sum = match self.fields.get(field) {
            None => amount,
            Some(value) => add_to_integer(value, amount).map_err(NotIncremented::NotCountable)?,
        };
        self.set(&[(field, sum.to_string().as_bytes())], capacity)
            .map_err(NotIncremented::TooLarge)?;
        Ok(sum)
    }

    /// The value of a field.
    pub fn get(&self, field: &[u8]) -> Option<&[u8]> {
        self.fields.get(field).map(AsRef::as_ref)
    }

    /// The values of the fields, in their order; refused if they are more than `MAX_COLLECTION`, which a field
    /// that is asked for often enough can make them.
    pub fn get_all(&self, fields: &[&[u8]]) -> Result<Vec<Option<&[u8]>>, CollectionTooLarge> {
        let values: Vec<Option<&[u8]>> = fields.iter().map(|field| self.get(field)).collect();
        let payload = values.iter().flatten().map(|value| value.len()).sum();
        Capacity { memory: usize::MAX }.check(payload, values.len(), 0)?;
        Ok(values)
    }

    /// All fields with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields
            .iter()
            .map(|(field, value)| (field.as_ref(), value.as_ref()))
    }

    /// Removes the fields; those that are not there do not matter.
    pub fn remove(&mut self, fields: &[&[u8]]) {
        for field in fields {
            if let Some(value) = self.fields.remove(*field) {
                self.payload -= field.len() + value.len();
            }
        }
    }

    pub(super) fn count(&self) -> usize {
        self.fields.len()
    }

    /// Payload and number of fields once `items` are set.
    fn after(&self, items: &[(&[u8], &[u8])]) -> (usize, usize) {
        let last: HashMap<&[u8], &[u8]> = items.iter().copied().collect();
        let (mut payload, mut count) = (self.payload, self.count());
        for (field, value) in last {
            match self.fields.get(field) {
                Some(old) => payload -= old.len(),
                None => {
                    payload += field.len();
                    count += 1;
                }
            }
            payload += value.len();
        }
        (payload, count)
    }

    fn put(&mut self, field: &[u8], value: &[u8]) {
        self.payload += value.len();
        if let Some(old) = self.fields.get_mut(field) {
            self.payload -= old.len();
            *old = value.into();
        } else {
            self.payload += field.len();
            self.fields.insert(field.into(), value.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::cache::collections::Family;

    #[derive(Debug, Clone)]
    enum Step {
        Set(Vec<(u8, Vec<u8>)>),
        Increment(u8, i64),
        Remove(Vec<u8>),
    }

    fn step() -> impl Strategy<Value = Step> {
        let value = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            any::<i32>().prop_map(|number| number.to_string().into_bytes()),
        ];
        prop_oneof![
            4 => proptest::collection::vec((0_u8..12, value), 0..6).prop_map(Step::Set),
            2 => (0_u8..12, any::<i64>()).prop_map(|(field, amount)| Step::Increment(field, amount)),
            1 => proptest::collection::vec(0_u8..12, 0..4).prop_map(Step::Remove),
        ]
    }

    #[test]
    fn an_answer_that_would_be_too_large_is_refused() {
        let mut dictionary = Dictionary::default();
        let value = vec![0; 100_000];
        dictionary
            .set(&[(b"f", &value)], Capacity { memory: 1 << 20 })
            .unwrap();
        assert!(dictionary.get_all(&[b"f".as_slice(); 41]).is_ok());
        assert!(dictionary.get_all(&[b"f".as_slice(); 42]).is_err());
    }

    proptest! {
        /// Against a map: what fits is done whole, what does not changes nothing, and the charge is exact.
        #[test]
        fn agrees_with_a_map(memory in 100_usize..2000, steps in proptest::collection::vec(step(), 1..60)) {
            let capacity = Capacity { memory };
            let mut dictionary = Dictionary::default();
            let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
            let charge = |model: &BTreeMap<Vec<u8>, Vec<u8>>| -> usize {
                model.iter().map(|(field, value)| field.len() + value.len() + FIELD_OVERHEAD).sum()
            };
            for step in steps {
                let mut wanted = model.clone();
                let done = match step {
                    Step::Set(items) => {
                        wanted.extend(items.iter().map(|(field, value)| (vec![*field], value.clone())));
                        let fields: Vec<[u8; 1]> = items.iter().map(|(field, _)| [*field]).collect();
                        let pairs: Vec<(&[u8], &[u8])> = fields
                            .iter()
                            .zip(&items)
                            .map(|(field, (_, value))| (field.as_slice(), value.as_slice()))
                            .collect();
                        dictionary.set(&pairs, capacity).is_ok()
                    }
                    Step::Increment(field, amount) => {
                        let sum = match wanted.get([field].as_slice()) {
                            None => Ok(amount),
                            Some(value) => add_to_integer(value, amount),
                        };
                        let got = dictionary.increment(&[field], amount, capacity);
                        match sum {
                            Err(error) => {
                                prop_assert_eq!(got, Err(NotIncremented::NotCountable(error)));
                                continue;
                            }
                            Ok(sum) => {
                                wanted.insert(vec![field], sum.to_string().into_bytes());
                                prop_assert!(got == Ok(sum) || matches!(got, Err(NotIncremented::TooLarge(_))));
                                got.is_ok()
                            }
                        }
                    }
                    Step::Remove(fields) => {
                        for field in &fields {
                            wanted.remove([*field].as_slice());
                        }
                        let fields: Vec<[u8; 1]> = fields.into_iter().map(|field| [field]).collect();
                        dictionary.remove(&fields.iter().map(|field| field.as_slice()).collect::<Vec<_>>());
                        true
                    }
                };
                prop_assert!(done || charge(&wanted) > memory);
                if done {
                    model = wanted;
                }
                let held: BTreeMap<Vec<u8>, Vec<u8>> =
                    dictionary.iter().map(|(field, value)| (field.to_vec(), value.to_vec())).collect();
                prop_assert_eq!(&held, &model);
                prop_assert_eq!(dictionary.len(), model.len());
                prop_assert_eq!(dictionary.charged(), charge(&model));
                let asked: Vec<&[u8]> = model.keys().map(Vec::as_slice).chain([b"none".as_slice()]).collect();
                let values = model.values().map(|value| Some(value.as_slice())).chain([None]).collect();
                prop_assert_eq!(dictionary.get_all(&asked), Ok(values));
            }
        }
    }
}
