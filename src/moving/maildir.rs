//! Reads Maildirs: Maildir++ (`.Folder.Sub`), folders as the file system has them (`Folder/Sub`), and both mixed.
//!
//! Holds: nothing is changed; a message is known by its name up to the flags, which stays when it is read or moved to `cur`.
//! Other half: `export::maildir` writes them.

use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use bytes::Bytes;

use super::{
    MoveError,
    export::Listing,
    flags::Flags,
    intake::{Intake, Message, collection, short_hash},
    names,
    protocol::KnownItem,
};
use crate::hex::hex;

/// Folders of one Maildir.
const FOLDERS_MAX: usize = 100_000;
/// How deep folders are looked for.
const DEPTH_MAX: usize = 32;
/// Octets of `dovecot-keywords`, `subscriptions` and the like.
const LIST_OCTETS_MAX: u64 = 64 << 20;
/// The file in which Dovecot names the small letters.
pub const KEYWORDS_FILE: &str = "dovecot-keywords";
/// The file in which an export names keywords that have no letter, by message.
pub const MORE_KEYWORDS_FILE: &str = "posthorn-keywords";
pub const SUBSCRIPTIONS_FILE: &str = "subscriptions";

/// A folder with `cur` and `new`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Folder {
    levels: Vec<String>,
    path: PathBuf,
}

/// Imports all folders of a Maildir.
pub async fn import(root: &Path, intake: &mut Intake) -> Result<(), MoveError> {
    let root = root
        .canonicalize()
        .map_err(|error| MoveError::file(root, error))?;
    let listing = Listing::read(&root)?;
    let mut folders = Vec::new();
    let mut left_out = Vec::new();
    find(&root, &[], 0, &mut folders, &mut left_out)?;
    folders.sort();
    for (path, why) in left_out {
        intake.problem(&path.display().to_string(), why);
    }
    if folders.is_empty() {
        return Err(MoveError::Source(format!(
            "{} is no Maildir: neither it nor a folder in it has `cur` or `new`",
            root.display()
        )));
    }
    let subscriptions = subscriptions(&root)?;
    for folder in folders {
        let of_listing = listing.as_ref().and_then(|listing| {
            let file = folder.path.strip_prefix(&root).ok()?.to_str()?;
            listing.get(file)
        });
        let (levels, role, is_subscribed) = match of_listing {
            Some(of) => (of.levels.clone(), of.role.clone(), of.is_subscribed),
            None => {
                let name = folder.levels.join(".");
                let is_subscribed = subscriptions
                    .as_ref()
                    .is_none_or(|names| names.contains(&name) || folder.levels.is_empty());
                let role = names::usual_role(&folder.levels).map(str::to_owned);
                (folder.levels.clone(), role, is_subscribed)
            }
        };
        let levels = match levels.is_empty() {
            true => vec!["INBOX".to_owned()],
            false => levels,
        };
        let place = folder.path.display().to_string();
        match intake
            .mailbox(&levels, role.as_deref(), is_subscribed)
            .await
        {
            Ok(mailbox) => import_folder(&root, &folder, mailbox, intake).await?,
            Err(MoveError::Source(why)) => intake.problem(&place, &why),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn import_folder(
    root: &Path,
    folder: &Folder,
    mailbox: u64,
    intake: &mut Intake,
) -> Result<(), MoveError> {
    let relative = folder.path.strip_prefix(root).unwrap_or(Path::new(""));
    let collection = collection(&[
        b"maildir",
        root.as_os_str().as_encoded_bytes(),
        relative.as_os_str().as_encoded_bytes(),
    ]);
    let known = intake.known(&collection).await?;
    let letters = letters(&folder.path)?;
    let more = more_keywords(&folder.path)?;
    let mut changed = Vec::new();
    // Messages that were listed and were no longer there, by the name up to the flags: a mail program moves and renames them.
    let mut gone: BTreeSet<String> = BTreeSet::new();
    for (sub, is_again) in [("new", false), ("cur", false), ("cur", true)] {
        if is_again && gone.is_empty() {
            break;
        }
        let path = folder.path.join(sub);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                intake.problem(&path.display().to_string(), &error.to_string());
                continue;
            }
        };
        let mut names: Vec<String> = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| MoveError::file(&path, error))?;
            match entry.file_name().into_string() {
                Ok(name) if name.starts_with('.') => {}
                Ok(name) => names.push(name),
                Err(_) if is_again => {}
                Err(name) => {
                    let place = path.join(name).display().to_string();
                    intake.problem(&place, "its name isn't UTF-8");
                }
            }
        }
        names.sort_unstable();
        for name in names {
            let file = path.join(&name);
            let (base, flags) = flags_of(&name, &letters, &more);
            if is_again && !gone.contains(&base) {
                continue;
            }
            let item = short_hash(base.as_bytes()).to_vec();
            if let Some(known) = known.get(&hex(&item)) {
                intake.tally.known += 1;
                if is_changed(known, &flags) {
                    changed.push(KnownItem {
                        item: hex(&item),
                        keywords: flags.keywords,
                        is_deleted: flags.is_deleted,
                    });
                }
                continue;
            }
            let place = file.display().to_string();
            let (octets, received_at) = match read(&file, intake.message_octets_max()) {
                Ok(Some(read)) => read,
                Ok(None) => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    gone.insert(base);
                    continue;
                }
                Err(error) => {
                    intake.problem(&place, &error.to_string());
                    continue;
                }
            };
            gone.remove(&base);
            let message = Message {
                collection,
                item,
                octets: wire_form(octets),
                mailboxes: vec![mailbox],
                flags,
                received_at,
                place,
                meeting: intake.meeting(),
            };
            intake.put(message).await?;
        }
    }
    for base in gone {
        let place = folder.path.join(base).display().to_string();
        let why = "it was there, and isn't any more; unless it was removed, run it again";
        intake.problem(&place, why);
    }
    if intake.updates_flags && !changed.is_empty() {
        intake.flags(&collection, changed).await?;
    }
    Ok(())
}

/// Whether a message has other flags than when it was last looked at.
pub fn is_changed(known: &KnownItem, flags: &Flags) -> bool {
    known.keywords != flags.keywords || known.is_deleted != flags.is_deleted
}

/// The name up to the flags, and the flags.
fn flags_of(
    name: &str,
    letters: &[Option<String>; 26],
    more: &HashMap<String, Vec<String>>,
) -> (String, Flags) {
    let (base, info) = match name.rfind([':', ';', '!']) {
        Some(at) if name[at + 1..].starts_with("2,") => (&name[..at], &name[at + 3..]),
        _ => (name, ""),
    };
    let mut flags = Flags::of_maildir(info, letters);
    for keyword in more.get(base).into_iter().flatten() {
        flags.add(keyword);
    }
    (base.to_owned(), flags.sorted())
}

/// A message and its date. `None`: it is no file.
fn read(path: &Path, octets_max: u64) -> io::Result<Option<(Vec<u8>, Option<i64>)>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Ok(None);
    }
    if metadata.len() > octets_max {
        let why = format!(
            "it has {} octets, and the server takes {octets_max}",
            metadata.len()
        );
        return Err(io::Error::other(why));
    }
    let received_at = metadata.modified().ok().and_then(|time| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        i64::try_from(since.as_secs()).ok()
    });
    Ok(Some((fs::read(path)?, received_at)))
}

/// A message as it goes over a network. Files whose first line ends with LF alone have the line ends of the system.
pub fn wire_form(octets: Vec<u8>) -> Bytes {
    let first = memchr(b'\n', &octets);
    let is_wire = first.is_none_or(|at| at > 0 && octets[at - 1] == b'\r');
    if is_wire {
        return octets.into();
    }
    with_crlf(&octets).into()
}

/// Each LF that has no CR before it gets one.
pub fn with_crlf(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + octets.len() / 32);
    let mut last = 0;
    for &octet in octets {
        if octet == b'\n' && last != b'\r' {
            out.push(b'\r');
        }
        out.push(octet);
        last = octet;
    }
    out
}

fn memchr(octet: u8, octets: &[u8]) -> Option<usize> {
    octets.iter().position(|&each| each == octet)
}

/// All folders below `path`. `left_out`: those whose names aren't any, and why.
fn find(
    path: &Path,
    levels: &[String],
    depth: usize,
    into: &mut Vec<Folder>,
    left_out: &mut Vec<(PathBuf, &'static str)>,
) -> Result<(), MoveError> {
    if depth > DEPTH_MAX || into.len() >= FOLDERS_MAX {
        return Err(MoveError::Source(format!(
            "{} has more than {FOLDERS_MAX} folders, or folders in more than {DEPTH_MAX} levels",
            path.display()
        )));
    }
    if is_maildir(path) {
        into.push(Folder {
            levels: levels.to_vec(),
            path: path.to_owned(),
        });
    }
    let mut entries = BTreeSet::new();
    for entry in fs::read_dir(path).map_err(|error| MoveError::file(path, error))? {
        let entry = entry.map_err(|error| MoveError::file(path, error))?;
        entries.insert(entry.file_name());
    }
    for entry in entries {
        let below = path.join(&entry);
        let Some(name) = entry.to_str() else {
            if below.is_dir() {
                let why = "the name of the folder isn't UTF-8; its mail is left out";
                left_out.push((below, why));
            }
            continue;
        };
        if matches!(name, "cur" | "new" | "tmp") || !below.is_dir() {
            continue;
        }
        let mut levels = levels.to_vec();
        match name.strip_prefix('.') {
            // Maildir++ has all its levels in one name.
            Some(name) => {
                let is_name = !name.is_empty() && name.split('.').all(|part| !part.is_empty());
                if !is_maildir(&below) {
                    continue;
                }
                if !is_name {
                    let why = "the name of the folder has an empty level; its mail is left out";
                    left_out.push((below, why));
                    continue;
                }
                levels.extend(name.split('.').map(decoded));
            }
            // Where the file system has the levels, the inbox is a folder beside the others.
            None if depth == 0 && name.eq_ignore_ascii_case("inbox") && !is_maildir(path) => {}
            None => levels.push(decoded(name)),
        }
        find(&below, &levels, depth + 1, into, left_out)?;
    }
    Ok(())
}

fn decoded(name: &str) -> String {
    names::level(&names::decode_utf7(name).unwrap_or_else(|| name.to_owned()))
}

fn is_maildir(path: &Path) -> bool {
    path.join("cur").is_dir() || path.join("new").is_dir()
}

/// A list that may not be there.
fn read_list(path: &Path) -> Result<Option<String>, MoveError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > LIST_OCTETS_MAX => {
            let error = io::Error::other("it is too large");
            Err(MoveError::file(path, error))
        }
        Ok(_) => {
            let octets = fs::read(path).map_err(|error| MoveError::file(path, error))?;
            Ok(Some(String::from_utf8_lossy(&octets).into_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(MoveError::file(path, error)),
    }
}

/// The names of the small letters.
fn letters(folder: &Path) -> Result<[Option<String>; 26], MoveError> {
    let mut letters = [const { None }; 26];
    let text = read_list(&folder.join(KEYWORDS_FILE))?.unwrap_or_default();
    for line in text.lines() {
        let Some((number, name)) = line.split_once(' ') else {
            continue;
        };
        let slot = number
            .parse()
            .ok()
            .and_then(|at: usize| letters.get_mut(at));
        if let Some(slot) = slot {
            *slot = Some(name.to_owned());
        }
    }
    Ok(letters)
}

fn more_keywords(folder: &Path) -> Result<HashMap<String, Vec<String>>, MoveError> {
    let text = read_list(&folder.join(MORE_KEYWORDS_FILE))?.unwrap_or_default();
    let row = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        Some((words.next()?, words.collect()))
    };
    Ok(text.lines().filter_map(row).collect())
}

/// The folders that are subscribed to, with dots between the levels; `None`: nobody says.
fn subscriptions(root: &Path) -> Result<Option<BTreeSet<String>>, MoveError> {
    let Some(text) = read_list(&root.join(SUBSCRIPTIONS_FILE))? else {
        return Ok(None);
    };
    // Dovecot's newer files begin with a version, and have tabs between the levels.
    let lines = text.lines().filter(|line| !line.starts_with("V\t"));
    let name = |line: &str| {
        let levels = line.split(['\t', '.', '/']).map(decoded);
        levels.collect::<Vec<_>>().join(".")
    };
    Ok(Some(
        lines.filter(|line| !line.is_empty()).map(name).collect(),
    ))
}
