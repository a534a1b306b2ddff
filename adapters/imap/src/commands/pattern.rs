//! Patterns of LIST (RFC 9051 §6.3.9): `*` is anything, `%` anything within a level.
//!
//! Holds: no backtracking: a comparison takes as many steps as the name and the pattern are long, multiplied.

use unicode_normalization::UnicodeNormalization;

use crate::translate::names::{INBOX, upper_inbox};

/// A pattern, ready to be compared.
#[derive(Clone, Debug)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Octet(u8),
    /// `*`
    Any,
    /// `%`
    AnyOfLevel,
}

impl Pattern {
    pub fn new(pattern: &str) -> Pattern {
        let pattern: String = pattern.nfc().collect();
        let mut parts: Vec<Part> = Vec::with_capacity(pattern.len());
        for octet in upper_inbox(&pattern).bytes() {
            let part = match octet {
                b'*' => Part::Any,
                b'%' => Part::AnyOfLevel,
                octet => Part::Octet(octet),
            };
            let is_again = part == Part::Any || part == Part::AnyOfLevel;
            // The same twice is the same once.
            if !(is_again && parts.last() == Some(&part)) {
                parts.push(part);
            }
        }
        Pattern { parts }
    }

    /// RFC 3501 §6.3.9 has a rule for these.
    pub fn ends_with_percent(&self) -> bool {
        self.parts.last() == Some(&Part::AnyOfLevel)
    }

    pub fn matches(&self, name: &str) -> bool {
        let is_inbox = name == INBOX || name.starts_with("INBOX/");
        let folded = if is_inbox { INBOX.len() } else { 0 };
        // Which parts may come next, after what was read of the name.
        let mut next = vec![false; self.parts.len() + 1];
        if let Some(first) = next.first_mut() {
            *first = true;
        }
        self.pass_wildcards(&mut next);
        for (at, octet) in name.bytes().enumerate() {
            let mut after = vec![false; next.len()];
            for (of, part) in self.parts.iter().enumerate() {
                if !next.get(of).copied().unwrap_or_default() {
                    continue;
                }
                let (stays, goes_on) = match part {
                    Part::Any => (true, false),
                    Part::AnyOfLevel => (octet != b'/', false),
                    Part::Octet(wanted) if at < folded => {
                        (false, wanted.eq_ignore_ascii_case(&octet))
                    }
                    Part::Octet(wanted) => (false, *wanted == octet),
                };
                set(&mut after, of, stays);
                set(&mut after, of + 1, goes_on);
            }
            self.pass_wildcards(&mut after);
            next = after;
            if !next.contains(&true) {
                return false;
            }
        }
        next.last().copied().unwrap_or_default()
    }

    /// A wildcard may stand for nothing.
    fn pass_wildcards(&self, next: &mut [bool]) {
        for (of, part) in self.parts.iter().enumerate() {
            if !matches!(part, Part::Octet(_)) && next.get(of).copied().unwrap_or_default() {
                set(next, of + 1, true);
            }
        }
    }
}

fn set(flags: &mut [bool], at: usize, value: bool) {
    if let Some(flag) = flags.get_mut(at) {
        *flag |= value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names() {
        let rows = [
            ("*", "a", true),
            ("*", "a/b/c", true),
            ("%", "a", true),
            ("%", "a/b", false),
            ("%/%", "a/b", true),
            ("%/%", "a/b/c", false),
            ("a/%", "a/b", true),
            ("a/%", "a/", true),
            ("a*", "a", true),
            ("a*c", "abbbc", true),
            ("a*c", "a/b/c", true),
            ("a%c", "a/c", false),
            ("*b", "a/b", true),
            ("*%", "a/b", true),
            ("%*", "a/b", true),
            ("a", "A", false),
            ("inbox", "INBOX", true),
            ("iNb%", "INBOX", true),
            ("*/child", "INBOX/child", true),
            ("inbox/CHILD", "INBOX/child", false),
            ("Inbox/child", "INBOX/child", true),
            ("i*", "Inboxes", false),
            ("", "", true),
            ("", "a", false),
            ("e\u{301}%", "été", true),
        ];
        for (pattern, name, expected) in rows {
            assert_eq!(
                Pattern::new(pattern).matches(name),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn many_wildcards_take_no_longer() {
        let pattern = Pattern::new(&"*a".repeat(1000));
        assert!(!pattern.matches(&"a".repeat(999)));
        assert!(pattern.matches(&"a".repeat(1000)));
    }
}
