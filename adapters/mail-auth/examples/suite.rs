//! Runs a suite of test vectors through the verifier: as JSON from the standard input, `tests/scripts/auth_suites.py` makes
//! it from the public suites for SPF (RFC 7208) and ARC. Prints each vector that fails, and a count.

#[path = "../tests/verify/dns.rs"]
#[allow(dead_code)]
mod dns;

use std::io::Read as _;
use std::time::Duration;

use bytes::Bytes;
use mail_auth_adapter::{Envelope, Identity, Nameservers, Settings, Verifier};
use serde_json::Value;

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
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
                let strings: Vec<&[u8]> = strings.iter().map(Vec::as_slice).collect();
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
            _ => {}
        }
        // Questions of one type that are never answered, about a name that has other records.
        match kind {
            "TIMEOUT_TXT" => drop(zone.silent(name, Some(dns::TXT))),
            "TIMEOUT_A" => drop(zone.silent(name, Some(dns::A))),
            "TIMEOUT_AAAA" => drop(zone.silent(name, Some(dns::AAAA))),
            "TIMEOUT_MX" => drop(zone.silent(name, Some(dns::MX))),
            "TIMEOUT_PTR" => drop(zone.silent(name, Some(dns::PTR))),
            _ => {}
        }
    }
    zone
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| c as u32 as u8).collect()
}

#[tokio::main]
async fn main() {
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input).unwrap();
    let suite: Value = serde_json::from_str(&input).unwrap();
    let (mut passed, mut failed) = (0, 0);
    for scenario in suite.as_array().into_iter().flatten() {
        let server = zone(&scenario["zone"]).serve().await;
        let settings = Settings {
            nameservers: Nameservers::At(vec![server.address]),
            timeout: Duration::from_secs(3),
        };
        let verifier = Verifier::new(&settings).unwrap();
        for case in scenario["cases"].as_array().into_iter().flatten() {
            let message = Bytes::from(latin1(text(&case["message"])));
            let mail_from = Some(text(&case["mail_from"])).filter(|from| !from.is_empty());
            let envelope = Envelope {
                peer: text(&case["peer"]).parse().unwrap(),
                helo: text(&case["helo"]),
                mail_from,
            };
            let verdict = verifier.verify(&envelope, &message).await;
            let found = match text(&case["method"]) {
                "arc" => verdict
                    .arc
                    .as_ref()
                    .map_or("none", |arc| arc.finding.outcome.name()),
                _ => {
                    let identity = match mail_from {
                        Some(_) => Identity::MailFrom,
                        None => Identity::Helo,
                    };
                    let mut all = verdict.spf.iter();
                    let spf = all.find(|spf| spf.identity == identity);
                    spf.map_or("none", |spf| spf.finding.outcome.name())
                }
            };
            let wanted = case["expected"].as_array().cloned().unwrap_or_default();
            if wanted.iter().any(|outcome| text(outcome) == found) {
                passed += 1;
            } else {
                failed += 1;
                println!(
                    "{}: {found}, not {}",
                    text(&case["name"]),
                    Value::Array(wanted)
                );
            }
        }
    }
    println!("{passed} passed, {failed} failed");
}
