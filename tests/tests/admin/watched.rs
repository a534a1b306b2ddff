//! What is told of a server and of its domains: reports, numbers over time, records of the DNS; to whoever looks after a domain, its own.

use std::{
    io::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::{
    client::{Api, OTHER, problem, staffed},
    running::{deliver, wait},
};

/// A DMARC report on a domain, that so many messages failed.
fn report(domain: &str, failed: u32) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("a clock").as_secs();
    let (begin, end) = (now - 86_400, now);
    let xml = format!(
        "<?xml version=\"1.0\"?><feedback><version>1.0</version><report_metadata><org_name>Far</org_name><email>r@far.test</email>\
         <report_id>of {domain}</report_id><date_range><begin>{begin}</begin><end>{end}</end></date_range></report_metadata>\
         <policy_published><domain>{domain}</domain><p>none</p></policy_published>\
         <record><row><source_ip>192.0.2.66</source_ip><count>{failed}</count><policy_evaluated><disposition>reject</disposition>\
         <dkim>fail</dkim><spf>fail</spf></policy_evaluated></row><identifiers><header_from>{domain}</header_from></identifiers>\
         <auth_results><spf><domain>x.test</domain><result>fail</result></spf></auth_results></record></feedback>"
    );
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(xml.as_bytes()).expect("packed");
    let body = BASE64_STANDARD.encode(packed.finish().expect("packed"));
    let lines = body.as_bytes().chunks(76).map(String::from_utf8_lossy);
    let body = lines.collect::<Vec<_>>().join("\r\n");
    format!(
        "From: r@far.test\r\nSubject: Report Domain: {domain}\r\nMIME-Version: 1.0\r\n\
         Content-Type: application/gzip; name=\"far!{domain}!1!2.xml.gz\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{body}\r\n"
    )
}

#[test]
fn reports_are_told_in_sentences_and_numbers_to_whose_domain_it_is() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    let mut carol = Api::new(&server, "carol@example.org");
    let alice = root.id_of("alice@example.org");
    let address = format!("/accounts/{alice}/addresses/dmarc-reports@example.org");
    assert!(root.put(&address, None).status < 300);
    for (domain, failed) in [("example.org", 17), (OTHER, 5)] {
        let mail = report(domain, failed);
        let to = "dmarc-reports@example.org";
        let reply = server.lmtp().send("r@far.test", to, mail.as_bytes());
        assert!(reply.expect("no answer").is_ok());
    }
    wait("two reports", || {
        (root.shown("/reports")["total"] == json!(2)).then_some(())
    });
    let own = carol.shown("/reports");
    assert_eq!(own["total"], json!(1), "{own}");
    let report = &own["items"][0];
    assert_eq!(report["domain"], json!("example.org"));
    assert_eq!(
        (&report["passed"], &report["failed"]),
        (&json!(0), &json!(17))
    );
    let sentence = report["sentences"][0].as_str().expect("a sentence");
    assert_eq!(
        sentence,
        "Far got 17 messages in the name of example.org, of which 17 failed DMARC."
    );
    assert_eq!(report["sources"][0]["address"], json!("192.0.2.66"));
    for path in [
        "/reports?domain=example.net",
        "/reports/summary?domain=example.net",
    ] {
        assert_eq!(problem(&carol.get(path)), "not-found", "{path}");
    }
    for (api, failed) in [(&mut carol, 17), (&mut root, 22)] {
        let summary = api.shown("/reports/summary?days=7");
        let days = summary["days"].as_array().expect("a list");
        assert_eq!(days.len(), 1, "{summary}");
        assert_eq!(days[0]["dmarcFailed"], json!(failed), "{summary}");
        assert_eq!(summary["sources"][0]["failed"], json!(failed));
    }
    assert_eq!(root.shown("/reports?kind=tls")["total"], json!(0));
    let none = root.shown("/reports/summary?kind=tls");
    assert_eq!(none["days"], json!([]));
}

#[test]
fn numbers_are_told_over_time() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    let before = root.shown("/metrics")["messagesReceived"]
        .as_u64()
        .expect("a number");
    for _ in 0..3 {
        deliver(&server, "alice@example.org", "Counted");
    }
    let numbers = root.shown("/metrics");
    assert_eq!(numbers["messagesReceived"], json!(before + 3));
    assert!(
        numbers["memoryOctets"].as_u64() > Some(1 << 20),
        "{numbers}"
    );
    let counted = |history: &Value, name: &str| -> u64 {
        let points = history["points"].as_array().expect("a list").iter();
        points.filter_map(|point| point[name].as_u64()).sum()
    };
    let history = wait("a step with them", || {
        let history = root.shown("/metrics/history");
        (counted(&history, "messagesReceived") >= 3).then_some(history)
    });
    assert_eq!(history["span"], json!("hour"));
    assert_eq!(history["everySeconds"], json!(10));
    assert_eq!(counted(&history, "messagesReceived"), before + 3);
    let last = history["points"]
        .as_array()
        .and_then(|points| points.last());
    assert!(last.is_some_and(|point| point["memoryOctets"].as_u64() > Some(1 << 20)));
    let day = root.shown("/metrics/history?span=day");
    assert_eq!(day["everySeconds"], json!(300));
    assert_eq!(
        problem(&root.get("/metrics/history?span=year")),
        "invalid-request"
    );
}

/// Whoever looks after a domain is told of another what is told of one that isn't there.
#[test]
fn the_dns_of_another_domain_is_not_there() {
    let server = staffed();
    let mut carol = Api::new(&server, "carol@example.org");
    for what in ["dkim-keys", "dns-records", "dns-check"] {
        assert_eq!(
            carol.get(&format!("/domains/example.org/{what}")).status,
            200
        );
        for domain in [OTHER, "example.com"] {
            let answer = carol.get(&format!("/domains/{domain}/{what}"));
            assert_eq!(problem(&answer), "not-found", "{domain} {what}");
            let text = answer.text().replace(domain, "DOMAIN");
            assert!(text.contains("\\\"DOMAIN\\\" does not exist"), "{text}");
        }
    }
    for what in ["prepare", "activate"] {
        let path = format!("/domains/{OTHER}/dkim-keys/{what}");
        let answer = carol.ask("POST", &path, &[], None);
        assert_eq!(problem(&answer), "not-found");
    }
    let mut root = Api::new(&server, "root");
    let keys = root.shown(&format!("/domains/{OTHER}/dkim-keys"));
    let selector = keys["items"][0]["selector"].as_str().expect("a selector");
    let path = format!("/domains/{OTHER}/dkim-keys/{selector}");
    assert_eq!(problem(&carol.delete(&path)), "not-found");
    assert_eq!(problem(&root.delete(&path)), "in-use");
}

/// A page of the audit that finds nothing tells nothing of what it has looked at.
#[test]
fn a_cursor_of_the_audit_tells_no_time() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    for n in 0..5 {
        root.made("/domains", json!({"name": format!("d{n}.example")}));
    }
    let page = root.shown("/audit?limit=2");
    let cursor = page["next"].as_str().expect("a cursor");
    let octets = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(cursor);
    let octets = octets.expect("no base64");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock");
    let hour = Duration::from_secs(3600).as_millis() as u64;
    for half in octets.chunks(8) {
        let number = half
            .try_into()
            .map(u64::from_be_bytes)
            .expect("eight octets");
        assert!((now.as_millis() as u64).abs_diff(number) > hour);
    }
    let all: Vec<Value> = root
        .all("/audit")
        .iter()
        .map(|row| row["id"].clone())
        .collect();
    let rest = root.shown(&format!("/audit?limit=200&cursor={cursor}"));
    assert_eq!(rest["items"].as_array().map(Vec::len), Some(all.len() - 2));
    assert_eq!(rest["items"][0]["id"], all[2]);
}
