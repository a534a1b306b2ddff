//! SEARCH, SORT and ESEARCH responses (RFC 9051 §7.3.4, RFC 3501 §7.2.5, RFC 4731, RFC 5256, RFC 5267, RFC 7162, RFC 7377, RFC 9394).
//!
//! Holds: numbers are in the order in which they are given.
//! Other half: `parse::search`.

use super::text::{mailbox_name, number, number64, push, quoted};
use super::{end, named_number, set};

/// `* SEARCH 2 84 882 (MODSEQ 917162500)`
pub fn search(out: &mut Vec<u8>, numbers: &[u32], modseq: Option<u64>) {
    plain(out, "* SEARCH", numbers, modseq);
}

/// `* SORT 2 84 882`
pub fn sort(out: &mut Vec<u8>, numbers: &[u32], modseq: Option<u64>) {
    plain(out, "* SORT", numbers, modseq);
}

fn plain(out: &mut Vec<u8>, name: &str, numbers: &[u32], modseq: Option<u64>) {
    push(out, name);
    for value in numbers {
        out.push(b' ');
        number(out, *value);
    }
    // RFC 7162 §3.1.5: only with a result.
    if let Some(modseq) = modseq.filter(|_| !numbers.is_empty()) {
        push(out, " (MODSEQ ");
        number64(out, modseq);
        out.push(b')');
    }
    end(out);
}

/// An ESEARCH response. What is `None` or empty is not in it.
#[derive(Debug, Clone, Copy, Default)]
pub struct ESearch<'a> {
    pub tag: Option<&'a str>,
    /// RFC 7377 §2.1: its name and UIDVALIDITY.
    pub mailbox: Option<(&'a str, u32)>,
    /// The numbers are UIDs.
    pub uid: bool,
    pub min: Option<u32>,
    pub max: Option<u32>,
    pub count: Option<u32>,
    pub all: &'a [u32],
    /// RFC 9394 §3.1: the range that was asked for, and what is in it.
    pub partial: Option<((i64, i64), &'a [u32])>,
    /// RFC 5267 §4.3: positions (0 for SEARCH) and what has come there, or gone.
    pub add_to: &'a [(u32, &'a [u32])],
    pub remove_from: &'a [(u32, &'a [u32])],
    pub modseq: Option<u64>,
}

/// `* ESEARCH (TAG "A282") UID MIN 2 COUNT 3`
pub fn esearch(out: &mut Vec<u8>, data: &ESearch<'_>, utf8: bool) {
    push(out, "* ESEARCH");
    correlator(out, data, utf8);
    if data.uid {
        push(out, " UID");
    }
    let numbers = [
        (" MIN", data.min),
        (" MAX", data.max),
        (" COUNT", data.count),
    ];
    for (name, value) in numbers {
        if let Some(value) = value {
            named_number(out, name, u64::from(value));
        }
    }
    if !data.all.is_empty() {
        push(out, " ALL ");
        set::numbers(out, data.all.iter().copied());
    }
    if let Some((range, numbers)) = data.partial {
        partial(out, range, numbers);
    }
    positions(out, " ADDTO (", data.add_to);
    positions(out, " REMOVEFROM (", data.remove_from);
    if let Some(modseq) = data.modseq {
        named_number(out, " MODSEQ", modseq);
    }
    end(out);
}

fn correlator(out: &mut Vec<u8>, data: &ESearch<'_>, utf8: bool) {
    if data.tag.is_none() && data.mailbox.is_none() {
        return;
    }
    push(out, " (");
    if let Some(tag) = data.tag {
        push(out, "TAG ");
        quoted(out, tag);
    }
    if let Some((name, uid_validity)) = data.mailbox {
        push(
            out,
            if data.tag.is_some() {
                " MAILBOX "
            } else {
                "MAILBOX "
            },
        );
        mailbox_name(out, name, utf8);
        named_number(out, " UIDVALIDITY", u64::from(uid_validity));
    }
    out.push(b')');
}

fn partial(out: &mut Vec<u8>, (first, last): (i64, i64), numbers: &[u32]) {
    push(out, " PARTIAL (");
    signed(out, first);
    out.push(b':');
    signed(out, last);
    out.push(b' ');
    if numbers.is_empty() {
        push(out, "NIL");
    } else {
        set::numbers(out, numbers.iter().copied());
    }
    out.push(b')');
}

fn signed(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    number64(out, value.unsigned_abs());
}

fn positions(out: &mut Vec<u8>, name: &str, changes: &[(u32, &[u32])]) {
    let mut start = name;
    for (position, numbers) in changes {
        if numbers.is_empty() {
            continue;
        }
        push(out, start);
        start = " ";
        number(out, *position);
        out.push(b' ');
        set::numbers(out, numbers.iter().copied());
    }
    if start == " " {
        out.push(b')');
    }
}
