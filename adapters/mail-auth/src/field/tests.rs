//! What is written, letter by letter, and who claims what.

use expect_test::expect;

use super::*;
use crate::verdict::{Arc, Disposition, Dkim, Dmarc, Iprev, Policy, Spf};

fn verdict() -> Verdict {
    Verdict {
        peer: "2001:db8::1".parse().unwrap(),
        iprev: Iprev {
            finding: Finding::because(Outcome::PermError, "the address has no name"),
            name: None,
        },
        spf: vec![
            Spf {
                finding: Finding::of(Outcome::Pass),
                identity: Identity::MailFrom,
                value: "alice@example.net".into(),
            },
            Spf {
                finding: Finding::of(Outcome::SoftFail),
                identity: Identity::Helo,
                value: "mx.example.net".into(),
            },
        ],
        dkim: vec![Dkim {
            finding: Finding::because(Outcome::Fail, "the body was changed"),
            domain: "example.net".into(),
            selector: "s1".into(),
            identity: "@example.net".into(),
            algorithm: "rsa-sha256",
            signature: first_of_signature(b"\xff\xff\xff\x00\x00\x01\x02"),
        }],
        arc: Some(Arc {
            finding: Finding::of(Outcome::Pass),
            sets: 1,
            sealer: "list.example".into(),
        }),
        dmarc: Dmarc {
            finding: Finding::of(Outcome::Pass),
            domain: "example.net".into(),
            policy: Some(Policy::Reject),
            dkim_aligned: false,
            spf_aligned: false,
        },
        disposition: Disposition::None,
    }
}

#[test]
fn a_field_is_folded_between_properties() {
    let field = verdict().field("mail.example.org");
    expect![[r#"
        Authentication-Results: mail.example.org;
        	iprev=permerror reason="the address has no name"
        	 policy.iprev="2001:db8::1";
        	spf=pass smtp.mailfrom=alice@example.net;
        	spf=softfail smtp.helo=mx.example.net;
        	dkim=fail reason="the body was changed" header.d=example.net
        	 header.i=@example.net header.s=s1 header.a=rsa-sha256
        	 header.b="////AAAB";
        	arc=pass smtp.remote-ip="2001:db8::1";
        	dmarc=pass header.from=example.net policy.dmarc=reject
    "#]]
    .assert_eq(&field.replace('\r', ""));
    assert!(field.split("\r\n").all(|line| !line.contains(['\r', '\n'])));
}

#[test]
fn a_message_that_nobody_asked_about() {
    let field = not_verified("mail.example.org");
    assert_eq!(field, "Authentication-Results: mail.example.org; none\r\n");
}

#[test]
fn values_can_not_end_what_they_are_in() {
    let rows = [
        ("example.org", "example.org"),
        ("a+b@example.org", "a+b@example.org"),
        ("@example.org", "@example.org"),
        ("a;b@example.org", r#""a;b@example.org""#),
        ("a\r\n b", r#""a?? b""#),
        ("\"a b\"@example.org", r#""\"a b\"@example.org""#),
        ("a\\", r#""a\\""#),
        ("a..b@example.org", r#""a..b@example.org""#),
        ("grüße@example.org", r#""grüße@example.org""#),
        ("192.0.2.1", "192.0.2.1"),
    ];
    for (value, written) in rows {
        assert_eq!(pvalue(value), written);
    }
    let mut long = verdict();
    long.dkim[0].identity = "a".repeat(VALUE_OCTETS_MAX + 1);
    assert!(!long.field("mail.example.org").contains("aaa"));
    long.dkim[0].identity.pop();
    assert!(long.field("mail.example.org").contains("aaa"));
}

#[test]
fn who_claims_to_be_us() {
    let rows: [(&[u8], bool); 14] = [
        (b" mail.example.org; spf=pass", true),
        (b"mail.example.org;none", true),
        (b" MAIL.example.ORG ; none", true),
        (b"\r\n\tmail.example.org\r\n\t1;none", true),
        (b" (a (nested) \\) comment) mail.example.org; none", true),
        (b" \"mail.example.org\"; none", true),
        (b" \"mail\\.example.org\"; none", true),
        (b" mail.example.org(comment); none", true),
        (b" mail.example.org.; none", true),
        (b" mail.example.org/1; none", true),
        (b" mail.example.org", true),
        (b" other.mail.example.org; none", false),
        (b" mail.example.orga; none", false),
        (b"", false),
    ];
    for (value, expected) in rows {
        let context = value.escape_ascii();
        assert_eq!(claims(value, "mail.example.org"), expected, "{context}");
    }
    // Nothing that is cut off anywhere is too strange.
    let all: Vec<u8> = rows.iter().flat_map(|row| row.0.iter().copied()).collect();
    for start in 0..all.len() {
        for end in start..all.len() {
            claims(&all[start..end], "mail.example.org");
        }
    }
}
