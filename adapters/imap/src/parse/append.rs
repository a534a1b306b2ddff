//! APPEND and REPLACE (RFC 9051 §6.3.12, RFC 3502, RFC 3516, RFC 4469, RFC 6855 §4, RFC 8508).
//!
//! Holds: a message is there, as a literal or as parts to be put together.
//! Other half: `commands::append`.

use super::APPEND_MESSAGES_MAX;
use super::cursor::{Cursor, Parsed};
use crate::command::{AppendMessage, AppendSource, CatenatePart, Command};

const MESSAGE: &str = "a literal with a message, CATENATE or UTF8";

impl Cursor<'_> {
    pub(crate) fn append_command(&mut self) -> Parsed<Command> {
        let mailbox = self.mailbox()?;
        self.space()?;
        let mut messages = vec![self.append_message()?];
        while self.has_more() {
            if messages.len() == APPEND_MESSAGES_MAX {
                return self.at_most(APPEND_MESSAGES_MAX, "messages in APPEND");
            }
            // Without the space it is still plain where the next message begins.
            self.skip_spaces();
            messages.push(self.append_message()?);
        }
        Ok(Command::Append { mailbox, messages })
    }

    pub(crate) fn replace_command(&mut self, uid: bool) -> Parsed<Command> {
        self.space()?;
        let number = self.sequence_number("the number of a message")?;
        self.space()?;
        let mailbox = self.mailbox()?;
        self.space()?;
        let message = self.append_message()?;
        Ok(Command::Replace {
            uid,
            number,
            mailbox,
            message,
        })
    }

    fn append_message(&mut self) -> Parsed<AppendMessage> {
        let mut flags = Vec::new();
        if self.peek() == Some(b'(') {
            flags = self.list(Cursor::flag)?;
            self.space()?;
        }
        let mut date = None;
        if self.peek() == Some(b'"') {
            date = Some(self.date_time()?);
            self.space()?;
        }
        let source = self.append_source()?;
        Ok(AppendMessage {
            flags,
            date,
            source,
        })
    }

    fn append_source(&mut self) -> Parsed<AppendSource> {
        if self.is_literal() {
            let (octets, is_binary) = self.literal(MESSAGE)?;
            return Ok(AppendSource::Message {
                octets: octets.to_vec(),
                is_binary,
                is_utf8: false,
            });
        }
        if self.eat_word("UTF8") {
            self.space()?;
            return Ok(AppendSource::Message {
                octets: self.utf8_literal()?,
                is_binary: true,
                is_utf8: true,
            });
        }
        if self.eat_word("CATENATE") {
            self.space()?;
            let parts = self.full_list("TEXT or URL", Cursor::catenate_part)?;
            return Ok(AppendSource::Catenate(parts));
        }
        self.want(MESSAGE)
    }

    /// `(~{n}...)`; a literal that is none of BINARY's is taken too.
    fn utf8_literal(&mut self) -> Parsed<Vec<u8>> {
        self.expect(b'(', "( after UTF8")?;
        self.skip_spaces();
        let (octets, _) = self.literal("a literal after UTF8 (")?;
        self.skip_spaces();
        self.expect(b')', ") after UTF8's literal")?;
        Ok(octets.to_vec())
    }

    fn catenate_part(&mut self) -> Parsed<CatenatePart> {
        if self.eat_word("TEXT") {
            self.space()?;
            let (octets, _) = self.literal("a literal after TEXT")?;
            return Ok(CatenatePart::Text(octets.to_vec()));
        }
        if self.eat_word("UTF8") {
            self.space()?;
            return self.utf8_literal().map(CatenatePart::Text);
        }
        if self.eat_word("URL") {
            self.space()?;
            return self.text("a URL").map(CatenatePart::Url);
        }
        self.want("TEXT or URL")
    }
}
