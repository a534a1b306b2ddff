//! ACL, QUOTA and METADATA (RFC 4314, RFC 9208, RFC 5464).
//!
//! Holds: rights are lower-case letters and digits (RFC 4314 §3); entries are paths without wildcards (RFC 5464 §3.1).
//! Other half: `encode::access`.

use super::cursor::{Cursor, Parsed};
use crate::command::{AclChange, Command, MetadataDepth};

impl Cursor<'_> {
    /// `None`: not one of these.
    pub(crate) fn access_command(&mut self, name: &str) -> Parsed<Option<Command>> {
        const KNOWN: [&str; 9] = [
            "GETQUOTA",
            "GETQUOTAROOT",
            "SETQUOTA",
            "GETACL",
            "SETACL",
            "DELETEACL",
            "LISTRIGHTS",
            "MYRIGHTS",
            "SETMETADATA",
        ];
        if !KNOWN.contains(&name) {
            return Ok(None);
        }
        self.space()?;
        Ok(Some(match name {
            "GETQUOTA" => Command::GetQuota(self.text("a quota root")?),
            "GETQUOTAROOT" => Command::GetQuotaRoot(self.mailbox()?),
            "SETQUOTA" => self.set_quota()?,
            "GETACL" => Command::GetAcl(self.mailbox()?),
            "SETACL" => self.set_acl()?,
            "DELETEACL" => {
                let (mailbox, identifier) = self.mailbox_and_identifier()?;
                Command::DeleteAcl {
                    mailbox,
                    identifier,
                }
            }
            "LISTRIGHTS" => {
                let (mailbox, identifier) = self.mailbox_and_identifier()?;
                Command::ListRights {
                    mailbox,
                    identifier,
                }
            }
            "MYRIGHTS" => Command::MyRights(self.mailbox()?),
            _ => self.set_metadata()?,
        }))
    }

    fn set_quota(&mut self) -> Parsed<Command> {
        let root = self.text("a quota root")?;
        self.space()?;
        let limits = self.list(|cursor| {
            let resource = cursor.keyword("a quota resource")?;
            cursor.space()?;
            Ok((resource, cursor.number64("a limit")?))
        })?;
        Ok(Command::SetQuota { root, limits })
    }

    fn mailbox_and_identifier(&mut self) -> Parsed<(String, String)> {
        let mailbox = self.mailbox()?;
        self.space()?;
        let start = self.at;
        let identifier = self.text("an identifier")?;
        // It is told to others in ACL responses.
        if identifier.is_empty() || identifier.chars().any(char::is_control) {
            return self.want_at(start, "an identifier");
        }
        Ok((mailbox, identifier))
    }

    fn set_acl(&mut self) -> Parsed<Command> {
        let (mailbox, identifier) = self.mailbox_and_identifier()?;
        self.space()?;
        let start = self.at;
        let text = self.text("rights")?;
        let (change, rights) = match text.strip_prefix(['+', '-']) {
            Some(rights) if text.starts_with('+') => (AclChange::Add, rights),
            Some(rights) => (AclChange::Remove, rights),
            None => (AclChange::Replace, text.as_str()),
        };
        let is_right = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit();
        if !rights.bytes().all(is_right) {
            return self.want_at(start, "rights: lower-case letters and digits");
        }
        Ok(Command::SetAcl {
            mailbox,
            identifier,
            change,
            rights: rights.to_owned(),
        })
    }

    /// RFC 5464 §4.2. Its examples have the options before the mailbox and after it.
    pub(crate) fn get_metadata_command(&mut self) -> Parsed<Command> {
        self.space()?;
        let mut options = (None, MetadataDepth::Zero);
        if self.peek() == Some(b'(') {
            options = self.metadata_options()?;
            self.space()?;
        }
        let mailbox = self.mailbox()?;
        self.space()?;
        let before = self.at;
        if self.eat(b'(') {
            self.skip_spaces();
            let is_options = matches!(self.peek(), Some(b'M' | b'm' | b'D' | b'd'));
            self.at = before;
            if is_options {
                options = self.metadata_options()?;
                self.space()?;
            }
        }
        let entries = self.entries()?;
        let (max_size, depth) = options;
        Ok(Command::GetMetadata {
            mailbox,
            max_size,
            depth,
            entries,
        })
    }

    fn metadata_options(&mut self) -> Parsed<(Option<u64>, MetadataDepth)> {
        let mut max_size = None;
        let mut depth = MetadataDepth::Zero;
        self.full_list("MAXSIZE or DEPTH", |cursor| {
            let start = cursor.at;
            match cursor.keyword("MAXSIZE or DEPTH")?.as_str() {
                "MAXSIZE" => {
                    cursor.space()?;
                    max_size = Some(cursor.number64("a size in octets")?);
                }
                "DEPTH" => {
                    cursor.space()?;
                    let start = cursor.at;
                    depth = match cursor.keyword("0, 1 or infinity")?.as_str() {
                        "0" => MetadataDepth::Zero,
                        "1" => MetadataDepth::One,
                        "INFINITY" => MetadataDepth::Infinity,
                        _ => return cursor.want_at(start, "0, 1 or infinity"),
                    };
                }
                _ => return cursor.want_at(start, "MAXSIZE or DEPTH"),
            }
            Ok(())
        })?;
        Ok((max_size, depth))
    }

    /// One entry, or several in parentheses.
    pub(crate) fn entries(&mut self) -> Parsed<Vec<String>> {
        self.one_or_list("an entry such as /private/comment", Cursor::entry)
    }

    /// RFC 5464 §3.1: ASCII, in any letter case; in lower case here.
    fn entry(&mut self) -> Parsed<String> {
        const ENTRY: &str = "an entry such as /private/comment";
        let start = self.at;
        let entry = self.text(ENTRY)?;
        let is_part = |octet: u8| octet.is_ascii_graphic() && !matches!(octet, b'*' | b'%');
        let is_path = entry.starts_with('/') && !entry.ends_with('/') && !entry.contains("//");
        if !is_path || !entry.bytes().all(is_part) {
            return self.want_at(start, ENTRY);
        }
        Ok(entry.to_ascii_lowercase())
    }

    fn set_metadata(&mut self) -> Parsed<Command> {
        let mailbox = self.mailbox()?;
        self.space()?;
        let entries = self.full_list("an entry and its value", |cursor| {
            let entry = cursor.entry()?;
            cursor.space()?;
            Ok((entry, cursor.metadata_value()?))
        })?;
        Ok(Command::SetMetadata { mailbox, entries })
    }

    /// `nstring / literal8`
    fn metadata_value(&mut self) -> Parsed<Option<Vec<u8>>> {
        const VALUE: &str = "a string or NIL";
        if self.eat_word("NIL") {
            return Ok(None);
        }
        if self.is_literal() {
            let (octets, _) = self.literal(VALUE)?;
            return Ok(Some(octets.to_vec()));
        }
        self.string(VALUE).map(|octets| Some(octets.into_owned()))
    }
}
