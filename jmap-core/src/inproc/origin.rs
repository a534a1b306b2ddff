//! Whose words a message of the queue has: an account's, the server's, or those of somebody elsewhere.
//!
//! Holds: what counts is who has put the message into the queue, not what it says of itself: mail that is passed on is
//! taken for mail of this server's users only if one of them has sent it, logged in, and nobody has changed it since.
//! Other half: the signer of outgoing mail, which signs the one kind and seals the other.

use bytes::Bytes;
use jmap_types::AccountId;
use minicbor::{Decode, Encode};

use crate::{Core, mail::submission};

/// What the server puts in front of mail that it passes on.
const FORWARDED: &[u8] = b"delivered-to:";

/// Who vouches for the From field of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub enum Author {
    /// Nobody: anybody can have written it.
    #[default]
    #[n(0)]
    Unknown,
    /// This server: who has written it had logged in, and the addresses are the account's own.
    #[n(1)]
    Here,
    /// The domain of the From field, by a signature or by SPF: in lower case, A-labels.
    #[n(2)]
    Domain(#[n(0)] String),
    /// A client whose mail isn't verified, since the operator trusts it (LMTP, trusted networks).
    #[n(3)]
    Trusted,
    /// It could not be found out, since the DNS did not answer.
    #[n(4)]
    Unanswered,
}

/// Where a message of the queue comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// It has arrived here, and is passed on: by a script, or by the settings of an address.
    pub is_forwarded: bool,
    /// Of what is passed on: what was known when it arrived. Otherwise [`Author::Here`].
    pub author: Author,
}

impl Core {
    /// Where a message of the queue comes from. `message`: as the queue has it.
    pub async fn origin(
        &self,
        account: AccountId,
        submission: u64,
        message: &[u8],
    ) -> Result<Origin, store::Error> {
        let own = Origin {
            is_forwarded: false,
            author: Author::Here,
        };
        let start = message.get(..FORWARDED.len());
        if !start.is_some_and(|start| start.eq_ignore_ascii_case(FORWARDED)) {
            return Ok(own);
        }
        // A user's own message has an email; one of the server's has none, and of those only what is passed on begins so.
        let record = submission::record(self, account, submission).await?;
        if record.as_ref().is_some_and(|record| record.email != 0) {
            return Ok(own);
        }
        Ok(Origin {
            is_forwarded: true,
            author: record.and_then(|record| record.author).unwrap_or_default(),
        })
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
