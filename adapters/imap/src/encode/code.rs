//! Response codes: what goes into the brackets of a status response.
//!
//! Holds: all that this server can send, each with the form of its RFC.
//! Other half: `translate::errors`, which chooses them.

use super::set;
use super::text::{atom, flag_list, number64, push, quoted};
use crate::parse::CHARSETS;

/// RFC 9051 §7.1 unless another RFC is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    Alert,
    AlreadyExists,
    AppendUid {
        uid_validity: u32,
        /// In the order of the messages (RFC 3502, RFC 4315 §3).
        uids: Vec<u32>,
    },
    AuthenticationFailed,
    AuthorizationFailed,
    /// With the charsets that are known.
    BadCharset,
    /// RFC 5465 §5: with the events that are known.
    BadEvent(Vec<&'static str>),
    /// RFC 4469 §5
    BadUrl(String),
    Cannot,
    Capability(Vec<String>),
    ClientBug,
    Closed,
    /// RFC 4978 §3
    CompressionActive,
    ContactAdmin,
    CopyUid {
        uid_validity: u32,
        /// The n-th of `from` has become the n-th of `to`.
        from: Vec<u32>,
        to: Vec<u32>,
    },
    Corruption,
    Expired,
    ExpungeIssued,
    HasChildren,
    /// RFC 7162 §3.1.2.1
    HighestModseq(u64),
    /// RFC 9585 §4: the command's tag; how much is done, and of how much.
    InProgress {
        tag: Option<String>,
        done: Option<u32>,
        of: Option<u32>,
    },
    InUse,
    Limit,
    /// RFC 8474 §4.1
    MailboxId(String),
    /// RFC 5464 §4.2.1: octets of the longest value that was left out.
    MetadataLongEntries(u64),
    /// RFC 5464 §4.3: octets at most.
    MetadataMaxSize(u64),
    MetadataTooMany,
    MetadataNoPrivate,
    /// RFC 7162 §3.1.3: messages that have changed.
    Modified(Vec<u32>),
    /// RFC 7162 §3.1.2.2
    NoModseq,
    NonExistent,
    NoPerm,
    /// RFC 5465 §5.8
    NotificationOverflow,
    /// RFC 5182 §2.1
    NotSaved,
    /// RFC 5267 §4.3: the tag of the search.
    NoUpdate(String),
    OverQuota,
    Parse,
    /// With `\*`, if new keywords can be made.
    PermanentFlags(Vec<String>),
    PrivacyRequired,
    ReadOnly,
    ReadWrite,
    ServerBug,
    /// RFC 4469 §4
    TooBig,
    TryCreate,
    UidNext(u32),
    UidNotSticky,
    /// RFC 9586 §3
    UidRequired,
    UidValidity(u32),
    Unavailable,
    UnknownCte,
    /// RFC 3501 §7.1: the first unseen message.
    Unseen(u32),
    /// RFC 6154 §3
    UseAttr,
}

impl Code {
    /// Without its brackets.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        push(out, self.word());
        match self {
            Code::AppendUid { uid_validity, uids } => {
                number_after(out, u64::from(*uid_validity));
                set_after(out, uids);
            }
            Code::CopyUid {
                uid_validity,
                from,
                to,
            } => {
                number_after(out, u64::from(*uid_validity));
                set_after(out, from);
                set_after(out, to);
            }
            Code::Modified(messages) => set_after(out, messages),
            Code::BadCharset => list_after(out, &CHARSETS),
            Code::BadEvent(events) => list_after(out, events),
            Code::MailboxId(id) => list_after(out, &[id]),
            Code::BadUrl(url) => {
                out.push(b' ');
                out.extend(url.chars().map(|c| match c {
                    ']' => b'_',
                    ' '..='~' => c as u8,
                    _ => b'_',
                }));
            }
            Code::Capability(names) => {
                for name in names {
                    out.push(b' ');
                    atom(out, name);
                }
            }
            Code::InProgress { tag, done, of } => {
                progress_after(out, tag.as_deref(), *done, *of);
            }
            Code::NoUpdate(tag) => {
                out.push(b' ');
                quoted(out, tag);
            }
            Code::PermanentFlags(flags) => {
                out.push(b' ');
                flag_list(out, flags.iter().map(String::as_str));
            }
            Code::HighestModseq(value)
            | Code::MetadataLongEntries(value)
            | Code::MetadataMaxSize(value) => number_after(out, *value),
            Code::UidNext(value) | Code::UidValidity(value) | Code::Unseen(value) => {
                number_after(out, u64::from(*value));
            }
            _ => {}
        }
    }

    /// The word that it begins with.
    fn word(&self) -> &'static str {
        match self {
            Code::Alert => "ALERT",
            Code::AlreadyExists => "ALREADYEXISTS",
            Code::AuthenticationFailed => "AUTHENTICATIONFAILED",
            Code::AuthorizationFailed => "AUTHORIZATIONFAILED",
            Code::Cannot => "CANNOT",
            Code::ClientBug => "CLIENTBUG",
            Code::Closed => "CLOSED",
            Code::CompressionActive => "COMPRESSIONACTIVE",
            Code::ContactAdmin => "CONTACTADMIN",
            Code::Corruption => "CORRUPTION",
            Code::Expired => "EXPIRED",
            Code::ExpungeIssued => "EXPUNGEISSUED",
            Code::HasChildren => "HASCHILDREN",
            Code::InUse => "INUSE",
            Code::Limit => "LIMIT",
            Code::NonExistent => "NONEXISTENT",
            Code::NoPerm => "NOPERM",
            Code::NotificationOverflow => "NOTIFICATIONOVERFLOW",
            Code::NotSaved => "NOTSAVED",
            Code::OverQuota => "OVERQUOTA",
            Code::Parse => "PARSE",
            Code::PrivacyRequired => "PRIVACYREQUIRED",
            Code::ReadOnly => "READ-ONLY",
            Code::ReadWrite => "READ-WRITE",
            Code::ServerBug => "SERVERBUG",
            Code::TooBig => "TOOBIG",
            Code::TryCreate => "TRYCREATE",
            Code::UidNotSticky => "UIDNOTSTICKY",
            Code::UidRequired => "UIDREQUIRED",
            Code::Unavailable => "UNAVAILABLE",
            Code::UnknownCte => "UNKNOWN-CTE",
            Code::UseAttr => "USEATTR",
            Code::NoModseq => "NOMODSEQ",
            Code::MetadataTooMany => "METADATA TOOMANY",
            Code::MetadataNoPrivate => "METADATA NOPRIVATE",
            Code::AppendUid { .. } => "APPENDUID",
            Code::BadCharset => "BADCHARSET",
            Code::BadEvent(_) => "BADEVENT",
            Code::BadUrl(_) => "BADURL",
            Code::Capability(_) => "CAPABILITY",
            Code::CopyUid { .. } => "COPYUID",
            Code::HighestModseq(_) => "HIGHESTMODSEQ",
            Code::InProgress { .. } => "INPROGRESS",
            Code::MailboxId(_) => "MAILBOXID",
            Code::MetadataLongEntries(_) => "METADATA LONGENTRIES",
            Code::MetadataMaxSize(_) => "METADATA MAXSIZE",
            Code::Modified(_) => "MODIFIED",
            Code::NoUpdate(_) => "NOUPDATE",
            Code::PermanentFlags(_) => "PERMANENTFLAGS",
            Code::UidNext(_) => "UIDNEXT",
            Code::UidValidity(_) => "UIDVALIDITY",
            Code::Unseen(_) => "UNSEEN",
        }
    }
}

fn number_after(out: &mut Vec<u8>, value: u64) {
    out.push(b' ');
    number64(out, value);
}

fn set_after(out: &mut Vec<u8>, numbers: &[u32]) {
    out.push(b' ');
    set::numbers(out, numbers.iter().copied());
}

/// ` (A B)`
fn list_after(out: &mut Vec<u8>, items: &[&str]) {
    for (at, item) in items.iter().enumerate() {
        push(out, if at == 0 { " (" } else { " " });
        atom(out, item);
    }
    if !items.is_empty() {
        out.push(b')');
    }
}

/// RFC 9585 §4
fn progress_after(out: &mut Vec<u8>, tag: Option<&str>, done: Option<u32>, of: Option<u32>) {
    if (tag, done, of) == (None, None, None) {
        return;
    }
    push(out, " (");
    match tag {
        Some(tag) => quoted(out, tag),
        None => push(out, "NIL"),
    }
    // A goal is above 0, and there only with what is done.
    let of = of.filter(|of| done.is_some() && *of > 0);
    for count in [done, of] {
        match count {
            Some(count) => number_after(out, u64::from(count)),
            None => push(out, " NIL"),
        }
    }
    out.push(b')');
}
