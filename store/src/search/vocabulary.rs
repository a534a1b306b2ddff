//! The words of a document that its searchable fields don't have: for those who look for a text anywhere in a message.
//!
//! Holds: each word of a document's texts is in a field, or here. Of a word too long for a token, every piece of
//! [`NEEDLE_OCTETS_MAX`] octets is in a token here. The words of its lines are in a text that has them as they are folded.
//! What is left out by a limit makes the document incomplete.
//! Other half: `containing` looks here, and in the fields.

use hashbrown::HashSet;
use tantivy::tokenizer::{Token as IndexToken, TokenStream, Tokenizer};

use super::document::{
    BODY_OCTETS_MAX, DocumentText, Field, HEADER_OCTETS_MAX, IndexField, REST_OCTETS_MAX,
    TEXTS_MAX, each_text,
};
use super::fold::{Kind, fold_first};
use super::needle::WORD_OCTETS_MAX as NEEDLE_OCTETS_MAX;
use super::token::{Lexer, TOKEN_OCTETS_MAX, TOKENS_PER_TEXT_MAX};

/// Separates the words.
const SEPARATOR: char = '\n';
/// What terms begin with that stand for a property of the document. No word has such a character.
pub(super) const NO_WORD: &[u8] = b"\x01";
pub(super) const IS_ODD: &str = "\u{1}o";
pub(super) const IS_INCOMPLETE: &str = "\u{1}i";

/// Words by where they are from, each with a line break after it.
#[derive(Default, Debug, PartialEq, Eq)]
pub(super) struct Vocabulary {
    pub body: String,
    pub header: String,
    /// The words of the lines, in a text.
    pub lines: String,
}

/// The words that are in no field that is searched along with them.
pub(super) fn of(document: &DocumentText) -> Vocabulary {
    let mut words = Words {
        is_complete: !document.is_cut && is_within_limits(document),
        is_plain: true,
        has_rest_of_body: !document.rest_body.is_empty(),
        ..Words::default()
    };
    each_text(document, |field, text| match field {
        IndexField::Text(field) => words.take(text, From::Field(field)),
        IndexField::Header => {}
    });
    let rest = [
        (&document.rest_body, From::Body),
        (&document.rest_header, From::Header),
    ];
    for (texts, from) in rest {
        let mut left = REST_OCTETS_MAX;
        for text in texts {
            let kept = text.floor_char_boundary(left.min(text.len()));
            words.is_complete &= kept == text.len();
            left -= kept;
            words.take(&text[..kept], from);
        }
    }
    words.keep(&document.lines);
    if !words.is_complete {
        push(&mut words.out.header, IS_INCOMPLETE);
    }
    if !words.is_plain {
        push(&mut words.out.header, IS_ODD);
    }
    words.out
}

/// Whether `each_text` gives all of it.
fn is_within_limits(document: &DocumentText) -> bool {
    let octets = |is_body: bool| -> usize {
        let texts = document.texts.iter();
        let texts = texts.filter(|(field, _)| (*field == Field::Body) == is_body);
        texts.map(|(_, text)| text.len()).sum()
    };
    document.texts.len() <= TEXTS_MAX
        && octets(true) <= BODY_OCTETS_MAX
        && octets(false) <= HEADER_OCTETS_MAX
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Field(Field),
    Body,
    Header,
}

impl From {
    fn is_body(self) -> bool {
        matches!(self, From::Field(Field::Body) | From::Body)
    }
}

#[derive(Default)]
struct Words {
    out: Vocabulary,
    /// Words of the body, and of all else.
    body: HashSet<Box<str>>,
    other: HashSet<Box<str>>,
    is_complete: bool,
    is_plain: bool,
    has_rest_of_body: bool,
}

impl Words {
    fn take(&mut self, text: &str, from: From) {
        self.is_plain &= is_plain(text);
        // Words of a field are in the index; here they only say what needn't be in it twice. The body is most of a message,
        // and what else repeats its words is little, unless there is a rest of the body.
        if from == From::Field(Field::Body) && !self.has_rest_of_body && all_words_fit(text) {
            return;
        }
        let mut lexer = Lexer::new(text);
        let mut word = String::new();
        while lexer.next(&mut word).is_some() {
            if let Some(long) = lexer.long_word() {
                self.pieces(long, from);
            }
            self.word(&word, from);
        }
        self.is_complete &= !lexer.is_exhausted();
    }

    /// Lines are not cut into words where that changes nothing but the letters' case.
    fn keep(&mut self, lines: &[String]) {
        let out = &mut self.out.lines;
        for line in lines {
            let left = REST_OCTETS_MAX.saturating_sub(out.len() + SEPARATOR.len_utf8());
            let kept = &line[..line.floor_char_boundary(left.min(line.len()))];
            self.is_complete &= kept.len() == line.len();
            self.is_plain &= is_plain(kept);
            if kept.is_ascii() {
                let from = out.len();
                push(out, kept);
                out[from..].make_ascii_lowercase();
                continue;
            }
            let mut lexer = Lexer::new(kept);
            let mut word = String::new();
            while lexer.next(&mut word).is_some() {
                push(out, lexer.long_word().unwrap_or(&word));
            }
            self.is_complete &= !lexer.is_exhausted();
        }
    }

    fn word(&mut self, word: &str, from: From) {
        let is_body = from.is_body();
        let is_known = self.body.contains(word) || !is_body && self.other.contains(word);
        if is_known {
            return;
        }
        match is_body {
            true => self.body.insert(word.into()),
            false => self.other.insert(word.into()),
        };
        match from {
            From::Field(_) => {}
            From::Body => push(&mut self.out.body, word),
            From::Header => push(&mut self.out.header, word),
        }
    }

    /// Pieces that overlap by as much as a needle can be long.
    fn pieces(&mut self, word: &str, from: From) {
        let out = match from.is_body() {
            true => &mut self.out.body,
            false => &mut self.out.header,
        };
        let mut start = 0;
        loop {
            let end = word.ceil_char_boundary((start + TOKEN_OCTETS_MAX).min(word.len()));
            push(out, &word[start..end]);
            if end == word.len() {
                return;
            }
            start = word.floor_char_boundary(end - NEEDLE_OCTETS_MAX);
        }
    }
}

fn push(words: &mut String, word: &str) {
    words.push_str(word);
    words.push(SEPARATOR);
}

/// Whether each word is a token as it is, and there aren't too many; `false` where that isn't sure. Much cheaper than
/// to cut the words.
fn all_words_fit(text: &str) -> bool {
    // One character may be folded to several, of a word each: U+FDFA gives 4 words of 30 octets.
    const TOKENS_PER_OCTET_MAX: usize = 2;
    const FOLDED_OF_TWO_OCTETS_MAX: usize = 6;
    const FOLDED_MAX: usize = 36;
    if text.len() * TOKENS_PER_OCTET_MAX >= TOKENS_PER_TEXT_MAX {
        return false;
    }
    let mut octets = 0;
    text.chars().all(|ch| {
        octets = match ch {
            _ if ch.is_ascii_alphanumeric() => octets + 1,
            _ if ch.is_ascii() => 0,
            _ if ch < '\u{800}' => octets + FOLDED_OF_TWO_OCTETS_MAX,
            _ => octets + FOLDED_MAX,
        };
        octets <= TOKEN_OCTETS_MAX
    })
}

/// Whether a needle of ASCII letters is in the text exactly when it is in one of its words: nothing in it is folded to
/// letters, or left out between them, but ASCII.
fn is_plain(text: &str) -> bool {
    if text.is_ascii() {
        return true;
    }
    let mut units = Vec::new();
    text.chars().filter(|ch| !ch.is_ascii()).all(|ch| {
        units.clear();
        fold_first(ch.encode_utf8(&mut [0; 4]), &mut units);
        let stays_apart = |kind| matches!(kind, Kind::Break | Kind::Symbol | Kind::Gram);
        units.iter().all(|unit| stays_apart(unit.kind))
    })
}

/// Takes the words apart again, for the index.
#[derive(Clone, Default)]
pub(super) struct VocabularyTokenizer;

impl Tokenizer for VocabularyTokenizer {
    type TokenStream<'a> = Stream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Stream<'a> {
        Stream {
            rest: text,
            token: IndexToken::default(),
        }
    }
}

pub(super) struct Stream<'a> {
    rest: &'a str,
    token: IndexToken,
}

impl TokenStream for Stream<'_> {
    fn advance(&mut self) -> bool {
        let Some((word, rest)) = self.rest.split_once(SEPARATOR) else {
            return false;
        };
        self.rest = rest;
        self.token.text.clear();
        self.token.text.push_str(word);
        self.token.position = self.token.position.wrapping_add(1);
        true
    }

    fn token(&self) -> &IndexToken {
        &self.token
    }

    fn token_mut(&mut self) -> &mut IndexToken {
        &mut self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `all_words_fit` says is never more than what cutting the words finds.
    #[test]
    fn words_that_fit() {
        let fits = |text: &str| {
            let mut lexer = Lexer::new(text);
            let mut word = String::new();
            let mut all = true;
            while lexer.next(&mut word).is_some() {
                all &= lexer.long_word().is_none();
            }
            all && !lexer.is_exhausted()
        };
        let repeated = |text: &str, times: usize| text.repeat(times);
        let rows = [
            (repeated("x", TOKEN_OCTETS_MAX), true),
            (repeated("x", TOKEN_OCTETS_MAX + 1), false),
            (repeated("x-", TOKEN_OCTETS_MAX), true),
            ("na\u{ef}ve caf\u{e9}s".to_owned(), true),
            (repeated("\u{e9}", TOKEN_OCTETS_MAX), true),
            (repeated("\u{e9}", TOKEN_OCTETS_MAX + 1), false),
            (repeated("\u{df}", TOKEN_OCTETS_MAX / 2 + 1), false),
            (repeated("\u{fb03}", TOKEN_OCTETS_MAX / 3 + 1), false),
            (repeated("\u{bc}", TOKEN_OCTETS_MAX), true),
            (repeated("\u{fdfa}", 40), true),
            (repeated("x ", TOKENS_PER_TEXT_MAX), false),
            (repeated("\u{65e5}", 1000), true),
        ];
        for (text, want) in rows {
            assert_eq!(fits(&text), want, "{text:.20}");
            assert!(!all_words_fit(&text) || want, "{text:.20}");
        }
        assert!(all_words_fit(
            "na\u{ef}ve caf\u{e9}s, and words of all days"
        ));
        assert!(all_words_fit(&repeated("x", TOKEN_OCTETS_MAX)));
    }
}
