//! Reports as they come, and what pretends to be one.

use std::io::Write as _;

use super::*;

/// A report of the form of RFC 7489 Appendix C.
const DMARC: &str = r#"<?xml version="1.0" encoding="UTF-8" ?>
<feedback>
  <version>1.0</version>
  <report_metadata>
    <org_name>Far&amp;Co</org_name>
    <email>reports@far.example</email>
    <report_id>9391651994964116463</report_id>
    <date_range><begin>1335571200</begin><end>1335657599</end></date_range>
  </report_metadata>
  <policy_published>
    <domain>example.org</domain><adkim>r</adkim><aspf>r</aspf><p>reject</p><sp>none</sp><pct>100</pct>
  </policy_published>
  <record>
    <row>
      <source_ip>192.0.2.1</source_ip><count>12</count>
      <policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated>
    </row>
    <identifiers><header_from>example.org</header_from></identifiers>
    <auth_results>
      <dkim><domain>example.org</domain><selector>s1</selector><result>pass</result></dkim>
      <spf><domain>list.example</domain><scope>mfrom</scope><result>pass</result></spf>
    </auth_results>
  </record>
  <record>
    <row>
      <source_ip>2001:db8::7</source_ip><count>1</count>
      <policy_evaluated><disposition>reject</disposition><dkim>fail</dkim><spf>fail</spf>
        <reason><type>local_policy</type></reason></policy_evaluated>
    </row>
    <identifiers><envelope_from>x.example</envelope_from><header_from>example.org</header_from></identifiers>
    <auth_results><spf><domain>x.example</domain><result>softfail</result></spf></auth_results>
  </record>
</feedback>
"#;

/// RFC 8460 Appendix B.
const TLS: &str = r#"{
  "organization-name": "Company-X",
  "date-range": {"start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z"},
  "contact-info": "sts-reporting@company-x.example",
  "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
  "policies": [{
    "policy": {
      "policy-type": "sts",
      "policy-string": ["version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"],
      "policy-domain": "company-y.example",
      "mx-host": ["*.mail.company-y.example"]
    },
    "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 303},
    "failure-details": [
      {"result-type": "certificate-expired", "sending-mta-ip": "2001:db8:abcd:0012::1",
       "receiving-mx-hostname": "mx1.mail.company-y.example", "failed-session-count": 100},
      {"result-type": "starttls-not-supported", "sending-mta-ip": "2001:db8:abcd:0013::1",
       "receiving-mx-hostname": "mx2.mail.company-y.example", "receiving-ip": "203.0.113.56",
       "failed-session-count": 200, "additional-information": "https://reports.company-x.example/report_info"},
      {"result-type": "validation-failure", "sending-mta-ip": "198.51.100.62", "receiving-ip": "203.0.113.58",
       "receiving-mx-hostname": "mx-backup.mail.company-y.example", "failed-session-count": 3,
       "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED"}
    ]
  }]
}"#;

/// The files of a mail with a text and an attachment.
fn mail<'x>(media_type: &'x str, name: &'x str, octets: &'x [u8]) -> [File<'x>; 2] {
    let text = File {
        media_type: "text/plain",
        name: "",
        octets: b"A report.".into(),
    };
    [text, file(media_type, name, octets)]
}

fn file<'x>(media_type: &'x str, name: &'x str, octets: &'x [u8]) -> File<'x> {
    File {
        media_type,
        name,
        octets: octets.into(),
    }
}

fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, octets) in files {
        let options = zip::write::SimpleFileOptions::default();
        archive.start_file(*name, options).unwrap();
        archive.write_all(octets).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn reports_as_they_are_packed() {
    let xml = DMARC.as_bytes();
    let rows: &[(&str, &str, Vec<u8>)] = &[
        ("application/gzip", "r.xml.gz", gzip(xml)),
        ("application/octet-stream", "r.xml.gz", gzip(xml)),
        // Wrong about what it is.
        ("application/zip", "r.zip", gzip(xml)),
        ("application/zip", "r.zip", zipped(&[("r.xml", xml)])),
        (
            "application/x-zip-compressed",
            "r",
            zipped(&[("a.txt", b"-"), ("r.XML", xml)]),
        ),
        ("text/xml", "r.xml", xml.to_vec()),
        ("application/xml", "", [b"\xef\xbb\xbf", xml].concat()),
    ];
    for (kind, name, octets) in rows {
        let found = read(&mail(kind, name, octets)).unwrap().unwrap();
        let Found::Dmarc(report) = found else {
            panic!("{kind} {name}");
        };
        assert_eq!(report.report_metadata.org_name, "Far&Co");
        assert_eq!(report.policy_published.domain, "example.org");
        let counts: Vec<u32> = report
            .record
            .iter()
            .map(|record| record.row.count)
            .collect();
        assert_eq!(counts, [12, 1], "{kind} {name}");
        assert_eq!(report.record[0].row.policy_evaluated.dkim, Aligned::Pass);
        assert_eq!(
            report.record[1].row.source_ip,
            Some("2001:db8::7".parse().unwrap())
        );
    }
    let json = TLS.as_bytes();
    for (kind, name, octets) in [
        ("application/tlsrpt+gzip", "r.json.gz", gzip(json)),
        ("application/tlsrpt+json", "", json.to_vec()),
        ("application/gzip", "r.json.gz", gzip(json)),
    ] {
        let Some(Found::Tls(report)) = read(&mail(kind, name, &octets)).unwrap() else {
            panic!("{kind} {name}");
        };
        assert_eq!(report.policies[0].summary.total_success, 5326);
        assert_eq!(
            report.policies[0].failure_details[2].failed_session_count,
            3
        );
    }
}

#[test]
fn mail_without_a_report() {
    assert_eq!(read(&mail("image/png", "a.png", b"-")), Ok(None));
    assert_eq!(read(&[file("text/plain", "", b"hello")]), Ok(None));
    assert_eq!(read(&[file("", "", b"")]), Ok(None));
    assert_eq!(read(&[]), Ok(None));
}

#[test]
fn what_is_too_much_is_refused() {
    let refused =
        |kind: &str, name: &str, octets: &[u8]| read(&mail(kind, name, octets)).unwrap_err();
    let long = |octets: usize| {
        let end = DMARC.find("<record>").unwrap();
        let (before, after) = DMARC.split_at(end);
        format!("{before}{}{after}", " ".repeat(octets - DMARC.len())).into_bytes()
    };
    // As large as it may be, and one octet more: plain, or as a bomb.
    let (good, bad) = (long(REPORT_OCTETS_MAX), long(REPORT_OCTETS_MAX + 1));
    assert!(
        read(&mail("application/gzip", "r.gz", &gzip(&good)))
            .unwrap()
            .is_some()
    );
    assert_eq!(
        refused("application/gzip", "r.gz", &gzip(&bad)),
        Unreadable::TooLarge
    );
    assert_eq!(
        refused("application/zip", "r.zip", &zipped(&[("r.xml", &bad)])),
        Unreadable::TooLarge
    );
    assert_eq!(refused("text/xml", "r.xml", &bad), Unreadable::TooLarge);
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 100_000);
    assert_eq!(
        refused("application/gzip", "r.gz", &bomb),
        Unreadable::TooLarge
    );
    // Tags without end: one past those that there may be.
    let tags = |count: usize| format!("<feedback>{}", "<a>".repeat(count - 1)).into_bytes();
    assert_eq!(
        refused("text/xml", "r.xml", &tags(TAGS_MAX + 1)),
        Unreadable::TooLarge
    );
    assert!(matches!(
        refused("text/xml", "r.xml", &tags(TAGS_MAX)),
        Unreadable::Format(_)
    ));
    // Entities that blow up.
    let entities = "<?xml version=\"1.0\"?><!DOCTYPE f [<!ENTITY a \"x\"><!ENTITY b \"&a;&a;\">]><feedback>&b;</feedback>";
    assert_eq!(
        refused("text/xml", "r.xml", entities.as_bytes()),
        Unreadable::Dtd
    );
    // The report is behind more files than are looked at.
    let many = zipped(&[
        ("1", b""),
        ("2", b""),
        ("3", b""),
        ("r.xml", DMARC.as_bytes()),
    ]);
    assert_eq!(
        refused("application/zip", "r.zip", &many),
        Unreadable::Packed
    );
    let deep = format!("{{\"policies\": {}", "[".repeat(100_000));
    assert!(matches!(
        refused("application/tlsrpt+json", "", deep.as_bytes()),
        Unreadable::Format(_)
    ));
}

/// Elements that cost more memory than their octets: one past those that there may be, and all of them in a mail of a few octets.
#[test]
fn records_without_end() {
    let found = |octets: &[u8]| read(&mail("application/gzip", "r.gz", &gzip(octets)));
    let xml = |records: usize| {
        let empty = "<record></record>".repeat(records - 2);
        DMARC.replace("</feedback>", &format!("{empty}</feedback>"))
    };
    assert!(found(xml(RECORDS_MAX).as_bytes()).unwrap().is_some());
    let more = found(xml(RECORDS_MAX + 1).as_bytes());
    assert_eq!(more, Err(Unreadable::TooLarge));

    // Of the objects, 8 are the report's own.
    let failure = r#"{"result-type": "validation-failure"},"#;
    let json = |objects: usize| {
        let all = failure.repeat(objects - 8);
        TLS.replace(
            r#""failure-details": ["#,
            &format!(r#""failure-details": [{all}"#),
        )
    };
    assert_eq!(TLS.matches('{').count(), 8);
    assert!(found(json(RECORDS_MAX).as_bytes()).unwrap().is_some());
    let more = found(json(RECORDS_MAX + 1).as_bytes());
    assert_eq!(more, Err(Unreadable::TooLarge));

    let hosts = |commas: usize| {
        let all = r#""a","#.repeat(commas - TLS.matches(',').count());
        TLS.replace(r#""mx-host": ["#, &format!(r#""mx-host": [{all}"#))
    };
    assert!(found(hosts(TAGS_MAX).as_bytes()).unwrap().is_some());
    let more = found(hosts(TAGS_MAX + 1).as_bytes());
    assert_eq!(more, Err(Unreadable::TooLarge));
}

/// Archives whose list of files is the bomb.
#[test]
fn lists_without_end() {
    let files = |count: usize| {
        let mut files = vec![("r.xml".to_owned(), DMARC.as_bytes())];
        files.extend((1..count).map(|at| (at.to_string(), &b""[..])));
        let files: Vec<(&str, &[u8])> = files
            .iter()
            .map(|(name, octets)| (name.as_str(), *octets))
            .collect();
        read(&mail("application/zip", "r.zip", &zipped(&files)))
    };
    assert!(files(LISTED_MAX).unwrap().is_some());
    assert_eq!(files(LISTED_MAX + 1), Err(Unreadable::TooLarge));
    // Ends of lists, of which each may be the right one.
    let good = zipped(&[("r.xml", DMARC.as_bytes())]);
    let end = good.len() - 22;
    let ends = [&good[..], &good[end..].repeat(LISTED_MAX)].concat();
    let many = read(&mail("application/zip", "r.zip", &ends));
    assert_eq!(many, Err(Unreadable::TooLarge));
}

/// Only so many files of a mail are unpacked: a report behind more of them isn't seen.
#[test]
fn files_without_end() {
    let (other, good) = (gzip(b"<feedback/>"), gzip(DMARC.as_bytes()));
    let found = |others: usize| {
        let mut files = vec![file("application/gzip", "", &other); others];
        files.push(file("application/gzip", "", &good));
        read(&files)
    };
    assert!(found(TRIED_MAX - 1).unwrap().is_some());
    assert!(matches!(found(TRIED_MAX), Err(Unreadable::Format(_))));
}

#[test]
fn dates_from_nowhere_in_time() {
    let (begin, end) = ("1335571200", "1335657599");
    let xml = |from: &str, to: &str| {
        let text = DMARC.replace(
            &format!("{begin}</begin><end>{end}"),
            &format!("{from}</begin><end>{to}"),
        );
        read(&mail("text/xml", "r.xml", text.as_bytes()))
    };
    assert!(xml(begin, end).unwrap().is_some());
    assert!(xml(begin, &DATE_MAX.to_string()).unwrap().is_some());
    for (from, to) in [
        (begin, "253402300800"),
        (begin, "18446744073709551615"),
        (end, begin),
        ("0", end),
        ("", end),
    ] {
        assert_eq!(xml(from, to), Err(Unreadable::Dates), "{from} {to}");
    }
    let (begin, end) = ("2016-04-01T00:00:00Z", "2016-04-01T23:59:59Z");
    let json = |from: &str, to: &str| {
        let text = TLS
            .replace(end, "END")
            .replace(begin, from)
            .replace("END", to);
        read(&mail("application/tlsrpt+json", "", text.as_bytes()))
    };
    assert!(json(begin, end).unwrap().is_some());
    assert!(json(begin, "9999-12-31T23:59:59Z").unwrap().is_some());
    for (from, to) in [
        (end, begin),
        ("yesterday", end),
        ("0000-00-00T00:00:00Z", end),
        (begin, "99999-01-01T00:00:00Z"),
    ] {
        assert_eq!(json(from, to), Err(Unreadable::Dates), "{from} {to}");
    }
}

/// What is said of a report is short, whatever the report is.
#[test]
fn reasons_are_short() {
    let text = format!("<{}\n\u{1b}[31m>", "x".repeat(1 << 20));
    let error = read(&mail("text/xml", "r.xml", text.as_bytes())).unwrap_err();
    let said = error.to_string();
    assert!(said.len() < 300, "{}", said.len());
    assert!(!said.chars().any(char::is_control));
}

/// Whatever comes, it ends, and without a panic.
#[test]
fn damaged_reports() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    let seeds = [
        DMARC.as_bytes().to_vec(),
        TLS.as_bytes().to_vec(),
        gzip(DMARC.as_bytes()),
        zipped(&[("r.xml", DMARC.as_bytes())]),
    ];
    for round in 0..3000 {
        let mut octets = seeds[round % seeds.len()].clone();
        for _ in 0..1 + next() % 8 {
            let at = next() % octets.len();
            match next() % 3 {
                0 => octets[at] = next() as u8,
                1 => drop(octets.drain(at..(at + next() % 20).min(octets.len()))),
                _ => octets.insert(at, b"<>&\"{}[]/"[next() % 9]),
            }
            if octets.is_empty() {
                break;
            }
        }
        let _ = read(&mail("application/octet-stream", "r.xml", &octets));
    }
}
