//! The public test suites of SPF (RFC 7208) and ARC (RFC 8617): every case, against a name server of the test's own.
//!
//! Holds: each case has a result that its suite allows, or is one of [`DEVIATIONS`], with a reason and as it says there.
//! `POSTHORN_SPF_SUITE` and `POSTHORN_ARC_SUITE` name the suites' folders; `cargo xtask test` fetches them.

#[path = "../verify/dns.rs"]
#[allow(dead_code)]
mod dns;
mod sign;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use mail_auth_adapter::{Envelope, Identity, Nameservers, Settings, Verdict, Verifier};
use serde_json::Value;

/// Cases whose result here isn't one that the suite allows: the case, our result, and why.
const DEVIATIONS: &[(&str, &str, &str)] = &[
    // Written before RFC 8301.
    (
        "ams_fields_a_sha1",
        "fail",
        "RFC 8301 §3.1: rsa-sha1 must not be used to verify",
    ),
    (
        "as_fields_a_sha1",
        "fail",
        "RFC 8301 §3.1: rsa-sha1 must not be used to verify",
    ),
    (
        "ams_fields_h_empty",
        "fail",
        "RFC 6376 §3.5: h= has a name at least; §6.1.1: From among them",
    ),
];

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// One suite as `tests/scripts/auth_suites.py` writes it. `None`: it wasn't fetched, which is said.
fn suite(kind: &str, variable: &str) -> Option<Vec<Value>> {
    let Some(folder) = std::env::var_os(variable) else {
        eprintln!(
            "the suite is left out: {variable} names no folder; `cargo xtask test` fetches it"
        );
        return None;
    };
    let python = std::env::var_os("POSTHORN_PYTHON")
        .expect("POSTHORN_PYTHON has to name a python with PyYAML; `cargo xtask test` makes one");
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scripts");
    let output = Command::new(python)
        .arg(scripts.join("auth_suites.py"))
        .arg(kind)
        .arg(folder)
        .output()
        .expect("python can't be run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

fn zone(records: &Value) -> dns::Zone {
    let mut zone = dns::Zone::default();
    for row in records.as_array().into_iter().flatten() {
        let (name, kind, data) = (text(&row[0]), text(&row[1]), &row[2]);
        match kind {
            "TXT" => {
                let strings: Vec<Vec<u8>> = match data.as_array() {
                    Some(all) => all.iter().map(|s| latin1(text(s))).collect(),
                    None => latin1(text(data)).chunks(255).map(<[u8]>::to_vec).collect(),
                };
                let mut strings: Vec<&[u8]> = strings.iter().map(Vec::as_slice).collect();
                // RFC 1035 §3.3.14: one at least.
                if strings.is_empty() {
                    strings.push(b"");
                }
                zone.txt_of(name, &strings);
            }
            "A" => drop(zone.a(name, text(data).parse().unwrap())),
            "AAAA" => drop(zone.aaaa(name, text(data).parse().unwrap())),
            "MX" => {
                let preference = data[0].as_u64().unwrap_or_default() as u16;
                zone.mx(name, preference, text(&data[1]));
            }
            "PTR" => drop(zone.name(name, dns::PTR, text(data))),
            "CNAME" => drop(zone.name(name, dns::CNAME, text(data))),
            // Questions of one type that are never answered, about a name that has other records.
            "TIMEOUT_TXT" => drop(zone.silent(name, Some(dns::TXT))),
            "TIMEOUT_A" => drop(zone.silent(name, Some(dns::A))),
            "TIMEOUT_AAAA" => drop(zone.silent(name, Some(dns::AAAA))),
            "TIMEOUT_MX" => drop(zone.silent(name, Some(dns::MX))),
            "TIMEOUT_PTR" => drop(zone.silent(name, Some(dns::PTR))),
            other => panic!("{name} {other}"),
        }
    }
    zone
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| c as u32 as u8).collect()
}

async fn verifier(zone: dns::Zone) -> Verifier {
    let server = zone.serve().await;
    let settings = Settings {
        nameservers: Nameservers::At(vec![server.address]),
        timeout: Duration::from_secs(6),
    };
    Verifier::new(&settings).unwrap()
}

async fn verify(verifier: &Verifier, case: &Value) -> Verdict {
    let message = Bytes::from(latin1(text(&case["message"])));
    let envelope = Envelope {
        peer: text(&case["peer"]).parse().unwrap(),
        helo: text(&case["helo"]),
        mail_from: Some(text(&case["mail_from"])).filter(|from| !from.is_empty()),
    };
    verifier.verify(&envelope, &message).await
}

fn arc(verdict: &Verdict) -> &'static str {
    let arc = verdict.arc.as_ref();
    arc.map_or("none", |arc| arc.finding.outcome.name())
}

fn spf(verdict: &Verdict, identity: Identity) -> &'static str {
    let mut all = verdict.spf.iter();
    let found = all.find(|spf| spf.identity == identity);
    found.map_or("none", |spf| spf.finding.outcome.name())
}

/// What was found for a case, and what its suite allows; by the case's name.
async fn results(scenario: &Value) -> Vec<(String, &'static str, Vec<String>)> {
    let verifier = verifier(zone(&scenario["zone"])).await;
    let mut results = Vec::new();
    for case in scenario["cases"].as_array().into_iter().flatten() {
        let verdict = verify(&verifier, case).await;
        let identity = match text(&case["mail_from"]) {
            "" => Identity::Helo,
            _ => Identity::MailFrom,
        };
        let found = match text(&case["method"]) {
            "arc" => arc(&verdict),
            _ => spf(&verdict, identity),
        };
        let allowed = case["expected"].as_array().into_iter().flatten();
        let allowed = allowed.map(|outcome| text(outcome).to_owned()).collect();
        results.push((text(&case["name"]).to_owned(), found, allowed));
    }
    results
}

/// Every case of a suite: `count` of them, all as the suite or [`DEVIATIONS`] says.
async fn run(kind: &str, variable: &str, count: usize) {
    let Some(scenarios) = suite(kind, variable) else {
        return;
    };
    let results = join_all(scenarios.iter().map(results)).await.concat();
    let mut wrong = Vec::new();
    for (name, found, allowed) in &results {
        let deviation = DEVIATIONS.iter().find(|(case, ..)| case == name);
        let is_allowed = allowed.iter().any(|outcome| outcome == found);
        match deviation {
            None if !is_allowed => wrong.push(format!("{name}: {found}, not {allowed:?}")),
            Some(_) if is_allowed => wrong.push(format!("{name}: no deviation any more: {found}")),
            Some((_, ours, why)) if ours != found => {
                wrong.push(format!("{name}: {found}, not {ours} ({why})"));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(results.len(), count);
}

#[tokio::test]
async fn spf_as_the_suite_of_rfc_7208() {
    run("spf", "POSTHORN_SPF_SUITE", 203).await;
}

#[tokio::test]
async fn arc_chains_as_the_suite_of_valimail() {
    run("arc", "POSTHORN_ARC_SUITE", 170).await;
}
