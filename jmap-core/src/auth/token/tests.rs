use super::*;
use crate::rng::SeededRng;

const NOW: UtcMillis = UtcMillis(1_000_000);

#[test]
fn bearer_round_trip() {
    let rng = SeededRng::new(1);
    let token = mint_bearer(&rng);
    let other = mint_bearer(&rng);
    assert_ne!(token.id, other.id);
    assert!(token.text.expose().starts_with("ph_"));
    let presented = parse_bearer(token.text.expose()).unwrap();
    assert_eq!(presented.id, token.id);
    let stored = TokenHash::from_octets(*token.hash.octets());
    let rows = [
        (&stored, None, Ok(())),
        (&stored, Some(UtcMillis(NOW.0 + 1)), Ok(())),
        (&stored, Some(NOW), Err(TokenError::Expired)),
        (&other.hash, None, Err(TokenError::Wrong)),
        // That it has expired is not told to whoever does not have it.
        (&other.hash, Some(NOW), Err(TokenError::Wrong)),
    ];
    for (hash, expires, want) in rows {
        assert_eq!(presented.verify(hash, expires, NOW), want);
    }
}

#[test]
fn the_same_id_is_not_enough() {
    let rng = SeededRng::new(2);
    let token = mint_bearer(&rng);
    let mut octets = URL_SAFE_NO_PAD
        .decode(&token.text.expose()[BEARER_PREFIX.len()..])
        .unwrap();
    octets[TOKEN_OCTETS - 1] ^= 1;
    let forged = format!("{BEARER_PREFIX}{}", URL_SAFE_NO_PAD.encode(octets));
    let presented = parse_bearer(&forged).unwrap();
    assert_eq!(presented.id, token.id);
    assert_eq!(
        presented.verify(&token.hash, None, NOW),
        Err(TokenError::Wrong)
    );
}

#[test]
fn malformed_bearers() {
    let good = mint_bearer(&SeededRng::new(3)).text;
    let good = good.expose();
    let body = &good[3..];
    let rows = [
        String::new(),
        "ph_".into(),
        body.into(),
        format!("PH_{body}"),
        format!("{good}A"),
        format!("{good}="),
        good[..good.len() - 1].into(),
        format!("ph_{}", "+".repeat(TOKEN_CHARACTERS)),
        // Bits that are no part of the token have to be zero: there is one spelling.
        format!("ph_{}", "_".repeat(TOKEN_CHARACTERS)),
        format!("ph_{}", "é".repeat(TOKEN_CHARACTERS / 2)),
        format!("ph_{}", "A".repeat(100_000)),
    ];
    for row in rows {
        assert!(parse_bearer(&row).is_none(), "{row:.80}");
    }
}

#[test]
fn app_password_round_trip() {
    let rng = SeededRng::new(4);
    for round in 0..200 {
        let minted = mint_app_password(&rng);
        let text = minted.text.expose();
        let groups: Vec<&str> = text.split('-').collect();
        assert_eq!(groups.len(), 6, "round {round}: {text}");
        assert!(groups.iter().all(|group| group.len() == 4));
        let spellings = [
            text.clone(),
            text.to_uppercase(),
            text.replace('-', ""),
            text.replace('-', " "),
            format!(" {text} "),
            text.replace('0', "o").replace('1', "L"),
            text.replace('0', "O").replace('1', "i"),
        ];
        for spelling in spellings {
            let presented = parse_app_password(&spelling).unwrap();
            assert_eq!(presented.id, minted.id);
            assert_eq!(
                presented.verify(&minted.hash, None, NOW),
                Ok(()),
                "{spelling}"
            );
        }
    }
}

#[test]
fn not_app_passwords() {
    let rows = [
        "",
        "correct horse battery staple",
        "0000-0000-0000-0000-0000-000",
        "0000-0000-0000-0000-0000-00000",
        "0000-0000-0000-0000-0000-000u",
        "0000-0000-0000-0000-0000-000é",
        "------------------------",
    ];
    for row in rows {
        assert!(parse_app_password(row).is_none(), "{row}");
    }
    assert!(parse_app_password(&"-".repeat(100_000)).is_none());
    assert!(parse_app_password(&"0".repeat(100_000)).is_none());
}

#[test]
fn known_encoding() {
    let mut octets = [0xff; APP_PASSWORD_OCTETS];
    octets[0] = 0x00;
    octets[1] = 0x44;
    let text = encode_groups(&octets);
    assert_eq!(text, "012f-zzzz-zzzz-zzzz-zzzz-zzzz");
    assert_eq!(decode_groups(&text), Some(octets));
}

#[test]
fn one_changed_character_is_wrong() {
    let minted = mint_app_password(&SeededRng::new(5));
    let text = minted.text.expose();
    for at in 0..text.len() {
        let mut octets = text.clone().into_bytes();
        octets[at] = match octets[at] {
            b'-' => continue,
            b'z' => b'y',
            _ => b'z',
        };
        let changed = String::from_utf8(octets).unwrap();
        let presented = parse_app_password(&changed).unwrap();
        assert_eq!(
            presented.verify(&minted.hash, None, NOW),
            Err(TokenError::Wrong)
        );
        assert_eq!(presented.id == minted.id, at >= 10, "{changed}");
    }
}
