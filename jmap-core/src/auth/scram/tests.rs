use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;
use crate::rng::SeededRng;

/// RFC 7677 §3.
const MESSAGE: &str = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                       s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,\
                       r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const PROOF: &str = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SIGNATURE: &str = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn pencil() -> ScramVerifier {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    derive(&Secret::from("pencil"), &salt, 4096)
}

#[test]
fn the_example_of_rfc_7677_is_right() {
    let proof = STANDARD.decode(PROOF).unwrap();
    let signature = check(&pencil(), MESSAGE.as_bytes(), &proof).unwrap();
    assert_eq!(STANDARD.encode(signature), SIGNATURE);
}

#[test]
fn every_other_proof_is_wrong() {
    let verifier = pencil();
    let proof = STANDARD.decode(PROOF).unwrap();
    for at in 0..proof.len() {
        let mut other = proof.clone();
        other[at] ^= 1;
        assert_eq!(check(&verifier, MESSAGE.as_bytes(), &other), None);
    }
    for wrong in [&proof[1..], &[], &[0; 33][..]] {
        assert_eq!(check(&verifier, MESSAGE.as_bytes(), wrong), None);
    }
    assert_eq!(check(&verifier, b"another message", &proof), None);
}

#[test]
fn what_is_kept_is_no_proof() {
    let verifier = pencil();
    for kept in [verifier.stored_key, verifier.server_key] {
        assert_eq!(check(&verifier, MESSAGE.as_bytes(), &kept), None);
    }
}

#[test]
fn salts_are_new_and_fake_ones_stay() {
    let rng = SeededRng::new(1);
    let password = Secret::from("seven green bicycles");
    assert_ne!(make(&password, &rng).salt, make(&password, &rng).salt);
    let key = [7; KEY_OCTETS];
    assert_eq!(fake("ann", &key), fake("ann", &key));
    assert_ne!(fake("ann", &key).salt, fake("bob", &key).salt);
    assert_ne!(fake("ann", &key).salt, fake("ann", &[8; KEY_OCTETS]).salt);
    assert_eq!(fake("ann", &key).salt.len(), SALT_OCTETS);
    assert_eq!(fake("ann", &key).iterations, ITERATIONS);
}

#[test]
fn passwords_are_prepared_as_clients_do() {
    // RFC 4013 §3.
    let rows = [
        ("I\u{ad}X", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u{aa}", "a"),
        ("\u{2168}", "IX"),
        ("a\u{a0}b", "a b"),
        ("e\u{301}", "\u{e9}"),
    ];
    for (given, prepared) in rows {
        assert_eq!(*saslprep(given), prepared, "{given:?}");
    }
}

#[test]
fn nonces_are_printable_and_have_no_comma() {
    let rng = SeededRng::new(1);
    let (first, second) = (nonce(&rng), nonce(&rng));
    assert_ne!(first, second);
    assert_eq!(first.len(), 24);
    assert!(first.bytes().all(|b| b.is_ascii_graphic() && b != b','));
}

#[test]
fn debug_shows_no_key() {
    assert_eq!(format!("{:?}", pencil()), "ScramVerifier(..)");
}
