//! A set of numbers, as ranges: UIDs of a mailbox are mostly in a row.
//!
//! Holds: the ranges are ascending, and at least one number is between two of them.

/// Numbers above 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    /// Of ranges in any order, whichever end comes first.
    pub fn of(ranges: impl IntoIterator<Item = (u32, u32)>) -> Ranges {
        let ordered = |(a, b): (u32, u32)| (a.min(b), a.max(b));
        let mut ranges: Vec<(u32, u32)> = ranges.into_iter().map(ordered).collect();
        ranges.sort_unstable();
        ranges.dedup_by(|next, last| {
            let touches = next.0 <= last.1.saturating_add(1);
            if touches {
                last.1 = last.1.max(next.1);
            }
            touches
        });
        Ranges(ranges)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, number: u32) -> bool {
        let after = self.0.partition_point(|&(first, _)| first <= number);
        let before = after.checked_sub(1).and_then(|at| self.0.get(at));
        before.is_some_and(|&(_, last)| number <= last)
    }

    /// Adds a number; cheap at the end.
    pub fn insert(&mut self, number: u32) {
        let last = self.0.last_mut().map(|(_, last)| last);
        match last {
            Some(last) if number == last.saturating_add(1) => *last = number,
            Some(last) if number <= *last => {
                if !self.contains(number) {
                    let ranges = std::mem::take(&mut self.0);
                    *self = Ranges::of(ranges.into_iter().chain([(number, number)]));
                }
            }
            _ => self.0.push((number, number)),
        }
    }

    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.0
    }

    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flat_map(|&(first, last)| first..=last)
    }

    /// What is left without numbers, which are ascending.
    pub fn without(&self, numbers: impl IntoIterator<Item = u32>) -> Ranges {
        let mut numbers = numbers.into_iter().peekable();
        let mut left = Vec::new();
        for &(first, last) in &self.0 {
            let mut start = u64::from(first);
            while numbers.next_if(|&number| number < first).is_some() {}
            while let Some(number) = numbers.next_if(|&number| number <= last) {
                if u64::from(number) > start {
                    left.push((start as u32, number - 1));
                }
                start = u64::from(number) + 1;
            }
            if start <= u64::from(last) {
                left.push((start as u32, last));
            }
        }
        Ranges(left)
    }
}

impl FromIterator<u32> for Ranges {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Ranges {
        let mut ranges = Ranges::default();
        let mut unordered = Vec::new();
        for number in numbers {
            match ranges.0.last() {
                Some(&(_, last)) if number <= last => unordered.push((number, number)),
                _ => ranges.insert(number),
            }
        }
        if unordered.is_empty() {
            return ranges;
        }
        Ranges::of(ranges.0.into_iter().chain(unordered))
    }
}
