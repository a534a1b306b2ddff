//! Method-level errors (RFC 8620 §3.6.2) and SetErrors (§5.3 and the extensions).

use crate::{
    Property, Value, WireId,
    value::{Map, MapExt, string},
};

macro_rules! error_kinds {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name { $($variant,)* }

        impl $name {
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// The `type` on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

error_kinds! {
    /// Why a whole method call failed.
    MethodErrorKind {
        ServerUnavailable = "serverUnavailable",
        ServerFail = "serverFail",
        ServerPartialFail = "serverPartialFail",
        UnknownMethod = "unknownMethod",
        InvalidArguments = "invalidArguments",
        InvalidResultReference = "invalidResultReference",
        Forbidden = "forbidden",
        AccountNotFound = "accountNotFound",
        AccountNotSupportedByMethod = "accountNotSupportedByMethod",
        AccountReadOnly = "accountReadOnly",
        RequestTooLarge = "requestTooLarge",
        CannotCalculateChanges = "cannotCalculateChanges",
        StateMismatch = "stateMismatch",
        AnchorNotFound = "anchorNotFound",
        UnsupportedSort = "unsupportedSort",
        UnsupportedFilter = "unsupportedFilter",
        TooManyChanges = "tooManyChanges",
        FromAccountNotFound = "fromAccountNotFound",
        FromAccountNotSupportedByMethod = "fromAccountNotSupportedByMethod",
        UnknownDataType = "unknownDataType",
    }
}

error_kinds! {
    /// Why one object was not created, updated or destroyed.
    SetErrorKind {
        Forbidden = "forbidden",
        OverQuota = "overQuota",
        TooLarge = "tooLarge",
        RateLimit = "rateLimit",
        NotFound = "notFound",
        InvalidPatch = "invalidPatch",
        WillDestroy = "willDestroy",
        InvalidProperties = "invalidProperties",
        Singleton = "singleton",
        AlreadyExists = "alreadyExists",
        MailboxHasChild = "mailboxHasChild",
        MailboxHasEmail = "mailboxHasEmail",
        BlobNotFound = "blobNotFound",
        TooManyKeywords = "tooManyKeywords",
        TooManyMailboxes = "tooManyMailboxes",
        InvalidEmail = "invalidEmail",
        TooManyRecipients = "tooManyRecipients",
        NoRecipients = "noRecipients",
        InvalidRecipients = "invalidRecipients",
        ForbiddenMailFrom = "forbiddenMailFrom",
        ForbiddenFrom = "forbiddenFrom",
        ForbiddenToSend = "forbiddenToSend",
        CannotUnsend = "cannotUnsend",
        MdnAlreadySent = "mdnAlreadySent",
        InvalidSieve = "invalidSieve",
        SieveIsActive = "sieveIsActive",
        ServerFail = "serverFail",
    }
}

/// A method-level error: its type and a sentence for whoever wrote the client.
#[derive(Clone, PartialEq, Debug)]
pub struct MethodError {
    pub kind: MethodErrorKind,
    pub description: Option<String>,
}

impl MethodError {
    pub fn new(kind: MethodErrorKind) -> Self {
        Self {
            kind,
            description: None,
        }
    }

    pub fn describe(kind: MethodErrorKind, description: impl Into<String>) -> Self {
        Self {
            kind,
            description: Some(description.into()),
        }
    }

    pub fn invalid_arguments(description: impl Into<String>) -> Self {
        Self::describe(MethodErrorKind::InvalidArguments, description)
    }

    pub fn into_map(self) -> Map {
        let mut map = Map::new().with(Property::Type, string(self.kind.as_str()));
        if let Some(description) = self.description {
            map.set(Property::Description, description);
        }
        map
    }
}

impl From<MethodErrorKind> for MethodError {
    fn from(kind: MethodErrorKind) -> Self {
        Self::new(kind)
    }
}

impl std::fmt::Display for MethodError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind.as_str())?;
        match &self.description {
            Some(description) => write!(f, ": {description}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for MethodError {}

/// A SetError: its type, a sentence, and what its type adds.
#[derive(Clone, PartialEq, Debug)]
pub struct SetError {
    pub kind: SetErrorKind,
    pub description: Option<String>,
    /// `invalidProperties`: their names (paths).
    pub properties: Vec<String>,
    /// `alreadyExists`
    pub existing_id: Option<WireId>,
    /// `blobNotFound`
    pub not_found: Vec<WireId>,
    /// What else the error's definition names, such as `maxSize` or `invalidRecipients`.
    pub extra: Vec<(Property, Value)>,
}

impl SetError {
    pub fn new(kind: SetErrorKind) -> Self {
        Self {
            kind,
            description: None,
            properties: Vec::new(),
            existing_id: None,
            not_found: Vec::new(),
            extra: Vec::new(),
        }
    }

    pub fn describe(kind: SetErrorKind, description: impl Into<String>) -> Self {
        Self {
            description: Some(description.into()),
            ..Self::new(kind)
        }
    }

    /// One property is wrong, and why.
    pub fn invalid_property(property: impl ToString, why: impl Into<String>) -> Self {
        Self {
            properties: vec![property.to_string()],
            ..Self::describe(SetErrorKind::InvalidProperties, why)
        }
    }

    pub fn not_found() -> Self {
        Self::new(SetErrorKind::NotFound)
    }

    pub fn forbidden(why: impl Into<String>) -> Self {
        Self::describe(SetErrorKind::Forbidden, why)
    }

    pub fn already_exists(id: WireId) -> Self {
        Self {
            existing_id: Some(id),
            ..Self::new(SetErrorKind::AlreadyExists)
        }
    }

    pub fn blob_not_found(ids: Vec<WireId>) -> Self {
        Self {
            not_found: ids,
            ..Self::new(SetErrorKind::BlobNotFound)
        }
    }

    pub fn with(mut self, property: Property, value: impl Into<Value>) -> Self {
        self.extra.push((property, value.into()));
        self
    }

    pub fn into_map(self) -> Map {
        let mut map = Map::new().with(Property::Type, string(self.kind.as_str()));
        if let Some(description) = self.description {
            map.set(Property::Description, description);
        }
        if !self.properties.is_empty() {
            map.set(Property::Properties, self.properties);
        }
        if let Some(id) = self.existing_id {
            map.set(Property::ExistingId, string(id.as_str()));
        }
        if !self.not_found.is_empty() {
            let ids: Vec<Value> = self
                .not_found
                .iter()
                .map(|id| string(id.as_str()))
                .collect();
            map.set(Property::NotFound, ids);
        }
        for (property, value) in self.extra {
            map.set(property, value);
        }
        map
    }
}
