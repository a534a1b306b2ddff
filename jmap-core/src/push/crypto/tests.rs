use super::content_coding::{self, Header};
use super::message::{self, PLAINTEXT_OCTETS_MAX, decrypt};
use super::vapid::{VALID_FOR, verify};
use super::*;
use crate::clock::UtcMillis;
use crate::rng::SeededRng;

fn octets(base64url: &str) -> Vec<u8> {
    decode_base64url(base64url).expect("base64url")
}

fn fixed<const N: usize>(base64url: &str) -> [u8; N] {
    octets(base64url).try_into().expect("length")
}

fn private(base64url: &str) -> agreement::PrivateKey {
    agreement::PrivateKey::from_private_key(&ECDH_P256, &octets(base64url)).expect("key")
}

/// RFC 8188 §3.1 and §3.2: keying material, padding, content.
const WALRUS: [(&str, usize, &str); 2] = [
    (
        "yqdlZ-tYemfogSmv7Ws5PQ",
        0,
        "I1BsxtFttlv3u_Oo94xnmwAAEAAA-NAVub2qFgBEuQKRapoZu-IxkIva3MEB1PD-ly8Thjg",
    ),
    (
        "BO3ZVPxUlnLORbVGMpbT1Q",
        1,
        "uNCkWiNYzKTnBN9ji3-qWAAAABkCYTHOG8chz_gnvgOqdGYovxyjuqRyJFjEDyoF1Fvkj6hQPdPHI51OEUKEpgz3SsLWIqS_uA",
    ),
];

#[test]
fn content_coding_known_answers() {
    for (material, padding, content) in WALRUS {
        let (material, content) = (octets(material), octets(content));
        let (header, records) = Header::parse(&content).unwrap();
        let opened = content_coding::open(&header, &material, records);
        assert_eq!(opened.as_deref(), Ok(&b"I am the walrus"[..]));
        let sealed = content_coding::seal(&header, &material, b"I am the walrus", padding);
        assert_eq!(sealed.as_ref(), Ok(&content));
    }
}

#[test]
fn content_coding_round_trips() {
    let rng = SeededRng::new(1);
    let rows = [
        (0, 0, 18),
        (0, 1, 18),
        (1, 0, 18),
        (5, 9, 18),
        (8, 0, 25),
        (9, 0, 25),
        (16, 24, 25),
        (4079, 0, 4096),
        (4080, 0, 4096),
        (10_000, 777, 100),
        (100, 100_000, 4096),
    ];
    for (length, padding, record_octets) in rows {
        let mut plaintext = vec![0; length];
        rng.fill(&mut plaintext);
        let header = Header {
            salt: [7; 16],
            record_octets,
            key_id: b"key",
        };
        let content = content_coding::seal(&header, b"material", &plaintext, padding).unwrap();
        let (read, records) = Header::parse(&content).unwrap();
        assert_eq!(read, header);
        let opened = content_coding::open(&read, b"material", records);
        assert_eq!(opened, Ok(plaintext), "{length} {padding} {record_octets}");
        let whole = content_coding::open(&read, b"other", records);
        assert_eq!(whole, Err(PushCryptoError::BadContent));
    }
}

#[test]
fn content_coding_refuses() {
    let header = Header {
        salt: [7; 16],
        record_octets: 25,
        key_id: b"",
    };
    let content = content_coding::seal(&header, b"m", b"0123456789abcdef", 0).unwrap();
    let (_, records) = Header::parse(&content).unwrap();
    assert_eq!(records.len(), 50);
    let swapped = [&records[25..], &records[..25]].concat();
    let extended = [records, &records[25..]].concat();
    let rows: [&[u8]; 5] = [&[], &records[..25], &records[..49], &swapped, &extended];
    for row in rows {
        let opened = content_coding::open(&header, b"m", row);
        assert_eq!(opened, Err(PushCryptoError::BadContent));
    }
    for record_octets in [0, 1, 17] {
        let header = Header {
            record_octets,
            ..header
        };
        assert!(content_coding::seal(&header, b"m", b"", 0).is_err());
        assert!(content_coding::open(&header, b"m", records).is_err());
    }
    let long = [0; 256];
    let header = Header {
        key_id: &long,
        ..header
    };
    assert!(content_coding::seal(&header, b"m", b"", 0).is_err());
    for length in 0..content_coding::HEADER_OCTETS {
        assert!(Header::parse(&content[..length]).is_err());
    }
}

// RFC 8291 Appendix A.
const UA_PRIVATE: &str = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94";
const UA_PUBLIC: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const AS_PRIVATE: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";
const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";
const SALT: &str = "DGv6ra1nlYgDCS1FRnbzlw";
const BODY: &str = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml\
                    mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT\
                    pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
const PLAINTEXT: &[u8] = b"When I grow up, I want to be a watermelon";

#[test]
fn message_known_answer() {
    let keys = SubscriptionKeys::from_base64url(UA_PUBLIC, AUTH).unwrap();
    let body = message::encrypt_with(&keys, PLAINTEXT, &private(AS_PRIVATE), fixed(SALT));
    assert_eq!(body, Ok(octets(BODY)));
    let opened = decrypt(&private(UA_PRIVATE), &fixed(AUTH), &octets(BODY));
    assert_eq!(opened.as_deref(), Ok(PLAINTEXT));
}

#[test]
fn message_round_trips_and_is_bounded() {
    let rng = SeededRng::new(2);
    let receiver = new_private_key(&rng).unwrap();
    let auth = [9; 16];
    let point = public_point(&receiver).unwrap();
    let keys = SubscriptionKeys::from_octets(&point, &auth).unwrap();
    for length in [0, 1, 100, PLAINTEXT_OCTETS_MAX] {
        let plaintext = vec![b'x'; length];
        let body = encrypt(&keys, &plaintext, &rng).unwrap();
        assert!(body.len() <= message::BODY_OCTETS_MAX);
        assert_eq!(decrypt(&receiver, &auth, &body), Ok(plaintext.clone()));
        assert!(decrypt(&receiver, &[8; 16], &body).is_err());
        // Each has a key and a salt of its own.
        assert_ne!(encrypt(&keys, &plaintext, &rng), Ok(body));
    }
    let long = vec![b'x'; PLAINTEXT_OCTETS_MAX + 1];
    assert_eq!(encrypt(&keys, &long, &rng), Err(PushCryptoError::TooLong));
}

#[test]
fn subscription_keys() {
    use PushCryptoError::{BadAuthSecret, BadPublicKey};
    let point = octets(UA_PUBLIC);
    let mut off_curve = point.clone();
    off_curve[64] ^= 1;
    let compressed = [&[2], &point[1..33]].concat();
    let mut hybrid = point.clone();
    hybrid[0] = 6;
    let text = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
    let long = "A".repeat(1_000_000);
    let rows = [
        (UA_PUBLIC.to_owned(), AUTH.to_owned(), None),
        (format!("{UA_PUBLIC}="), format!("{AUTH}=="), None),
        (text(&off_curve), AUTH.into(), Some(BadPublicKey)),
        (text(&compressed), AUTH.into(), Some(BadPublicKey)),
        (text(&hybrid), AUTH.into(), Some(BadPublicKey)),
        (text(&[0]), AUTH.into(), Some(BadPublicKey)),
        (text(&[0; 65]), AUTH.into(), Some(BadPublicKey)),
        (text(&[4; 65]), AUTH.into(), Some(BadPublicKey)),
        (String::new(), AUTH.into(), Some(BadPublicKey)),
        ("not base64!".into(), AUTH.into(), Some(BadPublicKey)),
        (long.clone(), AUTH.into(), Some(BadPublicKey)),
        (UA_PUBLIC.into(), String::new(), Some(BadAuthSecret)),
        (UA_PUBLIC.into(), text(&[1; 15]), Some(BadAuthSecret)),
        (UA_PUBLIC.into(), text(&[1; 17]), Some(BadAuthSecret)),
        (UA_PUBLIC.into(), "é".into(), Some(BadAuthSecret)),
        (UA_PUBLIC.into(), long, Some(BadAuthSecret)),
    ];
    for (p256dh, auth, want) in rows {
        let got = SubscriptionKeys::from_base64url(&p256dh, &auth).err();
        assert_eq!(got, want, "{p256dh:.100} {auth:.30}");
    }
}

#[test]
fn damaged_messages_are_refused() {
    let seed = 3;
    let rng = SeededRng::new(seed);
    let receiver = private(UA_PRIVATE);
    for round in 0..2_000 {
        let mut body = octets(BODY);
        let at = rng.next_u64() as usize % body.len();
        match rng.next_u64() % 3 {
            0 => body.truncate(at),
            1 => body[at] ^= 1 << (rng.next_u64() % 8),
            _ => body.insert(at, rng.next_u64() as u8),
        }
        if body == octets(BODY) {
            continue;
        }
        // The record size of a single record has no part in its key: a larger one is the same content.
        let same_but_size = body.len() == octets(BODY).len()
            && body[..16] == octets(BODY)[..16]
            && body[20..] == octets(BODY)[20..];
        let opened = decrypt(&receiver, &fixed(AUTH), &body);
        assert!(
            opened.is_err() || same_but_size,
            "seed {seed} round {round}"
        );
    }
}

const NOW: UtcMillis = UtcMillis(1_453_500_000_000);

fn endpoint(url: &str) -> PushEndpoint {
    PushEndpoint::parse(url, EndpointPolicy::Public).expect("endpoint")
}

/// RFC 8292 §2.4.
const IDENTIFICATION: &str = "vapid t=eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3\
    B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1MjM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.\
    i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA, \
    k=BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs";

#[test]
fn identification_known_answer() {
    let (claims, public) = verify(IDENTIFICATION, "https://push.example.net", NOW).unwrap();
    assert_eq!(claims.exp, 1_453_523_768);
    assert_eq!(claims.sub.as_deref(), Some("mailto:push@example.com"));
    assert_eq!(public.len(), P256_POINT_OCTETS);
    let day = 24 * 60 * 60;
    let at = |seconds| UtcMillis(seconds * 1000);
    let rows = [
        ("https://push.example.com", NOW),
        ("https://push.example.net", at(claims.exp)),
        ("https://push.example.net", at(claims.exp - day - 1)),
    ];
    for (audience, now) in rows {
        assert!(verify(IDENTIFICATION, audience, now).is_err());
    }
}

#[test]
fn identification_is_made_and_verified() {
    let key = VapidKey::generate(&SeededRng::new(4)).unwrap();
    let rows = [
        (
            "https://push.example.net/a/b?c",
            "https://push.example.net",
            Some("mailto:ops@example.org"),
        ),
        (
            "https://Push.Example.NET:443/a",
            "https://push.example.net",
            Some("https://example.org/"),
        ),
        (
            "https://push.example.net:8443",
            "https://push.example.net:8443",
            None,
        ),
    ];
    for (url, audience, contact) in rows {
        let value = key.authorization(&endpoint(url), contact, NOW).unwrap();
        assert!(
            value.starts_with("vapid t=")
                && value
                    .bytes()
                    .all(|octet| octet.is_ascii_graphic() || octet == b' ')
        );
        let (claims, public) = verify(&value, audience, NOW).unwrap();
        assert_eq!(claims.aud, audience);
        assert_eq!(claims.exp, NOW.saturating_add(VALID_FOR).seconds());
        assert_eq!(claims.sub.as_deref(), contact);
        assert_eq!(URL_SAFE_NO_PAD.encode(public), key.public());
    }
    for contact in [
        "",
        "mailto:",
        "ops@example.org",
        "http://example.org",
        "mailto:a\r\nb",
        "mailto:é",
    ] {
        let got = key.authorization(&endpoint("https://push.example.net"), Some(contact), NOW);
        assert_eq!(got, Err(PushCryptoError::BadContact), "{contact}");
    }
}

#[test]
fn keys_are_stored_and_loaded() {
    let key = VapidKey::generate(&SeededRng::new(5)).unwrap();
    let loaded = VapidKey::from_pkcs8(key.pkcs8().expose()).unwrap();
    assert_eq!(loaded.public(), key.public());
    assert_eq!(octets(key.public()).len(), P256_POINT_OCTETS);
    assert_eq!(octets(key.public())[0], 4);
    assert_eq!(
        VapidKey::generate(&SeededRng::new(5)).unwrap().public(),
        key.public()
    );
    assert_ne!(
        VapidKey::generate(&SeededRng::new(6)).unwrap().public(),
        key.public()
    );
    let value = loaded
        .authorization(&endpoint("https://push.example.net"), None, NOW)
        .unwrap();
    assert!(verify(&value, "https://push.example.net", NOW).is_ok());
    let shown = format!("{key:?}");
    assert_eq!(shown, format!("VapidKey({:?})", key.public()));

    let good = key.pkcs8().expose();
    for length in 0..good.len() {
        assert!(VapidKey::from_pkcs8(&good[..length]).is_err(), "{length}");
    }
}

#[test]
fn damaged_identifications_are_refused() {
    let seed = 7;
    let rng = SeededRng::new(seed);
    for round in 0..2_000 {
        let mut value = IDENTIFICATION.as_bytes().to_vec();
        let at = rng.next_u64() as usize % value.len();
        value[at] = b" =,.-_AZaz09\"{}\0\xff"[rng.next_u64() as usize % 17];
        if rng.next_u64().is_multiple_of(4) {
            value.truncate(at);
        }
        let value = String::from_utf8_lossy(&value);
        // The scheme is read in any letter case, and spaces around a parameter do not count.
        if let Ok((claims, _)) = verify(&value, "https://push.example.net", NOW) {
            assert_eq!(
                claims.exp, 1_453_523_768,
                "seed {seed} round {round}: {value}"
            );
        }
    }
    let rows = [
        "",
        "vapid",
        "vapid ",
        "vapid t=,k=",
        "vapid t=..,k=",
        "Bearer t=a.b.c, k=d",
        "vapid k=a,t=é.é.é",
    ];
    for row in rows {
        assert!(
            verify(row, "https://push.example.net", NOW).is_err(),
            "{row}"
        );
    }
    assert!(verify(&"v".repeat(100_000), "https://push.example.net", NOW).is_err());
}
