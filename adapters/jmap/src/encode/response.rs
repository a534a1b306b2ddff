//! The Response object (RFC 8620 §3.4), and its form over WebSocket (RFC 8887 §4.3.3).

use jmap_types::value::Map;
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};

use crate::reference::{Answer, Answers};

/// What is sent back.
#[derive(Debug)]
pub struct Response {
    pub answers: Answers,
    /// Where the request has given some.
    pub created_ids: Option<Map>,
    pub session_state: String,
}

/// The WebSocket form of a response.
#[derive(Debug)]
pub struct WebSocketResponse<'r> {
    pub response: &'r Response,
    pub request_id: Option<&'r str>,
}

impl Response {
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("methodResponses", &self.answers)?;
        if let Some(created_ids) = &self.created_ids {
            map.serialize_entry("createdIds", created_ids)?;
        }
        map.serialize_entry("sessionState", &self.session_state)
    }
}

impl Serialize for Response {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.write(&mut map)?;
        map.end()
    }
}

impl Serialize for WebSocketResponse<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("@type", "Response")?;
        if let Some(request_id) = self.request_id {
            map.serialize_entry("requestId", request_id)?;
        }
        self.response.write(&mut map)?;
        map.end()
    }
}

impl Serialize for Answers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut parts = serializer.serialize_seq(Some(3))?;
        parts.serialize_element(self.name)?;
        parts.serialize_element(&self.arguments)?;
        parts.serialize_element(&*self.call_id)?;
        parts.end()
    }
}

/// Any value that can be serialised as JSON; ours can't fail to be.
pub fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|error| {
        tracing::error!(%error, "a response could not be written as JSON");
        b"{}".to_vec()
    })
}
