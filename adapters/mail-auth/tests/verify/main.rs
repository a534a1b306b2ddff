//! Whole verifications, against a name server of the test's own.

mod chains;
#[allow(dead_code)]
mod dns;
mod wishes;

use std::time::{Duration, Instant};

use bytes::Bytes;
use dns::Zone;
use mail_auth_adapter::limits::{FROM_DOMAINS_MAX, SIGNATURES_MAX, SIGNED_FIELDS_MAX};
use mail_auth_adapter::{
    Disposition, Envelope, Nameservers, Outcome, Policy, Settings, Verdict, Verifier,
};

/// Of the key that the signatures below were made with, by dkimpy.
const KEY: &str = "v=DKIM1; k=ed25519; p=mUJoGGg6AKbXUzJwRRrd1YmUleXmrXqLIOWCNaMNldQ=";
/// A body that ends in lines of white space, which a relaxed signature passes over.
const SIGNED: &str = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.net;\r\n \
     i=@example.net; q=dns/txt; s=s1; t=1795862813; h=from : to : subject;\r\n \
     bh=3CcL3ZPbFVsaaTPjUI6tuA+tF1/AWb+TsZ0wcRurbXk=;\r\n \
     b=E8Rm9ejn+YGvOh7XgvMuXWgo3Re7S/fLiNpmcFDyG6zA7vkJR19jHALARiDz5ZrCbQx0/\r\n \
     TxvhKTywMwBW6AJCw==\r\n\
     From: Ann <ann@example.net>\r\n\
     To: bob@example.org\r\n\
     Subject: blank lines at the end\r\n\
     \r\n\
     Hello  there \r\n\r\nbye\r\n \r\n\t\r\n  \r\n";
const PLAIN: &str = "From: ann@example.net\r\nSubject: hi\r\n\r\nbody\r\n";

fn zone() -> Zone {
    let mut zone = Zone::default();
    zone.txt("s1._domainkey.example.net", KEY)
        .txt("example.net", "v=spf1 ip4:192.0.2.1 -all")
        .txt(
            "_dmarc.example.net",
            "v=DMARC1; p=reject; sp=quarantine; np=reject",
        )
        .a("mx.example.net", "192.0.2.1".parse().unwrap())
        .txt("mx.example.net", "v=spf1 a -all")
        .name("1.2.0.192.in-addr.arpa", dns::PTR, "mx.example.net")
        .a("sub.example.net", "192.0.2.9".parse().unwrap());
    zone
}

async fn verifier(zone: Zone) -> Verifier {
    verifier_within(zone, Duration::from_secs(8)).await
}

async fn verifier_within(zone: Zone, timeout: Duration) -> Verifier {
    let server = zone.serve().await;
    let settings = Settings {
        nameservers: Nameservers::At(vec![server.address]),
        timeout,
    };
    Verifier::new(&settings).unwrap()
}

async fn verify(verifier: &Verifier, peer: &str, from: &str, message: &str) -> Verdict {
    let envelope = Envelope {
        peer: peer.parse().unwrap(),
        helo: "mx.example.net",
        mail_from: Some(from).filter(|from| !from.is_empty()),
    };
    let message = Bytes::copy_from_slice(message.as_bytes());
    verifier.verify(&envelope, &message).await
}

fn dkim(verdict: &Verdict) -> Vec<&'static str> {
    let all = verdict.dkim.iter();
    all.map(|dkim| dkim.finding.outcome.name()).collect()
}

fn spf(verdict: &Verdict) -> Vec<&'static str> {
    let all = verdict.spf.iter();
    all.map(|spf| spf.finding.outcome.name()).collect()
}

#[tokio::test]
async fn mail_from_where_it_says() {
    let verifier = verifier(zone()).await;
    let verdict = verify(&verifier, "192.0.2.1", "ann@example.net", SIGNED).await;
    let field = verdict.field("mail.example.org");
    let expected = "Authentication-Results: mail.example.org;\r\n\
        \tiprev=pass policy.iprev=192.0.2.1;\r\n\
        \tspf=pass smtp.mailfrom=ann@example.net;\r\n\
        \tspf=pass smtp.helo=mx.example.net;\r\n\
        \tdkim=pass header.d=example.net header.i=@example.net header.s=s1\r\n\
        \t header.a=ed25519-sha256 header.b=\"E8Rm9ejn\";\r\n\
        \tdmarc=pass header.from=example.net policy.dmarc=reject\r\n";
    assert_eq!(field.replace('"', ""), expected.replace('"', ""));
    assert_eq!(verdict.disposition, Disposition::None);
}

/// RFC 6376 §3.4.4. Without the blank lines it is the same body to a relaxed signature.
#[tokio::test]
async fn blank_lines_at_the_end_break_no_relaxed_signature() {
    let verifier = verifier(zone()).await;
    let text = SIGNED.trim_end();
    for end in ["\r\n", "\r\n\r\n", "\r\n \r\n\t \r\n\r\n", "", "\r\n "] {
        let verdict = verify(&verifier, "192.0.2.1", "", &format!("{text}{end}")).await;
        assert_eq!(dkim(&verdict), ["pass"], "{end:?}");
    }
    let changed = SIGNED.replace("bye", "buy");
    let verdict = verify(&verifier, "192.0.2.1", "", &changed).await;
    assert_eq!(dkim(&verdict), ["fail"]);
    assert_eq!(verdict.dkim[0].finding.reason, Some("the body was changed"));
    let changed = SIGNED.replace("Subject: blank", "Subject: black");
    let verdict = verify(&verifier, "192.0.2.1", "", &changed).await;
    assert_eq!(
        verdict.dkim[0].finding.reason,
        Some("the signature is wrong")
    );
}

#[tokio::test]
async fn a_large_body_is_hashed_elsewhere() {
    let verifier = verifier(zone()).await;
    let large = format!("{}{}", SIGNED, " \r\n".repeat(100_000));
    let verdict = verify(&verifier, "192.0.2.1", "", &large).await;
    assert_eq!(dkim(&verdict), ["pass"]);
}

#[tokio::test]
async fn what_a_domain_asks_for_when_neither_passes() {
    let verifier = verifier(zone()).await;
    let sub = PLAIN.replace("@example.net", "@sub.example.net");
    let missing = PLAIN.replace("@example.net", "@missing.example.net");
    let nobody = PLAIN.replace("@example.net", "@example.com");
    type Row<'a> = (
        &'a str,
        &'a str,
        &'a str,
        Outcome,
        Option<Policy>,
        Disposition,
    );
    let rows: [Row<'_>; 6] = [
        (
            "192.0.2.2",
            "ann@example.net",
            PLAIN,
            Outcome::Fail,
            Some(Policy::Reject),
            Disposition::Reject,
        ),
        (
            "192.0.2.1",
            "ann@example.net",
            PLAIN,
            Outcome::Pass,
            Some(Policy::Reject),
            Disposition::None,
        ),
        (
            "192.0.2.1",
            "ann@mx.example.net",
            PLAIN,
            Outcome::Pass,
            Some(Policy::Reject),
            Disposition::None,
        ),
        (
            "192.0.2.2",
            "",
            &sub,
            Outcome::Fail,
            Some(Policy::Quarantine),
            Disposition::Quarantine,
        ),
        (
            "192.0.2.2",
            "",
            &missing,
            Outcome::Fail,
            Some(Policy::Reject),
            Disposition::Reject,
        ),
        (
            "192.0.2.2",
            "ann@example.com",
            &nobody,
            Outcome::None,
            None,
            Disposition::None,
        ),
    ];
    for (peer, from, message, outcome, policy, disposition) in rows {
        let verdict = verify(&verifier, peer, from, message).await;
        let context = format!("{peer} {from} {message}");
        assert_eq!(verdict.dmarc.finding.outcome, outcome, "{context}");
        assert_eq!(verdict.dmarc.policy, policy, "{context}");
        assert_eq!(verdict.disposition, disposition, "{context}");
    }
}

/// Two From fields, or one with two addresses, are no way round a policy (RFC 7489 §6.6.1).
#[tokio::test]
async fn the_strictest_of_several_authors_counts() {
    let verifier = verifier(zone()).await;
    for from in [
        "From: x@example.com\r\nFrom: ann@example.net\r\n",
        "From: x@example.com, ann@example.net\r\n",
    ] {
        let verdict = verify(&verifier, "192.0.2.2", "", &format!("{from}\r\nbody\r\n")).await;
        assert_eq!(verdict.disposition, Disposition::Reject, "{from}");
        assert_eq!(verdict.dmarc.domain, "example.net");
    }
    let many = |others: usize| {
        let mut from = "From: ".to_owned();
        (0..others).for_each(|at| from.push_str(&format!("x@a{at}.example.com, ")));
        format!("{from}ann@example.net\r\n\r\nbody\r\n")
    };
    let verdict = verify(&verifier, "192.0.2.2", "", &many(FROM_DOMAINS_MAX - 1)).await;
    assert_eq!(verdict.disposition, Disposition::Reject);
    let verdict = verify(&verifier, "192.0.2.2", "", &many(FROM_DOMAINS_MAX)).await;
    assert_eq!(verdict.disposition, Disposition::None);
    for message in [
        "Subject: nobody\r\n\r\n",
        "body\r\n",
        "\r\n",
        "",
        "From: \r\n\r\n",
    ] {
        let verdict = verify(&verifier, "192.0.2.2", "", message).await;
        assert_eq!(
            verdict.dmarc.finding.outcome,
            Outcome::PermError,
            "{message:?}"
        );
    }
}

/// What makes the header too large to be looked at does not hide who the author claims to be.
#[tokio::test]
async fn a_header_past_its_limits_is_no_way_round_a_policy() {
    let verifier = verifier(zone()).await;
    let message = format!("X: y\r\n{}{SIGNED}", "X: y\r\n".repeat(2000));
    let verdict = verify(&verifier, "192.0.2.2", "", &message).await;
    assert_eq!(dkim(&verdict), ["permerror"]);
    assert_eq!(verdict.disposition, Disposition::Reject);
}

#[tokio::test]
async fn signatures_that_are_not_believed() {
    let verifier = verifier(zone()).await;
    let h = |names: usize| format!("h=from : to : subject{};", " : x".repeat(names - 3));
    let rows = [
        ("v=1; a=", "v=2; a=", "neutral"),
        ("v=1; a=", "a=", "permerror"),
        ("a=ed25519-sha256", "a=rsa-sha1", "policy"),
        ("a=ed25519-sha256", "a=rot13", "neutral"),
        ("a=ed25519-sha256", "a=rsa-sha256", "fail"),
        ("h=from : to", "h=to", "permerror"),
        ("s=s1", "s=s2", "permerror"),
        ("q=dns/txt;", "q=dns/txt; l=3;", "policy"),
        ("t=1795862813;", "t=1; x=2;", "fail"),
        ("b=E8", "b=\u{e4}", "neutral"),
        ("h=from : to : subject;", &h(SIGNED_FIELDS_MAX), "fail"),
        (
            "h=from : to : subject;",
            &h(SIGNED_FIELDS_MAX + 1),
            "policy",
        ),
    ];
    for (old, new, expected) in rows {
        assert!(SIGNED.contains(old), "{old}");
        let verdict = verify(&verifier, "192.0.2.2", "", &SIGNED.replacen(old, new, 1)).await;
        assert_eq!(dkim(&verdict), [expected], "{new}: {:?}", verdict.dkim);
        assert_eq!(verdict.disposition, Disposition::Reject, "{new}");
    }
}

#[tokio::test]
async fn so_many_signatures_are_verified() {
    let verifier = verifier(zone()).await;
    let (signature, message) = SIGNED.split_at(SIGNED.find("From:").unwrap());
    let wrong = signature.replace("b=E8", "b=F8");
    let text = |wrongs: usize| format!("{}{signature}{message}", wrong.repeat(wrongs));
    let verdict = verify(&verifier, "192.0.2.2", "", &text(SIGNATURES_MAX - 1)).await;
    assert_eq!(dkim(&verdict).len(), SIGNATURES_MAX);
    assert_eq!(verdict.dmarc.finding.outcome, Outcome::Pass);
    let verdict = verify(&verifier, "192.0.2.2", "", &text(SIGNATURES_MAX)).await;
    assert_eq!(dkim(&verdict), ["fail"; SIGNATURES_MAX]);
    assert_eq!(verdict.dmarc.finding.outcome, Outcome::Fail);
}

#[tokio::test]
async fn a_name_server_that_fails_is_no_answer() {
    let mut broken = zone();
    broken
        .failing("example.net")
        .failing("s1._domainkey.example.net");
    let verifier = verifier(broken).await;
    let verdict = verify(&verifier, "192.0.2.2", "ann@example.net", SIGNED).await;
    assert_eq!(spf(&verdict), ["temperror", "fail"]);
    assert_eq!(dkim(&verdict), ["temperror"]);
    assert_eq!(verdict.dmarc.finding.outcome, Outcome::TempError);
    assert_eq!(verdict.disposition, Disposition::None);
}

#[tokio::test]
async fn a_name_server_that_is_silent_costs_no_more_than_the_time() {
    let timeout = Duration::from_secs(2);
    let mut dead = zone();
    for name in [
        "example.net",
        "s1._domainkey.example.net",
        "_dmarc.example.net",
        "1.2.0.192.in-addr.arpa",
    ] {
        dead.silent(name, None);
    }
    let verifier = verifier_within(dead, timeout).await;
    let begin = Instant::now();
    let verdict = verify(&verifier, "192.0.2.1", "ann@example.net", SIGNED).await;
    assert!(
        begin.elapsed() < timeout + Duration::from_millis(500),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(spf(&verdict), ["temperror", "pass"]);
    assert_eq!(dkim(&verdict), ["temperror"]);
    assert_eq!(verdict.iprev.finding.outcome, Outcome::TempError);
    assert_eq!(verdict.dmarc.finding.outcome, Outcome::TempError);
    assert_eq!(verdict.disposition, Disposition::None);
}

/// The slow name servers of somebody else's signature keep nobody's policy from being seen.
#[tokio::test]
async fn slow_name_servers_of_others_are_no_way_round_a_policy() {
    let mut slow = zone();
    slow.silent("s1._domainkey.slow.example", None)
        .silent("slow.example", None);
    let verifier = verifier_within(slow, Duration::from_secs(2)).await;
    let message = SIGNED
        .replace("d=example.net", "d=slow.example")
        .replace("i=@example.net; ", "");
    let verdict = verify(&verifier, "192.0.2.2", "x@slow.example", &message).await;
    assert_eq!(dkim(&verdict), ["temperror"]);
    assert_eq!(verdict.disposition, Disposition::Reject);
    // And a good signature beside it still counts.
    let (signature, _) = message.split_at(message.find("From:").unwrap());
    let both = format!("{signature}{SIGNED}");
    let verdict = verify(&verifier, "192.0.2.2", "x@slow.example", &both).await;
    assert_eq!(dkim(&verdict), ["temperror", "pass"]);
    assert_eq!(verdict.dmarc.finding.outcome, Outcome::Pass);
}

#[tokio::test]
async fn without_name_servers_everything_is_a_temporary_error() {
    let verifier = Verifier::without_dns();
    let verdict = verify(&verifier, "192.0.2.1", "ann@example.net", SIGNED).await;
    assert_eq!(spf(&verdict), ["temperror", "temperror"]);
    assert_eq!(dkim(&verdict), ["temperror"]);
    assert_eq!(verdict.dmarc.finding.outcome, Outcome::TempError);
    assert_eq!(verdict.dmarc.domain, "example.net");
    assert_eq!(verdict.disposition, Disposition::None);
}

#[tokio::test]
async fn answers_are_remembered() {
    let server = zone().serve().await;
    let settings = Settings {
        nameservers: Nameservers::At(vec![server.address]),
        timeout: Duration::from_secs(8),
    };
    let verifier = Verifier::new(&settings).unwrap();
    verify(&verifier, "192.0.2.1", "ann@example.net", SIGNED).await;
    let asked = server.questions.load(std::sync::atomic::Ordering::Relaxed);
    assert!(asked > 0);
    verify(&verifier, "192.0.2.1", "ann@example.net", SIGNED).await;
    let again = server.questions.load(std::sync::atomic::Ordering::Relaxed);
    // What does not exist is not remembered without the SOA record that this name server does not send.
    assert!(
        again - asked <= 2,
        "{asked} questions, then {} more",
        again - asked
    );
}

/// Header sections of few different pieces, so that signatures and chains come broken in all ways.
#[tokio::test]
async fn no_message_is_too_strange() {
    let verifier = Verifier::without_dns();
    let pieces = [
        "DKIM-Signature: ",
        "ARC-Seal: ",
        "ARC-Message-Signature: ",
        "ARC-Authentication-Results: ",
        "From: ",
        "v=1; ",
        "a=rsa-sha256; ",
        "b=; ",
        "bh=AA==; ",
        "i=1; ",
        "cv=none; ",
        "h=from; ",
        "d=a.b; ",
        "s=s; ",
        "l=9999; ",
        "\r\n",
        "\r\n ",
        ":",
        ";",
        "=",
        "a@b.c",
        "<",
        "\"",
        "(",
        "\u{e4}",
        "\r\n\r\n",
        " ",
        "mx.a; ",
    ];
    let seed = 0x5eed_u64;
    let mut state = seed;
    let mut below = |end: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % end as u64) as usize
    };
    for _ in 0..5_000 {
        let message: String = (0..below(60))
            .map(|_| pieces[below(pieces.len())])
            .collect();
        let verdict = verify(&verifier, "192.0.2.1", "a@b.c", &message).await;
        let field = verdict.field("mail.example.org");
        assert!(field.lines().all(|line| line.len() < 998), "{field}");
    }
}
