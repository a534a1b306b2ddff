use crate::mail::message::headers::{HeaderPropertyError, email_headers, fields_of};
use crate::mail::message::*;

/// A value as one line that shows its structure.
fn show(value: HeaderValue) -> String {
    let list =
        |items: Option<Vec<String>>| items.map_or("null".to_owned(), |items| items.join(" | "));
    let one = |a: &EmailAddress| match &a.name {
        Some(name) => format!("{name} <{}>", a.email),
        None => format!("<{}>", a.email),
    };
    let all = |list: &[EmailAddress]| list.iter().map(one).collect::<Vec<_>>().join(" | ");
    match value {
        HeaderValue::Text(text) => text,
        HeaderValue::Addresses(addresses) => all(&addresses),
        HeaderValue::GroupedAddresses(groups) => groups
            .iter()
            .map(|g| {
                format!(
                    "{}[{}]",
                    g.name.as_deref().unwrap_or("-"),
                    all(&g.addresses)
                )
            })
            .collect::<Vec<_>>()
            .join(" "),
        HeaderValue::MessageIds(ids) => list(ids),
        HeaderValue::Urls(urls) => list(urls),
        HeaderValue::Date(date) => date.unwrap_or("null".to_owned()),
        HeaderValue::Null => "(none)".to_owned(),
    }
}

#[track_caller]
fn check(form: Form, raw: impl AsRef<[u8]>, expected: &str) {
    assert_eq!(show(form.parse(raw.as_ref())), expected);
}

#[test]
fn raw_form() {
    check(Form::Raw, " a\r\n b", " a\r\n b");
    check(Form::Raw, b" a\0b\xffc", " ab\u{fffd}c");
    check(Form::Raw, "", "");
}

#[test]
fn text_form() {
    let rows = [
        ("  hello", "hello"),
        (" a\r\n b\r\n\tc", "a b\tc"),
        (" =?utf-8?Q?J=C3=B6rg?=", "Jörg"),
        (" =?UTF-8*de?B?SsO2cmc=?= x", "Jörg x"),
        (" =?utf-8?Q?a?= =?utf-8?Q?b?=", "ab"),
        (" =?utf-8?Q?a?=\r\n =?iso-8859-1?Q?=F6?=", "aö"),
        (" =?utf-8?Q?a?=  b", "a  b"),
        (" x =?utf-8?Q?a_b?= y", "x a b y"),
        // A character cut by the border of two words.
        (" =?utf-8?B?w7Y=?= =?utf-8?Q?=C3?= =?utf-8?Q?=B6?=", "öö"),
        // Placement rules.
        (" a=?utf-8?Q?b?=", "a=?utf-8?Q?b?="),
        (" =?utf-8?Q?b?=c", "=?utf-8?Q?b?=c"),
        (" =?utf-8?Q?a b?=", "=?utf-8?Q?a b?="),
        (" =?none?Q?a?=", "=?none?Q?a?="),
        (" =?utf-8?X?a?=", "=?utf-8?X?a?="),
        (" =?utf-8?Q?a=00=0A=1Bb?=", "ab"),
        (" =?iso-2022-jp?B?GyRCJUYlOSVIGyhC?=", "テスト"),
        (" e\u{301}", "é"),
        (" =?utf-8?Q?e=CC=81?=", "é"),
        (" =?utf-8?B??= x", " x"),
        ("", ""),
        ("=?", "=?"),
    ];
    for (raw, expected) in rows {
        check(Form::Text, raw, expected);
    }
    check(Form::Text, b" a\xffb", "a\u{fffd}b");
}

#[test]
fn address_forms() {
    let example = " \"  James Smythe\" <james@example.com>, Friends:\r\n  jane@example.com, =?UTF-8?Q?John_Sm=C3=AEth?=\r\n  <john@example.com>;";
    check(
        Form::GroupedAddresses,
        example,
        "-[James Smythe <james@example.com>] Friends[<jane@example.com> | John Smîth <john@example.com>]",
    );
    let rows = [
        (
            example,
            "James Smythe <james@example.com> | <jane@example.com> | John Smîth <john@example.com>",
        ),
        ("a@b.c", "<a@b.c>"),
        ("a@b.c (The A)", "The A <a@b.c>"),
        ("<a@b.c> (The (inner) A)", "The (inner) A <a@b.c>"),
        ("Joe Q. Public <j@x>", "Joe Q. Public <j@x>"),
        (r#""Joe \"Q\" P, x" <j@x>"#, r#"Joe "Q" P, x <j@x>"#),
        (r#""quoted local"@x.y"#, r#"<"quoted local"@x.y>"#),
        ("joe", "<joe>"),
        ("Joe Doe joe@x", "Joe Doe <joe@x>"),
        ("joe @ x . y", "<joe@x.y>"),
        ("<@a,@b:c@d>", "<c@d>"),
        ("A <a@x, B <b@x>", "A <a@x> | B <b@x>"),
        ("a@x; b@y", "<a@x> | <b@y>"),
        ("a@[IPv6:::1], b@y", "<a@[IPv6:::1]> | <b@y>"),
        (", ,", ""),
        ("", ""),
        ("Name Only <>", "Name Only <>"),
        ("undisclosed-recipients:;", ""),
        (r#""=?utf-8?Q?x?=" <a@b>"#, "=?utf-8?Q?x?= <a@b>"),
        ("=?utf-8?Q?a,_b?= <a@b>", "a, b <a@b>"),
        ("=?utf-8?Q?a?= =?utf-8?Q?b?= c <a@b>", "ab c <a@b>"),
        ("((((((x", ""),
        ("\"open <a@b>", "<open <a@b>>"),
    ];
    for (raw, expected) in rows {
        check(Form::Addresses, raw, expected);
    }
    check(Form::GroupedAddresses, "A:;, b@c", "A[] -[<b@c>]");
    check(Form::GroupedAddresses, "a@b, c@d", "-[<a@b> | <c@d>]");
}

#[test]
fn message_ids_and_urls() {
    let rows = [
        (" <a@b>", "a@b"),
        (" <a@b>\r\n <c@d>", "a@b | c@d"),
        ("(comment <x@y>) <a @ b>", "a@b"),
        ("\"<no>\" <a@b>", "a@b"),
        ("a@b", "a@b"),
        ("no id", "null"),
        ("<>", "null"),
        ("<a@b", "null"),
        ("", "null"),
    ];
    for (raw, expected) in rows {
        check(Form::MessageIds, raw, expected);
    }
    check(
        Form::Urls,
        "<mailto:a@b?subject=(x)> (help), <http://\r\n x/>",
        "mailto:a@b?subject=(x) | http://x/",
    );
    check(Form::Urls, "NO (none)", "null");
}

#[test]
fn dates() {
    let rows = [
        (
            "Thu, 30 Oct 2014 14:12:00 +0800",
            "2014-10-30T14:12:00+08:00",
        ),
        ("30 Oct 2014 14:12 GMT", "2014-10-30T14:12:00Z"),
        (
            "Thu, 1 Jan 1970 00:00:00 -0000",
            "1970-01-01T00:00:00-00:00",
        ),
        (
            "Thu, 1 Jan 70 00:00:00 EST (x)",
            "1970-01-01T00:00:00-05:00",
        ),
        ("1 Jan 04 00:00:00 XYZ", "2004-01-01T00:00:00-00:00"),
        (
            "Thu,13\r\n Feb\r\n 1969\r\n 23:32\r\n -0330",
            "1969-02-13T23:32:00-03:30",
        ),
        ("Tue Nov 14 10:00:00 2006", "2006-11-14T10:00:00-00:00"),
        ("29 Feb 2024 00:00:60 +0000", "2024-02-29T00:00:59Z"),
        ("29 Feb 2023 00:00:00 +0000", "null"),
        ("32 Jan 2023 00:00:00 +0000", "null"),
        ("1 Jan 2023 25:00:00 +0000", "null"),
        ("yesterday", "null"),
        ("", "null"),
        ("1 Jan 99999 00:00:00", "null"),
    ];
    for (raw, expected) in rows {
        check(Form::Date, raw, expected);
    }
    let mut dice = super::Dice(7);
    for _ in 0..2000 {
        let at = SentAt {
            timestamp: dice.next() as i64 % 200_000_000_000,
            offset_minutes: dice.below(1439) as i16 - 720,
            unknown_zone: false,
        };
        let (rfc3339, rfc5322) = (at.to_rfc3339(), at.to_rfc5322());
        if at.timestamp > -62_000_000_000 {
            assert_eq!(SentAt::parse_rfc3339(&rfc3339), Some(at), "{rfc3339}");
        }
        if at.timestamp > -20_000_000_000 {
            assert_eq!(date::parse(rfc5322.as_bytes()), Some(at), "{rfc5322}");
        }
    }
}

#[test]
fn properties() {
    use HeaderPropertyError::*;
    type Row = (
        &'static str,
        Result<(&'static str, Form, bool), HeaderPropertyError>,
    );
    let rows: [Row; 15] = [
        ("header:sUbject", Ok(("sUbject", Form::Raw, false))),
        ("header:Subject:asText", Ok(("Subject", Form::Text, false))),
        (
            "header:Resent-To:asAddresses:all",
            Ok(("Resent-To", Form::Addresses, true)),
        ),
        ("header:X:all", Ok(("X", Form::Raw, true))),
        ("header:X:asURLs", Ok(("X", Form::Urls, false))),
        ("header:X:asRaw", Ok(("X", Form::Raw, false))),
        ("header:X:all:asText", Err(BadSuffix)),
        ("header:X:asFoo", Err(BadSuffix)),
        ("header:X:astext", Err(BadSuffix)),
        ("header:X:", Err(BadSuffix)),
        ("header:", Err(BadName)),
        ("header:a b", Err(BadName)),
        ("header:From:asDate", Err(FormNotAllowed)),
        ("header:Received:asText", Err(FormNotAllowed)),
        ("subject", Err(NotHeader)),
    ];
    for (property, expected) in rows {
        let found = HeaderProperty::parse(property);
        let expected = expected.map(|(name, form, all)| HeaderProperty {
            name: name.into(),
            form,
            all,
        });
        assert_eq!(found, expected, "{property}");
    }
}

#[test]
fn which_field_has_which_form() {
    let rows = [
        ("Subject", "Raw Text"),
        (
            "List-Id",
            "Raw Text Addresses GroupedAddresses MessageIds Date Urls",
        ),
        (
            "X-Any",
            "Raw Text Addresses GroupedAddresses MessageIds Date Urls",
        ),
        ("from", "Raw Addresses GroupedAddresses"),
        ("Message-ID", "Raw MessageIds"),
        ("Resent-Date", "Raw Date"),
        ("List-Post", "Raw Urls"),
        ("Return-Path", "Raw"),
    ];
    let forms = [
        Form::Raw,
        Form::Text,
        Form::Addresses,
        Form::GroupedAddresses,
        Form::MessageIds,
        Form::Date,
        Form::Urls,
    ];
    for (name, expected) in rows {
        let allowed = forms.iter().filter(|form| form.is_allowed_for(name));
        let found: Vec<String> = allowed.map(|form| format!("{form:?}")).collect();
        assert_eq!(found.join(" "), expected, "{name}");
    }
}

#[test]
fn values_of_properties() {
    let raw = b"X: 1\r\nY: a\r\nx: 2\r\n\r\nbody";
    let fields = fields_of(raw, 0..raw.len());
    let value = |property: &str| match HeaderProperty::parse(property).unwrap().value(raw, &fields)
    {
        PropertyValue::One(value) => show(value),
        PropertyValue::All(values) => {
            format!("{:?}", values.into_iter().map(show).collect::<Vec<_>>())
        }
    };
    assert_eq!(value("header:X"), " 2");
    assert_eq!(value("header:X:asText:all"), r#"["1", "2"]"#);
    assert_eq!(value("header:Z"), "(none)");
    assert_eq!(value("header:Z:all"), "[]");
    let all = email_headers(raw, &fields);
    assert_eq!(all[2], ("x".to_owned(), " 2".to_owned()));
}
