//! How much the adapter sets aside, for all clients and for each account.
//!
//! Holds: every number is a named limit; an operator, or a test, may choose a smaller one.

use std::time::Duration;

/// Octets that all bodies being received or processed may take together; and as many all responses until they are sent. An
/// account has no more than a half of either: as many uploads as it may have at once.
pub const BODIES_OCTETS_MAX: usize = 512 << 20;
/// Octets of memory that the responses of one request may take before further calls are refused.
pub const RESPONSES_OCTETS_MAX: usize = 256 << 20;
/// Octets of a response, or a download, that take no room: requests are counted themselves.
pub const RESPONSE_FREE_OCTETS: u64 = 64 << 10;
/// Octets of responses that wait for room although they are in memory already.
pub const RESPONSE_WAITING_OCTETS_MAX: u64 = 1 << 20;
/// Octets that the references of one request may copy together.
pub const REFERENCE_OCTETS_MAX: usize = 64 << 20;
/// Downloads of one account at once; a browser asks for many pictures together.
pub const DOWNLOADS_MAX: usize = 16;
/// Downloads of one account that wait for others to be done with.
pub const DOWNLOADS_WAITING_MAX: usize = 64;
/// Event sources, and WebSockets, of one account at once.
pub const STREAMS_OF_ACCOUNT_MAX: usize = 256;
/// Requests, and uploads, of one account that wait for others to be done with.
pub const WAITING_MAX: usize = 8;
/// How long requests, bodies and downloads wait.
pub const WAIT: Duration = Duration::from_secs(10);

/// The numbers that one adapter works with; by default those above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub bodies_octets: usize,
    pub responses_octets: usize,
    pub reference_octets: usize,
    pub downloads: usize,
    pub downloads_waiting: usize,
    pub streams_of_account: usize,
    pub waiting: usize,
    pub wait: Duration,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            bodies_octets: BODIES_OCTETS_MAX,
            responses_octets: RESPONSES_OCTETS_MAX,
            reference_octets: REFERENCE_OCTETS_MAX,
            downloads: DOWNLOADS_MAX,
            downloads_waiting: DOWNLOADS_WAITING_MAX,
            streams_of_account: STREAMS_OF_ACCOUNT_MAX,
            waiting: WAITING_MAX,
            wait: WAIT,
        }
    }
}
