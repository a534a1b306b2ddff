//! Statements about several rows, where a database takes no arrays.
//!
//! Holds: of each kind there are a few texts only, so that a connection keeps what it has prepared; no statement has more
//! than [`ROWS_MAX`] rows, nor, unless it is a single row, more than [`OCTETS_MAX`].
//! Other half: `mysql` and `sqlite`.

use bytes::Bytes;

/// Rows of one statement.
const ROWS_MAX: usize = 256;
/// Octets of the rows of one statement. MySQL and MariaDB limit a statement as a whole.
const OCTETS_MAX: usize = 1024 * 1024;
/// Up to so many rows there is a text for each number.
const EXACT_MAX: usize = 8;

/// `?,?,?`
pub(super) fn places(count: usize) -> String {
    let mut text = "?,".repeat(count);
    text.pop();
    text
}

/// `(?,?),(?,?)`
pub(super) fn row_places(count: usize) -> String {
    let mut text = "(?,?),".repeat(count);
    text.pop();
    text
}

/// Parts of `keys` for `k IN (...)`. The last key is there several times where that makes a usual number.
pub(super) fn key_parts<'k>(keys: &[&'k [u8]]) -> Vec<Vec<&'k [u8]>> {
    let part = |keys: &[&'k [u8]]| {
        let mut part = keys.to_vec();
        if let Some(last) = keys.last() {
            part.resize(keys.len().next_power_of_two(), last);
        }
        part
    };
    keys.chunks(ROWS_MAX).map(part).collect()
}

/// Parts of `rows` for `VALUES (...),(...)`, in usual numbers.
pub(super) fn row_parts<'r, 'k>(rows: &'r [(&'k [u8], Bytes)]) -> Vec<&'r [(&'k [u8], Bytes)]> {
    let mut parts = Vec::new();
    let mut rest = rows;
    while !rest.is_empty() {
        let mut octets = 0;
        let fits = |(key, value): &&(&[u8], Bytes)| {
            octets += key.len() + value.len();
            octets <= OCTETS_MAX
        };
        let count = rest.iter().take(ROWS_MAX).take_while(fits).count().max(1);
        let usual = match count {
            0..=EXACT_MAX => count,
            // The power of two that is not larger.
            _ => count.next_power_of_two() >> usize::from(!count.is_power_of_two()),
        };
        let (part, after) = rest.split_at(usual);
        parts.push(part);
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_rows(octets: &[usize], want: &[usize]) {
        let rows: Vec<(&[u8], Bytes)> = octets
            .iter()
            .map(|octets| (&b"k"[..], Bytes::from(vec![0; *octets])))
            .collect();
        let parts: Vec<usize> = row_parts(&rows).iter().map(|part| part.len()).collect();
        assert_eq!(parts, want);
    }

    #[test]
    fn rows_come_in_usual_numbers() {
        check_rows(&[], &[]);
        check_rows(&[1; 7], &[7]);
        check_rows(&[1; 100], &[64, 32, 4]);
        check_rows(&[1; 300], &[256, 32, 8, 4]);
        check_rows(&[2 * OCTETS_MAX, 1, 1], &[1, 2]);
        check_rows(&[OCTETS_MAX / 2, OCTETS_MAX / 3, OCTETS_MAX / 3], &[2, 1]);
    }

    #[test]
    fn keys_come_in_powers_of_two() {
        let keys = [&b"a"[..], b"b", b"c"];
        assert_eq!(key_parts(&keys), [[&b"a"[..], b"b", b"c", b"c"]]);
        let many = vec![&b"a"[..]; ROWS_MAX + 5];
        let parts: Vec<usize> = key_parts(&many).iter().map(Vec::len).collect();
        assert_eq!(parts, [ROWS_MAX, 8]);
    }

    #[test]
    fn places_are_separated() {
        assert_eq!(places(3), "?,?,?");
        assert_eq!(row_places(2), "(?,?),(?,?)");
    }
}
