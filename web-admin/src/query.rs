//! Addresses with a query, and their parts.

/// A part of a path, or of a query, with everything encoded that could be taken for something else (RFC 3986 §2.3).
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(octet));
            }
            _ => encoded.push_str(&format!("%{octet:02X}")),
        }
    }
    encoded
}

/// `path?name=value&...`, without the parameters that have no value.
pub fn with(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut address = path.to_owned();
    let mut sign = if path.contains('?') { '&' } else { '?' };
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        address.push(sign);
        address.push_str(&format!("{}={}", encode(name), encode(value)));
        sign = '&';
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_part_is_taken_for_syntax() {
        assert_eq!(encode("a/b?c&d=e#f g%"), "a%2Fb%3Fc%26d%3De%23f%20g%25");
        assert_eq!(encode("jörg@example.org"), "j%C3%B6rg%40example.org");
        assert_eq!(
            with("/x", &[("a", ""), ("b", "1&2"), ("c", "3")]),
            "/x?b=1%262&c=3"
        );
        assert_eq!(with("/x?y=1", &[("a", "2")]), "/x?y=1&a=2");
    }
}
