//! Writes an account as mbox files (mboxrd), one a mailbox.
//!
//! Holds: a file that has its name is whole. One that is being written has its state beside it, from which the next run goes on; what is behind
//! the state is cut off. Before a message are its flags, and a field with its hash by which it can be had again as it was; by that the next
//! run also knows what a file has, and adds the rest.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, BufRead as _, BufReader, BufWriter, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Exported, Tree, make_folder, sync_folder, write_json, write_settings};
use crate::moving::{
    MoveError, Progress, Tally, dates,
    mbox::HASH_FIELD,
    names,
    protocol::MailboxItem,
    session::{Destination, Session},
};

/// Messages between two notes of how far a file is.
const MESSAGES_PER_STATE: u64 = 200;

/// How far a file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    /// Of the file, in octets.
    length: u64,
    /// The last UID that is in it.
    uid: u32,
}

/// Writes the mailboxes of an account that have no file yet, and into the files of others what isn't in them.
pub async fn export(
    destination: &Destination,
    account: &str,
    root: &Path,
    progress: &Progress,
) -> Result<Tally, MoveError> {
    let mut session = destination.open(account).await?;
    make_folder(root)?;
    let tree = Tree::new(session.mailboxes().await?);
    let (listing, files) = tree.files(file_name);
    let mut tally = Tally::default();
    let mut places = read_places(&mut session, &mut tally).await?;
    for (id, file) in &files {
        let path = root.join(file);
        let emails = places.remove(id).unwrap_or_default();
        if path.exists() {
            append(&mut session, &path, &emails, &mut tally).await?;
            continue;
        }
        make_folder(path.parent().unwrap_or(root))?;
        progress(&format!("{}: {}", session.name, file));
        write_file(&mut session, &path, &emails, &mut tally).await?;
    }
    write_settings(&mut session, root).await?;
    listing.write(root)?;
    sync_folder(root)?;
    session.close().await;
    Ok(tally)
}

fn file_name(levels: &[String], item: &MailboxItem) -> String {
    if item.role.as_deref() == Some("inbox") && item.parent.is_none() {
        return "INBOX.mbox".to_owned();
    }
    let part = |level: &String| {
        let name = names::file_name(level, false);
        // A folder must not have the name of a file.
        match name.to_lowercase().strip_suffix(".mbox") {
            Some(stem) if name.is_char_boundary(stem.len()) => {
                format!("{}%2E{}", &name[..stem.len()], &name[stem.len() + 1..])
            }
            _ => name,
        }
    };
    let parts: Vec<String> = levels.iter().map(part).collect();
    format!("{}.mbox", parts.join("/"))
}

/// By mailbox: its emails in the order of their UIDs.
type Places = BTreeMap<u64, BTreeMap<u32, (Exported, bool)>>;

async fn read_places(session: &mut Session, tally: &mut Tally) -> Result<Places, MoveError> {
    let (mut places, mut after) = (Places::new(), 0);
    loop {
        let page = session.emails(after).await?;
        let Some(last) = page.last() else {
            return Ok(places);
        };
        after = last.id;
        for item in page {
            let Some(row) = item.email else {
                let place = format!("email {}", item.id);
                tally.problem(
                    &place,
                    "its record can't be read; `posthorn check` tells more",
                );
                continue;
            };
            let email = Exported { id: item.id, row };
            for &(mailbox, uid, is_deleted) in &email.row.places {
                let of_mailbox = places.entry(mailbox).or_default();
                of_mailbox.insert(uid, (email.clone(), is_deleted));
            }
        }
    }
}

async fn write_file(
    session: &mut Session,
    path: &Path,
    emails: &BTreeMap<u32, (Exported, bool)>,
    tally: &mut Tally,
) -> Result<(), MoveError> {
    let part = path.with_extension("mbox.part");
    let note = path.with_extension("mbox.state");
    let failed = |error: io::Error| MoveError::file(&part, error);
    let state = read_state(&note, &part);
    let mut file = open_part(&part, state.length).map_err(failed)?;
    let mut since_state = 0;
    for (&uid, (email, is_deleted)) in emails.range(state.uid.saturating_add(1)..) {
        let Some(octets) = octets_of(session, email, tally).await? else {
            continue;
        };
        write_message(&mut file, email, *is_deleted, &octets).map_err(failed)?;
        since_state += 1;
        if since_state >= MESSAGES_PER_STATE {
            note_state(&mut file, &note, uid)?;
            since_state = 0;
        }
    }
    finish(file, &part, path).map_err(failed)?;
    remove(&note)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Writes a file anew beside itself, with what isn't in it: what has come since, and what was damaged then.
async fn append(
    session: &mut Session,
    path: &Path,
    emails: &BTreeMap<u32, (Exported, bool)>,
    tally: &mut Tally,
) -> Result<(), MoveError> {
    let found = hashes_in(path).map_err(|error| MoveError::file(path, error));
    let (mut hashes, ends_empty) = found?;
    let mut missing = Vec::new();
    for (email, is_deleted) in emails.values() {
        match hashes.get_mut(&email.row.hash).filter(|count| **count > 0) {
            Some(count) => {
                *count -= 1;
                tally.known += 1;
            }
            None => missing.push((email, *is_deleted)),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let part = path.with_extension("mbox.part");
    let failed = |error: io::Error| MoveError::file(&part, error);
    // Of another file than this one.
    remove(&path.with_extension("mbox.state"))?;
    let length = fs::copy(path, &part).map_err(failed)?;
    let mut file = open_part(&part, length).map_err(failed)?;
    if !ends_empty {
        // A mail program has written it; a message begins after an empty line.
        file.write_all(b"\n\n").map_err(failed)?;
    }
    for (email, is_deleted) in missing {
        if let Some(octets) = octets_of(session, email, tally).await? {
            write_message(&mut file, email, is_deleted, &octets).map_err(failed)?;
        }
    }
    finish(file, &part, path).map_err(failed)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// How often a file has messages of each hash, and whether it ends with an empty line.
fn hashes_in(path: &Path) -> io::Result<(HashMap<String, u64>, bool)> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut hashes = HashMap::new();
    let (mut line, mut is_in_head, mut is_after_empty) = (Vec::new(), false, true);
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok((hashes, is_after_empty));
        }
        let text = line.trim_ascii_end();
        let hash = text.strip_prefix(HASH_FIELD.as_bytes());
        let hash = hash.and_then(|rest| rest.strip_prefix(b": "));
        match hash.filter(|_| is_in_head) {
            Some(hash) => {
                let hash = String::from_utf8_lossy(hash).into_owned();
                *hashes.entry(hash).or_default() += 1;
                // What follows is the message's own.
                is_in_head = false;
            }
            None if is_after_empty && text.starts_with(b"From ") => is_in_head = true,
            None => is_in_head &= !text.is_empty(),
        }
        is_after_empty = text.is_empty();
    }
}

/// The octets of a message that is written; `None`: they can't be had.
async fn octets_of(
    session: &mut Session,
    email: &Exported,
    tally: &mut Tally,
) -> Result<Option<Bytes>, MoveError> {
    let octets = session.octets(&email.row.hash).await?;
    match &octets {
        Some(octets) => {
            tally.new += 1;
            tally.octets += octets.len() as u64;
        }
        None => {
            let why = "its octets are missing or damaged; `posthorn check` tells more";
            tally.problem(&format!("email {}", email.id), why);
        }
    }
    Ok(octets)
}

fn finish(mut file: BufWriter<File>, part: &Path, path: &Path) -> io::Result<()> {
    file.flush()?;
    file.get_ref().sync_all()?;
    fs::rename(part, path)
}

fn remove(note: &Path) -> Result<(), MoveError> {
    match fs::remove_file(note) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(MoveError::file(note, error)),
        _ => Ok(()),
    }
}

fn read_state(note: &Path, part: &Path) -> State {
    let read = fs::read(note).ok();
    let state: Option<State> = read.and_then(|octets| serde_json::from_slice(&octets).ok());
    let length = fs::metadata(part).map_or(0, |file| file.len());
    // Without what it speaks of, a state is worth nothing.
    state
        .filter(|state| state.length <= length)
        .unwrap_or_default()
}

fn open_part(part: &PathBuf, length: u64) -> io::Result<BufWriter<File>> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(part)?;
    file.set_len(length)?;
    file.seek(io::SeekFrom::End(0))?;
    Ok(BufWriter::new(file))
}

fn note_state(file: &mut BufWriter<File>, note: &Path, uid: u32) -> Result<(), MoveError> {
    let length = (|| {
        file.flush()?;
        file.get_ref().sync_data()?;
        file.get_ref().metadata()
    })();
    let length = length.map_err(|error| MoveError::file(note, error))?.len();
    write_json(note, &State { length, uid })
}

fn write_message(
    file: &mut impl io::Write,
    email: &Exported,
    is_deleted: bool,
    octets: &[u8],
) -> io::Result<()> {
    let row = &email.row;
    let has = |keyword: &str| row.keywords.iter().any(|name| name == keyword);
    writeln!(
        file,
        "From MAILER-DAEMON {}",
        dates::from_line(row.received_at)
    )?;
    writeln!(file, "Status: {}O", if has("$seen") { "R" } else { "" })?;
    let letters = [("$answered", 'A'), ("$flagged", 'F'), ("$draft", 'T')];
    let mut status: String = letters
        .iter()
        .filter(|(keyword, _)| has(keyword))
        .map(|(_, letter)| *letter)
        .collect();
    if is_deleted {
        status.push('D');
    }
    if !status.is_empty() {
        writeln!(file, "X-Status: {status}")?;
    }
    let is_other =
        |name: &&String| **name != "$seen" && !letters.iter().any(|(keyword, _)| keyword == *name);
    let others: Vec<&str> = row
        .keywords
        .iter()
        .filter(is_other)
        .map(String::as_str)
        .collect();
    if !others.is_empty() {
        writeln!(file, "X-Keywords: {}", others.join(" "))?;
    }
    writeln!(file, "{HASH_FIELD}: {}", row.hash)?;
    // Lines of the system, if that can be undone.
    let is_uniform = octets
        .split(|&octet| octet == b'\n')
        .rev()
        .skip(1)
        .all(|line| line.ends_with(b"\r"));
    let mut last = octets;
    for line in octets.split_inclusive(|&octet| octet == b'\n') {
        let signs = line.iter().take_while(|&&octet| octet == b'>').count();
        if line[signs..].starts_with(b"From ") {
            file.write_all(b">")?;
        }
        match line.strip_suffix(b"\r\n") {
            Some(line) if is_uniform => {
                file.write_all(line)?;
                file.write_all(b"\n")?;
            }
            _ => file.write_all(line)?,
        }
        last = line;
    }
    if !last.ends_with(b"\n") {
        file.write_all(b"\n")?;
    }
    file.write_all(b"\n")
}
