//! Search snippets (RFC 8621 §5), and the words that search and snippets agree on.
//! Holds: what is marked is what the search matched; a preview has at most 255 octets, never cuts a
//! character or an entity, and is safe to put into HTML.
//! Other half: the search index folds words with the same [`fold`] and [`words`].

use super::SNIPPET_OCTETS_MAX;
use std::ops::Range;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Most octets of unmarked text before the first match of a preview.
const LEAD_OCTETS_MAX: usize = 60;
/// Most terms, and most words of one phrase, that are looked for.
const TERMS_MAX: usize = 32;
/// Longest word that is looked at, in octets; a longer one is cut there.
const WORD_OCTETS_MAX: usize = 255;

const MARK: (&str, &str) = ("<mark>", "</mark>");

/// A word without letter case and accents: what search compares.
pub fn fold(word: &str) -> String {
    if word.is_ascii() {
        return word.to_ascii_lowercase();
    }
    let mut out = String::with_capacity(word.len());
    for c in word.nfkd().filter(|c| !is_combining_mark(*c)) {
        match c {
            'ß' | 'ẞ' => out.push_str("ss"),
            'æ' | 'Æ' => out.push_str("ae"),
            'œ' | 'Œ' => out.push_str("oe"),
            'ø' | 'Ø' => out.push('o'),
            'ł' | 'Ł' => out.push('l'),
            'đ' | 'Đ' => out.push('d'),
            'ς' => out.push('σ'),
            _ => out.extend(c.to_lowercase()),
        }
    }
    out
}

/// Characters of scripts that put no space between words: each is a word of its own.
pub fn is_cjk(c: char) -> bool {
    matches!(c,
        '\u{2e80}'..='\u{2fdf}'
        | '\u{3040}'..='\u{30ff}'
        | '\u{3100}'..='\u{312f}'
        | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7af}'
        | '\u{f900}'..='\u{faff}'
        | '\u{ff66}'..='\u{ff9f}'
        | '\u{20000}'..='\u{3ffff}')
}

/// Ranges of the words of a text: runs of letters and digits, CJK characters one by one.
pub fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut rest = text.char_indices().peekable();
    std::iter::from_fn(move || {
        let is_word = |c: char| c.is_alphanumeric() || is_combining_mark(c);
        let (start, first) = rest.by_ref().find(|(_, c)| is_word(*c))?;
        let mut end = start + first.len_utf8();
        while let Some(&(at, c)) = rest.peek() {
            let goes_on = match is_combining_mark(c) {
                true => true,
                false => c.is_alphanumeric() && !is_cjk(c) && !is_cjk(first),
            };
            if !goes_on || at - start >= WORD_OCTETS_MAX {
                break;
            }
            end = at + c.len_utf8();
            rest.next();
        }
        Some(start..end)
    })
}

/// The words of a text with their ranges, folded: the one place that says what is compared.
fn folded(text: &str) -> impl Iterator<Item = (Range<usize>, String)> {
    words(text).map(|range| {
        let word = fold(&text[range.clone()]);
        (range, word)
    })
}

/// The words and phrases that a filter looks for, folded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    phrases: Vec<Vec<String>>,
}

impl Terms {
    /// RFC 8621 §4.4.1: words, and phrases in single or double quotes with backslash escapes.
    pub fn parse(query: &str) -> Terms {
        let mut terms = Terms::default();
        terms.add(query);
        terms
    }

    /// Adds the terms of another filter condition.
    pub fn add(&mut self, query: &str) {
        let mut chars = query.chars().peekable();
        let mut piece = String::new();
        while let Some(c) = chars.next() {
            let starts_phrase = matches!(c, '"' | '\'') && piece.is_empty();
            if c.is_whitespace() {
                self.push(&std::mem::take(&mut piece));
            } else if starts_phrase {
                while let Some(inner) = chars.next() {
                    match inner {
                        '\\' => piece.extend(chars.next()),
                        _ if inner == c => break,
                        _ => piece.push(inner),
                    }
                }
                self.push(&std::mem::take(&mut piece));
            } else {
                piece.push(c);
            }
        }
        self.push(&piece);
    }

    /// A piece with several words, as "e-mail", is a phrase.
    fn push(&mut self, piece: &str) {
        let folded: Vec<String> = folded(piece)
            .take(TERMS_MAX)
            .map(|(_, word)| word)
            .collect();
        if !folded.is_empty() && self.phrases.len() < TERMS_MAX {
            self.phrases.push(folded);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.phrases.is_empty()
    }

    /// The phrases, each as its folded words.
    pub fn phrases(&self) -> &[Vec<String>] {
        &self.phrases
    }

    /// Whether every phrase is in the text.
    pub fn all_in(&self, text: &str) -> bool {
        let folded: Vec<String> = folded(text).map(|(_, word)| word).collect();
        let is_in = |phrase: &Vec<String>| folded.windows(phrase.len()).any(|run| run == phrase);
        self.phrases.iter().all(is_in)
    }

    /// The subject with its matches marked; `None` when nothing matches.
    pub fn subject(&self, subject: &str) -> Option<String> {
        let matches = self.matches(subject, usize::MAX);
        if matches.is_empty() {
            return None;
        }
        let mut out = String::with_capacity(subject.len() + 32);
        let mut pos = 0;
        for range in matches {
            escape_into(&subject[pos..range.start], &mut out);
            out.push_str(MARK.0);
            escape_into(&subject[range.clone()], &mut out);
            out.push_str(MARK.1);
            pos = range.end;
        }
        escape_into(&subject[pos..], &mut out);
        Some(out)
    }

    /// The part of the body around the first match; `None` when nothing matches.
    pub fn preview(&self, body: &str) -> Option<String> {
        let first = self.matches(body, 1).into_iter().next()?;
        let start = lead_start(body, first.start);
        let end = body.floor_char_boundary((first.start + SNIPPET_OCTETS_MAX * 4).min(body.len()));
        let window = &body[start..end.max(first.end)];
        let mut out = Window::default();
        let mut pos = 0;
        for range in self.matches(window, usize::MAX) {
            if !out.push(&window[pos..range.start], false)
                || !out.push(&window[range.clone()], true)
            {
                return Some(out.text);
            }
            pos = range.end;
        }
        out.push(&window[pos..], false);
        Some(out.text)
    }

    /// Ranges of the text that match, in order and apart from each other; stops after
    /// the first when `count_max` is 1.
    fn matches(&self, text: &str, count_max: usize) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        let longest = self.phrases.iter().map(Vec::len).max().unwrap_or(0);
        // The last words, the newest at the end: a phrase matches when it is their tail.
        let mut recent: std::collections::VecDeque<(Range<usize>, String)> =
            std::collections::VecDeque::with_capacity(longest + 1);
        for (range, word) in folded(text) {
            if longest == 0 {
                break;
            }
            if recent.len() == longest {
                recent.pop_front();
            }
            recent.push_back((range.clone(), word));
            let starts = self.phrases.iter().filter_map(|phrase| {
                let first = recent.len().checked_sub(phrase.len())?;
                let tail = recent.iter().skip(first).map(|(_, word)| word);
                tail.eq(phrase.iter()).then(|| recent[first].0.start)
            });
            let Some(start) = starts.min() else { continue };
            while found.last().is_some_and(|last| last.end > start) {
                let Some(last) = found.pop() else { break };
                if last.start < start {
                    found.push(last.start..last.start.max(range.end));
                    break;
                }
            }
            match found.last_mut() {
                Some(last) if last.end >= range.end => {}
                _ => found.push(start..range.end),
            }
            if found.len() >= count_max {
                break;
            }
        }
        found
    }
}

/// Where a preview starts: at a word, a little before the match.
fn lead_start(body: &str, at: usize) -> usize {
    if at <= LEAD_OCTETS_MAX {
        return 0;
    }
    let from = body.ceil_char_boundary(at - LEAD_OCTETS_MAX);
    match body[from..at].find(char::is_whitespace) {
        Some(space) => from + space + 1,
        None => from,
    }
}

fn escape(c: char, buffer: &mut [u8; 4]) -> &str {
    match c {
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        '"' => "&quot;",
        _ => c.encode_utf8(buffer),
    }
}

fn escape_into(text: &str, out: &mut String) {
    for c in text.chars() {
        out.push_str(escape(c, &mut [0; 4]));
    }
}

/// A preview under construction.
#[derive(Default)]
struct Window {
    text: String,
    after_space: bool,
}

impl Window {
    /// Adds text, white space collapsed. False: it is full.
    fn push(&mut self, piece: &str, marked: bool) -> bool {
        let reserve = if marked { MARK.1.len() } else { 0 };
        if marked {
            // A mark with nothing in it would say nothing.
            let first = piece
                .chars()
                .next()
                .map_or(0, |c| escape(c, &mut [0; 4]).len());
            if self.text.len() + MARK.0.len() + first + reserve > SNIPPET_OCTETS_MAX {
                return false;
            }
            self.text.push_str(MARK.0);
            self.after_space = false;
        }
        let mut fits = true;
        for c in piece.chars() {
            let is_space = c.is_whitespace() || c.is_control();
            if is_space && (self.after_space || self.text.is_empty()) {
                continue;
            }
            let mut buffer = [0; 4];
            let shown = if is_space {
                " "
            } else {
                escape(c, &mut buffer)
            };
            if self.text.len() + shown.len() + reserve > SNIPPET_OCTETS_MAX {
                fits = false;
                break;
            }
            self.text.push_str(shown);
            self.after_space = is_space;
        }
        if marked {
            self.text.push_str(MARK.1);
        }
        fits
    }
}
