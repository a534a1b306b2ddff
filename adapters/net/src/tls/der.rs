//! As much of DER (X.690) as it takes to find a certificate's signature algorithm.
//! Holds: malformed input gives `None`.
//! Other half: `tls`, which keeps the hash with the certificate.

use aws_lc_rs::digest::{self, Algorithm, SHA256, SHA384, SHA512};

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// The channel binding tls-server-end-point (RFC 5929 §4.1): the certificate's hash, by the hash function of its own
/// signature, but never by MD5 or SHA-1. None where the RFC does not say (Ed25519, RSASSA-PSS).
pub(super) fn tls_server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (body, _) = element(certificate, SEQUENCE)?;
    let (_to_be_signed, rest) = element(body, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    let (oid, _) = element(algorithm, OBJECT_IDENTIFIER)?;
    let hash = digest::digest(hash_of(oid)?, certificate);
    Some(hash.as_ref().to_vec())
}

fn hash_of(signature_oid: &[u8]) -> Option<&'static Algorithm> {
    // 1.2.840.113549.1.1 (RFC 8017, RFC 4055), 1.2.840.10045.4 (RFC 5758)
    const RSA: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: [u8; 6] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
    if let Some(tail) = signature_oid.strip_prefix(&RSA) {
        return match tail {
            [4] | [5] | [11] => Some(&SHA256),
            [12] => Some(&SHA384),
            [13] => Some(&SHA512),
            _ => None,
        };
    }
    match signature_oid.strip_prefix(&ECDSA)? {
        [1] | [3, 2] => Some(&SHA256),
        [3, 3] => Some(&SHA384),
        [3, 4] => Some(&SHA512),
        _ => None,
    }
}

/// The content of the element at the start, which must have this tag, and what follows it.
fn element(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = input.split_first()?;
    if first != tag {
        return None;
    }
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(length & 0x0f))?;
            let length = octets
                .iter()
                .fold(0usize, |sum, octet| sum << 8 | usize::from(*octet));
            (length, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], want: Option<(&[u8], &[u8])>) {
        assert_eq!(element(input, SEQUENCE), want, "{input:02x?}");
    }

    #[test]
    fn elements() {
        check(&[], None);
        check(&[0x30], None);
        check(&[0x31, 0], None);
        check(&[0x30, 0], Some((&[], &[])));
        check(&[0x30, 1, 7, 8], Some((&[7], &[8])));
        check(&[0x30, 2, 7], None);
        check(&[0x30, 0x81], None);
        check(&[0x30, 0x81, 1, 7], Some((&[7], &[])));
        check(&[0x30, 0x82, 0, 1, 7], Some((&[7], &[])));
        check(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 7], None);
        check(&[0x30, 0x80, 0, 0], None);
    }
}
