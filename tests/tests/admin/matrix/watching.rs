//! Logs, webhooks, alerts, and what a client is set up with.

use serde_json::json;

use super::{
    May::{Hidden, Yes},
    Row, SERVER, row,
};

pub fn rows() -> Vec<Row> {
    let empty = || Some(json!({}));
    vec![
        // Who has no address has nothing to set up.
        row(
            "getSetup",
            "/me/setup",
            None,
            [Hidden, Yes, Yes, Hidden, Yes, Yes],
        ),
        row("listLogs", "/logs", None, SERVER),
        row("followLogs", "/logs/live?seconds=1", None, SERVER),
        row("listWebhooks", "/webhooks", None, SERVER),
        row("listEvents", "/webhook-events", None, SERVER),
        row(
            "addWebhook",
            "/webhooks",
            Some(json!({"url": "https://hooks.far.example/"})),
            SERVER,
        ),
        row("getWebhook", "/webhooks/99", None, SERVER),
        row("changeWebhook", "/webhooks/99", empty(), SERVER),
        row("removeWebhook", "/webhooks/99", None, SERVER),
        row("testWebhook", "/webhooks/99/test", None, SERVER),
        row("listDeliveries", "/webhooks/99/deliveries", None, SERVER),
        row("listAlerts", "/alerts", None, SERVER),
        row("dismissAlert", "/alerts/99", None, SERVER),
    ]
}

/// Routes whose object isn't there, of which who may is told.
pub const NOT_THERE: &[&str] = &[
    "dismissAlert",
    "getWebhook",
    "changeWebhook",
    "removeWebhook",
    "testWebhook",
    "listDeliveries",
];
