//! Octets in hexadecimal digits, two for each.
//!
//! Holds: what isn't digits alone is nothing: `from_str_radix` would take a sign as well.

use std::fmt::Write as _;

/// Lower-case digits.
pub fn hex(octets: &[u8]) -> String {
    let text = String::with_capacity(octets.len() * 2);
    octets.iter().fold(text, |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// What digits of either case stand for.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let octet = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    rest.is_empty().then(|| pairs.iter().map(octet).collect())?
}

/// The same, of so many octets.
pub fn unhex_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    unhex(text)?.try_into().ok()
}

fn digit(octet: u8) -> Option<u8> {
    let value = char::from(octet).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_come_back_and_nothing_else_is_taken_for_them() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unhex(&hex(&all)), Some(all));
        assert_eq!(unhex("00fFAb"), Some(vec![0, 0xff, 0xab]));
        assert_eq!(unhex(""), Some(Vec::new()));
        for wrong in ["1", "+f", "-1", "f+", "+f00", " f", "0x", "zz", "1é", "é"] {
            assert_eq!(unhex(wrong), None, "{wrong}");
        }
        assert_eq!(unhex_array("0102"), Some([1, 2]));
        assert_eq!(unhex_array::<2>("01"), None);
        assert_eq!(unhex_array::<2>("010203"), None);
    }
}
