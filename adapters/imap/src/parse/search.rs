//! SEARCH and its relatives: what is to be returned, where, in what order (RFC 9051 §6.4.4, RFC 4731, RFC 5182, RFC 5256, RFC 5267, RFC 5957,
//! RFC 7377, RFC 9394). The keys are in `search_key`.
//!
//! Holds: the charset is one that is known, and the texts are valid in it.
//! Other half: `encode::search`.

use super::cursor::{Cursor, Parsed};
use crate::command::{
    Command, NotifyMailboxes, Search, SearchKey, SearchReturn, SortBy, SortKey, ThreadAlgorithm,
};

/// The charset that texts are in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    /// Not named: US-ASCII (RFC 3501) or UTF-8 (RFC 9051). UTF-8 contains the other.
    Unnamed,
    UsAscii,
    Utf8,
}

impl<'a> Cursor<'a> {
    pub(crate) fn search_command(&mut self, uid: bool) -> Parsed<Command> {
        self.space()?;
        let mut search = self.search_returns()?;
        self.charset_and_key(&mut search)?;
        Ok(Command::Search { uid, search })
    }

    /// RFC 7377 §2: an answer is always ESEARCH with UIDs.
    pub(crate) fn esearch_command(&mut self, uid: bool) -> Parsed<Command> {
        self.space()?;
        let mut sources = vec![NotifyMailboxes::Selected];
        if self.eat_word("IN") {
            self.space()?;
            sources = self.full_list("a source of ESEARCH", |cursor| {
                let start = cursor.at;
                match cursor.notify_mailboxes()? {
                    // RFC 7377 §3
                    NotifyMailboxes::SelectedDelayed => {
                        cursor.want_at(start, "selected in place of selected-delayed")
                    }
                    source => Ok(source),
                }
            })?;
            self.space()?;
        }
        let mut search = self.search_returns()?;
        search.sources = sources;
        self.charset_and_key(&mut search)?;
        Ok(Command::Search { uid, search })
    }

    pub(crate) fn sort_command(&mut self, uid: bool) -> Parsed<Command> {
        self.space()?;
        let mut search = self.search_returns()?;
        let keys = self.full_list("a sort key", Cursor::sort_key)?;
        self.space()?;
        let charset = self.charset(&mut search)?;
        self.space()?;
        search.key = self.search_program(charset)?;
        Ok(Command::Sort { uid, keys, search })
    }

    pub(crate) fn thread_command(&mut self, uid: bool) -> Parsed<Command> {
        self.space()?;
        let start = self.at;
        let algorithm = match self.keyword("a threading algorithm")?.as_str() {
            "ORDEREDSUBJECT" => ThreadAlgorithm::OrderedSubject,
            "REFERENCES" => ThreadAlgorithm::References,
            _ => return self.want_at(start, "ORDEREDSUBJECT or REFERENCES"),
        };
        self.space()?;
        let mut search = empty_search();
        let charset = self.charset(&mut search)?;
        self.space()?;
        search.key = self.search_program(charset)?;
        Ok(Command::Thread {
            uid,
            algorithm,
            search,
        })
    }

    fn charset_and_key(&mut self, search: &mut Search) -> Parsed<()> {
        let mut charset = Charset::Unnamed;
        if self.eat_word("CHARSET") {
            self.space()?;
            charset = self.charset(search)?;
            self.space()?;
        }
        search.key = self.search_program(charset)?;
        Ok(())
    }

    /// Its name, quoted or not.
    fn charset(&mut self, search: &mut Search) -> Parsed<Charset> {
        let start = self.at;
        let name = self.text("a charset")?.to_ascii_uppercase();
        let charset = match name.as_str() {
            "US-ASCII" | "ASCII" => Charset::UsAscii,
            "UTF-8" | "UTF8" => Charset::Utf8,
            _ => return self.bad_charset(start, "the charset US-ASCII or UTF-8"),
        };
        search.charset = Some(name);
        Ok(charset)
    }

    /// `RETURN (...)` and the space after it, if it is there.
    fn search_returns(&mut self) -> Parsed<Search> {
        let mut search = empty_search();
        if !self.eat_word("RETURN") {
            return Ok(search);
        }
        self.skip_spaces();
        let mut returns = self.list(|cursor| cursor.search_return(&mut search))?;
        if returns.is_empty() {
            // RFC 4731 §3.1
            returns.push(SearchReturn::All);
        }
        search.returns = Some(returns);
        self.space()?;
        Ok(search)
    }

    fn search_return(&mut self, search: &mut Search) -> Parsed<SearchReturn> {
        let start = self.at;
        Ok(match self.keyword("a return option")?.as_str() {
            "MIN" => SearchReturn::Min,
            "MAX" => SearchReturn::Max,
            "ALL" => SearchReturn::All,
            "COUNT" => SearchReturn::Count,
            "SAVE" => SearchReturn::Save,
            "CONTEXT" => SearchReturn::Context,
            "UPDATE" => {
                // RFC 5465 §9 has no space before the list.
                let before = self.at;
                self.skip_spaces();
                if self.peek() == Some(b'(') {
                    search.update_items = self.full_list("an item to fetch", Cursor::fetch_item)?;
                } else {
                    self.at = before;
                }
                SearchReturn::Update
            }
            "PARTIAL" => {
                self.space()?;
                let (first, last) = self.partial_range()?;
                SearchReturn::Partial(first, last)
            }
            _ => {
                return self.want_at(
                    start,
                    "MIN, MAX, ALL, COUNT, SAVE, CONTEXT, UPDATE or PARTIAL",
                );
            }
        })
    }

    /// RFC 9394 §3.1: `1:100` or `-1:-100`.
    pub(crate) fn partial_range(&mut self) -> Parsed<(i64, i64)> {
        const RANGE: &str = "a range such as 1:100 or -1:-100";
        let start = self.at;
        let from_end = self.eat(b'-');
        let first = i64::from(self.nz_number(RANGE)?);
        self.expect(b':', RANGE)?;
        if self.eat(b'-') != from_end {
            return self.want_at(start, RANGE);
        }
        let last = i64::from(self.nz_number(RANGE)?);
        Ok(if from_end {
            (-first, -last)
        } else {
            (first, last)
        })
    }

    fn sort_key(&mut self) -> Parsed<SortKey> {
        let reverse = self.eat_word("REVERSE");
        if reverse {
            self.space()?;
        }
        let start = self.at;
        let by = match self.keyword("a sort key")?.as_str() {
            "ARRIVAL" => SortBy::Arrival,
            "CC" => SortBy::Cc,
            "DATE" => SortBy::Date,
            "FROM" => SortBy::From,
            "SIZE" => SortBy::Size,
            "SUBJECT" => SortBy::Subject,
            "TO" => SortBy::To,
            "DISPLAYFROM" => SortBy::DisplayFrom,
            "DISPLAYTO" => SortBy::DisplayTo,
            _ => return self.want_at(start, "a sort key"),
        };
        Ok(SortKey { reverse, by })
    }
}

fn empty_search() -> Search {
    Search {
        returns: None,
        sources: Vec::new(),
        update_items: Vec::new(),
        charset: None,
        key: SearchKey::All,
    }
}
