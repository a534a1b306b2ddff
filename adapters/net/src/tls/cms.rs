//! Content signed with a certificate that listeners show: SignedData of CMS (RFC 5652 §5), in DER.
//!
//! Holds: what is signed are the attributes of §5.4, with the hash of the content, its type and the time; the hash is that of the signature, as RFC 5754
//! wants it.
//! Other half: whoever has something to sign, such as a configuration profile.

use aws_lc_rs::digest::{self, Algorithm, SHA256, SHA384};
use rustls::{SignatureScheme, sign::CertifiedKey};

use super::der::{self, INTEGER, OBJECT_IDENTIFIER, SEQUENCE, UTC_TIME};

const OCTET_STRING: u8 = 0x04;
const NULL: &[u8] = &[0x05, 0x00];
const SET: u8 = 0x31;
/// `[0]`, constructed.
const CONTEXT_0: u8 = 0xa0;
/// Object identifiers, as they are encoded: id-signedData and id-data (RFC 5652 §4, §5.1).
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// §11.1 to §11.3
const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];
const SIGNING_TIME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x05];

/// How a key signs: with which hash, and what both are called.
struct Method {
    scheme: SignatureScheme,
    hash: &'static Algorithm,
    hash_id: &'static [u8],
    signature_id: &'static [u8],
    /// RFC 3370 §3.2: RSA's parameters are NULL; others have none.
    has_null: bool,
}

static METHODS: &[Method] = &[
    Method {
        scheme: SignatureScheme::RSA_PKCS1_SHA256,
        hash: &SHA256,
        hash_id: &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01],
        signature_id: &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b],
        has_null: true,
    },
    Method {
        scheme: SignatureScheme::ECDSA_NISTP256_SHA256,
        hash: &SHA256,
        hash_id: &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01],
        signature_id: &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
        has_null: false,
    },
    Method {
        scheme: SignatureScheme::ECDSA_NISTP384_SHA384,
        hash: &SHA384,
        hash_id: &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02],
        signature_id: &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03],
        has_null: false,
    },
];

/// The content with its signature. `now`: seconds since 1970. `None`: the key signs in no way that is known here.
pub(super) fn signed(certified: &CertifiedKey, content: &[u8], now: i64) -> Option<Vec<u8>> {
    let chosen = |method: &'static Method| {
        let signer = certified.key.choose_scheme(&[method.scheme])?;
        Some((method, signer))
    };
    let (method, signer) = METHODS.iter().find_map(chosen)?;
    let hash = algorithm(method.hash_id, false);
    let mut attributes = [
        attribute(CONTENT_TYPE, &element(OBJECT_IDENTIFIER, &[DATA])),
        attribute(SIGNING_TIME, &element(UTC_TIME, &[&der::utc_time(now)])),
        attribute(
            MESSAGE_DIGEST,
            &element(
                OCTET_STRING,
                &[digest::digest(method.hash, content).as_ref()],
            ),
        ),
    ];
    // X.690 §11.6: in DER, the order of a set is that of its octets.
    attributes.sort();
    let attributes = attributes.concat();
    // §5.4: what is signed has the tag of a set, and not the one that it has in its place.
    let signature = signer.sign(&element(SET, &[&attributes])).ok()?;
    let (issuer, serial) = der::issuer_and_serial(certified.cert.first()?)?;
    let signer_info = element(
        SEQUENCE,
        &[
            &element(INTEGER, &[&[1]]),
            &element(SEQUENCE, &[issuer, serial]),
            &hash,
            &element(CONTEXT_0, &[&attributes]),
            &algorithm(method.signature_id, method.has_null),
            &element(OCTET_STRING, &[&signature]),
        ],
    );
    let chain: Vec<&[u8]> = certified.cert.iter().map(AsRef::as_ref).collect();
    let signed_data = element(
        SEQUENCE,
        &[
            &element(INTEGER, &[&[1]]),
            &element(SET, &[&hash]),
            &element(
                SEQUENCE,
                &[
                    &element(OBJECT_IDENTIFIER, &[DATA]),
                    &element(CONTEXT_0, &[&element(OCTET_STRING, &[content])]),
                ],
            ),
            &element(CONTEXT_0, &chain),
            &element(SET, &[&signer_info]),
        ],
    );
    Some(element(
        SEQUENCE,
        &[
            &element(OBJECT_IDENTIFIER, &[SIGNED_DATA]),
            &element(CONTEXT_0, &[&signed_data]),
        ],
    ))
}

fn attribute(id: &[u8], value: &[u8]) -> Vec<u8> {
    let id = element(OBJECT_IDENTIFIER, &[id]);
    element(SEQUENCE, &[&id, &element(SET, &[value])])
}

fn algorithm(id: &[u8], has_null: bool) -> Vec<u8> {
    let parameters = if has_null { NULL } else { &[] };
    element(SEQUENCE, &[&element(OBJECT_IDENTIFIER, &[id]), parameters])
}

/// An element of DER, made of the octets of its parts.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut octets = vec![tag];
    match u8::try_from(length) {
        Ok(short @ 0..0x80) => octets.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            let bytes = &bytes[zeros..];
            octets.push(0x80 | bytes.len() as u8);
            octets.extend_from_slice(bytes);
        }
    }
    parts.iter().for_each(|part| octets.extend_from_slice(part));
    octets
}
