//! The part of a sequence that two indices mean, as Momento's API has them.

/// The part of a sequence of `length` from `start` (inclusive, the beginning by default) to `end` (exclusive, the
/// end by default); negative ones count from the end, and what lies outside is left out.
pub fn slice(length: usize, start: Option<i32>, end: Option<i32>) -> std::ops::Range<usize> {
    let place = |index: i32| {
        if index < 0 {
            length.saturating_sub(index.unsigned_abs() as usize)
        } else {
            (index as usize).min(length)
        }
    };
    let from = start.map_or(0, place);
    let to = end.map_or(length, place);
    from..to.max(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_those_of_the_specification() {
        // The examples in the comments of Momento's cacheclient.proto.
        for (length, start, end, expected) in [
            (10, Some(5), None, 5..10),
            (10, Some(5), Some(0), 5..5),
            (10, Some(-5), None, 5..10),
            (10, Some(-5), Some(0), 5..5),
            (10, Some(0), Some(-5), 0..5),
            (10, Some(2), Some(6), 2..6),
            (10, Some(2), Some(-6), 2..4),
            (10, Some(-7), Some(-2), 3..8),
            (10, Some(-2), Some(-6), 8..8),
            (1, Some(-1), Some(1), 0..1),
            (1, Some(1), Some(-1), 1..1),
            (1, Some(0), Some(-1), 0..0),
            (3, None, None, 0..3),
            (3, Some(i32::MIN), Some(i32::MAX), 0..3),
        ] {
            assert_eq!(slice(length, start, end), expected, "{length} {start:?} {end:?}");
        }
    }
}
