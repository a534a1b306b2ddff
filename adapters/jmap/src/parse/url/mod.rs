//! Paths and queries: percent-decoding, and hosts that can be put into URLs.

/// Octets of a host with its port.
const HOST_OCTETS_MAX: usize = 262;

/// Decodes `%41`; `None` when an escape is broken or what comes out is not UTF-8.
pub fn decode(text: &str) -> Option<String> {
    decode_octets(text.as_bytes())
}

/// The value of a query's parameter, decoded, where `+` is a space; the first counts.
/// `Some(None)`: it is there and can't be decoded.
pub fn parameter(query: Option<&str>, name: &str) -> Option<Option<String>> {
    query?
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| decode_octets(value.replace('+', " ").as_bytes()))
}

fn decode_octets(octets: &[u8]) -> Option<String> {
    let mut decoded = Vec::with_capacity(octets.len());
    let mut rest = octets.iter();
    while let Some(&octet) = rest.next() {
        if octet != b'%' {
            decoded.push(octet);
            continue;
        }
        let mut digit = || char::from(*rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        decoded.push((high << 4 | low) as u8);
    }
    String::from_utf8(decoded).ok()
}

/// A host and port as of RFC 9110 §7.2, of those octets that a name or address has.
pub fn host(text: &str) -> Option<&str> {
    let valid = (1..=HOST_OCTETS_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b));
    valid.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding() {
        let rows = [
            ("a.txt", Some("a.txt")),
            ("a%20b+c", Some("a b+c")),
            ("%C3%a4", Some("ä")),
            ("%2F%00", Some("/\0")),
            ("%", None),
            ("%4", None),
            ("%zz", None),
            ("%+1", None),
            ("%ff", None),
        ];
        for (text, expected) in rows {
            assert_eq!(decode(text).as_deref(), expected, "{text}");
        }
        let query = Some("type=text/plain&x&y=a+b%2B&type=2&z=%f");
        let rows = [
            ("type", Some(Some("text/plain"))),
            ("x", Some(Some(""))),
            ("y", Some(Some("a b+"))),
            ("z", Some(None)),
            ("w", None),
        ];
        for (name, expected) in rows {
            let value = parameter(query, name);
            assert_eq!(value.as_ref().map(Option::as_deref), expected, "{name}");
        }
        assert_eq!(parameter(None, "x"), None);
    }

    #[test]
    fn hosts() {
        for good in ["example.org", "example.org:8080", "[::1]:80", "127.0.0.1"] {
            assert_eq!(host(good), Some(good));
        }
        for bad in ["", "a b", "a/b", "a@b", "a\"b", "ä", &"a".repeat(263)] {
            assert_eq!(host(bad), None, "{bad}");
        }
    }
}
