//! NOTIFY (RFC 5465 §8).
//!
//! Holds: the rules of §5 on what goes with what, as far as they are the grammar's.
//! Other half: `commands::notify`.

use super::LIST_ITEMS_MAX;
use super::cursor::{Cursor, Parsed};
use crate::command::{Command, Notify, NotifyEvent, NotifyGroup, NotifyMailboxes};

impl Cursor<'_> {
    pub(crate) fn notify_command(&mut self) -> Parsed<Command> {
        if self.eat_word("NONE") {
            return Ok(Command::Notify(None));
        }
        if !self.eat_word("SET") {
            return self.want("SET or NONE");
        }
        self.space()?;
        let status = self.eat_word("STATUS");
        if status {
            self.space()?;
        }
        let groups = self.words(Cursor::notify_group)?;
        Ok(Command::Notify(Some(Notify { status, groups })))
    }

    fn notify_group(&mut self) -> Parsed<NotifyGroup> {
        self.expect(b'(', "( before a group of events")?;
        self.skip_spaces();
        let start = self.at;
        let mailboxes = self.notify_mailboxes()?;
        if matches!(mailboxes, NotifyMailboxes::SubtreeOne(_)) {
            return self.want_at(start, "mailboxes that NOTIFY knows");
        }
        self.space()?;
        let events = if self.eat_word("NONE") {
            Vec::new()
        } else if self.peek() == Some(b'(') {
            self.full_list("an event", Cursor::notify_event)?
        } else {
            // The examples of RFC 5465 §5 leave the parentheses out.
            self.bare_events()?
        };
        self.skip_spaces();
        self.expect(b')', ") after a group of events")?;
        Ok(NotifyGroup { mailboxes, events })
    }

    fn bare_events(&mut self) -> Parsed<Vec<NotifyEvent>> {
        let mut events = vec![self.notify_event()?];
        while self.peek() == Some(b' ') {
            self.skip_spaces();
            if self.peek() == Some(b')') {
                break;
            }
            if events.len() == LIST_ITEMS_MAX {
                return self.at_most(LIST_ITEMS_MAX, "items in a list");
            }
            events.push(self.notify_event()?);
        }
        Ok(events)
    }

    /// RFC 5465 §6, RFC 7377 §2.2
    pub(crate) fn notify_mailboxes(&mut self) -> Parsed<NotifyMailboxes> {
        const MAILBOXES: &str = "selected, inboxes, personal, subscribed, subtree or mailboxes";
        let start = self.at;
        let named: fn(Vec<String>) -> NotifyMailboxes = match self.keyword(MAILBOXES)?.as_str() {
            "SELECTED" => return Ok(NotifyMailboxes::Selected),
            "SELECTED-DELAYED" => return Ok(NotifyMailboxes::SelectedDelayed),
            "INBOXES" => return Ok(NotifyMailboxes::Inboxes),
            "PERSONAL" => return Ok(NotifyMailboxes::Personal),
            "SUBSCRIBED" => return Ok(NotifyMailboxes::Subscribed),
            "SUBTREE" => NotifyMailboxes::Subtree,
            "SUBTREE-ONE" => NotifyMailboxes::SubtreeOne,
            "MAILBOXES" => NotifyMailboxes::Mailboxes,
            _ => return self.want_at(start, MAILBOXES),
        };
        self.space()?;
        self.one_or_list("a mailbox name", Cursor::mailbox)
            .map(named)
    }

    fn notify_event(&mut self) -> Parsed<NotifyEvent> {
        let name = self.atom("an event")?;
        Ok(match name.to_ascii_uppercase().as_str() {
            "MESSAGENEW" => {
                let before = self.at;
                self.skip_spaces();
                let mut items = None;
                if self.peek() == Some(b'(') {
                    items = Some(self.full_list("an item to fetch", Cursor::fetch_item)?);
                } else {
                    self.at = before;
                }
                NotifyEvent::MessageNew(items)
            }
            "MESSAGEEXPUNGE" => NotifyEvent::MessageExpunge,
            "FLAGCHANGE" => NotifyEvent::FlagChange,
            "ANNOTATIONCHANGE" => NotifyEvent::AnnotationChange,
            "MAILBOXNAME" => NotifyEvent::MailboxName,
            "SUBSCRIPTIONCHANGE" => NotifyEvent::SubscriptionChange,
            "MAILBOXMETADATACHANGE" => NotifyEvent::MailboxMetadataChange,
            "SERVERMETADATACHANGE" => NotifyEvent::ServerMetadataChange,
            _ => NotifyEvent::Other(name.to_owned()),
        })
    }
}
