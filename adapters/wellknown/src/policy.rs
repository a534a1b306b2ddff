//! The MTA-STS policy (RFC 8461 §3.2).
//!
//! Holds: the id in the DNS changes when, and only when, the policy does, so that nobody has to count it up.
//! Other half: `posthorn domain records`, which publishes the id.

use std::time::Duration;

/// RFC 8461 §3.2: the longest `max_age`.
pub const MAX_AGE_MAX: Duration = Duration::from_secs(31_557_600);

/// What senders are to do when they can't encrypt, or the certificate is wrong (RFC 8461 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Don't send.
    Enforce,
    /// Send, and report.
    Testing,
    /// There is no policy.
    None,
}

/// The policy of all domains, as all of them have the same mail exchanger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub mode: Mode,
    pub max_age: Duration,
}

impl Policy {
    /// The file; `None`: there is none.
    pub fn text(&self, exchange: &str) -> Option<String> {
        let mode = match self.mode {
            Mode::Enforce => "enforce",
            Mode::Testing => "testing",
            Mode::None => return None,
        };
        let max_age = self.max_age.min(MAX_AGE_MAX).as_secs();
        Some(format!(
            "version: STSv1\r\nmode: {mode}\r\nmx: {exchange}\r\nmax_age: {max_age}\r\n"
        ))
    }

    /// The `id` of the record in the DNS (RFC 8461 §3.1): 16 letters and digits.
    pub fn id(&self, exchange: &str) -> Option<String> {
        let text = self.text(exchange)?;
        // FNV-1a: it has to differ, and to stay the same in every version of the server.
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, octet| {
            (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
        });
        Some(format!("{hash:016x}"))
    }
}
