//! LIST, LSUB, NAMESPACE (RFC 9051 §6.3.9-§6.3.10, RFC 3501 §6.3.9, RFC 5258, RFC 5819, RFC 6154, RFC 8440).
//!
//! Holds: INBOX is matched in any letter case; levels that are no mailboxes are told where a client needs them to go on below.
//! Other half: `translate::names` has the names, `pattern` compares them.

use jmap_core::access::MailboxRights;

use super::pattern::Pattern;
use super::{No, answer, metadata, status};
use crate::command::{Command, List, StatusItem};
use crate::encode::mailbox::{self, Attribute, ListData};
use crate::encode::{Code, access};
use crate::out::Out;
use crate::session::{Flow, Handled, Session};
use crate::translate::names::{Node, SHARED, Tree};
use crate::translate::rights;

/// Octets of all patterns of one LIST. Each mailbox is compared with each.
pub const PATTERN_OCTETS_MAX: usize = 2 * 1024;

/// Special uses by attribute, attribute name and the core's role (RFC 6154 §2, RFC 8457).
const USES: [(Attribute, &str); 8] = [
    (Attribute::All, "all"),
    (Attribute::Archive, "archive"),
    (Attribute::Drafts, "drafts"),
    (Attribute::Flagged, "flagged"),
    (Attribute::Important, "important"),
    (Attribute::Junk, "junk"),
    (Attribute::Sent, "sent"),
    (Attribute::Trash, "trash"),
];

/// The role of a special use such as `\Sent`.
pub fn role_of(special_use: &str) -> Option<&'static str> {
    let is_it = |(of, _): &&(Attribute, &str)| of.name().eq_ignore_ascii_case(special_use);
    USES.iter().find(is_it).map(|(_, role)| *role)
}

/// The special use of a mailbox, as an attribute.
pub fn use_of(node: &Node) -> Option<Attribute> {
    let role = node.mailbox.as_ref()?.role.as_deref()?;
    let found = USES.iter().find(|(_, of)| *of == role);
    found.map(|(attribute, _)| *attribute)
}

pub fn capabilities(session: &Session) -> &'static [&'static str] {
    const NAMES: &[&str] = &[
        "LIST-EXTENDED",
        "LIST-STATUS",
        "LIST-MYRIGHTS",
        "CHILDREN",
        "SPECIAL-USE",
        "LIST-METADATA",
    ];
    super::after_login(session, NAMES)
}

pub fn namespace_capabilities(session: &Session) -> &'static [&'static str] {
    super::after_login(session, &["NAMESPACE"])
}

/// Of others and of groups alike: they are called by their login names.
pub async fn namespace(session: &mut Session, out: &mut Out, tag: &str, _: Command) -> Handled {
    let others = format!("{SHARED}/");
    let utf8 = session.mode().utf8;
    mailbox::namespace(out.buffer(), &[""], &[&others], &[], utf8);
    session.ok(out, tag, None, "NAMESPACE done").await
}

pub async fn run(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::List(list) = command else {
        return Ok(Flow::Continue);
    };
    let entries = list.return_metadata.as_deref().unwrap_or_default();
    if let Some(entry) = entries.iter().find(|entry| !metadata::is_entry(entry)) {
        let text = format!("{entry:?} is no entry");
        return session.bad(out, tag, &text);
    }
    // RFC 9051 §6.3.9: an empty pattern asks for the delimiter, and the root of the reference.
    if !list.extended && list.patterns.iter().all(String::is_empty) {
        mailbox::list_root(out.buffer(), "", session.mode().utf8);
        return session.ok(out, tag, None, "LIST done").await;
    }
    let done = try_list(session, out, &list).await;
    answer(session, out, tag, done, "LIST done").await
}

fn patterns(reference: &str, patterns: &[String]) -> Result<Vec<Pattern>, No> {
    let octets: usize = patterns.iter().map(|p| p.len() + reference.len()).sum();
    if octets > PATTERN_OCTETS_MAX {
        let text = "The patterns are too long";
        return Err(No::Because(Some(Code::Limit), text.to_owned()));
    }
    let whole = patterns.iter().filter(|pattern| !pattern.is_empty());
    Ok(whole
        .map(|pattern| Pattern::new(&format!("{reference}{pattern}")))
        .collect())
}

async fn try_list(session: &mut Session, out: &mut Out, list: &List) -> Result<Option<Code>, No> {
    let patterns = patterns(&list.reference, &list.patterns)?;
    let tree = session.tree().await?;
    let selection = Selection::new(list, &tree);
    for node in tree.nodes() {
        if !patterns.iter().any(|pattern| pattern.matches(&node.name)) {
            continue;
        }
        let Some(has_selected_below) = selection.takes(node) else {
            continue;
        };
        let child_info: &[&str] = match has_selected_below {
            true => &["SUBSCRIBED"],
            false => &[],
        };
        let attributes = attributes(list, node);
        let data = ListData {
            attributes: &attributes,
            child_info,
            old_name: None,
        };
        mailbox::list(out.buffer(), &node.name, &data, session.mode().utf8);
        if let Some(mailbox) = &node.mailbox {
            if list.return_my_rights {
                let letters = rights::letters(mailbox.rights);
                let utf8 = session.mode().utf8;
                access::my_rights(out.buffer(), &node.name, &letters, utf8);
            }
            if let Some(items) = list.return_status.as_deref() {
                tell_status(session, out, node, items).await?;
            }
            // RFC 9590 §3: where it can't be told, it is left out.
            if let Some(entries) = list.return_metadata.as_deref()
                && is_selectable(node)
            {
                metadata::tell(session, out, node, entries).await?;
            }
        }
        out.settle().await?;
        // Many mailboxes are no reason for others to wait.
        tokio::task::coop::consume_budget().await;
    }
    Ok(None)
}

/// RFC 5819 §2: where it can't be told, it is left out.
async fn tell_status(
    session: &mut Session,
    out: &mut Out,
    node: &Node,
    items: &[StatusItem],
) -> Result<(), No> {
    let Some(mailbox) = node.mailbox.as_ref().filter(|_| is_selectable(node)) else {
        return Ok(());
    };
    match status::tell(session, out, &node.name, mailbox.key, items).await {
        Err(No::Because(Some(Code::NonExistent | Code::NoPerm), _)) | Ok(()) => Ok(()),
        Err(no) => Err(no),
    }
}

fn is_selectable(node: &Node) -> bool {
    let rights = node.mailbox.as_ref().map(|mailbox| mailbox.rights);
    rights.is_some_and(|rights| rights.contains(MailboxRights::READ_ITEMS))
}

/// What LIST is to tell, of all that the patterns match.
struct Selection<'a> {
    list: &'a List,
    /// Levels above mailboxes that are subscribed to.
    above_selected: std::collections::HashSet<&'a str>,
}

impl<'a> Selection<'a> {
    fn new(list: &'a List, tree: &'a Tree) -> Selection<'a> {
        let mut above_selected = std::collections::HashSet::new();
        if list.select_recursive_match {
            for node in tree.nodes().iter().filter(|node| is_selected(list, node)) {
                above_selected.extend(above(&node.name));
            }
        }
        Selection {
            list,
            above_selected,
        }
    }

    /// `None`: not told. Else whether there is one below that is selected (RFC 5258 §3.5).
    fn takes(&self, node: &Node) -> Option<bool> {
        let below = self.above_selected.contains(node.name.as_str());
        (below || is_selected(self.list, node)).then_some(below)
    }
}

/// All levels above a name.
fn above(name: &str) -> impl Iterator<Item = &str> {
    fn up<'n>(name: &&'n str) -> Option<&'n str> {
        name.rsplit_once('/').map(|(above, _)| above)
    }
    std::iter::successors(Some(name), up).skip(1)
}

fn is_subscribed(node: &Node) -> bool {
    node.mailbox.as_ref().is_some_and(|m| m.is_subscribed)
}

fn is_selected(list: &List, node: &Node) -> bool {
    (!list.select_subscribed || is_subscribed(node))
        && (!list.select_special_use || use_of(node).is_some())
}

/// What a client is told of a mailbox without asking (RFC 5465 §5.4, §5.5).
pub fn told_attributes(node: &Node) -> Vec<Attribute> {
    let list = List {
        return_subscribed: true,
        ..List::default()
    };
    attributes(&list, node)
}

fn attributes(list: &List, node: &Node) -> Vec<Attribute> {
    let mut attributes = Vec::new();
    if !is_selectable(node) {
        attributes.push(Attribute::NoSelect);
    }
    attributes.push(match node.has_children {
        true => Attribute::HasChildren,
        false => Attribute::HasNoChildren,
    });
    if (list.return_subscribed || list.select_subscribed) && is_subscribed(node) {
        attributes.push(Attribute::Subscribed);
    }
    // RFC 6154 §2: told without being asked for, too.
    attributes.extend(use_of(node));
    attributes
}

pub async fn lsub(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::Lsub { reference, pattern } = command else {
        return Ok(Flow::Continue);
    };
    let done = try_lsub(session, out, &reference, pattern).await;
    answer(session, out, tag, done, "LSUB done").await
}

/// RFC 3501 §6.3.9: where `%` stops at a level above one that is subscribed to, that level is told with `\Noselect`.
async fn try_lsub(
    session: &Session,
    out: &mut Out,
    reference: &str,
    pattern: String,
) -> Result<Option<Code>, No> {
    let patterns = patterns(reference, &[pattern])?;
    let tree = session.tree().await?;
    let subscribed = || tree.nodes().iter().filter(|node| is_subscribed(node));
    let above: std::collections::HashSet<&str> =
        subscribed().flat_map(|node| above(&node.name)).collect();
    let utf8 = session.mode().utf8;
    for node in tree.nodes() {
        let is_above = above.contains(node.name.as_str()) && !is_subscribed(node);
        if !(is_above || is_subscribed(node)) {
            continue;
        }
        let is_told = |pattern: &Pattern| {
            (!is_above || pattern.ends_with_percent()) && pattern.matches(&node.name)
        };
        if !patterns.iter().any(is_told) {
            continue;
        }
        let attributes: &[Attribute] = match is_above || !is_selectable(node) {
            true => &[Attribute::NoSelect],
            false => &[],
        };
        mailbox::lsub(out.buffer(), &node.name, attributes, utf8);
        out.settle().await?;
        tokio::task::coop::consume_budget().await;
    }
    Ok(None)
}
