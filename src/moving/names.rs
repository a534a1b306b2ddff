//! Names of folders: IMAP's modified UTF-7 (RFC 3501 §5.1.3), roles, and names of files that are safe.
//!
//! Holds: no name of a file leaves its folder, is hidden, or is longer than file systems take; different names have different files.

use base64::{
    Engine as _,
    alphabet::IMAP_MUTF7,
    engine::{GeneralPurpose, general_purpose::NO_PAD},
};

use super::intake::short_hash;
use crate::hex::hex;

const MUTF7: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

/// Octets of one part of a file's name; file systems take 255, and something is put behind it.
const FILE_NAME_OCTETS_MAX: usize = 180;

/// `None`: it isn't modified UTF-7.
pub fn decode_utf7(text: &str) -> Option<String> {
    if !text.is_ascii() {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (plain, shifted) = rest.split_at(at);
        let (encoded, after) = shifted[1..].split_once('-')?;
        out.push_str(plain);
        rest = after;
        if encoded.is_empty() {
            out.push('&');
            continue;
        }
        let octets = MUTF7.decode(encoded).ok()?;
        if octets.len() % 2 != 0 {
            return None;
        }
        let units = octets
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        for c in char::decode_utf16(units) {
            out.push(c.ok()?);
        }
    }
    out.push_str(rest);
    Some(out)
}

pub fn encode_utf7(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut units: Vec<u8> = Vec::new();
    let shift = |units: &mut Vec<u8>, out: &mut String| {
        if !units.is_empty() {
            out.push('&');
            out.push_str(&MUTF7.encode(&*units));
            out.push('-');
            units.clear();
        }
    };
    for c in text.chars() {
        match c {
            '&' => {
                shift(&mut units, &mut out);
                out.push_str("&-");
            }
            ' '..='~' => {
                shift(&mut units, &mut out);
                out.push(c);
            }
            _ => {
                let mut buffer = [0; 2];
                for unit in c.encode_utf16(&mut buffer) {
                    units.extend_from_slice(&unit.to_be_bytes());
                }
            }
        }
    }
    shift(&mut units, &mut out);
    out
}

/// A level of a name as a mailbox can have it: names have no `/` and no control characters here.
pub fn level(name: &str) -> String {
    let clean: String = name
        .chars()
        .map(|c| if c == '/' || c.is_control() { '_' } else { c })
        .collect();
    match clean.trim().is_empty() {
        true => "_".to_owned(),
        false => clean,
    }
}

/// The role of an attribute of RFC 6154.
pub fn role_of_attribute(attribute: &str) -> Option<&'static str> {
    Some(match attribute.to_ascii_lowercase().as_str() {
        "\\archive" => "archive",
        "\\drafts" => "drafts",
        "\\junk" => "junk",
        "\\sent" => "sent",
        "\\trash" => "trash",
        _ => return None,
    })
}

/// The role that a folder of this name has, where nobody says so.
pub fn usual_role(levels: &[String]) -> Option<&'static str> {
    let [name] = levels else {
        return None;
    };
    Some(match name.to_lowercase().as_str() {
        "inbox" => "inbox",
        "archive" | "archives" => "archive",
        "drafts" => "drafts",
        "junk" | "spam" | "junk e-mail" | "bulk mail" => "junk",
        "sent" | "sent items" | "sent messages" | "sent-mail" | "sent mail" => "sent",
        "trash" | "deleted items" | "deleted messages" => "trash",
        _ => return None,
    })
}

/// One part of a file's name for any name; `dots`: a dot has a meaning there.
pub fn file_name(name: &str, dots: bool) -> String {
    let mut out = String::with_capacity(name.len());
    for (at, c) in name.char_indices() {
        let is_bad = c == '/' || c == '%' || c.is_control() || c == '\u{fffd}';
        let is_bad = is_bad || (c == '.' && (dots || at == 0)) || (c == '~' && at == 0);
        match is_bad {
            false => out.push(c),
            true => {
                for octet in c.to_string().bytes() {
                    out.push_str(&format!("%{octet:02X}"));
                }
            }
        }
    }
    if out.is_empty() {
        out.push_str("%00");
    }
    if out.len() > FILE_NAME_OCTETS_MAX {
        let mut cut = FILE_NAME_OCTETS_MAX - 33;
        while !out.is_char_boundary(cut) {
            cut -= 1;
        }
        out.truncate(cut);
        out.push('-');
        out.push_str(&hex(&short_hash(name.as_bytes())));
    }
    out
}

/// What a file that [`file_name`] has named stands for, if it isn't cut.
pub fn of_file_name(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}
