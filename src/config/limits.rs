//! What is too much.
//!
//! Holds: the defaults are those of `jmap_core::Limits`.
//! Other half: `wire`, which gives them to the core.

use serde::{Deserialize, Serialize};

use super::{
    Config,
    values::{Octets, Span},
};

/// What is too much; see `jmap_core::Limits`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    pub max_size_upload: Octets,
    pub max_concurrent_upload: u64,
    pub max_size_request: Octets,
    pub max_concurrent_requests: u64,
    pub max_calls_in_request: u64,
    pub max_objects_in_get: u64,
    pub max_objects_in_set: u64,
    pub max_size_message: Octets,
    pub max_mailboxes_per_email: u64,
    pub max_mailbox_depth: u64,
    pub max_size_mailbox_name: Octets,
    pub max_size_attachments_per_email: Octets,
    pub max_keywords_per_email: u64,
    pub max_mailboxes: u64,
    pub max_query_results: u64,
    pub max_recipients: u64,
    pub max_recipients_per_hour: u64,
    pub max_recipients_per_day: u64,
    pub max_submissions: u64,
    pub max_delayed_send: Span,
    pub undo_time: Span,
    pub default_quota: Octets,
    pub max_uploads_waiting: Octets,
    pub upload_time: Span,
    pub max_push_subscriptions: u64,
    /// Memory of messages on their way in, over all connections.
    pub max_memory_receiving: Octets,
    /// Memory of the mail views of accounts.
    pub max_memory_views: Octets,
}

impl Default for Limits {
    fn default() -> Limits {
        let core = jmap_core::Limits::default();
        Limits {
            max_size_upload: Octets(core.max_size_upload),
            max_concurrent_upload: core.max_concurrent_upload,
            max_size_request: Octets(core.max_size_request),
            max_concurrent_requests: core.max_concurrent_requests,
            max_calls_in_request: core.max_calls_in_request,
            max_objects_in_get: core.max_objects_in_get,
            max_objects_in_set: core.max_objects_in_set,
            max_size_message: Octets(core.max_size_message),
            max_mailboxes_per_email: core.max_mailboxes_per_email,
            max_mailbox_depth: core.max_mailbox_depth,
            max_size_mailbox_name: Octets(core.max_size_mailbox_name),
            max_size_attachments_per_email: Octets(core.max_size_attachments_per_email),
            max_keywords_per_email: core.max_keywords_per_email,
            max_mailboxes: core.max_mailboxes,
            max_query_results: core.max_query_results,
            max_recipients: core.max_recipients,
            max_recipients_per_hour: core.max_recipients_per_hour,
            max_recipients_per_day: core.max_recipients_per_day,
            max_submissions: core.max_submissions,
            max_delayed_send: Span::seconds(core.max_delayed_send),
            undo_time: Span::seconds(core.undo_seconds),
            default_quota: Octets(core.default_quota_octets),
            max_uploads_waiting: Octets(core.max_upload_octets_waiting),
            upload_time: Span::seconds(core.upload_hours * 3600),
            max_push_subscriptions: core.max_push_subscriptions,
            max_memory_receiving: Octets::mib(512),
            max_memory_views: Octets(jmap_core::accounts::VIEW_OCTETS_MAX as u64),
        }
    }
}

impl Config {
    /// What the core is told.
    pub fn core_limits(&self) -> jmap_core::Limits {
        let of = &self.limits;
        jmap_core::Limits {
            max_size_upload: of.max_size_upload.0,
            max_concurrent_upload: of.max_concurrent_upload,
            max_size_request: of.max_size_request.0,
            max_concurrent_requests: of.max_concurrent_requests,
            max_calls_in_request: of.max_calls_in_request,
            max_objects_in_get: of.max_objects_in_get,
            max_objects_in_set: of.max_objects_in_set,
            max_size_message: of.max_size_message.0,
            max_mailboxes_per_email: of.max_mailboxes_per_email,
            max_mailbox_depth: of.max_mailbox_depth,
            max_size_mailbox_name: of.max_size_mailbox_name.0,
            max_size_attachments_per_email: of.max_size_attachments_per_email.0,
            max_keywords_per_email: of.max_keywords_per_email,
            max_mailboxes: of.max_mailboxes,
            max_query_results: of.max_query_results,
            max_recipients: of.max_recipients,
            max_recipients_per_hour: of.max_recipients_per_hour,
            max_recipients_per_day: of.max_recipients_per_day,
            max_submissions: of.max_submissions,
            max_delayed_send: of.max_delayed_send.0.as_secs(),
            undo_seconds: of.undo_time.0.as_secs(),
            default_quota_octets: of.default_quota.0,
            max_upload_octets_waiting: of.max_uploads_waiting.0,
            upload_hours: of.upload_time.0.as_secs().div_ceil(3600),
            max_push_subscriptions: of.max_push_subscriptions,
            max_sieve_wait_ms: jmap_core::Limits::default().max_sieve_wait_ms,
            max_sieve_run_ms: jmap_core::Limits::default().max_sieve_run_ms,
            trace_seconds: self.trace.keep.0.as_secs(),
            max_traces: self.trace.max_events,
            undelete_seconds: self.undelete.keep.0.as_secs(),
            max_undelete_octets: self.undelete.max_octets.0,
            max_view_octets: of.max_memory_views.0,
        }
    }
}
