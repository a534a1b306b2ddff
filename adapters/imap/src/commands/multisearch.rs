//! ESEARCH over several mailboxes (RFC 7377).
//!
//! Holds: a mailbox is searched once, however many sources it is in; one that may not be read is as if it weren't there; the selected mailbox
//! is what the client has been told of it, the others are what they are now.
//! Other half: `search`, which does the same for the selected mailbox alone.

use std::collections::HashSet;

use jmap_core::access::MailboxRights;
use jmap_core::inproc::imap_view::{MailboxKey, ViewError};

use super::progress::{Progress, count};
use super::search::{refused, refuses_charset};
use super::{No, after_login, answer};
use crate::command::{Command, NotifyMailboxes, Search};
use crate::encode::Code;
use crate::out::Out;
use crate::search::{Answer, Hit, Plain, Returns};
use crate::session::{Handled, Session};
use crate::translate::names::{Node, Tree, is_inbox};
use crate::translate::search::{Mentions, Messages};

/// Mailboxes that one command searches.
pub const MAILBOXES_MAX: usize = 1000;

pub fn capabilities(session: &Session) -> &'static [&'static str] {
    after_login(session, &["MULTISEARCH"])
}

/// A mailbox to search.
struct Target {
    key: MailboxKey,
    name: String,
}

pub async fn esearch(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::Search { search, .. } = command else {
        return session.bad(out, tag, "That is no ESEARCH");
    };
    let mut returns = Returns::new(search.returns.as_deref(), true);
    returns.is_extended = true;
    if let Some(flow) = refused(session, out, tag, true, &returns, &search) {
        return flow;
    }
    if let Some(flow) = refuses_charset(session, out, tag, &search) {
        return flow;
    }
    let is_selected = |source: &NotifyMailboxes| *source == NotifyMailboxes::Selected;
    if search.sources.iter().any(is_selected) && session.selected.is_none() {
        return session.bad(out, tag, "Select a mailbox first");
    }
    // RFC 7377 §2.2: what is saved or kept up to date is of the selected mailbox.
    if (returns.save || returns.update) && !search.sources.iter().all(is_selected) {
        return session.bad(out, tag, "SAVE and UPDATE are for the selected mailbox");
    }
    let done = search_all(session, out, tag, &search, &returns).await;
    if done.is_err() {
        session.forget_saved(&returns);
    }
    let done = done.map(|()| None);
    answer(session, out, tag, done, "ESEARCH done").await
}

async fn search_all(
    session: &mut Session,
    out: &mut Out,
    tag: &str,
    search: &Search,
    returns: &Returns,
) -> Result<(), No> {
    let mentions = Mentions::of(&search.key);
    if mentions.modseq {
        session.enable_condstore(out);
    }
    let tree = session.tree().await?;
    let targets = targets(session, &tree, &search.sources);
    if targets.len() > MAILBOXES_MAX {
        let text = "These are too many mailboxes for one search".to_owned();
        return Err(No::Because(Some(Code::Limit), text));
    }
    let mut progress = Progress::new(session, tag);
    let all = count(targets.len());
    for (done, target) in targets.into_iter().enumerate() {
        progress.count = Some((count(done), all));
        let selected = session
            .selected
            .as_ref()
            .filter(|selected| selected.key == target.key);
        let is_selected = selected.is_some();
        let found = find(session, target.key, search);
        let (uid_validity, hits) = match progress.wait(out, found).await? {
            Ok(found) => found,
            // It went just now, or may not be read.
            Err(ViewError::NoSuchMailbox | ViewError::Forbidden(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        if is_selected {
            session.keep_result(out, (tag, true), returns, search, None, &hits);
        }
        // §2.1: nothing is said of a mailbox without a match.
        if hits.is_empty() {
            continue;
        }
        let answer = Answer {
            tag,
            uid: true,
            returns,
            hits: &hits,
            has_modseq: mentions.modseq,
            mailbox: Some((&target.name, uid_validity)),
            utf8: session.mode().utf8,
        };
        answer.encode(out.buffer(), Plain::Search);
        out.settle().await?;
    }
    Ok(())
}

async fn find(
    session: &Session,
    key: MailboxKey,
    search: &Search,
) -> Result<(u32, Vec<Hit>), ViewError> {
    let caller = session.caller.as_ref().ok_or(ViewError::NoSuchMailbox)?;
    let core = &session.server.core;
    let selected = session
        .selected
        .as_ref()
        .filter(|selected| selected.key == key);
    let (list, uid_validity) = match selected {
        Some(selected) => (selected.messages().clone(), selected.uid_validity),
        None => {
            let opened = core.view_open(caller, key).await?;
            (opened.messages, opened.status.uid_validity)
        }
    };
    let messages = Messages {
        account: key.account,
        list: &list,
        selected,
        now: session.server.config.clock.now().seconds(),
    };
    let condition = messages.condition(&search.key);
    let emails: Vec<u64> = list.iter().map(|(_, email)| email).collect();
    let found = core.view_search(caller, key, &emails, condition).await?;
    let mut found = found.into_iter().peekable();
    let hit = |(uid, email): (u32, u64)| {
        let found = found.next_if(|found| found.email == email)?;
        Some(Hit {
            uid,
            shown: uid,
            modseq: found.modseq,
        })
    };
    Ok((uid_validity, list.iter().filter_map(hit).collect()))
}

/// What the sources are, in the order of the tree.
fn targets(session: &Session, tree: &Tree, sources: &[NotifyMailboxes]) -> Vec<Target> {
    let selected = session.selected.as_ref().map(|selected| selected.key);
    let mut wanted: HashSet<MailboxKey> = HashSet::new();
    for source in sources {
        wanted.extend(mailboxes_of(tree, source, selected));
    }
    let nodes = tree.nodes().iter();
    let mailboxes = nodes.filter_map(|node| Some((node, node.mailbox.as_ref()?)));
    let wanted = mailboxes.filter(|(_, mailbox)| {
        wanted.contains(&mailbox.key) && mailbox.rights.contains(MailboxRights::READ_ITEMS)
    });
    wanted
        .map(|(node, mailbox)| Target {
            key: mailbox.key,
            name: node.name.clone(),
        })
        .collect()
}

/// The mailboxes of a source (RFC 5465 §6, RFC 7377 §2.2), whether or not they may be read.
pub fn mailboxes_of(
    tree: &Tree,
    source: &NotifyMailboxes,
    selected: Option<MailboxKey>,
) -> HashSet<MailboxKey> {
    let mut wanted = HashSet::new();
    match source {
        NotifyMailboxes::Selected | NotifyMailboxes::SelectedDelayed => {
            wanted.extend(selected);
        }
        NotifyMailboxes::Inboxes => add(tree, &mut wanted, |node| {
            is_own(tree, node) && node.mailbox.as_ref().is_some_and(is_inbox)
        }),
        NotifyMailboxes::Personal => add(tree, &mut wanted, |node| is_own(tree, node)),
        NotifyMailboxes::Subscribed => add(tree, &mut wanted, |node| {
            node.mailbox
                .as_ref()
                .is_some_and(|mailbox| mailbox.is_subscribed)
        }),
        NotifyMailboxes::Subtree(names) => {
            add(tree, &mut wanted, |node| {
                depth_below(tree, names, node).is_some()
            });
        }
        NotifyMailboxes::SubtreeOne(names) => {
            add(tree, &mut wanted, |node| {
                depth_below(tree, names, node).is_some_and(|d| d <= 1)
            });
        }
        NotifyMailboxes::Mailboxes(names) => {
            wanted.extend(
                names
                    .iter()
                    .filter_map(|name| Some(tree.mailbox(name)?.key)),
            );
        }
    }
    wanted
}

fn add(tree: &Tree, wanted: &mut HashSet<MailboxKey>, is_wanted: impl Fn(&Node) -> bool) {
    let nodes = tree.nodes().iter().filter(|node| is_wanted(node));
    wanted.extend(nodes.filter_map(|node| node.mailbox.as_ref().map(|mailbox| mailbox.key)));
}

fn is_own(tree: &Tree, node: &Node) -> bool {
    let account = node
        .mailbox
        .as_ref()
        .and_then(|mailbox| tree.account(mailbox.key.account));
    account.is_some_and(|account| account.is_own)
}

/// How many levels a name is below one of these; 0 is one of them.
fn depth_below(tree: &Tree, names: &[String], node: &Node) -> Option<usize> {
    let depth = |name: &String| {
        let above = &tree.get(name)?.name;
        let rest = node.name.strip_prefix(above.as_str())?;
        match rest.strip_prefix('/') {
            Some(below) => Some(below.split('/').count()),
            None => rest.is_empty().then_some(0),
        }
    };
    names.iter().filter_map(depth).min()
}
