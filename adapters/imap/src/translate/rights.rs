//! The letters of RFC 4314 <-> the core's rights (RFC 8621 §2).
//!
//! Holds: letters that stand for one right of the core are given and taken together (RFC 4314 §3.7), and LISTRIGHTS says which those are.
//! Other half: `commands::acl`.

use jmap_core::access::MailboxRights;

/// What is announced: the letters that RFC 2086 did not have.
pub const NEW_LETTERS: &str = "RIGHTS=kxte";

/// Letters that go together, and the rights they stand for.
pub const GROUPS: [(&str, MailboxRights); 9] = [
    ("lr", MailboxRights::READ_ITEMS),
    ("s", MailboxRights::SET_SEEN),
    ("w", MailboxRights::SET_KEYWORDS),
    ("i", MailboxRights::ADD_ITEMS),
    ("p", MailboxRights::SUBMIT),
    ("k", MailboxRights::CREATE_CHILD),
    ("x", MailboxRights::DELETE.union(MailboxRights::RENAME)),
    ("te", MailboxRights::REMOVE_ITEMS),
    ("a", MailboxRights::SHARE),
];

/// Letters of RFC 2086, and those they have become (RFC 4314 §2.1.1).
const OLD: [(char, &str); 2] = [('c', "k"), ('d', "xte")];

/// The rights that letters ask for. `None`: one of them is none.
pub fn from_letters(letters: &str) -> Option<MailboxRights> {
    let mut rights = MailboxRights::default();
    for letter in letters.chars() {
        let old = OLD.iter().find(|(old, _)| *old == letter);
        let mut single = [0; 4];
        let now = match old {
            Some((_, now)) => now,
            None => &*letter.encode_utf8(&mut single),
        };
        for letter in now.chars() {
            let (_, of_letter) = GROUPS.iter().find(|(group, _)| group.contains(letter))?;
            rights = rights.union(*of_letter);
        }
    }
    Some(rights)
}

/// The letters of rights, the old ones among them (RFC 4314 §2.1.1).
pub fn letters(rights: MailboxRights) -> String {
    let mut letters = String::new();
    for (group, of_group) in GROUPS {
        if rights.contains(of_group) {
            letters.push_str(group);
        }
    }
    for (old, now) in OLD {
        if now.chars().any(|letter| letters.contains(letter)) {
            letters.push(old);
        }
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_come_back() {
        let rows = [
            ("", ""),
            ("l", "lr"),
            ("lrs", "lrs"),
            ("d", "xted"),
            ("c", "kc"),
            ("t", "ted"),
            ("lrswipkxtea", "lrswipkxteacd"),
        ];
        for (asked, given) in rows {
            let rights = from_letters(asked).unwrap();
            assert_eq!(letters(rights), given);
            // RFC 4314 §2.1.1: `d` is told where there is any of its letters; it asks for all.
            let now = given.trim_end_matches(['c', 'd']);
            assert_eq!(from_letters(now), Some(rights));
        }
        assert_eq!(from_letters("lz"), None);
        assert_eq!(letters(MailboxRights::ALL), "lrswipkxteacd");
        assert_eq!(letters(MailboxRights::RENAME), "");
    }
}
