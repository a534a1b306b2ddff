//! EmailSubmission/set (RFC 8621 §7.5).
//! Holds: who may send from which address is checked here and in `inproc::submit`, by the account's addresses of
//! that moment; a message without a hold is on its way, or delivered, when the answer is given.

use std::time::Duration;

use bytes::Bytes;
use jmap_types::{
    DataType, Property, SetError, SetErrorKind, Value, WireId,
    mail::{Email, EmailId, EmailSubmission, Identity, SubmissionSetArguments},
    method::{CreatedIds, MethodResponse, Set, SetResponse},
    patch,
    value::{Map, MapExt as _, key},
};
use store::{Record as _, keys};

use super::{
    envelope::{self, Envelope},
    get,
    records::{EnvelopeAddress, RecipientRecord, SubmissionRecord, UndoStatus},
    stage,
};
use crate::{
    Context, Core,
    access::Standing,
    accounts::AccountHandle,
    mail::{
        identity::{self, IdentityRecord},
        message::{Summary, address},
        records::EmailRecord,
    },
    object::{GetObject as _, Rejected, SetObject, Staged, is_same},
    trace::Submitted,
};

/// How long the answer waits for deliveries.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// Properties that the server sets, in the order in which a client is told them.
const SERVER_SET: &[&str] = &[
    "threadId",
    "sendAt",
    "undoStatus",
    "deliveryStatus",
    "dsnBlobIds",
    "mdnBlobIds",
];
/// How long the record of a destroyed submission stays for the rest of its request, in milliseconds.
const DESTROYED_STAYS_MS: u64 = 60_000;

impl SetObject for EmailSubmission {
    async fn create(
        context: &Context,
        _: &SubmissionSetArguments,
        properties: Map,
    ) -> Staged<(u64, Map)> {
        if context.standing()? == Standing::Guest {
            let why = "You may not send in the name of this account.";
            return Err(SetError::describe(SetErrorKind::ForbiddenToSend, why).into());
        }
        let core = &context.core;
        let account = context.account()?.clone();
        let given = Given::read(properties)?;
        let has_envelope = given.envelope.is_some();
        let source = Source::find(core, &account, given.identity, given.email).await?;
        let octets = envelope::without_bcc(&source.octets);
        check_message(core, &account, &source.summary, octets.len()).await?;
        let envelope = match given.envelope {
            Some(envelope) => envelope,
            None => generated_envelope(core, &account, &source).await?,
        };
        check_mail_from(core, &account, &envelope.mail_from).await?;
        envelope::check_recipients(&envelope.recipients, &core.limits())?;
        let now = core.clock.now();
        let hold = envelope::hold_until(&envelope.mail_from, now.seconds(), &core.limits())?;
        let mut record = new_record(core, envelope.clone(), &octets, hold);
        (record.identity, record.email, record.thread) =
            (given.identity, given.email, source.email.thread);
        let mut txn = account.writer.begin().await?;
        let recipients = record.recipients.len() as u64;
        let (sender, kept_max) = (context.who.account, core.limits().max_submissions);
        core.take_sending(sender, recipients)
            .await?
            .map_err(SetError::from)?;
        let lease = core.first_lease(&record);
        let inserted = stage::insert(&mut txn, &record, &octets, lease, kept_max).await;
        let id = inserted.inspect_err(|_| core.sending.give_back(sender, recipients))?;
        let mut ticket = txn.stage();
        if core.cluster.is_some() {
            // Where another node was faster, this comes again, and is neither counted nor told twice.
            let kept = ticket.wait().await;
            kept.inspect_err(|_| core.sending.give_back(sender, recipients))?;
        }
        core.trace_submission(Submitted {
            account: account.id,
            id,
            who: &context.who,
            envelope: &envelope,
            summary: &source.summary,
            size: octets.len(),
            hold_until: hold,
            session: None,
        });
        let mut server_set = server_set(&record);
        if !has_envelope {
            server_set.insert(key("envelope"), record.envelope_value());
        }
        Ok(((id, server_set), Some(ticket)))
    }

    async fn update(
        context: &Context,
        _: &SubmissionSetArguments,
        id: u64,
        patch: Map,
    ) -> Staged<Option<Map>> {
        let account = context.account()?.clone();
        let mut txn = account.writer.begin().await?;
        let mut record = visible_record(context, &txn, id).await?;
        let names = EmailSubmission::DEFAULT_PROPERTIES.iter().copied();
        let shown = || get::to_map(id, &record, names);
        let patch = patch::whole_properties(patch, shown).map_err(SetError::from)?;
        let mut wanted = None;
        for (key, value) in patch.into_vec() {
            let name = key.to_string();
            if *name == *"undoStatus" {
                wanted = Some(value);
            } else if !is_unchanged(id, &record, &name, &value) {
                let why = "Only the undoStatus of a submission can change.";
                return Err(SetError::invalid_property(&name, why).into());
            }
        }
        let Some(wanted) = wanted else {
            return Ok((None, txn.stage_or_seen()));
        };
        let Value::Str(wanted) = &wanted else {
            return Err(SetError::invalid_property("undoStatus", "It must be a String.").into());
        };
        match (record.undo_status, &**wanted) {
            (now, wanted) if now.as_str() == wanted => {
                return Ok((None, txn.stage_or_seen()));
            }
            (UndoStatus::Pending, "canceled") => {}
            (UndoStatus::Final, "canceled") => {
                let why = "The message has already been sent.";
                return Err(SetError::describe(SetErrorKind::CannotUnsend, why).into());
            }
            _ => {
                let why = "It can only be changed from \"pending\" to \"canceled\".";
                return Err(SetError::invalid_property("undoStatus", why).into());
            }
        }
        record.cancel();
        stage::release(&mut txn, id, &mut record, context.core.clock.now());
        let due = context.core.kept_until();
        stage::update(&mut txn, id, &mut record, due);
        let mut server_set = Map::with_capacity(1);
        server_set.set(Property::DeliveryStatus, record.delivery_status_value());
        Ok((Some(server_set), Some(txn.stage())))
    }

    async fn destroy(context: &Context, _: &SubmissionSetArguments, id: u64) -> Staged<()> {
        let account = context.account()?.clone();
        let mut txn = account.writer.begin().await?;
        let mut record = visible_record(context, &txn, id).await?;
        let due = match record.is_done {
            true => context.core.queue_now().saturating_add(DESTROYED_STAYS_MS),
            false => record.due,
        };
        stage::hide(&mut txn, id, &mut record, due);
        Ok(((), Some(txn.stage())))
    }

    async fn finish(
        context: &Context,
        arguments: SubmissionSetArguments,
        response: &mut SetResponse,
        created: &CreatedIds,
    ) {
        send_created(context, response).await;
        let Some(call) = implied_call(context, arguments, response, created).await else {
            return;
        };
        let answer = context.core.call(&context.who, call).await;
        response
            .implicit
            .push(("Email/set", answer.map(MethodResponse::into_map)));
    }
}

/// What a client gave to create a submission.
struct Given {
    identity: u64,
    email: u64,
    envelope: Option<Envelope>,
}

impl Given {
    fn read(properties: Map) -> Result<Self, SetError> {
        let (mut identity, mut email, mut envelope) = (None, None, None);
        let mut wrong: Vec<String> = Vec::new();
        for (key, value) in properties.into_vec() {
            let name = key.to_string().into_owned();
            match (name.as_str(), value) {
                ("identityId", Value::Str(text)) => identity = number::<Identity>(&text),
                ("emailId", Value::Str(text)) => email = number::<Email>(&text),
                ("envelope", value) => envelope = envelope::read(value)?,
                ("identityId" | "emailId", _) => {}
                _ => wrong.push(name),
            }
        }
        if !wrong.is_empty() {
            let why = "A client can't set these properties.";
            return Err(SetError {
                properties: wrong,
                ..SetError::invalid_property("", why)
            });
        }
        let (Some(identity), Some(email)) = (identity, email) else {
            let missing = [
                ("identityId", identity.is_none()),
                ("emailId", email.is_none()),
            ];
            let missing = missing
                .into_iter()
                .filter(|(_, is)| *is)
                .map(|(name, _)| name.to_owned());
            let why = "The identity or the email does not exist.";
            return Err(SetError {
                properties: missing.collect(),
                ..SetError::invalid_property("", why)
            });
        };
        Ok(Self {
            identity,
            email,
            envelope,
        })
    }
}

fn number<O: crate::object::GetObject>(text: &str) -> Option<u64> {
    WireId::parse(text)
        .and_then(|id| id.as_id::<O>())
        .map(|id| id.number())
}

/// What is to be sent, and as whom.
struct Source {
    identity: IdentityRecord,
    email: EmailRecord,
    octets: Bytes,
    summary: Summary,
}

impl Source {
    async fn find(
        core: &Core,
        account: &AccountHandle,
        identity: u64,
        email: u64,
    ) -> Result<Self, Rejected> {
        let no_identity =
            || SetError::invalid_property("identityId", "The identity does not exist.");
        let no_email = || SetError::invalid_property("emailId", "The email does not exist.");
        identity::ensure(core, account).await?;
        let key = keys::object(account.id, DataType::Identity, identity);
        let bytes = core
            .engine
            .get(&key)
            .await
            .map_err(store::Error::from)?
            .ok_or_else(no_identity)?;
        let identity = IdentityRecord::from_bytes(&key, &bytes)?;
        let key = keys::object(account.id, DataType::Email, email);
        let bytes = core
            .engine
            .get(&key)
            .await
            .map_err(store::Error::from)?
            .ok_or_else(no_email)?;
        let email = EmailRecord::from_bytes(&key, &bytes)?;
        if !email.is_visible() {
            return Err(no_email().into());
        }
        let octets = store::blob::get(&core.engine, &email.blob)
            .await?
            .ok_or_else(no_email)?;
        let stored = core
            .engine
            .get(&keys::summary(&email.blob))
            .await
            .map_err(store::Error::from)?;
        let summary = stored.and_then(|bytes| Summary::decode(&bytes).ok());
        let summary = summary.unwrap_or_else(|| Summary::parse(&octets));
        Ok(Self {
            identity,
            email,
            octets,
            summary,
        })
    }
}

/// Whether the message is one that can be sent, and by this account.
async fn check_message(
    core: &Core,
    account: &AccountHandle,
    summary: &Summary,
    octets: usize,
) -> Result<(), Rejected> {
    let max = core.limits().max_size_message;
    if octets as u64 > max {
        let error = SetError::describe(
            SetErrorKind::TooLarge,
            "The message is too large to be sent.",
        );
        return Err(error.with(Property::MaxSize, max).into());
    }
    let from = address::flatten(summary.from.as_deref().unwrap_or_default());
    let sender = address::flatten(summary.sender.as_deref().unwrap_or_default());
    let mut wrong = Vec::new();
    if from.is_empty() || !from.iter().all(|address| super::is_address(&address.email)) {
        wrong.push("from".to_owned());
    }
    // RFC 5322 §3.6.2: one sender, and it must be named where there are several authors.
    let sender_is_valid = match (&summary.sender, from.len()) {
        (None, count) => count <= 1,
        (Some(_), _) => sender.len() == 1 && super::is_address(&sender[0].email),
    };
    if !sender_is_valid {
        wrong.push("sender".to_owned());
    }
    if !wrong.is_empty() {
        let why = "The message has no valid From or Sender address.";
        let error = SetError::describe(SetErrorKind::InvalidEmail, why);
        return Err(SetError {
            properties: wrong,
            ..error
        }
        .into());
    }
    for address in &from {
        if !core.owns_address(account.id, &address.email).await? {
            let why = "You may not send with this From address.";
            return Err(SetError::describe(SetErrorKind::ForbiddenFrom, why).into());
        }
    }
    Ok(())
}

/// RFC 8621 §7: where the message's sender is not allowed, the identity's address takes its place.
async fn generated_envelope(
    core: &Core,
    account: &AccountHandle,
    source: &Source,
) -> Result<Envelope, Rejected> {
    let mut envelope = envelope::from_message(&source.summary);
    if !core
        .owns_address(account.id, &envelope.mail_from.email)
        .await?
    {
        envelope.mail_from = EnvelopeAddress::plain(source.identity.email.clone());
    }
    Ok(envelope)
}

async fn check_mail_from(
    core: &Core,
    account: &AccountHandle,
    from: &EnvelopeAddress,
) -> Result<(), Rejected> {
    if from.email.is_empty() || core.owns_address(account.id, &from.email).await? {
        return Ok(());
    }
    let why = "You may not send with this envelope sender.";
    Err(SetError::describe(SetErrorKind::ForbiddenMailFrom, why).into())
}

/// The record of a message that is sent now, or once `hold` (seconds since 1970) has come.
pub(crate) fn new_record(
    core: &Core,
    envelope: Envelope,
    octets: &Bytes,
    hold: Option<i64>,
) -> SubmissionRecord {
    let now = core.clock.now();
    let send_at = hold.unwrap_or(now.seconds());
    let undo = core.limits().undo_seconds.saturating_mul(1000);
    let due = match hold {
        Some(seconds) => u64::try_from(seconds).unwrap_or(0).saturating_mul(1000),
        None => core.queue_now().saturating_add(undo),
    };
    let is_pending = hold.is_some() || undo != 0;
    SubmissionRecord {
        mail_from: envelope.mail_from,
        recipients: envelope
            .recipients
            .into_iter()
            .map(RecipientRecord::new)
            .collect(),
        send_at,
        undo_status: if is_pending {
            UndoStatus::Pending
        } else {
            UndoStatus::Final
        },
        blob: store::blob::hash(octets),
        due,
        arrived: Some(now.seconds()),
        size: Some(octets.len() as u64),
        ..SubmissionRecord::default()
    }
}

fn server_set(record: &SubmissionRecord) -> Map {
    let values = SERVER_SET
        .iter()
        .filter_map(|name| Some((key(*name), get::property(record, name)?)));
    values.collect()
}

async fn visible_record(
    context: &Context,
    txn: &crate::mail::write::MailTxn,
    id: u64,
) -> Result<SubmissionRecord, Rejected> {
    let record = match context.standing()? {
        Standing::Owner => stage::read(txn, id).await?,
        Standing::Guest => None,
    };
    Ok(record
        .filter(|record| !record.is_hidden)
        .ok_or_else(SetError::not_found)?)
}

/// RFC 8620 §5.3: what can't change may be given, if it is as it is.
fn is_unchanged(id: u64, record: &SubmissionRecord, name: &str, value: &Value) -> bool {
    match (name, value) {
        ("id", Value::Str(text)) => **text == *EmailSubmission::wire_id(id).as_str(),
        (name, value) => get::property(record, name).is_some_and(|now| is_same(&now, value)),
    }
}

/// Sends what was created and is not held, and tells what became of it, so far as that is known soon. The new state stays: what follows from
/// sending may come after changes of others, and /changes tells all of them.
async fn send_created(context: &Context, response: &mut SetResponse) {
    let Ok(account) = context.account() else {
        return;
    };
    let (core, account_id) = (&context.core, account.id);
    let created = response.created.iter_mut().filter_map(|(_, map)| {
        let Some(Value::Str(id)) = map.get(&key("id")) else {
            return None;
        };
        number::<EmailSubmission>(id).map(|id| (id, map))
    });
    let mut sending = Vec::new();
    for (id, map) in created {
        let core = core.clone();
        let task = tokio::spawn(async move { core.send_submission(account_id, id).await });
        sending.push((id, map, task));
    }
    if sending.is_empty() {
        return;
    }
    let deadline = tokio::time::Instant::now() + ANSWER_WAIT;
    for (id, map, task) in sending {
        // What takes longer goes on by itself.
        let _ = tokio::time::timeout_at(deadline, task).await;
        if let Ok(Some(record)) = super::record(core, account_id, id).await {
            for (name, value) in server_set(&record).into_vec() {
                map.insert(name, value);
            }
        }
    }
}

/// The one Email/set that `onSuccessUpdateEmail` and `onSuccessDestroyEmail` come to; `None`: nothing of them
/// succeeded.
async fn implied_call(
    context: &Context,
    arguments: SubmissionSetArguments,
    response: &SetResponse,
    created: &CreatedIds,
) -> Option<Set<Email>> {
    let succeeded = |reference: &str| -> Option<u64> {
        let id = match reference.strip_prefix('#') {
            Some(creation_id) => created.get(creation_id)?,
            None => WireId::parse(reference)?,
        };
        let is_touched = created_ids(response).any(|new| new == id.as_str())
            || response.updated.iter().any(|(updated, _)| *updated == id)
            || response.destroyed.contains(&id);
        id.as_id::<EmailSubmission>()
            .filter(|_| is_touched)
            .map(|id| id.number())
    };
    let mut update: Vec<(String, Map)> = Vec::new();
    let mut destroy = Vec::new();
    for (reference, patch) in arguments.on_success_update_email {
        if let Some(email) = email_of(context, succeeded(&reference)).await {
            add_patch(&mut update, email, patch);
        }
    }
    for reference in arguments.on_success_destroy_email {
        if let Some(email) = email_of(context, succeeded(&reference)).await {
            destroy.push(email);
        }
    }
    if update.is_empty() && destroy.is_empty() {
        return None;
    }
    Some(Set {
        account_id: response.account_id,
        if_in_state: None,
        create: Vec::new(),
        update,
        destroy,
        arguments: (),
        created_ids: created.clone(),
    })
}

/// Several submissions may be of one email, which is updated once (RFC 7493 §2.3: no name twice).
fn add_patch(update: &mut Vec<(String, Map)>, email: String, patch: Map) {
    let Some((_, known)) = update.iter_mut().find(|(known, _)| *known == email) else {
        return update.push((email, patch));
    };
    for (path, value) in patch.into_vec() {
        known.insert(path, value);
    }
}

/// The id of the email that a submission sent.
async fn email_of(context: &Context, submission: Option<u64>) -> Option<String> {
    let account = context.account().ok()?.id;
    match super::record(&context.core, account, submission?).await {
        Ok(record) => record.map(|record| EmailId::new(record.email).to_string()),
        Err(error) => {
            tracing::error!(%error, "a submission could not be read");
            None
        }
    }
}

fn created_ids(response: &SetResponse) -> impl Iterator<Item = &str> {
    response
        .created
        .iter()
        .filter_map(|(_, map)| match map.get(&key("id")) {
            Some(Value::Str(id)) => Some(&**id),
            _ => None,
        })
}
