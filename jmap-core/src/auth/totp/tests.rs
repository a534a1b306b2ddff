use super::*;
use crate::rng::SeededRng;

/// The secret of the RFCs' examples.
const KEY: &[u8] = b"12345678901234567890";

fn device(secret: &[u8]) -> Totp {
    Totp {
        secret: Secret::new(secret.to_vec()),
        is_confirmed: true,
        last_step: 0,
        recovery: Vec::new(),
    }
}

fn at(seconds: i64) -> UtcMillis {
    UtcMillis(seconds * 1000)
}

/// RFC 4226, appendix D.
#[test]
fn codes_of_rfc_4226() {
    let rows = [
        (1_284_755_224, "755224"),
        (1_094_287_082, "287082"),
        (137_359_152, "359152"),
        (1_726_969_429, "969429"),
        (1_640_338_314, "338314"),
        (868_254_676, "254676"),
        (1_918_287_922, "287922"),
        (82_162_583, "162583"),
        (673_399_871, "399871"),
        (645_520_489, "520489"),
    ];
    for (counter, (number, code)) in (0..).zip(rows) {
        assert_eq!(truncated(KEY, counter), number);
        assert_eq!(hotp(KEY, counter), code);
    }
}

/// RFC 6238, appendix B: the rows with SHA-1, of eight digits there.
#[test]
fn codes_of_rfc_6238() {
    let rows = [
        (59, "94287082"),
        (1_111_111_109, "07081804"),
        (1_111_111_111, "14050471"),
        (1_234_567_890, "89005924"),
        (2_000_000_000, "69279037"),
        (20_000_000_000, "65353130"),
    ];
    for (seconds, code) in rows {
        let eight = truncated(KEY, seconds / STEP_SECONDS) % 100_000_000;
        assert_eq!(format!("{eight:08}"), code);
        let now = at(i64::try_from(seconds).unwrap());
        assert!(device(KEY).use_code(&code[2..], now), "{seconds}");
    }
}

#[test]
fn the_window_is_one_step_each_way() {
    let step = 1000_u64;
    let now = at(i64::try_from(step * STEP_SECONDS).unwrap());
    for (of, want) in [
        (998, false),
        (999, true),
        (1000, true),
        (1001, true),
        (1002, false),
    ] {
        assert_eq!(device(KEY).use_code(&hotp(KEY, of), now), want, "{of}");
    }
}

#[test]
fn a_code_and_earlier_ones_count_once() {
    let mut device = device(KEY);
    let now = at(30_000);
    assert!(device.use_code(&hotp(KEY, 1000), now));
    assert!(!device.use_code(&hotp(KEY, 1000), now));
    assert!(!device.use_code(&hotp(KEY, 999), now));
    assert!(device.use_code(&hotp(KEY, 1001), now));
    assert!(!device.use_code(&hotp(KEY, 1001), at(30_030)));
}

#[test]
fn what_is_no_code() {
    let mut device = device(KEY);
    for text in [
        "",
        "1",
        "12345",
        "1234567",
        "abcdef",
        "１２３４５６",
        &"1".repeat(100_000),
    ] {
        assert!(!device.use_code(text, at(30_000)), "{text:.20}");
    }
    assert!(device.use_code(" 287 082 ", at(59)));
}

#[test]
fn recovery_codes_count_once() {
    let mut device = device(KEY);
    let codes = device.new_recovery_codes(&SeededRng::new(1));
    assert_eq!((codes.len(), device.recovery.len()), (10, 10));
    let text = codes[3].expose();
    assert_eq!(text.len(), 19, "{text}");
    assert!(device.use_code(&text.to_uppercase(), at(0)));
    assert!(!device.use_code(text, at(0)));
    assert!(device.use_code(&codes[4].expose().replace('-', " "), at(0)));
    assert_eq!(device.recovery.len(), 8);
    let newer = device.new_recovery_codes(&SeededRng::new(2));
    assert!(!device.use_code(codes[5].expose(), at(0)));
    assert!(device.use_code(newer[5].expose(), at(0)));
}

#[test]
fn secrets_for_people_and_devices() {
    assert_eq!(base32(b"foobar"), "MZXW6YTBOI");
    assert_eq!(base32(b""), "");
    let device = device(KEY);
    assert_eq!(device.base32().expose(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    assert_eq!(
        device.uri("mail.example", "ann@example.org").expose(),
        "otpauth://totp/mail.example:ann%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=mail.example&algorithm=SHA1&digits=6&period=30"
    );
    assert!(!format!("{device:?}").contains("49"));
}
