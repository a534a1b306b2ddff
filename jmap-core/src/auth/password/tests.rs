use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::hash::{self, StoredHashError, Verdict};
use super::*;
use crate::rng::{Rng, SeededRng};

const RIGHT: Verdict = Verdict::Right { outdated: false };
const OUTDATED: Verdict = Verdict::Right { outdated: true };

#[test]
fn policy() {
    let long = "a1".repeat(PASSWORD_OCTETS_MAX / 2);
    let too_long = format!("{long}x");
    // Each of these becomes three times as long in Normalization Form C.
    let grows = "\u{1d160}".repeat(200);
    let rows = [
        ("correct horse", Ok(())),
        ("1234567", Err(PolicyError::TooShort)),
        ("12345678", Ok(())),
        ("päßwörter", Ok(())),
        ("péépéé", Err(PolicyError::TooShort)),
        // Seven characters once composed.
        ("e\u{301}e\u{301}ppppp", Err(PolicyError::TooShort)),
        (long.as_str(), Ok(())),
        (too_long.as_str(), Err(PolicyError::TooLong)),
        (grows.as_str(), Err(PolicyError::TooLong)),
        ("with\ttab stop", Err(PolicyError::ControlCharacter)),
        ("with nul\0....", Err(PolicyError::ControlCharacter)),
        ("with c1 \u{85}....", Err(PolicyError::ControlCharacter)),
        ("Annabelle@Example.Org", Err(PolicyError::SameAsLogin)),
        ("ANNABELLE", Err(PolicyError::SameAsLogin)),
        ("aaaaaaaaaa", Err(PolicyError::OneCharacter)),
    ];
    for (password, want) in rows {
        let got = check_new(&Secret::from(password), "annabelle@example.org");
        assert_eq!(got, want, "{password:?}");
    }
}

#[test]
fn prepare_follows_opaque_string() {
    let rows = [
        ("plain", "plain"),
        ("Caf\u{e9}", "Caf\u{e9}"),
        ("Cafe\u{301}", "Caf\u{e9}"),
        ("a\u{3000}b\u{a0}c", "a b c"),
        ("ﬁ", "ﬁ"),
        ("", ""),
    ];
    for (password, want) in rows {
        assert_eq!(prepare(password).expose(), want);
    }
}

#[test]
fn hash_then_verify() {
    let rng = SeededRng::new(1);
    let stored = hash::hash("Caf\u{e9} noir", &rng).unwrap();
    assert!(
        stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{stored}"
    );
    assert_ne!(stored, hash::hash("Caf\u{e9} noir", &rng).unwrap());
    let rows = [
        ("Caf\u{e9} noir", RIGHT),
        ("Cafe\u{301} noir", RIGHT),
        ("Cafe noir", Verdict::Wrong),
        ("", Verdict::Wrong),
    ];
    for (password, want) in rows {
        assert_eq!(hash::verify(&stored, password), Ok(want), "{password}");
    }
    let prefixed = format!("{{ARGON2ID}}{stored}");
    assert_eq!(hash::verify(&prefixed, "Caf\u{e9} noir"), Ok(RIGHT));
}

/// The stored forms of "password" by the reference tools.
#[test]
fn known_answers() {
    let ssha = |name: &str, algorithm, salt: &[u8]| {
        let mut input = b"password".to_vec();
        input.extend_from_slice(salt);
        let mut octets = aws_lc_rs::digest::digest(algorithm, &input)
            .as_ref()
            .to_vec();
        octets.extend_from_slice(salt);
        format!("{{{name}}}{}", STANDARD.encode(octets))
    };
    let sha1 = ssha(
        "SSHA",
        &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
        b"salt",
    );
    let sha256 = ssha("ssha256", &aws_lc_rs::digest::SHA256, b"12345678");
    let sha512 = ssha("SSHA512", &aws_lc_rs::digest::SHA512, b"");
    let rows: [(&str, Verdict); 7] = [
        // The test vectors of the argon2 reference implementation (salt "somesalt").
        (
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            OUTDATED,
        ),
        (
            "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
            OUTDATED,
        ),
        (
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
            OUTDATED,
        ),
        (
            "$argon2i$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY",
            OUTDATED,
        ),
        (&sha1, OUTDATED),
        (&sha256, OUTDATED),
        (&sha512, OUTDATED),
    ];
    for (stored, want) in rows {
        assert_eq!(hash::verify(stored, "password"), Ok(want), "{stored}");
        assert_eq!(
            hash::verify(stored, "Password"),
            Ok(Verdict::Wrong),
            "{stored}"
        );
    }
}

#[test]
fn stored_forms_have_bounds() {
    use StoredHashError::*;
    let long = format!("$argon2id${}", "a".repeat(hash::STORED_OCTETS_MAX));
    let argon = |params: &str| {
        format!("$argon2id$v=19${params}$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4")
    };
    let rows = [
        (String::new(), Malformed),
        ("password".into(), Malformed),
        ("{PLAIN}password".into(), Malformed),
        ("{SSHA}????".into(), Malformed),
        ("{SSHA}c2hvcnQ=".into(), Malformed),
        ("{SSHA".into(), Malformed),
        ("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ".into(), Malformed),
        (
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uI".into(),
            Malformed,
        ),
        (
            "$scrypt$ln=15,r=8,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5".into(),
            Malformed,
        ),
        (argon("m=256,t=0,p=1"), Malformed),
        (argon("m=4294967295,t=2,p=1"), TooCostly),
        (argon("m=131073,t=2,p=1"), TooCostly),
        (argon("m=256,t=17,p=1"), TooCostly),
        (argon("m=1024,t=2,p=17"), TooCostly),
        (argon("m=256,t=2,p=1").replace("v=19", "v=20"), Malformed),
        (long, Malformed),
    ];
    for (stored, want) in rows {
        assert_eq!(hash::verify(&stored, "password"), Err(want), "{stored}");
    }
}

#[test]
fn too_long_a_password_is_wrong() {
    let stored =
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    let long = "x".repeat(PASSWORD_OCTETS_MAX + 1);
    assert_eq!(hash::verify(stored, &long), Ok(Verdict::Wrong));
}

#[test]
fn damaged_stored_forms_never_panic() {
    const DAMAGE: &[u8] = b"$,=v0123456789\xc3\xa9{}+/ \0mtp";
    let seed = 7;
    let rng = SeededRng::new(seed);
    let good =
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    for round in 0..300 {
        let mut octets = good.as_bytes().to_vec();
        for _ in 0..=(rng.next_u64() % 3) {
            let at = rng.next_u64() as usize % octets.len();
            octets[at] = DAMAGE[rng.next_u64() as usize % DAMAGE.len()];
        }
        octets.truncate(1 + rng.next_u64() as usize % (2 * good.len()));
        let text = String::from_utf8_lossy(&octets);
        let outcome = hash::verify(&text, "password");
        // One octet of the parameters or of the salt is enough to change the hash.
        assert!(
            !matches!(outcome, Ok(Verdict::Right { .. })),
            "seed {seed} round {round}: {text:?}"
        );
    }
}

#[tokio::test]
async fn hasher_round_trip() {
    let hasher = PasswordHasher::new(Arc::new(SeededRng::new(2)));
    let password = Secret::from("correct horse");
    let stored = hasher.hash(&password).await.unwrap();
    let rows = [
        (Some(stored.as_str()), "correct horse", Ok(RIGHT)),
        (Some(stored.as_str()), "wrong horse", Ok(Verdict::Wrong)),
        (None, "correct horse", Ok(Verdict::Wrong)),
        (
            Some("rubbish"),
            "correct horse",
            Err(PasswordError::Stored(StoredHashError::Malformed)),
        ),
    ];
    for (stored, password, want) in rows {
        let got = hasher.verify(stored, &Secret::from(password)).await;
        assert_eq!(got, want, "{stored:?} {password}");
    }
}

#[tokio::test]
async fn a_storm_is_turned_away_and_passes() {
    let hasher = PasswordHasher::with_limits(Arc::new(SeededRng::new(3)), 1, 2);
    let password = Secret::from("correct horse");
    let logins = (0..6).map(|_| hasher.verify(None, &password));
    let outcomes = futures_util::future::join_all(logins).await;
    let busy = |outcome: &&Result<Verdict, PasswordError>| **outcome == Err(PasswordError::TooBusy);
    assert_eq!(outcomes.iter().filter(busy).count(), 3, "{outcomes:?}");
    assert_eq!(hasher.verify(None, &password).await, Ok(Verdict::Wrong));
}

#[tokio::test]
async fn hanging_up_gives_the_place_in_the_queue_back() {
    let hasher = PasswordHasher::with_limits(Arc::new(SeededRng::new(4)), 1, 1);
    let password = Secret::from("correct horse");
    for _ in 0..4 {
        let waiting =
            tokio::time::timeout(std::time::Duration::ZERO, hasher.verify(None, &password));
        let _ = waiting.await;
        // The abandoned hash may still be running; its place is free again as soon as it is done.
        while hasher.verify(None, &password).await == Err(PasswordError::TooBusy) {
            tokio::task::yield_now().await;
        }
    }
}
