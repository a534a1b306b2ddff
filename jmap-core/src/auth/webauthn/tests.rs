//! An authenticator in software, and everything that it may do wrong.

use std::time::Duration;

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use jmap_types::AccountId;
use minicbor::Encoder;

use super::*;
use crate::{
    Caller,
    auth::{AuthError, Credentials, Origin, Protocol},
    bans::{BanSettings, Threshold},
    directory::{
        CredentialKind, DirectoryError,
        tests::{PASSWORD, Server},
    },
};

const ORIGIN: &str = "https://mail.example.org:8443";
const PARTY: RelyingParty<'static> = RelyingParty { origin: ORIGIN };
const GOOD: u8 = USER_PRESENT | USER_VERIFIED;

type Change<'c> = &'c dyn Fn(&mut Device);

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

/// A device with one passkey.
struct Device {
    pair: Pair,
    id: Vec<u8>,
    counter: u32,
    flags: u8,
    origin: String,
    rp_id: String,
}

impl Device {
    fn new(pair: Pair) -> Device {
        Device {
            pair,
            id: vec![7; 32],
            counter: 0,
            flags: GOOD,
            origin: ORIGIN.into(),
            rp_id: "mail.example.org".into(),
        }
    }

    fn es256() -> Device {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING);
        Device::new(Pair::Es256(pair.unwrap()))
    }

    fn cose(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        let e = &mut encoder;
        match &self.pair {
            Pair::Es256(pair) => {
                let point = &pair.public_key().as_ref()[1..];
                e.map(5).unwrap();
                e.i8(1).unwrap().u8(2).unwrap();
                e.i8(3).unwrap().i8(-7).unwrap();
                e.i8(-1).unwrap().u8(1).unwrap();
                e.i8(-2).unwrap().bytes(&point[..32]).unwrap();
                e.i8(-3).unwrap().bytes(&point[32..]).unwrap();
            }
            Pair::EdDsa(pair) => {
                e.map(4).unwrap();
                e.i8(1).unwrap().u8(1).unwrap();
                e.i8(3).unwrap().i8(-8).unwrap();
                e.i8(-1).unwrap().u8(6).unwrap();
                e.i8(-2).unwrap().bytes(pair.public_key().as_ref()).unwrap();
            }
            Pair::Rs256(pair) => {
                // RFC 8017, appendix A.1.1: of 2048 bits, the modulus begins behind two heads and a zero.
                let der = pair.public_key().as_ref();
                let (n, exponent) = (&der[9..265], &der[der.len() - 3..]);
                e.map(4).unwrap();
                e.i8(1).unwrap().u8(3).unwrap();
                e.i8(3).unwrap().i16(-257).unwrap();
                e.i8(-1).unwrap().bytes(n).unwrap();
                e.i8(-2).unwrap().bytes(exponent).unwrap();
            }
        }
        encoder.into_writer()
    }

    fn sign(&self, octets: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Es256(pair) => pair.sign(&random, octets).unwrap().as_ref().to_vec(),
            Pair::EdDsa(pair) => pair.sign(octets).as_ref().to_vec(),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, octets, &mut signature)
                    .unwrap();
                signature
            }
        }
    }

    fn client_data(&self, kind: &str, challenge: &[u8]) -> Vec<u8> {
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(challenge);
        let origin = &self.origin;
        format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}","crossOrigin":false,"more":1}}"#)
            .into_bytes()
    }

    fn head(&self, flags: u8) -> Vec<u8> {
        let hash = digest::digest(&digest::SHA256, self.rp_id.as_bytes());
        let mut data = hash.as_ref().to_vec();
        data.push(flags);
        data.extend_from_slice(&self.counter.to_be_bytes());
        data
    }

    fn attest(&self, challenge: &[u8]) -> Attestation {
        let mut data = self.head(self.flags | ATTESTED);
        data.extend_from_slice(&[0; AAGUID_OCTETS]);
        data.extend_from_slice(&u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend_from_slice(&self.id);
        data.extend_from_slice(&self.cose());
        let mut encoder = Encoder::new(Vec::new());
        let e = &mut encoder;
        e.map(3).unwrap();
        e.str("fmt").unwrap().str("none").unwrap();
        e.str("attStmt").unwrap().map(0).unwrap();
        e.str("authData").unwrap().bytes(&data).unwrap();
        Attestation {
            client_data: self.client_data("webauthn.create", challenge),
            attestation_object: encoder.into_writer(),
        }
    }

    fn assert(&self, challenge: &[u8], user_handle: &[u8]) -> Assertion {
        let client_data = self.client_data("webauthn.get", challenge);
        let authenticator_data = self.head(self.flags);
        let hash = digest::digest(&digest::SHA256, &client_data);
        let signature = self.sign(&[&authenticator_data, hash.as_ref()].concat());
        Assertion {
            credential_id: self.id.clone(),
            client_data,
            authenticator_data,
            signature,
            user_handle: user_handle.to_vec(),
        }
    }
}

#[test]
fn keys_of_each_kind_are_made_and_used() {
    let devices = [
        Device::es256(),
        Device::new(Pair::EdDsa(Ed25519KeyPair::generate().unwrap())),
        Device::new(Pair::Rs256(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())),
    ];
    for mut device in devices {
        let passkey = device.attest(b"one").passkey(PARTY).unwrap();
        assert_eq!(passkey.id, device.id);
        let assertion = device.assert(b"two", b"");
        assert_eq!(assertion.challenge(PARTY).unwrap(), b"two");
        assert_eq!(assertion.verify(&passkey, PARTY), Ok(0));
        device.counter = 5;
        let assertion = device.assert(b"two", b"");
        assert_eq!(assertion.verify(&passkey, PARTY), Ok(5));
        let mut forged = device.assert(b"two", b"");
        forged.client_data = device.client_data("webauthn.get", b"three");
        assert_eq!(forged.verify(&passkey, PARTY), Err(PasskeyError::Signature));
    }
}

#[test]
fn what_is_not_taken() {
    let good = Device::es256();
    let passkey = good.attest(b"x").passkey(PARTY).unwrap();
    let check = |change: &dyn Fn(&mut Device)| {
        let mut device = Device {
            pair: match &good.pair {
                Pair::Es256(pair) => Pair::Es256(
                    EcdsaKeyPair::from_pkcs8(
                        &ECDSA_P256_SHA256_ASN1_SIGNING,
                        pair.to_pkcs8v1().unwrap().as_ref(),
                    )
                    .unwrap(),
                ),
                _ => unreachable!(),
            },
            id: good.id.clone(),
            origin: good.origin.clone(),
            rp_id: good.rp_id.clone(),
            ..good
        };
        change(&mut device);
        let assertion = device.assert(b"x", b"");
        assertion
            .challenge(PARTY)
            .and_then(|_| assertion.verify(&passkey, PARTY))
            .err()
    };
    assert_eq!(check(&|_| {}), None);
    let rows: [(Change<'_>, PasskeyError); 6] = [
        (&|of| of.flags = USER_PRESENT, PasskeyError::Unverified),
        (&|of| of.flags = USER_VERIFIED, PasskeyError::Unverified),
        (
            &|of| of.rp_id = "example.org".into(),
            PasskeyError::Elsewhere,
        ),
        (
            &|of| of.origin = "https://evil.example".into(),
            PasskeyError::Elsewhere,
        ),
        (
            &|of| of.origin = "https://mail.example.org".into(),
            PasskeyError::Elsewhere,
        ),
        (&|of| of.id = vec![8; 32], PasskeyError::Elsewhere),
    ];
    for (change, want) in rows {
        assert_eq!(check(change), Some(want));
    }
    let counted = Passkey {
        counter: 5,
        ..passkey
    };
    let mut device = good;
    for (counter, want) in [
        (0, Err(PasskeyError::Counter)),
        (5, Err(PasskeyError::Counter)),
        (6, Ok(6)),
    ] {
        device.counter = counter;
        assert_eq!(device.assert(b"x", b"").verify(&counted, PARTY), want);
    }
    // One kind of answer is not the other.
    let attestation = device.attest(b"x");
    let swapped = Assertion {
        client_data: attestation.client_data.clone(),
        ..device.assert(b"x", b"")
    };
    assert_eq!(swapped.challenge(PARTY), Err(PasskeyError::Elsewhere));
}

#[test]
fn octets_that_are_nothing() {
    let device = Device::es256();
    let good = device.attest(b"x");
    for end in 0..good.attestation_object.len() {
        let cut = Attestation {
            attestation_object: good.attestation_object[..end].to_vec(),
            ..good.clone()
        };
        assert!(cut.passkey(PARTY).is_err(), "{end}");
    }
    for octets in [&b"\xbf"[..], b"\xa1", &[0xff; 100], &[0x9f; 10_000], b"{}"] {
        let attestation = Attestation {
            client_data: octets.to_vec(),
            attestation_object: octets.to_vec(),
        };
        assert!(attestation.passkey(PARTY).is_err());
        assert!(attestation.challenge(PARTY).is_err());
        assert!(PublicKey::read(octets).is_err());
    }
}

#[test]
fn hosts() {
    for (origin, want) in [
        ("https://mail.example.org", "mail.example.org"),
        ("https://mail.example.org:8443", "mail.example.org"),
        ("http://localhost:8080", "localhost"),
        ("http://[::1]:8080", "[::1]"),
        ("nonsense", ""),
    ] {
        assert_eq!(RelyingParty { origin }.id(), want);
    }
}

fn origin() -> Origin {
    Origin {
        ip: [192, 0, 2, 9].into(),
        protocol: Protocol::OAuth,
        tls: true,
    }
}

async fn made(server: &Server, who: &Caller, device: &Device) -> Result<u64, DirectoryError> {
    let options = server.core.passkey_options(who).await.unwrap();
    let attestation = device.attest(&options.challenge);
    server
        .core
        .add_passkey(who, "my key", &attestation, PARTY)
        .await
}

#[tokio::test]
async fn somebody_signs_in_with_one() {
    let server = Server::with_domain().await;
    let ann = server.person_with_password("ann@example.org").await;
    let core = &server.core;
    let who = server.login("ann@example.org", PASSWORD).await.unwrap();
    let mut device = Device::es256();
    let number = made(&server, &who, &device).await.unwrap();
    let again = made(&server, &who, &device).await;
    assert!(matches!(again, Err(DirectoryError::AlreadyExists(_))));
    // A challenge for something else, and one that was answered.
    let other = device.attest(&core.passkey_challenge(b"page"));
    let refused = core.add_passkey(&who, "", &other, PARTY).await;
    let wrong = DirectoryError::Passkey(PasskeyError::Challenge);
    assert_eq!(refused.unwrap_err().to_string(), wrong.to_string());
    let handle = core.passkey_options(&who).await.unwrap().user_handle;
    let sign_in = async |assertion: &Assertion| {
        core.sign_in_by_passkey(assertion, PARTY, origin(), b"page")
            .await
    };
    device.counter = 1;
    let assertion = device.assert(&core.passkey_challenge(b"page"), &handle);
    let ticket = sign_in(&assertion).await.unwrap();
    let signed_in = core.signed_in(ticket.expose(), b"page").await.unwrap();
    assert_eq!(signed_in.account, ann);
    // The same answer again.
    assert_eq!(sign_in(&assertion).await.unwrap_err(), AuthError::Invalid);
    // With a counter that stands still, for another purpose, too late, for nobody.
    let challenge_of = |purpose: &[u8]| core.passkey_challenge(purpose);
    let copy = device.assert(&challenge_of(b"page"), &handle);
    assert_eq!(sign_in(&copy).await.unwrap_err(), AuthError::Invalid);
    device.counter = 2;
    let elsewhere = device.assert(&challenge_of(b"other"), &handle);
    assert_eq!(sign_in(&elsewhere).await.unwrap_err(), AuthError::Invalid);
    let nobody = device.assert(&challenge_of(b"page"), &[0; 8]);
    assert_eq!(sign_in(&nobody).await.unwrap_err(), AuthError::Invalid);
    let late = device.assert(&challenge_of(b"page"), &handle);
    server.pass(600);
    assert_eq!(sign_in(&late).await.unwrap_err(), AuthError::Invalid);
    // What is for programs makes none, and takes none away.
    let phone = core
        .add_app_password(&server.admin, ann, "phone", None)
        .await;
    let phone = phone.unwrap().secret;
    let phone = server.login("ann@example.org", phone.expose()).await;
    let phone = phone.unwrap();
    let refused = made(&server, &phone, &Device::es256()).await;
    assert!(matches!(refused, Err(DirectoryError::Forbidden)));
    let word = core.confirm(&who, None, &origin()).await.unwrap().unwrap();
    let refused = core.remove_passkey(&phone, number, &word).await;
    assert!(matches!(refused, Err(DirectoryError::Forbidden)));
    let signed_in = core.signed_in(ticket.expose(), b"page").await;
    assert!(signed_in.is_ok());
    // It is seen, and taken away.
    let listed = core.credentials(&who, AccountId::new(1)).await.unwrap();
    let found = listed.iter().find(|of| of.number == number).unwrap();
    assert_eq!(found.kind, CredentialKind::Passkey);
    let mut other = Device::es256();
    other.id = vec![8; 32];
    assert!(made(&server, &who, &other).await.is_ok());
    let refused = core.revoke_own(&who, number, None).await;
    assert!(matches!(refused, Err(DirectoryError::ConfirmationNeeded)));
    let word = core.confirm(&who, None, &origin()).await.unwrap().unwrap();
    core.remove_passkey(&who, number, &word).await.unwrap();
    // Nor is what it has opened: the ticket is no good any more.
    let signed_in = core.signed_in(ticket.expose(), b"page").await;
    assert_eq!(signed_in.unwrap_err(), AuthError::Invalid);
    assert!(core.remove_passkey(&who, number, &word).await.is_err());
    let gone = device.assert(&challenge_of(b"page"), &handle);
    assert_eq!(sign_in(&gone).await.unwrap_err(), AuthError::Invalid);
}

fn passkey(login: Option<&str>, assertion: Assertion) -> Credentials {
    Credentials::Passkey {
        login: login.map(str::to_owned),
        assertion: Box::new(assertion),
        page: ORIGIN.into(),
    }
}

#[tokio::test]
async fn it_is_a_login_with_a_name_or_without() {
    let server = Server::with_domain().await;
    let ann = server.person_with_password("ann@example.org").await;
    server.person_with_password("bob@example.org").await;
    let core = &server.core;
    let who = server.login("ann@example.org", PASSWORD).await.unwrap();
    let device = Device::es256();
    made(&server, &who, &device).await.unwrap();
    let handle = core.passkey_options(&who).await.unwrap().user_handle;
    let asked = async |login| core.passkey_request(login, &origin()).await.unwrap();
    let ann_s = Some("Ann@Example.org");
    assert_eq!(asked(None).await.allowed, Vec::<Vec<u8>>::new());
    assert_eq!(asked(ann_s).await.allowed, std::slice::from_ref(&device.id));
    for (login, handle, want) in [
        (None, &handle[..], true),
        // A device may leave out whom it was asked for, and nobody else.
        (ann_s, &handle[..], true),
        (ann_s, &[][..], true),
        (None, &[][..], false),
        (ann_s, &[1][..], false),
        (Some("bob@example.org"), &handle[..], false),
        (Some("bob@example.org"), &[][..], false),
        (Some("nobody@example.org"), &handle[..], false),
    ] {
        let assertion = device.assert(&asked(login).await.challenge, handle);
        let credentials = passkey(login, assertion);
        let again = credentials.clone();
        let caller = core.login(credentials, origin()).await;
        match want {
            true => assert_eq!(caller.unwrap().account, ann, "{login:?} {handle:?}"),
            false => assert_eq!(caller.unwrap_err(), AuthError::Invalid, "{login:?}"),
        }
        let again = core.login(again, origin()).await;
        assert_eq!(again.unwrap_err(), AuthError::Invalid);
    }
    // A challenge of another page, and an answer that was made for another server's.
    let other = device.assert(&core.passkey_challenge(b"page"), &handle);
    let refused = core.login(passkey(None, other), origin()).await;
    assert_eq!(refused.unwrap_err(), AuthError::Invalid);
    let good = device.assert(&asked(None).await.challenge, &handle);
    let elsewhere = Credentials::Passkey {
        login: None,
        assertion: Box::new(good),
        page: "https://evil.example".into(),
    };
    let refused = core.login(elsewhere, origin()).await;
    assert_eq!(refused.unwrap_err(), AuthError::Invalid);
}

#[tokio::test]
async fn who_has_none_is_not_told() {
    let server = Server::with_domain().await;
    server.person_with_password("bob@example.org").await;
    let asked = async |login| {
        let of = server.core.passkey_request(Some(login), &origin()).await;
        of.unwrap().allowed
    };
    let bob = asked("bob@example.org").await;
    let nobody = asked("nobody@example.org").await;
    assert_eq!((bob.len(), nobody.len()), (1, 1));
    assert_eq!(bob[0].len(), nobody[0].len());
    assert_ne!(bob, nobody);
    assert_eq!(bob, asked("Bob@example.org").await);
    assert_eq!(nobody, asked("nobody@example.org").await);
}

#[tokio::test]
async fn wrong_ones_lead_to_a_ban_and_one_that_is_shown_again_does_not() {
    let server = Server::with_domain().await;
    let core = &server.core;
    core.set_bans(BanSettings {
        failed_logins: Threshold::new(3, Duration::from_secs(600)),
        ..BanSettings::default()
    });
    let mut device = Device::es256();
    let fail = async |device: &Device| {
        let challenge = core.passkey_request(None, &origin()).await.unwrap();
        let assertion = device.assert(&challenge.challenge, &[0; 8]);
        let refused = core.login(passkey(None, assertion), origin()).await;
        assert_eq!(refused.unwrap_err(), AuthError::Invalid);
    };
    for _ in 0..4 {
        fail(&device).await;
    }
    assert!(!core.is_banned(origin().ip));
    for id in [8, 9] {
        device.id = vec![id; 32];
        fail(&device).await;
    }
    assert!(core.is_banned(origin().ip));
}
