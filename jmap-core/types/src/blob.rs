//! Calls on blobs: Blob/copy (RFC 8620 §6.3), Blob/upload, Blob/get and Blob/lookup (RFC 9404).

use crate::{
    AccountId, Arguments, FromValue, MethodError, Property, SetError, WireId,
    method::{Access, CreatedIds, MethodCall, MethodResponse},
    value::{Map, MapExt, Value, key, string},
};

/// RFC 8620 §6.3.
#[derive(Debug)]
pub struct BlobCopy {
    pub from_account_id: Option<AccountId>,
    pub account_id: AccountId,
    pub blob_ids: Vec<WireId>,
}

#[derive(Debug)]
pub struct BlobCopyResponse {
    pub from_account_id: AccountId,
    pub account_id: AccountId,
    pub copied: Vec<(WireId, WireId)>,
    pub not_copied: Vec<(WireId, SetError)>,
}

/// RFC 9404 §4.1.
#[derive(Debug)]
pub struct BlobUpload {
    pub account_id: AccountId,
    /// By creation id: an UploadObject, to be read with [`UploadObject::from_map`].
    pub create: Vec<(String, Map)>,
    pub created_ids: CreatedIds,
}

/// What a blob is to be made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadObject {
    pub data: Vec<DataSource>,
    pub media_type: Option<String>,
}

/// RFC 9404 §4.1 DataSourceObject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataSource {
    Text(String),
    Base64(String),
    /// A range of a blob: its id, or a creation id behind `#`. `length` `None`: to the end.
    Blob {
        id: String,
        offset: u64,
        length: Option<u64>,
    },
}

#[derive(Debug)]
pub struct BlobUploadResponse {
    pub account_id: AccountId,
    pub created: Vec<(String, CreatedBlob)>,
    pub not_created: Vec<(String, SetError)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedBlob {
    pub id: WireId,
    pub media_type: Option<String>,
    /// Octets.
    pub size: u64,
}

/// RFC 9404 §4.2.
#[derive(Debug)]
pub struct BlobGet {
    pub account_id: AccountId,
    /// Ids, or creation ids behind `#`.
    pub ids: Vec<String>,
    /// `None`: `data` and `size`.
    pub properties: Option<Vec<String>>,
    pub offset: u64,
    /// `None`: to the end.
    pub length: Option<u64>,
    pub created_ids: CreatedIds,
}

#[derive(Debug)]
pub struct BlobGetResponse {
    pub account_id: AccountId,
    pub list: Vec<Value>,
    pub not_found: Vec<String>,
}

/// RFC 9404 §4.3.
#[derive(Debug)]
pub struct BlobLookup {
    pub account_id: AccountId,
    pub type_names: Vec<String>,
    pub ids: Vec<String>,
    pub created_ids: CreatedIds,
}

#[derive(Debug)]
pub struct BlobLookupResponse {
    pub account_id: AccountId,
    pub list: Vec<BlobInfo>,
    pub not_found: Vec<String>,
}

/// Which objects refer to a blob, by type name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobInfo {
    pub id: String,
    pub matched_ids: Vec<(String, Vec<WireId>)>,
}

impl UploadObject {
    /// Reads an UploadObject strictly; what is wrong with it is the error of this one creation.
    pub fn from_map(mut map: Map) -> Result<Self, SetError> {
        let invalid = |property: &str, why: &str| SetError::invalid_property(property, why);
        let data = map.take(Property::Data).and_then(Vec::<Map>::from_value);
        let data =
            data.ok_or_else(|| invalid("data", "It must be an array of DataSourceObjects."))?;
        let media_type = match map.take(Property::Type) {
            None => None,
            Some(value) => Option::<String>::from_value(value)
                .ok_or_else(|| invalid("type", "It must be a String or null."))?,
        };
        if let Some((name, _)) = map.as_vec().first() {
            return Err(invalid(&name.to_string(), "The property is unknown."));
        }
        let data = data
            .into_iter()
            .map(DataSource::from_map)
            .collect::<Result<_, _>>()?;
        Ok(Self { data, media_type })
    }
}

impl DataSource {
    fn from_map(mut map: Map) -> Result<Self, SetError> {
        let invalid = |why: &str| SetError::invalid_property("data", why);
        let text = map
            .take_key("data:asText")
            .filter(|value| *value != Value::Null);
        let base64 = map
            .take_key("data:asBase64")
            .filter(|value| *value != Value::Null);
        let blob = map
            .take(Property::BlobId)
            .filter(|value| *value != Value::Null);
        let number = |value: Option<Value>| match value {
            None => Some(None),
            Some(value) => Option::<u64>::from_value(value),
        };
        let offset = number(map.take(Property::Offset));
        let length = number(map.take(Property::Length));
        let (Some(offset), Some(length)) = (offset, length) else {
            return Err(invalid("offset and length must be UnsignedInts or null."));
        };
        if !map.as_vec().is_empty() {
            return Err(invalid("A DataSourceObject has an unknown property."));
        }
        let has_range = offset.is_some() || length.is_some();
        match (text, base64, blob) {
            (Some(Value::Str(text)), None, None) if !has_range => Ok(Self::Text(text.into_owned())),
            (None, Some(Value::Str(text)), None) if !has_range => {
                Ok(Self::Base64(text.into_owned()))
            }
            (None, None, Some(Value::Str(id))) => Ok(Self::Blob {
                id: id.into_owned(),
                offset: offset.unwrap_or(0),
                length,
            }),
            _ => Err(invalid(
                "A DataSourceObject has one of data:asText, data:asBase64 and blobId, a String.",
            )),
        }
    }
}

impl MethodCall for BlobCopy {
    const NAME: &'static str = "Blob/copy";
    const ACCESS: Access = Access::Write;
    type Response = BlobCopyResponse;

    fn account_id(&self) -> Option<AccountId> {
        Some(self.account_id)
    }

    fn source_account_id(&self) -> Option<AccountId> {
        self.from_account_id
    }

    fn from_arguments(mut arguments: Arguments) -> Result<Self, MethodError> {
        let from: String = arguments.required(Property::FromAccountId)?;
        let call = Self {
            from_account_id: AccountId::parse(&from),
            account_id: arguments.account_id()?,
            blob_ids: arguments.required(Property::BlobIds)?,
        };
        arguments.finish()?;
        Ok(call)
    }
}

impl MethodCall for BlobUpload {
    const NAME: &'static str = "Blob/upload";
    const ACCESS: Access = Access::Write;
    type Response = BlobUploadResponse;

    fn account_id(&self) -> Option<AccountId> {
        Some(self.account_id)
    }

    fn from_arguments(mut arguments: Arguments) -> Result<Self, MethodError> {
        let call = Self {
            account_id: arguments.account_id()?,
            create: arguments.required_creations(Property::Create)?,
            created_ids: CreatedIds::default(),
        };
        arguments.finish()?;
        Ok(call)
    }

    fn set_created_ids(&mut self, created: CreatedIds) {
        self.created_ids = created;
    }
}

impl MethodCall for BlobGet {
    const NAME: &'static str = "Blob/get";
    const ACCESS: Access = Access::Read;
    type Response = BlobGetResponse;

    fn account_id(&self) -> Option<AccountId> {
        Some(self.account_id)
    }

    fn from_arguments(mut arguments: Arguments) -> Result<Self, MethodError> {
        let call = Self {
            account_id: arguments.account_id()?,
            ids: arguments.required_references(Property::Ids)?,
            properties: arguments.names(Property::Properties)?,
            offset: arguments.or_default(Property::Offset)?,
            length: arguments.optional(Property::Length)?,
            created_ids: CreatedIds::default(),
        };
        arguments.finish()?;
        Ok(call)
    }

    fn set_created_ids(&mut self, created: CreatedIds) {
        self.created_ids = created;
    }
}

impl MethodCall for BlobLookup {
    const NAME: &'static str = "Blob/lookup";
    const ACCESS: Access = Access::Read;
    type Response = BlobLookupResponse;

    fn account_id(&self) -> Option<AccountId> {
        Some(self.account_id)
    }

    fn from_arguments(mut arguments: Arguments) -> Result<Self, MethodError> {
        let account_id = arguments.account_id()?;
        let call = Self {
            account_id,
            type_names: arguments.required_names(Property::TypeNames)?,
            ids: arguments.required_references(Property::Ids)?,
            created_ids: CreatedIds::default(),
        };
        arguments.finish()?;
        Ok(call)
    }

    fn set_created_ids(&mut self, created: CreatedIds) {
        self.created_ids = created;
    }

    fn named_types(&self) -> &[String] {
        &self.type_names
    }
}

/// `null` in place of an empty object (RFC 8620 §6.3).
fn map_or_null(entries: Vec<(String, Value)>) -> Value {
    if entries.is_empty() {
        return Value::Null;
    }
    Value::Object(
        entries
            .into_iter()
            .map(|(name, value)| (key(name), value))
            .collect(),
    )
}

fn texts(texts: Vec<String>) -> Value {
    Value::Array(texts.into_iter().map(string).collect())
}

impl MethodResponse for BlobCopyResponse {
    fn into_map(self) -> Map {
        let copied = self.copied.into_iter();
        let copied = copied
            .map(|(from, to)| (from.to_string(), string(to.as_str())))
            .collect();
        let refused = self.not_copied.into_iter();
        let refused = refused
            .map(|(id, error)| (id.to_string(), Value::Object(error.into_map())))
            .collect();
        Map::with_capacity(4)
            .with(Property::FromAccountId, self.from_account_id.to_string())
            .with(Property::AccountId, self.account_id.to_string())
            .with(Property::Copied, map_or_null(copied))
            .with(Property::NotCopied, map_or_null(refused))
    }
}

impl MethodResponse for BlobUploadResponse {
    fn into_map(self) -> Map {
        let created = self.created.into_iter().map(|(creation_id, blob)| {
            let map = Map::with_capacity(3)
                .with(Property::Id, string(blob.id.as_str()))
                .with(Property::Type, blob.media_type)
                .with(Property::Size, blob.size);
            (creation_id, Value::Object(map))
        });
        let created = created.collect();
        let refused = self.not_created.into_iter();
        let refused = refused
            .map(|(id, error)| (id, Value::Object(error.into_map())))
            .collect();
        Map::with_capacity(3)
            .with(Property::AccountId, self.account_id.to_string())
            .with(Property::Created, map_or_null(created))
            .with(Property::NotCreated, map_or_null(refused))
    }
}

impl MethodResponse for BlobGetResponse {
    fn into_map(self) -> Map {
        Map::with_capacity(3)
            .with(Property::AccountId, self.account_id.to_string())
            .with(Property::List, self.list)
            .with(Property::NotFound, texts(self.not_found))
    }
}

impl MethodResponse for BlobLookupResponse {
    fn into_map(self) -> Map {
        let info = |info: BlobInfo| {
            let matched: Map = info
                .matched_ids
                .into_iter()
                .map(|(name, ids)| {
                    let ids = ids.iter().map(|id| string(id.as_str())).collect();
                    (key(name), Value::Array(ids))
                })
                .collect();
            let map = Map::with_capacity(2).with(Property::Id, info.id);
            Value::Object(map.with(Property::MatchedIds, Value::Object(matched)))
        };
        let list: Vec<Value> = self.list.into_iter().map(info).collect();
        Map::with_capacity(3)
            .with(Property::AccountId, self.account_id.to_string())
            .with(Property::List, list)
            .with(Property::NotFound, texts(self.not_found))
    }
}
