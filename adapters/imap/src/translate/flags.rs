//! Flags (RFC 9051 §2.3.2) <-> keywords (RFC 8621 §4.1.1).
//!
//! Holds: `\Seen` is `$seen` and so on, whichever way a client writes it; the core's keywords are in lower case, clients are shown the letter
//! case that they know. `\Deleted` is no keyword: it belongs to a message's place in one mailbox.
//! Other half: `jmap_core::inproc::imap_view`.

use std::{collections::HashMap, sync::Arc};

use jmap_core::inproc::imap_view::ViewRow;

use crate::encode::text::flag_list;

/// The flags that every mailbox has.
pub const SYSTEM: [&str; 5] = ["\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"];
/// RFC 8621 §4.1.1: octets of a keyword.
pub const KEYWORD_OCTETS_MAX: usize = 255;
/// Sets of keywords that are kept as they are sent, of one FETCH.
const RENDERED_MAX: usize = 1_024;

/// Keywords whose letter case clients look at: registered ones (RFC 5788), and what is in wide use.
const KNOWN: [&str; 33] = [
    "$AutoSent",
    "$CanUnsubscribe",
    "$Followed",
    "$Forwarded",
    "$HasAttachment",
    "$HasMemo",
    "$HasNoAttachment",
    "$Important",
    "$Imported",
    "$IsTrusted",
    "$Junk",
    "$JunkRecorded",
    "$MDNSent",
    "$MailFlagBit0",
    "$MailFlagBit1",
    "$MailFlagBit2",
    "$MaskedEmail",
    "$Memo",
    "$Muted",
    "$NotJunk",
    "$Phishing",
    "$SubmitPending",
    "$Submitted",
    "$Unsubscribed",
    "Forwarded",
    "Junk",
    "JunkRecorded",
    "MDNSent",
    "NoJunk",
    "NonJunk",
    "NotJunk",
    "Old",
    "Redirected",
];

/// A keyword that is a system flag to IMAP.
fn system_flag(keyword: &str) -> Option<&'static str> {
    match keyword {
        "$seen" => Some("\\Seen"),
        "$answered" => Some("\\Answered"),
        "$flagged" => Some("\\Flagged"),
        "$draft" => Some("\\Draft"),
        _ => None,
    }
}

pub fn is_system(keyword: &str) -> bool {
    system_flag(keyword).is_some()
}

/// A keyword as clients are shown it.
pub fn shown(keyword: &str) -> &str {
    if let Some(flag) = system_flag(keyword) {
        return flag;
    }
    let known = KNOWN
        .iter()
        .find(|known| known.eq_ignore_ascii_case(keyword));
    known.copied().unwrap_or(keyword)
}

/// What a client wants to set or clear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// In lower case.
    pub keywords: Vec<String>,
    pub deleted: bool,
}

/// Why flags can't be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFlag {
    #[error("There is no such system flag")]
    NoSuchSystemFlag,
    #[error("A keyword is too long")]
    TooLong,
}

/// Flags as a client wrote them. `\Recent` is not a client's to change, and is passed over (RFC 3501 §2.3.2).
pub fn asked<S: AsRef<str>>(flags: &[S]) -> Result<Asked, BadFlag> {
    let mut asked = Asked::default();
    for flag in flags {
        let flag = flag.as_ref().to_ascii_lowercase();
        let keyword = match flag.as_str() {
            "\\seen" => "$seen".to_owned(),
            "\\answered" => "$answered".to_owned(),
            "\\flagged" => "$flagged".to_owned(),
            "\\draft" => "$draft".to_owned(),
            "\\deleted" => {
                asked.deleted = true;
                continue;
            }
            "\\recent" => continue,
            other if other.starts_with('\\') => return Err(BadFlag::NoSuchSystemFlag),
            other if other.len() > KEYWORD_OCTETS_MAX => return Err(BadFlag::TooLong),
            _ => flag,
        };
        if !asked.keywords.contains(&keyword) {
            asked.keywords.push(keyword);
        }
    }
    Ok(asked)
}

/// Flags as they are sent, made once for each set of keywords.
#[derive(Debug, Default)]
pub struct Rendered {
    /// By where the shared keywords are. They are kept alive, so that nothing else can be there.
    known: HashMap<(usize, bool, bool), Kept>,
}

#[derive(Debug)]
struct Kept {
    _keywords: Arc<[Arc<str>]>,
    octets: Box<[u8]>,
}

impl Rendered {
    /// `(\Seen $Forwarded)`
    pub fn of(&mut self, row: &ViewRow, is_recent: bool) -> &[u8] {
        let place = row.keywords.as_ptr().cast::<u8>() as usize;
        // Empty slices may share an address with something else; by their length alone they are the same.
        let place = if row.keywords.is_empty() { 0 } else { place };
        if self.known.len() >= RENDERED_MAX {
            self.known.clear();
        }
        let kept = self.known.entry((place, row.is_deleted, is_recent));
        let kept = kept.or_insert_with(|| Kept {
            octets: render(row, is_recent),
            _keywords: row.keywords.clone(),
        });
        &kept.octets
    }
}

fn render(row: &ViewRow, is_recent: bool) -> Box<[u8]> {
    let mut octets = Vec::new();
    let deleted = row.is_deleted.then_some("\\Deleted");
    let recent = is_recent.then_some("\\Recent");
    let keywords = row.keywords.iter().map(|keyword| shown(keyword));
    flag_list(&mut octets, keywords.chain(deleted).chain(recent));
    octets.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(keywords: &[&str], is_deleted: bool) -> ViewRow {
        ViewRow {
            uid: 1,
            email: 1,
            thread: 1,
            modseq: 1,
            size: 1,
            received_at: 0,
            saved_at: 0,
            sent_at: None,
            is_deleted,
            keywords: keywords.iter().map(|name| Arc::from(*name)).collect(),
        }
    }

    #[test]
    fn flags_are_shown_as_clients_know_them() {
        let rows: [(&[&str], bool, bool, &str); 6] = [
            (&[], false, false, "()"),
            (&["$seen"], false, false, "(\\Seen)"),
            (
                &["$answered", "$draft", "$flagged"],
                true,
                false,
                "(\\Answered \\Draft \\Flagged \\Deleted)",
            ),
            (
                &["$forwarded", "$mdnsent", "nonjunk"],
                false,
                false,
                "($Forwarded $MDNSent NonJunk)",
            ),
            (&["$label1", "work"], false, false, "($label1 work)"),
            (&[], true, true, "(\\Deleted \\Recent)"),
        ];
        for (keywords, deleted, recent, want) in rows {
            let mut rendered = Rendered::default();
            let got = rendered.of(&row(keywords, deleted), recent).to_vec();
            assert_eq!(String::from_utf8_lossy(&got), want);
        }
    }

    #[test]
    fn rendered_flags_are_shared_only_by_the_same_flags() {
        let mut rendered = Rendered::default();
        let seen = row(&["$seen"], false);
        let mut deleted = seen.clone();
        deleted.is_deleted = true;
        assert_eq!(rendered.of(&seen, false), b"(\\Seen)");
        assert_eq!(rendered.of(&deleted, false), b"(\\Seen \\Deleted)");
        assert_eq!(rendered.of(&seen, true), b"(\\Seen \\Recent)");
        assert_eq!(rendered.of(&row(&["$draft"], false), false), b"(\\Draft)");
        for number in 0..2 * RENDERED_MAX {
            let name = format!("k{number}");
            let want = format!("({name})");
            assert_eq!(rendered.of(&row(&[&name], false), false), want.as_bytes());
        }
        assert!(rendered.known.len() <= RENDERED_MAX);
    }

    #[test]
    fn what_a_client_writes_in_any_letter_case_is_the_keyword() {
        let keywords = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let rows: [(&[&str], Result<Asked, BadFlag>); 6] = [
            (
                &["\\SEEN", "$Seen", "Work"],
                Ok(Asked {
                    keywords: keywords(&["$seen", "work"]),
                    deleted: false,
                }),
            ),
            (
                &["\\Deleted", "\\draft"],
                Ok(Asked {
                    keywords: keywords(&["$draft"]),
                    deleted: true,
                }),
            ),
            (&["\\Recent"], Ok(Asked::default())),
            (&["\\Foo"], Err(BadFlag::NoSuchSystemFlag)),
            (
                &[&"a".repeat(KEYWORD_OCTETS_MAX)],
                Ok(Asked {
                    keywords: vec!["a".repeat(255)],
                    deleted: false,
                }),
            ),
            (
                &[&"a".repeat(KEYWORD_OCTETS_MAX + 1)],
                Err(BadFlag::TooLong),
            ),
        ];
        for (flags, want) in rows {
            assert_eq!(asked(flags), want, "{flags:?}");
        }
    }
}
