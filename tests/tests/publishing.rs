//! What a domain publishes: the records that the server prints, at a real name server (Knot DNS), and what the server says when
//! one of them is not there, or another; the pages that the server has for other servers and for mail programs.

use std::{collections::BTreeMap, process::Command};

use e2e::{Home, Server, home::free_port, knot::Knot};
use serde_json::Value as Json;

const DOMAIN: &str = "example.org";
const HOST: &str = "mail.example.org";

/// What is found of one thing: status, whether it is needed, and the sentence.
type Findings = BTreeMap<(String, String), (String, bool, String)>;

struct Published {
    server: Server,
    knot: Option<Knot>,
}

/// A record to publish: name, type, data.
type Record = (String, String, String);

fn start(mode: &str) -> Published {
    let port = free_port();
    let home = Home::with_people()
        .set(
            "authentication",
            &format!("resolvers = [\"127.0.0.1:{port}\"]"),
        )
        .set("dns", "dnssec = false")
        .set("mta-sts", &format!("mode = \"{mode}\""));
    let server = Server::start_in(home);
    let knot = Knot::start(server.home.path(), port, &[("test", &soa("test"))]);
    Published {
        server,
        knot: Some(knot),
    }
}

fn soa(zone: &str) -> String {
    format!(
        "{zone}. 60 IN SOA ns.{zone}. hostmaster.{zone}. 1 3600 600 86400 60\n{zone}. 60 IN NS ns.{zone}.\nns.{zone}. 60 IN A 127.0.0.1\n"
    )
}

/// Nobody has it (RFC 5737), and nobody is sent anything there.
const ADDRESS: &str = "192.0.2.25";

/// What an operator has to know besides.
fn addresses() -> Vec<Record> {
    let record =
        |name: &str, kind: &str, data: &str| (name.to_owned(), kind.to_owned(), data.to_owned());
    vec![
        record(HOST, "A", ADDRESS),
        record("25.2.0.192.in-addr.arpa", "PTR", "mail.example.org."),
        record("other.example.org", "A", "192.0.2.99"),
    ]
}

impl Published {
    fn records(&self) -> Vec<Record> {
        let text = self
            .server
            .home
            .cli(&["--json", "domain", "records", DOMAIN], "");
        let rows: Json = serde_json::from_str(&text).expect("JSON");
        let text = |row: &Json, name: &str| row[name].as_str().expect("a string").to_owned();
        let records = rows["records"].as_array().expect("records").iter();
        records
            .map(|row| (text(row, "name"), text(row, "type"), text(row, "data")))
            .collect()
    }

    /// Publishes records, and these alone.
    fn publish(&mut self, records: &[Record]) {
        let (mut zone, mut reverse) = (soa(DOMAIN), soa("2.0.192.in-addr.arpa"));
        for (name, kind, data) in records {
            let line = format!("{name}. 60 IN {kind} {data}\n");
            match kind == "PTR" {
                true => reverse.push_str(&line),
                false => zone.push_str(&line),
            }
        }
        let zones = [(DOMAIN, &*zone), ("2.0.192.in-addr.arpa", &*reverse)];
        let knot = self.knot.take().expect("a name server");
        self.knot = Some(knot.restart(&zones));
    }

    /// What the server says, and the exit code.
    fn check(&self) -> (Findings, i32) {
        let output = self
            .server
            .home
            .try_cli(&["--json", "domain", "check", DOMAIN], "");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let rows: Json =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text} {output:?}"));
        let text = |row: &Json, name: &str| row[name].as_str().expect("a string").to_owned();
        let finding = |row: &Json| {
            let is_needed = row["isNeeded"].as_bool().expect("a boolean");
            (
                (text(row, "what"), text(row, "name")),
                (text(row, "status"), is_needed, text(row, "sentence")),
            )
        };
        let findings = rows
            .as_array()
            .expect("an array")
            .iter()
            .map(finding)
            .collect();
        (findings, output.status.code().expect("a code"))
    }
}

/// What is not as it should be.
fn bad(findings: &Findings) -> Vec<String> {
    let rows = findings.iter().filter(|(_, (status, ..))| status != "ok");
    rows.map(|((what, name), (status, is_needed, _))| {
        format!(
            "{what} {name} {status}{}",
            if *is_needed { "!" } else { "" }
        )
    })
    .collect()
}

fn kind_of_check(kind: &str) -> &str {
    match kind {
        "A" => "A/AAAA",
        kind => kind,
    }
}

/// Not in this zone, and not asked for.
const UNSIGNED: &str = "DNSSEC example.org missing";

#[test]
fn what_is_printed_is_what_is_checked() {
    let mut published = start("none");
    let zone = published
        .server
        .home
        .cli(&["domain", "records", DOMAIN], "");
    let file = published.server.home.path().join("zone");
    std::fs::write(
        &file,
        format!(
            "{}mail.example.org. 60 IN A 192.0.2.25\n{zone}",
            soa(DOMAIN)
        ),
    )
    .unwrap();
    let checked = Command::new("named-checkzone")
        .arg(DOMAIN)
        .arg(&file)
        .output();
    let checked =
        checked.expect("named-checkzone can't be run; it is in the Debian package bind9-utils");
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success(), "{said}\n{zone}");

    let records = [published.records(), addresses()].concat();
    published.publish(&records);
    let (findings, code) = published.check();
    assert_eq!(
        (bad(&findings), code),
        (vec![UNSIGNED.to_owned()], 0),
        "{findings:?}"
    );
    assert_eq!(findings[&("SPF".into(), ADDRESS.into())].0, "ok");
    // As people see it.
    let text = published.server.home.cli(&["domain", "check", DOMAIN], "");
    assert!(
        text.ends_with("everything that is needed is there\n"),
        "{text}"
    );
    assert!(
        text.contains("  ok        MX      example.org: it is there\n"),
        "{text}"
    );
    each_record_is_missed(&mut published, &records);
    each_change_is_noticed(&mut published, &records);
}

fn each_record_is_missed(published: &mut Published, records: &[Record]) {
    for (at, (name, kind, data)) in records.iter().enumerate() {
        if name.starts_with("other.") {
            continue;
        }
        let mut fewer = records.to_vec();
        fewer.remove(at);
        published.publish(&fewer);
        let (findings, code) = published.check();
        let what = kind_of_check(kind).to_owned();
        let name = if kind == "PTR" { ADDRESS } else { name };
        let found = &findings[&(what, name.to_owned())];
        assert_eq!(found.0, "missing", "{kind} {name}: {found:?}");
        let is_needed = matches!(&**kind, "MX" | "A" | "PTR")
            || name.contains("._domainkey.")
            || name.starts_with("_dmarc.")
            || (kind == "TXT" && name == DOMAIN);
        assert_eq!(
            (found.1, code),
            (is_needed, i32::from(is_needed)),
            "{kind} {name}"
        );
        // The sentence has what to publish.
        match &**kind {
            "A" => assert!(
                found.2.contains("publish an A or AAAA record"),
                "{}",
                found.2
            ),
            "PTR" => assert!(
                found.2.contains("PTR record with mail.example.org"),
                "{}",
                found.2
            ),
            _ => assert!(
                found
                    .2
                    .ends_with(&format!("publish: {name}. IN {kind} {data}")),
                "{}",
                found.2
            ),
        }
        let others: Vec<String> = bad(&findings);
        // What depends on it is wrong as well.
        let depends = |row: &&String| {
            !row.starts_with(&format!("{} {name}", kind_of_check(kind))) && **row != UNSIGNED
        };
        let others: Vec<&String> = others.iter().filter(depends).collect();
        match (&**kind, name) {
            ("MX", _) => assert_eq!(
                others,
                ["DNSSEC example.org unknown", "SPF 192.0.2.25 different!"]
            ),
            ("TXT", DOMAIN) => assert_eq!(others, ["SPF 192.0.2.25 missing!"]),
            ("A", _) => assert!(
                others
                    .iter()
                    .all(|row| row.starts_with("CNAME auto") || row.starts_with("CNAME ua-auto")),
                "{others:?}"
            ),
            _ => assert_eq!(others, Vec::<&String>::new(), "{kind} {name}"),
        }
    }
}

fn each_change_is_noticed(published: &mut Published, records: &[Record]) {
    let key = records
        .iter()
        .find(|row| row.0.starts_with("ed25519-"))
        .expect("a key");
    let other_key = "\"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"";
    let tlsa = "3 1 1 0000000000000000000000000000000000000000000000000000000000000000";
    // Type, name, other data, what is wrong, a part of the sentence.
    let rows = [
        (
            "MX",
            DOMAIN,
            "5 other.example.org.",
            "MX example.org different!",
            "mail goes to others (other.example.org.)",
        ),
        (
            "TXT",
            DOMAIN,
            "\"v=spf1 ip4:198.51.100.1 -all\"",
            "SPF 192.0.2.25 different!",
            "add \"mx\", or \"ip4:192.0.2.25\"",
        ),
        (
            "TXT",
            &key.0,
            other_key,
            "different!",
            "the key that is published is another",
        ),
        (
            "TXT",
            "_dmarc.example.org",
            "\"v=DMARC1; rua=mailto:a@b.c\"",
            "different!",
            "it has no policy",
        ),
        (
            "TXT",
            "_smtp._tls.example.org",
            "\"v=TLSRPTv1\"",
            "different",
            "nowhere to send reports",
        ),
        (
            "TLSA",
            "_25._tcp.mail.example.org",
            tlsa,
            "different!",
            "send no mail here",
        ),
        (
            "SRV",
            "_imaps._tcp.example.org",
            "0 1 993 other.example.org.",
            "different",
            "are led elsewhere",
        ),
        (
            "CNAME",
            "autoconfig.example.org",
            "other.example.org.",
            "different",
            "leads to 192.0.2.99",
        ),
        (
            "PTR",
            "25.2.0.192.in-addr.arpa",
            "host.provider.test.",
            "PTR 192.0.2.25 different!",
            "has the name host.provider.test",
        ),
    ];
    for (kind, name, data, wrong, part) in rows {
        let mut changed = records.to_vec();
        let row = changed
            .iter_mut()
            .find(|row| row.0 == *name && row.1 == kind)
            .expect("the record");
        row.2 = data.to_owned();
        published.publish(&changed);
        let (findings, code) = published.check();
        let wrongs = bad(&findings);
        assert!(
            wrongs.iter().any(|row| row.ends_with(wrong)),
            "{kind} {name}: {wrongs:?}"
        );
        assert_eq!(code, i32::from(wrong.ends_with('!')), "{wrongs:?}");
        assert!(
            findings.values().any(|found| found.2.contains(part)),
            "{findings:?}"
        );
    }
    // Two SPF records are none (RFC 7208 §4.5); a policy of DMARC that stops nothing is a word of advice.
    let twice = [
        records,
        &[(DOMAIN.into(), "TXT".into(), "\"v=spf1 -all\"".into())],
    ]
    .concat();
    published.publish(&twice);
    let (findings, code) = published.check();
    assert_eq!(
        (&*findings[&("TXT".into(), DOMAIN.into())].0, code),
        ("different", 1)
    );
    let mut watched = records.to_vec();
    let row = watched
        .iter_mut()
        .find(|row| row.0 == "_dmarc.example.org")
        .expect("the record");
    row.2 = "\"v=DMARC1; p=none\"".to_owned();
    // And a key that is written in another way is the same key.
    let row = watched
        .iter_mut()
        .find(|row| row.0 == key.0)
        .expect("the key");
    row.2 = row.2.replace("v=DKIM1; k=ed25519; p=", "k=ed25519;p= ");
    published.publish(&watched);
    let (findings, code) = published.check();
    assert_eq!((bad(&findings), code), (vec![UNSIGNED.to_owned()], 0));
    assert!(
        findings[&("TXT".into(), "_dmarc.example.org".into())]
            .2
            .contains("only counted")
    );
}

#[test]
fn keys_are_replaced_by_the_operator() {
    let mut published = start("none");
    let cli = |args: &[&str]| published.server.home.cli(args, "");
    let keys = cli(&["domain", "keys", DOMAIN]);
    assert_eq!(keys.matches(" active ").count(), 2, "{keys}");
    let waiting = cli(&["domain", "rotate-keys", DOMAIN]);
    assert_eq!(waiting.matches(" waiting ").count(), 2, "{waiting}");
    let json = cli(&["--json", "domain", "keys", DOMAIN]);
    let rows: Json = serde_json::from_str(&json).expect("JSON");
    let rows = rows.as_array().expect("an array").clone();
    assert_eq!(rows.len(), 4);
    for row in &rows {
        let names: Vec<&String> = row.as_object().expect("an object").keys().collect();
        assert_eq!(
            names,
            [
                "algorithm",
                "created",
                "name",
                "record",
                "selector",
                "since",
                "state"
            ]
        );
    }
    // The next keys are among the records; that they are missing is not wrong yet.
    let records = published.records();
    assert_eq!(
        records
            .iter()
            .filter(|row| row.0.contains("._domainkey."))
            .count(),
        4
    );
    let is_waiting = |row: &Record| {
        rows.iter()
            .any(|key| key["state"] == "waiting" && key["name"] == *row.0)
    };
    let old: Vec<Record> = records
        .iter()
        .filter(|row| !is_waiting(row))
        .cloned()
        .collect();
    published.publish(&[old, addresses()].concat());
    let (findings, code) = published.check();
    let missing = bad(&findings);
    assert_eq!((missing.len(), code), (3, 0), "{missing:?}");
    let active = published
        .server
        .home
        .cli(&["domain", "rotate-keys", DOMAIN, "--activate"], "");
    assert_eq!(active.matches(" active ").count(), 2, "{active}");
    let (_, code) = published.check();
    assert_eq!(code, 1);
    published.publish(&[published.records(), addresses()].concat());
    assert_eq!(published.check().1, 0);
    published.server.home.check();
    // Nothing of a private key is in the log.
    let log = published.server.log();
    assert!(
        !log.contains("private_key") && !log.contains("MIIEv"),
        "{log}"
    );
}

/// The status and the body.
fn curl(port: u16, tls: bool, host: &str, path: &str, more: &[&str]) -> (String, String) {
    let scheme = if tls { "https" } else { "http" };
    let output = Command::new("curl")
        .args([
            "-sk",
            "-w",
            "\n%{http_code}",
            "--resolve",
            &format!("{host}:{port}:127.0.0.1"),
        ])
        .args(more)
        .arg(format!("{scheme}://{host}:{port}{path}"))
        .output()
        .expect("curl can't be run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').expect("a status");
    (status.to_owned(), body.to_owned())
}

#[test]
fn pages_are_served() {
    let mut published = start("enforce");
    let (http, https) = (published.server.home.http, published.server.home.https);
    let policy = "/.well-known/mta-sts.txt";
    let (status, text) = curl(https, true, "mta-sts.example.org", policy, &[]);
    assert_eq!(
        (&*status, &*text),
        (
            "200",
            "version: STSv1\r\nmode: enforce\r\nmx: mail.example.org\r\nmax_age: 604800\r\n"
        )
    );
    assert_eq!(
        curl(https, true, "mta-sts.example.com", policy, &[]).0,
        "404"
    );
    // RFC 8461 §3.3: over TLS alone.
    assert_eq!(
        curl(http, false, "mta-sts.example.org", policy, &[]).0,
        "404"
    );
    let (status, text) = curl(
        http,
        false,
        "autoconfig.example.org",
        "/mail/config-v1.1.xml?emailaddress=alice%40example.org",
        &[],
    );
    assert_eq!(status, "200");
    let imaps = format!(
        "<hostname>{HOST}</hostname>\n      <port>{}</port>\n      <socketType>SSL</socketType>",
        published.server.home.imaps
    );
    assert!(text.contains(&imaps), "{text}");
    // It doesn't listen.
    assert_eq!(text.matches("type=\"smtp\"").count(), 1);
    let request = "<Autodiscover><Request><EMailAddress>alice@example.org</EMailAddress></Request></Autodiscover>";
    let (status, text) = curl(
        https,
        true,
        "autodiscover.example.org",
        "/autodiscover/autodiscover.xml",
        &["-d", request],
    );
    assert_eq!(status, "200");
    assert!(
        text.contains("<LoginName>alice@example.org</LoginName>"),
        "{text}"
    );
    let large = format!("{request}{}", " ".repeat(16 << 10));
    assert_eq!(
        curl(
            https,
            true,
            "autodiscover.example.org",
            "/autodiscover/autodiscover.xml",
            &["-d", &large]
        )
        .0,
        "413"
    );
    assert_eq!(curl(http, false, "example.org", "/nothing", &[]).0, "404");
    // Whoever announces a policy that others can't get is told.
    let here = (HOST.to_owned(), "A".to_owned(), "127.0.0.1".to_owned());
    published.publish(&[published.records(), vec![here]].concat());
    let (findings, code) = published.check();
    let found = &findings[&("MTA-STS".into(), DOMAIN.into())];
    assert_eq!((&*found.0, found.1, code), ("missing", true, 1));
    assert!(
        found
            .2
            .contains("https://mta-sts.example.org/.well-known/mta-sts.txt"),
        "{}",
        found.2
    );
    assert_eq!(
        findings[&("CNAME".into(), "mta-sts.example.org".into())].0,
        "ok"
    );
    assert_eq!(
        findings[&("TXT".into(), "_mta-sts.example.org".into())].0,
        "ok"
    );
}
