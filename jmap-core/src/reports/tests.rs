//! Reports that come, counts, and reports that go.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use expect_test::{Expect, expect};
use jmap_types::DataType;
use parking_lot::Mutex;
use store::{Record, engine::Page, keys};

use super::{
    gather::GATHERED_MAX,
    records::{AuthRow, DmarcCounts, DmarcRow, ReportRecord, TlsCounts, TlsDetail, TlsRow},
    *,
};
use crate::{
    Caller,
    inproc::{
        deliver::Inbound,
        outbound::{Attempt, HostTried, TlsEvaluation, TlsFailure, TlsPolicyKind},
    },
    mail::submission::{
        records::SubmissionRecord,
        tests::{ANN, Server},
    },
};

/// What a test wants to hear from the DNS, and what was posted.
#[derive(Debug, Default)]
struct Fake {
    is_silent: Mutex<bool>,
    dmarc: Mutex<Vec<Destination>>,
    tls: Mutex<Vec<Destination>>,
    refuses_posts: Mutex<bool>,
    posted: Mutex<Vec<String>>,
    /// Mails that were read.
    read: Mutex<usize>,
    /// Whoever reads a mail stays at it.
    stalls: AtomicBool,
}

#[async_trait]
impl Reporting for Fake {
    /// A mail with a file that has the line `report: DOMAIN ID` in it is a report.
    fn read(&self, files: &[File<'_>]) -> Result<Option<ReportRecord>, String> {
        *self.read.lock() += 1;
        while self.stalls.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let octets: Vec<&[u8]> = files.iter().map(|file| &*file.octets).collect();
        let text = String::from_utf8_lossy(&octets.concat()).into_owned();
        if text.contains("broken") {
            return Err("it is broken".to_owned());
        }
        let Some(line) = text.lines().find_map(|line| line.strip_prefix("report: ")) else {
            return Ok(None);
        };
        let (domain, id) = line.split_once(' ').unwrap();
        let end = match id {
            "far" => i64::MAX,
            _ => 1_700_000_000,
        };
        Ok(Some(ReportRecord {
            domain: domain.to_owned(),
            reporter: "far".to_owned(),
            report_id: id.to_owned(),
            end,
            dmarc: vec![row("192.0.2.1"); 2500],
            ..ReportRecord::default()
        }))
    }

    async fn dmarc_wish(&self, domain: &str) -> Result<Option<DmarcWish>, NoAnswer> {
        if *self.is_silent.lock() {
            return Err(NoAnswer);
        }
        Ok(Some(DmarcWish {
            domain: domain.trim_start_matches("sub.").to_owned(),
            policy: "reject".to_owned(),
            subdomain_policy: "none".to_owned(),
            destinations: self.dmarc.lock().clone(),
            ..DmarcWish::default()
        }))
    }

    async fn tls_wish(&self, _domain: &str) -> Result<Vec<Destination>, NoAnswer> {
        Ok(self.tls.lock().clone())
    }

    fn dmarc_file(&self, head: &Head, wish: &DmarcWish, rows: &[DmarcRow]) -> Vec<u8> {
        let rows: Vec<String> = rows
            .iter()
            .map(|row| format!("{} {}", row.source, row.count))
            .collect();
        format!(
            "{} {}-{} {}",
            wish.domain,
            head.begin,
            head.end,
            rows.join(",")
        )
        .into()
    }

    fn tls_file(&self, _head: &Head, rows: &[TlsRow]) -> Vec<u8> {
        let rows: Vec<String> = rows
            .iter()
            .map(|row| {
                let details: Vec<u64> = row.details.iter().map(|detail| detail.count).collect();
                format!(
                    "{} {} {} {details:?}",
                    row.policy_type, row.successes, row.failures
                )
            })
            .collect();
        rows.join(",").into()
    }

    async fn post(&self, url: &str, _file: Bytes) -> Result<(), String> {
        if *self.refuses_posts.lock() {
            return Err("no".to_owned());
        }
        self.posted.lock().push(url.to_owned());
        Ok(())
    }
}

fn row(source: &str) -> DmarcRow {
    DmarcRow {
        source: source.to_owned(),
        count: 1,
        disposition: "none".to_owned(),
        header_from: "example.net".to_owned(),
        ..DmarcRow::default()
    }
}

async fn server() -> (Server, Arc<Fake>) {
    let server = Server::new().await;
    let fake = Arc::new(Fake::default());
    let settings = ReportSettings {
        send: true,
        addresses: vec!["ann@example.org".to_owned()],
        ..ReportSettings::default()
    };
    server.core.report_with(settings, fake.clone());
    (server, fake)
}

async fn arrives(server: &Server, to: &str, line: &str) {
    let message = format!(
        "From: far@example.net\r\nSubject: a report\r\nMIME-Version: 1.0\r\nContent-Type: application/gzip; name=\"x.gz\"\r\n\r\n{line}\r\n"
    );
    arrives_whole(server, to, message.into_bytes()).await;
}

async fn arrives_whole(server: &Server, to: &str, message: Vec<u8>) {
    let inbound = Inbound {
        mail_from: Some("far@example.net".to_owned()),
        recipients: vec![server.core.resolve_recipient(to).await.unwrap()],
        message: message.into(),
        arrival: Default::default(),
        peer: None,
        answers_each: false,
        is_junk: false,
    };
    assert_eq!(server.core.deliver(inbound).await, [Ok(())]);
}

async fn check(server: &Server) {
    let report = server
        .core
        .check(Default::default(), &|_| ())
        .await
        .unwrap();
    let problems: Vec<String> = report.problems.into_iter().map(|p| p.sentence).collect();
    assert_eq!(problems, Vec::<String>::new());
}

async fn rows_of(server: &Server, subspace: keys::Subspace) -> usize {
    let page = Page::first(keys::all(subspace), 100_000).keys_only();
    server.core.engine.scan(page).await.unwrap().len()
}

#[tokio::test]
async fn a_report_that_comes_is_read_and_kept() {
    let (server, _) = server().await;
    arrives(&server, ANN, "report: example.org 1").await;
    // A mail that waits to be read is held; a crash here loses nothing.
    assert_eq!(rows_of(&server, keys::Subspace::ReportWaiting).await, 1);
    check(&server).await;
    server.core.read_reports().await.unwrap();
    arrives(&server, "ann+x@example.org", "report: example.org 2").await;
    for line in [
        "report: example.org 1",
        "report: mail.EXAMPLE.org 3",
        "report: example.net 4",
        "report: org 5",
        "nothing",
        "broken",
    ] {
        arrives(&server, ANN, line).await;
    }
    server.core.read_reports().await.unwrap();
    let admin = Caller::server();
    let reports = server.core.reports(&admin, None, 0).await.unwrap();
    let ids: Vec<&str> = reports.iter().map(|report| &*report.report_id).collect();
    // The same one twice is one; what is about others is nobody's.
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["1", "3"], "{ids:?}");
    assert!(
        reports
            .iter()
            .all(|report| report.dmarc.len() == ROWS_MAX && report.is_cut)
    );
    assert_eq!(
        server
            .core
            .reports(&admin, Some("example.org"), 0)
            .await
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        server
            .core
            .reports(&admin, Some("example.net"), 0)
            .await
            .unwrap()
            .len(),
        0
    );
    assert_eq!(
        server
            .core
            .reports(&admin, None, 1_700_000_001)
            .await
            .unwrap()
            .len(),
        0
    );
    assert!(server.core.reports(&server.ann, None, 0).await.is_err());
    // Each of them was delivered as always.
    assert_eq!(server.inbox(&server.ann).await.len(), 8);
    assert_eq!(rows_of(&server, keys::Subspace::ReportWaiting).await, 0);
    check(&server).await;
}

/// Messages within messages, which a parser that takes them apart to any depth can't drop again on a stack of this size.
#[tokio::test]
async fn nothing_in_a_nest_of_messages_is_read() {
    let (server, fake) = server().await;
    let nest = "Content-Type: message/rfc822\r\n\r\n".repeat(100_000);
    let named = format!("Content-Type: message/rfc822; name=\"a.xml\"\r\n\r\n{nest}");
    arrives_whole(&server, ANN, named.clone().into_bytes()).await;
    assert_eq!(rows_of(&server, keys::Subspace::ReportWaiting).await, 0);
    // Beside a file that may be a report, plain and encoded.
    let encoded = STANDARD.encode(&nest);
    for part in [
        named,
        format!(
            "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{encoded}"
        ),
        format!(
            "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{nest}"
        ),
    ] {
        let message = format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n{part}\r\n--b\r\nContent-Type: text/xml\r\n\r\nreport: example.org 1\r\n--b--\r\n"
        );
        arrives_whole(&server, ANN, message.into_bytes()).await;
    }
    assert_eq!(rows_of(&server, keys::Subspace::ReportWaiting).await, 3);
    server.core.read_reports().await.unwrap();
    assert_eq!(*fake.read.lock(), 3);
    let admin = Caller::server();
    let reports = server.core.reports(&admin, None, 0).await.unwrap();
    assert_eq!(reports.len(), 1);
    check(&server).await;
}

#[tokio::test]
async fn what_ends_its_reader_is_put_aside() {
    let (server, fake) = server().await;
    arrives(&server, ANN, "report: example.org 1").await;
    for tries in 1..=3 {
        // The process ends while it reads.
        fake.stalls.store(true, Ordering::Relaxed);
        let reading = server.core.read_reports();
        let ended = async {
            while *fake.read.lock() < tries {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            _ = reading => panic!("it was read"),
            () = ended => {}
        }
        fake.stalls.store(false, Ordering::Relaxed);
    }
    assert_eq!(rows_of(&server, keys::Subspace::ReportWaiting).await, 1);
    // Who comes later isn't kept from being read.
    arrives(&server, ANN, "report: example.org 2").await;
    server.core.read_reports().await.unwrap();
    assert_eq!(*fake.read.lock(), 4);
    assert_eq!(rows_of(&server, keys::Subspace::ReportWaiting).await, 0);
    assert_eq!(rows_of(&server, keys::Subspace::Quarantine).await, 1);
    let admin = Caller::server();
    let reports = server.core.reports(&admin, None, 0).await.unwrap();
    let ids: Vec<&str> = reports.iter().map(|report| &*report.report_id).collect();
    assert_eq!(ids, ["2"]);
    assert_eq!(rows_of(&server, keys::Subspace::BlobRef).await, 2);
}

#[tokio::test]
async fn whose_mail_is_looked_at() {
    let (server, _) = server().await;
    for (address, takes) in [
        ("postmaster@example.org", true),
        ("Postmaster+x@example.org", true),
        ("dmarc-reports@example.org", true),
        ("tls-reports@example.org", true),
        ("ANN@example.org", true),
        ("bob@example.org", false),
    ] {
        assert_eq!(server.core.takes_reports(address), takes, "{address}");
    }
    arrives(&server, "bob@example.org", "report: example.org 1").await;
    assert_eq!(rows_of(&server, keys::Subspace::ReportWaiting).await, 0);
}

#[tokio::test]
async fn one_report_past_those_that_are_kept() {
    let (server, _) = server().await;
    let mut batch = store::engine::Batch::new();
    for n in 0..REPORTS_PER_DOMAIN_MAX as u64 {
        let record = ReportRecord {
            end: 1000,
            report_id: n.to_string(),
            ..ReportRecord::default()
        };
        batch.put(
            keys::report_in("example.org", 1000 + n, n),
            record.to_bytes(),
        );
    }
    server.core.engine.commit(batch).await.unwrap();
    arrives(&server, ANN, "report: example.org new").await;
    server.core.read_reports().await.unwrap();
    let reports = server
        .core
        .reports(&Caller::server(), None, 0)
        .await
        .unwrap();
    assert_eq!(reports.len(), REPORTS_PER_DOMAIN_MAX);
    assert_eq!(
        reports.first().unwrap().report_id,
        "1",
        "the oldest is gone"
    );
    assert_eq!(reports.last().unwrap().report_id, "new");
}

/// What waits in the queue: `reverse-path -> recipients`, and the octets.
/// What comes later pushes out even a report that says to be of the end of time.
#[tokio::test]
async fn a_report_of_the_future_is_as_old_as_its_mail() {
    let (server, _) = server().await;
    arrives(&server, ANN, "report: example.org far").await;
    server.core.read_reports().await.unwrap();
    let range = keys::reports_of("example.org");
    let rows = server.core.engine.scan(Page::first(range, 10)).await;
    let (key, _) = rows.unwrap().remove(0);
    let now = u64::try_from(server.core.clock.now().seconds()).unwrap();
    let last = keys::report_in("example.org", now + 1, 0);
    assert!(key[..] < last[..]);
}

async fn queued(server: &Server) -> Vec<(String, String)> {
    let page = Page::first(keys::all(keys::Subspace::Object), 10_000);
    let mut queued = Vec::new();
    for (key, bytes) in server.core.engine.scan(page).await.unwrap() {
        let data_type = keys::decode_object(&key).map(|(_, data_type, _)| data_type);
        if data_type != Some(DataType::EmailSubmission) {
            continue;
        }
        let record = SubmissionRecord::from_bytes(&key, &bytes).unwrap();
        let to: Vec<&str> = record
            .recipients
            .iter()
            .map(|r| &*r.address.email)
            .collect();
        let octets = store::blob::get(&server.core.engine, &record.blob)
            .await
            .unwrap()
            .unwrap();
        queued.push((
            format!("{} -> {}", record.mail_from.email, to.join(" ")),
            String::from_utf8(octets.to_vec()).unwrap(),
        ));
    }
    queued
}

fn mail(address: &str, octets_max: u64) -> Destination {
    Destination::Mail {
        address: address.to_owned(),
        octets_max,
    }
}

fn encoded(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

const DAY: u64 = 86_400;

#[tokio::test]
async fn a_day_of_dmarc_is_reported_once() {
    let (server, fake) = server().await;
    let core = &server.core;
    for _ in 0..3 {
        core.note_dmarc("Example.net", row("192.0.2.1"));
    }
    core.note_dmarc("example.net", row("192.0.2.2"));
    core.flush_counts().await.unwrap();
    core.note_dmarc("example.net", row("192.0.2.2"));
    core.note_dmarc("not a domain", row("192.0.2.2"));
    core.flush_counts().await.unwrap();
    assert_eq!(rows_of(&server, keys::Subspace::DmarcCounts).await, 2);
    *fake.dmarc.lock() = vec![
        mail("dmarc@example.net", 0),
        mail("small@example.net", 5),
        mail("no address", 0),
    ];
    assert_eq!(core.send_reports().await.unwrap(), 0, "the day isn't over");
    server.pass(DAY);
    // Nobody answers: later.
    *fake.is_silent.lock() = true;
    assert_eq!(core.send_reports().await.unwrap(), 0);
    *fake.is_silent.lock() = false;
    assert_eq!(core.send_reports().await.unwrap(), 1);
    assert_eq!(core.send_reports().await.unwrap(), 0, "once");
    let mut queue = queued(&server).await;
    assert_eq!(queue.len(), 1);
    let (line, text) = queue.remove(0);
    assert_eq!(line, "postmaster@example.org -> dmarc@example.net");
    let begin = 1_700_000_000 / 86_400 * 86_400;
    let end = begin + 86_399;
    for part in [
        "From: <postmaster@example.org>\r\n".to_owned(),
        "To: <dmarc@example.net>\r\n".to_owned(),
        "Subject: Report Domain: example.net\r\n Submitter: mail.example.org\r\n Report-ID: <"
            .to_owned(),
        "Content-Type: application/gzip\r\n".to_owned(),
        format!("filename=\"mail.example.org!example.net!{begin}!{end}!"),
        format!(
            "\r\n\r\n{}\r\n--=_",
            encoded(&format!(
                "example.net {begin}-{end} 192.0.2.1 3,192.0.2.2 2"
            ))
        ),
    ] {
        assert!(text.contains(&part), "{part}\n{text}");
    }
    assert!(text.lines().all(|line| line.len() <= 998));
    assert_eq!(rows_of(&server, keys::Subspace::DmarcCounts).await, 0);
    check(&server).await;
}

#[tokio::test]
async fn counts_that_nobody_wants_go() {
    let (server, fake) = server().await;
    let core = &server.core;
    core.note_dmarc("example.net", row("192.0.2.1"));
    core.flush_counts().await.unwrap();
    server.pass(DAY);
    assert_eq!(core.send_reports().await.unwrap(), 0);
    assert_eq!(rows_of(&server, keys::Subspace::DmarcCounts).await, 0);
    // One day past those that a report may be late.
    core.note_dmarc("example.net", row("192.0.2.1"));
    core.flush_counts().await.unwrap();
    *fake.is_silent.lock() = true;
    for (days, left) in [(1, 1), (2, 1), (1, 0)] {
        server.pass(days * DAY);
        core.send_reports().await.unwrap();
        assert_eq!(rows_of(&server, keys::Subspace::DmarcCounts).await, left);
    }
    assert!(queued(&server).await.is_empty());
    check(&server).await;
}

#[tokio::test]
async fn one_row_past_what_is_counted() {
    let (server, _) = server().await;
    for n in 0..=GATHERED_MAX {
        server.core.note_dmarc("example.net", row(&n.to_string()));
    }
    // A row that is known is counted on.
    server.core.note_dmarc("example.net", row("0"));
    server.core.flush_counts().await.unwrap();
    let page = Page::first(keys::all(keys::Subspace::DmarcCounts), 10);
    let rows = server.core.engine.scan(page).await.unwrap();
    let counts = DmarcCounts::from_bytes(&rows[0].0, &rows[0].1).unwrap();
    assert_eq!(counts.rows.len(), GATHERED_MAX);
    assert_eq!(
        counts.rows.iter().map(|row| row.count).sum::<u64>(),
        GATHERED_MAX as u64 + 1
    );
}

#[tokio::test]
async fn a_day_with_too_much_ends() {
    let (server, _) = server().await;
    let count = async |from: u64, to: u64| {
        for n in from..to {
            server.core.note_dmarc("example.net", row(&n.to_string()));
        }
        server.core.flush_counts().await.unwrap();
        rows_of(&server, keys::Subspace::DmarcCounts).await
    };
    let at_once = GATHERED_MAX as u64;
    for n in 0..gather::ROWS_PER_DAY_MAX / at_once {
        count(n * at_once, (n + 1) * at_once).await;
    }
    let written = count(0, 0).await;
    assert_eq!(count(0, 1).await, written);
    server.pass(DAY);
    assert_eq!(count(0, 0).await, written);
    assert_eq!(count(0, 1).await, written + 1);
}

#[tokio::test]
async fn one_line_past_what_is_repeated_of_a_policy() {
    let (server, _) = server().await;
    let mut long = attempt(None);
    let line = "x".repeat(gather::POLICY_OCTETS_MAX / 4);
    for host in &mut long.hosts {
        if let Some(evaluation) = &mut host.evaluation {
            evaluation.policy_lines = vec![line.clone(); 5];
        }
    }
    server.core.note_tls(&long);
    server.core.flush_counts().await.unwrap();
    let page = Page::first(keys::all(keys::Subspace::TlsCounts), 10);
    let rows = server.core.engine.scan(page).await.unwrap();
    let counts = TlsCounts::from_bytes(&rows[0].0, &rows[0].1).unwrap();
    assert_eq!(counts.rows[0].policy_lines, vec![line; 4]);
}

fn attempt(failure: Option<TlsFailure>) -> Attempt {
    let evaluation = TlsEvaluation {
        policy: TlsPolicyKind::Sts,
        policy_lines: vec!["version: STSv1".to_owned()],
        policy_domain: "Example.net".to_owned(),
        mx_patterns: vec!["*.example.net".to_owned()],
        failure,
    };
    let host = HostTried {
        when: 0,
        host: "mx.example.net".to_owned(),
        address: Some([192, 0, 2, 9].into()),
        tls: None,
        result: String::new(),
        evaluation: Some(evaluation),
    };
    let silent = HostTried {
        evaluation: None,
        ..host.clone()
    };
    Attempt {
        outcomes: Vec::new(),
        hosts: vec![silent, host],
    }
}

#[tokio::test]
async fn a_day_of_tls_is_reported() {
    let (server, fake) = server().await;
    let core = &server.core;
    let failure = TlsFailure {
        result_type: "certificate-host-mismatch",
        reason: "x".repeat(500),
        sending_address: None,
    };
    for _ in 0..2 {
        core.note_tls(&attempt(None));
        core.note_tls(&attempt(Some(failure.clone())));
        core.flush_counts().await.unwrap();
    }
    server.pass(DAY);
    *fake.tls.lock() = vec![
        mail("tls@example.net", 0),
        Destination::Https("https://example.net/r".into()),
    ];
    assert_eq!(core.send_reports().await.unwrap(), 1);
    assert_eq!(*fake.posted.lock(), ["https://example.net/r"]);
    let (line, text) = queued(&server).await.remove(0);
    assert_eq!(line, "postmaster@example.org -> tls@example.net");
    for part in [
        "\r\nTLS-Report-Domain: example.net\r\nTLS-Report-Submitter: mail.example.org\r\nTLS-Required: No\r\n",
        "Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n",
        "Content-Type: application/tlsrpt+gzip\r\n",
        &encoded("sts 2 2 [2]"),
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    // Only by HTTPS, and not taken: again, until it is too late.
    core.note_tls(&attempt(None));
    core.flush_counts().await.unwrap();
    server.pass(DAY);
    *fake.tls.lock() = vec![Destination::Https("https://example.net/r".into())];
    *fake.refuses_posts.lock() = true;
    core.send_reports().await.unwrap();
    assert_eq!(rows_of(&server, keys::Subspace::TlsCounts).await, 1);
    *fake.refuses_posts.lock() = false;
    core.send_reports().await.unwrap();
    assert_eq!(rows_of(&server, keys::Subspace::TlsCounts).await, 0);
    assert_eq!(fake.posted.lock().len(), 2);
    check(&server).await;
}

#[tokio::test]
async fn who_sends_no_reports_counts_nothing() {
    let server = Server::new().await;
    server.core.note_dmarc("example.net", row("192.0.2.1"));
    server
        .core
        .report_with(ReportSettings::default(), Arc::new(Fake::default()));
    server.core.note_dmarc("example.net", row("192.0.2.1"));
    server.core.note_tls(&attempt(None));
    server.core.flush_counts().await.unwrap();
    assert_eq!(rows_of(&server, keys::Subspace::DmarcCounts).await, 0);
    assert_eq!(rows_of(&server, keys::Subspace::TlsCounts).await, 0);
}

fn golden<R: Record + PartialEq + std::fmt::Debug>(record: R, want: Expect) {
    let bytes = record.to_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    want.assert_eq(&hex);
    assert_eq!(R::from_bytes(b"", &bytes).unwrap(), record);
}

#[test]
fn records_of_version_1() {
    let auth = AuthRow {
        domain: "d".into(),
        which: "s".into(),
        result: "pass".into(),
    };
    let row = DmarcRow {
        source: "192.0.2.1".into(),
        count: 2,
        disposition: "none".into(),
        dkim_aligned: true,
        spf_aligned: false,
        header_from: "h".into(),
        envelope_from: "e".into(),
        dkim: vec![auth.clone()],
        spf: vec![auth],
        is_overridden: true,
    };
    let detail = TlsDetail {
        result_type: "r".into(),
        sending_address: None,
        mx: "m".into(),
        address: Some("a".into()),
        count: 1,
        reason: "why".into(),
    };
    let tls = TlsRow {
        policy_type: "sts".into(),
        policy_lines: vec!["l".into()],
        policy_domain: "p".into(),
        mx_patterns: vec!["*".into()],
        successes: 3,
        failures: 1,
        details: vec![detail],
    };
    let report = ReportRecord {
        domain: "b".into(),
        reporter: "r".into(),
        contact: "c".into(),
        report_id: "i".into(),
        begin: 1,
        end: 2,
        received_at: 3,
        dmarc: vec![row.clone()],
        tls: vec![tls.clone()],
        is_cut: false,
    };
    golden(
        report,
        expect![
            "8a6162617261636169010203818a693139322e302e322e3102646e6f6e65f5f46168616581836164617364706173738183616461736470617373f581876373747381616c617081612a030181866172f6616d61610163776879f4"
        ],
    );
    golden(
        DmarcCounts { rows: vec![row] },
        expect![
            "81818a693139322e302e322e3102646e6f6e65f5f46168616581836164617364706173738183616461736470617373f5"
        ],
    );
    golden(
        TlsCounts { rows: vec![tls] },
        expect!["8181876373747381616c617081612a030181866172f6616d61610163776879"],
    );
}
