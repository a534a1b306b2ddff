//! The records of a domain as a zone file, and what only others than a name server can tell.

use expect_test::expect;
use jmap_core::{
    auth::Secret,
    directory::dkim::{
        DkimKey,
        records::{DkimAlgorithm, DkimKeyRecord, DkimState},
    },
};
use mail_auth_adapter::{Dns, Verifier, dns::Tlsa};

use super::{
    check::{Checker, PolicyHost, Status, is_same_key},
    *,
};

fn key(algorithm: DkimAlgorithm, selector: &str, public_key: Vec<u8>) -> DkimKey {
    DkimKey {
        domain: "example.org".into(),
        selector: selector.into(),
        record: DkimKeyRecord {
            algorithm,
            private_key: Secret::new(b"secret".to_vec()),
            public_key,
            created: 0,
            state: DkimState::Active,
            since: 0,
        },
    }
}

fn facts(hostname: &str) -> Facts {
    let mut config = Config::without_file();
    config.pop3.listen = Some(Vec::new());
    config.hostname = crate::config::values::Hostname(hostname.into());
    Facts {
        hostname: hostname.into(),
        tlsa: Some(Tlsa {
            usage: 3,
            selector: 1,
            matching: 1,
            data: vec![0xab; 32],
        }),
        offers: offers(&config),
        policy: policy(&config),
        clients: site(&config),
    }
}

fn zone(hostname: &str) -> String {
    let keys = [
        key(DkimAlgorithm::Ed25519, "ed25519-1", vec![1; 32]),
        key(DkimAlgorithm::Rsa, "rsa-1", vec![2; 294]),
    ];
    let rows: Vec<(String, String, String, bool)> =
        records::all(&facts(hostname), "example.org", &keys)
            .into_iter()
            .map(|record| {
                let (kind, data) = (record.kind().name().to_owned(), record.data_text());
                (record.name, kind, data, record.is_in_domain)
            })
            .collect();
    records::zone(hostname, "example.org", &rows)
}

#[test]
fn a_zone_file() {
    expect![[r#"
        ; example.org: records for its zone
        example.org. 3600 IN MX 10 mail.example.org.
        example.org. 3600 IN TXT "v=spf1 mx ~all"
        ed25519-1._domainkey.example.org. 3600 IN TXT "v=DKIM1; k=ed25519; p=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
        rsa-1._domainkey.example.org. 3600 IN TXT "v=DKIM1; k=rsa; p=AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICA" "gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC"
        _dmarc.example.org. 3600 IN TXT "v=DMARC1; p=quarantine; rua=mailto:postmaster@example.org"
        _smtp._tls.example.org. 3600 IN TXT "v=TLSRPTv1; rua=mailto:postmaster@example.org"
        _mta-sts.example.org. 3600 IN TXT "v=STSv1; id=ab969b002b42c7c9"
        mta-sts.example.org. 3600 IN CNAME mail.example.org.
        _jmap._tcp.example.org. 3600 IN SRV 0 1 443 mail.example.org.
        _submissions._tcp.example.org. 3600 IN SRV 0 1 465 mail.example.org.
        _submission._tcp.example.org. 3600 IN SRV 10 1 587 mail.example.org.
        _imaps._tcp.example.org. 3600 IN SRV 0 1 993 mail.example.org.
        _imap._tcp.example.org. 3600 IN SRV 10 1 143 mail.example.org.
        _pop3s._tcp.example.org. 3600 IN SRV 0 1 995 mail.example.org.
        _pop3._tcp.example.org. 3600 IN SRV 0 0 0 .
        _sieve._tcp.example.org. 3600 IN SRV 0 1 4190 mail.example.org.
        _autodiscover._tcp.example.org. 3600 IN SRV 0 1 443 mail.example.org.
        _ua-auto-config.example.org. 3600 IN TXT "v=UAAC1; a=sha256; d=eJnhpmiFlINVFFUHmwPyl3a0DmW6EOsoN0ROKqB4ras="
        autoconfig.example.org. 3600 IN CNAME mail.example.org.
        autodiscover.example.org. 3600 IN CNAME mail.example.org.
        ua-auto-config.example.org. 3600 IN CNAME mail.example.org.
        mail.example.org. 3600 IN TXT "v=spf1 a -all"
        _25._tcp.mail.example.org. 3600 IN TLSA 3 1 1 ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB
        ; mail.example.org needs A and AAAA records with the addresses of this server, and those addresses PTR records with mail.example.org."#]].assert_eq(&zone("mail.example.org"));
}

/// Records of another zone are no lines of this one.
#[test]
fn a_server_with_a_name_elsewhere() {
    let zone = zone("mx.example.net");
    let lines: Vec<&str> = zone.lines().filter(|line| !line.starts_with(';')).collect();
    assert!(
        lines
            .iter()
            .all(|line| line.contains("example.org. 3600 IN ")),
        "{zone}"
    );
    assert!(
        zone.contains("; _25._tcp.mx.example.net. 3600 IN TLSA 3 1 1 ABAB"),
        "{zone}"
    );
    assert!(
        zone.contains("example.org. 3600 IN MX 10 mx.example.net.\n"),
        "{zone}"
    );
}

#[test]
fn keys_are_compared_by_what_they_are() {
    let wanted = "v=DKIM1; k=rsa; p=MIIB";
    for (text, same) in [
        ("v=DKIM1; k=rsa; p=MIIB", true),
        ("p=MI IB", true),
        ("v=DKIM1;p=MIIB;t=s", true),
        ("v=DKIM1; k=ed25519; p=MIIB", false),
        ("v=DKIM1; k=rsa; p=", false),
        ("v=DKIM1; k=rsa", false),
        ("v=DKIM2; p=MIIB", false),
        ("", false),
    ] {
        assert_eq!(is_same_key(text.as_bytes(), wanted), same, "{text}");
    }
}

struct Served(Result<&'static str, &'static str>);

#[async_trait]
impl PolicyHost for Served {
    async fn policy(&self, domain: &str) -> Result<String, String> {
        assert_eq!(domain, "example.org");
        self.0.map(str::to_owned).map_err(str::to_owned)
    }
}

/// Without a name server, nothing is missing: it isn't known.
#[tokio::test]
async fn policies_and_silent_name_servers() {
    let facts = facts("mail.example.org");
    let rows = [
        (
            Ok("version: STSv1\nmode: testing\nmx: mail.example.org\nmax_age: 604800\n"),
            Status::Ok,
        ),
        (
            Ok("version: STSv1\nmode: none\nmax_age: 604800\n"),
            Status::Different,
        ),
        (Err("the certificate is not for the name"), Status::Missing),
    ];
    for (served, status) in rows {
        let (dns, verifier) = (Dns::without(), Verifier::without_dns());
        let checker = Checker {
            dns: &dns,
            verifier: &verifier,
            policy: &Served(served),
            facts: &facts,
            domain: "example.org",
        };
        let records = records::all(&facts, "example.org", &[]);
        let findings = checker.check(&records).await;
        let policy = findings
            .iter()
            .find(|finding| finding.what == "MTA-STS")
            .unwrap();
        assert_eq!(policy.status, status, "{}", policy.sentence);
        let others = findings.iter().filter(|finding| finding.what != "MTA-STS");
        for finding in others {
            assert_eq!(finding.status, Status::Unknown, "{finding:?}");
        }
    }
}
