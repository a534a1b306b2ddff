//! JMAP Mail (RFC 8621): its objects, their filters, sort orders and extra arguments.

use crate::{
    Arguments, BlobId, DataType, Id, MethodError, MethodErrorKind, ObjectKind, Property, UtcDate,
    WireId,
    method::{Condition, ExtraArguments, NoCondition, NoSortKey, Object, SortKey, condition_value},
    object_names,
    value::{Map, Value},
};

macro_rules! object_kinds {
    ($($(#[$meta:meta])* $name:ident = $prefix:literal,)*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {}
        impl ObjectKind for $name { const PREFIX: char = $prefix; }
    )*};
}

object_kinds! {
    /// RFC 8621 §2
    Mailbox = 'm',
    /// RFC 8621 §3
    Thread = 't',
    /// RFC 8621 §4
    Email = 'e',
    /// RFC 8621 §6
    Identity = 'i',
    /// RFC 8621 §7
    EmailSubmission = 'u',
    /// RFC 8621 §8
    VacationResponse = 'v',
    /// RFC 9425
    Quota = 'q',
    /// RFC 8620 §7.2
    PushSubscription = 'p',
}

pub type MailboxId = Id<Mailbox>;
pub type ThreadId = Id<Thread>;
pub type EmailId = Id<Email>;
pub type IdentityId = Id<Identity>;
pub type EmailSubmissionId = Id<EmailSubmission>;

macro_rules! simple_object {
    ($name:ident, $wire:literal, $data_type:expr) => {
        impl Object for $name {
            object_names!($wire, $data_type);
            type GetArguments = ();
            type SetArguments = ();
            type QueryArguments = ();
            type Condition = NoCondition;
            type SortKey = NoSortKey;
        }
    };
}

simple_object!(Thread, "Thread", Some(DataType::Thread));
simple_object!(Identity, "Identity", Some(DataType::Identity));
simple_object!(
    VacationResponse,
    "VacationResponse",
    Some(DataType::VacationResponse)
);

impl Object for Mailbox {
    object_names!("Mailbox", Some(DataType::Mailbox));
    type GetArguments = ();
    type SetArguments = MailboxSetArguments;
    type QueryArguments = MailboxQueryArguments;
    type Condition = MailboxCondition;
    type SortKey = MailboxSortKey;
}

impl Object for Email {
    object_names!("Email", Some(DataType::Email));
    type GetArguments = EmailGetArguments;
    type SetArguments = ();
    type QueryArguments = EmailQueryArguments;
    type Condition = EmailCondition;
    type SortKey = EmailSortKey;
}

impl Object for EmailSubmission {
    object_names!("EmailSubmission", Some(DataType::EmailSubmission));
    type GetArguments = ();
    type SetArguments = SubmissionSetArguments;
    type QueryArguments = ();
    type Condition = SubmissionCondition;
    type SortKey = SubmissionSortKey;
}

impl Object for Quota {
    object_names!("Quota", Some(DataType::Quota));
    type GetArguments = ();
    type SetArguments = ();
    type QueryArguments = ();
    type Condition = QuotaCondition;
    type SortKey = QuotaSortKey;
}

/// RFC 8621 §2.5.
#[derive(Debug, Default, Clone, Copy)]
pub struct MailboxSetArguments {
    pub on_destroy_remove_emails: bool,
}

impl ExtraArguments for MailboxSetArguments {
    fn take(arguments: &mut Arguments) -> Result<Self, MethodError> {
        Ok(Self {
            on_destroy_remove_emails: arguments.or_default(Property::OnDestroyRemoveEmails)?,
        })
    }
}

/// RFC 8621 §2.3.
#[derive(Debug, Default, Clone, Copy)]
pub struct MailboxQueryArguments {
    pub sort_as_tree: bool,
    pub filter_as_tree: bool,
}

impl ExtraArguments for MailboxQueryArguments {
    fn take(arguments: &mut Arguments) -> Result<Self, MethodError> {
        Ok(Self {
            sort_as_tree: arguments.or_default(Property::SortAsTree)?,
            filter_as_tree: arguments.or_default(Property::FilterAsTree)?,
        })
    }
}

/// RFC 8621 §2.3: all of those given must be true.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct MailboxCondition {
    pub parent_id: Option<Option<WireId>>,
    pub name: Option<String>,
    pub role: Option<Option<String>>,
    pub has_any_role: Option<bool>,
    pub is_subscribed: Option<bool>,
}

impl Condition for MailboxCondition {
    fn from_map(map: Map) -> Result<Self, MethodError> {
        let mut condition = Self::default();
        for (key, value) in map.into_vec() {
            let name = key.into_string();
            match name.as_str() {
                "parentId" => condition.parent_id = Some(condition_value(&name, value)?),
                "name" => condition.name = Some(condition_value(&name, value)?),
                "role" => condition.role = Some(condition_value(&name, value)?),
                "hasAnyRole" => condition.has_any_role = Some(condition_value(&name, value)?),
                "isSubscribed" => condition.is_subscribed = Some(condition_value(&name, value)?),
                _ => return Err(unsupported_filter(&name)),
            }
        }
        Ok(condition)
    }
}

fn unsupported_filter(name: &str) -> MethodError {
    MethodError::describe(
        MethodErrorKind::UnsupportedFilter,
        format!("The filter knows no \"{name}\"."),
    )
}

fn unsupported_sort(name: &str) -> MethodError {
    MethodError::describe(
        MethodErrorKind::UnsupportedSort,
        format!("There is no sorting by \"{name}\"."),
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailboxSortKey {
    SortOrder,
    Name,
    ParentId,
}

impl SortKey for MailboxSortKey {
    fn from_property(property: &str, _: &mut Arguments) -> Result<Self, MethodError> {
        match property {
            "sortOrder" => Ok(Self::SortOrder),
            "name" => Ok(Self::Name),
            "parentId" => Ok(Self::ParentId),
            other => Err(unsupported_sort(other)),
        }
    }
}

/// RFC 8621 §4.2; Email/parse takes the same (§4.9).
#[derive(Debug, Default, Clone)]
pub struct EmailGetArguments {
    pub body_properties: Option<Vec<String>>,
    pub fetch_text_body_values: bool,
    pub fetch_html_body_values: bool,
    pub fetch_all_body_values: bool,
    /// Octets; 0 is no limit.
    pub max_body_value_bytes: u64,
}

impl ExtraArguments for EmailGetArguments {
    fn take(arguments: &mut Arguments) -> Result<Self, MethodError> {
        Ok(Self {
            body_properties: arguments.names(Property::BodyProperties)?,
            fetch_text_body_values: arguments.or_default(Property::FetchTextBodyValues)?,
            fetch_html_body_values: arguments.or_default(Property::FetchHTMLBodyValues)?,
            fetch_all_body_values: arguments.or_default(Property::FetchAllBodyValues)?,
            max_body_value_bytes: arguments.or_default(Property::MaxBodyValueBytes)?,
        })
    }
}

/// RFC 8621 §4.4.
#[derive(Debug, Default, Clone, Copy)]
pub struct EmailQueryArguments {
    pub collapse_threads: bool,
}

impl ExtraArguments for EmailQueryArguments {
    fn take(arguments: &mut Arguments) -> Result<Self, MethodError> {
        Ok(Self {
            collapse_threads: arguments.or_default(Property::CollapseThreads)?,
        })
    }
}

/// RFC 8621 §4.4.1: all of those given must be true.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct EmailCondition {
    pub in_mailbox: Option<WireId>,
    pub in_mailbox_other_than: Option<Vec<WireId>>,
    pub before: Option<UtcDate>,
    pub after: Option<UtcDate>,
    pub min_size: Option<u64>,
    pub max_size: Option<u64>,
    pub all_in_thread_have_keyword: Option<String>,
    pub some_in_thread_have_keyword: Option<String>,
    pub none_in_thread_have_keyword: Option<String>,
    pub has_keyword: Option<String>,
    pub not_keyword: Option<String>,
    pub has_attachment: Option<bool>,
    pub text: Option<String>,
    pub from: Option<String>,
    pub to: Option<String>,
    pub cc: Option<String>,
    pub bcc: Option<String>,
    pub subject: Option<String>,
    pub body: Option<String>,
    /// The field's name, and text to look for in its value.
    pub header: Option<(String, Option<String>)>,
}

impl Condition for EmailCondition {
    fn from_map(map: Map) -> Result<Self, MethodError> {
        let mut condition = Self::default();
        for (key, value) in map.into_vec() {
            let name = key.into_string();
            match name.as_str() {
                "inMailbox" => condition.in_mailbox = Some(condition_value(&name, value)?),
                "inMailboxOtherThan" => {
                    condition.in_mailbox_other_than = Some(condition_value(&name, value)?)
                }
                "before" => condition.before = Some(condition_value(&name, value)?),
                "after" => condition.after = Some(condition_value(&name, value)?),
                "minSize" => condition.min_size = Some(condition_value(&name, value)?),
                "maxSize" => condition.max_size = Some(condition_value(&name, value)?),
                "allInThreadHaveKeyword" => {
                    condition.all_in_thread_have_keyword = Some(keyword(&name, value)?)
                }
                "someInThreadHaveKeyword" => {
                    condition.some_in_thread_have_keyword = Some(keyword(&name, value)?)
                }
                "noneInThreadHaveKeyword" => {
                    condition.none_in_thread_have_keyword = Some(keyword(&name, value)?)
                }
                "hasKeyword" => condition.has_keyword = Some(keyword(&name, value)?),
                "notKeyword" => condition.not_keyword = Some(keyword(&name, value)?),
                "hasAttachment" => condition.has_attachment = Some(condition_value(&name, value)?),
                "text" => condition.text = Some(condition_value(&name, value)?),
                "from" => condition.from = Some(condition_value(&name, value)?),
                "to" => condition.to = Some(condition_value(&name, value)?),
                "cc" => condition.cc = Some(condition_value(&name, value)?),
                "bcc" => condition.bcc = Some(condition_value(&name, value)?),
                "subject" => condition.subject = Some(condition_value(&name, value)?),
                "body" => condition.body = Some(condition_value(&name, value)?),
                "header" => condition.header = Some(header(value)?),
                _ => return Err(unsupported_filter(&name)),
            }
        }
        Ok(condition)
    }
}

/// Keywords are case-insensitive and kept in lower case (RFC 8621 §4.1.1).
fn keyword(name: &str, value: Value) -> Result<String, MethodError> {
    condition_value::<String>(name, value).map(|keyword| keyword.to_ascii_lowercase())
}

fn header(value: Value) -> Result<(String, Option<String>), MethodError> {
    let fields: Vec<String> = condition_value("header", value)?;
    let mut fields = fields.into_iter();
    match (fields.next(), fields.next(), fields.next()) {
        (Some(name), text, None) => Ok((name, text)),
        _ => Err(MethodError::invalid_arguments(
            "\"header\" in the filter must have one or two elements.",
        )),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmailSortKey {
    ReceivedAt,
    Size,
    From,
    To,
    Subject,
    SentAt,
    HasKeyword(String),
    AllInThreadHaveKeyword(String),
    SomeInThreadHaveKeyword(String),
}

impl SortKey for EmailSortKey {
    fn from_property(property: &str, rest: &mut Arguments) -> Result<Self, MethodError> {
        let mut keyword = || -> Result<String, MethodError> {
            let keyword: String = rest.required(Property::Keyword)?;
            Ok(keyword.to_ascii_lowercase())
        };
        match property {
            "receivedAt" => Ok(Self::ReceivedAt),
            "size" => Ok(Self::Size),
            "from" => Ok(Self::From),
            "to" => Ok(Self::To),
            "subject" => Ok(Self::Subject),
            "sentAt" => Ok(Self::SentAt),
            "hasKeyword" => keyword().map(Self::HasKeyword),
            "allInThreadHaveKeyword" => keyword().map(Self::AllInThreadHaveKeyword),
            "someInThreadHaveKeyword" => keyword().map(Self::SomeInThreadHaveKeyword),
            other => Err(unsupported_sort(other)),
        }
    }
}

/// RFC 8621 §7.5: by id, or by creation id behind `#`.
#[derive(Debug, Default, Clone)]
pub struct SubmissionSetArguments {
    pub on_success_update_email: Vec<(String, Map)>,
    pub on_success_destroy_email: Vec<String>,
}

impl ExtraArguments for SubmissionSetArguments {
    fn take(arguments: &mut Arguments) -> Result<Self, MethodError> {
        Ok(Self {
            on_success_update_email: arguments.patches(Property::OnSuccessUpdateEmail)?,
            on_success_destroy_email: arguments.references(Property::OnSuccessDestroyEmail)?,
        })
    }
}

/// RFC 8621 §7.3.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct SubmissionCondition {
    pub identity_ids: Option<Vec<WireId>>,
    pub email_ids: Option<Vec<WireId>>,
    pub thread_ids: Option<Vec<WireId>>,
    pub undo_status: Option<String>,
    pub before: Option<UtcDate>,
    pub after: Option<UtcDate>,
}

impl Condition for SubmissionCondition {
    fn from_map(map: Map) -> Result<Self, MethodError> {
        let mut condition = Self::default();
        for (key, value) in map.into_vec() {
            let name = key.into_string();
            match name.as_str() {
                "identityIds" => condition.identity_ids = Some(condition_value(&name, value)?),
                "emailIds" => condition.email_ids = Some(condition_value(&name, value)?),
                "threadIds" => condition.thread_ids = Some(condition_value(&name, value)?),
                "undoStatus" => condition.undo_status = Some(condition_value(&name, value)?),
                "before" => condition.before = Some(condition_value(&name, value)?),
                "after" => condition.after = Some(condition_value(&name, value)?),
                _ => return Err(unsupported_filter(&name)),
            }
        }
        Ok(condition)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubmissionSortKey {
    EmailId,
    ThreadId,
    SentAt,
}

impl SortKey for SubmissionSortKey {
    fn from_property(property: &str, _: &mut Arguments) -> Result<Self, MethodError> {
        match property {
            "emailId" => Ok(Self::EmailId),
            "threadId" => Ok(Self::ThreadId),
            // RFC 8621 §7.3 says "sentAt", which erratum 5807 reads as "sendAt": both are taken.
            "sentAt" | "sendAt" => Ok(Self::SentAt),
            other => Err(unsupported_sort(other)),
        }
    }
}

/// RFC 9425 §4.4.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct QuotaCondition {
    pub name: Option<String>,
    pub scope: Option<String>,
    pub resource_type: Option<String>,
    pub data_type: Option<String>,
}

impl Condition for QuotaCondition {
    fn from_map(map: Map) -> Result<Self, MethodError> {
        let mut condition = Self::default();
        for (key, value) in map.into_vec() {
            let name = key.into_string();
            match name.as_str() {
                "name" => condition.name = Some(condition_value(&name, value)?),
                "scope" => condition.scope = Some(condition_value(&name, value)?),
                "resourceType" => condition.resource_type = Some(condition_value(&name, value)?),
                "type" | "dataType" => condition.data_type = Some(condition_value(&name, value)?),
                _ => return Err(unsupported_filter(&name)),
            }
        }
        Ok(condition)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaSortKey {
    Name,
    Used,
}

impl SortKey for QuotaSortKey {
    fn from_property(property: &str, _: &mut Arguments) -> Result<Self, MethodError> {
        match property {
            "name" => Ok(Self::Name),
            "used" => Ok(Self::Used),
            other => Err(unsupported_sort(other)),
        }
    }
}

/// A `blobId` argument: `None` when it isn't the shape of one of ours.
pub fn blob_id(id: &WireId) -> Option<BlobId> {
    BlobId::parse(id.as_str())
}
