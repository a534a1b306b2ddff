//! Whose words a message of the queue has: an account's, the server's, or those of somebody elsewhere.
//!
//! Holds: what counts is who has put the message into the queue, not what it says of itself: mail that is passed on is never
//! taken for mail of this server's users, however it is written.
//! Other half: the signer of outgoing mail, which signs the one kind and seals the other.

use bytes::Bytes;
use jmap_types::AccountId;

use crate::{Core, mail::submission};

/// What the server puts in front of mail that it passes on.
const FORWARDED: &[u8] = b"delivered-to:";

impl Core {
    /// Whether a message came from elsewhere and is passed on: by a script, or by the settings of an address.
    pub async fn is_forwarded(
        &self,
        account: AccountId,
        submission: u64,
        message: &[u8],
    ) -> Result<bool, store::Error> {
        let start = message.get(..FORWARDED.len());
        if !start.is_some_and(|start| start.eq_ignore_ascii_case(FORWARDED)) {
            return Ok(false);
        }
        // A user's own message has an email; one of the server's has none, and of those only what is passed on begins so.
        let record = submission::record(self, account, submission).await?;
        Ok(record.is_none_or(|record| record.email == 0))
    }
}

/// A message without the Authentication-Results fields that this server is named in: what a user has written says nothing in our
/// name (RFC 8601 §5).
pub(super) fn without_results(octets: &Bytes, hostname: &str) -> Bytes {
    const NAME: &[u8] = b"authentication-results";
    let hostname = hostname.to_ascii_lowercase();
    let is_claim = |field: &[u8]| {
        let Some(colon) = memchr::memchr(b':', field) else {
            return false;
        };
        let is_results = field[..colon].trim_ascii_end().eq_ignore_ascii_case(NAME);
        // The id is in front of the first semicolon, perhaps with comments around it.
        let value = field[colon + 1..].split(|&octet| octet == b';').next();
        let id = value.unwrap_or_default().to_ascii_lowercase();
        is_results && memchr::memmem::find(&id, hostname.as_bytes()).is_some()
    };
    let mut kept = Vec::new();
    let (mut at, mut copied) = (0, 0);
    while at < octets.len() && !octets[at..].starts_with(b"\r\n") {
        let mut end = at;
        loop {
            end =
                memchr::memchr(b'\n', &octets[end..]).map_or(octets.len(), |found| end + found + 1);
            if !matches!(octets.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        if is_claim(&octets[at..end]) {
            kept.extend_from_slice(&octets[copied..at]);
            copied = end;
        }
        at = end;
    }
    if copied == 0 && kept.is_empty() {
        return octets.clone();
    }
    kept.extend_from_slice(&octets[copied..]);
    kept.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_speaks_in_our_name() {
        let check = |message: &str, kept: &str| {
            let got = without_results(&Bytes::from(message.to_owned()), "mx.Example.org");
            assert_eq!(got, kept, "{message:?}");
        };
        let forged = "Authentication-Results: mx.example.org;\r\n spf=pass\r\n";
        let others = "Authentication-Results: mx.example.net; spf=pass\r\n";
        check(&format!("{forged}\r\nx"), "\r\nx");
        check(
            &format!("A: b\r\n{forged}C: d\r\n\r\nx"),
            "A: b\r\nC: d\r\n\r\nx",
        );
        check(
            &format!("{forged}{others}{forged}\r\n{forged}"),
            &format!("{others}\r\n{forged}"),
        );
        check(
            "authentication-results : (a)\r\n\t\"MX.example.org\" 1; x\r\n\r\n",
            "\r\n",
        );
        check(&format!("{others}\r\nx"), &format!("{others}\r\nx"));
        check("", "");
        check("no field", "no field");
        check(" folded\r\n", " folded\r\n");
    }
}
