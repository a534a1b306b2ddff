//! What has happened in the selected mailbox is told (RFC 9051 §5.2, §7.5.1), and commands end.
//!
//! Holds: EXPUNGE and VANISHED are sent only at the end of commands that allow it.
//! Other half: `selected`, which knows what is new.

use jmap_core::inproc::imap_view::{MailboxKey, ViewError};

use super::No;
use crate::encode::{Code, Status};
use crate::out::Out;
use crate::selected::{Applied, Manner, Ranges};
use crate::session::{Flow, Handled, Session};

/// Whether messages may lose their sequence numbers now. RFC 9051 §7.5.1: not while a command that names messages by them is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expunges {
    Told,
    Kept,
}

impl Expunges {
    /// For a command that has a UID form.
    pub fn of(uid: bool) -> Expunges {
        match uid {
            true => Expunges::Told,
            false => Expunges::Kept,
        }
    }
}

impl Session {
    /// How this client is told of messages.
    pub fn manner(&self) -> Manner {
        Manner {
            modseq: self.enabled.condstore || self.enabled.qresync,
            vanished: self.enabled.qresync,
            uid_only: self.enabled.uidonly,
            recent: !self.enabled.rev2,
            no_flags: self.of_selected().is_some_and(|of| !of.flags),
        }
    }

    /// Tells what has happened since the last time. A mailbox that is gone, or may not be read any more, is closed.
    pub async fn tell_changes(&mut self, out: &mut Out, expunges: Expunges) -> Applied {
        // RFC 5465 §3.1: who asks for nothing of the selected mailbox is told nothing.
        if self.of_selected().is_some_and(|of| !of.messages) {
            return Applied::default();
        }
        self.tell_all_changes(out, expunges).await
    }

    /// The same, whatever the client has asked for: what its own command has done.
    pub async fn tell_all_changes(&mut self, out: &mut Out, expunges: Expunges) -> Applied {
        let manner = self.manner();
        let (Some(selected), Some(caller)) = (&mut self.selected, &self.caller) else {
            return Applied::default();
        };
        let core = &self.server.core;
        match core
            .view_changes(caller, selected.key, selected.sequence())
            .await
        {
            Ok(delta) => {
                let may_expunge = expunges == Expunges::Told;
                let recents = &self.server.config.recents;
                let before = match selected.contexts.is_empty() {
                    true => None,
                    false => Some((selected.messages().clone(), out.buffer().len())),
                };
                let applied = selected.apply(delta, manner, may_expunge, recents, out.buffer());
                let mut wanted = Vec::new();
                if let Some((messages, place)) = before {
                    wanted = self.update_contexts(out, &applied, &messages, place).await;
                }
                self.show_new(out, &applied, wanted).await;
                if let Some(selected) = &mut self.selected {
                    selected.made = Ranges::default();
                }
                applied
            }
            Err(ViewError::NoSuchMailbox | ViewError::Forbidden(_)) => {
                self.selected = None;
                // RFC 9051 §3: the client is in the authenticated state again.
                let text = "The mailbox is not there any more";
                out.untagged(Status::Ok, Some(&Code::Closed), text);
                Applied::default()
            }
            // It will be told later.
            Err(_) => Applied::default(),
        }
    }

    /// Messages that this session has filed: they aren't shown to it (RFC 5465 §5.2).
    pub fn has_made(&mut self, mailbox: MailboxKey, uids: &[u32]) {
        let watches = self.watch.is_some();
        let selected = self.selected.as_mut();
        if let Some(selected) = selected.filter(|selected| watches && selected.key == mailbox) {
            uids.iter().for_each(|uid| selected.made.insert(*uid));
        }
    }

    /// Tells what has happened, then ends the command.
    pub async fn end(
        &mut self,
        out: &mut Out,
        tag: &str,
        expunges: Expunges,
        (status, code, text): (Status, Option<Code>, &str),
    ) -> Handled {
        self.tell_changes(out, expunges).await;
        out.tagged(tag, status, code.as_ref(), text);
        Ok(Flow::Continue)
    }

    /// Ends a command that the core could not carry out.
    pub async fn fail(
        &mut self,
        out: &mut Out,
        tag: &str,
        expunges: Expunges,
        error: &ViewError,
    ) -> Handled {
        let (code, text) = crate::translate::errors::view_error(error);
        self.end(out, tag, expunges, (Status::No, code, &text))
            .await
    }

    /// The same, for a reason that is words already.
    pub async fn refuse_because(
        &mut self,
        out: &mut Out,
        tag: &str,
        expunges: Expunges,
        why: No,
    ) -> Handled {
        match why {
            No::Because(code, text) => {
                self.end(out, tag, expunges, (Status::No, code, &text))
                    .await
            }
            No::Lost(error) => Err(error),
        }
    }

    /// RFC 7162 §3.1: the first command that makes a client aware of CONDSTORE is told the mailbox's HIGHESTMODSEQ.
    pub fn enable_condstore(&mut self, out: &mut Out) {
        if self.enabled.condstore || self.enabled.qresync {
            self.enabled.condstore = true;
            return;
        }
        self.enabled.condstore = true;
        if let Some(selected) = &self.selected {
            let code = Code::HighestModseq(selected.highest_modseq());
            out.untagged(Status::Ok, Some(&code), "Highest");
        }
    }

    /// RFC 9586 §3: after ENABLE UIDONLY no command may name messages by their numbers.
    pub fn refuses_numbers(&self, out: &mut Out, tag: &str, uid: bool) -> bool {
        if uid || !self.enabled.uidonly {
            return false;
        }
        let text = "UIDONLY is enabled: name messages by their UIDs";
        out.tagged(tag, Status::Bad, Some(&Code::UidRequired), text);
        true
    }
}
