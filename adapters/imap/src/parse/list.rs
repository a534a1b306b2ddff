//! LIST and LSUB (RFC 9051 §6.3.9, RFC 5258, RFC 5819, RFC 6154, RFC 8440, RFC 9590).
//!
//! Holds: RECURSIVEMATCH has an option beside it that it can be about (RFC 5258 §3.5).
//! Other half: `commands::list`.

use super::cursor::{Cursor, Parsed};
use crate::command::{Command, List};

impl Cursor<'_> {
    pub(crate) fn list_command(&mut self) -> Parsed<Command> {
        let mut list = List::default();
        if self.peek() == Some(b'(') {
            list.extended = true;
            self.selection_options(&mut list)?;
            self.space()?;
        }
        list.reference = self.reference()?;
        self.space()?;
        // RFC 5258 §3: several patterns make it an extended LIST too.
        list.extended |= self.peek() == Some(b'(');
        list.patterns = self.one_or_list("a pattern", Cursor::pattern)?;
        if self.has_more() {
            self.space()?;
            if !self.eat_word("RETURN") {
                return self.want("RETURN");
            }
            self.skip_spaces();
            list.extended = true;
            self.list(|cursor| cursor.return_option(&mut list))?;
        }
        Ok(Command::List(list))
    }

    pub(crate) fn lsub_command(&mut self) -> Parsed<Command> {
        let reference = self.reference()?;
        self.space()?;
        let pattern = self.pattern()?;
        Ok(Command::Lsub { reference, pattern })
    }

    fn reference(&mut self) -> Parsed<String> {
        let start = self.at;
        let octets = self.astring("a reference name, such as \"\"")?;
        self.mailbox_name(start, &octets)
    }

    fn pattern(&mut self) -> Parsed<String> {
        let start = self.at;
        let octets = self.list_mailbox("a pattern")?;
        self.mailbox_name(start, &octets)
    }

    fn selection_options(&mut self, list: &mut List) -> Parsed<()> {
        let start = self.at;
        self.list(|cursor| cursor.selection_option(list))?;
        // SPECIAL-USE is no base for it (RFC 6154 §6).
        if list.select_recursive_match && !list.select_subscribed {
            return self.want_at(start, "SUBSCRIBED beside RECURSIVEMATCH");
        }
        Ok(())
    }

    fn selection_option(&mut self, list: &mut List) -> Parsed<()> {
        let start = self.at;
        match self.keyword("a selection option")?.as_str() {
            "SUBSCRIBED" => list.select_subscribed = true,
            "REMOTE" => list.select_remote = true,
            "RECURSIVEMATCH" => list.select_recursive_match = true,
            "SPECIAL-USE" => list.select_special_use = true,
            _ => return self.want_at(start, "a selection option"),
        }
        Ok(())
    }

    fn return_option(&mut self, list: &mut List) -> Parsed<()> {
        let start = self.at;
        match self.keyword("a return option")?.as_str() {
            "SUBSCRIBED" => list.return_subscribed = true,
            "CHILDREN" => list.return_children = true,
            "SPECIAL-USE" => list.return_special_use = true,
            "MYRIGHTS" => list.return_my_rights = true,
            "STATUS" => {
                self.space()?;
                list.return_status = Some(self.status_items()?);
            }
            "METADATA" => {
                self.space()?;
                list.return_metadata = Some(self.entries()?);
            }
            _ => return self.want_at(start, "a return option"),
        }
        Ok(())
    }
}
