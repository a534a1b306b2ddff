//! Rows for what has no peer: replies, envelopes, content, policies, the order of hosts.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jmap_core::inproc::outbound::Fate;
use jmap_core::mail::submission::records::{EnvelopeAddress, Parameter};
use jmap_core::rng::SeededRng;
use mail_auth_adapter::Dns;
use mail_auth_adapter::dns::{
    Answer, Lookup, LookupError, Mx, NotFound, RecordData, RecordKind, Tlsa,
};
use net::reader::Reader;

use super::content::{Facts, Stuffer, to_seven_bit, with_crlf};
use super::dane::is_usable;
use super::envelope::{self, About, NO_SMTPUTF8};
use super::extensions::Extensions;
use super::hosts::{Exchangers, Finder, literal, may_connect};
use super::reply::{self, Broken, REPLY_LINE_OCTETS_MAX, REPLY_LINES_MAX, Reply};
use super::settings::{Family, Protocol, Route, RouteTls, Settings};
use super::sts::{Mode, PATTERNS_MAX, Sts, StsPolicy, record_id};
use super::tls::Need;

mod dialogue;

async fn read(octets: &[u8]) -> Result<Reply, Broken> {
    let mut reader = Reader::new(octets);
    reply::read(&mut reader, std::time::Duration::from_secs(5)).await
}

#[tokio::test]
async fn replies_are_read_with_bounds() {
    let rows: [(&[u8], Result<&str, Broken>); 8] = [
        (b"250 2.1.0 Ok\r\n", Ok("250 2.1.0 Ok")),
        (b"250\r\n", Ok("250")),
        (
            b"550-5.7.1 Not\r\n550-5.7.1 from you\r\n550 5.7.1 today\r\n",
            Ok("550 5.7.1 Not from you today"),
        ),
        (b"250 a\x07b\x1b[1m\r\n", Ok("250 a b [1m")),
        (b"250-a\r\n550 b\r\n", Err(Broken::Malformed)),
        (b"HTTP/1.1 200 OK\r\n", Err(Broken::Malformed)),
        (b"250 no end", Err(Broken::Closed)),
        (b"", Err(Broken::Closed)),
    ];
    for (octets, want) in rows {
        let got = read(octets).await.map(|reply| reply.text());
        assert_eq!(
            got,
            want.map(str::to_owned),
            "{}",
            String::from_utf8_lossy(octets)
        );
    }
    // At each limit, and one past it.
    let lines = |count: usize| format!("{}250 x\r\n", "250-x\r\n".repeat(count - 1));
    assert!(read(lines(REPLY_LINES_MAX).as_bytes()).await.is_ok());
    assert_eq!(
        read(lines(REPLY_LINES_MAX + 1).as_bytes()).await,
        Err(Broken::TooLong)
    );
    let line = |octets: usize| format!("250 {}\r\n", "x".repeat(octets - 6));
    assert!(read(line(REPLY_LINE_OCTETS_MAX).as_bytes()).await.is_ok());
    assert_eq!(
        read(line(REPLY_LINE_OCTETS_MAX + 1).as_bytes()).await,
        Err(Broken::TooLong)
    );
}

fn address(email: &str, parameters: &[(&str, &str)]) -> EnvelopeAddress {
    let parameter = |(name, value): &(&str, &str)| Parameter {
        name: (*name).to_owned(),
        value: Some((*value).to_owned()),
    };
    EnvelopeAddress {
        email: email.to_owned(),
        parameters: Some(parameters.iter().map(parameter).collect()),
    }
}

fn extensions(lines: &[&str]) -> Extensions {
    let lines = std::iter::once(&"mx.example").chain(lines);
    Extensions::read(&Reply {
        code: 250,
        lines: lines.map(|line| (*line).to_owned()).collect(),
    })
}

#[test]
fn parameters_go_to_peers_that_know_them() {
    let from = address(
        "ann@example.org",
        &[
            ("RET", "HDRS"),
            ("ENVID", "a+b=c"),
            ("MT-PRIORITY", "4"),
            ("BY", "120;N"),
            ("HOLDFOR", "60"),
        ],
    );
    let about = About {
        size: 10,
        body: Some("8BITMIME"),
        smtputf8: false,
        requiretls: false,
    };
    let mail = |lines: &[&str]| envelope::mail(&from, &about, &extensions(lines)).unwrap();
    assert_eq!(mail(&[]), "MAIL FROM:<ann@example.org> BODY=8BITMIME\r\n");
    assert_eq!(
        mail(&["size 100", "DSN", "MT-PRIORITY", "DELIVERBY 60"]),
        "MAIL FROM:<ann@example.org> SIZE=10 BODY=8BITMIME RET=HDRS ENVID=a+2Bb+3Dc MT-PRIORITY=4 BY=120;N\r\n"
    );
    let to = address(
        "bob@b.example",
        &[
            ("NOTIFY", "SUCCESS,FAILURE"),
            ("ORCPT", "rfc822;b+b@b.example"),
        ],
    );
    let rcpt = |lines: &[&str]| envelope::rcpt(&to, false, &extensions(lines)).unwrap();
    assert_eq!(rcpt(&[]), "RCPT TO:<bob@b.example>\r\n");
    assert_eq!(
        rcpt(&["DSN"]),
        "RCPT TO:<bob@b.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b+2Bb@b.example\r\n"
    );
    let null = EnvelopeAddress::plain("");
    assert!(
        envelope::mail(&null, &about, &extensions(&[]))
            .unwrap()
            .starts_with("MAIL FROM:<> ")
    );
    // RFC 2852 §4.1.4: nothing is relayed that has to be back by a time nobody keeps.
    let returns = address("a@b.example", &[("BY", "120;R")]);
    assert!(envelope::mail(&returns, &about, &extensions(&[])).is_err());
    assert!(envelope::mail(&returns, &about, &extensions(&["DELIVERBY 121"])).is_err());
    assert!(envelope::mail(&returns, &about, &extensions(&["DELIVERBY 120"])).is_ok());
}

#[test]
fn addresses_end_no_command() {
    let rows: [(&str, bool, Result<&str, &str>); 11] = [
        ("bob@b.example", false, Ok("bob@b.example")),
        ("bob@bücher.example", false, Ok("bob@xn--bcher-kva.example")),
        ("bob@bücher.example", true, Ok("bob@bücher.example")),
        ("bøb@b.example", false, Err(NO_SMTPUTF8.0)),
        ("bøb@b.example", true, Ok("bøb@b.example")),
        ("\"b ob\"@b.example", false, Ok("\"b ob\"@b.example")),
        ("bob@[192.0.2.1]", false, Ok("bob@[192.0.2.1]")),
        ("b\r\nRSET@b.example", false, Err("553 5.1.3")),
        ("b>@b.example", false, Err("553 5.1.3")),
        ("bob@b.example> SIZE=1", true, Err("553 5.1.3")),
        ("bob", false, Err("553 5.1.3")),
    ];
    for (email, smtputf8, want) in rows {
        let got = envelope::rcpt(
            &EnvelopeAddress::plain(email),
            smtputf8,
            &Extensions::default(),
        );
        match want {
            Ok(path) => assert_eq!(got.unwrap(), format!("RCPT TO:<{path}>\r\n")),
            Err(begin) => assert!(got.unwrap_err().0.starts_with(begin), "{email}"),
        }
    }
    let utf8 = address("b@b.example", &[("ORCPT", "utf-8;bøb+1@b.example")]);
    let dsn = extensions(&["DSN"]);
    let line = |smtputf8| envelope::rcpt(&utf8, smtputf8, &dsn).unwrap();
    assert!(
        line(false).ends_with("ORCPT=utf-8;b\\x{F8}b\\x{2B}1@b.example\r\n"),
        "{}",
        line(false)
    );
    assert!(
        line(true).ends_with("ORCPT=utf-8;bøb\\x{2B}1@b.example\r\n"),
        "{}",
        line(true)
    );
}

#[test]
fn extensions_are_those_that_make_sense() {
    let got = extensions(&[
        "SIZE 1000",
        "auth PLAIN login",
        "LIMITS RCPTMAX=20 MAILMAX=0 RCPTDOMAINMAX=1",
        "STARTTLS",
        "X-OTHER a b",
    ]);
    assert_eq!(got.size, Some(1000));
    assert_eq!((got.rcpt_max, got.mail_max), (Some(20), None));
    assert!(
        got.starttls && got.has_auth("LOGIN") && !got.has_auth("SCRAM-SHA-256") && !got.chunking
    );
    assert_eq!(got.domain, "mx.example");
}

#[test]
fn what_is_in_a_message() {
    let of = |message: &str| Facts::of(message.as_bytes());
    let plain = of("Subject: a\r\n\r\nbody\r\n");
    assert_eq!(plain, Facts::default());
    assert!(of("Subject: ü\r\n\r\nbody\r\n").eight_bit_header);
    assert!(of("Subject: u\r\n\r\nbüdy\r\n").eight_bit_body);
    assert!(of("Subject: u\r\n\r\na\nb\r\n").bare && of("Subject: u\r\n\r\na\rb\r\n").bare);
    assert!(of("Subject: u\r\nTLS-Required: no\r\n\r\n").tls_optional);
    assert!(!of("Subject: u\r\n\r\nTLS-Required: no\r\n").tls_optional);
    let line = |octets: usize| of(&format!("a: b\r\n\r\n{}\r\n", "x".repeat(octets))).long;
    assert!(!line(998) && line(999));
    assert_eq!(
        &with_crlf(&Bytes::from_static(b"a\nb\r\nc\rd\r\r\n"))[..],
        b"a\r\nb\r\nc\r\nd\r\n\r\n"
    );
}

#[test]
fn parts_are_converted_one_by_one() {
    let rows = [
        (
            "Subject: a\r\n\r\nGr\u{fc}n. =\r\n",
            Some(
                "Subject: a\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n\
                 Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BCn. =3D\r\n",
            ),
        ),
        (
            "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
             --b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\u{fc} \r\n\
             --b\r\nContent-Type: image/x\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\u{fc}\r\n\
             --b\r\nContent-Type: text/html\r\n\r\nplain\r\n--b--\r\n",
            Some(
                "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
                 --b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=BC=20\r\n\
                 --b\r\nContent-Type: image/x\r\nContent-Transfer-Encoding: base64\r\n\r\nw7w=\r\n\
                 --b\r\nContent-Type: text/html\r\n\r\nplain\r\n--b--\r\n",
            ),
        ),
        (
            "MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
             MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n\u{fc}\r\n",
            Some(
                "MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
                 MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=BC\r\n",
            ),
        ),
        // A header has no encoding of its own, and neither has what is between parts.
        ("Subject: \u{fc}\r\n\r\nbody\r\n", None),
        (
            "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\u{fc}\r\n--b\r\n\r\na\r\n--b--\r\n",
            None,
        ),
        (
            "MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n\u{fc}\r\n",
            None,
        ),
    ];
    for (message, want) in rows {
        let got = to_seven_bit(&Bytes::from(message));
        let got = got.map(|octets| String::from_utf8(octets.to_vec()).unwrap());
        assert_eq!(got.as_deref(), want, "{message}");
    }
    // Lines get short, and say the same.
    let long = format!(
        "MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n{}\r\n",
        "word ".repeat(400)
    );
    let got = to_seven_bit(&Bytes::from(long)).unwrap();
    let body = String::from_utf8(got.to_vec()).unwrap();
    assert!(body.lines().all(|line| line.len() <= 76), "{body}");
    let (_, body) = body.split_once("\r\n\r\n").unwrap();
    assert_eq!(
        body.replace("=\r\n", "").replace("=20", " "),
        format!("{}\r\n", "word ".repeat(400))
    );
}

#[test]
fn dots_are_doubled_across_pieces() {
    let message = b".a\r\n..\r\nb.\r\n.\r\nc\n.d\r\n";
    let want = b"..a\r\n...\r\nb.\r\n..\r\nc\n.d\r\n";
    for size in 1..message.len() {
        let (mut stuffer, mut out) = (Stuffer::default(), Vec::new());
        message
            .chunks(size)
            .for_each(|piece| stuffer.feed(piece, &mut out));
        assert_eq!(out, want, "{size}");
        assert_eq!(stuffer.end(), b".\r\n");
    }
    let mut stuffer = Stuffer::default();
    stuffer.feed(b"no end", &mut Vec::new());
    assert_eq!(stuffer.end(), b"\r\n.\r\n");
}

#[test]
fn policies_are_read() {
    let text = "version: STSv1\r\nmode: enforce\r\nmx: MX1.example\r\nmx: *.b.example\nmax_age: 604800\r\nother: x\r\n";
    let policy = StsPolicy::parse(text).unwrap();
    assert_eq!(policy.mode, Mode::Enforce);
    assert_eq!(policy.max_age_seconds, 604_800);
    let rows = [
        ("mx1.example", true),
        ("MX1.example.", true),
        ("a.b.example", true),
        ("b.example", false),
        ("a.a.b.example", false),
        ("mx2.example", false),
    ];
    for (host, want) in rows {
        assert_eq!(policy.allows(host), want, "{host}");
    }
    let wrong = [
        "mode: enforce\nmx: a\nmax_age: 1\n",
        "version: STSv2\nmode: enforce\nmx: a\nmax_age: 1\n",
        "version: STSv1\nmode: enforce\nmax_age: 1\n",
        "version: STSv1\nmode: enforced\nmx: a\nmax_age: 1\n",
        "version: STSv1\nmode: enforce\nmx: a\n",
        "version: STSv1\nmode: enforce\nmx: a\nmax_age: -1\n",
        "<html>",
    ];
    for text in wrong {
        assert_eq!(StsPolicy::parse(text), None, "{text}");
    }
    assert!(StsPolicy::parse("version: STSv1\nmode: none\nmax_age: 1\n").is_some());
    let many = |count| {
        format!(
            "version: STSv1\nmode: enforce\nmax_age: 1\n{}",
            "mx: a\n".repeat(count)
        )
    };
    assert!(StsPolicy::parse(&many(PATTERNS_MAX)).is_some());
    assert!(StsPolicy::parse(&many(PATTERNS_MAX + 1)).is_none());
}

#[test]
fn a_record_has_one_id() {
    let of = |texts: &[&str]| {
        let texts: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        record_id(&texts)
    };
    assert_eq!(
        of(&["v=STSv1; id=20160831085700Z;"]).as_deref(),
        Some("20160831085700Z")
    );
    assert_eq!(of(&["other", "v=STSv1;id=1"]).as_deref(), Some("1"));
    let none: [&[&str]; 5] = [
        &[],
        &["v=STSv1; id=1", "v=STSv1; id=2"],
        &["v=STSv1"],
        &["v=STSv10; id=1"],
        &["v=STSv1; id=a-b"],
    ];
    for texts in none {
        assert_eq!(of(texts), None, "{texts:?}");
    }
}

#[test]
fn routes_go_by_the_closest_name() {
    let route = |domain: &str, host: &str| Route {
        domains: vec![domain.to_owned()],
        host: host.to_owned(),
        port: 25,
        protocol: Protocol::Smtp,
        tls: RouteTls::None,
        login: None,
        is_unusable: false,
    };
    let mut settings = Settings::new("a");
    settings.routes = vec![
        route("*", "all"),
        route("*.b.example", "below"),
        route("b.example", "own"),
    ];
    let rows = [
        ("b.example", "own"),
        ("a.b.example", "below"),
        ("x.a.b.example", "below"),
        ("c.example", "all"),
        ("[192.0.2.1]", "all"),
    ];
    for (domain, host) in rows {
        assert_eq!(settings.route(domain).unwrap().host, host, "{domain}");
    }
    settings.routes.remove(0);
    assert!(settings.route("c.example").is_none());
}

#[test]
fn where_nobodys_dns_leads() {
    let rows = [
        ("8.8.8.8", true),
        ("127.0.0.1", false),
        ("10.1.2.3", false),
        ("169.254.169.254", false),
        ("::1", false),
        ("::ffff:127.0.0.1", false),
        ("2a00:1450::1", true),
        ("fd00::1", false),
        ("0.0.0.0", false),
    ];
    for (address, want) in rows {
        assert_eq!(
            may_connect(address.parse().unwrap(), false),
            want,
            "{address}"
        );
    }
    assert!(may_connect("127.0.0.1".parse().unwrap(), true));
    assert!(!may_connect("0.0.0.0".parse().unwrap(), true));
    assert_eq!(
        literal("[192.0.2.1]"),
        Some(Ok("192.0.2.1".parse().unwrap()))
    );
    assert_eq!(
        literal("[IPv6:2001:db8::1]"),
        Some(Ok("2001:db8::1".parse().unwrap()))
    );
    assert!(literal("[x400:a]").unwrap().is_err());
    assert_eq!(literal("b.example"), None);
}

/// Records by name and kind.
#[derive(Debug, Default)]
struct Records(HashMap<(String, RecordKind), Result<Answer<RecordData>, LookupError>>);

impl Records {
    fn add(
        &mut self,
        name: &str,
        kind: RecordKind,
        secure: bool,
        records: Vec<RecordData>,
    ) -> &mut Records {
        let answer = Answer {
            records,
            name: name.to_owned(),
            secure,
            alias_secure: secure,
        };
        self.0.insert((name.to_owned(), kind), Ok(answer));
        self
    }

    fn fail(&mut self, name: &str, kind: RecordKind, error: LookupError) -> &mut Records {
        self.0.insert((name.to_owned(), kind), Err(error));
        self
    }

    fn mx(&mut self, name: &str, secure: bool, hosts: &[(u16, &str)]) -> &mut Records {
        let records = hosts.iter().map(|(preference, host)| {
            RecordData::Mx(Mx {
                preference: *preference,
                exchange: (*host).to_owned(),
            })
        });
        self.add(name, RecordKind::Mx, secure, records.collect())
    }

    fn a(&mut self, name: &str, secure: bool, address: &str) -> &mut Records {
        self.add(
            name,
            RecordKind::A,
            secure,
            vec![RecordData::Address(address.parse().unwrap())],
        )
    }

    fn tlsa(&mut self, name: &str, secure: bool, usage: u8) -> &mut Records {
        let tlsa = Tlsa {
            usage,
            selector: 1,
            matching: 1,
            data: vec![7; 32],
        };
        self.add(name, RecordKind::Tlsa, secure, vec![RecordData::Tlsa(tlsa)])
    }
}

#[async_trait]
impl Lookup for Records {
    async fn look_up(
        &self,
        name: &str,
        kind: RecordKind,
    ) -> Result<Answer<RecordData>, LookupError> {
        let found = self.0.get(&(name.to_owned(), kind)).cloned();
        let exists = self.0.keys().any(|(other, _)| other == name);
        let none = if exists {
            NotFound::Records
        } else {
            NotFound::Name
        };
        found.unwrap_or(Err(LookupError::NotFound(none)))
    }
}

fn finder(records: Records) -> Finder {
    Finder {
        dns: Dns::with(Arc::new(records)),
        rng: Arc::new(SeededRng::new(7)),
        own_names: vec!["us.example".to_owned()],
        allow_private: false,
        families: vec![Family::Ipv6, Family::Ipv4],
        port: 25,
    }
}

#[tokio::test]
async fn hosts_come_by_preference() {
    let mut records = Records::default();
    records
        .mx(
            "a.example",
            false,
            &[(20, "two.example"), (10, "one.example")],
        )
        .mx(
            "loop.example",
            false,
            &[
                (10, "better.example"),
                (20, "us.example"),
                (20, "equal.example"),
                (30, "worse.example"),
            ],
        )
        .mx(
            "ours.example",
            false,
            &[(10, "us.example"), (20, "worse.example")],
        )
        .mx("null.example", false, &[(0, "")])
        .mx(
            "many.example",
            false,
            &[
                (5, "a"),
                (5, "b"),
                (5, "c"),
                (5, "d"),
                (5, "e"),
                (5, "f"),
                (5, "g"),
                (5, "h"),
                (5, "i"),
                (5, "j"),
                (5, "k"),
            ],
        )
        .a("implicit.example", false, "192.88.98.1")
        .fail("bogus.example", RecordKind::Mx, LookupError::Bogus)
        .fail(
            "silent.example",
            RecordKind::Mx,
            LookupError::Temporary("no answer".into()),
        );
    let finder = finder(records);
    let hosts = async |domain: &str| finder.exchangers(domain).await.map(|found| found.hosts);
    assert_eq!(
        hosts("a.example").await.unwrap(),
        ["one.example", "two.example"]
    );
    assert_eq!(hosts("loop.example").await.unwrap(), ["better.example"]);
    assert_eq!(
        hosts("implicit.example").await.unwrap(),
        ["implicit.example"]
    );
    assert_eq!(
        hosts("many.example").await.unwrap().len(),
        super::hosts::HOSTS_MAX
    );
    assert_ne!(
        hosts("many.example").await.unwrap(),
        hosts("many.example").await.unwrap()
    );
    let rows = [
        ("ours.example", Fate::Refused, "554 5.4.6"),
        ("null.example", Fate::Refused, "556 5.1.10"),
        ("none.example", Fate::Refused, "550 5.1.2"),
        ("bogus.example", Fate::Later, "451 4.7.5"),
        ("silent.example", Fate::Later, "451 4.4.3"),
    ];
    for (domain, fate, begin) in rows {
        let why = hosts(domain).await.unwrap_err();
        assert_eq!(why.fate, fate, "{domain}");
        assert!(why.reply.starts_with(begin), "{}", why.reply);
    }
}

#[tokio::test]
async fn what_a_session_needs() {
    let public = "192.88.98.1";
    let mut records = Records::default();
    for (host, secure) in [
        ("dane", true),
        ("pkix", true),
        ("insecure", false),
        ("bogus", true),
        ("none", true),
        ("private", true),
    ] {
        let host = format!("{host}.example");
        records.a(
            &host,
            secure,
            if host.starts_with("private") {
                "10.0.0.1"
            } else {
                public
            },
        );
    }
    records
        .tlsa("_25._tcp.dane.example", true, 3)
        .tlsa("_25._tcp.pkix.example", true, 1)
        .tlsa("_25._tcp.insecure.example", true, 3)
        .fail(
            "_25._tcp.bogus.example",
            RecordKind::Tlsa,
            LookupError::Bogus,
        );
    let finder = finder(records);
    let enforce = StsPolicy::parse(
        "version: STSv1\nmode: enforce\nmx: none.example\nmx: dane.example\nmax_age: 1\n",
    );
    let enforce = Sts {
        policy: enforce.map(Arc::new),
        failure: None,
    };
    let need = async |host: &str, secure: bool, sts: &Sts| {
        let exchangers = Exchangers {
            hosts: Vec::new(),
            secure,
            implicit: false,
            name: "d.example".into(),
        };
        let target = finder.target(host, &exchangers, "d.example", sts).await;
        target
            .map(|target| target.policy.need)
            .map_err(|why| why.reply)
    };
    let none = Sts::default();
    assert!(matches!(
        need("dane.example", true, &none).await,
        Ok(Need::Dane(_))
    ));
    // RFC 7672 §2.2.1: the records of a host that anybody may have named don't count.
    assert_eq!(
        need("dane.example", false, &none).await,
        Ok(Need::Opportunistic)
    );
    assert_eq!(
        need("insecure.example", true, &none).await,
        Ok(Need::Opportunistic)
    );
    assert_eq!(need("pkix.example", true, &none).await, Ok(Need::Encrypted));
    assert!(
        need("bogus.example", true, &none)
            .await
            .unwrap_err()
            .starts_with("451 4.7.5")
    );
    assert_eq!(
        need("none.example", true, &none).await,
        Ok(Need::Opportunistic)
    );
    assert!(
        need("private.example", true, &none)
            .await
            .unwrap_err()
            .starts_with("550 5.4.4")
    );
    // MTA-STS where there is no DANE.
    assert_eq!(need("none.example", true, &enforce).await, Ok(Need::Pkix));
    assert!(matches!(
        need("dane.example", true, &enforce).await,
        Ok(Need::Dane(_))
    ));
    assert!(
        need("insecure.example", true, &enforce)
            .await
            .unwrap_err()
            .starts_with("451 4.7.5")
    );
}

#[test]
fn records_that_can_be_used() {
    let of = |usage, selector, matching, octets| {
        is_usable(&Tlsa {
            usage,
            selector,
            matching,
            data: vec![0; octets],
        })
    };
    assert!(of(3, 1, 1, 32) && of(2, 0, 2, 64) && of(3, 0, 0, 500));
    assert!(!of(1, 1, 1, 32) && !of(0, 1, 1, 32) && !of(3, 2, 1, 32) && !of(3, 1, 3, 32));
    assert!(!of(3, 1, 1, 31) && !of(3, 1, 2, 32) && !of(3, 1, 0, 0));
}
