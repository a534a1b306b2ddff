//! What `posthorn domain check` says of a signed zone that has what `posthorn domain records` prints, and of the same zone with one
//! thing wrong. The server's own policy is fetched from port 443.
//!
//! Holds: names of loopback addresses are never asked for (RFC 6761), so the server has an address that others could have; it is one of
//! a network of its own, in which the test runs once more.

use std::{collections::HashMap, fs, process::Command};

use e2e::{Home, Server, jmap::string};
use serde_json::Value;

use crate::{
    names::{self, NameServer, Proofs, WRONG_DS},
    peer::Certificates,
    policies::PolicyServer,
    site,
};

const ZONE: &str = "example.org.";
const HOST: &str = "mail.example.org";
/// The server's address, and another one (RFC 5737).
const ADDRESS: &str = "192.0.2.25";
const ELSEWHERE: &str = "192.0.2.26";
/// Says to the test that it runs in the network.
const IN_NETWORK: &str = "POSTHORN_IN_NETWORK";

/// Name, type, data.
type Record = (String, String, String);

/// What is found of one thing.
#[derive(Debug)]
struct Finding {
    what: String,
    name: String,
    status: String,
    sentence: String,
}

/// The records that are printed with this configuration.
fn printed(home: &Home) -> Vec<Record> {
    home.write_config();
    let config = home.config_file();
    let config = config.to_str().expect("a path");
    let args = [
        "--config",
        config,
        "--json",
        "domain",
        "records",
        "example.org",
    ];
    let rows: Value = serde_json::from_str(&home.cli(&args, "")).expect("JSON");
    let rows = rows["records"].as_array().expect("records").iter();
    rows.map(|row| {
        (
            string(&row["name"]),
            string(&row["type"]),
            string(&row["data"]),
        )
    })
    .collect()
}

fn lines(records: &[Record]) -> String {
    let lines = records
        .iter()
        .map(|(name, kind, data)| format!("{name}. {kind} {data}\n"));
    lines.collect()
}

/// All findings, and the exit code.
fn check(server: &Server) -> (Vec<Finding>, i32) {
    let args = ["--json", "domain", "check", "example.org"];
    let output = server.home.try_cli(&args, "");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text} {output:?}"));
    let rows = rows.as_array().expect("an array").iter();
    let finding = |row: &Value| Finding {
        what: string(&row["what"]),
        name: string(&row["name"]),
        status: string(&row["status"]),
        sentence: string(&row["sentence"]),
    };
    (
        rows.map(finding).collect(),
        output.status.code().expect("a code"),
    )
}

/// What isn't as it should be.
fn bad(findings: &[Finding]) -> Vec<&Finding> {
    let rows = findings.iter();
    rows.filter(|found| found.status != "ok").collect()
}

struct Site {
    server: Server,
    names: NameServer,
    records: Vec<Record>,
    certificates: Certificates,
}

/// Runs a test of this file in a network of its own. `false`: it runs there now.
fn runs_elsewhere(test: &str) -> bool {
    if std::env::var_os(IN_NETWORK).is_some() {
        return false;
    }
    let setup = format!(
        "ip link set lo up && ip address add {ADDRESS}/32 dev lo && ip address add {ELSEWHERE}/32 dev lo && exec \"$0\" \"$@\""
    );
    let output = Command::new("unshare")
        .args(["--net", "sh", "-c", &setup])
        .arg(std::env::current_exe().expect("a program"))
        .args(["--exact", test, "--nocapture"])
        .env(IN_NETWORK, "yes")
        .output()
        .expect("unshare can't be run");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
    true
}

fn start() -> Site {
    let certificates = Certificates::new();
    let home = Home::with_people();
    let hosts = [HOST, "mta-sts.example.org"];
    let (certificate, key, _) = certificates.pem(&hosts);
    let file = |name: &str, text: &str| {
        let file = home.path().join(name);
        fs::write(&file, text).expect("not written");
        file.display().to_string()
    };
    let certificate = file("cert.pem", &certificate);
    let key = file("key.pem", &key);
    let listen = format!("listen = [\"127.0.0.1:{}\", \"{ADDRESS}:443\"]", home.https);
    let home = site::trust(home, &certificates.authority_pem())
        .set("https", &listen)
        .set(
            "tls",
            &format!("certificate = \"{certificate}\"\nkey = \"{key}\""),
        )
        .set("mta-sts", "mode = \"enforce\"");
    let mut records = printed(&home);
    records.push((HOST.to_owned(), "A".to_owned(), ADDRESS.to_owned()));
    let root = format!("25.2.0.192.in-addr.arpa. PTR {HOST}.\n");
    let signed = lines(&records);
    let names = names::start_with(&root, Some((ZONE, Proofs::Nsec3, &signed)), &[]);
    let server = Server::start_in(site::lead(home, &names, 25));
    Site {
        server,
        names,
        records,
        certificates,
    }
}

impl Site {
    fn publish(&self, records: &[Record]) {
        self.names.change(ZONE, &lines(records));
    }

    /// With other data for one record.
    fn with(&self, name: &str, kind: &str, data: &str) -> Vec<Record> {
        let mut records = self.records.clone();
        let mut rows = records.iter_mut();
        let row = rows.find(|row| row.0 == name && row.1 == kind);
        row.expect("the record").2 = data.to_owned();
        records
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_zone_with_what_is_printed_is_good_and_each_thing_that_is_wrong_is_told() {
    const NAME: &str = "published::a_signed_zone_with_what_is_printed_is_good_and_each_thing_that_is_wrong_is_told";
    if !e2e::home::is_root_for("a server at port 443") || runs_elsewhere(NAME) {
        return;
    }
    let site = start();
    let (findings, code) = check(&site.server);
    assert!(bad(&findings).is_empty() && code == 0, "{findings:#?}");
    for (what, sentence) in [
        ("DNSSEC", "the zone is signed"),
        ("MTA-STS", "the policy is served, with a good certificate"),
    ] {
        let found = findings.iter().find(|found| found.what == what);
        assert_eq!(found.expect("a finding").sentence, sentence);
    }
    each_that_is_missing(&site);
    each_that_is_another(&site).await;
}

fn each_that_is_missing(site: &Site) {
    for (at, (name, kind, data)) in site.records.iter().enumerate() {
        let mut fewer = site.records.clone();
        fewer.remove(at);
        site.publish(&fewer);
        let (findings, _) = check(&site.server);
        let what = if kind == "A" { "A/AAAA" } else { kind };
        let found = findings
            .iter()
            .find(|found| found.what == what && found.name == *name);
        let found = found.unwrap_or_else(|| panic!("{kind} {name}: {findings:#?}"));
        assert_eq!(found.status, "missing", "{kind} {name}: {found:?}");
        let wanted = match kind.as_str() {
            "A" => "publish an A or AAAA record with this server's address".to_owned(),
            _ => format!("publish: {name}. IN {kind} {data}"),
        };
        assert!(found.sentence.ends_with(&wanted), "{found:?}");
    }
}

async fn each_that_is_another(site: &Site) {
    // Another policy host, with another policy and then without a good certificate.
    let policy = "version: STSv1\r\nmode: testing\r\nmx: mail.example.org\r\nmax_age: 86400\r\n";
    let host = "mta-sts.example.org";
    let policies = HashMap::from([(host.to_owned(), policy.to_owned())]);
    let tls = site.certificates.server(&[host]).0;
    let other = PolicyServer::start_on(&format!("{ELSEWHERE}:443"), tls, policies.clone()).await;
    let moved = |to: &str| -> Vec<Record> {
        let rows = site.records.iter().cloned();
        rows.map(|row| match row.0 == host {
            true => (row.0, "A".to_owned(), to.to_owned()),
            false => row,
        })
        .collect()
    };
    site.publish(&moved(ELSEWHERE));
    let told = |part: &str| {
        let (findings, code) = check(&site.server);
        let bad = bad(&findings);
        assert!(
            bad.iter().any(|found| found.sentence.contains(part)),
            "{part}: {bad:#?}"
        );
        code
    };
    assert_eq!(told("has another policy than this server"), 1);
    assert_eq!(told("which is not this server"), 1);
    drop(other);
    let tls = site.certificates.server(&["another.test"]).0;
    let other = PolicyServer::start_on(&format!("{ELSEWHERE}:443"), tls, policies).await;
    assert_eq!(told("with a certificate for mta-sts.example.org"), 1);
    drop(other);

    let tlsa = format!("3 1 1 {}", "00".repeat(32));
    let rows = [
        (
            "_25._tcp.mail.example.org",
            "TLSA",
            tlsa.as_str(),
            "send no mail here",
            1,
        ),
        (
            "example.org",
            "MX",
            "10 mail.example.net.",
            "mail goes to others (mail.example.net.)",
            1,
        ),
        (
            "example.org",
            "TXT",
            "\"v=spf1 -all\"",
            "in front of its \"all\"",
            1,
        ),
        (
            "_dmarc.example.org",
            "TXT",
            "\"v=DMARC1\"",
            "it has no policy",
            1,
        ),
        (
            HOST,
            "A",
            "192.0.2.99",
            "PTR record with mail.example.org",
            1,
        ),
    ];
    for (name, kind, data, part, code) in rows {
        site.publish(&site.with(name, kind, data));
        assert_eq!(told(part), code, "{kind} {name}");
    }
    // A key of another.
    let key = site.records.iter().find(|row| row.0.starts_with("rsa-"));
    let name = &key.expect("a key").0;
    site.publish(&site.with(name, "TXT", "\"v=DKIM1; k=rsa; p=\""));
    let (findings, code) = check(&site.server);
    let found = findings.iter().find(|found| found.name == *name);
    assert_eq!(
        (found.expect("a finding").status.as_str(), code),
        ("different", 1)
    );
    // All is well again.
    site.publish(&site.records);
    let (findings, code) = check(&site.server);
    assert!(bad(&findings).is_empty() && code == 0, "{findings:#?}");
}

#[test]
fn a_zone_that_its_parent_vouches_for_with_another_key_is_forged() {
    let home = Home::with_people();
    let mut records = printed(&home);
    records.push((HOST.to_owned(), "A".to_owned(), ADDRESS.to_owned()));
    let root = format!("{ZONE} NS ns.\n{ZONE} {WRONG_DS}\n");
    let names = names::start(&root, &[(ZONE, &lines(&records))]);
    let server = Server::start_in(site::lead(home, &names, 25));
    let (findings, code) = check(&server);
    assert_eq!(code, 1);
    for what in ["MX", "DNSSEC", "TXT"] {
        let found = findings.iter().find(|found| found.what == what);
        let found = found.expect("a finding");
        assert_eq!(found.status, "different", "{found:?}");
        assert!(
            found.sentence.starts_with("by DNSSEC the answer is forged"),
            "{found:?}"
        );
    }
}
