//! MDN/send (RFC 9007 §2.1).
//! Holds: a notification goes only to those who asked for it, once an email, with the null reverse-path
//! (RFC 8098 §3); a call that would not set `$mdnsent` sends nothing, and one notification answers no other.
//! Other half: `message::mdn` writes the message, `inproc::submit` sends it.

use std::collections::BTreeMap;

use jmap_types::{
    Id, MethodError, MethodErrorKind, Property, SetError, SetErrorKind, Value,
    mail::{Email, Identity},
    mdn::{MdnSend, MdnSendResponse},
    method::{CreatedIds, MethodCall, MethodResponse, Set},
    value::{Map, MapExt, as_text},
};

use crate::{
    Context, Handle,
    access::Standing,
    error::{method_error, set_error},
    inproc::submit::SubmitError,
    mail::{
        email::{Original, keywords_after, message_octets},
        identity::{self, IdentityRecord},
        message::{
            BuildContext, EmailAddress, Form, HeaderProperty, HeaderValue, PropertyValue, SentAt,
            mdn::{self, Disposition, Mdn, MdnEnvelope, MdnError},
        },
        submission::records::EnvelopeAddress,
    },
};

const SENT: &str = "$mdnsent";
/// Addresses that one message can have notifications sent to: whoever writes it chooses them.
const RECIPIENTS_MAX: usize = 16;
/// Names that one error lists.
const WRONG_MAX: usize = 100;

impl Handle for MdnSend {
    async fn handle(self, context: Context) -> Result<MdnSendResponse, MethodError> {
        if self.send.len() as u64 > context.core.limits().max_objects_in_set {
            return Err(MethodErrorKind::RequestTooLarge.into());
        }
        let identity = find_identity(&context, &self).await?;
        let account = context.account()?.clone();
        let _turn = account.mdn_turn.lock().await;
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
    let Given {
        email,
        mut mdn,
        names,
    } = Given::read(mdn)?;
    let original = original(context, &email).await?;
    if !is_new(&email) || original.record.keywords.iter().any(|name| name == SENT) {
        return Err(SetError::new(SetErrorKind::MdnAlreadySent));
    }
    let patch = patch_of(&email);
    let patch = patch.ok_or_else(|| not_marked("It doesn't name the email."))?;
    check_patch(context, &email, patch).await?;
    let to = asked_by(&original)?;
    let given_recipient = mdn.final_recipient.clone();
    complete(context, identity, &original, &mut mdn).await?;
    let message = message(context, identity, &original, &mdn, &to)?;
    let recipients = to
        .into_iter()
        .map(|address| EnvelopeAddress::plain(address.email))
        .collect();
    let sent = context
        .core
        .submit(
            &context.who,
            EnvelopeAddress::default(),
            recipients,
            message.into(),
            None,
        )
        .await;
    sent.map_err(submit_error)?;
    let is_told = |name: &str| match name {
        "finalRecipient" => mdn.final_recipient != given_recipient,
        name => !names.iter().any(|given| given == name),
    };
    let told = super::to_map(mdn.clone()).into_vec().into_iter();
    let told = told
        .filter(|(name, _)| is_told(&name.to_string()))
        .collect();
    Ok((email, patch.clone(), told))
}

/// RFC 9007 §2.1: what would not set `$mdnsent` is refused, also where the patch fails for another reason.
async fn check_patch(context: &Context, email: &str, patch: &Map) -> Result<(), SetError> {
    let id = Id::<Email>::parse(email).ok_or_else(SetError::not_found)?;
    let after = keywords_after(context, id.number(), patch.clone()).await;
    let after = after.map_err(|rejected| {
        let error = SetError::from(rejected);
        let why = error.description.unwrap_or_default();
        not_marked(&format!(
            "The patch fails with {}: {why}",
            error.kind.as_str()
        ))
    })?;
    match after.iter().any(|name| name == SENT) {
        true => Ok(()),
        false => Err(not_marked("It doesn't set the keyword $mdnsent.")),
    }
}

fn not_marked(why: &str) -> SetError {
    SetError::invalid_property("onSuccessUpdateEmail", why)
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
        domain: &context.core.hostname(),
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

/// What a client has given.
struct Given {
    email: String,
    mdn: Mdn,
    /// Of the properties.
    names: Vec<String>,
}

impl Given {
    fn read(map: Map) -> Result<Self, SetError> {
        let (mut email, mut mdn, mut wrong) = (None, Mdn::default(), Vec::new());
        let mut names = Vec::new();
        for (name, value) in map.into_vec() {
            let name = name.into_string();
            if !property(&mut email, &mut mdn, &name, value) && wrong.len() < WRONG_MAX {
                wrong.push(name.clone());
            }
            // RFC 9007 names it in the one way, and its example in the other.
            names.push(match name.as_str() {
                "extension" => "extensionFields".to_owned(),
                _ => name,
            });
        }
        for required in ["forEmailId", "disposition"] {
            if !names.iter().any(|name| name == required) {
                wrong.push(required.to_owned());
            }
        }
        let why = "These are missing, unknown, of the wrong type, or set by the server.";
        match email.filter(|_| wrong.is_empty()) {
            Some(email) => Ok(Self { email, mdn, names }),
            None => Err(SetError {
                properties: wrong,
                ..SetError::invalid_property("", why)
            }),
        }
    }
}

/// Takes one property in; whether it is one that a client may set, with a value of the right type.
fn property(email: &mut Option<String>, mdn: &mut Mdn, name: &str, value: Value) -> bool {
    let text = as_text(&value).map(str::to_owned);
    let is_text = text.is_some() || value == Value::Null;
    match name {
        "forEmailId" => {
            *email = text;
            return email.is_some();
        }
        "subject" => mdn.subject = text,
        "textBody" => mdn.text_body = text,
        "reportingUA" => mdn.reporting_ua = text,
        "finalRecipient" => mdn.final_recipient = text,
        "includeOriginalMessage" => {
            mdn.include_original_message = value == Value::Bool(true);
            return matches!(value, Value::Bool(_));
        }
        "disposition" => {
            let found = disposition(&value).map(|found| mdn.disposition = found);
            return found.is_some();
        }
        "extensionFields" | "extension" => {
            let found = extensions(value).map(|found| mdn.extension_fields = found);
            return found.is_some();
        }
        _ => return false,
    }
    is_text
}

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

/// RFC 8098 §2.1: those whom Disposition-Notification-To names. A notification never asks for one.
fn asked_by(original: &Original) -> Result<Vec<EmailAddress>, SetError> {
    let header = HeaderProperty {
        name: "Disposition-Notification-To".to_owned(),
        form: Form::Addresses,
        all: false,
    };
    let is_mdn = Mdn::parse(&original.octets, &original.summary).is_some();
    match header.value(&original.octets, &original.summary.fields) {
        PropertyValue::One(HeaderValue::Addresses(list)) if !list.is_empty() && !is_mdn => {
            if list.len() > RECIPIENTS_MAX {
                let why = format!("The message asks for more than {RECIPIENTS_MAX} notifications.");
                return Err(SetError::describe(SetErrorKind::OverQuota, why));
            }
            Ok(list)
        }
        _ => {
            let why = "The message has no valid Disposition-Notification-To field.";
            Err(SetError::describe(SetErrorKind::NotFound, why))
        }
    }
}

/// The properties that the server sets, or has a default for.
async fn complete(
    context: &Context,
    identity: &IdentityRecord,
    original: &Original,
    mdn: &mut Mdn,
) -> Result<(), SetError> {
    let account = context.account().map_err(|_| SetError::not_found())?.id;
    let recipient = match &mdn.final_recipient {
        None => typed(&identity.email),
        Some(given) => {
            let (kind, address) = given.split_once(';').unwrap_or(("rfc822", given));
            let (kind, address) = (kind.trim(), address.trim());
            if !["rfc822", "utf-8"]
                .iter()
                .any(|known| kind.eq_ignore_ascii_case(known))
            {
                let why = "It must be an address, behind \"rfc822;\".";
                return Err(SetError::invalid_property("finalRecipient", why));
            }
            let owned = context.core.owns_address(account, address).await;
            if !owned.map_err(set_error)? {
                return Err(SetError::new(SetErrorKind::ForbiddenFrom));
            }
            typed(address)
        }
    };
    mdn.final_recipient = Some(recipient);
    mdn.subject
        .get_or_insert_with(|| mdn::DEFAULT_SUBJECT.to_owned());
    mdn.text_body
        .get_or_insert_with(|| mdn::DEFAULT_TEXT.to_owned());
    // What the sender has written may be anything: what can't be repeated is left out.
    let id = original.summary.message_id.iter().flatten().next();
    let id = id.map(|id| format!("<{id}>"));
    mdn.original_message_id = id.filter(|id| mdn::is_value(id));
    let header = HeaderProperty {
        name: "Original-Recipient".to_owned(),
        form: Form::Text,
        all: false,
    };
    if let PropertyValue::One(HeaderValue::Text(recipient)) =
        header.value(&original.octets, &original.summary.fields)
    {
        mdn.original_recipient = Some(recipient).filter(|recipient| mdn::is_value(recipient));
    }
    Ok(())
}

/// RFC 8098 §3.2.4, RFC 6533 §3: an address with its type.
fn typed(address: &str) -> String {
    let kind = if address.is_ascii() {
        "rfc822"
    } else {
        "utf-8"
    };
    format!("{kind}; {address}")
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
        SubmitError::ForbiddenFrom
        | SubmitError::ForbiddenSender
        | SubmitError::ForbiddenMailFrom => SetErrorKind::ForbiddenFrom,
        // The addresses are those of the message that asks.
        SubmitError::InvalidRecipients(_) => SetErrorKind::NotFound,
        SubmitError::TooManyRecipients => SetErrorKind::OverQuota,
        SubmitError::Parameter(_) => SetErrorKind::InvalidProperties,
        SubmitError::TooLarge => SetErrorKind::TooLarge,
        SubmitError::SentTooMuch { .. } => SetErrorKind::RateLimit,
        SubmitError::TooManyWaiting => SetErrorKind::OverQuota,
        SubmitError::Temporary => SetErrorKind::ServerFail,
    };
    SetError::describe(kind, error.to_string())
}
