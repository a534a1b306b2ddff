//! Syntax, row by row; what is followed is in the tests of the crate, against a name server.

use super::record::parse;
use super::*;

#[test]
fn syntax() {
    let rows: [(&str, Option<usize>); 26] = [
        ("v=spf1", Some(0)),
        ("v=spf1 -all", Some(1)),
        (
            "V=SPF1  A mx/24 a:x.example//64 a:x.example/8//9 ~ALL",
            Some(5),
        ),
        ("v=spf1 include:x.example redirect=y.example", Some(1)),
        ("v=spf1 redirect=a.b redirect=a.b", None),
        ("v=spf1 exp=a.b exp=a.b", None),
        ("v=spf1 x-1._=%{c} unknown=%{h}", Some(0)),
        ("v=spf1 unknown=%x", None),
        ("v=spf1 1x=y", None),
        ("v=spf1 all:x", None),
        ("v=spf1 include", None),
        ("v=spf1 include:", None),
        ("v=spf1 a/", None),
        ("v=spf1 a/33", None),
        ("v=spf1 a/032", None),
        ("v=spf1 a//129", None),
        ("v=spf1 a:example.com/xx", None),
        ("v=spf1 a:example", None),
        ("v=spf1 a:1.2.3.4", None),
        ("v=spf1 a:foo:bar/baz.example.com", Some(1)),
        ("v=spf1 a:%{d}/24 exists:%{i1r.}.x.%{D}", Some(2)),
        ("v=spf1 exists:%{s0}.x", None),
        ("v=spf1 exists:%{c}.x.y", None),
        ("v=spf1 ip4:1.2.3.4/32 ip6:::1/128 ip6:1::2", Some(3)),
        ("v=spf1 ip4:1.2.3", None),
        ("v=spf1 b\u{e4}d", None),
    ];
    for (text, expected) in rows {
        assert!(record::is_spf(text.as_bytes()));
        let record = parse(text.as_bytes());
        assert_eq!(
            record.map(|record| record.directives.len()),
            expected,
            "{text}"
        );
    }
    for text in ["v=spf10", "v=spf", "spf1 -all", ""] {
        assert!(!record::is_spf(text.as_bytes()), "{text}");
    }
}

#[test]
fn networks() {
    let v4 = |text: &str| text.parse::<Ipv4Addr>().unwrap();
    for (bits, same) in [(0, true), (8, true), (30, true), (31, false), (32, false)] {
        assert_eq!(
            same_v4(v4("192.0.2.1"), v4("192.0.2.2"), bits),
            same,
            "{bits}"
        );
    }
    let v6 = |text: &str| text.parse::<Ipv6Addr>().unwrap();
    for (bits, same) in [(0, true), (126, true), (127, false), (128, false)] {
        assert_eq!(
            same_v6(v6("2001:db8::1"), v6("2001:db8::2"), bits),
            same,
            "{bits}"
        );
    }
}

/// Records of few different pieces.
#[test]
fn no_record_is_too_strange() {
    let pieces = [
        "a", "mx", ":", "/", "//", "%", "{", "}", "%{d2r.}", "=", "exists", "redirect", " ", ".",
        "1", "-", "\u{e4}",
    ];
    let mut state = 0x5eed_u64;
    let mut below = |end: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % end as u64) as usize
    };
    for _ in 0..100_000 {
        let rest: String = (0..below(12))
            .map(|_| pieces[below(pieces.len())])
            .collect();
        parse(format!("v=spf1 {rest}").as_bytes());
    }
}
