//! GETACL, SETACL, DELETEACL, LISTRIGHTS, MYRIGHTS (RFC 4314) over the core's `shareWith` (RFC 9670, RFC 8621 §2).
//!
//! Holds: identifiers are login names, of people and of groups. There are no negative rights, and nobody is `anyone`.
//! Other half: `translate::rights`.

use jmap_core::access::MailboxRights;
use jmap_core::inproc::imap_view::{AclEntry, ViewMailbox};
use jmap_types::value::{Map, Value, key};

use super::{No, answer};
use crate::command::{AclChange, Command};
use crate::encode::{Code, access};
use crate::out::Out;
use crate::session::{Flow, Handled, Session};
use crate::translate::{names, rights};

pub fn capabilities(session: &Session) -> &'static [&'static str] {
    super::after_login(session, &["ACL", rights::NEW_LETTERS])
}

/// A right by the names that the core's `shareWith` has.
const PROPERTIES: [(&str, MailboxRights); 10] = [
    ("mayReadItems", MailboxRights::READ_ITEMS),
    ("mayAddItems", MailboxRights::ADD_ITEMS),
    ("mayRemoveItems", MailboxRights::REMOVE_ITEMS),
    ("maySetSeen", MailboxRights::SET_SEEN),
    ("maySetKeywords", MailboxRights::SET_KEYWORDS),
    ("mayCreateChild", MailboxRights::CREATE_CHILD),
    ("mayRename", MailboxRights::RENAME),
    ("mayDelete", MailboxRights::DELETE),
    ("maySubmit", MailboxRights::SUBMIT),
    ("mayShare", MailboxRights::SHARE),
];

async fn find(session: &Session, name: &str) -> Result<ViewMailbox, No> {
    let tree = session.tree().await?;
    super::existing(&tree, name).cloned()
}

pub async fn my_rights(
    session: &mut Session,
    out: &mut Out,
    tag: &str,
    command: Command,
) -> Handled {
    let Command::MyRights(name) = command else {
        return Ok(Flow::Continue);
    };
    let done = match find(session, &name).await {
        Ok(mailbox) => {
            let letters = rights::letters(mailbox.rights);
            access::my_rights(out.buffer(), &written(&name), &letters, session.mode().utf8);
            Ok(None)
        }
        Err(no) => Err(no),
    };
    answer(session, out, tag, done, "MYRIGHTS done").await
}

fn written(name: &str) -> String {
    names::canonical(name).unwrap_or_default()
}

pub async fn get(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::GetAcl(name) = command else {
        return Ok(Flow::Continue);
    };
    let done = try_get(session, out, &name).await;
    answer(session, out, tag, done, "GETACL done").await
}

async fn entries(session: &Session, mailbox: &ViewMailbox) -> Result<Vec<AclEntry>, No> {
    let core = &session.server.core;
    Ok(core.view_acl(session.who()?, mailbox.key).await?)
}

async fn try_get(session: &Session, out: &mut Out, name: &str) -> Result<Option<Code>, No> {
    let mailbox = find(session, name).await?;
    let entries = entries(session, &mailbox).await?;
    let written_rights: Vec<(&str, String)> = entries
        .iter()
        .map(|entry| (entry.name.as_str(), rights::letters(entry.rights)))
        .collect();
    let pairs: Vec<(&str, &str)> = written_rights
        .iter()
        .map(|(name, letters)| (*name, letters.as_str()))
        .collect();
    access::acl(out.buffer(), &written(name), &pairs, session.mode().utf8);
    Ok(None)
}

pub async fn set(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let (name, identifier, change, letters) = match command {
        Command::SetAcl {
            mailbox,
            identifier,
            change,
            rights,
        } => (mailbox, identifier, change, rights),
        Command::DeleteAcl {
            mailbox,
            identifier,
        } => (mailbox, identifier, AclChange::Replace, String::new()),
        _ => return Ok(Flow::Continue),
    };
    let Some(wanted) = rights::from_letters(&letters) else {
        return session.bad(out, tag, "There is no such right");
    };
    let done = try_set(session, &name, &identifier, change, wanted).await;
    answer(session, out, tag, done, "Done").await
}

async fn try_set(
    session: &Session,
    name: &str,
    identifier: &str,
    change: AclChange,
    wanted: MailboxRights,
) -> Result<Option<Code>, No> {
    let mailbox = find(session, name).await?;
    let entries = entries(session, &mailbox).await?;
    let core = &session.server.core;
    let account = core
        .view_acl_account(session.who()?, mailbox.key, identifier)
        .await?;
    let known = entries.iter().find(|entry| entry.account == account);
    if known.is_some_and(|entry| entry.is_owner) {
        return Err(No::cannot("The owner's rights stay as they are"));
    }
    let before = known.map(|entry| entry.rights).unwrap_or_default();
    let after = match change {
        AclChange::Replace => wanted,
        AclChange::Add => before.union(wanted),
        AclChange::Remove => before.without(wanted),
    };
    let value = match after == MailboxRights::default() {
        true => Value::Null,
        false => {
            let entries = PROPERTIES
                .iter()
                .map(|(name, right)| (key(*name), Value::Bool(after.contains(*right))));
            Value::Object(entries.collect())
        }
    };
    let mut patch = Map::new();
    patch.insert(key(format!("shareWith/{account}")), value);
    session.update(mailbox.key, patch).await?;
    Ok(None)
}

pub async fn list_rights(
    session: &mut Session,
    out: &mut Out,
    tag: &str,
    command: Command,
) -> Handled {
    let Command::ListRights {
        mailbox,
        identifier,
    } = command
    else {
        return Ok(Flow::Continue);
    };
    let done = try_list_rights(session, out, &mailbox, &identifier).await;
    answer(session, out, tag, done, "LISTRIGHTS done").await
}

/// RFC 4314 §3.7: what somebody has in any case, and what they may be given besides.
async fn try_list_rights(
    session: &Session,
    out: &mut Out,
    name: &str,
    identifier: &str,
) -> Result<Option<Code>, No> {
    let mailbox = find(session, name).await?;
    let entries = entries(session, &mailbox).await?;
    let core = &session.server.core;
    let account = core
        .view_acl_account(session.who()?, mailbox.key, identifier)
        .await?;
    let owner = entries
        .iter()
        .find(|entry| entry.account == account && entry.is_owner);
    let required = owner.map(|entry| rights::letters(entry.rights));
    let optional: Vec<&str> = match required {
        Some(_) => Vec::new(),
        None => rights::GROUPS.iter().map(|(letters, _)| *letters).collect(),
    };
    access::list_rights(
        out.buffer(),
        &written(name),
        identifier,
        &required.unwrap_or_default(),
        &optional,
        session.mode().utf8,
    );
    Ok(None)
}
