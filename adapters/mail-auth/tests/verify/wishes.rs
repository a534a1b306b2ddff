//! Who wants reports, by the DNS.

use std::time::Duration;

use mail_auth_adapter::report::{Destination, NoAnswer};

use super::dns::Zone;
use super::{verifier, verifier_within};

fn mail(address: &str, max: u64) -> Destination {
    Destination::Mail(address.to_owned(), max)
}

#[tokio::test]
async fn who_wants_dmarc_reports() {
    let mut zone = Zone::default();
    zone.txt(
        "_dmarc.example.net",
        "v=DMARC1; p=quarantine; adkim=s; rua=mailto:a@example.net!10k,mailto:b@sub.example.net,mailto:c@far.example,mailto:d@other.example",
    )
    // RFC 7489 §7.1: one of those outside has agreed.
    .txt("example.net._report._dmarc.far.example", "v=DMARC1;")
    .txt("_dmarc.silent.example", "v=DMARC1; p=none")
    .txt("_dmarc.text.example", "hello");
    let verifier = verifier(zone).await;
    for domain in ["example.net", "a.b.example.net"] {
        let wish = verifier.dmarc_wish(domain).await.unwrap().unwrap();
        assert_eq!(wish.domain, "example.net");
        assert_eq!(
            (wish.policy, wish.subdomain_policy),
            ("quarantine", "quarantine")
        );
        assert_eq!((wish.is_dkim_strict, wish.is_spf_strict), (true, false));
        let wanted = [
            mail("a@example.net", 10 << 10),
            mail("b@sub.example.net", 0),
            mail("c@far.example", 0),
        ];
        assert_eq!(wish.destinations, wanted, "{domain}");
    }
    let silent = verifier
        .dmarc_wish("silent.example")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(silent.destinations, []);
    assert_eq!(verifier.dmarc_wish("text.example").await, Ok(None));
    assert_eq!(verifier.dmarc_wish("nowhere.example").await, Ok(None));
}

/// RFC 9989 §4.10: the domain's own record, else its organisation's, else that of the public suffix.
#[tokio::test]
async fn whose_record_counts() {
    let mut zone = Zone::default();
    let record = "v=DMARC1; p=reject";
    zone.txt("_dmarc.example.net", record)
        .txt("_dmarc.b.example.net", "v=DMARC1; p=none")
        .txt("_dmarc.own.example.org", "v=DMARC1; p=none; psd=n")
        .txt("_dmarc.example.org", record)
        .txt("_dmarc.bank", "v=DMARC1; p=reject; psd=y")
        .txt("_dmarc.our.bank", record)
        .txt("_dmarc.deep.our.bank", record);
    let verifier = verifier(zone).await;
    for (domain, at) in [
        ("b.example.net", "b.example.net"),
        // What is between a domain and its organisation doesn't count.
        ("a.b.example.net", "example.net"),
        ("1.2.3.4.5.6.7.8.9.b.example.net", "example.net"),
        ("a.own.example.org", "own.example.org"),
        ("a.our.bank", "our.bank"),
        ("a.deep.our.bank", "our.bank"),
        ("other.bank", "bank"),
    ] {
        let wish = verifier.dmarc_wish(domain).await.unwrap();
        assert_eq!(wish.unwrap().domain, at, "{domain}");
    }
    assert_eq!(verifier.dmarc_wish("nowhere").await, Ok(None));
}

#[tokio::test]
async fn who_wants_tls_reports() {
    let mut zone = Zone::default();
    zone.txt(
        "_smtp._tls.example.net",
        "v=TLSRPTv1; rua=mailto:t@example.net,https://example.net/v1/tlsrpt,http://example.net/plain",
    );
    let verifier = verifier(zone).await;
    let wanted = [
        mail("t@example.net", 0),
        Destination::Https("https://example.net/v1/tlsrpt".to_owned()),
    ];
    assert_eq!(verifier.tls_wish("example.net").await.unwrap(), wanted);
    assert_eq!(verifier.tls_wish("nowhere.example").await, Ok(Vec::new()));
}

#[tokio::test]
async fn nobody_answers() {
    let mut zone = Zone::default();
    zone.silent("_dmarc.example.net", None)
        .silent("_smtp._tls.example.net", None);
    let verifier = verifier_within(zone, Duration::from_millis(600)).await;
    assert_eq!(verifier.dmarc_wish("example.net").await, Err(NoAnswer));
    assert_eq!(verifier.tls_wish("example.net").await, Err(NoAnswer));
}
