//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 9051 §6.3.4-§6.3.8, RFC 6154 §3), by Mailbox/set.
//!
//! Holds: what may be is the core's to say; here names become places in its tree.

use jmap_core::inproc::imap_view::{MailboxKey, ViewMailbox};
use jmap_types::mail::{Mailbox, MailboxSetArguments};
use jmap_types::method::{Set, SetResponse};
use jmap_types::value::{Map, MapExt, Value, as_text, key, string};
use jmap_types::{AccountId, Id, Property};

use super::{No, answer};
use crate::command::Command;
use crate::encode::{self, Code};
use crate::out::Out;
use crate::session::{Flow, Handled, Session};
use crate::translate::names::{self, Place, Tree};

/// Creation ids are only told apart within one call.
const CREATION: &str = "new";

impl Session {
    async fn set_mailboxes(
        &self,
        account: AccountId,
        edit: impl FnOnce(&mut Set<Mailbox>),
    ) -> Result<SetResponse, No> {
        let mut set = Set::<Mailbox> {
            account_id: account,
            if_in_state: None,
            create: Vec::new(),
            update: Vec::new(),
            destroy: Vec::new(),
            arguments: MailboxSetArguments {
                on_destroy_remove_emails: true,
            },
            created_ids: Default::default(),
        };
        edit(&mut set);
        let response = self.server.core.call(self.who()?, set).await?;
        let failed = response
            .not_created
            .iter()
            .chain(&response.not_updated)
            .chain(&response.not_destroyed);
        let failed = failed.map(|(_, error)| No::from(error)).next();
        match failed {
            Some(no) => Err(no),
            None => Ok(response),
        }
    }

    /// Makes the levels that are missing; the id of the lowest. `properties`: more of that one.
    async fn make(&self, place: Place, properties: Map) -> Result<MailboxKey, No> {
        let Place {
            account,
            mut parent,
            missing,
        } = place;
        let last = missing.len().saturating_sub(1);
        let mut properties = Some(properties);
        for (at, level) in missing.into_iter().enumerate() {
            let mut map = Map::new()
                .with(Property::Name, string(level))
                .with(Property::ParentId, parent.map(wire_id));
            if at == last {
                for (name, value) in properties.take().unwrap_or_else(Map::new).into_vec() {
                    map.insert(name, value);
                }
            }
            let made = self
                .set_mailboxes(account, |set| set.create.push((CREATION.to_owned(), map)))
                .await?;
            parent = made.created.first().and_then(|(_, made)| id_of(made));
        }
        match parent {
            Some(mailbox) => Ok(MailboxKey { account, mailbox }),
            None => Err(No::failed()),
        }
    }

    pub(super) async fn update(&self, mailbox: MailboxKey, patch: Map) -> Result<(), No> {
        let id = wire_id(mailbox.mailbox);
        self.set_mailboxes(mailbox.account, |set| set.update.push((id, patch)))
            .await
            .map(drop)
    }
}

fn wire_id(mailbox: u64) -> String {
    Id::<Mailbox>::new(mailbox).to_string()
}

fn id_of(made: &Map) -> Option<u64> {
    let id = made.find(Property::Id).and_then(as_text)?;
    Id::<Mailbox>::parse(id).map(Id::number)
}

pub async fn create(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::Create { mailbox, uses } = command else {
        return Ok(Flow::Continue);
    };
    let made = try_create(session, out, &mailbox, &uses).await;
    answer(session, out, tag, made, "CREATE done").await
}

pub fn create_capabilities(session: &Session) -> &'static [&'static str] {
    super::after_login(session, &["CREATE-SPECIAL-USE"])
}

async fn try_create(
    session: &Session,
    out: &mut Out,
    name: &str,
    uses: &[String],
) -> Result<Option<Code>, No> {
    let mut properties = Map::new();
    match uses {
        [] => {}
        [of] => match super::list::role_of(of) {
            Some(role) => properties.set(Property::Role, string(role)),
            None => return Err(use_attr("This special use can't be given")),
        },
        // RFC 6154 §3
        _ => return Err(use_attr("A mailbox has one special use at most")),
    }
    let place = session.tree().await?.place(name)?;
    let made = session.make(place, properties).await?;
    // RFC 9051 §6.3.4: the client is told when the name has become another.
    let canonical = names::canonical(name).unwrap_or_default();
    if session.enabled.rev2 && canonical != name.strip_suffix('/').unwrap_or(name) {
        let data = encode::mailbox::ListData {
            old_name: Some(name),
            ..Default::default()
        };
        encode::mailbox::list(out.buffer(), &canonical, &data, session.mode().utf8);
    }
    Ok(Some(Code::MailboxId(names::mailbox_id(
        session.who()?,
        made,
    ))))
}

fn use_attr(text: &str) -> No {
    No::Because(Some(Code::UseAttr), text.to_owned())
}

pub async fn delete(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::Delete(name) = command else {
        return Ok(Flow::Continue);
    };
    let deleted = try_delete(session, &name).await;
    answer(session, out, tag, deleted, "DELETE done").await
}

async fn try_delete(session: &Session, name: &str) -> Result<Option<Code>, No> {
    let tree = session.tree().await?;
    let mailbox = super::existing(&tree, name)?;
    // RFC 9051 §6.3.5: not the user's own; those of others are the core's to keep.
    if names::is_inbox(mailbox) {
        return Err(No::cannot("INBOX can't be deleted"));
    }
    let id = wire_id(mailbox.key.mailbox);
    session
        .set_mailboxes(mailbox.key.account, |set| set.destroy.push(id))
        .await?;
    Ok(None)
}

pub async fn rename(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::Rename { from, to } = command else {
        return Ok(Flow::Continue);
    };
    let renamed = try_rename(session, &from, &to).await;
    answer(session, out, tag, renamed, "RENAME done").await
}

async fn try_rename(session: &Session, from: &str, to: &str) -> Result<Option<Code>, No> {
    let tree = session.tree().await?;
    let mailbox = super::existing(&tree, from)?.clone();
    let mut place = tree.place(to)?;
    if names::is_inbox(&mailbox) {
        return empty_inbox(session, &mailbox, place).await;
    }
    if place.account != mailbox.key.account {
        return Err(No::cannot("A mailbox can't become another account's"));
    }
    if is_below(&tree, &place, mailbox.key) {
        return Err(No::cannot("A mailbox can't be below itself"));
    }
    let Some(name) = place.missing.pop() else {
        return Err(No::failed());
    };
    // RFC 9051 §6.3.6: levels above that are missing are made.
    let parent = match place.missing.is_empty() {
        true => place.parent,
        false => Some(session.make(place, Map::new()).await?.mailbox),
    };
    let patch = Map::new()
        .with(Property::Name, string(name))
        .with(Property::ParentId, parent.map(wire_id));
    session.update(mailbox.key, patch).await?;
    Ok(None)
}

/// Whether a place is below a mailbox.
fn is_below(tree: &Tree, place: &Place, mailbox: MailboxKey) -> bool {
    let parent_of = |id: &u64| {
        let key = MailboxKey {
            account: place.account,
            mailbox: *id,
        };
        let mailboxes = tree.nodes().iter().filter_map(|n| n.mailbox.as_ref());
        mailboxes.into_iter().find(|m| m.key == key)?.parent
    };
    let above = std::iter::successors(place.parent, parent_of);
    above
        .take(names::LEVELS_MAX)
        .any(|id| id == mailbox.mailbox)
}

/// RFC 9051 §6.3.6: INBOX stays, and so do the mailboxes below it; all of its messages go into a new mailbox.
async fn empty_inbox(
    session: &Session,
    inbox: &ViewMailbox,
    place: Place,
) -> Result<Option<Code>, No> {
    if place.account != inbox.key.account {
        return Err(No::cannot("A mailbox can't become another account's"));
    }
    let (core, who) = (&session.server.core, session.who()?);
    let opened = core.view_open(who, inbox.key).await?;
    let made = session.make(place, Map::new()).await?;
    core.view_copy_metadata(who, inbox.key, made.mailbox)
        .await?;
    let emails: Vec<u64> = opened.messages.iter().map(|(_, email)| email).collect();
    if !emails.is_empty() {
        core.view_move(who, inbox.key, &emails, made).await?;
    }
    Ok(None)
}

pub async fn subscribe(
    session: &mut Session,
    out: &mut Out,
    tag: &str,
    command: Command,
) -> Handled {
    let (name, wanted) = match command {
        Command::Subscribe(name) => (name, true),
        Command::Unsubscribe(name) => (name, false),
        _ => return Ok(Flow::Continue),
    };
    let done = try_subscribe(session, &name, wanted).await;
    answer(session, out, tag, done, "Done").await
}

/// RFC 9051 §6.3.7 lets a server check that the mailbox is there: here a subscription is a property of it.
async fn try_subscribe(session: &Session, name: &str, wanted: bool) -> Result<Option<Code>, No> {
    let tree = session.tree().await?;
    let mailbox = super::existing(&tree, name)?;
    if mailbox.is_subscribed != wanted {
        let mut patch = Map::new();
        patch.insert(key("isSubscribed"), Value::Bool(wanted));
        session.update(mailbox.key, patch).await?;
    }
    Ok(None)
}
