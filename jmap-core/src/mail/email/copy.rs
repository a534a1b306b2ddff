//! Email/copy (RFC 8621 §4.7, RFC 8620 §5.4).
//! Holds: the caller needs to see an email in the one account, and may add to the mailboxes of the other.
//! Other half: `import::Arrivals` stages the copies; an implied Email/set destroys the originals.

use jmap_types::{
    AccountId, MethodError, MethodErrorKind, Property, SetError, State, UtcDate, WireId,
    mail::Email,
    method::{Access, Copy, CopyResponse, CreatedIds, MethodCall, MethodResponse, Set},
    value::{Map, as_text},
};

use super::{
    import::{Arrival, Arrivals},
    metadata, read,
};
use crate::{
    Context, Handle,
    error::{method_error, set_error},
    mail::{
        access::is_email_visible,
        write::{Message, Placement},
    },
    object::{GetObject, Guard, States, check_state, resolve_creation_ids},
};

impl Handle for Copy<Email> {
    async fn handle(self, context: Context) -> Result<CopyResponse, MethodError> {
        if self.create.len() as u64 > context.core.limits().max_objects_in_set {
            return Err(MethodErrorKind::RequestTooLarge.into());
        }
        let from = from_account(&context, self.from_account_id, self.account_id)?;
        if self.if_from_in_state.is_some() {
            // The client may know it from another node.
            from.account()?.look().await.map_err(method_error)?;
        }
        let from_state = head_state(&from).await?;
        check_state(self.if_from_in_state.as_deref(), from_state)?;
        let account = context.account()?.clone();
        let guard = Guard::new(account, Email::STATE, self.if_in_state);
        let mut arrivals = Arrivals::new(&context, &self.created_ids, &guard);
        let mut originals = Vec::new();
        for (creation_id, mut email) in self.create {
            let arrival = match resolve_creation_ids(&mut email, &self.created_ids) {
                Ok(()) => read(&context, &from, email).await,
                Err(error) => Err(error),
            };
            let arrival = arrival.map(|(original, arrival)| {
                originals.push((creation_id.clone(), original));
                arrival
            });
            arrivals.add(creation_id, arrival).await?;
        }
        arrivals.write().await?;
        let States { old, new } = guard.states().await?;
        let Arrivals {
            created,
            not_created,
            ..
        } = arrivals;
        let mut response = CopyResponse {
            from_account_id: self.from_account_id,
            account_id: self.account_id,
            old_state: old,
            new_state: new,
            created,
            not_created,
            implicit: Vec::new(),
        };
        if self.on_success_destroy_original && !response.created.is_empty() {
            let copied = |creation_id: &String| {
                response
                    .created
                    .iter()
                    .any(|(created, _)| created == creation_id)
            };
            originals.retain(|(creation_id, _)| copied(creation_id));
            let destroy = Set::<Email> {
                account_id: self.from_account_id,
                if_in_state: self.destroy_from_if_in_state,
                create: Vec::new(),
                update: Vec::new(),
                destroy: originals
                    .into_iter()
                    .map(|(_, id)| id.to_string())
                    .collect(),
                arguments: (),
                created_ids: CreatedIds::default(),
            };
            let destroyed = context.core.call(&context.who, destroy).await;
            let destroyed = destroyed.map(MethodResponse::into_map);
            response.implicit.push((Set::<Email>::NAME, destroyed));
        }
        Ok(response)
    }
}

/// The account that is copied from, as seen by the caller.
fn from_account(context: &Context, from: AccountId, to: AccountId) -> Result<Context, MethodError> {
    if from == to {
        // RFC 8620 §5.4: the accounts must be different.
        return Err(MethodError::invalid_arguments(
            "\"fromAccountId\" must be another account than \"accountId\".",
        ));
    }
    let context = context.core.context(&context.who, Some(from), Access::Read);
    context.map_err(|_| MethodErrorKind::FromAccountNotFound.into())
}

async fn head_state(context: &Context) -> Result<State, MethodError> {
    let head = context.account()?.head().await.map_err(method_error)?;
    Ok(State(head.state(Email::STATE)))
}

/// What is to be copied: the original's id, and the copy.
async fn read(
    context: &Context,
    from: &Context,
    email: Map,
) -> Result<(WireId, Arrival), SetError> {
    let mut original = None;
    let (mut mailboxes, mut keywords, mut received_at) = (None, None, None);
    for (key, value) in email.into_vec() {
        match key.as_property() {
            Some(Property::Id) => original = as_text(&value).and_then(WireId::parse),
            Some(Property::MailboxIds) => mailboxes = Some(metadata::mailboxes(value)?),
            Some(Property::Keywords) => keywords = Some(metadata::keywords(value)?),
            Some(Property::ReceivedAt) => {
                let date = as_text(&value).and_then(UtcDate::parse);
                received_at = Some(date.ok_or_else(|| {
                    SetError::invalid_property("receivedAt", "It must be a UTCDate.")
                })?);
            }
            _ => {
                let why = "Only mailboxIds, keywords and receivedAt can be set in a copy.";
                return Err(SetError::invalid_property(key.to_string(), why));
            }
        }
    }
    let Some(original) = original else {
        return Err(SetError::invalid_property(
            "id",
            "It must be the Id of an email.",
        ));
    };
    // The mailboxes of the one account are none of the other.
    let mailboxes = mailboxes.ok_or_else(|| {
        SetError::invalid_property("mailboxIds", "A copy needs mailboxes of its account.")
    })?;
    let found = find(from, &original).await?;
    let keywords = keywords.unwrap_or(found.record.keywords);
    metadata::check_limits(&context.core.limits(), &mailboxes, &keywords)?;
    let message = Message::new(found.record.blob, found.octets, found.summary);
    let placement = Placement {
        mailboxes,
        keywords,
        received_at: received_at.map_or(found.record.received_at, |date| date.0),
        quota_octets: 0,
        is_delivery: false,
        is_deleted: false,
    };
    Ok((original, Arrival { message, placement }))
}

/// An email of the account that is copied from, if the caller sees it.
async fn find(from: &Context, id: &WireId) -> Result<read::Original, SetError> {
    let id = Email::parse_id(id).ok_or_else(SetError::not_found)?;
    let not_found = |_: MethodError| SetError::not_found();
    let account = from.account().map_err(not_found)?;
    let standing = from.standing().map_err(not_found)?;
    let is_visible = {
        let view = account.view().await.map_err(set_error)?;
        view.email(id)
            .is_some_and(|row| is_email_visible(&view, &from.who, standing, row))
    };
    if !is_visible {
        return Err(SetError::not_found());
    }
    let found = read::message_octets(&from.core, account, id)
        .await
        .map_err(set_error)?;
    found.ok_or_else(SetError::not_found)
}
