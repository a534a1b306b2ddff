//! Push over connections that the client holds open: EventSource (RFC 8620 §7.3) and WebSocket (RFC 8887 §4.3.5).
//!
//! Other half: `jmap_core::bus`, which gathers what a slow client has not taken yet.

pub mod event_source;
mod follow;
pub mod inflow;
pub mod seen;
pub mod websocket;

use std::time::Duration;

use jmap_core::bus::StateChange;
use serde_json::{Map, Value, json};

/// How often the credentials of a connection that stays open are checked again.
pub const RENEW_EVERY: Duration = Duration::from_secs(300);

/// The StateChange object (RFC 8620 §7.1).
fn state_change(change: &StateChange) -> Map<String, Value> {
    let changed: Map<String, Value> = change
        .iter()
        .map(|(account, states)| {
            let states: Map<String, Value> = states
                .iter()
                .map(|(data_type, state)| (data_type.name().to_owned(), json!(state.to_string())))
                .collect();
            (account.to_string(), Value::Object(states))
        })
        .collect();
    let mut object = Map::new();
    object.insert("@type".into(), json!("StateChange"));
    object.insert("changed".into(), Value::Object(changed));
    object
}
