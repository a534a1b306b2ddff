//! LIST, LSUB, STATUS, NAMESPACE (RFC 9051 §7.3, RFC 5258, RFC 5465 §5.4, RFC 6154, RFC 7889, RFC 8474, RFC 9208).
//!
//! Holds: levels are apart by [`DELIMITER`].
//! Other half: `commands::list`, `commands::status`.

use super::text::{astring, atom, mailbox_name, push, quoted};
use super::{end, named_number};

/// Between the levels of a name.
pub const DELIMITER: char = '/';

/// Attributes of a mailbox (RFC 9051 §7.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    NonExistent,
    NoInferiors,
    NoSelect,
    HasChildren,
    HasNoChildren,
    Marked,
    Unmarked,
    Subscribed,
    Remote,
    /// RFC 5465 §5.9
    NoAccess,
    All,
    Archive,
    Drafts,
    Flagged,
    Junk,
    Sent,
    Trash,
    /// RFC 8457
    Important,
}

impl Attribute {
    pub fn name(self) -> &'static str {
        match self {
            Attribute::NonExistent => "\\NonExistent",
            Attribute::NoInferiors => "\\Noinferiors",
            Attribute::NoSelect => "\\Noselect",
            Attribute::HasChildren => "\\HasChildren",
            Attribute::HasNoChildren => "\\HasNoChildren",
            Attribute::Marked => "\\Marked",
            Attribute::Unmarked => "\\Unmarked",
            Attribute::Subscribed => "\\Subscribed",
            Attribute::Remote => "\\Remote",
            Attribute::NoAccess => "\\NoAccess",
            Attribute::All => "\\All",
            Attribute::Archive => "\\Archive",
            Attribute::Drafts => "\\Drafts",
            Attribute::Flagged => "\\Flagged",
            Attribute::Junk => "\\Junk",
            Attribute::Sent => "\\Sent",
            Attribute::Trash => "\\Trash",
            Attribute::Important => "\\Important",
        }
    }
}

/// What a LIST response may tell beyond the name.
#[derive(Debug, Clone, Copy, Default)]
pub struct ListData<'a> {
    pub attributes: &'a [Attribute],
    /// RFC 5258 §3.5: the selection options that a child matches, such as `SUBSCRIBED`.
    pub child_info: &'a [&'a str],
    /// RFC 5465 §5.4, RFC 9051 §6.3.9.7
    pub old_name: Option<&'a str>,
}

/// `* LIST (\HasNoChildren) "/" name ("CHILDINFO" ("SUBSCRIBED"))`
pub fn list(out: &mut Vec<u8>, name: &str, data: &ListData<'_>, utf8: bool) {
    push(out, "* LIST ");
    attributes_and_name(out, name, data.attributes, utf8);
    if !data.child_info.is_empty() || data.old_name.is_some() {
        extended_items(out, data, utf8);
    }
    end(out);
}

/// `* LSUB () "/" name` (RFC 3501 §7.2.3)
pub fn lsub(out: &mut Vec<u8>, name: &str, attributes: &[Attribute], utf8: bool) {
    push(out, "* LSUB ");
    attributes_and_name(out, name, attributes, utf8);
    end(out);
}

/// What `LIST "" ""` is answered with: the delimiter, and the root of the reference (RFC 9051 §6.3.9).
pub fn list_root(out: &mut Vec<u8>, root: &str, utf8: bool) {
    list(
        out,
        root,
        &ListData {
            attributes: &[Attribute::NoSelect],
            ..ListData::default()
        },
        utf8,
    );
}

fn attributes_and_name(out: &mut Vec<u8>, name: &str, attributes: &[Attribute], utf8: bool) {
    out.push(b'(');
    for (at, attribute) in attributes.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        push(out, attribute.name());
    }
    push(out, ") ");
    delimiter(out);
    out.push(b' ');
    mailbox_name(out, name, utf8);
}

fn delimiter(out: &mut Vec<u8>) {
    quoted(out, DELIMITER.encode_utf8(&mut [0; 4]));
}

fn extended_items(out: &mut Vec<u8>, data: &ListData<'_>, utf8: bool) {
    push(out, " (");
    for (at, option) in data.child_info.iter().enumerate() {
        push(out, if at == 0 { "\"CHILDINFO\" (" } else { " " });
        quoted(out, option);
    }
    if !data.child_info.is_empty() {
        out.push(b')');
    }
    if let Some(old_name) = data.old_name {
        if !data.child_info.is_empty() {
            out.push(b' ');
        }
        push(out, "\"OLDNAME\" (");
        mailbox_name(out, old_name, utf8);
        out.push(b')');
    }
    out.push(b')');
}

/// An item of STATUS with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusValue {
    Messages(u32),
    Recent(u32),
    UidNext(u32),
    UidValidity(u32),
    Unseen(u32),
    Deleted(u32),
    Size(u64),
    /// 0: the mailbox has none (RFC 7162 §7).
    HighestModseq(u64),
    /// `None`: no limit (RFC 7889 §3.2).
    AppendLimit(Option<u64>),
    MailboxId(String),
    DeletedStorage(u64),
}

/// `* STATUS name (MESSAGES 231 UIDNEXT 44292)` (RFC 9051 §7.3.4)
pub fn status(out: &mut Vec<u8>, name: &str, values: &[StatusValue], utf8: bool) {
    push(out, "* STATUS ");
    mailbox_name(out, name, utf8);
    push(out, " (");
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        status_value(out, value);
    }
    out.push(b')');
    end(out);
}

fn status_value(out: &mut Vec<u8>, value: &StatusValue) {
    match value {
        StatusValue::Messages(number) => named_number(out, "MESSAGES", u64::from(*number)),
        StatusValue::Recent(number) => named_number(out, "RECENT", u64::from(*number)),
        StatusValue::UidNext(uid) => named_number(out, "UIDNEXT", u64::from(*uid)),
        StatusValue::UidValidity(value) => named_number(out, "UIDVALIDITY", u64::from(*value)),
        StatusValue::Unseen(number) => named_number(out, "UNSEEN", u64::from(*number)),
        StatusValue::Deleted(number) => named_number(out, "DELETED", u64::from(*number)),
        StatusValue::Size(octets) => named_number(out, "SIZE", *octets),
        StatusValue::HighestModseq(value) => named_number(out, "HIGHESTMODSEQ", *value),
        StatusValue::AppendLimit(Some(octets)) => named_number(out, "APPENDLIMIT", *octets),
        StatusValue::AppendLimit(None) => push(out, "APPENDLIMIT NIL"),
        StatusValue::MailboxId(id) => {
            push(out, "MAILBOXID (");
            atom(out, id);
            out.push(b')');
        }
        StatusValue::DeletedStorage(kilobytes) => {
            named_number(out, "DELETED-STORAGE", *kilobytes);
        }
    }
}

/// `* NAMESPACE (("" "/")) NIL (("Shared/" "/"))` (RFC 9051 §6.3.10): the prefixes of personal, other users' and shared mailboxes.
pub fn namespace(
    out: &mut Vec<u8>,
    personal: &[&str],
    other_users: &[&str],
    shared: &[&str],
    utf8: bool,
) {
    push(out, "* NAMESPACE");
    for prefixes in [personal, other_users, shared] {
        if prefixes.is_empty() {
            push(out, " NIL");
            continue;
        }
        push(out, " (");
        for prefix in prefixes {
            out.push(b'(');
            namespace_prefix(out, prefix, utf8);
            out.push(b' ');
            delimiter(out);
            out.push(b')');
        }
        out.push(b')');
    }
    end(out);
}

/// A string, where a mailbox name could be bare.
fn namespace_prefix(out: &mut Vec<u8>, prefix: &str, utf8: bool) {
    let start = out.len();
    mailbox_name(out, prefix, utf8);
    if !matches!(out.get(start), Some(b'"' | b'{')) {
        out.insert(start, b'"');
        out.push(b'"');
    }
}

/// A name for GETQUOTAROOT and the like: `astring`.
pub(crate) fn root_name(out: &mut Vec<u8>, name: &str) {
    if name.is_empty() {
        return push(out, "\"\"");
    }
    astring(out, name.as_bytes());
}
