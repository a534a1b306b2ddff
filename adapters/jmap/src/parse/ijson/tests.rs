use super::*;

fn check(octets: &[u8], expected: Result<&str, &str>) {
    let shown = String::from_utf8_lossy(&octets[..octets.len().min(60)]).into_owned();
    match (parse(octets), expected) {
        (Ok(value), Ok(json)) => assert_eq!(serde_json::to_string(&value).unwrap(), json),
        (Err(error), Err(part)) => {
            assert!(error.to_string().contains(part), "{shown}: {error}")
        }
        (parsed, expected) => panic!("{shown}: {parsed:?}, not {expected:?}"),
    }
}

#[test]
fn what_is_i_json() {
    check(
        b" {\"a\" : [1, -2, 1.5, null, true]} ",
        Ok(r#"{"a":[1,-2,1.5,null,true]}"#),
    );
    check(b"9007199254740993", Ok("9007199254740993"));
    check(b"18446744073709551615", Ok("18446744073709551615"));
    check(
        "\"\u{1f600}é\u{ffff0}\"".as_bytes(),
        Ok("\"\u{1f600}é\u{ffff0}\""),
    );
    check(br#""\ud83d\ude00""#, Ok("\"\u{1f600}\""));
    check(
        br#"{"":1,"ids":2,"a/b":3}"#,
        Ok(r#"{"":1,"ids":2,"a/b":3}"#),
    );
}

#[test]
fn what_is_not() {
    let rows: &[&[u8]] = &[
        b"",
        b" ",
        b"{",
        b"[1,]",
        b"{\"a\":1,}",
        b"{a:1}",
        b"'a'",
        b"nul",
        b"01",
        b"1 2",
        b"[1] x",
        b"1e400",
        b"NaN",
        b"\"\n\"",
        b"\"\\x\"",
        b"\"\xff\"",
        b"\"\xc0\x80\"",
        b"\"\xed\xa0\x80\"",
        b"\xef\xbb\xbf{}",
        br#""\ud800""#,
        br#""\udc00\ud800""#,
        b"/**/1",
    ];
    for row in rows {
        check(row, Err("not I-JSON"));
    }
    for noncharacter in [
        "\u{fffe}",
        "\u{ffff}",
        "\u{fdd0}",
        "\u{1fffe}",
        "\u{10ffff}",
    ] {
        check(
            format!("[\"x{noncharacter}\"]").as_bytes(),
            Err("noncharacter"),
        );
        check(
            format!("{{\"{noncharacter}\":1}}").as_bytes(),
            Err("noncharacter"),
        );
    }
}

#[test]
fn names_occur_once() {
    check(br#"{"a":1,"b":2,"a":3}"#, Err("\"a\" is repeated"));
    check(br#"{"ids":1,"ids":1}"#, Err("\"ids\" is repeated"));
    check(br#"{"ids":1,"\u0069ds":1}"#, Err("\"ids\" is repeated"));
    check(br#"[{"a":{"x":1,"x":1}}]"#, Err("\"x\" is repeated"));
    let many: Vec<String> = (0..100).map(|n| format!("\"k{}\":0", n % 99)).collect();
    check(
        format!("{{{}}}", many.join(",")).as_bytes(),
        Err("\"k0\" is repeated"),
    );
    check(
        format!("{{{}}}", many[..99].join(",")).as_bytes(),
        Ok(&format!("{{{}}}", many[..99].join(","))),
    );
}

#[test]
fn one_past_every_limit() {
    let deep = |levels: usize| ["[".repeat(levels), "]".repeat(levels)].concat();
    check(deep(JSON_DEPTH_MAX).as_bytes(), Ok(&deep(JSON_DEPTH_MAX)));
    check(deep(JSON_DEPTH_MAX + 1).as_bytes(), Err("levels"));
    check("[".repeat(1_000_000).as_bytes(), Err("levels"));
    check("{\"a\":".repeat(1_000_000).as_bytes(), Err("levels"));
    let wide = |values: usize| format!("[{}0]", "0,".repeat(values - 2));
    check(wide(JSON_VALUES_MAX).as_bytes(), Ok(&wide(JSON_VALUES_MAX)));
    check(wide(JSON_VALUES_MAX + 1).as_bytes(), Err("values"));
}
