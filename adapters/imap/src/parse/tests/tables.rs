//! What has an inverse: names, sets, sections, dates; and the ends of lines.

use expect_test::{Expect, expect};

use super::*;

/// RFC 3501 §5.1.3's examples among them.
const NAMES: [(&str, &str); 10] = [
    ("INBOX", "INBOX"),
    ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
    ("Entwürfe", "Entw&APw-rfe"),
    ("a&b", "a&-b"),
    ("&", "&-"),
    ("&ü&", "&-&APw-&-"),
    ("😀", "&2D3eAA-"),
    ("tab\there", "tab&AAk-here"),
    ("a/b c~d", "a/b c~d"),
    ("", ""),
];

#[test]
fn names_both_ways() {
    for (name, encoded) in NAMES {
        assert_eq!(names::encode(name), encoded);
        assert_eq!(
            names::decode(encoded.as_bytes(), false).as_deref(),
            Some(name)
        );
    }
}

#[test]
fn names_that_are_not_modified_utf7() {
    let wrong = [
        "&",
        "a&b",
        "&Jjo",
        "&AGE-",
        "&Jjo-&Jjo-",
        "&J-",
        "&Jj-",
        "&Jjp-",
        "&2D0-",
        "&3gA-",
        "&U/BTFw-",
        "&Jjo=-",
        "&AAA-",
        "&AA0-",
        "a\r\nb",
        "a\0b",
    ];
    for encoded in wrong {
        assert_eq!(
            names::decode(encoded.as_bytes(), false),
            None,
            "{encoded:?}"
        );
    }
    assert_eq!(names::decode(b"\xff", false), None);
    assert_eq!(names::decode(b"\xff", true), None);
    assert_eq!(
        names::decode("grün".as_bytes(), false).as_deref(),
        Some("grün")
    );
    assert_eq!(names::decode(b"&Jjo-", true).as_deref(), Some("&Jjo-"));
}

#[test]
fn ends_of_lines() {
    let row = |line: &str| match literal(line.as_bytes()) {
        Some(Literal {
            octets,
            is_synchronizing,
            is_binary,
        }) => format!("{octets} sync={is_synchronizing} binary={is_binary}"),
        None => "none".to_owned(),
    };
    let check = |line: &str, expected: Expect| expected.assert_eq(&row(line));
    check("a LOGIN {5}", expect!["5 sync=true binary=false"]);
    check("a LOGIN {5+}", expect!["5 sync=false binary=false"]);
    check("a APPEND x ~{0}", expect!["0 sync=true binary=true"]);
    check("a APPEND x ~{12+}", expect!["12 sync=false binary=true"]);
    check("{7}", expect!["7 sync=true binary=false"]);
    check(
        "{18446744073709551616}",
        expect!["18446744073709551615 sync=true binary=false"],
    );
    for line in [
        "", "}", "{}", "{+}", "{5-}", "{5}x", "{5} ", "{a}", "5}", "{5++}", "{-5}",
    ] {
        assert_eq!(row(line), "none", "{line}");
    }
}

#[test]
fn dates() {
    let seconds = |date: &str| {
        let mut cursor = Cursor::new(date.as_bytes(), REV1);
        cursor.date_time().ok()
    };
    // Known answers of `date -u -d ... +%s`.
    let rows = [
        ("\"17-Jul-1996 02:44:25 -0700\"", 837_596_665),
        ("\" 1-Jan-1970 00:00:00 +0000\"", 0),
        ("\"1-Jan-1970 00:00:00 +0000\"", 0),
        ("\"01-jan-1970 01:00:00 +0130\"", -1800),
        ("\"29-Feb-2000 12:00:00 +0000\"", 951_825_600),
        ("\"31-Dec-2016 23:59:60 +0000\"", 1_483_228_800),
        ("\"31-Dec-9999 23:59:59 +0000\"", 253_402_300_799),
        ("\"01-Mar-1900 00:00:00 +0000\"", -2_203_891_200),
    ];
    for (date, expected) in rows {
        assert_eq!(seconds(date), Some(expected), "{date}");
    }
    let wrong = [
        "\"29-Feb-1900 00:00:00 +0000\"",
        "\"00-Jan-2000 00:00:00 +0000\"",
        "\"31-Apr-2000 00:00:00 +0000\"",
        "\"17-Jul-96 02:44:25 -0700\"",
        "\"17-Jul-1996 24:00:00 -0700\"",
        "\"17-Jul-1996 00:60:00 -0700\"",
        "\"17-Jul-1996 00:00:61 -0700\"",
        "\"17-Jul-1996 00:00:00 GMT\"",
        "\"17-Jul-1996 00:00:00 +2400\"",
        "\"17-Jul-1996 00:00:00 +0000",
        "17-Jul-1996 00:00:00 +0000",
        "\"17-Jul-1996\"",
    ];
    for date in wrong {
        assert_eq!(seconds(date), None, "{date}");
    }
}
