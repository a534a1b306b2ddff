//! Values with parameters: Content-Type and Content-Disposition (RFC 2045 §5.1, RFC 2183, RFC 2231).
//! Holds: a fold anywhere, also before a quoted value, keeps the parameter; bounded counts and sizes.
//! Other half: `emit` writes parameters.

use super::address::{quoted, without_comments};
use super::words::{decode_words, nfc, unfold};
use super::{MIME_PARAM_OCTETS_MAX, MIME_PARAMS_MAX, decode};

/// A value and its parameters; value and names in lower case, parameters decoded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parameterized {
    pub value: String,
    pub params: Vec<(String, String)>,
}

impl Parameterized {
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.params.iter().find(|(known, _)| known == name)?;
        Some(found.1.as_str())
    }

    pub fn take(&mut self, name: &str) -> Option<String> {
        let at = self.params.iter().position(|(known, _)| known == name)?;
        Some(self.params.remove(at).1)
    }
}

/// One section of a parameter that RFC 2231 cut in pieces.
struct Piece {
    name: String,
    section: u32,
    extended: bool,
    value: String,
}

pub(super) fn parse(raw: &[u8]) -> Parameterized {
    let value = unfold(raw);
    let value = without_comments(&value);
    let (head, mut rest) = value.split_once(';').unwrap_or((&value, ""));
    let mut pieces: Vec<Piece> = Vec::new();
    let mut plain: Vec<(String, String)> = Vec::new();
    for _ in 0..MIME_PARAMS_MAX {
        let Some((name, value, tail)) = parameter(rest) else {
            break;
        };
        rest = tail;
        if name.is_empty() {
            continue;
        }
        match name.split_once('*') {
            None => plain.push((name, value)),
            Some((base, suffix)) => {
                let (section, extended) = match suffix.strip_suffix('*') {
                    Some(section) => (section, true),
                    None => (suffix, suffix.is_empty()),
                };
                let section = if section.is_empty() {
                    Ok(0)
                } else {
                    section.parse()
                };
                if let Ok(section) = section {
                    let name = base.to_owned();
                    pieces.push(Piece {
                        name,
                        section,
                        extended,
                        value,
                    });
                }
            }
        }
    }
    let mut params = join(pieces);
    for (name, value) in plain {
        // RFC 2231 §3: the extended form wins over the plain one; of two plain ones, the first.
        if !params.iter().any(|(known, _)| *known == name) {
            params.push((name, nfc(decode_words(&value))));
        }
    }
    for (_, value) in &mut params {
        truncate(value);
    }
    let mut value = head.trim().to_ascii_lowercase();
    value.retain(|c| !c.is_whitespace());
    truncate(&mut value);
    Parameterized { value, params }
}

/// Name in lower case, value, and what follows; `None` at the end.
pub(super) fn parameter(rest: &str) -> Option<(String, String, &str)> {
    let rest = rest.trim_start_matches([' ', '\t', ';']);
    if rest.is_empty() {
        return None;
    }
    let name_len = rest.find(['=', ';']).unwrap_or(rest.len());
    let (name, tail) = rest.split_at(name_len);
    let Some(tail) = tail.strip_prefix('=') else {
        return Some((String::new(), String::new(), tail));
    };
    let name = name.trim().to_ascii_lowercase();
    let tail = tail.trim_start_matches([' ', '\t']);
    if tail.starts_with('"') {
        let (value, len) = quoted(tail);
        let tail = &tail[len..];
        let after = tail.find(';').unwrap_or(tail.len());
        return Some((name, value, &tail[after..]));
    }
    let len = tail.find(';').unwrap_or(tail.len());
    let (value, tail) = tail.split_at(len);
    Some((name, value.trim().to_owned(), tail))
}

/// Joins the sections of each name in their order (RFC 2231 §3 and §4.1).
fn join(mut pieces: Vec<Piece>) -> Vec<(String, String)> {
    pieces.sort_by(|a, b| (&a.name, a.section).cmp(&(&b.name, b.section)));
    let mut out = Vec::new();
    for run in pieces.chunk_by(|a, b| a.name == b.name) {
        let mut charset = String::new();
        let mut octets = Vec::new();
        for (at, piece) in run.iter().enumerate() {
            if !piece.extended {
                octets.extend_from_slice(piece.value.as_bytes());
                continue;
            }
            let mut value = piece.value.as_str();
            if at == 0 {
                let mut quotes = value.splitn(3, '\'');
                if let (Some(set), Some(_), Some(text)) =
                    (quotes.next(), quotes.next(), quotes.next())
                {
                    charset = set.to_owned();
                    value = text;
                }
            }
            percent_into(value, &mut octets);
        }
        let text = match decode::charset(&charset, &octets) {
            Some((text, _)) if !charset.is_empty() => text,
            _ => decode::guess(&octets).0,
        };
        out.push((run[0].name.clone(), nfc(text)));
    }
    out
}

fn percent_into(value: &str, out: &mut Vec<u8>) {
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        if let (b'%', [a, b, ..]) = (first, tail)
            && let (Some(high), Some(low)) = (decode::hex(*a), decode::hex(*b))
        {
            out.push(high << 4 | low);
            rest = &tail[2..];
            continue;
        }
        out.push(*first);
        rest = tail;
    }
}

fn truncate(value: &mut String) {
    if value.len() > MIME_PARAM_OCTETS_MAX {
        value.truncate(value.floor_char_boundary(MIME_PARAM_OCTETS_MAX));
    }
}
