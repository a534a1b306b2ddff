//! The commands about mailboxes (RFC 9051 §6.3.2-§6.3.11, RFC 6154, RFC 7162). LIST is in `list`.
//!
//! Holds: names are decoded.
//! Other half: `encode::mailbox`.

use super::cursor::{Cursor, Parsed};
use crate::command::{Command, Qresync, SelectParameters, StatusItem};

impl Cursor<'_> {
    /// `None`: not one of these.
    pub(crate) fn mailbox_command(&mut self, name: &str) -> Parsed<Option<Command>> {
        const KNOWN: [&str; 10] = [
            "SELECT",
            "EXAMINE",
            "CREATE",
            "DELETE",
            "RENAME",
            "SUBSCRIBE",
            "UNSUBSCRIBE",
            "LIST",
            "LSUB",
            "STATUS",
        ];
        if !KNOWN.contains(&name) {
            return Ok(None);
        }
        self.space()?;
        Ok(Some(match name {
            "SELECT" => self.select(false)?,
            "EXAMINE" => self.select(true)?,
            "CREATE" => self.create()?,
            "DELETE" => Command::Delete(self.mailbox()?),
            "RENAME" => self.rename()?,
            "SUBSCRIBE" => Command::Subscribe(self.mailbox()?),
            "UNSUBSCRIBE" => Command::Unsubscribe(self.mailbox()?),
            "LIST" => self.list_command()?,
            "LSUB" => self.lsub_command()?,
            _ => self.status()?,
        }))
    }

    fn select(&mut self, read_only: bool) -> Parsed<Command> {
        let mailbox = self.mailbox()?;
        let mut parameters = SelectParameters::default();
        if self.has_more() {
            self.space()?;
            self.full_list("CONDSTORE or QRESYNC", |cursor| {
                cursor.select_parameter(&mut parameters)
            })?;
        }
        Ok(Command::Select {
            mailbox,
            read_only,
            parameters,
        })
    }

    fn select_parameter(&mut self, parameters: &mut SelectParameters) -> Parsed<()> {
        if self.eat_word("CONDSTORE") {
            parameters.condstore = true;
            return Ok(());
        }
        if self.eat_word("QRESYNC") {
            self.space()?;
            parameters.qresync = Some(self.qresync()?);
            return Ok(());
        }
        self.want("CONDSTORE or QRESYNC")
    }

    /// RFC 7162 §3.2.5: `(uidvalidity modseq [known-uids] [(numbers uids)])`
    fn qresync(&mut self) -> Parsed<Qresync> {
        self.expect(b'(', "(")?;
        self.skip_spaces();
        let uid_validity = self.nz_number("a UIDVALIDITY")?;
        self.space()?;
        let mut qresync = Qresync {
            uid_validity,
            modseq: self.number64("a mod-sequence")?,
            known_uids: None,
            matching: None,
        };
        self.skip_spaces();
        if self.peek().is_some_and(|octet| octet.is_ascii_digit()) {
            qresync.known_uids = Some(self.known_set()?);
            self.skip_spaces();
        }
        if self.eat(b'(') {
            self.skip_spaces();
            let numbers = self.known_set()?;
            self.space()?;
            qresync.matching = Some((numbers, self.known_set()?));
            self.skip_spaces();
            self.expect(b')', ") after the UIDs of sequence numbers")?;
            self.skip_spaces();
        }
        self.expect(b')', ") after QRESYNC's parameters")?;
        Ok(qresync)
    }

    /// RFC 6154 §3: `CREATE name (USE (\Sent))`
    fn create(&mut self) -> Parsed<Command> {
        let mailbox = self.mailbox()?;
        let mut uses = Vec::new();
        if self.has_more() {
            self.space()?;
            self.full_list("USE", |cursor| {
                if !cursor.eat_word("USE") {
                    return cursor.want("USE");
                }
                cursor.space()?;
                uses = cursor.list(|cursor| {
                    if cursor.peek() != Some(b'\\') {
                        return cursor.want("a special use such as \\Sent");
                    }
                    cursor.flag()
                })?;
                Ok(())
            })?;
        }
        Ok(Command::Create { mailbox, uses })
    }

    fn rename(&mut self) -> Parsed<Command> {
        let from = self.mailbox()?;
        self.space()?;
        let to = self.mailbox()?;
        Ok(Command::Rename { from, to })
    }

    fn status(&mut self) -> Parsed<Command> {
        let mailbox = self.mailbox()?;
        self.space()?;
        let items = self.status_items()?;
        Ok(Command::Status { mailbox, items })
    }

    pub(crate) fn status_items(&mut self) -> Parsed<Vec<StatusItem>> {
        self.full_list("a status item", Cursor::status_item)
    }

    fn status_item(&mut self) -> Parsed<StatusItem> {
        let start = self.at;
        Ok(match self.keyword("a status item")?.as_str() {
            "MESSAGES" => StatusItem::Messages,
            "RECENT" => StatusItem::Recent,
            "UIDNEXT" => StatusItem::UidNext,
            "UIDVALIDITY" => StatusItem::UidValidity,
            "UNSEEN" => StatusItem::Unseen,
            "DELETED" => StatusItem::Deleted,
            "SIZE" => StatusItem::Size,
            "HIGHESTMODSEQ" => StatusItem::HighestModseq,
            "APPENDLIMIT" => StatusItem::AppendLimit,
            "MAILBOXID" => StatusItem::MailboxId,
            "DELETED-STORAGE" => StatusItem::DeletedStorage,
            _ => return self.want_at(start, "a status item"),
        })
    }
}
