//! Writes an account as a Maildir++, as Dovecot and others read it.
//!
//! Holds: a message's file is named by the email and its place, so a second run finds it; where only the flags have changed, it is renamed.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{Exported, Tree, create, make_folder, sync_folder, write_settings, write_whole};
use crate::moving::{
    MoveError, Progress, Tally,
    flags::maildir_letter,
    maildir::{KEYWORDS_FILE, MORE_KEYWORDS_FILE, SUBSCRIPTIONS_FILE},
    names,
    protocol::MailboxItem,
    session::{Destination, Session},
};

/// Files between two syncs of the folders that they are in.
const FILES_PER_SYNC: u64 = 1000;

/// Writes an account, or what is missing of it.
pub async fn export(
    destination: &Destination,
    account: &str,
    root: &Path,
    progress: &Progress,
) -> Result<Tally, MoveError> {
    let mut session = destination.open(account).await?;
    make_folder(root)?;
    let tree = Tree::new(session.mailboxes().await?);
    let (listing, files) = tree.files(folder_name);
    let mut writer = Writer::new(root, &files)?;
    let mut tally = Tally::default();
    let (mut after, mut since_sync) = (0, 0);
    loop {
        let page = session.emails(after).await?;
        let Some(last) = page.last() else {
            break;
        };
        after = last.id;
        for item in page {
            let place = format!("email {}", item.id);
            let Some(row) = item.email else {
                tally.problem(
                    &place,
                    "its record can't be read; `posthorn check` tells more",
                );
                continue;
            };
            let email = Exported { id: item.id, row };
            since_sync += writer.write(&mut session, &email, &mut tally).await?;
            if since_sync >= FILES_PER_SYNC {
                writer.sync()?;
                since_sync = 0;
            }
        }
        let (name, new, known) = (&session.name, tally.new, tally.known);
        progress(&format!("{name}: {new} exported, {known} there already"));
    }
    writer.sync()?;
    writer.write_lists(&tree)?;
    write_settings(&mut session, root).await?;
    // Last: a folder that has it is whole.
    listing.write(root)?;
    sync_folder(root)?;
    session.close().await;
    Ok(tally)
}

/// `.Archive.2019`; the inbox is the Maildir itself.
fn folder_name(levels: &[String], item: &MailboxItem) -> String {
    if item.role.as_deref() == Some("inbox") && item.parent.is_none() {
        return String::new();
    }
    // Dots are between the levels.
    let level = |level: &String| names::file_name(&names::encode_utf7(level), true);
    let levels: Vec<String> = levels.iter().map(level).collect();
    let name = format!(".{}", levels.join("."));
    match name.len() > 240 {
        true => format!(".{}", names::file_name(&name[1..].replace('.', "_"), true)),
        false => name,
    }
}

/// A folder that is being written.
struct Folder {
    path: PathBuf,
    /// The files of an earlier run, up to their flags: the whole names.
    there: HashMap<String, PathBuf>,
    /// The keywords that have letters, in the order of these.
    letters: Vec<String>,
    /// Keywords without letters, by file.
    more: BTreeMap<String, Vec<String>>,
}

struct Writer {
    root: PathBuf,
    folders: HashMap<u64, Folder>,
}

impl Writer {
    fn new(root: &Path, files: &BTreeMap<u64, String>) -> Result<Writer, MoveError> {
        let mut folders = HashMap::new();
        for (id, file) in files {
            let path = root.join(file);
            for sub in ["cur", "new", "tmp"] {
                make_folder(&path.join(sub))?;
            }
            // Courier and others know folders by this file.
            if !file.is_empty() {
                write_whole(&path.join("maildirfolder"), b"", None)?;
            }
            let folder = Folder {
                there: there(&path.join("cur"))?,
                letters: letters(&path)?,
                more: BTreeMap::new(),
                path,
            };
            folders.insert(*id, folder);
        }
        Ok(Writer {
            root: root.to_owned(),
            folders,
        })
    }

    /// Writes an email into each of its mailboxes. Returns how many files were made.
    async fn write(
        &mut self,
        session: &mut Session,
        email: &Exported,
        tally: &mut Tally,
    ) -> Result<u64, MoveError> {
        let mut first: Option<PathBuf> = None;
        let mut made = 0;
        let row = &email.row;
        for &(mailbox, uid, is_deleted) in &row.places {
            let Some(folder) = self.folders.get_mut(&mailbox) else {
                tally.problem(
                    &format!("email {}", email.id),
                    "it is in a mailbox that came while the export ran; run it again",
                );
                continue;
            };
            let base = format!(
                "{}.M{}_{uid}.posthorn,S={}",
                row.received_at.max(0),
                email.id,
                row.size
            );
            let letters = folder.flags(&base, &row.keywords, is_deleted);
            let path = folder.path.join("cur").join(format!("{base}:2,{letters}"));
            if let Some(before) = folder.there.get(&base) {
                let is_whole = fs::metadata(before).is_ok_and(|file| file.len() == row.size);
                if is_whole {
                    if *before != path {
                        fs::rename(before, &path).map_err(|error| MoveError::file(&path, error))?;
                    }
                    tally.known += 1;
                    first = first.or(Some(path));
                    continue;
                }
                fs::remove_file(before).map_err(|error| MoveError::file(before, error))?;
            }
            // The same octets at the same date, under another name.
            let linked = first
                .as_ref()
                .is_some_and(|first| fs::hard_link(first, &path).is_ok());
            if !linked {
                let Some(octets) = session.octets(&row.hash).await? else {
                    let why = "its octets are missing or damaged; `posthorn check` tells more";
                    tally.problem(&format!("email {}", email.id), why);
                    return Ok(made);
                };
                let draft = folder.path.join("tmp").join(&base);
                write_message(&draft, &path, &octets, row.received_at)?;
                tally.octets += octets.len() as u64;
            }
            made += 1;
            tally.new += 1;
            first = first.or(Some(path));
        }
        Ok(made)
    }

    fn sync(&self) -> Result<(), MoveError> {
        for folder in self.folders.values() {
            sync_folder(&folder.path.join("cur"))?;
        }
        Ok(())
    }

    /// Names of keywords, and what is subscribed to.
    fn write_lists(&self, tree: &Tree) -> Result<(), MoveError> {
        let mut subscribed = String::new();
        for (id, folder) in &self.folders {
            let lines = folder.letters.iter().enumerate();
            let text: String = lines.map(|(at, name)| format!("{at} {name}\n")).collect();
            if !text.is_empty() {
                write_whole(&folder.path.join(KEYWORDS_FILE), text.as_bytes(), None)?;
            }
            let more = folder.path.join(MORE_KEYWORDS_FILE);
            let row =
                |(base, names): (&String, &Vec<String>)| format!("{base} {}\n", names.join(" "));
            let text: String = folder.more.iter().map(row).collect();
            if !text.is_empty() || more.exists() {
                write_whole(&more, text.as_bytes(), None)?;
            }
            let is_subscribed = tree
                .mailboxes
                .get(id)
                .is_some_and(|(_, item)| item.is_subscribed);
            let name = folder
                .path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy();
            if is_subscribed && let Some(name) = name.strip_prefix('.') {
                subscribed.push_str(&format!("{name}\n"));
            }
        }
        let path = self.root.join(SUBSCRIPTIONS_FILE);
        write_whole(&path, subscribed.as_bytes(), None)
    }
}

impl Folder {
    /// The letters of a name; keywords that have none yet get one, as long as there are some.
    fn flags(&mut self, base: &str, keywords: &[String], is_deleted: bool) -> String {
        let mut letters: Vec<char> = Vec::new();
        let mut more = Vec::new();
        for keyword in keywords {
            if let Some(letter) = maildir_letter(keyword) {
                letters.push(letter);
                continue;
            }
            let known = self.letters.iter().position(|name| name == keyword);
            let at = known.unwrap_or(self.letters.len());
            if at >= 26 {
                more.push(keyword.clone());
                continue;
            }
            if known.is_none() {
                self.letters.push(keyword.clone());
            }
            letters.push(char::from(b'a' + at as u8));
        }
        if is_deleted {
            letters.push('T');
        }
        if !more.is_empty() {
            self.more.insert(base.to_owned(), more);
        }
        // In the order of ASCII, as Maildir has it.
        letters.sort_unstable();
        letters.into_iter().collect()
    }
}

/// The messages of an earlier run.
fn there(path: &Path) -> Result<HashMap<String, PathBuf>, MoveError> {
    let mut there = HashMap::new();
    for entry in fs::read_dir(path).map_err(|error| MoveError::file(path, error))? {
        let entry = entry.map_err(|error| MoveError::file(path, error))?;
        if let Some((base, _)) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.split_once(":2,"))
        {
            there.insert(base.to_owned(), entry.path());
        }
    }
    Ok(there)
}

/// The letters of an earlier run keep their meaning.
fn letters(folder: &Path) -> Result<Vec<String>, MoveError> {
    let path = folder.join(KEYWORDS_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let name = |line: &str| line.split_once(' ').map(|(_, name)| name.to_owned());
            Ok(text.lines().filter_map(name).take(26).collect())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(MoveError::file(&path, error)),
    }
}

fn write_message(draft: &Path, path: &Path, octets: &[u8], at: i64) -> Result<(), MoveError> {
    use std::io::Write as _;
    let written = (|| {
        let mut file = create(draft)?;
        file.write_all(octets)?;
        let since = Duration::from_secs(u64::try_from(at).unwrap_or(0));
        file.set_modified(SystemTime::UNIX_EPOCH + since)?;
        file.sync_all()?;
        fs::rename(draft, path)
    })();
    written.map_err(|error| MoveError::file(path, error))
}
