//! Mailbox/set (RFC 8621 §2.5).
//!
//! Holds: a call is one transaction. The id of a new mailbox is told once that is on disk.
//! Other half: `plan` says what is to be done.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jmap_types::{
    AccountId, DataType, MethodError, MethodErrorKind, Property, SetError, SetErrorKind, WireId,
    mail::Mailbox,
    method::{CreatedIds, Set, SetResponse},
    value::Map,
};
use store::{Change, ChangeKind, account::Ticket, engine::Batch, keys};

use super::{
    plan::{self, Items, Plan, Planner, Seen},
    properties,
    tree::Tree,
};
use crate::{
    Context, Handle,
    cluster::SHARING,
    mail::{
        records::{Grant, MailboxRecord},
        write::{self, MailTxn},
    },
    object::{GetObject as _, Guard, Rejected, Staged, States, add_updated},
};

/// The id of what an item has changed, and what the client doesn't know of it.
type Outcome = Result<(WireId, Option<Map>), SetError>;

/// What has come of the items of a call.
struct Outcomes {
    creates: Vec<Outcome>,
    updates: Vec<Outcome>,
    destroys: Vec<Outcome>,
}

impl Handle for Set<Mailbox> {
    async fn handle(self, context: Context) -> Result<SetResponse, MethodError> {
        let count = self.create.len() + self.update.len() + self.destroy.len();
        if count > context.core.limits().max_objects_in_set as usize {
            return Err(MethodErrorKind::RequestTooLarge.into());
        }
        let account = context.account()?.clone();
        let items = Items {
            create: plan::parents_first(self.create),
            update: self.update,
            destroy: without_doubles(self.destroy, &self.created_ids),
            on_destroy_remove_emails: self.arguments.on_destroy_remove_emails,
            created_ids: self.created_ids,
        };
        let guard = Guard::new(account, DataType::Mailbox, self.if_in_state);
        let mut staged = Err(store::Error::Conflict.into());
        guard
            .stage(async { staged = stage(&context, &items).await })
            .await?;
        let done = guard.durable(staged, || stage(&context, &items)).await;
        let outcomes = done.unwrap_or_else(|error| Outcomes::all_refused(&items, &error));
        let states = guard.states().await?;
        Ok(respond(self.account_id, states, items, outcomes))
    }
}

/// One object under two names is destroyed once.
fn without_doubles(mut destroy: Vec<String>, created_ids: &CreatedIds) -> Vec<String> {
    let (mut seen, mut unknown) = (HashSet::new(), HashSet::new());
    destroy.retain(|id| match plan::number_of(id, created_ids) {
        Some(number) => seen.insert(number),
        None => unknown.insert(id.clone()),
    });
    destroy
}

impl Outcomes {
    fn of(plan: Plan) -> Self {
        let outcome = |planned: Result<plan::Change, SetError>| {
            planned.map(|change| (Mailbox::wire_id(change.id), change.server_set))
        };
        let of = |planned: Vec<_>| planned.into_iter().map(outcome).collect();
        Self {
            creates: of(plan.creates),
            updates: of(plan.updates),
            destroys: of(plan.destroys),
        }
    }

    fn all_refused(items: &Items, error: &SetError) -> Self {
        let all = |count: usize| vec![Err(error.clone()); count];
        Self {
            creates: all(items.create.len()),
            updates: all(items.update.len()),
            destroys: all(items.destroy.len()),
        }
    }
}

/// Once all is on disk.
fn respond(account_id: AccountId, states: States, items: Items, outcomes: Outcomes) -> SetResponse {
    let mut response = SetResponse {
        account_id,
        old_state: states.old,
        new_state: states.new,
        created: Vec::new(),
        updated: Vec::new(),
        destroyed: Vec::new(),
        not_created: Vec::new(),
        not_updated: Vec::new(),
        not_destroyed: Vec::new(),
        implicit: Vec::new(),
    };
    for ((name, _), outcome) in items.create.into_iter().zip(outcomes.creates) {
        match outcome {
            Ok((id, server_set)) => {
                let server_set = server_set.unwrap_or_else(Map::new);
                let mut map = Map::with_capacity(server_set.len() + 1);
                map.insert_unchecked(Property::Id, id.to_string());
                map.as_mut_vec().extend(server_set.into_vec());
                items.created_ids.insert(name.clone(), id);
                response.created.push((name, map));
            }
            Err(error) => response.not_created.push((name, error)),
        }
    }
    for ((id, _), outcome) in items.update.into_iter().zip(outcomes.updates) {
        match outcome {
            Ok((id, server_set)) => add_updated(&mut response.updated, id, server_set),
            Err(error) => response.not_updated.push((id, error)),
        }
    }
    for (id, outcome) in items.destroy.into_iter().zip(outcomes.destroys) {
        match outcome {
            Ok((id, _)) => response.destroyed.push(id),
            Err(error) => response.not_destroyed.push((id, error)),
        }
    }
    response
}

async fn stage(context: &Context, items: &Items) -> Staged<Outcomes> {
    // What is in a mailbox is read from the view: nothing may come into it in between.
    let account = context.account()?;
    let in_turn = stage_in_turn(context, items);
    account.writer.in_turn(in_turn).await
}

async fn stage_in_turn(context: &Context, items: &Items) -> Staged<Outcomes> {
    let account = context.account()?;
    let does_destroy = !items.destroy.is_empty();
    if does_destroy {
        account.writer.drained().await;
        account.look().await?;
    }
    let (seen, sequence) = look(context, items).await?;
    let txn = account.writer.begin().await?;
    if does_destroy && Some(txn.head.sequence) != sequence {
        // Another node was faster.
        return Err(store::Error::Conflict.into());
    }
    let planner = Planner::new(context, &txn, &seen, items)?;
    let plan = planner.plan().await?;
    let ticket = carry_out(context, txn, &plan, &seen).await?;
    Ok((Outcomes::of(plan), ticket))
}

/// What the view has to say, and the sequence as of which that is so.
async fn look(context: &Context, items: &Items) -> Result<(Seen, Option<u64>), Rejected> {
    let mut seen = Seen::default();
    let patches = items.update.iter();
    let patches = patches.filter(|(_, patch)| properties::has_server_set(patch));
    let shown: Vec<&String> = patches.map(|(id, _)| id).collect();
    if shown.is_empty() && items.destroy.is_empty() {
        return Ok((seen, None));
    }
    let view = context.account()?.view().await?;
    let number = |id: &String| plan::number_of(id, &items.created_ids);
    for id in shown.into_iter().filter_map(number) {
        seen.counts.insert(id, view.counts(id));
    }
    for id in items.destroy.iter().filter_map(number) {
        let row = view.mailbox(id);
        let emails = row.map(|row| row.by_uid().iter().map(|(_, email)| email).collect());
        seen.emails.insert(id, emails.unwrap_or_default());
    }
    Ok((seen, Some(view.head.sequence)))
}

/// A mailbox before the call and after it.
type Ends = (Option<MailboxRecord>, Option<MailboxRecord>);

async fn carry_out(
    context: &Context,
    mut txn: MailTxn,
    plan: &Plan,
    seen: &Seen,
) -> Result<Option<Ticket>, Rejected> {
    let done = plan.creates.iter().chain(&plan.updates);
    let done = done.chain(&plan.destroys).flatten();
    let mut mailboxes: BTreeMap<u64, Ends> = BTreeMap::new();
    for change in done {
        let first = || (change.before.clone(), None);
        mailboxes.entry(change.id).or_insert_with(first).1 = change.after.clone();
    }
    for (id, ends) in &mailboxes {
        let emails = seen.emails.get(id).filter(|_| ends.1.is_none());
        let emails = emails.map(Vec::as_slice).unwrap_or_default();
        remove_emails(context, &mut txn, *id, emails).await?;
    }
    tell_of_trash(&mut txn, &mailboxes, &plan.tree);
    let mut concerned = Vec::new();
    for (id, (before, after)) in mailboxes {
        concerned.extend(share(&mut txn, grants(before.as_ref()), grants(after.as_ref())).await?);
        put(context, &mut txn, id, before, after).await?;
    }
    if plan.creates.iter().all(Result::is_err) && !txn.has_changes() {
        return Ok(txn.stage_or_seen());
    }
    hand_in(context, txn, concerned).await
}

fn grants(record: Option<&MailboxRecord>) -> &[Grant] {
    let grants = record.map(|record| record.share_with.as_slice());
    grants.unwrap_or_default()
}

/// Writes what has become of a mailbox. New ones come in the order of their numbers.
async fn put(
    context: &Context,
    txn: &mut MailTxn,
    id: u64,
    before: Option<MailboxRecord>,
    after: Option<MailboxRecord>,
) -> Result<(), store::Error> {
    match (before, after) {
        (None, after) => {
            // Numbers of what was refused stay without an object.
            while txn.head.last_id + 1 < id {
                txn.new_id();
            }
            match after {
                Some(mut record) => {
                    record.uid_validity = write::uid_validity(txn, context.core.clock.now());
                    write::insert_mailbox(txn, record);
                }
                // It is gone again; its number has been told.
                None => {
                    txn.new_id();
                }
            }
        }
        (Some(_), None) => write::remove_mailbox(txn, id).await?,
        (Some(before), Some(after)) if before != after => {
            write::put_mailbox(txn, id, after, ChangeKind::Updated);
        }
        (Some(_), Some(_)) => {}
    }
    Ok(())
}

/// RFC 8621 §2 `unreadThreads`: emails in the trash don't count elsewhere. Where another mailbox is the trash, all counts may have changed.
fn tell_of_trash(txn: &mut MailTxn, mailboxes: &BTreeMap<u64, Ends>, tree: &Tree) {
    let is_trash = |record: &MailboxRecord| record.role.as_deref() == Some("trash");
    let is_changed = |ends: &Ends| match ends {
        (Some(before), Some(after)) => is_trash(before) != is_trash(after),
        _ => false,
    };
    if !mailboxes.values().any(is_changed) {
        return;
    }
    let last = txn.head.last_id;
    let is_told = |id: &u64| {
        let ends = mailboxes.get(id);
        *id > last || ends.is_some_and(|(before, after)| before != after)
    };
    let ids = tree.iter().map(|(id, _)| id);
    for id in ids.filter(|id| !is_told(id)) {
        txn.changed(Change::new(DataType::Mailbox, id, ChangeKind::Counts));
    }
}

/// RFC 8621 §2.5 `onDestroyRemoveEmails`: emails leave the mailbox, and those that are in no other go.
async fn remove_emails(
    context: &Context,
    txn: &mut MailTxn,
    mailbox: u64,
    emails: &[u64],
) -> Result<(), store::Error> {
    let removal = context.core.removal();
    for &id in emails {
        let Some(record) = write::any_email(txn, id).await? else {
            continue;
        };
        if record
            .all_places
            .iter()
            .any(|place| place.mailbox == mailbox)
        {
            write::leave_mailbox(txn, id, record, mailbox, removal).await?;
        }
    }
    Ok(())
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
