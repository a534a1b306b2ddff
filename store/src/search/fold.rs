//! Characters folded for search: compatibility forms, letter case and accents are taken away.
//!
//! Holds: a text and its NFC, NFD and NFKC forms fold to the same units; one source character gives a
//! bounded number of units.
//! Other half: `token` gathers the units into tokens.

use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

/// What a folded character does in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Part of a word that other letters may continue.
    Letter,
    /// A character of a script written without spaces: indexed alone and with its neighbour.
    Gram,
    /// A token by itself (emoji).
    Symbol,
    /// Not there at all: accents, joiners, variation selectors.
    Skip,
    /// Ends a word.
    Break,
}

/// One folded character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub kind: Kind,
    pub ch: char,
}

/// More characters than this are never normalised together.
const CLUSTER_CHARS_MAX: usize = 4;

/// Characters below this one are looked up in a table.
const TABLE_CHARS: u32 = 0x600;

static TABLE: LazyLock<Vec<Vec<Unit>>> = LazyLock::new(|| {
    (0..TABLE_CHARS)
        .map(|code| {
            let mut units = Vec::new();
            if let Some(ch) = char::from_u32(code) {
                fold_spelled(ch, &mut units);
            }
            units
        })
        .collect()
});

/// Folds the first cluster of `text` into `out`; returns how many octets it took, 0 at the end of the text.
pub(super) fn fold_first(text: &str, out: &mut Vec<Unit>) -> usize {
    let Some(first) = text.chars().next() else {
        return 0;
    };
    if let Some(units) = TABLE.get(first as usize) {
        out.extend_from_slice(units);
        return first.len_utf8();
    }
    if !is_gram(first) && !is_half_width(first) {
        fold_char(first, out);
        return first.len_utf8();
    }
    let octets = cluster_octets(text, first);
    if octets == first.len_utf8() && is_plain_gram(first) {
        out.push(Unit {
            kind: Kind::Gram,
            ch: first,
        });
        return octets;
    }
    for ch in text[..octets].nfkc() {
        fold_composed(ch, out);
    }
    octets
}

/// Kana with a voicing mark and conjoining jamo are one character in NFKC: they're taken together.
fn cluster_octets(text: &str, first: char) -> usize {
    let joins: fn(char) -> bool = match first {
        '\u{1100}'..='\u{115F}' | '\u{A960}'..='\u{A97F}' | '\u{AC00}'..='\u{D7A3}' => {
            |next| matches!(next, '\u{1160}'..='\u{11FF}' | '\u{D7B0}'..='\u{D7FF}')
        }
        '\u{3041}'..='\u{30FF}' | '\u{FF66}'..='\u{FF9D}' => {
            |next| matches!(next, '\u{3099}' | '\u{309A}' | '\u{FF9E}' | '\u{FF9F}')
        }
        _ => |_| false,
    };
    let rest = text[first.len_utf8()..]
        .chars()
        .take(CLUSTER_CHARS_MAX - 1)
        .take_while(|&next| joins(next))
        .map(char::len_utf8)
        .sum::<usize>();
    first.len_utf8() + rest
}

fn fold_char(ch: char, out: &mut Vec<Unit>) {
    if (ch as u32) < 0x2E80 {
        fold_spelled(ch, out);
        return;
    }
    for composed in std::iter::once(ch).nfkc() {
        fold_composed(composed, out);
    }
}

fn fold_composed(ch: char, out: &mut Vec<Unit>) {
    if is_gram(ch) {
        out.push(Unit {
            kind: Kind::Gram,
            ch,
        });
    } else {
        fold_spelled(ch, out);
    }
}

/// Folds a character of an alphabet: decomposed, without its accents, in lower case.
fn fold_spelled(ch: char, out: &mut Vec<Unit>) {
    for part in std::iter::once(ch).nfkd() {
        if is_skipped(part) {
            out.push(Unit {
                kind: Kind::Skip,
                ch: part,
            });
        } else if is_gram(part) {
            out.push(Unit {
                kind: Kind::Gram,
                ch: part,
            });
        } else if is_letter(part) {
            part.to_lowercase().for_each(|lower| fold_lower(lower, out));
        } else {
            let kind = if is_symbol(part) {
                Kind::Symbol
            } else {
                Kind::Break
            };
            out.push(Unit { kind, ch: part });
        }
    }
}

/// Letters that Unicode doesn't decompose, but that people type without their stroke, or as two.
fn fold_lower(lower: char, out: &mut Vec<Unit>) {
    if is_skipped(lower) {
        return;
    }
    let single;
    let letters: &[char] = match lower {
        'ß' => &['s', 's'],
        'æ' => &['a', 'e'],
        'œ' => &['o', 'e'],
        'þ' => &['t', 'h'],
        'ø' => &['o'],
        'đ' | 'ð' => &['d'],
        'ħ' => &['h'],
        'ı' => &['i'],
        'ł' => &['l'],
        'ŧ' => &['t'],
        'ς' => &['σ'],
        // Forms of old prints, whose capital letters are the usual ones.
        'ᲀ' => &['в'],
        'ᲁ' => &['д'],
        'ᲂ' => &['о'],
        'ᲃ' => &['с'],
        'ᲄ' | 'ᲅ' => &['т'],
        'ᲆ' => &['ъ'],
        'ᲇ' => &['ѣ'],
        'ᲈ' => &['ꙋ'],
        _ => {
            single = [digit(lower).unwrap_or(lower)];
            &single
        }
    };
    out.extend(letters.iter().map(|&ch| Unit {
        kind: Kind::Letter,
        ch,
    }));
}

/// Digits of other scripts become ASCII digits.
fn digit(ch: char) -> Option<char> {
    // Arabic, Persian, Devanagari, Bengali, Thai.
    const ZEROES: [u32; 5] = [0x660, 0x6F0, 0x966, 0x9E6, 0xE50];
    let code = ch as u32;
    let zero = ZEROES
        .into_iter()
        .find(|zero| (*zero..*zero + 10).contains(&code))?;
    char::from_digit(code - zero, 10)
}

fn is_letter(ch: char) -> bool {
    // The modifier apostrophes are letters to Unicode; to a reader they're apostrophes.
    ch.is_alphanumeric() && !matches!(ch, '\u{2B9}'..='\u{2DF}')
}

fn is_skipped(ch: char) -> bool {
    matches!(ch,
        '\u{AD}' | '\u{61C}' | '\u{640}' | '\u{200C}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{2069}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}'
        | '\u{1F3FB}'..='\u{1F3FF}' | '\u{E0000}'..='\u{E01EF}')
        || (ch as u32 >= 0x300 && !is_gram(ch) && canonical_combining_class(ch) != 0)
}

fn is_symbol(ch: char) -> bool {
    matches!(ch, '\u{2600}'..='\u{27BF}' | '\u{2B00}'..='\u{2BFF}' | '\u{1F000}'..='\u{1FAFF}')
}

fn is_half_width(ch: char) -> bool {
    matches!(ch, '\u{FF65}'..='\u{FFDC}')
}

/// Grams that NFKC leaves as they are, when nothing follows that joins them.
fn is_plain_gram(ch: char) -> bool {
    matches!(ch, '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7A3}' | '\u{3041}'..='\u{3096}'
        | '\u{30A1}'..='\u{30FA}' | '\u{30FC}'..='\u{30FE}')
}

/// Scripts that don't put spaces between words, and Hangul, where a word carries its particles.
fn is_gram(ch: char) -> bool {
    // The first lines serve speed: no such script below Thai.
    if (ch as u32) < 0xE01 {
        return false;
    }
    matches!(ch,
        // Thai, Lao, Myanmar, Khmer; without their digits and punctuation.
        '\u{E01}'..='\u{E3A}' | '\u{E40}'..='\u{E4E}' | '\u{E81}'..='\u{ECF}' | '\u{EDC}'..='\u{EDF}'
        | '\u{1000}'..='\u{103F}' | '\u{1050}'..='\u{108F}' | '\u{1780}'..='\u{17D3}'
        // Hangul.
        | '\u{1100}'..='\u{11FF}' | '\u{3131}'..='\u{318E}' | '\u{A960}'..='\u{A97F}'
        | '\u{AC00}'..='\u{D7FF}'
        // Hiragana, Katakana, Bopomofo; U+30FB is the middle dot between words.
        | '\u{3041}'..='\u{3096}' | '\u{309D}'..='\u{309F}' | '\u{30A1}'..='\u{30FA}'
        | '\u{30FC}'..='\u{30FF}' | '\u{31F0}'..='\u{31FF}' | '\u{3105}'..='\u{312F}'
        | '\u{31A0}'..='\u{31BF}'
        // Han.
        | '\u{2E80}'..='\u{2FD5}' | '\u{3005}' | '\u{3007}' | '\u{3021}'..='\u{3029}'
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}'
        | '\u{20000}'..='\u{3FFFD}')
}
