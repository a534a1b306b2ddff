//! The limits that clients are told (RFC 8620 §2), and those that they run into.

/// Named limits of one server; the defaults are what the RFCs suggest at the least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of an upload.
    pub max_size_upload: u64,
    pub max_concurrent_upload: u64,
    /// Octets of a request.
    pub max_size_request: u64,
    pub max_concurrent_requests: u64,
    pub max_calls_in_request: u64,
    pub max_objects_in_get: u64,
    pub max_objects_in_set: u64,
    /// Octets of a message, from wherever it comes.
    pub max_size_message: u64,
    /// RFC 8621 §1.3.1
    pub max_mailboxes_per_email: u64,
    pub max_mailbox_depth: u64,
    /// Octets of a mailbox name.
    pub max_size_mailbox_name: u64,
    pub max_size_attachments_per_email: u64,
    pub max_keywords_per_email: u64,
    /// Of one account.
    pub max_mailboxes: u64,
    /// Ids that one Email/query returns.
    pub max_query_results: u64,
    /// Recipients of one message.
    pub max_recipients: u64,
    /// Recipients that one account may send to; 0 is no limit.
    pub max_recipients_per_hour: u64,
    pub max_recipients_per_day: u64,
    /// EmailSubmissions of one account that are kept, those on their way and those that are done with.
    pub max_submissions: u64,
    /// Seconds that an EmailSubmission may be held (RFC 8621 §1.3.2 `maxDelayedSend`).
    pub max_delayed_send: u64,
    /// Seconds for which a message that was sent can be called back.
    pub undo_seconds: u64,
    /// Octets of an account, where it has no quota of its own; 0 is no limit.
    pub default_quota_octets: u64,
    /// Octets of uploads that a user may have waiting for use in an account.
    pub max_upload_octets_waiting: u64,
    /// Hours that an upload is kept when nothing uses it.
    pub upload_hours: u64,
    pub max_push_subscriptions: u64,
    /// Milliseconds that a message waits for a thread to run a Sieve script, before it is put off.
    pub max_sieve_wait_ms: u64,
    /// Milliseconds that a Sieve script may run for one message.
    pub max_sieve_run_ms: u64,
    /// Seconds that it is kept what happened to messages; 0: it isn't.
    pub trace_seconds: u64,
    /// Events that are kept; of more, the oldest go.
    pub max_traces: u64,
    /// Seconds for which emails that were deleted can be brought back; 0: they can't.
    pub undelete_seconds: u64,
    /// Octets of deleted emails of one account that are kept; of more, the oldest go.
    pub max_undelete_octets: u64,
    /// Octets of memory that the mail views of accounts take.
    pub max_view_octets: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            max_size_upload: 50 * MIB,
            max_concurrent_upload: 4,
            max_size_request: 10 * MIB,
            max_concurrent_requests: 8,
            max_calls_in_request: 64,
            max_objects_in_get: 1000,
            max_objects_in_set: 1000,
            max_size_message: 50 * MIB,
            max_mailboxes_per_email: 100,
            max_mailbox_depth: 10,
            max_size_mailbox_name: 490,
            max_size_attachments_per_email: 50 * MIB,
            max_keywords_per_email: 100,
            max_mailboxes: 10_000,
            max_query_results: 10_000,
            max_recipients: 1000,
            max_recipients_per_hour: 2000,
            max_recipients_per_day: 10_000,
            max_submissions: 10_000,
            max_delayed_send: 30 * 86_400,
            undo_seconds: 0,
            default_quota_octets: 0,
            max_upload_octets_waiting: 1 << 30,
            upload_hours: 24,
            max_push_subscriptions: 32,
            max_sieve_wait_ms: 30_000,
            max_sieve_run_ms: 5000,
            trace_seconds: 30 * 86_400,
            max_traces: 10_000_000,
            undelete_seconds: 0,
            max_undelete_octets: 1 << 30,
            max_view_octets: crate::accounts::VIEW_OCTETS_MAX as u64,
        }
    }
}
