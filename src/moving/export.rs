//! What exports to Maildir and to mbox have in common: reading the account, the list of its mailboxes, its settings.
//!
//! Holds: a file is written beside its place, synced, and moved there, so what has its name is whole; what is there already is left alone, so a
//! run that was cut goes on; octets were compared with their hash.
//! Other half: `maildir` and `mbox` above read what this writes.

pub mod maildir;
pub mod mbox;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{
    MoveError, names,
    protocol::{EmailRow, MailboxItem},
    session::Session,
};

/// Lists the mailboxes of an export, with their names as they are.
pub const LISTING_FILE: &str = "posthorn-mailboxes.json";
/// Identities and vacation response.
const SETTINGS_FILE: &str = "posthorn-settings.json";
/// The folder of the Sieve scripts.
const SIEVE_FOLDER: &str = "posthorn-sieve";
/// The link that says which script is active, beside the scripts.
const ACTIVE_FILE: &str = "active.txt";
const LISTING_OCTETS_MAX: u64 = 256 << 20;

/// A mailbox of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// Where it is, from the folder of the export.
    pub file: String,
    pub levels: Vec<String>,
    pub role: Option<String>,
    pub is_subscribed: bool,
}

/// The mailboxes of an export, by their files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing(BTreeMap<String, Listed>);

impl Listing {
    /// `None`: the folder is no export.
    pub fn read(root: &Path) -> Result<Option<Listing>, MoveError> {
        let path = root.join(LISTING_FILE);
        let octets = match fs::metadata(&path) {
            Ok(metadata) if metadata.len() <= LISTING_OCTETS_MAX => fs::read(&path),
            Ok(_) => Err(io::Error::other("it is too large")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => Err(error),
        };
        let octets = octets.map_err(|error| MoveError::file(&path, error))?;
        let rows: Vec<Listed> = serde_json::from_slice(&octets)
            .map_err(|error| MoveError::file(&path, error.into()))?;
        let with_key = |row: Listed| (row.file.clone(), row);
        Ok(Some(Listing(rows.into_iter().map(with_key).collect())))
    }

    pub fn get(&self, file: &str) -> Option<&Listed> {
        self.0.get(file).filter(|row| !row.levels.is_empty())
    }

    fn write(&self, root: &Path) -> Result<(), MoveError> {
        let rows: Vec<&Listed> = self.0.values().collect();
        write_json(&root.join(LISTING_FILE), &rows)
    }
}

/// A mailbox, with its place in the tree.
#[derive(Clone, Debug)]
pub struct Tree {
    /// By number: its levels, and itself.
    pub mailboxes: BTreeMap<u64, (Vec<String>, MailboxItem)>,
}

impl Tree {
    pub fn new(items: Vec<MailboxItem>) -> Tree {
        let by_id: HashMap<u64, &MailboxItem> = items.iter().map(|item| (item.id, item)).collect();
        let levels = |item: &MailboxItem| {
            let mut seen = HashSet::new();
            let up = std::iter::successors(Some(item), |item| by_id.get(&item.parent?).copied());
            // Damaged records may form a circle.
            let up = up.take_while(|item| seen.insert(item.id));
            let mut levels: Vec<String> = up.map(|item| item.name.clone()).collect();
            levels.reverse();
            levels
        };
        let rows = items
            .iter()
            .map(|item| (item.id, (levels(item), item.clone())));
        let mailboxes = rows.collect();
        Tree { mailboxes }
    }

    /// Names of files for all mailboxes, no two alike also where the file system takes letters of either case for one.
    pub fn files(
        &self,
        name: impl Fn(&[String], &MailboxItem) -> String,
    ) -> (Listing, BTreeMap<u64, String>) {
        let mut taken = HashSet::new();
        let mut listing = Listing::default();
        let mut by_id = BTreeMap::new();
        for (id, (levels, item)) in &self.mailboxes {
            let mut file = name(levels, item);
            if !taken.insert(file.to_lowercase()) {
                file = with_number(&file, *id);
                taken.insert(file.to_lowercase());
            }
            let row = Listed {
                file: file.clone(),
                levels: levels.clone(),
                role: item.role.clone(),
                is_subscribed: item.is_subscribed,
            };
            by_id.insert(*id, file.clone());
            listing.0.insert(file, row);
        }
        (listing, by_id)
    }
}

fn with_number(file: &str, id: u64) -> String {
    match file.strip_suffix(".mbox") {
        Some(stem) => format!("{stem}~{id}.mbox"),
        None => format!("{file}~{id}"),
    }
}

/// An email, with its number.
#[derive(Clone, Debug)]
pub struct Exported {
    pub id: u64,
    pub row: EmailRow,
}

/// Identities, vacation response and Sieve scripts go into files beside the mail.
pub async fn write_settings(session: &mut Session, root: &Path) -> Result<(), MoveError> {
    let mut settings = session.settings().await?;
    let scripts = std::mem::take(&mut settings.scripts);
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Beside<'s> {
        account: &'s str,
        identities: &'s [super::protocol::IdentityItem],
        vacation: &'s Option<super::protocol::VacationItem>,
    }
    let beside = Beside {
        account: &session.name,
        identities: &settings.identities,
        vacation: &settings.vacation,
    };
    write_json(&root.join(SETTINGS_FILE), &beside)?;
    if scripts.is_empty() {
        return Ok(());
    }
    let folder = root.join(SIEVE_FOLDER);
    make_folder(&folder)?;
    let mut active = String::new();
    for script in scripts {
        let name = format!("{}.sieve", names::file_name(&script.name, false));
        if script.is_active {
            active = format!("{name}\n");
        }
        write_whole(&folder.join(name), script.script.as_bytes(), None)?;
    }
    write_whole(&folder.join(ACTIVE_FILE), active.as_bytes(), None)
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), MoveError> {
    let text =
        serde_json::to_vec_pretty(value).map_err(|error| MoveError::file(path, error.into()))?;
    write_whole(path, &text, None)
}

pub fn make_folder(path: &Path) -> Result<(), MoveError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    made.map_err(|error| MoveError::file(path, error))
}

/// A file that is there whole or not at all; `draft`: where it is until then.
pub fn write_whole(path: &Path, octets: &[u8], draft: Option<&Path>) -> Result<(), MoveError> {
    let beside = path.with_extension("new");
    let draft = draft.unwrap_or(&beside);
    let written = (|| {
        let mut file = create(draft)?;
        file.write_all(octets)?;
        file.sync_all()?;
        fs::rename(draft, path)
    })();
    written.map_err(|error| MoveError::file(path, error))
}

/// A new file for its owner alone; what is left of an earlier one goes.
pub fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// What was made in a folder is there after a crash.
pub fn sync_folder(path: &Path) -> Result<(), MoveError> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(|error| MoveError::file(path, error))
}
