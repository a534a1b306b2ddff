//! GETMETADATA and SETMETADATA (RFC 5464), and LIST RETURN (METADATA ...) (RFC 9590).
//!
//! Holds: an annotation that is asked for by its name and isn't there is NIL; those of the server that all users share are the
//! configuration's, and `/private/specialuse` is the special use of a mailbox (RFC 6154 §4): neither can be set.
//! Other half: `jmap_core::inproc::imap_view`, which keeps the others.

use bytes::Bytes;
use jmap_core::inproc::imap_view::{Annotation, MetadataOf, ViewError};

use super::{No, answer};
use crate::command::{Command, MetadataDepth};
use crate::encode::{Code, access};
use crate::out::Out;
use crate::session::{Handled, Session};
use crate::translate::names::Node;

const ADMIN: &str = "/shared/admin";
const COMMENT: &str = "/shared/comment";
const SPECIAL_USE: &str = "/private/specialuse";
/// Components that a name below `/shared/vendor` has at the least: these two, the vendor's, and one of its own (RFC 5464 §3.1).
const VENDOR_COMPONENTS_MIN: usize = 4;

pub fn capabilities(session: &Session) -> &'static [&'static str] {
    super::after_login(session, &["METADATA"])
}

/// Whether an annotation can have this name.
pub fn is_entry(name: &str) -> bool {
    let components: Vec<&str> = name.split('/').skip(1).collect();
    match components[..] {
        ["private" | "shared", "vendor", ..] => components.len() >= VENDOR_COMPONENTS_MIN,
        ["private" | "shared", ..] => components.len() > 1,
        _ => false,
    }
}

/// Whether there can be annotations below it.
fn is_above_entries(name: &str) -> bool {
    ["/private", "/shared"].iter().any(|scope| {
        let rest = name.strip_prefix(scope);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

pub async fn get(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::GetMetadata {
        mailbox,
        max_size,
        depth,
        entries,
    } = command
    else {
        return session.bad(out, tag, "That is no GETMETADATA");
    };
    let is_known = |entry: &&String| match depth {
        MetadataDepth::Zero => is_entry(entry),
        MetadataDepth::One | MetadataDepth::Infinity => is_above_entries(entry),
    };
    if let Some(entry) = entries.iter().find(|entry| !is_known(entry)) {
        let text = format!("{entry:?} is no entry");
        return session.bad(out, tag, &text);
    }
    let asked = Asked {
        entries: &entries,
        depth,
        max_size,
    };
    let done = try_get(session, out, &mailbox, &asked).await;
    answer(session, out, tag, done, "GETMETADATA done").await
}

/// What is asked for.
struct Asked<'a> {
    entries: &'a [String],
    depth: MetadataDepth,
    /// Octets.
    max_size: Option<u64>,
}

async fn try_get(
    session: &Session,
    out: &mut Out,
    mailbox: &str,
    asked: &Asked<'_>,
) -> Result<Option<Code>, No> {
    let (name, annotations) = match mailbox.is_empty() {
        true => (String::new(), of_server(session).await?),
        false => {
            let tree = session.tree().await?;
            super::existing(&tree, mailbox)?;
            let node = tree.get(mailbox).ok_or(ViewError::NoSuchMailbox)?;
            (node.name.clone(), of_mailbox(session, node).await?)
        }
    };
    let longest = asked.write(out, &name, &annotations, session.mode().utf8);
    Ok(longest.map(Code::MetadataLongEntries))
}

async fn of_server(session: &Session) -> Result<Vec<Annotation>, No> {
    let core = &session.server.core;
    let who = session.who()?;
    let mut annotations = core.view_metadata(who, MetadataOf::Server).await?;
    let config = &session.server.config;
    for (entry, value) in [(ADMIN, &config.admin_uri), (COMMENT, &config.comment)] {
        annotations.extend(value.as_ref().map(|value| Annotation {
            entry: entry.to_owned(),
            value: Bytes::from(value.clone()),
        }));
    }
    Ok(annotations)
}

async fn of_mailbox(session: &Session, node: &Node) -> Result<Vec<Annotation>, No> {
    let key = node.mailbox.as_ref().ok_or(ViewError::NoSuchMailbox)?.key;
    let core = &session.server.core;
    let who = session.who()?;
    let mut annotations = core.view_metadata(who, MetadataOf::Mailbox(key)).await?;
    annotations.extend(super::list::use_of(node).map(|special_use| Annotation {
        entry: SPECIAL_USE.to_owned(),
        value: Bytes::from_static(special_use.name().as_bytes()),
    }));
    Ok(annotations)
}

/// RFC 9590: what LIST is to tell of a mailbox. Where it can't be told, it is left out.
pub async fn tell(
    session: &Session,
    out: &mut Out,
    node: &Node,
    entries: &[String],
) -> Result<(), No> {
    let asked = Asked {
        entries,
        depth: MetadataDepth::Zero,
        max_size: None,
    };
    match of_mailbox(session, node).await {
        Ok(annotations) => {
            asked.write(out, &node.name, &annotations, session.mode().utf8);
            Ok(())
        }
        Err(No::Because(..)) => Ok(()),
        Err(lost) => Err(lost),
    }
}

impl Asked<'_> {
    /// Writes it; the size of the largest one that is larger than was asked for.
    fn write(
        &self,
        out: &mut Out,
        mailbox: &str,
        annotations: &[Annotation],
        utf8: bool,
    ) -> Option<u64> {
        let mut shown: Vec<(&str, Option<&[u8]>)> = Vec::new();
        let mut longest = None;
        let mut names: Vec<&String> = self.entries.iter().collect();
        names.sort_unstable();
        names.dedup();
        for name in &names {
            let of_name = annotations.iter().filter(|a| self.takes(name, &a.entry));
            let mut is_there = false;
            for annotation in of_name {
                is_there = true;
                let octets = annotation.value.len() as u64;
                if self.max_size.is_some_and(|max| octets > max) {
                    longest = longest.max(Some(octets));
                } else if !shown.iter().any(|(known, _)| *known == annotation.entry) {
                    shown.push((&annotation.entry, Some(&annotation.value)));
                }
            }
            if !is_there && self.depth == MetadataDepth::Zero {
                shown.push((name, None));
            }
        }
        access::metadata(out.buffer(), mailbox, &shown, utf8);
        longest
    }

    /// RFC 5464 §4.2.2
    fn takes(&self, name: &str, entry: &str) -> bool {
        let below = match entry.strip_prefix(name) {
            Some("") => return true,
            Some(rest) => rest.strip_prefix('/'),
            None => None,
        };
        below.is_some_and(|below| match self.depth {
            MetadataDepth::Zero => false,
            MetadataDepth::One => !below.contains('/'),
            MetadataDepth::Infinity => true,
        })
    }
}

pub async fn set(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::SetMetadata { mailbox, entries } = command else {
        return session.bad(out, tag, "That is no SETMETADATA");
    };
    if let Some((entry, _)) = entries.iter().find(|(entry, _)| !is_entry(entry)) {
        let text = format!("{entry:?} is no entry");
        return session.bad(out, tag, &text);
    }
    let done = try_set(session, &mailbox, entries).await;
    answer(session, out, tag, done, "SETMETADATA done").await
}

async fn try_set(
    session: &Session,
    mailbox: &str,
    entries: Vec<(String, Option<Vec<u8>>)>,
) -> Result<Option<Code>, No> {
    let of = match mailbox.is_empty() {
        true => MetadataOf::Server,
        false => {
            let tree = session.tree().await?;
            MetadataOf::Mailbox(super::existing(&tree, mailbox)?.key)
        }
    };
    let is_use = |(entry, _): &(String, Option<Vec<u8>>)| entry == SPECIAL_USE;
    if of != MetadataOf::Server && entries.iter().any(is_use) {
        let text = "A special use is given by CREATE, and can't be set";
        return Err(No::Because(Some(Code::UseAttr), text.to_owned()));
    }
    let entries = entries.into_iter();
    let entries = entries.map(|(entry, value)| (entry, value.map(Bytes::from)));
    let core = &session.server.core;
    core.view_set_metadata(session.who()?, of, entries.collect())
        .await?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_scope_and_something_below_it() {
        let rows = [
            ("/private/comment", true),
            ("/shared/a/b/c", true),
            ("/shared/vendor/example/x", true),
            ("/shared/vendor/example", false),
            ("/private/vendor", false),
            ("/private", false),
            ("/public/comment", false),
            ("comment", false),
        ];
        for (name, is) in rows {
            assert_eq!(is_entry(name), is, "{name}");
        }
        assert!(is_above_entries("/private") && is_above_entries("/shared/vendor"));
        assert!(!is_above_entries("/privateer") && !is_above_entries("/"));
    }
}
