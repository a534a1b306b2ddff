//! What the store keeps of an event.
//!
//! Holds: numbers of fields are never reused; a new field is an `Option`. No text is longer than [`TEXT_OCTETS_MAX`].
//! Other half: `tests` has the bytes of every version.

use jmap_types::AccountId;
use minicbor::{Decode, Encode};
use store::Record;

use super::{ACTIONS_MAX, HOSTS_MAX, RECIPIENTS_MAX, TEXT_OCTETS_MAX};

/// One event in the life of a message. Its id says when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct TraceRecord {
    #[n(0)]
    pub kind: TraceKind,
    /// Without angle brackets.
    #[n(1)]
    pub message_id: Option<String>,
    /// The reverse-path; empty: the null reverse-path. `None`: not known.
    #[n(2)]
    pub mail_from: Option<String>,
    #[n(3)]
    pub recipients: Vec<TraceRecipient>,
    /// Recipients beyond those that are named.
    #[n(4)]
    pub more_recipients: Option<u64>,
    /// Octets of the message.
    #[n(5)]
    pub size: Option<u64>,
    /// The session in which it came.
    #[n(6)]
    pub session: Option<TraceSession>,
    #[n(7)]
    pub submission: Option<TraceSubmission>,
    #[n(8)]
    pub hosts: Option<Vec<TraceHost>>,
    /// The reply of a refusal; what a report says.
    #[n(9)]
    pub note: Option<String>,
}

impl Record for TraceRecord {
    const KIND: &'static str = "trace";
}

/// What happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum TraceKind {
    /// It arrived from outside.
    #[default]
    #[n(0)]
    Received,
    /// It, or one of its recipients, was refused before it was there.
    #[n(1)]
    Refused,
    /// Somebody here sends it.
    #[n(2)]
    Submitted,
    /// The queue has brought it to mailboxes here.
    #[n(3)]
    Delivered,
    /// The queue has tried another server.
    #[n(4)]
    Attempted,
    /// Its sender was told something.
    #[n(5)]
    Reported,
}

impl TraceKind {
    pub const ALL: [TraceKind; 6] = [
        TraceKind::Received,
        TraceKind::Refused,
        TraceKind::Submitted,
        TraceKind::Delivered,
        TraceKind::Attempted,
        TraceKind::Reported,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Refused => "refused",
            Self::Submitted => "submitted",
            Self::Delivered => "delivered",
            Self::Attempted => "attempted",
            Self::Reported => "reported",
        }
    }
}

/// What became of a recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct TraceRecipient {
    #[n(0)]
    pub address: String,
    /// In the shape of a reply: code, enhanced code, text.
    #[n(1)]
    pub reply: String,
    /// The accounts that it is for, and what was done there.
    #[n(2)]
    pub places: Vec<TracePlace>,
    /// The host that gave the reply; `None`: this one.
    #[n(3)]
    pub remote: Option<String>,
}

/// What was done in one account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct TracePlace {
    #[n(0)]
    pub account: u64,
    /// Mailboxes that it is in.
    #[n(1)]
    pub mailboxes: Vec<u64>,
    /// What the account's script, or who has none, did: `keep`, `fileinto "x"`, `redirect <a@b>` ...
    #[n(2)]
    pub actions: Vec<String>,
    /// Why the script didn't have its way.
    #[n(3)]
    pub problem: Option<String>,
}

/// How the message came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct TraceSession {
    /// Its address; empty: a process of this machine.
    #[n(0)]
    pub peer: String,
    /// What it calls itself.
    #[n(1)]
    pub hello: String,
    /// `SMTP`, `ESMTPS`, `LMTP` ... (RFC 3848)
    #[n(2)]
    pub protocol: String,
    /// Version and cipher; `None`: not encrypted.
    #[n(3)]
    pub tls: Option<String>,
    /// The number of the transaction, as in its Received field and the log.
    #[n(4)]
    pub id: String,
    /// What was found about where it comes from, as in Authentication-Results.
    #[n(5)]
    pub authentication: Option<String>,
}

/// The EmailSubmission that an event belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct TraceSubmission {
    #[n(0)]
    pub account: u64,
    #[n(1)]
    pub id: u64,
    /// The login name of whoever sent it; `None`: the server itself.
    #[n(2)]
    pub who: Option<String>,
    /// Seconds since 1970: it is held until then.
    #[n(3)]
    pub hold_until: Option<i64>,
}

/// A host that was tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct TraceHost {
    /// Milliseconds since 1970.
    #[n(0)]
    pub when: i64,
    #[n(1)]
    pub host: String,
    #[n(2)]
    pub address: Option<String>,
    /// In what way the connection was encrypted; `None`: it was not.
    #[n(3)]
    pub tls: Option<String>,
    #[n(4)]
    pub result: String,
}

impl TraceRecord {
    /// The accounts whose people may read of it.
    pub fn accounts(&self) -> Vec<AccountId> {
        let places = self
            .recipients
            .iter()
            .flat_map(|recipient| &recipient.places);
        let own = self.submission.iter().map(|submission| submission.account);
        let mut accounts: Vec<u64> = places.map(|place| place.account).chain(own).collect();
        accounts.sort_unstable();
        accounts.dedup();
        accounts.into_iter().map(AccountId::new).collect()
    }

    /// As the people of an account may see it: what it sent with all recipients, of what came to it no recipient but itself.
    pub fn seen_by(mut self, account: AccountId) -> Option<TraceRecord> {
        let number = account.number();
        if self
            .submission
            .as_ref()
            .is_some_and(|of| of.account == number)
        {
            // What a recipient here has done with it is not the sender's business.
            for recipient in &mut self.recipients {
                recipient.places.retain(|place| place.account == number);
            }
            return Some(self);
        }
        for recipient in &mut self.recipients {
            recipient.places.retain(|place| place.account == number);
        }
        self.recipients
            .retain(|recipient| !recipient.places.is_empty());
        self.more_recipients = None;
        self.submission = None;
        (!self.recipients.is_empty()).then_some(self)
    }

    /// Keeps to the limits.
    pub(super) fn shortened(mut self) -> TraceRecord {
        let more = self.recipients.len().saturating_sub(RECIPIENTS_MAX);
        if more > 0 {
            self.recipients.truncate(RECIPIENTS_MAX);
            self.more_recipients = Some(more as u64);
        }
        for text in [&mut self.message_id, &mut self.mail_from, &mut self.note] {
            text.iter_mut().for_each(shorten);
        }
        for recipient in &mut self.recipients {
            shorten(&mut recipient.address);
            shorten(&mut recipient.reply);
            recipient.remote.iter_mut().for_each(shorten);
            recipient.places.truncate(RECIPIENTS_MAX);
            for place in &mut recipient.places {
                place.mailboxes.truncate(ACTIONS_MAX);
                place.actions.truncate(ACTIONS_MAX);
                place.actions.iter_mut().for_each(shorten);
                place.problem.iter_mut().for_each(shorten);
            }
        }
        if let Some(session) = &mut self.session {
            let texts = [&mut session.hello, &mut session.id, &mut session.protocol];
            texts.into_iter().for_each(shorten);
            session.tls.iter_mut().for_each(shorten);
            session.authentication.iter_mut().for_each(shorten);
        }
        let hosts = self.hosts.get_or_insert_default();
        hosts.truncate(HOSTS_MAX);
        for host in hosts.iter_mut() {
            shorten(&mut host.host);
            shorten(&mut host.result);
            host.tls.iter_mut().for_each(shorten);
        }
        if hosts.is_empty() {
            self.hosts = None;
        }
        self
    }
}

fn shorten(text: &mut String) {
    text.truncate(text.floor_char_boundary(TEXT_OCTETS_MAX));
}
