//! Rows of parameters, one past each limit, and what goes on with a message.

use super::*;

#[test]
fn values() {
    let rows: &[(&str, &[&str], &[&str])] = &[
        (
            "size",
            &["0", "99999999999999999999"],
            &["", "-1", "999999999999999999999"],
        ),
        ("BODY", &["7bit", "8BITMIME", "BinaryMime"], &["", "9BIT"]),
        ("RET", &["FULL", "hdrs"], &["", "BODY"]),
        ("ENVID", &["QQ314159", "a b"], &["", "a\tb", "ü"]),
        (
            "HOLDFOR",
            &["0", "999999999"],
            &["", "1000000000", "1s", "-1"],
        ),
        (
            "HOLDUNTIL",
            &["2026-12-01T09:00:00Z", "2026-12-01T09:00:00+01:00"],
            &["", "tomorrow", "2026-12-01"],
        ),
        (
            "BY",
            &["120;R", "120;n", "-5;NT", "0;N", "+1;RT", "999999999;N"],
            &["", "120", "0;R", "-1;R", "120;X", "1000000000;N", "120;"],
        ),
        (
            "MT-PRIORITY",
            &["0", "9", "-9"],
            &["", "10", "-0", "+1", "-10"],
        ),
    ];
    for (name, good, bad) in rows {
        for value in *good {
            assert!(of_mail(name, Some(value)).is_ok(), "{name}={value}");
        }
        for value in *bad {
            assert_eq!(
                of_mail(name, Some(value)),
                Err(Fault::Value),
                "{name}={value}"
            );
        }
        assert_eq!(of_mail(name, None), Err(Fault::Value), "{name}");
    }
    for flag in ["REQUIRETLS", "smtputf8"] {
        assert!(of_mail(flag, None).is_ok());
        assert_eq!(of_mail(flag, Some("")), Err(Fault::Value));
    }
    let notify = |value: &str| of_rcpt("NOTIFY", Some(value)).is_ok();
    for value in ["NEVER", "success", "SUCCESS,FAILURE,DELAY"] {
        assert!(notify(value), "{value}");
    }
    for value in [
        "",
        "NEVER,SUCCESS",
        "SUCCESS,SUCCESS",
        "SUCCESS,",
        "SOMETIMES",
    ] {
        assert!(!notify(value), "{value}");
    }
    for value in [
        "",
        "rfc822",
        "rfc822;",
        ";a@b",
        "rfc 822;a@b",
        "rfc822;a\u{7f}",
    ] {
        assert!(of_rcpt("ORCPT", Some(value)).is_err(), "{value}");
    }
    assert_eq!(of_rcpt("RET", Some("FULL")), Err(Fault::Unknown));
    assert_eq!(of_mail("NOTIFY", Some("NEVER")), Err(Fault::Unknown));
}

#[test]
fn one_past_the_limits() {
    let envid = |octets: usize| of_mail("ENVID", Some(&"x".repeat(octets))).is_ok();
    assert!(envid(ENVID_OCTETS_MAX) && !envid(ENVID_OCTETS_MAX + 1));
    let orcpt = |octets: usize| {
        let address = "x".repeat(octets - "rfc822;".len());
        of_rcpt("ORCPT", Some(&format!("rfc822;{address}"))).is_ok()
    };
    assert!(orcpt(ORCPT_OCTETS_MAX) && !orcpt(ORCPT_OCTETS_MAX + 1));
}

#[test]
fn a_hold_is_given_once() {
    let both = [
        of_mail("HOLDFOR", Some("60")).unwrap(),
        of_mail("holduntil", Some("2026-12-01T09:00:00Z")).unwrap(),
    ];
    assert_eq!(together(&both), Err(Fault::Excluded));
    assert_eq!(together(&both[..1]), Ok(()));
}

#[test]
fn what_goes_on() {
    let mail: Vec<Parameter> = [
        ("RET", Some("HDRS")),
        ("SIZE", Some("10")),
        ("REQUIRETLS", None),
        ("BY", Some("1;R")),
    ]
    .into_iter()
    .map(|(name, value)| of_mail(name, value).unwrap())
    .collect();
    let names: Vec<String> = handed_on(&mail).into_iter().map(|p| p.name).collect();
    assert_eq!(names, ["RET", "REQUIRETLS"]);
    let rows = [
        (Some("SUCCESS,FAILURE"), false, Some("SUCCESS,FAILURE")),
        (Some("SUCCESS,FAILURE"), true, Some("FAILURE")),
        (Some("SUCCESS"), true, Some("NEVER")),
        (Some("NEVER"), true, Some("NEVER")),
        (None, true, None),
    ];
    for (asked, is_kept, expected) in rows {
        let rcpt: Vec<Parameter> = asked
            .map(|asked| of_rcpt("NOTIFY", Some(asked)).unwrap())
            .into_iter()
            .collect();
        let on = with("x@y", handed_on_to("bob@example.org", &rcpt, is_kept));
        let value = |name: &str| on.parameter(name).and_then(|p| p.value.as_deref());
        assert_eq!(value("NOTIFY"), expected, "{asked:?}");
        let original = expected.map(|_| "rfc822;bob@example.org");
        assert_eq!(value("ORCPT"), original, "{asked:?}");
    }
}
