//! FETCH, STORE, COPY and MOVE (RFC 9051 §6.4.5-§6.4.8, RFC 3516, RFC 7162, RFC 8474, RFC 8514, RFC 8970, RFC 9394).
//!
//! Holds: a section is one that a message can have (RFC 9051 §6.4.5.1).
//! Other half: `encode::fetch`, which writes the same names.

use super::cursor::{Cursor, Parsed};
use super::{LIST_ITEMS_MAX, PART_DEPTH_MAX};
use crate::command::{
    Command, Fetch, FetchItem, FlagChange, MailboxName, Section, SectionText, SequenceSet, Store,
};

const ITEM: &str = "an item to fetch";

impl<'a> Cursor<'a> {
    pub(crate) fn set_and_mailbox(&mut self) -> Parsed<(SequenceSet, MailboxName)> {
        self.space()?;
        let set = self.sequence_set()?;
        self.space()?;
        Ok((set, self.mailbox()?))
    }

    pub(crate) fn fetch_command(&mut self, uid: bool) -> Parsed<Command> {
        self.space()?;
        let set = self.sequence_set()?;
        self.space()?;
        let mut fetch = Fetch::default();
        if self.peek() == Some(b'(') {
            self.full_list(ITEM, |cursor| {
                let item = cursor.fetch_item_or_macro(&mut fetch.items);
                if fetch.items.len() > LIST_ITEMS_MAX {
                    return cursor.at_most(LIST_ITEMS_MAX, "items in a list");
                }
                item
            })?;
        } else {
            self.fetch_item_or_macro(&mut fetch.items)?;
        }
        if self.has_more() {
            self.space()?;
            self.full_list("a modifier of FETCH", |cursor| {
                cursor.fetch_modifier(&mut fetch)
            })?;
        }
        Ok(Command::Fetch { uid, set, fetch })
    }

    /// The macros (RFC 9051 §6.4.5) are for FETCH alone, outside of a list; in one, they are not held against the client.
    fn fetch_item_or_macro(&mut self, items: &mut Vec<FetchItem>) -> Parsed<()> {
        const FAST: [FetchItem; 3] = [
            FetchItem::Flags,
            FetchItem::InternalDate,
            FetchItem::Rfc822Size,
        ];
        let before = self.at;
        match self.take_while(|octet| octet.is_ascii_alphabetic()) {
            word if word.eq_ignore_ascii_case(b"FAST") => items.extend(FAST),
            word if word.eq_ignore_ascii_case(b"ALL") => {
                items.extend(FAST);
                items.push(FetchItem::Envelope);
            }
            word if word.eq_ignore_ascii_case(b"FULL") => {
                items.extend(FAST);
                items.extend([FetchItem::Envelope, FetchItem::Body]);
            }
            _ => {
                self.at = before;
                items.push(self.fetch_item()?);
            }
        }
        Ok(())
    }

    fn fetch_modifier(&mut self, fetch: &mut Fetch) -> Parsed<()> {
        let start = self.at;
        match self.keyword("a modifier of FETCH")?.as_str() {
            "CHANGEDSINCE" => {
                self.space()?;
                fetch.changed_since = Some(self.number64("a mod-sequence")?);
            }
            "VANISHED" => fetch.vanished = true,
            "PARTIAL" => {
                self.space()?;
                fetch.partial = Some(self.partial_range()?);
            }
            _ => {
                return self.want_at(start, "CHANGEDSINCE, VANISHED or PARTIAL");
            }
        }
        Ok(())
    }

    pub(crate) fn fetch_item(&mut self) -> Parsed<FetchItem> {
        let start = self.at;
        let name = self
            .take_while(|octet| octet.is_ascii_alphanumeric() || octet == b'.')
            .to_ascii_uppercase();
        let has_section = self.peek() == Some(b'[');
        Ok(match name.as_slice() {
            b"UID" => FetchItem::Uid,
            b"FLAGS" => FetchItem::Flags,
            b"INTERNALDATE" => FetchItem::InternalDate,
            b"RFC822.SIZE" => FetchItem::Rfc822Size,
            b"ENVELOPE" => FetchItem::Envelope,
            b"BODYSTRUCTURE" => FetchItem::BodyStructure,
            b"MODSEQ" => FetchItem::Modseq,
            b"EMAILID" => FetchItem::EmailId,
            b"THREADID" => FetchItem::ThreadId,
            b"SAVEDATE" => FetchItem::SaveDate,
            b"PREVIEW" => self.preview()?,
            b"RFC822" => FetchItem::Rfc822,
            b"RFC822.HEADER" => FetchItem::Rfc822Header,
            b"RFC822.TEXT" => FetchItem::Rfc822Text,
            b"BODY" if !has_section => FetchItem::Body,
            b"BODY" | b"BODY.PEEK" if has_section => FetchItem::Section {
                section: self.section()?,
                partial: self.partial()?,
                peek: name == b"BODY.PEEK",
            },
            b"BINARY" | b"BINARY.PEEK" if has_section => FetchItem::Binary {
                part: self.section_binary()?,
                partial: self.partial()?,
                peek: name == b"BINARY.PEEK",
            },
            b"BINARY.SIZE" if has_section => FetchItem::BinarySize(self.section_binary()?),
            _ => return self.want_at(start, ITEM),
        })
    }

    /// `PREVIEW (LAZY)`. A `(` that is no list of modifiers, such as `PREVIEW (CHANGEDSINCE 1)`, is FETCH's own.
    fn preview(&mut self) -> Parsed<FetchItem> {
        let before = self.at;
        self.skip_spaces();
        if self.eat(b'(') {
            self.skip_spaces();
            if self.eat_word("LAZY") {
                self.skip_spaces();
                self.expect(b')', ") after LAZY")?;
                return Ok(FetchItem::Preview);
            }
        }
        self.at = before;
        Ok(FetchItem::Preview)
    }

    /// `<0.1024>`
    fn partial(&mut self) -> Parsed<Option<(u64, u64)>> {
        if !self.eat(b'<') {
            return Ok(None);
        }
        let offset = self.number64("an offset")?;
        self.expect(b'.', ". in a partial range")?;
        let length = self.nz_number64("a length above 0")?;
        self.expect(b'>', "> after a partial range")?;
        Ok(Some((offset, length)))
    }

    fn section_binary(&mut self) -> Parsed<Vec<u32>> {
        self.expect(b'[', "[")?;
        let part = if self.peek() == Some(b']') {
            Vec::new()
        } else {
            self.part()?
        };
        self.expect(b']', "] after a section")?;
        Ok(part)
    }

    /// `1.2.3`, and no more than the numbers.
    fn part(&mut self) -> Parsed<Vec<u32>> {
        let mut part = vec![self.nz_number("the number of a part")?];
        while let [b'.', b'0'..=b'9', ..] = self.rest() {
            if part.len() == PART_DEPTH_MAX {
                return self.at_most(PART_DEPTH_MAX, "numbers in a part");
            }
            self.at += 1;
            part.push(self.nz_number("the number of a part")?);
        }
        Ok(part)
    }

    /// `[1.2.HEADER.FIELDS (From)]`
    pub(crate) fn section(&mut self) -> Parsed<Section> {
        self.expect(b'[', "[")?;
        let mut section = Section::default();
        if self.eat(b']') {
            return Ok(section);
        }
        let mut has_text = true;
        if self.peek().is_some_and(|octet| octet.is_ascii_digit()) {
            section.part = self.part()?;
            has_text = self.eat(b'.');
        }
        if has_text {
            section.text = Some(self.section_text(!section.part.is_empty())?);
        }
        self.skip_spaces();
        self.expect(b']', "] after a section")?;
        Ok(section)
    }

    fn section_text(&mut self, of_part: bool) -> Parsed<SectionText> {
        let start = self.at;
        let name = self
            .take_while(|octet| octet.is_ascii_alphabetic() || octet == b'.')
            .to_ascii_uppercase();
        Ok(match name.as_slice() {
            b"HEADER" => SectionText::Header,
            b"TEXT" => SectionText::Text,
            // RFC 9051 §6.4.5.1: MIME has to have a part number before it.
            b"MIME" if of_part => SectionText::Mime,
            b"HEADER.FIELDS" => SectionText::HeaderFields(self.header_names()?),
            b"HEADER.FIELDS.NOT" => SectionText::HeaderFieldsNot(self.header_names()?),
            _ => return self.want_at(start, "HEADER, HEADER.FIELDS, TEXT or MIME"),
        })
    }

    fn header_names(&mut self) -> Parsed<Vec<String>> {
        self.skip_spaces();
        self.full_list("the name of a header field", Cursor::header_name)
    }

    /// RFC 5322 §3.6.8: printable, without a colon.
    pub(crate) fn header_name(&mut self) -> Parsed<String> {
        let start = self.at;
        let name = self.text("the name of a header field")?;
        let is_part = |octet: u8| octet.is_ascii_graphic() && octet != b':';
        if name.is_empty() || !name.bytes().all(is_part) {
            return self.want_at(start, "the name of a header field");
        }
        Ok(name)
    }

    pub(crate) fn store_command(&mut self, uid: bool) -> Parsed<Command> {
        self.space()?;
        let set = self.sequence_set()?;
        self.space()?;
        let mut unchanged_since = None;
        if self.peek() == Some(b'(') {
            self.full_list("UNCHANGEDSINCE", |cursor| {
                if !cursor.eat_word("UNCHANGEDSINCE") {
                    return cursor.want("UNCHANGEDSINCE");
                }
                cursor.space()?;
                unchanged_since = Some(cursor.number64("a mod-sequence")?);
                Ok(())
            })?;
            self.space()?;
        }
        let change = if self.eat(b'+') {
            FlagChange::Add
        } else if self.eat(b'-') {
            FlagChange::Remove
        } else {
            FlagChange::Replace
        };
        let silent = match self.keyword("FLAGS")?.as_str() {
            "FLAGS" => false,
            "FLAGS.SILENT" => true,
            _ => return self.want("FLAGS or FLAGS.SILENT"),
        };
        self.space()?;
        let flags = if self.peek() == Some(b'(') {
            self.list(Cursor::flag)?
        } else {
            self.words(Cursor::flag)?
        };
        let store = Store {
            change,
            silent,
            flags,
            unchanged_since,
        };
        Ok(Command::Store { uid, set, store })
    }
}

/// A section and nothing else, without brackets: `1.2.MIME`.
pub fn section(octets: &[u8]) -> Option<Section> {
    let octets = [b"[", octets, b"]"].concat();
    let mut cursor = Cursor::new(&octets, super::Mode::default());
    let section = cursor.section().ok()?;
    cursor.rest().is_empty().then_some(section)
}
