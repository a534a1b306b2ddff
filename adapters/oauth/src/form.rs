//! Forms and queries: application/x-www-form-urlencoded.
//!
//! Holds: a parameter comes once (RFC 6749 §3.1, §3.2); an empty one is none; there are so many.
//! Other half: `error` says what was wrong.

use jmap_core::auth::Secret;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Octets of a body.
pub const BODY_OCTETS_MAX: usize = 32 << 10;
/// Parameters of a form.
pub const PAIRS_MAX: usize = 64;

/// Parameters that may come more than once (RFC 8707 §2), and that nothing is done with.
const REPEATED: &[&str] = &["resource", "audience"];
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The parameters of a request.
#[derive(Debug, Default)]
pub struct Form(Vec<(String, Secret<String>)>);

impl Form {
    /// `None`: it is none, or a parameter comes twice.
    pub fn parse(text: &str) -> Option<Form> {
        let mut form = Form::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if form.0.len() == PAIRS_MAX {
                return None;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            let is_repeated = REPEATED.contains(&name.as_str());
            if !is_repeated && form.0.iter().any(|(known, _)| *known == name) {
                return None;
            }
            if !value.is_empty() {
                form.0.push((name, Secret::new(value)));
            }
        }
        Some(form)
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.secret(name).map(|value| value.expose().as_str())
    }

    pub fn secret(&self, name: &str) -> Option<&Secret<String>> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value)
    }

    pub fn owned(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }
}

fn decoded(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

/// A text as a value of a query.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// An address with more parameters.
pub fn with_parameters(uri: &str, parameters: &[(&str, &str)]) -> String {
    let mut text = uri.to_owned();
    let mut separator = if uri.contains('?') { '&' } else { '?' };
    for (name, value) in parameters {
        text.push(separator);
        text.push_str(name);
        text.push('=');
        text.push_str(&encoded(value));
        separator = '&';
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let form = Form::parse("a=1&b=x+y%26z&c=&d&resource=1&resource=2").unwrap();
        assert_eq!(form.get("a"), Some("1"));
        assert_eq!(form.get("b"), Some("x y&z"));
        assert_eq!((form.get("c"), form.get("d")), (None, None));
        assert!(Form::parse("").is_some());
        assert!(Form::parse("a=1&a=2").is_none());
        assert!(Form::parse("a=%ff").is_none());
        let many: Vec<String> = (0..=PAIRS_MAX).map(|at| format!("p{at}=1")).collect();
        assert!(Form::parse(&many.join("&")).is_none());
        assert!(Form::parse(&many[1..].join("&")).is_some());
        assert!(!format!("{form:?}").contains("x y"));
    }

    #[test]
    fn addresses() {
        let parameters = [("code", "a b"), ("state", "x&y=é")];
        assert_eq!(
            with_parameters("https://a.example/b", &parameters),
            "https://a.example/b?code=a%20b&state=x%26y%3D%C3%A9"
        );
        assert_eq!(
            with_parameters("https://a.example/b?c=d", &parameters[..1]),
            "https://a.example/b?c=d&code=a%20b"
        );
    }
}
