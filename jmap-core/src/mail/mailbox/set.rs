//! Mailbox/set (RFC 8621 §2.5).

use std::collections::BTreeSet;

use jmap_types::{
    AccountId, DataType, Id, MethodError, Property, SetError, SetErrorKind, Value,
    mail::{Mailbox, MailboxSetArguments},
    value::{Map, MapExt},
};
use store::{Change, ChangeKind, account::Ticket, engine::Batch, keys};

use super::{
    get,
    properties::{self, Given, ROLES, Shown},
};
use crate::{
    Caller, Context, Core, Limits,
    access::{MailboxRights, Standing},
    cluster::SHARING,
    mail::{
        message::fold,
        records::{Grant, MailboxRecord},
        view::MailboxCounts,
        write::{self, MailTxn},
    },
    object::{Rejected, SetObject, Staged},
};

/// All mailboxes as the transaction sees them.
struct Mailboxes(Vec<(u64, MailboxRecord)>);

/// The mailbox with a role, in lower case.
pub(crate) async fn with_role(txn: &MailTxn, role: &str) -> Result<Option<u64>, store::Error> {
    let mailboxes = Mailboxes::read(txn).await?;
    let mut rows = mailboxes.0.iter();
    let found = rows.find(|(_, record)| record.role.as_deref() == Some(role));
    Ok(found.map(|(id, _)| *id))
}

impl Mailboxes {
    async fn read(txn: &MailTxn) -> Result<Self, store::Error> {
        use store::Record as _;
        let rows = txn
            .scan(keys::objects(txn.account(), DataType::Mailbox))
            .await?;
        let decode = |(key, bytes): (bytes::Bytes, bytes::Bytes)| {
            let (_, _, id) =
                keys::decode_object(&key).ok_or_else(|| store::Error::bad_key("mailbox", &key))?;
            Ok((id, MailboxRecord::from_bytes(&key, &bytes)?))
        };
        rows.into_iter()
            .map(decode)
            .collect::<Result<_, store::Error>>()
            .map(Self)
    }

    fn get(&self, id: u64) -> Option<&MailboxRecord> {
        self.0
            .iter()
            .find(|(other, _)| *other == id)
            .map(|(_, record)| record)
    }

    /// As [`get::visible_parent`]; an owner sees also a parent that isn't there any more.
    fn visible_parent(
        &self,
        who: &Caller,
        standing: Standing,
        record: &MailboxRecord,
    ) -> Option<u64> {
        let sees = |id: &u64| {
            let parent = self.get(*id);
            parent.is_some_and(|parent| get::is_visible(who, standing, parent))
        };
        record
            .parent
            .filter(|id| standing == Standing::Owner || sees(id))
    }

    fn has_child(&self, id: u64) -> bool {
        self.0.iter().any(|(_, record)| record.parent == Some(id))
    }

    /// `id`'s parent, its parent, and so on; bounded, should records be damaged.
    fn ancestors(&self, parent: Option<u64>) -> impl Iterator<Item = u64> {
        let up = move |id: &u64| self.get(*id).and_then(|record| record.parent);
        std::iter::successors(parent, up).take(self.0.len() + 1)
    }

    /// The levels below `id`, itself included.
    fn height(&self, id: u64) -> usize {
        let depth_of = |other: u64| {
            self.ancestors(Some(other))
                .position(|above| above == id)
                .map(|at| at + 1)
        };
        self.0
            .iter()
            .filter_map(|(other, _)| depth_of(*other))
            .max()
            .unwrap_or(1)
    }
}

/// What the inbox is called in a path, in any letter case (RFC 9051 §5.1).
const INBOX_NAME: &str = "INBOX";

/// All mailboxes: number, name with `/` between the levels, role. The inbox is `INBOX`.
pub(in crate::mail) async fn all_in(
    txn: &MailTxn,
) -> Result<Vec<(u64, String, Option<String>)>, store::Error> {
    let mailboxes = Mailboxes::read(txn).await?;
    let level = |id: u64| {
        let record = mailboxes.get(id)?;
        let is_inbox = record.parent.is_none() && record.is_inbox();
        Some(if is_inbox { INBOX_NAME } else { &record.name })
    };
    let path = |(id, record): &(u64, MailboxRecord)| {
        let mut levels: Vec<&str> = mailboxes.ancestors(Some(*id)).filter_map(level).collect();
        levels.reverse();
        (*id, levels.join("/"), record.role.clone())
    };
    Ok(mailboxes.0.iter().map(path).collect())
}

/// Makes the mailbox with this name, and those above it that aren't there yet. With a role, if no other mailbox has it.
pub(in crate::mail) async fn create_path(
    core: &Core,
    txn: &mut MailTxn,
    path: &str,
    role: Option<&str>,
) -> Result<u64, Rejected> {
    let levels: Vec<&str> = path.split('/').collect();
    create_levels(core, txn, &levels, role, true)
        .await
        .map(|(id, _)| id)
}

/// The same, of a name whose levels are given; and whether the last one was made. New ones are subscribed to, if they are to be.
pub(crate) async fn create_levels(
    core: &Core,
    txn: &mut MailTxn,
    levels: &[&str],
    role: Option<&str>,
    is_subscribed: bool,
) -> Result<(u64, bool), Rejected> {
    use unicode_normalization::UnicodeNormalization as _;
    let levels: Vec<String> = levels.iter().map(|level| level.nfc().collect()).collect();
    let mut parent = None;
    let mut is_new = false;
    for (at, level) in levels.iter().enumerate() {
        let mailboxes = Mailboxes::read(txn).await?;
        let is_level = |record: &MailboxRecord| {
            record.parent == parent
                && (record.name == *level
                    || (parent.is_none()
                        && record.is_inbox()
                        && level.eq_ignore_ascii_case(INBOX_NAME)))
        };
        if let Some((known, _)) = mailboxes.0.iter().find(|(_, record)| is_level(record)) {
            parent = Some(*known);
            continue;
        }
        if mailboxes.0.len() as u64 >= core.limits().max_mailboxes {
            let why = "There are too many mailboxes.";
            return Err(SetError::describe(SetErrorKind::OverQuota, why).into());
        }
        let is_last = at + 1 == levels.len();
        let is_free = |role: &&str| {
            let has_role = |record: &MailboxRecord| record.role.as_deref() == Some(*role);
            ROLES.contains(role) && !mailboxes.0.iter().any(|(_, record)| has_role(record))
        };
        let record = MailboxRecord {
            name: level.clone(),
            parent,
            role: role
                .filter(|role| is_last && is_free(role))
                .map(str::to_owned),
            sort_order: 0,
            is_subscribed,
            share_with: Vec::new(),
            uid_validity: write::uid_validity(txn, core.clock.now()),
        };
        check_place(&core.limits(), &mailboxes, None, &record, |_| true)?;
        parent = Some(write::insert_mailbox(txn, record));
        is_new = is_last;
    }
    let id = parent.ok_or_else(|| SetError::invalid_property("name", "It is empty."))?;
    Ok((id, is_new))
}

impl SetObject for Mailbox {
    async fn create(
        context: &Context,
        _: &MailboxSetArguments,
        properties: Map,
    ) -> Staged<(u64, Map)> {
        let account = context.account()?.clone();
        let mut txn = account.writer.begin().await?;
        let mailboxes = Mailboxes::read(&txn).await?;
        if mailboxes.0.len() as u64 >= context.core.limits().max_mailboxes {
            return Err(SetError::describe(
                SetErrorKind::OverQuota,
                "There are too many mailboxes.",
            )
            .into());
        }
        let mut record = MailboxRecord {
            name: String::new(),
            parent: None,
            role: None,
            sort_order: 0,
            is_subscribed: false,
            share_with: Vec::new(),
            uid_validity: write::uid_validity(&mut txn, context.core.clock.now()),
        };
        let given = Given::read(properties, &mut record)?;
        if !given.name {
            return Err(SetError::invalid_property("name", "A mailbox has a name.").into());
        }
        let (who, standing) = (&context.who, context.standing()?);
        check_parent(who, standing, &mailboxes, record.parent)?;
        let sees = |record: &MailboxRecord| get::is_visible(who, standing, record);
        check_place(&context.core.limits(), &mailboxes, None, &record, sees)?;
        check_grants(context, &[], &record).await?;
        if standing == Standing::Guest {
            if given.share_with {
                let why = "You may not choose whom a mailbox of others is shared with.";
                return Err(SetError::forbidden(why).into());
            }
            // It belongs to those who had the parent.
            let parent = record.parent.and_then(|id| mailboxes.get(id));
            record.share_with = parent.map_or_else(Vec::new, |above| above.share_with.clone());
        }
        let (subscribed, role, sort_order) =
            (record.is_subscribed, record.role.clone(), record.sort_order);
        let concerned = share(&mut txn, &[], &record.share_with).await?;
        let id = write::insert_mailbox(&mut txn, record.clone());
        let rights = get::my_rights(who, standing, id, &record);
        let mut server_set = get::server_set(MailboxCounts::default(), rights);
        // Properties that the client left out have these values now (RFC 8620 §5.3).
        if !given.sort_order {
            server_set.set(Property::SortOrder, sort_order);
        }
        if !given.role {
            server_set.set(Property::Role, role);
        }
        if !given.is_subscribed {
            server_set.set(Property::IsSubscribed, subscribed);
        }
        if !given.parent {
            server_set.set(Property::ParentId, Value::Null);
        }
        Ok(((id, server_set), hand_in(context, txn, concerned).await?))
    }

    async fn update(
        context: &Context,
        _: &MailboxSetArguments,
        id: u64,
        mut patch: Map,
    ) -> Staged<Option<Map>> {
        let account = context.account()?.clone();
        let (who, standing) = (&context.who, context.standing()?);
        let has_server_set = properties::has_server_set(&patch);
        let counts = match has_server_set {
            true => account.view().await?.counts(id),
            false => MailboxCounts::default(),
        };
        let mut txn = account.writer.begin().await?;
        let mailboxes = Mailboxes::read(&txn).await?;
        let Some(old) = mailboxes
            .get(id)
            .filter(|record| get::is_visible(who, standing, record))
        else {
            return Err(SetError::not_found().into());
        };
        let rights = get::my_rights(who, standing, id, old);
        if has_server_set {
            let shown = get::server_set(counts, rights)
                .with(Property::Id, Id::<Mailbox>::new(id).to_string());
            patch = properties::take_server_set(patch, shown)?;
        }
        let mut record = old.clone();
        if standing == Standing::Guest {
            // A guest's subscription is in the grant.
            record.is_subscribed = get::is_subscribed(who, standing, old);
        }
        let shown = Shown {
            parent: mailboxes.visible_parent(who, standing, old),
            may_share: rights.contains(MailboxRights::SHARE),
        };
        let is_moved = properties::apply_patch(&mut record, shown, patch)?;
        check_rights(context, id, old, &record)?;
        if is_moved {
            check_parent(who, standing, &mailboxes, record.parent)?;
        }
        let sees = |record: &MailboxRecord| get::is_visible(who, standing, record);
        check_place(&context.core.limits(), &mailboxes, Some(id), &record, sees)?;
        check_grants(context, &old.share_with, &record).await?;
        if standing == Standing::Guest {
            subscribe_guest(context, &mut record);
            record.is_subscribed = old.is_subscribed;
        }
        if record == *old {
            return Ok((None, txn.stage_or_seen()));
        }
        let concerned = share(&mut txn, &old.share_with, &record.share_with).await?;
        if is_trash(old) != is_trash(&record) {
            // RFC 8621 §2 `unreadThreads`: emails in the trash don't count elsewhere.
            for (other, _) in mailboxes.0.iter().filter(|(other, _)| *other != id) {
                txn.changed(Change::new(DataType::Mailbox, *other, ChangeKind::Counts));
            }
        }
        write::put_mailbox(&mut txn, id, record, ChangeKind::Updated);
        Ok((None, hand_in(context, txn, concerned).await?))
    }

    async fn destroy(context: &Context, arguments: &MailboxSetArguments, id: u64) -> Staged<()> {
        // What is in the mailbox is read from the view: nothing may come into it in between.
        let account = context.account()?.clone();
        let in_turn = destroy_in_turn(context, arguments, id);
        account.writer.in_turn(in_turn).await
    }
}

async fn destroy_in_turn(
    context: &Context,
    arguments: &MailboxSetArguments,
    id: u64,
) -> Staged<()> {
    let account = context.account()?;
    let standing = context.standing()?;
    account.writer.drained().await;
    account.look().await?;
    let (emails, sequence) = emails_of(context, id).await?;
    let mut txn = account.writer.begin().await?;
    if txn.head.sequence != sequence {
        // Another node was faster.
        return Err(store::Error::Conflict.into());
    }
    let mailboxes = Mailboxes::read(&txn).await?;
    let Some(record) = mailboxes
        .get(id)
        .filter(|record| get::is_visible(&context.who, standing, record))
    else {
        return Err(SetError::not_found().into());
    };
    if !get::my_rights(&context.who, standing, id, record).contains(MailboxRights::DELETE) {
        return Err(SetError::forbidden("This mailbox may not be destroyed.").into());
    }
    if mailboxes.has_child(id) {
        return Err(SetError::new(SetErrorKind::MailboxHasChild).into());
    }
    let old = record.clone();
    remove_emails(
        context,
        &mut txn,
        id,
        &emails,
        arguments.on_destroy_remove_emails,
    )
    .await?;
    let concerned = share(&mut txn, &old.share_with, &[]).await?;
    write::remove_mailbox(&mut txn, id).await?;
    Ok(((), hand_in(context, txn, concerned).await?))
}

fn is_trash(record: &MailboxRecord) -> bool {
    record.role.as_deref() == Some("trash")
}

/// The emails in a mailbox, and the sequence as of which that is so.
async fn emails_of(context: &Context, id: u64) -> Result<(Vec<u64>, u64), Rejected> {
    let account = context.account()?;
    let view = account.view().await?;
    let row = view.mailbox(id);
    let emails = row.map(|row| row.by_uid().iter().map(|(_, email)| email).collect());
    Ok((emails.unwrap_or_default(), view.head.sequence))
}

/// RFC 8621 §2.5 `onDestroyRemoveEmails`: emails leave the mailbox, and those that are in no other go.
async fn remove_emails(
    context: &Context,
    txn: &mut MailTxn,
    mailbox: u64,
    emails: &[u64],
    allowed: bool,
) -> Result<(), Rejected> {
    let removal = context.core.removal();
    for &id in emails {
        let Some(record) = write::any_email(txn, id).await? else {
            continue;
        };
        let mut places = record.all_places.iter();
        let Some(place) = places.find(|place| place.mailbox == mailbox) else {
            continue;
        };
        // RFC 8621 §4.1.1: JMAP doesn't see what has `\Deleted` there; it doesn't keep the mailbox, and goes with it.
        if !allowed && !place.is_deleted {
            return Err(SetError::new(SetErrorKind::MailboxHasEmail).into());
        }
        write::leave_mailbox(txn, id, record, mailbox, removal).await?;
    }
    Ok(())
}

fn check_rights(
    context: &Context,
    id: u64,
    old: &MailboxRecord,
    new: &MailboxRecord,
) -> Result<(), Rejected> {
    let standing = context.standing()?;
    let rights = get::my_rights(&context.who, standing, id, old);
    let renamed = old.name != new.name || old.parent != new.parent;
    if renamed && !rights.contains(MailboxRights::RENAME) {
        return Err(SetError::forbidden("You may not rename or move this mailbox.").into());
    }
    let shared = old.share_with != new.share_with;
    if shared && !rights.contains(MailboxRights::SHARE) {
        return Err(SetError::forbidden("You may not share this mailbox.").into());
    }
    let owners = old.role != new.role || old.sort_order != new.sort_order;
    if owners && standing == Standing::Guest {
        return Err(SetError::forbidden("Only the owner may change this.").into());
    }
    if id == write::INBOX && new.role.as_deref() != Some("inbox") {
        return Err(SetError::invalid_property("role", "The inbox stays the inbox.").into());
    }
    Ok(())
}

/// RFC 9670 §4: those that a mailbox is newly shared with are there, and its owner isn't among them.
async fn check_grants(
    context: &Context,
    old: &[Grant],
    new: &MailboxRecord,
) -> Result<(), Rejected> {
    let owner = context.account()?.id.number();
    let is_new = |grant: &&Grant| !old.iter().any(|known| known.account == grant.account);
    for grant in new.share_with.iter().filter(is_new) {
        let id = AccountId::new(grant.account);
        let why = match grant.account == owner {
            true => "The owner's rights are implied.",
            false if context.core.account_record(id).await?.is_none() => {
                "There is no such account."
            }
            false => continue,
        };
        return Err(SetError::invalid_property(format!("shareWith/{id}"), why).into());
    }
    Ok(())
}

/// RFC 8621 §2 `mayCreateChild`: guests put mailboxes below those where they may, and never at the top. A mailbox that
/// they don't see isn't there.
fn check_parent(
    who: &Caller,
    standing: Standing,
    mailboxes: &Mailboxes,
    parent: Option<u64>,
) -> Result<(), SetError> {
    if standing == Standing::Owner {
        return Ok(());
    }
    let Some(id) = parent else {
        return Err(SetError::forbidden("The top is the owner's alone."));
    };
    let Some(parent) = mailboxes
        .get(id)
        .filter(|parent| get::is_visible(who, standing, parent))
    else {
        return Err(no_parent());
    };
    if !get::my_rights(who, standing, id, parent).contains(MailboxRights::CREATE_CHILD) {
        return Err(SetError::forbidden("You may not put a mailbox there."));
    }
    Ok(())
}

fn no_parent() -> SetError {
    SetError::invalid_property("parentId", "There is no such mailbox.")
}

/// Name, parent and role, as seen by the other mailboxes. `sees`: which of those the caller does.
fn check_place(
    limits: &Limits,
    mailboxes: &Mailboxes,
    id: Option<u64>,
    record: &MailboxRecord,
    sees: impl Fn(&MailboxRecord) -> bool,
) -> Result<(), SetError> {
    let name = record.name.as_str();
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        return Err(SetError::invalid_property(
            "name",
            "It must not be empty or have control characters.",
        ));
    }
    if name.len() as u64 > limits.max_size_mailbox_name {
        return Err(SetError::invalid_property("name", "It is too long."));
    }
    if let Some(parent) = record.parent {
        if mailboxes.get(parent).is_none() {
            return Err(no_parent());
        }
        if mailboxes
            .ancestors(Some(parent))
            .any(|above| Some(above) == id)
        {
            return Err(SetError::invalid_property(
                "parentId",
                "A mailbox can't be below itself.",
            ));
        }
    }
    let above = mailboxes.ancestors(record.parent).count();
    let below = id.map_or(1, |id| mailboxes.height(id));
    if (above + below) as u64 > limits.max_mailbox_depth {
        return Err(SetError::invalid_property(
            "parentId",
            "The mailboxes would be too deep.",
        ));
    }
    let others = || mailboxes.0.iter().filter(|(other, _)| Some(*other) != id);
    // IMAP names are compared as they are, but INBOX is INBOX in any case (RFC 9051 §5.1).
    let same_name = |other: &MailboxRecord| {
        other.parent == record.parent
            && (other.name == name
                || (record.parent.is_none() && other.is_inbox() && fold(name) == "inbox"))
    };
    if let Some((existing, other)) = others().find(|(_, other)| same_name(other)) {
        return Err(match sees(other) {
            true => SetError::already_exists(Id::<Mailbox>::new(*existing).to_wire()),
            false => SetError::new(SetErrorKind::AlreadyExists),
        });
    }
    if record.role.is_some() && others().any(|(_, other)| other.role == record.role) {
        return Err(SetError::invalid_property(
            "role",
            "Another mailbox has this role.",
        ));
    }
    Ok(())
}

fn subscribe_guest(context: &Context, record: &mut MailboxRecord) {
    let wanted = record.is_subscribed;
    let me = context.who.account.number();
    match record
        .share_with
        .iter_mut()
        .find(|grant| grant.account == me)
    {
        Some(grant) => grant.is_subscribed = wanted,
        // Shared through a group: a grant without rights holds the subscription.
        None if wanted => record.share_with.push(Grant {
            account: me,
            rights: 0,
            is_subscribed: true,
        }),
        None => {}
    }
}

/// Keeps the list of who shares with whom, so that a login knows the accounts it can see. Gives those who see more
/// or less than before.
pub(in crate::mail) async fn share(
    txn: &mut MailTxn,
    old: &[Grant],
    new: &[Grant],
) -> Result<Vec<AccountId>, store::Error> {
    let has = |grants: &[Grant], account: u64| {
        grants
            .iter()
            .any(|grant| grant.account == account && grant.rights != 0)
    };
    let (mut counted, mut concerned) = (BTreeSet::new(), Vec::new());
    for account in old.iter().chain(new).map(|grant| grant.account) {
        if !counted.insert(account) {
            continue;
        }
        let (before, after) = (has(old, account), has(new, account));
        let rights = |grants: &[Grant]| -> u16 {
            let of_account = grants.iter().filter(|grant| grant.account == account);
            of_account.fold(0, |rights, grant| rights | grant.rights)
        };
        if rights(old) != rights(new) {
            concerned.push(AccountId::new(account));
        }
        let delta = i64::from(after) - i64::from(before);
        if delta == 0 {
            continue;
        }
        let key = keys::shared_with(AccountId::new(account), txn.account());
        let count = match txn.get(&key).await? {
            Some(bytes) => store::decode_numbers::<1>(&key, &bytes)?[0],
            None => 0,
        };
        match count.saturating_add_signed(delta) {
            0 => txn.delete(key),
            count => txn.put(key, store::numbers(&[count])),
        }
    }
    Ok(concerned)
}

/// Hands the transaction in. Where others see more or less by it, it is on disk before they look again: what a login
/// reads before that would count as current.
async fn hand_in(
    context: &Context,
    mut txn: MailTxn,
    concerned: Vec<AccountId>,
) -> Result<Option<Ticket>, Rejected> {
    if concerned.is_empty() {
        return Ok(Some(txn.stage()));
    }
    // Other nodes find out by it.
    let mut counted = Batch::new();
    counted.add(keys::meta(SHARING), 1);
    txn.append_unread(counted);
    let mut ticket = txn.stage();
    ticket.wait().await?;
    context.core.sharing_changed(&concerned);
    Ok(Some(ticket))
}

impl From<MethodError> for Rejected {
    fn from(error: MethodError) -> Self {
        SetError::describe(SetErrorKind::ServerFail, error.to_string()).into()
    }
}
