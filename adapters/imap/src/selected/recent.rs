//! `\Recent` (RFC 3501 §2.3.2): which session is the first to be told of a message.
//!
//! Holds: a message is recent in one session at most. The core keeps no mark of it: what was there when a mailbox was first selected since the
//! server's start isn't recent.

use std::collections::HashMap;
use std::sync::Arc;

use jmap_core::inproc::imap_view::MailboxKey;
use parking_lot::Mutex;

/// Mailboxes of which it is known up to where a session was told. Beyond that all begin anew.
pub const RECENT_MAILBOXES_MAX: usize = 100_000;

/// Up to where a session was told, by mailbox; of the whole server.
#[derive(Clone, Debug, Default)]
pub struct Recents(Arc<Mutex<HashMap<MailboxKey, u32>>>);

impl Recents {
    /// The first UID that no session has been told of: from there up to `uid_next` all is recent in the session that asks.
    pub fn claim(&self, mailbox: MailboxKey, uid_next: u32) -> u32 {
        let mut told = self.0.lock();
        if told.len() >= RECENT_MAILBOXES_MAX && !told.contains_key(&mailbox) {
            told.clear();
        }
        let known = told.entry(mailbox).or_insert(uid_next);
        let first = (*known).min(uid_next);
        *known = (*known).max(uid_next);
        first
    }

    /// The same for a session that may not take it (EXAMINE, STATUS): it stays recent for the next one.
    pub fn peek(&self, mailbox: MailboxKey, uid_next: u32) -> u32 {
        let known = self.0.lock().get(&mailbox).copied();
        known.unwrap_or(uid_next).min(uid_next)
    }
}
