//! Reports that are sent, word for word.

use expect_test::expect;
use jmap_core::reports::Head;

use super::*;

fn head() -> Head {
    Head {
        organisation: "Example&Sons".into(),
        contact: "postmaster@example.org".into(),
        report_id: "1700006400.0102@mail.example.org".into(),
        begin: 1_700_006_400,
        end: 1_700_092_799,
    }
}

fn auth(domain: &str, which: &str, result: &str) -> AuthRow {
    AuthRow {
        domain: domain.into(),
        which: which.into(),
        result: result.into(),
    }
}

fn rows() -> Vec<DmarcRow> {
    vec![
        DmarcRow {
            source: "192.0.2.1".into(),
            count: 12,
            disposition: "none".into(),
            dkim_aligned: true,
            spf_aligned: false,
            header_from: "example.net".into(),
            envelope_from: "list.example".into(),
            dkim: vec![
                auth("example.net", "s1", "pass"),
                auth("list.example", "k", "temperror"),
            ],
            spf: vec![auth("list.example", "mfrom", "pass")],
            is_overridden: false,
        },
        DmarcRow {
            source: "2001:db8::7".into(),
            count: 1,
            disposition: "quarantine".into(),
            header_from: "example.net".into(),
            envelope_from: "helo.example".into(),
            spf: vec![auth("helo.example", "helo", "softfail")],
            is_overridden: true,
            ..DmarcRow::default()
        },
    ]
}

fn wish() -> DmarcWish {
    DmarcWish {
        domain: "example.net".into(),
        policy: "reject".into(),
        subdomain_policy: "quarantine".into(),
        is_dkim_strict: true,
        is_spf_strict: false,
        destinations: Vec::new(),
    }
}

/// Valid by the schema of DMARC reports in the namespace that it names: xmllint has said so of these octets.
#[test]
fn an_aggregate_report() {
    let xml = dmarc_report(&head(), &wish(), &rows()).to_xml();
    expect![[r#"
        <?xml version="1.0" encoding="UTF-8" ?>
        <feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0">
        	<version>1.0</version>
        	<report_metadata>
        		<org_name>Example&amp;Sons</org_name>
        		<email>postmaster@example.org</email>
        		<report_id>1700006400.0102@mail.example.org</report_id>
        		<date_range>
        			<begin>1700006400</begin>
        			<end>1700092799</end>
        		</date_range>
        	</report_metadata>
        	<policy_published>
        		<domain>example.net</domain>
        		<p>reject</p>
        		<sp>quarantine</sp>
        		<adkim>s</adkim>
        		<aspf>r</aspf>
        		<testing>n</testing>
        	</policy_published>
        	<record>
        		<row>
        			<source_ip>192.0.2.1</source_ip>
        			<count>12</count>
        			<policy_evaluated>
        				<disposition>none</disposition>
        				<dkim>pass</dkim>
        				<spf>fail</spf>
        			</policy_evaluated>
        		</row>
        		<identifiers>
        			<envelope_from>list.example</envelope_from>
        			<header_from>example.net</header_from>
        		</identifiers>
        		<auth_results>
        			<dkim>
        				<domain>example.net</domain>
        				<selector>s1</selector>
        				<result>pass</result>
        			</dkim>
        			<dkim>
        				<domain>list.example</domain>
        				<selector>k</selector>
        				<result>temperror</result>
        			</dkim>
        			<spf>
        				<domain>list.example</domain>
        				<scope>mfrom</scope>
        				<result>pass</result>
        			</spf>
        		</auth_results>
        	</record>
        	<record>
        		<row>
        			<source_ip>2001:db8::7</source_ip>
        			<count>1</count>
        			<policy_evaluated>
        				<disposition>quarantine</disposition>
        				<dkim>fail</dkim>
        				<spf>fail</spf>
        				<reason>
        					<type>local_policy</type>
        				</reason>
        			</policy_evaluated>
        		</row>
        		<identifiers>
        			<envelope_from>helo.example</envelope_from>
        			<header_from>example.net</header_from>
        		</identifiers>
        		<auth_results>
        			<spf>
        				<domain>helo.example</domain>
        				<result>softfail</result>
        			</spf>
        		</auth_results>
        	</record>
        </feedback>
    "#]]
    .assert_eq(&xml);
    // What we send we can read.
    let file = report::File {
        media_type: "text/xml",
        name: "r.xml",
        octets: xml.as_bytes().into(),
    };
    let Ok(Some(Found::Dmarc(read))) = report::read(&[file]) else {
        panic!("{xml}");
    };
    let read = dmarc_record(*read);
    assert_eq!(
        (read.domain.as_str(), read.reporter.as_str()),
        ("example.net", "Example&Sons")
    );
    let mut want = rows();
    // The schema has no place for it.
    want[1].spf[0].which.clear();
    assert_eq!(read.dmarc, want);
}

/// Of the form of RFC 8460 Appendix B.
#[test]
fn a_tls_report() {
    let row = TlsRow {
        policy_type: "sts".into(),
        policy_lines: vec!["version: STSv1".into(), "mode: enforce".into()],
        policy_domain: "example.net".into(),
        mx_patterns: vec!["*.example.net".into()],
        successes: 5326,
        failures: 3,
        details: vec![TlsDetail {
            result_type: "certificate-host-mismatch".into(),
            sending_address: Some("198.51.100.62".into()),
            mx: "mx.example.net".into(),
            address: Some("203.0.113.58".into()),
            count: 3,
            reason: "not valid for name".into(),
        }],
    };
    let report = tls_report(&head(), std::slice::from_ref(&row));
    let json: serde_json::Value = serde_json::from_str(&tls_text(&report)).unwrap();
    expect![[r#"
        {
          "contact-info": "postmaster@example.org",
          "date-range": {
            "end-datetime": "2023-11-15T23:59:59Z",
            "start-datetime": "2023-11-15T00:00:00Z"
          },
          "organization-name": "Example&Sons",
          "policies": [
            {
              "failure-details": [
                {
                  "failed-session-count": 3,
                  "failure-reason-code": "not valid for name",
                  "receiving-ip": "203.0.113.58",
                  "receiving-mx-hostname": "mx.example.net",
                  "result-type": "certificate-host-mismatch",
                  "sending-mta-ip": "198.51.100.62"
                }
              ],
              "policy": {
                "mx-host": [
                  "*.example.net"
                ],
                "policy-domain": "example.net",
                "policy-string": [
                  "version: STSv1",
                  "mode: enforce"
                ],
                "policy-type": "sts"
              },
              "summary": {
                "total-failure-session-count": 3,
                "total-successful-session-count": 5326
              }
            }
          ],
          "report-id": "1700006400.0102@mail.example.org"
        }"#]]
    .assert_eq(&format!("{json:#}"));
    let read = tls_record(report);
    assert_eq!(read.tls, [row]);
    assert_eq!((read.begin, read.end), (1_700_006_400, 1_700_092_799));
}
