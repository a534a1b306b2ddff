//! ENVELOPE.

use super::{ENVELOPE_ADDRESSES_MAX, nstring, string};
use crate::mail::message::{
    HEADER_VALUE_OCTETS_MAX, HeaderField,
    address::{self, EmailAddress},
    words::unfold,
};

/// In the order of the envelope.
const NAMES: [&[u8]; 10] = [
    b"date",
    b"subject",
    b"from",
    b"sender",
    b"reply-to",
    b"to",
    b"cc",
    b"bcc",
    b"in-reply-to",
    b"message-id",
];

/// Of several fields of one name, the last one counts, as for JMAP.
pub(super) fn write(out: &mut Vec<u8>, raw: &[u8], fields: &[HeaderField]) {
    let mut last: [Option<&[u8]>; NAMES.len()] = [None; NAMES.len()];
    for field in fields {
        let name = field.name(raw);
        let known = |known: &&[u8]| name.eq_ignore_ascii_case(known);
        if let Some(at) = NAMES.iter().position(known) {
            let value = field.value(raw);
            last[at] = Some(&value[..value.len().min(HEADER_VALUE_OCTETS_MAX)]);
        }
    }
    let [
        date,
        subject,
        from,
        sender,
        reply_to,
        to,
        cc,
        bcc,
        in_reply_to,
        message_id,
    ] = last;
    out.push(b'(');
    text(out, date);
    out.push(b' ');
    text(out, subject);
    out.push(b' ');
    let start = out.len();
    addresses(out, from);
    let from = start..out.len();
    for value in [sender, reply_to] {
        out.push(b' ');
        let start = out.len();
        addresses(out, value);
        // RFC 9051 §7.5.2: absent or empty, they are as From.
        if out.get(start..) == Some(b"NIL") {
            out.truncate(start);
            out.extend_from_within(from.clone());
        }
    }
    for value in [to, cc, bcc] {
        out.push(b' ');
        addresses(out, value);
    }
    for value in [in_reply_to, message_id] {
        out.push(b' ');
        text(out, value);
    }
    out.push(b')');
}

/// A value as it is, unfolded: encoded words are the client's to read.
fn text(out: &mut Vec<u8>, value: Option<&[u8]>) {
    let value = value.map(unfold);
    nstring(out, value.as_deref().map(str::trim));
}

fn addresses(out: &mut Vec<u8>, value: Option<&[u8]>) {
    let start = out.len();
    out.push(b'(');
    let mut left = ENVELOPE_ADDRESSES_MAX;
    for group in value.map(address::parse_raw).into_iter().flatten() {
        if let Some(name) = &group.name {
            out.extend_from_slice(b"(NIL NIL ");
            string(out, name);
            out.extend_from_slice(b" NIL)");
        }
        for address in group.addresses.iter().take(left) {
            one(out, address);
        }
        left = left.saturating_sub(group.addresses.len().max(1));
        if group.name.is_some() {
            out.extend_from_slice(b"(NIL NIL NIL NIL)");
        }
        if left == 0 {
            break;
        }
    }
    if out.len() == start + 1 {
        out.truncate(start);
        out.extend_from_slice(b"NIL");
    } else {
        out.push(b')');
    }
}

fn one(out: &mut Vec<u8>, address: &EmailAddress) {
    // NIL would be the end of a group, or its beginning.
    let (local, host) = address
        .email
        .rsplit_once('@')
        .unwrap_or((&address.email, ""));
    out.push(b'(');
    nstring(out, address.name.as_deref());
    out.extend_from_slice(b" NIL ");
    if local.starts_with('"') {
        string(out, &address::quoted(local).0);
    } else {
        string(out, local);
    }
    out.push(b' ');
    string(out, host);
    out.push(b')');
}
