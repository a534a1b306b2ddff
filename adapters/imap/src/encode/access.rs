//! ACL, QUOTA and METADATA (RFC 4314 §3, RFC 9208 §4.2, RFC 5464 §4.4).
//!
//! Holds: rights are written as they are asked for by the functions, an empty set as `""`.
//! Other half: `commands::acl`, `commands::quota`, `commands::metadata`.

use super::mailbox::root_name;
use super::text::{astring, atom, mailbox_name, push, string_or_literal8};
use super::{end, named_number};

/// `* ACL name identifier rights ...`
pub fn acl(out: &mut Vec<u8>, mailbox: &str, entries: &[(&str, &str)], utf8: bool) {
    push(out, "* ACL ");
    mailbox_name(out, mailbox, utf8);
    for (identifier, rights) in entries {
        for text in [identifier, rights] {
            out.push(b' ');
            astring(out, text.as_bytes());
        }
    }
    end(out);
}

/// `* LISTRIGHTS name identifier required optional ...`: each of `optional` is a set of rights that are given together.
pub fn list_rights(
    out: &mut Vec<u8>,
    mailbox: &str,
    identifier: &str,
    required: &str,
    optional: &[&str],
    utf8: bool,
) {
    push(out, "* LISTRIGHTS ");
    mailbox_name(out, mailbox, utf8);
    for text in [identifier, required].iter().chain(optional) {
        out.push(b' ');
        astring(out, text.as_bytes());
    }
    end(out);
}

/// `* MYRIGHTS name rights`
pub fn my_rights(out: &mut Vec<u8>, mailbox: &str, rights: &str, utf8: bool) {
    push(out, "* MYRIGHTS ");
    mailbox_name(out, mailbox, utf8);
    out.push(b' ');
    astring(out, rights.as_bytes());
    end(out);
}

/// What is used of a resource, and how much there is: STORAGE in units of 1024 octets (RFC 9208 §5.1), others in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota<'a> {
    pub resource: &'a str,
    pub used: u64,
    pub limit: u64,
}

/// `* QUOTA root (STORAGE 10 512)`
pub fn quota(out: &mut Vec<u8>, root: &str, resources: &[Quota<'_>]) {
    push(out, "* QUOTA ");
    root_name(out, root);
    push(out, " (");
    for (at, quota) in resources.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        atom(out, quota.resource);
        named_number(out, "", quota.used);
        named_number(out, "", quota.limit);
    }
    out.push(b')');
    end(out);
}

/// `* QUOTAROOT name root ...`
pub fn quota_root(out: &mut Vec<u8>, mailbox: &str, roots: &[&str], utf8: bool) {
    push(out, "* QUOTAROOT ");
    mailbox_name(out, mailbox, utf8);
    for root in roots {
        out.push(b' ');
        root_name(out, root);
    }
    end(out);
}

/// `* METADATA name (/private/comment "text" ...)`; an empty mailbox is the server. Nothing if there are no entries.
pub fn metadata(out: &mut Vec<u8>, mailbox: &str, entries: &[(&str, Option<&[u8]>)], utf8: bool) {
    if entries.is_empty() {
        return;
    }
    metadata_start(out, mailbox, utf8);
    for (at, (entry, value)) in entries.iter().enumerate() {
        out.push(if at == 0 { b'(' } else { b' ' });
        astring(out, entry.as_bytes());
        out.push(b' ');
        match value {
            Some(value) => string_or_literal8(out, value),
            None => push(out, "NIL"),
        }
    }
    out.push(b')');
    end(out);
}

/// `* METADATA name /shared/comment ...`: these have changed (RFC 5464 §4.4.2).
pub fn metadata_changed(out: &mut Vec<u8>, mailbox: &str, entries: &[&str], utf8: bool) {
    if entries.is_empty() {
        return;
    }
    metadata_start(out, mailbox, utf8);
    for (at, entry) in entries.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        astring(out, entry.as_bytes());
    }
    end(out);
}

fn metadata_start(out: &mut Vec<u8>, mailbox: &str, utf8: bool) {
    push(out, "* METADATA ");
    if mailbox.is_empty() {
        push(out, "\"\"");
    } else {
        mailbox_name(out, mailbox, utf8);
    }
    out.push(b' ');
}
