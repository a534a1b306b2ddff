//! Whom a verdict vouches for.

use std::net::{IpAddr, Ipv4Addr};

use mail_auth_adapter::{Dkim, Dmarc, Finding, Iprev, Spf};

use super::*;

fn finding(outcome: Outcome) -> Finding {
    Finding {
        outcome,
        reason: None,
    }
}

/// Of a message from `a@from`: what DMARC came to, its signatures, and SPF of the reverse-path.
fn verdict(from: &str, dmarc: Outcome, dkim: &[(&str, Outcome)], spf: (&str, Outcome)) -> Verdict {
    let signature = |(domain, outcome): &(&str, Outcome)| Dkim {
        finding: finding(*outcome),
        domain: (*domain).to_owned(),
        selector: "s".to_owned(),
        identity: String::new(),
        algorithm: "rsa-sha256",
        signature: String::new(),
    };
    let of = |identity, value: String, outcome| Spf {
        finding: finding(outcome),
        identity,
        value,
    };
    Verdict {
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        iprev: Iprev {
            finding: finding(Outcome::None),
            name: None,
        },
        spf: vec![
            of(Identity::MailFrom, format!("x@{}", spf.0), spf.1),
            // What calls itself by a name vouches for no author.
            of(Identity::Helo, from.to_owned(), Outcome::Pass),
        ],
        dkim: dkim.iter().map(signature).collect(),
        arc: None,
        dmarc: Dmarc {
            finding: finding(dmarc),
            domain: from.to_owned(),
            policy: None,
            dkim_aligned: false,
            spf_aligned: false,
        },
        disposition: Disposition::None,
    }
}

#[test]
fn who_vouches_for_an_author() {
    use Outcome::{Fail, None, Pass, Policy, TempError};
    let by = |domain: &str| Author::Domain(domain.to_owned());
    let (nobody, open) = (Author::Unknown, Author::Unanswered);
    let none = ("", None);
    let rows = [
        // DMARC has the last word where the domain has a record.
        (verdict("A.example", Pass, &[], none), by("a.example")),
        (
            verdict("a.example", Fail, &[("a.example", Pass)], none),
            nobody.clone(),
        ),
        (verdict("a.example", TempError, &[], none), open.clone()),
        (
            verdict("a.example", Fail, &[("a.example", TempError)], none),
            open.clone(),
        ),
        // Where it has none, the names have to agree.
        (
            verdict("a.example", None, &[("A.Example", Pass)], none),
            by("a.example"),
        ),
        (
            verdict("b.a.example", None, &[("a.example", Pass)], none),
            by("b.a.example"),
        ),
        (
            verdict("a.example", None, &[("b.a.example", Pass)], none),
            nobody.clone(),
        ),
        (
            verdict("ba.example", None, &[("a.example", Pass)], none),
            nobody.clone(),
        ),
        (
            verdict("a.example", None, &[("example", Pass)], none),
            nobody.clone(),
        ),
        (
            verdict("a.example", None, &[("a.example", Policy)], none),
            nobody.clone(),
        ),
        (
            verdict("a.example", None, &[("a.example", TempError)], none),
            open,
        ),
        (
            verdict(
                "a.example",
                None,
                &[("x.test", Fail), ("a.example", Pass)],
                none,
            ),
            by("a.example"),
        ),
        (
            verdict("a.example", None, &[], ("a.example", Pass)),
            by("a.example"),
        ),
        (
            verdict("a.example", None, &[], ("x.test", Pass)),
            nobody.clone(),
        ),
        (
            verdict("a.example", None, &[("x.test", TempError)], none),
            nobody.clone(),
        ),
        (
            verdict("ä.example", None, &[("xn--4ca.example", Pass)], none),
            by("xn--4ca.example"),
        ),
        (verdict("", Pass, &[], none), nobody),
    ];
    for (verdict, want) in rows {
        assert_eq!(author(&verdict), want, "{verdict:?}");
    }
}
