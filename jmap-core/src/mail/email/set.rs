//! Email/set (RFC 8621 §4.6).
//! Holds: keywords and mailboxes change by one record; a guest changes only what their rights on the
//! mailboxes allow, and never touches mailboxes that they don't see.
//! Other half: `create` makes new messages, `metadata` reads patches, `write` stores.

use jmap_types::{
    DataType, Property, SetError, Value,
    mail::{Email, EmailGetArguments},
    value::{Key, Map, MapExt},
};
use store::keys;

use super::{
    create, get,
    metadata::{self, EmailPatch},
    plan,
};
use crate::{
    Context,
    access::{self, MailboxRights, Standing},
    mail::{
        records::{EmailRecord, InMailbox, MailboxRecord},
        write::{self, MailTxn},
    },
    object::{GetObject, Properties, Rejected, SetObject, Staged, is_same},
};

impl SetObject for Email {
    async fn create(context: &Context, (): &(), properties: Map) -> Staged<(u64, Map)> {
        create::create(context, properties).await
    }

    async fn update(context: &Context, (): &(), id: u64, patch: Map) -> Staged<Option<Map>> {
        let (txn, told, _) = changed(context, id, patch).await?;
        Ok((told, txn.stage_or_seen()))
    }

    async fn destroy(context: &Context, (): &(), id: u64) -> Staged<()> {
        let mut txn = context.account()?.writer.begin().await?;
        let (record, rights) = existing(context, &txn, id).await?;
        if !rights.all_have(MailboxRights::REMOVE_ITEMS) {
            return Err(
                SetError::forbidden("You may not remove it from all its mailboxes.").into(),
            );
        }
        write::remove_email(&mut txn, id, &record, context.core.removal()).await?;
        Ok(((), Some(txn.stage())))
    }
}

/// What a patch makes of an email, not staged yet: the transaction, what the client doesn't know, and the keywords.
async fn changed(
    context: &Context,
    id: u64,
    patch: Map,
) -> Result<(MailTxn, Option<Map>, Vec<String>), Rejected> {
    let patch = EmailPatch::read(patch)?;
    if !patch.others.is_empty() {
        check_immutable(context, id, &patch.others).await?;
    }
    let mut txn = context.account()?.writer.begin().await?;
    let (record, rights) = existing(context, &txn, id).await?;
    if patch.mailboxes.is_empty() && patch.keywords.is_empty() {
        return Ok((txn, None, record.keywords));
    }
    let places = || record.places().map(|place| place.mailbox);
    let hidden = places().filter(|&mailbox| !rights.sees(mailbox));
    let seen = places().filter(|&mailbox| rights.sees(mailbox));
    let mut mailboxes = metadata::patched_mailboxes(&patch.mailboxes, seen)?;
    mailboxes.extend(hidden);
    let keywords = patch.keywords.apply(record.keywords.iter().cloned());
    metadata::check_limits(&context.core.limits(), &mailboxes, &keywords)?;
    rights
        .check_change(context, &txn, &record, &mailboxes, &keywords)
        .await?;
    let told = patch.has_folded.then(|| {
        let keywords = get::keywords(keywords.iter().map(String::as_str));
        Map::new().with(Property::Keywords, keywords)
    });
    let now = context.core.clock.now();
    write::change_email(&mut txn, id, record, &mailboxes, keywords.clone(), now).await?;
    Ok((txn, told, keywords))
}

/// The keywords that an email would have after a patch; nothing is changed.
pub(in crate::mail) async fn keywords_after(
    context: &Context,
    id: u64,
    patch: Map,
) -> Result<Vec<String>, Rejected> {
    let (_, _, keywords) = changed(context, id, patch).await?;
    Ok(keywords)
}

/// The caller's rights on the mailboxes of one email.
struct Rights {
    standing: Standing,
    /// Of a guest: where the email is, and their rights there.
    each: Vec<(InMailbox, MailboxRights)>,
}

/// The email's record and the rights on it; `notFound` when the caller doesn't see it.
async fn existing(
    context: &Context,
    txn: &MailTxn,
    id: u64,
) -> Result<(EmailRecord, Rights), Rejected> {
    let Some(record) = write::email(txn, id).await? else {
        return Err(SetError::not_found().into());
    };
    let standing = context.standing()?;
    let mut each = Vec::new();
    if standing == Standing::Guest {
        for place in &record.all_places {
            let rights = mailbox_rights(context, txn, place.mailbox).await?;
            each.push((*place, rights.unwrap_or_default()));
        }
        let sees = |(place, rights): &(InMailbox, MailboxRights)| {
            !place.is_deleted && rights.contains(MailboxRights::READ_ITEMS)
        };
        if !each.iter().any(sees) {
            return Err(SetError::not_found().into());
        }
    }
    Ok((record, Rights { standing, each }))
}

/// What the caller may do with a mailbox; `None` when there is none.
async fn mailbox_rights(
    context: &Context,
    txn: &MailTxn,
    mailbox: u64,
) -> Result<Option<MailboxRights>, Rejected> {
    let key = keys::object(txn.account(), DataType::Mailbox, mailbox);
    let record = txn.record::<MailboxRecord>(&key).await?;
    let standing = context.standing()?;
    Ok(record.map(|record| access::mailbox_rights(&context.who, standing, &record)))
}

/// Whether the caller may put an email into these mailboxes. One that a guest doesn't see is one
/// that doesn't exist.
pub(super) async fn check_add(
    context: &Context,
    txn: &MailTxn,
    mailboxes: &[u64],
) -> Result<(), Rejected> {
    if context.standing()? == Standing::Owner {
        // That they exist is found when the email gets its UIDs.
        return Ok(());
    }
    for &mailbox in mailboxes {
        let rights = mailbox_rights(context, txn, mailbox).await?;
        let rights = rights.unwrap_or_default();
        if rights == MailboxRights::default() {
            let why = "One of the mailboxes does not exist.";
            return Err(SetError::invalid_property("mailboxIds", why).into());
        }
        if !rights.contains(MailboxRights::ADD_ITEMS) {
            return Err(SetError::forbidden("You may not add emails to this mailbox.").into());
        }
    }
    Ok(())
}

impl Rights {
    fn sees(&self, mailbox: u64) -> bool {
        let of = |(place, rights): &(InMailbox, MailboxRights)| {
            place.mailbox == mailbox && rights.contains(MailboxRights::READ_ITEMS)
        };
        self.standing == Standing::Owner || self.each.iter().any(of)
    }

    /// RFC 8621 §2 `myRights`: what changes an email needs the right in all its mailboxes.
    fn all_have(&self, right: MailboxRights) -> bool {
        self.standing == Standing::Owner
            || self.each.iter().all(|(_, rights)| rights.contains(right))
    }

    async fn check_change(
        &self,
        context: &Context,
        txn: &MailTxn,
        record: &EmailRecord,
        mailboxes: &[u64],
        keywords: &[String],
    ) -> Result<(), Rejected> {
        if self.standing == Standing::Owner {
            return Ok(());
        }
        let is_in = |mailbox: u64| record.places().any(|place| place.mailbox == mailbox);
        let added: Vec<u64> = mailboxes.iter().copied().filter(|&id| !is_in(id)).collect();
        check_add(context, txn, &added).await?;
        let kept = |(place, rights): &(InMailbox, MailboxRights)| {
            place.is_deleted
                || mailboxes.contains(&place.mailbox)
                || rights.contains(MailboxRights::REMOVE_ITEMS)
        };
        if !self.each.iter().all(kept) {
            return Err(SetError::forbidden("You may not remove it from this mailbox.").into());
        }
        let gone = record
            .keywords
            .iter()
            .filter(|name| !keywords.contains(name));
        let new = keywords
            .iter()
            .filter(|name| !record.keywords.contains(name));
        for name in gone.chain(new) {
            let needed = match name.as_str() {
                "$seen" => MailboxRights::SET_SEEN,
                _ => MailboxRights::SET_KEYWORDS,
            };
            if !self.all_have(needed) {
                return Err(SetError::forbidden("You may not change its keywords.").into());
            }
        }
        Ok(())
    }
}

/// RFC 8620 §5.3: what can't change may be given, if it is as it is.
async fn check_immutable(
    context: &Context,
    id: u64,
    others: &[(Key, Value)],
) -> Result<(), Rejected> {
    let names: Vec<String> = others
        .iter()
        .map(|(key, _)| key.to_string().into_owned())
        .collect();
    let unknown: Vec<String> = names
        .iter()
        .filter(|name| !plan::is_property(name))
        .cloned()
        .collect();
    if !unknown.is_empty() {
        return Err(wrong(unknown, "There is no such property.").into());
    }
    let properties = Properties::new(names);
    let arguments = EmailGetArguments::default();
    let found = Email::fetch(context, &[id], &properties, &arguments).await?;
    let Some(Some(Value::Object(now))) = found.into_iter().next() else {
        return Err(SetError::not_found().into());
    };
    let changed =
        |(key, value): &&(Key, Value)| !now.get(key).is_some_and(|now| is_same(now, value));
    let changed: Vec<String> = others
        .iter()
        .filter(changed)
        .map(|(key, _)| key.to_string().into_owned())
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    Err(wrong(
        changed,
        "Only mailboxIds and keywords of an email can change.",
    )
    .into())
}

fn wrong(properties: Vec<String>, why: &str) -> SetError {
    SetError {
        properties,
        ..SetError::invalid_property("", why)
    }
}
