//! Search keys (RFC 9051 §6.4.4, RFC 5032, RFC 6203, RFC 7162, RFC 8474, RFC 8514).
//!
//! Holds: at most [`SEARCH_DEPTH_MAX`] deep and [`SEARCH_KEYS_MAX`] in all.
//! Other half: `translate::search`.

use super::cursor::{Cursor, Parsed};
use super::search::Charset;
use super::{SEARCH_DEPTH_MAX, SEARCH_KEYS_MAX};
use crate::command::SearchKey;

/// RFC 8474 §7
const OBJECT_ID_OCTETS_MAX: usize = 255;

/// What there is to know on the way down.
#[derive(Clone, Copy)]
struct Level {
    charset: Charset,
    depth: usize,
}

impl Cursor<'_> {
    /// The keys up to the end of the command.
    pub(crate) fn search_program(&mut self, charset: Charset) -> Parsed<SearchKey> {
        self.search_keys(Level { charset, depth: 0 })
    }

    /// One or more, up to `)` or the end. All have to match.
    fn search_keys(&mut self, level: Level) -> Parsed<SearchKey> {
        self.skip_spaces();
        let first = self.search_key(level)?;
        let mut keys = Vec::new();
        loop {
            let before = self.at;
            self.skip_spaces();
            if matches!(self.peek(), None | Some(b')')) {
                break;
            }
            if self.at == before {
                return self.want("a space between search keys");
            }
            keys.push(self.search_key(level)?);
        }
        if keys.is_empty() {
            return Ok(first);
        }
        keys.insert(0, first);
        Ok(SearchKey::And(keys))
    }

    fn search_key(&mut self, level: Level) -> Parsed<SearchKey> {
        self.search_keys_seen += 1;
        if self.search_keys_seen > SEARCH_KEYS_MAX {
            return self.at_most(SEARCH_KEYS_MAX, "search keys");
        }
        match self.peek() {
            Some(b'(') => {
                let level = self.below(level)?;
                self.at += 1;
                let key = self.search_keys(level)?;
                self.expect(b')', ") after search keys")?;
                return Ok(key);
            }
            Some(b'0'..=b'9' | b'*' | b'$') => return self.sequence_set().map(SearchKey::Sequence),
            _ => {}
        }
        let start = self.at;
        let name = self.keyword("a search key")?;
        if let Some(key) = alone(&name) {
            return Ok(key);
        }
        if let Some(key) = self.key_of_keys(&name, level)? {
            return Ok(key);
        }
        if let Some(key) = self.key_of_text(&name, level.charset)? {
            return Ok(key);
        }
        if let Some(key) = self.key_of_date(&name)? {
            return Ok(key);
        }
        match self.key_of_other(&name)? {
            Some(key) => Ok(key),
            None => self.want_at(start, "a search key"),
        }
    }

    fn below(&self, level: Level) -> Parsed<Level> {
        if level.depth == SEARCH_DEPTH_MAX {
            return self.at_most(SEARCH_DEPTH_MAX, "search keys inside of each other");
        }
        Ok(Level {
            depth: level.depth + 1,
            ..level
        })
    }

    fn inner_key(&mut self, level: Level) -> Parsed<Box<SearchKey>> {
        let level = self.below(level)?;
        self.space()?;
        self.search_key(level).map(Box::new)
    }

    fn key_of_keys(&mut self, name: &str, level: Level) -> Parsed<Option<SearchKey>> {
        Ok(Some(match name {
            "NOT" => SearchKey::Not(self.inner_key(level)?),
            "OR" => SearchKey::Or(self.inner_key(level)?, self.inner_key(level)?),
            "FUZZY" => SearchKey::Fuzzy(self.inner_key(level)?),
            _ => return Ok(None),
        }))
    }

    fn key_of_text(&mut self, name: &str, charset: Charset) -> Parsed<Option<SearchKey>> {
        let key: fn(String) -> SearchKey = match name {
            "BCC" => SearchKey::Bcc,
            "CC" => SearchKey::Cc,
            "FROM" => SearchKey::From,
            "TO" => SearchKey::To,
            "SUBJECT" => SearchKey::Subject,
            "BODY" => SearchKey::Body,
            "TEXT" => SearchKey::Text,
            "HEADER" => {
                self.space()?;
                let name = self.header_name()?;
                self.space()?;
                let text = self.search_text(charset)?;
                return Ok(Some(SearchKey::Header(name, text)));
            }
            _ => return Ok(None),
        };
        self.space()?;
        self.search_text(charset).map(key).map(Some)
    }

    fn search_text(&mut self, charset: Charset) -> Parsed<String> {
        let start = self.at;
        let octets = self.astring("a text to search for")?;
        if charset == Charset::UsAscii && !octets.is_ascii() {
            return self.bad_charset(start, "a text in US-ASCII");
        }
        match String::from_utf8(octets.into_owned()) {
            Ok(text) => Ok(text),
            Err(_) => self.bad_charset(start, "a text in UTF-8"),
        }
    }

    fn key_of_date(&mut self, name: &str) -> Parsed<Option<SearchKey>> {
        let key: fn(i64) -> SearchKey = match name {
            "BEFORE" => SearchKey::Before,
            "ON" => SearchKey::On,
            "SINCE" => SearchKey::Since,
            "SENTBEFORE" => SearchKey::SentBefore,
            "SENTON" => SearchKey::SentOn,
            "SENTSINCE" => SearchKey::SentSince,
            "SAVEDBEFORE" => SearchKey::SavedBefore,
            "SAVEDON" => SearchKey::SavedOn,
            "SAVEDSINCE" => SearchKey::SavedSince,
            _ => return Ok(None),
        };
        self.space()?;
        self.date().map(key).map(Some)
    }

    fn key_of_other(&mut self, name: &str) -> Parsed<Option<SearchKey>> {
        const KNOWN: [&str; 10] = [
            "KEYWORD",
            "UNKEYWORD",
            "OLDER",
            "YOUNGER",
            "LARGER",
            "SMALLER",
            "UID",
            "MODSEQ",
            "EMAILID",
            "THREADID",
        ];
        if !KNOWN.contains(&name) {
            return Ok(None);
        }
        self.space()?;
        Ok(Some(match name {
            "KEYWORD" => SearchKey::Keyword(self.flag()?),
            "UNKEYWORD" => SearchKey::Unkeyword(self.flag()?),
            "OLDER" => SearchKey::Older(self.nz_number("seconds")?),
            "YOUNGER" => SearchKey::Younger(self.nz_number("seconds")?),
            "LARGER" => SearchKey::Larger(self.number64("a size in octets")?),
            "SMALLER" => SearchKey::Smaller(self.number64("a size in octets")?),
            "UID" => SearchKey::Uid(self.sequence_set()?),
            "EMAILID" => SearchKey::EmailId(self.object_id()?),
            "THREADID" => SearchKey::ThreadId(self.object_id()?),
            _ => self.modseq_key()?,
        }))
    }

    /// RFC 7162 §3.1.5: `MODSEQ "/flags/\\draft" all 620162338`
    fn modseq_key(&mut self) -> Parsed<SearchKey> {
        if self.peek() == Some(b'"') {
            self.string("a metadata item's name")?;
            self.space()?;
            let start = self.at;
            match self.keyword("priv, shared or all")?.as_str() {
                "PRIV" | "SHARED" | "ALL" => {}
                _ => return self.want_at(start, "priv, shared or all"),
            }
            self.space()?;
        }
        self.number64("a mod-sequence").map(SearchKey::Modseq)
    }

    fn object_id(&mut self) -> Parsed<String> {
        let start = self.at;
        let id = self.text("an object identifier")?;
        let is_part = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'-');
        if id.is_empty() || id.len() > OBJECT_ID_OCTETS_MAX || !id.bytes().all(is_part) {
            return self.want_at(start, "an object identifier");
        }
        Ok(id)
    }
}

/// The keys that are only a word.
fn alone(name: &str) -> Option<SearchKey> {
    Some(match name {
        "ALL" => SearchKey::All,
        "ANSWERED" => SearchKey::Answered,
        "DELETED" => SearchKey::Deleted,
        "DRAFT" => SearchKey::Draft,
        "FLAGGED" => SearchKey::Flagged,
        "NEW" => SearchKey::New,
        "OLD" => SearchKey::Old,
        "RECENT" => SearchKey::Recent,
        "SEEN" => SearchKey::Seen,
        "UNANSWERED" => SearchKey::Unanswered,
        "UNDELETED" => SearchKey::Undeleted,
        "UNDRAFT" => SearchKey::Undraft,
        "UNFLAGGED" => SearchKey::Unflagged,
        "UNSEEN" => SearchKey::Unseen,
        "SAVEDATESUPPORTED" => SearchKey::SaveDateSupported,
        _ => return None,
    })
}
