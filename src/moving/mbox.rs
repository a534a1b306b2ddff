//! Reads mbox files (RFC 4155 and what came before it).
//!
//! Holds: a message begins at a line `From ` with a date, at the beginning or after an empty line; no Content-Length is trusted. Fields that
//! mail programs write into such files (Status and the like) become flags and are no part of the message. A message is known by its octets.
//! Other half: `export::mbox` writes them.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
};

use super::{
    MoveError, dates,
    export::Listing,
    flags::Flags,
    intake::{Intake, Message, collection, short_hash},
    maildir::{is_changed, with_crlf},
    names,
    protocol::KnownItem,
};
use crate::hex::hex;

/// The field of an export that ends what it has put before the message: the hash of the message.
pub const HASH_FIELD: &str = "X-Posthorn-Hash";
/// Files of one folder.
const FILES_MAX: usize = 100_000;
const DEPTH_MAX: usize = 32;
/// Octets of a line in which the beginning of a message is looked for.
const FROM_LINE_OCTETS_MAX: usize = 1000;
/// Fields that are no part of a message.
const FIELDS: &[&str] = &[
    "status",
    "x-status",
    "x-keywords",
    "x-uid",
    "x-imap",
    "x-imapbase",
    "content-length",
];

/// How lines that begin with `From ` were made different ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Quoting {
    /// One more `>` before each `From ` with any number of them
    #[default]
    Mboxrd,
    /// A `>` before `From ` alone
    Mboxo,
    /// Not at all
    None,
}

/// Imports a file, or all `*.mbox` files of a folder.
pub async fn import(
    path: &Path,
    into: Option<&str>,
    quoting: Quoting,
    intake: &mut Intake,
) -> Result<(), MoveError> {
    let path = path
        .canonicalize()
        .map_err(|error| MoveError::file(path, error))?;
    if !path.is_dir() {
        let levels = match into {
            Some(name) => name.split('/').map(names::level).collect(),
            None => vec![level_of(&path)],
        };
        let role = names::usual_role(&levels).map(str::to_owned);
        return import_file(&path, (levels, role, true), quoting, intake).await;
    }
    let listing = Listing::read(&path)?;
    let mut files = Vec::new();
    find(&path, 0, &mut files)?;
    files.sort();
    if files.is_empty() {
        return Err(MoveError::Source(format!(
            "there are no files *.mbox in {}",
            path.display()
        )));
    }
    for file in files {
        let relative = file.strip_prefix(&path).unwrap_or(&file).to_owned();
        let listed = listing
            .as_ref()
            .and_then(|listing| listing.get(relative.to_str()?));
        let place = match listed {
            Some(of) => (of.levels.clone(), of.role.clone(), of.is_subscribed),
            None => {
                let mut levels: Vec<String> = relative
                    .parent()
                    .into_iter()
                    .flat_map(Path::iter)
                    .map(|part| names::level(&names::of_file_name(&part.to_string_lossy())))
                    .collect();
                levels.push(level_of(&file));
                let role = names::usual_role(&levels).map(str::to_owned);
                (levels, role, true)
            }
        };
        import_file(&file, place, quoting, intake).await?;
    }
    Ok(())
}

fn level_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(".mbox").unwrap_or(&name);
    let name = names::of_file_name(name);
    match name.to_ascii_lowercase().as_str() {
        "inbox" | "mbox" => "INBOX".to_owned(),
        _ => names::level(&name),
    }
}

fn find(folder: &Path, depth: usize, into: &mut Vec<PathBuf>) -> Result<(), MoveError> {
    for entry in fs::read_dir(folder).map_err(|error| MoveError::file(folder, error))? {
        let entry = entry.map_err(|error| MoveError::file(folder, error))?;
        let path = entry.path();
        if into.len() >= FILES_MAX || depth > DEPTH_MAX {
            return Err(MoveError::Source(format!(
                "{} has too many files, or folders in too many levels",
                folder.display()
            )));
        }
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if path.is_dir() {
            find(&path, depth + 1, into)?;
        } else if path.extension().is_some_and(|end| end == "mbox") {
            into.push(path);
        }
    }
    Ok(())
}

type Place = (Vec<String>, Option<String>, bool);

async fn import_file(
    path: &Path,
    (levels, role, is_subscribed): Place,
    quoting: Quoting,
    intake: &mut Intake,
) -> Result<(), MoveError> {
    let file = File::open(path).map_err(|error| MoveError::file(path, error))?;
    let mailbox = match intake
        .mailbox(&levels, role.as_deref(), is_subscribed)
        .await
    {
        Ok(mailbox) => mailbox,
        Err(MoveError::Source(why)) => {
            intake.problem(&path.display().to_string(), &why);
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let collection = collection(&[b"mbox", path.as_os_str().as_encoded_bytes()]);
    let known = intake.known(&collection).await?;
    // Of equal messages in one file, the second is another one than the first.
    let mut seen: HashMap<[u8; 16], u32> = HashMap::new();
    let mut changed = Vec::new();
    let mut reader = Reader::new(file, intake.message_octets_max(), quoting);
    while let Some(raw) = reader
        .next()
        .map_err(|error| MoveError::file(path, error))?
    {
        let place = format!("{}, line {}", path.display(), raw.line);
        if raw.is_too_large {
            let max = intake.message_octets_max();
            intake.problem(
                &place,
                &format!("it has more octets than the server takes ({max})"),
            );
            continue;
        }
        let Some(message) = take_apart(&raw.octets) else {
            continue;
        };
        let name = short_hash(&message.octets);
        let count = seen.entry(name).or_default();
        *count += 1;
        let item = [&name[..], &count.to_be_bytes()].concat();
        if let Some(known) = known.get(&hex(&item)) {
            intake.tally.known += 1;
            if is_changed(known, &message.flags) {
                changed.push(KnownItem {
                    item: hex(&item),
                    keywords: message.flags.keywords,
                    is_deleted: message.flags.is_deleted,
                });
            }
            continue;
        }
        let message = Message {
            collection,
            item,
            octets: message.octets.into(),
            mailboxes: vec![mailbox],
            flags: message.flags,
            received_at: dates::from_line_date(&raw.from_line),
            place,
            meeting: intake.meeting(),
        };
        intake.put(message).await?;
    }
    if intake.updates_flags && !changed.is_empty() {
        intake.flags(&collection, changed).await?;
    }
    Ok(())
}

/// What is between two lines `From `.
#[derive(Debug, Default)]
pub struct Raw {
    /// The number of its line `From `.
    pub line: u64,
    pub from_line: String,
    /// As they are in the file, with quotation undone.
    pub octets: Vec<u8>,
    pub is_too_large: bool,
}

/// Reads one message after the other.
pub struct Reader<R> {
    reader: BufReader<R>,
    octets_max: u64,
    quoting: Quoting,
    line: u64,
    /// The line `From ` that has been read ahead.
    next: Option<(u64, String)>,
}

impl<R: std::io::Read> Reader<R> {
    pub fn new(reader: R, octets_max: u64, quoting: Quoting) -> Self {
        Self {
            reader: BufReader::new(reader),
            octets_max,
            quoting,
            line: 0,
            next: None,
        }
    }

    pub fn next(&mut self) -> std::io::Result<Option<Raw>> {
        let mut line = Vec::new();
        while self.next.is_none() {
            if !self.read_piece(&mut line)? {
                return Ok(None);
            }
            self.line += 1;
            if is_from_line(&line) {
                self.next = Some((self.line, String::from_utf8_lossy(&line).into_owned()));
            }
        }
        let Some((number, from_line)) = self.next.take() else {
            return Ok(None);
        };
        let mut raw = Raw {
            line: number,
            from_line,
            ..Raw::default()
        };
        // The empty line before a `From ` is no part of a message.
        let mut empty: Option<Vec<u8>> = None;
        let mut is_begin_of_line = true;
        while self.read_piece(&mut line)? {
            let is_whole = line.ends_with(b"\n");
            if is_begin_of_line {
                self.line += 1;
                let is_after_empty = empty.is_some() || raw.octets.is_empty();
                if is_after_empty && is_from_line(&line) {
                    self.next = Some((self.line, String::from_utf8_lossy(&line).into_owned()));
                    return Ok(Some(raw));
                }
                unquote(&mut line, self.quoting);
            }
            if let Some(empty) = empty.take() {
                raw.append(&empty, self.octets_max);
            }
            match is_begin_of_line && matches!(&line[..], b"\n" | b"\r\n") {
                true => empty = Some(line.clone()),
                false => raw.append(&line, self.octets_max),
            }
            is_begin_of_line = is_whole;
        }
        Ok(Some(raw))
    }

    /// A line, or a piece of a very long one. `false`: the file ends.
    fn read_piece(&mut self, into: &mut Vec<u8>) -> std::io::Result<bool> {
        const PIECE_OCTETS: u64 = 64 << 10;
        into.clear();
        let mut piece = (&mut self.reader).take(PIECE_OCTETS);
        Ok(piece.read_until(b'\n', into)? > 0)
    }
}

impl Raw {
    fn append(&mut self, octets: &[u8], octets_max: u64) {
        // Fields that are taken out, and CR that is put in, make no difference that matters here.
        if self.is_too_large || (self.octets.len() + octets.len()) as u64 > octets_max {
            self.is_too_large = true;
            self.octets = Vec::new();
            return;
        }
        self.octets.extend_from_slice(octets);
    }
}

/// `From `, a sender, and a date: other lines that begin so are text.
fn is_from_line(line: &[u8]) -> bool {
    if !line.starts_with(b"From ") || line.len() > FROM_LINE_OCTETS_MAX {
        return false;
    }
    dates::from_line_date(&String::from_utf8_lossy(line)).is_some()
}

fn unquote(line: &mut Vec<u8>, quoting: Quoting) {
    let signs = line.iter().take_while(|&&octet| octet == b'>').count();
    let is_quoted = match quoting {
        Quoting::Mboxrd => signs >= 1,
        Quoting::Mboxo => signs == 1,
        Quoting::None => false,
    };
    if is_quoted && line[signs..].starts_with(b"From ") {
        line.remove(0);
    }
}

/// A message, and what the file says of it.
#[derive(Debug, PartialEq, Eq)]
struct Whole {
    octets: Vec<u8>,
    flags: Flags,
}

/// `None`: it is none, but what a server has noted for itself.
fn take_apart(raw: &[u8]) -> Option<Whole> {
    match marked(raw) {
        Some(whole) => Some(whole),
        None => unmarked(raw),
    }
}

/// A message of an export: what was put before it ends with a field that has its hash, so it is had as it was.
fn marked(raw: &[u8]) -> Option<Whole> {
    let mut flags = Flags::default();
    let mut rest = raw;
    let hash = loop {
        let end = rest.iter().position(|&octet| octet == b'\n')?;
        let line = std::str::from_utf8(&rest[..end]).ok()?.trim_end();
        rest = &rest[end + 1..];
        let (name, value) = line.split_once(':')?;
        match name {
            HASH_FIELD => break value.trim().to_owned(),
            _ if FIELDS.contains(&name.to_ascii_lowercase().as_str()) => {
                note(&mut flags, name, value)
            }
            _ => return None,
        }
    };
    let flags = flags.sorted();
    let converted = with_crlf(rest);
    let without_end = |octets: &[u8]| -> Vec<u8> {
        let octets = octets.strip_suffix(b"\n").unwrap_or(octets);
        octets.strip_suffix(b"\r").unwrap_or(octets).to_vec()
    };
    let raw_without_end = rest.strip_suffix(b"\n").unwrap_or(rest).to_vec();
    let forms = [
        converted.clone(),
        rest.to_vec(),
        without_end(&converted),
        raw_without_end,
    ];
    let is_it = |octets: &Vec<u8>| hex(&store::blob::hash(octets)) == hash;
    let octets = forms.into_iter().find(is_it);
    Some(Whole {
        octets: octets.unwrap_or(converted),
        flags,
    })
}

fn unmarked(raw: &[u8]) -> Option<Whole> {
    let mut flags = Flags::default();
    let mut octets = Vec::with_capacity(raw.len());
    let (mut rest, mut is_taken_out) = (raw, false);
    let mut is_servers_own = false;
    while let Some(end) = rest.iter().position(|&octet| octet == b'\n') {
        let (line, after) = rest.split_at(end + 1);
        if matches!(line, b"\n" | b"\r\n") {
            break;
        }
        rest = after;
        let text = String::from_utf8_lossy(line);
        if text.starts_with([' ', '\t']) {
            if is_taken_out {
                note(&mut flags, "x-keywords", &text);
                continue;
            }
        } else {
            let (name, value) = text.split_once(':').unwrap_or_default();
            let name = name.trim_end().to_ascii_lowercase();
            is_taken_out = FIELDS.contains(&name.as_str());
            if is_taken_out {
                note(&mut flags, &name, value);
                // The first message of some files is the server's: its UIDs.
                is_servers_own |= name == "x-imap";
                continue;
            }
        }
        octets.extend_from_slice(line);
    }
    if is_servers_own && contains(raw, b"FOLDER INTERNAL DATA") {
        return None;
    }
    octets.extend_from_slice(rest);
    Some(Whole {
        octets: with_crlf(&octets),
        flags: flags.sorted(),
    })
}

fn contains(octets: &[u8], text: &[u8]) -> bool {
    octets.windows(text.len()).any(|window| window == text)
}

/// What a field of a mail program says.
fn note(flags: &mut Flags, name: &str, value: &str) {
    match name.to_ascii_lowercase().as_str() {
        "status" if value.contains('R') => flags.add("\\Seen"),
        "x-status" => {
            for letter in value.chars() {
                match letter {
                    'A' => flags.add("\\Answered"),
                    'F' => flags.add("\\Flagged"),
                    'T' => flags.add("\\Draft"),
                    'D' => flags.add("\\Deleted"),
                    _ => {}
                }
            }
        }
        "x-keywords" => value.split_whitespace().for_each(|word| flags.add(word)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, quoting: Quoting) -> Vec<String> {
        let mut reader = Reader::new(text.as_bytes(), 10_000, quoting);
        let mut all = Vec::new();
        while let Some(raw) = reader.next().unwrap() {
            let whole = take_apart(&raw.octets);
            all.push(match whole {
                Some(whole) => format!(
                    "{}:{}:{}",
                    raw.line,
                    whole.flags.keywords.join(","),
                    String::from_utf8(whole.octets).unwrap()
                ),
                None => format!("{}:none", raw.line),
            });
        }
        all
    }

    const FROM: &str = "From a@b Thu Jan  1 00:00:00 1970\n";

    #[test]
    fn messages_begin_after_an_empty_line_with_a_date() {
        let text = format!(
            "{FROM}Subject: one\nContent-Length: 99999\nStatus: RO\n\nFrom here on\nFrom x Thu Jan  1 00:00:00 1970\n\n\
             {FROM}Subject: two\nX-Status: AF\nX-Keywords: Work\n\t$Later\n\n>From me\n>>From you\n"
        );
        assert_eq!(
            read(&text, Quoting::Mboxrd),
            [
                "1:$seen:Subject: one\r\n\r\nFrom here on\r\nFrom x Thu Jan  1 00:00:00 1970\r\n",
                "9:$answered,$flagged,$later,work:Subject: two\r\n\r\nFrom me\r\n>From you\r\n",
            ]
        );
        assert!(read(&text, Quoting::Mboxo)[1].ends_with("\r\nFrom me\r\n>>From you\r\n"));
        assert!(read(&text, Quoting::None)[1].ends_with("\r\n>From me\r\n>>From you\r\n"));
    }

    #[test]
    fn what_a_server_notes_for_itself_is_no_message() {
        let text = format!(
            "{FROM}Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\n\nx\n\n{FROM}Subject: a\n\n"
        );
        let read = read(&text, Quoting::Mboxrd);
        assert_eq!(read[0], "1:none");
        assert_eq!(read.len(), 2);
    }

    #[test]
    fn a_message_past_the_limit_is_left_out_and_the_next_one_is_read() {
        let text = format!(
            "{FROM}Subject: long\n\n{}\n\n{FROM}Subject: b\n\n",
            "x".repeat(200_000)
        );
        let mut reader = Reader::new(text.as_bytes(), 1000, Quoting::Mboxrd);
        assert!(reader.next().unwrap().unwrap().is_too_large);
        let second = reader.next().unwrap().unwrap();
        assert!(!second.is_too_large && second.octets.starts_with(b"Subject: b"));
        assert!(reader.next().unwrap().is_none());
    }
}
