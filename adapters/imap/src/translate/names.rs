//! The tree of mailboxes <-> names with `/` between the levels.
//!
//! Holds: every mailbox that the caller sees has exactly one name, no two have the same, and none has a `/` or control character within a
//! level; `unescape(escape(name))` is the name. INBOX is the mailbox with the role inbox, whatever it is called elsewhere.
//! Other half: `commands`, which look names up here; `parse::names` for modified UTF-7.

use std::collections::{HashMap, HashSet};

use jmap_core::Caller;
use jmap_core::inproc::imap_view::{MailboxKey, ViewAccount, ViewMailbox};
use jmap_types::mail::{Email, Mailbox, Thread};
use jmap_types::{AccountId, Id};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

pub const INBOX: &str = "INBOX";
/// Above the accounts of others and of groups, each with its login name: `Shared/bob@example.org/INBOX`.
pub const SHARED: &str = "Shared";
/// The longest name that is looked at. The core has its own limits, of levels and of their octets.
pub const NAME_OCTETS_MAX: usize = 8 * 1024;
/// Levels of a name.
pub const LEVELS_MAX: usize = 64;

/// A name, and what it stands for.
#[derive(Clone, Debug)]
pub struct Node {
    pub name: String,
    /// `None`: a level above others, and no mailbox.
    pub mailbox: Option<ViewMailbox>,
    pub has_children: bool,
}

/// All names that a caller sees: INBOX, then the others by name.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    nodes: Vec<Node>,
    by_name: HashMap<String, usize>,
    accounts: Vec<ViewAccount>,
}

/// Where a name belongs that may not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub account: AccountId,
    /// The lowest level that is there.
    pub parent: Option<u64>,
    /// The levels that are missing, as the core calls them. Not empty.
    pub missing: Vec<String>,
}

/// Why a name can't be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("there is such a mailbox already")]
    Exists,
    #[error("the name has an empty level, or too many")]
    Levels,
    #[error("the name has characters that are written differently here, such as =2F for /")]
    Escape,
    #[error("names below Shared begin with the login name of an account that you see")]
    NoAccount,
}

impl Tree {
    /// `mailboxes`: those of all accounts.
    pub fn new(accounts: Vec<ViewAccount>, mailboxes: Vec<ViewMailbox>) -> Tree {
        let mut tree = Tree {
            accounts,
            ..Tree::default()
        };
        let mut of_account: HashMap<AccountId, Vec<ViewMailbox>> = HashMap::new();
        for mailbox in mailboxes {
            of_account
                .entry(mailbox.key.account)
                .or_default()
                .push(mailbox);
        }
        let mut names: Vec<(String, Option<ViewMailbox>)> = Vec::new();
        let mut taken = HashSet::new();
        for account in &tree.accounts {
            let mailboxes = of_account.remove(&account.id).unwrap_or_default();
            let prefix = prefix(account);
            if !account.is_own && !mailboxes.is_empty() {
                for level in [SHARED, prefix.trim_end_matches('/')] {
                    if taken.insert(level.to_owned()) {
                        names.push((level.to_owned(), None));
                    }
                }
            }
            name_all(account, &prefix, mailboxes, &mut taken, &mut names);
        }
        names.sort_by(|(one, _), (other, _)| sort_key(one).cmp(&sort_key(other)));
        let parents: HashSet<String> = names
            .iter()
            .filter_map(|(name, _)| name.rsplit_once('/').map(|(above, _)| above.to_owned()))
            .collect();
        for (name, mailbox) in names {
            let has_children = parents.contains(&name);
            tree.by_name.insert(name.clone(), tree.nodes.len());
            tree.nodes.push(Node {
                name,
                mailbox,
                has_children,
            });
        }
        tree
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// By a name as a client has written it.
    pub fn get(&self, name: &str) -> Option<&Node> {
        let at = self.by_name.get(&canonical(name)?)?;
        self.nodes.get(*at)
    }

    /// A mailbox by its name.
    pub fn mailbox(&self, name: &str) -> Option<&ViewMailbox> {
        self.get(name)?.mailbox.as_ref()
    }

    pub fn account(&self, id: AccountId) -> Option<&ViewAccount> {
        self.accounts.iter().find(|account| account.id == id)
    }

    /// Where a mailbox of this name would be.
    pub fn place(&self, name: &str) -> Result<Place, NameError> {
        let name = canonical(name).ok_or(NameError::Levels)?;
        if self.by_name.contains_key(&name) {
            return Err(NameError::Exists);
        }
        let (account, prefix) = self.account_above(&name)?;
        let within = name.get(prefix.len()..).unwrap_or_default();
        let mut above = prefix;
        let mut parent = None;
        let mut missing = Vec::new();
        for level in within.split('/') {
            above.push_str(level);
            let known = self.by_name.get(&above).and_then(|at| self.nodes.get(*at));
            match known.and_then(|node| node.mailbox.as_ref()) {
                Some(mailbox) if missing.is_empty() => parent = Some(mailbox.key.mailbox),
                _ => missing.push(level_name(level, &above)?),
            }
            above.push('/');
        }
        Ok(Place {
            account,
            parent,
            missing,
        })
    }

    /// The account that a name belongs to, and what its names begin with.
    fn account_above(&self, name: &str) -> Result<(AccountId, String), NameError> {
        let is_shared = name == SHARED || name.starts_with("Shared/");
        let found = self.accounts.iter().find(|account| match is_shared {
            true => !account.is_own && name.starts_with(&prefix(account)),
            false => account.is_own,
        });
        let account = found.ok_or(NameError::NoAccount)?;
        Ok((account.id, prefix(account)))
    }
}

/// What the names of an account begin with.
fn prefix(account: &ViewAccount) -> String {
    match account.is_own {
        true => String::new(),
        false => format!("{SHARED}/{}/", escape(&account.name)),
    }
}

/// INBOX first, then each level before what is below it.
fn sort_key(name: &str) -> (bool, Vec<&str>) {
    let is_inbox = name == INBOX || name.starts_with("INBOX/");
    (!is_inbox, name.split('/').collect())
}

/// Names the mailboxes of an account.
fn name_all(
    account: &ViewAccount,
    prefix: &str,
    mut mailboxes: Vec<ViewMailbox>,
    taken: &mut HashSet<String>,
    names: &mut Vec<(String, Option<ViewMailbox>)>,
) {
    // Where two would have the same name, the older one has it.
    mailboxes.sort_by_key(|mailbox| mailbox.key.mailbox);
    let mut children: HashMap<Option<u64>, Vec<ViewMailbox>> = HashMap::new();
    for mailbox in mailboxes {
        let parent = match is_inbox(&mailbox) {
            true => None,
            false => mailbox.parent,
        };
        children.entry(parent).or_default().push(mailbox);
    }
    let mut above: Vec<(Option<u64>, String)> = vec![(None, prefix.to_owned())];
    // Each is taken out of `children` once, so that this ends even for a circle.
    while let Some((parent, prefix)) = above.pop() {
        for mailbox in children.remove(&parent).unwrap_or_default() {
            let is_top = parent.is_none();
            let level = match is_inbox(&mailbox) {
                true => INBOX.to_owned(),
                false => escape_level(&mailbox.name, is_top, account.is_own),
            };
            let mut name = format!("{prefix}{level}");
            // A guest may see mailboxes of the same name whose parents are hidden.
            while !taken.insert(name.clone()) {
                name = format!("{name}~{}", mailbox.key.mailbox);
            }
            above.push((Some(mailbox.key.mailbox), format!("{name}/")));
            names.push((name, Some(mailbox)));
        }
    }
}

pub fn is_inbox(mailbox: &ViewMailbox) -> bool {
    mailbox.role.as_deref() == Some("inbox")
}

/// A name as it is compared: normalized (RFC 9051 §5.1, Net-Unicode), INBOX in upper case as the first level, without a `/` at its end.
pub fn canonical(name: &str) -> Option<String> {
    if name.len() > NAME_OCTETS_MAX {
        return None;
    }
    let name: String = name.nfc().collect();
    let name = name.strip_suffix('/').unwrap_or(&name);
    let levels = name.split('/');
    if levels.clone().any(str::is_empty) || levels.count() > LEVELS_MAX {
        return None;
    }
    Some(upper_inbox(name))
}

/// INBOX in upper case, alone and as the first level (RFC 9051 §5.1).
pub fn upper_inbox(name: &str) -> String {
    match name.split_at_checked(INBOX.len()) {
        Some((first, rest))
            if first.eq_ignore_ascii_case(INBOX) && (rest.is_empty() || rest.starts_with('/')) =>
        {
            format!("{INBOX}{rest}")
        }
        _ => name.to_owned(),
    }
}

/// The core's name for one level of a client's name.
fn level_name(level: &str, whole: &str) -> Result<String, NameError> {
    let name = unescape(level);
    let is_top = !whole.contains('/');
    // One name is written in one way alone.
    let written = match is_top {
        true => escape_level(&name, true, true),
        false => escape(&name),
    };
    match written == level {
        true => Ok(name),
        false => Err(NameError::Escape),
    }
}

fn escape_level(name: &str, is_top: bool, is_own: bool) -> String {
    let is_reserved =
        name.eq_ignore_ascii_case(INBOX) || (is_own && name.eq_ignore_ascii_case(SHARED));
    if is_top && is_reserved {
        let (first, rest) = name.split_at_checked(1).unwrap_or((name, ""));
        return first
            .bytes()
            .map(|octet| format!("={octet:02X}"))
            .chain([escape(rest)])
            .collect();
    }
    escape(name)
}

/// One level: `/`, control characters, and all that isn't ASCII in a name that is not normalized, are written as `=` and two hexadecimal
/// digits an octet; and so is a `=` that would look like one of these.
pub fn escape(name: &str) -> String {
    let is_normal = match is_nfc_quick(name.chars()) {
        IsNormalized::Yes => true,
        IsNormalized::No => false,
        IsNormalized::Maybe => name.chars().eq(name.nfc()),
    };
    let mut escaped = String::with_capacity(name.len());
    for (at, c) in name.char_indices() {
        let after = name.get(at + 1..).filter(|_| c == '=').unwrap_or_default();
        let must = c == '/' || c.is_control() || !(is_normal || c.is_ascii());
        if must || (c == '=' && hex_octet(after).is_some()) {
            for octet in c.encode_utf8(&mut [0; 4]).bytes() {
                escaped.push_str(&format!("={octet:02X}"));
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// What [`escape`] was given. What it never makes is left as it is.
pub fn unescape(level: &str) -> String {
    let mut octets = Vec::with_capacity(level.len());
    let mut rest = level;
    while let Some((before, after)) = rest.split_once('=') {
        octets.extend_from_slice(before.as_bytes());
        match hex_octet(after) {
            Some(octet) => {
                octets.push(octet);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                octets.push(b'=');
                rest = after;
            }
        }
    }
    octets.extend_from_slice(rest.as_bytes());
    String::from_utf8(octets).unwrap_or_else(|_| level.to_owned())
}

fn hex_octet(text: &str) -> Option<u8> {
    let digits = text.get(..2)?;
    let is_digit = |digit: u8| matches!(digit, b'0'..=b'9' | b'A'..=b'F');
    if !digits.bytes().all(is_digit) {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}

/// MAILBOXID, EMAILID and THREADID (RFC 8474): JMAP's ids (RFC 9698 §3), which are one account's; those of other accounts have its id in
/// front, since here all are seen together.
fn object_id(who: &Caller, account: AccountId, id: String) -> String {
    match who.account == account {
        true => id,
        false => format!("{account}-{id}"),
    }
}

pub fn mailbox_id(who: &Caller, key: MailboxKey) -> String {
    let id = Id::<Mailbox>::new(key.mailbox);
    object_id(who, key.account, id.to_string())
}

pub fn email_id(who: &Caller, account: AccountId, email: u64) -> String {
    object_id(who, account, Id::<Email>::new(email).to_string())
}

pub fn thread_id(who: &Caller, account: AccountId, thread: u64) -> String {
    object_id(who, account, Id::<Thread>::new(thread).to_string())
}

#[cfg(test)]
mod tests;
