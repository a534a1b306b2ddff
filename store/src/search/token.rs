//! Text cut into search tokens: words, n-grams for scripts without spaces, emoji.
//!
//! Holds: index, query, matcher and snippets all cut text here, so they always agree. Tokens come in the
//! order of their positions; a token is at most `TOKEN_OCTETS_MAX` octets, a text at most
//! `TOKENS_PER_TEXT_MAX` tokens. Addresses and host names are cut at their punctuation; searched for
//! whole, their pieces have to stand next to each other.
//! Other half: `fold` says what each character is.

use std::ops::Range;

use tantivy::tokenizer::{Token as IndexToken, TokenStream, Tokenizer};

use super::fold::{Kind, Unit, fold_first};

/// Longer tokens are cut, in texts and in queries alike.
pub const TOKEN_OCTETS_MAX: usize = 64;
/// What follows this many tokens of one text isn't searchable.
pub const TOKENS_PER_TEXT_MAX: usize = 100_000;

/// Separates the name of a header field from what follows it: in the text to index, and in its tokens.
pub(super) const HEADER_NAME_END: char = ':';
/// Longer header field names are cut.
pub(super) const HEADER_NAME_OCTETS_MAX: usize = 64;

/// One token of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The octets of the source text that gave this token.
    pub range: Range<usize>,
    /// The folded text.
    pub text: String,
}

/// All tokens of `text`, in order; the characters of scripts written without spaces come alone and in pairs.
pub fn tokens(text: &str) -> impl Iterator<Item = Token> + '_ {
    let mut lexer = Lexer::new(text);
    std::iter::from_fn(move || {
        let mut word = String::new();
        let lexeme = lexer.next(&mut word)?;
        Some(Token {
            range: lexeme.range,
            text: word,
        })
    })
}

/// What kind of token it is, for building queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A word, a number or a symbol.
    Word,
    /// One character of a script without spaces, with no neighbour of that kind.
    Alone,
    /// One character of a run of them.
    InRun,
    /// Two neighbours of a run.
    Pair,
}

/// Where a token was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lexeme {
    pub range: Range<usize>,
    pub position: u32,
    pub part: Part,
}

/// Cuts one text into tokens.
pub(super) struct Lexer<'a> {
    text: &'a str,
    /// The octet after the last cluster that was folded.
    at: usize,
    /// The folded characters of the last cluster; `next_unit` is the first one not used.
    units: Vec<Unit>,
    next_unit: usize,
    cluster: Range<usize>,
    /// The pair to give out after its first character.
    pair: Option<([char; 2], Lexeme)>,
    in_run: bool,
    position: u32,
    left: usize,
    /// The last word, if it is longer than a token.
    long: String,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Lexer<'a> {
        Lexer {
            text,
            at: 0,
            units: Vec::new(),
            next_unit: 0,
            cluster: 0..0,
            pair: None,
            in_run: false,
            position: 0,
            left: TOKENS_PER_TEXT_MAX,
            long: String::new(),
        }
    }

    /// All of the last word, when it was too long for a token.
    pub fn long_word(&self) -> Option<&str> {
        (!self.long.is_empty()).then_some(self.long.as_str())
    }

    /// There may be more words than a text may have.
    pub fn is_exhausted(&self) -> bool {
        self.left == 0
    }

    /// Writes the next token to `word` and returns where it is.
    pub fn next(&mut self, word: &mut String) -> Option<Lexeme> {
        self.left = self.left.checked_sub(1)?;
        word.clear();
        self.long.clear();
        if let Some((chars, lexeme)) = self.pair.take() {
            word.extend(chars);
            return Some(lexeme);
        }
        loop {
            self.skip_ascii_breaks();
            let unit = self.peek()?;
            match unit.kind {
                Kind::Letter => return Some(self.word(word)),
                Kind::Gram => return Some(self.gram(unit.ch, word)),
                Kind::Symbol => {
                    self.next_unit += 1;
                    self.in_run = false;
                    word.push(unit.ch);
                    let range = self.cluster.clone();
                    return Some(self.lexeme(range, Part::Word));
                }
                Kind::Break => {
                    self.next_unit += 1;
                    self.in_run = false;
                }
                Kind::Skip => self.next_unit += 1,
            }
        }
    }

    fn lexeme(&mut self, range: Range<usize>, part: Part) -> Lexeme {
        let position = self.position;
        self.position += 1;
        Lexeme {
            range,
            position,
            part,
        }
    }

    fn word(&mut self, word: &mut String) -> Lexeme {
        self.in_run = false;
        let start = self.cluster.start;
        let mut end = self.cluster.end;
        loop {
            if self.next_unit == self.units.len() {
                end = self.ascii_letters(word).unwrap_or(end);
            }
            match self.peek() {
                Some(unit) if unit.kind == Kind::Letter => {
                    let fits = word.len() + unit.ch.len_utf8() <= TOKEN_OCTETS_MAX;
                    self.note_long(word, !fits);
                    if !self.long.is_empty() {
                        self.long.push(unit.ch);
                    }
                    if fits {
                        word.push(unit.ch);
                    }
                    end = self.cluster.end;
                }
                Some(unit) if unit.kind == Kind::Skip => end = self.cluster.end,
                _ => break,
            }
            self.next_unit += 1;
        }
        self.lexeme(start..end, Part::Word)
    }

    fn gram(&mut self, ch: char, word: &mut String) -> Lexeme {
        self.next_unit += 1;
        word.push(ch);
        let mut range = self.cluster.clone();
        let next = loop {
            match self.peek() {
                Some(unit) if unit.kind == Kind::Skip => {
                    range.end = self.cluster.end;
                    self.next_unit += 1;
                }
                Some(unit) if unit.kind == Kind::Gram => break Some(unit.ch),
                _ => break None,
            }
        };
        let part = if self.in_run || next.is_some() {
            Part::InRun
        } else {
            Part::Alone
        };
        self.in_run = next.is_some();
        self.pair = next.map(|next| {
            let lexeme = Lexeme {
                range: range.start..self.cluster.end,
                position: self.position,
                part: Part::Pair,
            };
            ([ch, next], lexeme)
        });
        self.lexeme(range, part)
    }

    /// The next folded character, which stays the next one.
    fn peek(&mut self) -> Option<Unit> {
        while self.next_unit == self.units.len() {
            self.units.clear();
            self.next_unit = 0;
            let octets = fold_first(&self.text[self.at..], &mut self.units);
            if octets == 0 {
                return None;
            }
            self.cluster = self.at..self.at + octets;
            self.at += octets;
        }
        self.units.get(self.next_unit).copied()
    }

    /// The quick way over spaces and punctuation.
    fn skip_ascii_breaks(&mut self) {
        if self.next_unit != self.units.len() {
            return;
        }
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest
            .iter()
            .take_while(|octet| octet.is_ascii() && !octet.is_ascii_alphanumeric())
            .count();
        if count > 0 {
            self.in_run = false;
            self.at += count;
        }
    }

    /// From here on, all of a word that doesn't fit into a token is kept.
    fn note_long(&mut self, word: &str, is_over: bool) {
        if is_over && self.long.is_empty() {
            self.long.push_str(word);
        }
    }

    /// The quick way through a word; returns where the letters ended, if there were any.
    fn ascii_letters(&mut self, word: &mut String) -> Option<usize> {
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest
            .iter()
            .take_while(|octet| octet.is_ascii_alphanumeric())
            .count();
        let room = TOKEN_OCTETS_MAX.saturating_sub(word.len()).min(count);
        self.note_long(word, room < count);
        if !self.long.is_empty() {
            let from = self.long.len();
            self.long.push_str(&self.text[self.at..self.at + count]);
            self.long[from..].make_ascii_lowercase();
        }
        let from = word.len();
        word.push_str(&self.text[self.at..self.at + room]);
        word[from..].make_ascii_lowercase();
        self.at += count;
        (count > 0).then_some(self.at)
    }
}

/// The tokenizer that the index uses for all fields but `header`.
#[derive(Clone, Default)]
pub(super) struct TextTokenizer;

impl Tokenizer for TextTokenizer {
    type TokenStream<'a> = Stream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Stream<'a> {
        Stream {
            lexer: Lexer::new(text),
            name: None,
            token: IndexToken::default(),
            word: String::new(),
        }
    }
}

/// The tokenizer of the field `header`: texts are `name:value`, tokens are `name:` and `name:word`.
#[derive(Clone, Default)]
pub(super) struct HeaderTokenizer;

impl Tokenizer for HeaderTokenizer {
    type TokenStream<'a> = Stream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Stream<'a> {
        let name = text.find(HEADER_NAME_END).map_or(text.len(), |end| end + 1);
        Stream {
            lexer: Lexer::new(&text[name..]),
            name: Some((&text[..name], true)),
            token: IndexToken::default(),
            word: String::new(),
        }
    }
}

/// The tokens of one text, as the index takes them.
pub(super) struct Stream<'a> {
    lexer: Lexer<'a>,
    /// The name of the header field with its colon, and whether it's still to be given out by itself.
    name: Option<(&'a str, bool)>,
    token: IndexToken,
    word: String,
}

impl TokenStream for Stream<'_> {
    fn advance(&mut self) -> bool {
        let Some((name, alone)) = &mut self.name else {
            let Some(lexeme) = self.lexer.next(&mut self.token.text) else {
                return false;
            };
            self.token.position = lexeme.position as usize;
            return true;
        };
        self.token.text.clear();
        self.token.text.push_str(name);
        if std::mem::take(alone) {
            self.token.position = 0;
            return true;
        }
        let Some(lexeme) = self.lexer.next(&mut self.word) else {
            return false;
        };
        self.token.text.push_str(&self.word);
        self.token.position = lexeme.position as usize + 1;
        true
    }

    fn token(&self) -> &IndexToken {
        &self.token
    }

    fn token_mut(&mut self) -> &mut IndexToken {
        &mut self.token
    }
}

/// The name of a header field as tokens carry it: lower case, no colon inside, cut when too long, colon at the end.
pub(super) fn header_name(name: &str) -> String {
    let mut folded = String::new();
    for ch in name.trim().chars().filter(|&ch| ch != HEADER_NAME_END) {
        if folded.len() + ch.len_utf8() > HEADER_NAME_OCTETS_MAX {
            break;
        }
        folded.push(ch.to_ascii_lowercase());
    }
    folded.push(HEADER_NAME_END);
    folded
}
