//! MDN/send (RFC 9007 §2.1).
//! Holds: a notification goes only to those who asked for it, once an email, with the null reverse-path
//! (RFC 8098 §3); a call that would not set `$mdnsent` sends nothing.
//! Other half: `message::mdn` writes the message, `inproc::submit` sends it.

use std::collections::BTreeMap;

use jmap_types::{
    Id, MethodError, MethodErrorKind, Property, SetError, SetErrorKind, Value,
    mail::{Email, Identity},
    mdn::{MdnSend, MdnSendResponse},
    method::{CreatedIds, MethodCall, MethodResponse, Set},
    value::{Map, MapExt, as_text, key},
};

use crate::{
    Context, Handle,
    access::Standing,
    error::{method_error, set_error},
    inproc::submit::SubmitError,
    mail::{
        email::{Original, message_octets},
        identity::{self, IdentityRecord},
        message::{
            BuildContext, EmailAddress, Form, HeaderProperty, HeaderValue, PropertyValue, SentAt,
            mdn::{Disposition, Mdn, MdnEnvelope, MdnError},
        },
    },
};

const SENT: &str = "$mdnsent";

impl Handle for MdnSend {
    async fn handle(self, context: Context) -> Result<MdnSendResponse, MethodError> {
        if self.send.len() as u64 > context.core.limits.max_objects_in_set {
            return Err(MethodErrorKind::RequestTooLarge.into());
        }
        let identity = find_identity(&context, &self).await?;
        let mut response = MdnSendResponse {
            account_id: self.account_id,
            sent: Vec::new(),
            not_sent: Vec::new(),
            implicit: Vec::new(),
        };
        let mut update: Vec<(String, Map)> = Vec::new();
        for (creation_id, mdn) in self.send {
            let reference = format!("#{creation_id}");
            let patches = self.on_success_update_email.iter();
            let patch_of = |id: &str| {
                let mut patches = patches.clone();
                patches
                    .find(|(name, _)| *name == id || *name == reference)
                    .map(|(_, patch)| patch)
            };
            let is_new = |id: &str| update.iter().all(|(sent, _)| sent != id);
            match send(&context, &identity, mdn, patch_of, is_new).await {
                Ok((email, patch, told)) => {
                    update.push((email, patch));
                    response.sent.push((creation_id, told));
                }
                Err(error) => response.not_sent.push((creation_id, error)),
            }
        }
        if !update.is_empty() {
            let set = Set::<Email> {
                account_id: self.account_id,
                if_in_state: None,
                create: Vec::new(),
                update,
                destroy: Vec::new(),
                arguments: (),
                created_ids: CreatedIds::default(),
            };
            let answer = context.core.call(&context.who, set).await;
            response
                .implicit
                .push((Set::<Email>::NAME, answer.map(MethodResponse::into_map)));
        }
        Ok(response)
    }
}

/// RFC 9007 §2.1: an identity that isn't found makes the arguments invalid.
async fn find_identity(context: &Context, call: &MdnSend) -> Result<IdentityRecord, MethodError> {
    let account = context.account()?;
    if context.standing()? == Standing::Guest {
        return Err(MethodErrorKind::Forbidden.into());
    }
    identity::ensure(&context.core, account)
        .await
        .map_err(method_error)?;
    let identities = identity::all(&context.core, account.id)
        .await
        .map_err(method_error)?;
    let wanted = call.identity_id.as_id::<Identity>().map(Id::number);
    let found = identities.into_iter().find(|(id, _)| Some(*id) == wanted);
    let (_, identity) =
        found.ok_or_else(|| MethodError::invalid_arguments("There is no such identity."))?;
    Ok(identity)
}

/// Sends one notification: the email's id, the patch for it, and what the client doesn't know.
async fn send<'p>(
    context: &Context,
    identity: &IdentityRecord,
    mdn: Map,
    patch_of: impl Fn(&str) -> Option<&'p Map>,
    is_new: impl Fn(&str) -> bool,
) -> Result<(String, Map, Map), SetError> {
    let (email, mut mdn) = read(mdn)?;
    let original = original(context, &email).await?;
    if !is_new(&email) || original.record.keywords.iter().any(|name| name == SENT) {
        return Err(SetError::new(SetErrorKind::MdnAlreadySent));
    }
    let patch = patch_of(&email)
        .filter(|patch| sets_sent(patch))
        .ok_or_else(|| {
            let why = "onSuccessUpdateEmail must set the keyword $mdnsent of the email.";
            SetError::invalid_property("onSuccessUpdateEmail", why)
        })?;
    let to = asked_by(&original)?;
    let mut told = Map::new();
    complete(context, identity, &original, &mut mdn, &mut told).await?;
    let message = message(context, identity, &original, &mdn, &to)?;
    let recipients = to.into_iter().map(|address| address.email).collect();
    let sent = context
        .core
        .submit(&context.who, None, recipients, message.into())
        .await;
    sent.map_err(submit_error)?;
    Ok((email, patch.clone(), told))
}

fn message(
    context: &Context,
    identity: &IdentityRecord,
    original: &Original,
    mdn: &Mdn,
    to: &[EmailAddress],
) -> Result<Vec<u8>, SetError> {
    let mut random = [0; 32];
    context.core.rng.fill(&mut random);
    let build = BuildContext {
        now: SentAt::utc(context.core.clock.now().seconds()),
        random,
        domain: &context.core.hostname,
        blob: &|_| None,
    };
    let name = (!identity.name.is_empty()).then(|| identity.name.clone());
    let envelope = MdnEnvelope {
        from: EmailAddress {
            email: identity.email.clone(),
            name,
        },
        to: to.to_vec(),
        original: Some(&original.octets),
    };
    mdn.build(&envelope, &build).map_err(build_error)
}

/// The properties that a client sets.
fn read(map: Map) -> Result<(String, Mdn), SetError> {
    let (mut email, mut mdn, mut wrong) = (None, Mdn::default(), Vec::new());
    for (name, value) in map.into_vec() {
        let text = as_text(&value).map(str::to_owned);
        let is_text = text.is_some() || value == Value::Null;
        let name = name.into_string();
        let is_good = match name.as_str() {
            "forEmailId" => {
                email = text;
                email.is_some()
            }
            "subject" => {
                mdn.subject = text;
                is_text
            }
            "textBody" => {
                mdn.text_body = text;
                is_text
            }
            "reportingUA" => {
                mdn.reporting_ua = text;
                is_text
            }
            "finalRecipient" => {
                mdn.final_recipient = text;
                is_text
            }
            "includeOriginalMessage" => {
                mdn.include_original_message = value == Value::Bool(true);
                matches!(value, Value::Bool(_))
            }
            "disposition" => disposition(&value)
                .map(|found| mdn.disposition = found)
                .is_some(),
            // RFC 9007 names it in the one way, and its example in the other.
            "extensionFields" | "extension" => match extensions(value) {
                Some(found) => {
                    mdn.extension_fields = found;
                    true
                }
                None => false,
            },
            _ => false,
        };
        if !is_good && wrong.len() < WRONG_MAX {
            wrong.push(name);
        }
    }
    if email.is_none() && !wrong.iter().any(|name| name == "forEmailId") {
        wrong.push("forEmailId".to_owned());
    }
    let why = "These are missing, unknown, of the wrong type, or set by the server.";
    match email.filter(|_| wrong.is_empty()) {
        Some(email) => Ok((email, mdn)),
        None => Err(SetError {
            properties: wrong,
            ..SetError::invalid_property("", why)
        }),
    }
}

/// Names that one error lists.
const WRONG_MAX: usize = 100;

fn disposition(value: &Value) -> Option<Disposition> {
    let map = value.as_object()?;
    let text = |property| map.find(property).and_then(as_text).map(str::to_owned);
    Some(Disposition {
        action_mode: text(Property::ActionMode)?,
        sending_mode: text(Property::SendingMode)?,
        kind: text(Property::Type)?,
    })
}

/// `Some(None)` is null.
fn extensions(value: Value) -> Option<Option<BTreeMap<String, String>>> {
    if value == Value::Null {
        return Some(None);
    }
    let entries = value.into_object()?.into_vec().into_iter();
    let text = |(name, value): (jmap_types::Key, Value)| {
        Some((name.into_string(), as_text(&value)?.to_owned()))
    };
    entries.map(text).collect::<Option<_>>().map(Some)
}

async fn original(context: &Context, email: &str) -> Result<Original, SetError> {
    let id = Id::<Email>::parse(email).ok_or_else(SetError::not_found)?;
    let account = context.account().map_err(|_| SetError::not_found())?;
    let found = message_octets(&context.core, account, id.number())
        .await
        .map_err(set_error)?;
    found.ok_or_else(SetError::not_found)
}

fn sets_sent(patch: &Map) -> bool {
    let in_keywords = patch.find(Property::Keywords).and_then(Value::as_object);
    let is_true = |map: &Map, name: &str| map.get(&key(name)) == Some(&Value::Bool(true));
    is_true(patch, "keywords/$mdnsent") || in_keywords.is_some_and(|map| is_true(map, SENT))
}

/// RFC 8098 §2.1: those whom Disposition-Notification-To names.
fn asked_by(original: &Original) -> Result<Vec<EmailAddress>, SetError> {
    let header = HeaderProperty {
        name: "Disposition-Notification-To".to_owned(),
        form: Form::Addresses,
        all: false,
    };
    match header.value(&original.octets, &original.summary.fields) {
        PropertyValue::One(HeaderValue::Addresses(list)) if !list.is_empty() => Ok(list),
        _ => {
            let why = "The message has no valid Disposition-Notification-To field.";
            Err(SetError::describe(SetErrorKind::NotFound, why))
        }
    }
}

/// The properties that the server sets.
async fn complete(
    context: &Context,
    identity: &IdentityRecord,
    original: &Original,
    mdn: &mut Mdn,
    told: &mut Map,
) -> Result<(), SetError> {
    let account = context.account().map_err(|_| SetError::not_found())?.id;
    match &mdn.final_recipient {
        None => {
            let recipient = format!("rfc822; {}", identity.email);
            told.set(Property::FinalRecipient, recipient.clone());
            mdn.final_recipient = Some(recipient);
        }
        Some(given) => {
            let address = given
                .split_once(';')
                .map_or(given.as_str(), |(_, address)| address);
            let owned = context.core.owns_address(account, address.trim()).await;
            if !owned.map_err(set_error)? {
                return Err(SetError::new(SetErrorKind::ForbiddenFrom));
            }
        }
    }
    if let Some(id) = original.summary.message_id.iter().flatten().next() {
        let id = format!("<{id}>");
        told.set(Property::OriginalMessageId, id.clone());
        mdn.original_message_id = Some(id);
    }
    let header = HeaderProperty {
        name: "Original-Recipient".to_owned(),
        form: Form::Text,
        all: false,
    };
    let value = header.value(&original.octets, &original.summary.fields);
    if let PropertyValue::One(HeaderValue::Text(recipient)) = value
        && !recipient.trim().is_empty()
    {
        told.set(Property::OriginalRecipient, recipient.clone());
        mdn.original_recipient = Some(recipient);
    }
    Ok(())
}

fn build_error(error: MdnError) -> SetError {
    match error {
        MdnError::InvalidProperty(property) => {
            SetError::invalid_property(property, "The value is not valid.")
        }
        MdnError::Build(_) => SetError::invalid_property("textBody", "The value is not valid."),
    }
}

fn submit_error(error: SubmitError) -> SetError {
    let kind = match &error {
        SubmitError::ForbiddenFrom | SubmitError::ForbiddenMailFrom => SetErrorKind::ForbiddenFrom,
        // The addresses are those of the message that asks.
        SubmitError::InvalidRecipients(_) => SetErrorKind::NotFound,
        SubmitError::TooManyRecipients => SetErrorKind::OverQuota,
        SubmitError::TooLarge => SetErrorKind::TooLarge,
        SubmitError::SentTooMuch { .. } => SetErrorKind::RateLimit,
        SubmitError::TooManyWaiting => SetErrorKind::OverQuota,
        SubmitError::Temporary => SetErrorKind::ServerFail,
    };
    SetError::describe(kind, error.to_string())
}
