//! Numbers over time, made ready to be drawn.

/// The next number above that can be quartered and is easy to read: `smallest` times 4, 8, 12, 20 or 40, or ten times that.
pub fn top(highest: u64, smallest: u64) -> u64 {
    let mut scale = smallest.max(1);
    loop {
        for step in [4, 8, 12, 20, 40] {
            let top = scale.saturating_mul(step);
            if highest <= top {
                return top;
            }
        }
        scale = scale.saturating_mul(10);
    }
}

/// Values put together so that there are at most `max`: counts are added, levels are those at the end.
pub fn together(values: &[u64], max: usize, is_count: bool) -> Vec<u64> {
    let parts = values.chunks(size(values.len(), max));
    let parts = parts.map(|part| match is_count {
        true => part.iter().sum(),
        false => part.last().copied().unwrap_or_default(),
    });
    parts.collect()
}

/// How many values are put together so that there are at most `max`.
pub fn size(count: usize, max: usize) -> usize {
    count.div_ceil(max.max(1)).max(1)
}

/// Which of `count` are named if at most `max` are: the first, the last, and what is evenly between.
pub fn spread(count: usize, max: usize) -> impl Iterator<Item = usize> {
    let shown = max.min(count);
    let (last, gaps) = (count.saturating_sub(1), shown.saturating_sub(1).max(1));
    (0..shown).map(move |number| last * number / gaps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_is_easy_to_read() {
        for (highest, smallest, want) in [
            (0, 1, 4),
            (4, 1, 4),
            (5, 1, 8),
            (13, 1, 20),
            (41, 1, 80),
            (399, 1, 400),
            (7, 1000, 4000),
            (312_000_000, 1000, 400_000_000),
            (u64::MAX, 1, u64::MAX),
        ] {
            assert_eq!(top(highest, smallest), want, "{highest}");
        }
    }

    #[test]
    fn there_are_few_enough() {
        assert_eq!(together(&[1, 2, 3, 4, 5], 2, true), [6, 9]);
        assert_eq!(together(&[1, 2, 3, 4, 5], 2, false), [3, 5]);
        assert_eq!(together(&[1, 2], 5, true), [1, 2]);
        assert_eq!(together(&[], 5, true), [0; 0]);
    }

    #[test]
    fn names_are_far_from_each_other() {
        assert_eq!(spread(48, 5).collect::<Vec<_>>(), [0, 11, 23, 35, 47]);
        assert_eq!(spread(2, 5).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(spread(1, 5).collect::<Vec<_>>(), [0]);
        assert_eq!(spread(0, 5).count(), 0);
    }
}
