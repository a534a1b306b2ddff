//! Mail that goes on, lists, and reports that come: from outside, by SMTP, LMTP, the command line and JMAP.
//!
//! Holds: what goes on to accounts here arrives there; what goes on elsewhere waits in the queue, through a restart.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use e2e::{Home, Server, Smtp, jmap::string};
use serde_json::{Value, json};

fn deliver(server: &Server, from: &str, to: &str, message: &str) -> (u16, String) {
    let mut smtp = Smtp::connect(server.home.smtp, false).expect("no connection");
    let message = message.replace('\n', "\r\n");
    let reply = smtp.send(from, to, message.as_bytes()).expect("no reply");
    (reply.code, reply.text.clone())
}

/// The texts in somebody's inbox, with the reverse-path each came by.
fn inbox(server: &Server, who: &str, count: usize) -> Vec<String> {
    let mut jmap = server.jmap(who);
    for _ in 0..200 {
        let ids = jmap.query_all(json!({}));
        if ids.len() >= count {
            let emails = jmap.get_emails(&ids, &["blobId", "subject"]);
            let blobs: Vec<String> = emails
                .iter()
                .map(|email| string(&email["blobId"]))
                .collect();
            let text = |blob: &String| String::from_utf8_lossy(&jmap.download(blob)).into_owned();
            return blobs.iter().map(text).collect();
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{who} has not {count} messages");
}

fn message(from: &str, subject: &str) -> String {
    format!(
        "From: {from}\nTo: somebody@example.org\nSubject: {subject}\nMessage-ID: <{subject}@x.test>\n\nHello\n"
    )
}

#[test]
fn accounts_aliases_and_lists() {
    let home = Home::with_people();
    home.add_account("carol");
    home.cli(
        &[
            "alias",
            "add",
            "info@example.org",
            "--to",
            "bob@example.org",
            "--to",
            "near@near.test",
        ],
        "",
    );
    home.cli(
        &[
            "list",
            "add",
            "team@example.org",
            "--owner",
            "alice@example.org",
            "--description",
            "The team",
            "--member",
            "bob@example.org",
            "--member",
            "carol@example.org",
            "--member",
            "far@far.test",
        ],
        "",
    );
    home.cli(
        &[
            "account",
            "set",
            "alice@example.org",
            "--forward-to",
            "carol@example.org",
            "--keep",
        ],
        "",
    );
    let mut server = Server::start_in(home);

    // An alias: by way of the queue. What stays here keeps its reverse-path; what leaves has one of ours.
    let (code, text) = deliver(
        &server,
        "far@far.test",
        "info@example.org",
        &message("far@far.test", "one"),
    );
    assert_eq!(code, 250, "{text}");
    let got = inbox(&server, "bob", 1).remove(0);
    let start = "Return-Path: <far@far.test>\r\nDelivered-To: info@example.org\r\n";
    assert!(got.starts_with(start), "{got}");
    let queued = |server: &Server| -> Value {
        let listed = server.home.cli(&["--json", "queue", "list"], "");
        serde_json::from_str(&listed).expect("JSON")
    };
    // Bob has his mail a moment before the queue is rid of it.
    let end = Instant::now() + Duration::from_secs(30);
    let waiting = loop {
        let waiting = queued(&server)["messages"].clone();
        if waiting.as_array().map(Vec::len) == Some(1) {
            break waiting;
        }
        assert!(Instant::now() < end, "{waiting}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(waiting[0]["recipients"][0]["address"], "near@near.test");
    let reverse = string(&waiting[0]["sender"]);
    assert!(reverse.starts_with("SRS0="), "{reverse}");
    assert!(reverse.ends_with("=far.test=far@example.org"), "{reverse}");

    // What comes back to it: a report, and nothing else; and nothing that was not made here.
    let report = message("mailer-daemon@far.test", "failed");
    let (code, text) = deliver(&server, "spam@far.test", &reverse, &report);
    assert_eq!(code, 550, "{text}");
    let (code, text) = deliver(&server, "", &reverse, &report);
    assert_eq!(code, 250, "{text}");
    let mut smtp = Smtp::connect(server.home.smtp, false).expect("no connection");
    for line in ["EHLO x.test", "MAIL FROM:<>"] {
        assert!(smtp.command(line).expect("no reply").is_ok());
    }
    let forged = reverse.replace("=far@", "=near@");
    let reply = smtp
        .command(&format!("RCPT TO:<{forged}>"))
        .expect("no reply");
    assert_eq!(reply.code, 550);

    // An account that keeps a copy.
    deliver(
        &server,
        "far@far.test",
        "alice@example.org",
        &message("far@far.test", "two"),
    );
    assert!(inbox(&server, "alice", 1)[0].contains("Subject: two"));
    assert!(inbox(&server, "carol", 1)[0].contains("Delivered-To: alice@example.org"));

    // A list: its members write, and get it.
    let (code, text) = deliver(
        &server,
        "x@far.test",
        "team@example.org",
        &message("x@far.test", "three"),
    );
    assert_eq!(code, 550, "{text}");
    let (code, text) = deliver(
        &server,
        "far@far.test",
        "team@example.org",
        &message("far@far.test", "three"),
    );
    assert_eq!(code, 250, "{text}");
    let got = inbox(&server, "carol", 2);
    let got = got
        .iter()
        .find(|text| text.contains("Subject: three"))
        .expect("the list's");
    assert!(
        got.starts_with("Return-Path: <team-owner@example.org>\r\n"),
        "{got}"
    );
    assert!(
        got.contains("List-Id: \"The team\" <team.example.org>\r\n"),
        "{got}"
    );
    // Round in circles.
    let again = format!(
        "Delivered-To: team@example.org\n{}",
        message("far@far.test", "four")
    );
    let (code, text) = deliver(&server, "far@far.test", "team@example.org", &again);
    assert_eq!((code, text.contains("5.4.6")), (554, true), "{text}");

    let shown: Value = serde_json::from_str(
        &server
            .home
            .cli(&["--json", "list", "show", "team@example.org"], ""),
    )
    .expect("JSON");
    assert_eq!(shown["forwardTo"].as_array().map(Vec::len), Some(3));
    assert_eq!(string(&shown["owner"]), "alice@example.org");
    server.home.check();
    // What waits for other servers is there after a crash.
    let waiting = |server: &Server| {
        let queued = queued(server);
        let messages = queued["messages"].as_array().cloned().unwrap_or_default();
        let mut to: Vec<String> = messages
            .iter()
            .flat_map(|message| {
                message["recipients"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default()
            })
            .map(|recipient| string(&recipient["address"]))
            .collect();
        to.sort();
        to
    };
    let before = waiting(&server);
    assert!(before.contains(&"far@far.test".to_owned()), "{before:?}");
    server.kill();
    server.restart();
    assert_eq!(waiting(&server), before);
    server.home.check();
}

#[test]
fn a_report_that_comes_can_be_shown() {
    let home = Home::with_people();
    home.cli(
        &[
            "account",
            "alias",
            "add",
            "alice@example.org",
            "dmarc-reports@example.org",
        ],
        "",
    );
    let server = Server::start_in(home);
    let xml = "<?xml version=\"1.0\"?><feedback><version>1.0</version><report_metadata><org_name>Far</org_name><email>r@far.test</email>\
         <report_id>1</report_id><date_range><begin>BEGIN</begin><end>END</end></date_range></report_metadata>\
         <policy_published><domain>example.org</domain><p>none</p></policy_published>\
         <record><row><source_ip>192.0.2.66</source_ip><count>17</count><policy_evaluated><disposition>reject</disposition><dkim>fail</dkim>\
         <spf>fail</spf></policy_evaluated></row><identifiers><header_from>example.org</header_from></identifiers>\
         <auth_results><spf><domain>x.test</domain><result>fail</result></spf></auth_results></record></feedback>";
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a clock")
        .as_secs();
    let xml = xml
        .replace("BEGIN", &(now - 86_400).to_string())
        .replace("END", &now.to_string());
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(xml.as_bytes()).expect("packed");
    let body = STANDARD.encode(packed.finish().expect("packed"));
    let body = body.as_bytes().chunks(76).map(String::from_utf8_lossy);
    let body = body.collect::<Vec<_>>().join("\n");
    let mail = format!(
        "From: r@far.test\nSubject: Report Domain: example.org\nMIME-Version: 1.0\nContent-Type: application/gzip; name=\"far!example.org!1!2.xml.gz\"\n\
         Content-Transfer-Encoding: base64\n\n{body}\n"
    );
    let (code, text) = deliver(&server, "r@far.test", "dmarc-reports@example.org", &mail);
    assert_eq!(code, 250, "{text}");
    assert_eq!(
        inbox(&server, "alice", 1).len(),
        1,
        "it is delivered as always"
    );
    for _ in 0..200 {
        if server.home.cli(&["report", "list"], "").contains("Far") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let listed = server.home.cli(&["report", "list", "example.org"], "");
    assert!(
        listed.contains("0 passed") && listed.contains("17 failed"),
        "{listed}"
    );
    let shown = server.home.cli(&["report", "show", "example.org"], "");
    assert!(
        shown.contains("192.0.2.66") && shown.contains("reject"),
        "{shown}"
    );
    let json: Value = serde_json::from_str(
        &server
            .home
            .cli(&["--json", "report", "show", "example.org"], ""),
    )
    .expect("JSON");
    assert_eq!(json[0]["sources"][0]["messages"], 17);
    server.home.check();
}
