//! The maildrop of a session (RFC 1939 §5): what there was at login, and what is marked as deleted.
//!
//! Holds: message numbers never change; a message that is marked is not there for any command but RSET and QUIT.
//! Other half: `commands`, which answers from it.

use jmap_core::inproc::imap_view::{self, MailboxKey, MaildropMessage};

/// A message and its number, which begins with 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered {
    pub number: u32,
    pub message: MaildropMessage,
}

/// What a session works on.
#[derive(Clone, Debug)]
pub struct Maildrop {
    pub key: MailboxKey,
    uid_validity: u32,
    messages: Vec<MaildropMessage>,
    /// One for each message.
    marked: Vec<bool>,
}

impl Maildrop {
    pub fn new(opened: imap_view::Maildrop) -> Maildrop {
        Maildrop {
            key: opened.key,
            uid_validity: opened.uid_validity,
            marked: vec![false; opened.messages.len()],
            messages: opened.messages,
        }
    }

    /// The message with a number, unless it is marked.
    pub fn get(&self, number: u32) -> Option<Numbered> {
        let at = usize::try_from(number.checked_sub(1)?).ok()?;
        let message = *self.messages.get(at)?;
        let marked = self.marked.get(at).copied().unwrap_or(true);
        (!marked).then_some(Numbered { number, message })
    }

    /// The messages that are not marked.
    pub fn all(&self) -> impl Iterator<Item = Numbered> {
        let numbered = (1u32..).zip(&self.messages).zip(&self.marked);
        numbered
            .filter(|(_, marked)| !**marked)
            .map(|((number, &message), _)| Numbered { number, message })
    }

    /// How many are not marked, and their octets.
    pub fn totals(&self) -> (usize, u64) {
        self.all().fold((0, 0), |(count, octets), numbered| {
            (count + 1, octets + u64::from(numbered.message.size))
        })
    }

    /// Marks a message; false: there is none.
    pub fn mark(&mut self, number: u32) -> bool {
        if self.get(number).is_none() {
            return false;
        }
        let at = usize::try_from(number - 1).unwrap_or(usize::MAX);
        match self.marked.get_mut(at) {
            Some(marked) => {
                *marked = true;
                true
            }
            None => false,
        }
    }

    pub fn unmark_all(&mut self) {
        self.marked.fill(false);
    }

    /// UID and email of each that is marked.
    pub fn marked(&self) -> Vec<(u32, u64)> {
        let all = self.messages.iter().zip(&self.marked);
        let marked = all.filter(|(_, marked)| **marked);
        marked.map(|(m, _)| (m.uid, m.email)).collect()
    }

    /// RFC 1939 §7: the same in every session, and never another message's. UIDs are unique within a mailbox and its
    /// UIDVALIDITY (RFC 9051 §2.3.1.1); the mailbox is in it as another one may become the inbox.
    pub fn unique_id(&self, message: &MaildropMessage) -> String {
        format!("{}-{}-{}", self.key.mailbox, self.uid_validity, message.uid)
    }
}

#[cfg(test)]
mod tests {
    use jmap_types::AccountId;

    use super::*;

    fn maildrop(sizes: &[u32]) -> Maildrop {
        let messages = (1u32..).zip(sizes).map(|(uid, &size)| MaildropMessage {
            uid: uid * 10,
            email: u64::from(uid) + 100,
            size,
        });
        Maildrop::new(imap_view::Maildrop {
            key: MailboxKey {
                account: AccountId::new(1),
                mailbox: 7,
            },
            uid_validity: 1_700_000_000,
            messages: messages.collect(),
        })
    }

    #[test]
    fn marked_messages_are_not_there_until_they_are_unmarked() {
        let mut drop = maildrop(&[100, 20, 3]);
        assert_eq!(drop.totals(), (3, 123));
        assert!(drop.mark(2));
        assert!(!drop.mark(2));
        assert_eq!(drop.totals(), (2, 103));
        assert_eq!(drop.get(2), None);
        assert_eq!(drop.all().map(|n| n.number).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(drop.marked(), [(20, 102)]);
        drop.unmark_all();
        assert_eq!(drop.totals(), (3, 123));
        assert!(drop.marked().is_empty());
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        let mut drop = maildrop(&[1]);
        for number in [0, 2, u32::MAX] {
            assert_eq!(drop.get(number), None);
            assert!(!drop.mark(number));
        }
    }

    #[test]
    fn unique_ids_are_printable_and_at_most_70_octets() {
        let mut drop = maildrop(&[1]);
        drop.key.mailbox = u64::MAX;
        drop.uid_validity = u32::MAX;
        let message = MaildropMessage {
            uid: u32::MAX,
            email: 1,
            size: 1,
        };
        let id = drop.unique_id(&message);
        assert_eq!(id, "18446744073709551615-4294967295-4294967295");
        assert!(id.len() <= 70 && id.bytes().all(|b| b.is_ascii_graphic()));
    }
}
