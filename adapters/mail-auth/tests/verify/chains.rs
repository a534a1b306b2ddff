//! ARC chains that this crate would not make, sealed by hand.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::dns::Zone;
use super::{verifier, verify};

const FROM: &str = "ann@example.net";
const SUBJECT: &str = "hi";
const BODY: &str = "body\r\n";

fn signed(key: &rsa::KeyPair, canonical: &str) -> String {
    let mut octets = vec![0; key.public_modulus_len()];
    let random = SystemRandom::new();
    let canonical = canonical.as_bytes();
    key.sign(&RSA_PKCS1_SHA256, &random, canonical, &mut octets)
        .unwrap();
    STANDARD.encode(octets)
}

/// A message with one set, whose signature is over the fields `names`.
fn sealed(key: &rsa::KeyPair, names: &[&str]) -> String {
    let results = "i=1; far.example; none";
    let tags = "i=1; a=rsa-sha256; d=example.net; s=s2";
    let hash = STANDARD.encode(digest(&SHA256, BODY.as_bytes()));
    let h = names.join(":");
    let signature = format!("{tags}; c=relaxed/relaxed; h={h}; bh={hash}; b=");
    let mut canonical = String::new();
    for name in names {
        let value = match *name {
            "from" => FROM,
            _ => SUBJECT,
        };
        canonical += &format!("{name}:{value}\r\n");
    }
    canonical += &format!("arc-message-signature:{signature}");
    let signature = signature + &signed(key, &canonical);
    let seal = format!("{tags}; cv=none; b=");
    let canonical = format!(
        "arc-authentication-results:{results}\r\narc-message-signature:{signature}\r\narc-seal:{seal}"
    );
    let seal = seal + &signed(key, &canonical);
    format!(
        "ARC-Seal: {seal}\r\nARC-Message-Signature: {signature}\r\nARC-Authentication-Results: {results}\r\n\
         From: {FROM}\r\nSubject: {SUBJECT}\r\n\r\n{BODY}"
    )
}

/// RFC 6376 §6.1.1 holds for the signatures of sets as well.
#[tokio::test]
async fn a_set_has_to_sign_the_author() {
    let key = rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let public: PublicKeyX509Der<'static> = key.public_key().as_der().unwrap();
    let record = format!("v=DKIM1; p={}", STANDARD.encode(public.as_ref()));
    let mut zone = Zone::default();
    zone.txt("s2._domainkey.example.net", &record);
    let verifier = verifier(zone).await;
    for (names, outcome, reason) in [
        (&["from", "subject"][..], "pass", None),
        (&["subject"], "fail", Some("the From field is not signed")),
    ] {
        let verdict = verify(&verifier, "192.0.2.1", "", &sealed(&key, names)).await;
        let finding = verdict.arc.unwrap().finding;
        assert_eq!(finding.outcome.name(), outcome, "{names:?}");
        assert_eq!(finding.reason, reason);
    }
}
