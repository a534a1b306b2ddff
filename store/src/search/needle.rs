//! Texts that are looked for as they are, anywhere in another one, as IMAP does it (RFC 9051 §6.4.4): `linu` is in `linux`.
//!
//! Holds: two texts are the same to a [`Needle`] when they are to i;unicode-casemap (RFC 5051), and white space is
//! one space. When a needle is in a text, then [`Needle::words`] are in words of it as the index cuts them: the
//! tokens of a text and those of its [`casemap`] are the same.
//! Other half: `containing` asks the index which documents may have a needle.

use memchr::memmem::Finder;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

use super::fold::{Kind, fold_first};

/// Longer words of a needle are looked for by their first octets alone: no piece of a word in the index need be longer.
pub(super) const WORD_OCTETS_MAX: usize = 32;
/// Words of a needle that the index is asked for; a text with these is read.
const WORDS_MAX: usize = 16;

/// A text as i;unicode-casemap compares it, white space being one space.
pub fn casemap(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut after_space = false;
    let mut rest = text;
    while !rest.is_empty() {
        let ascii = rest.bytes().take_while(u8::is_ascii).count();
        for octet in rest[..ascii].bytes() {
            let is_space = matches!(octet, b' ' | b'\t'..=b'\r');
            if !(is_space && after_space) {
                out.push(if is_space {
                    ' '
                } else {
                    octet.to_ascii_uppercase() as char
                });
            }
            after_space = is_space;
        }
        rest = &rest[ascii..];
        let Some(ch) = rest.chars().next() else {
            break;
        };
        rest = &rest[ch.len_utf8()..];
        for part in std::iter::once(ch).nfkd() {
            if part.is_whitespace() {
                if !after_space {
                    out.push(' ');
                }
                after_space = true;
                continue;
            }
            after_space = false;
            // A mark is a mark in any letter case; U+0345 would become a letter.
            match canonical_combining_class(part) {
                0 => out.extend(part.to_uppercase()),
                _ => out.push(part),
            }
        }
    }
    out
}

/// A text to look for.
#[derive(Clone, Debug)]
pub struct Needle {
    folded: String,
    finder: Finder<'static>,
    pub(super) words: Vec<NeedleWord>,
    pub(super) is_one_ascii_word: bool,
}

/// A piece of a needle that has to be in one token of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NeedleWord {
    pub text: String,
    /// The token starts, or ends, with it.
    pub starts: bool,
    pub ends: bool,
}

impl Needle {
    pub fn new(text: &str) -> Self {
        let folded = casemap(text);
        let words = words(&folded);
        let is_one_ascii_word = folded.len() <= WORD_OCTETS_MAX
            && !folded.is_empty()
            && folded.bytes().all(|octet| octet.is_ascii_alphanumeric());
        Self {
            finder: Finder::new(folded.as_bytes()).into_owned(),
            folded,
            words,
            is_one_ascii_word,
        }
    }

    /// Every text has it.
    pub fn is_empty(&self) -> bool {
        self.folded.is_empty()
    }

    /// As [`casemap`] makes it.
    pub fn folded(&self) -> &str {
        &self.folded
    }

    /// Whether it is in a text that [`casemap`] has made.
    pub fn is_in_folded(&self, text: &str) -> bool {
        self.finder.find(text.as_bytes()).is_some()
    }

    /// Whether it is in a text.
    pub fn is_in(&self, text: &str) -> bool {
        self.is_in_folded(&casemap(text))
    }
}

/// What a character of a needle does to the words around it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    /// The needle's own start or end: the word may go on beyond it.
    Open,
    Closed,
}

/// Words of letters, which have to be in a word of the text; and runs of Han characters, whose pairs are tokens.
fn words(folded: &str) -> Vec<NeedleWord> {
    let mut found = Vec::new();
    let mut word = String::new();
    let mut left = Edge::Open;
    let mut han: Vec<char> = Vec::new();
    let mut units = Vec::new();
    let mut rest = folded;
    loop {
        units.clear();
        let octets = fold_first(rest, &mut units);
        rest = &rest[octets..];
        for unit in &units {
            if unit.kind == Kind::Skip {
                continue;
            }
            if unit.kind == Kind::Letter {
                end_han(&mut han, &mut found);
                word.push(unit.ch);
                continue;
            }
            end_word(&mut word, left, Edge::Closed, &mut found);
            left = Edge::Closed;
            match is_han(unit.ch) {
                true => han.push(unit.ch),
                false => end_han(&mut han, &mut found),
            }
        }
        if octets == 0 {
            break;
        }
    }
    end_word(&mut word, left, Edge::Open, &mut found);
    end_han(&mut han, &mut found);
    // The longest are the rarest.
    found.sort_by_key(|word| std::cmp::Reverse(word.text.len()));
    found.dedup();
    found.truncate(WORDS_MAX);
    found
}

fn end_word(word: &mut String, left: Edge, right: Edge, found: &mut Vec<NeedleWord>) {
    if word.is_empty() {
        return;
    }
    let mut text = std::mem::take(word);
    let kept = text.floor_char_boundary(WORD_OCTETS_MAX.min(text.len()));
    let is_cut = kept < text.len();
    text.truncate(kept);
    found.push(NeedleWord {
        text,
        starts: left == Edge::Closed,
        ends: right == Edge::Closed && !is_cut,
    });
}

fn end_han(run: &mut Vec<char>, found: &mut Vec<NeedleWord>) {
    let token = |chars: &[char]| NeedleWord {
        text: chars.iter().collect(),
        starts: true,
        ends: true,
    };
    match run.as_slice() {
        [] => {}
        [one] => found.push(token(&[*one])),
        many => found.extend(many.windows(2).map(token)),
    }
    run.clear();
}

/// Characters that neither casemapping nor their neighbours change. Kana and Hangul are composed by the index.
fn is_han(ch: char) -> bool {
    matches!(ch, '\u{4E00}'..='\u{9FFF}')
}
