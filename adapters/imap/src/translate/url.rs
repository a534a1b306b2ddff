//! IMAP URLs of messages and their parts (RFC 5092), as CATENATE has them (RFC 4469 §4).
//!
//! Holds: pure; a URL of another server, or with an authorization (RFC 4467), is none of ours.
//! Other half: `commands::catenate`.

use crate::command::Section;
use crate::parse;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageUrl {
    /// `None`: the selected one.
    pub mailbox: Option<String>,
    pub uid_validity: Option<u32>,
    pub uid: u32,
    pub section: Section,
    /// Origin and octets.
    pub partial: Option<(u32, u32)>,
}

/// `/Drafts;UIDVALIDITY=385759045/;UID=20/;SECTION=1.2/;PARTIAL=0.1024`, with or without `imap://host`.
pub fn parse(text: &str, hostname: &str) -> Option<MessageUrl> {
    let path = match strip_prefix(text, "imap://") {
        Some(rest) => {
            let (authority, _) = rest.split_once('/')?;
            let host = authority.rsplit('@').next()?;
            let host = host.strip_suffix(":143").unwrap_or(host);
            if !host.eq_ignore_ascii_case(hostname) {
                return None;
            }
            rest.strip_prefix(authority)?
        }
        None => text,
    };
    let lower = path.to_ascii_lowercase();
    let at = lower.find(";uid=")?;
    let (before, message) = path.split_at(at);
    let (mailbox, uid_validity) = mailbox(before)?;
    let mut url = MessageUrl {
        mailbox,
        uid_validity,
        uid: 0,
        section: Section::default(),
        partial: None,
    };
    for (at, field) in message.split("/;").enumerate() {
        let field = field.strip_prefix(';').unwrap_or(field);
        if let Some(uid) = strip_prefix(field, "uid=").filter(|_| at == 0) {
            url.uid = uid.parse().ok().filter(|uid| *uid > 0)?;
        } else if let Some(section) = strip_prefix(field, "section=") {
            url.section = parse::section(&decode(section)?)?;
        } else if let Some(partial) = strip_prefix(field, "partial=") {
            let (origin, count) = partial.split_once('.').unwrap_or((partial, ""));
            let count = if count.is_empty() {
                u32::MAX
            } else {
                count.parse().ok()?
            };
            url.partial = Some((origin.parse().ok()?, count));
        } else {
            return None;
        }
    }
    Some(url)
}

/// `/Drafts;UIDVALIDITY=385759045/`, or nothing.
fn mailbox(path: &str) -> Option<(Option<String>, Option<u32>)> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let Some(name) = path.strip_prefix('/') else {
        return path.is_empty().then_some((None, None));
    };
    if name.is_empty() {
        return Some((None, None));
    }
    let at = name.to_ascii_lowercase().find(";uidvalidity=");
    let (name, uid_validity) = match at {
        Some(at) => {
            let (name, rest) = name.split_at(at);
            let (_, number) = rest.split_once('=')?;
            (name, Some(number.parse().ok()?))
        }
        None => (name, None),
    };
    let name = String::from_utf8(decode(name)?).ok()?;
    // RFC 9051 §5.1: INBOX in any letter case.
    let is_inbox = name.eq_ignore_ascii_case("INBOX");
    let name = if is_inbox { "INBOX".to_owned() } else { name };
    Some((Some(name), uid_validity))
}

fn strip_prefix<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let start = text.get(..prefix.len())?;
    start
        .eq_ignore_ascii_case(prefix)
        .then(|| text.get(prefix.len()..))
        .flatten()
}

/// `%20` and the like.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'%' {
            octets.push(octet);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        octets.push(u8::try_from(high * 16 + low).ok()?);
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::SectionText;

    #[test]
    fn urls_of_messages_are_read() {
        let rows = [
            (
                "/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER",
                "Some(\"Drafts\") Some(385759045) 20 [] Some(Header) None",
            ),
            ("/inbox/;uid=7", "Some(\"INBOX\") None 7 [] None None"),
            (
                "/Drafts/a%20b%2fc/;UID=20/;SECTION=1.2.mime",
                "Some(\"Drafts/a b/c\") None 20 [1, 2] Some(Mime) None",
            ),
            (
                "/;UID=20/;SECTION=1.2/;PARTIAL=0.1024",
                "None None 20 [1, 2] None Some((0, 1024))",
            ),
            (
                ";UID=20/;PARTIAL=3",
                "None None 20 [] None Some((3, 4294967295))",
            ),
            (
                "imap://minnie@mail.example.org/gray-council;UIDVALIDITY=1/;UID=2",
                "Some(\"gray-council\") Some(1) 2 [] None None",
            ),
            (
                "imap://mail.example.org:143/a/;uid=2",
                "Some(\"a\") None 2 [] None None",
            ),
            ("imap://other.example.org/a/;uid=2", "-"),
            ("/a/;uid=0", "-"),
            ("/a/;uid=2/;section=x", "-"),
            ("/a/;uid=2;urlauth=anonymous:internal:1", "-"),
            ("/a/;uid=2/;urlauth=anonymous", "-"),
            ("/a%2/;uid=2", "-"),
            ("http://mail.example.org/a", "-"),
            ("", "-"),
        ];
        for (text, want) in rows {
            let got = parse(text, "mail.example.org").map(|url| {
                let MessageUrl {
                    mailbox,
                    uid_validity,
                    uid,
                    section,
                    partial,
                } = url;
                format!(
                    "{mailbox:?} {uid_validity:?} {uid} {:?} {:?} {partial:?}",
                    section.part, section.text
                )
            });
            assert_eq!(got.as_deref().unwrap_or("-"), want, "{text}");
        }
        let url = parse("/a/;uid=2/;section=HEADER.FIELDS%20(Subject)", "x").unwrap();
        assert_eq!(
            url.section.text,
            Some(SectionText::HeaderFields(vec!["Subject".to_owned()]))
        );
    }
}
