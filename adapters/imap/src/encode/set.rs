//! Sequence sets (RFC 9051 §9), as short as their order allows.
//!
//! Holds: the numbers come out again in the order in which they went in, which COPYUID (RFC 4315 §3) and the results of SORT (RFC 5267 §3.2)
//! depend on.
//! Other half: `parse::sequence_set`.

use super::text::number;

/// `2,4:7,9`. Nothing for no numbers.
pub fn numbers(out: &mut Vec<u8>, numbers: impl IntoIterator<Item = u32>) {
    let mut numbers = numbers.into_iter();
    let Some(mut first) = numbers.next() else {
        return;
    };
    let mut last = first;
    for next in numbers {
        if last.checked_add(1) == Some(next) {
            last = next;
            continue;
        }
        range(out, first, last);
        out.push(b',');
        (first, last) = (next, next);
    }
    range(out, first, last);
}

/// Ranges as they are.
pub fn ranges(out: &mut Vec<u8>, ranges: &[(u32, u32)]) {
    for (at, &(first, last)) in ranges.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        range(out, first, last);
    }
}

fn range(out: &mut Vec<u8>, first: u32, last: u32) {
    number(out, first);
    if first != last {
        out.push(b':');
        number(out, last);
    }
}
