//! Real mails through a script of a dozen rules, beside an evaluation of the same rules that knows nothing of Sieve.

use super::*;
use crate::mail::message::Summary;

const MAILS_MAX: usize = 300;

const SCRIPT: &str = r#"
require ["fileinto", "mailbox", "imap4flags", "copy"];
if size :over 100K { fileinto :create "r01"; stop; }
if header :contains "Subject" "re:" { fileinto :create "r02"; stop; }
if exists "List-Id" { fileinto :create "r03"; stop; }
if header :contains "Subject" ["invoice", "order", "payment"] { fileinto :create "r04"; stop; }
if address :is :domain "From" "example.com" { fileinto :create "r05"; stop; }
if not exists "Message-ID" { fileinto :create "r06"; stop; }
if exists ["Cc", "To"] { fileinto :create "r07"; stop; }
if header :matches "Subject" "?" { fileinto :create "r08"; stop; }
if exists "X-Mailer" { addflag "mailer"; fileinto :create "r09"; stop; }
if size :under 500 { fileinto :create "r10"; stop; }
if header :contains "Subject" "the" { fileinto :create :copy "r11"; stop; }
if exists "Reply-To" { discard; stop; }
"#;

/// Whether a field is there, by a look at the octets.
fn has_field(header: &str, name: &str) -> bool {
    let start = format!("{}:", name.to_ascii_lowercase());
    header.lines().any(|line| {
        let line = line.to_ascii_lowercase();
        line.starts_with(&start)
    })
}

/// Where the rules say that it goes: mailboxes by comma.
fn expected(octets: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(octets);
    let header = text.split("\r\n\r\n").next().unwrap_or_default();
    let summary = Summary::parse(octets);
    let subject = summary.subject.clone().unwrap_or_default().to_lowercase();
    let from = crate::mail::message::address::flatten(summary.from.as_deref().unwrap_or_default());
    let has = |name: &str| has_field(header, name);
    let rules: [(bool, Option<&'static str>); 12] = [
        (octets.len() > 100 << 10, Some("r01")),
        (subject.contains("re:"), Some("r02")),
        (has("List-Id"), Some("r03")),
        (
            ["invoice", "order", "payment"]
                .iter()
                .any(|word| subject.contains(word)),
            Some("r04"),
        ),
        (
            from.iter()
                .any(|address| address.email.to_lowercase().ends_with("@example.com")),
            Some("r05"),
        ),
        (!has("Message-ID"), Some("r06")),
        (has("Cc") && has("To"), Some("r07")),
        (subject.chars().count() == 1, Some("r08")),
        (has("X-Mailer"), Some("r09")),
        (octets.len() < 500, Some("r10")),
        (subject.contains("the"), Some("Inbox,r11")),
        (has("Reply-To"), None),
    ];
    let first = rules.into_iter().find(|(is_so, _)| *is_so);
    first.map_or(Some("Inbox"), |(_, place)| place)
}

fn mails() -> Vec<Vec<u8>> {
    let mut found = crate::corpus::mails(MAILS_MAX);
    found.retain(|mail| mail.len() < 1 << 20);
    if !found.is_empty() {
        return found;
    }
    (0..MAILS_MAX).map(generated).collect()
}

/// A mail of some of the fields that the rules look at, each independently of the others.
fn generated(number: usize) -> Vec<u8> {
    let mut dice = number as u64;
    let mut is_one_in = |sides: u64| {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33).is_multiple_of(sides)
    };
    let mut header = format!("X-Number: {number}\r\n");
    let subjects = ["Re: x", "the order", "a", "the end", "hello"];
    if let Some(subject) = subjects.into_iter().find(|_| is_one_in(5)) {
        header.push_str(&format!("Subject: {subject}\r\n"));
    }
    if !is_one_in(5) {
        header.push_str(&format!("Message-ID: <{number}@x>\r\n"));
    }
    for field in [
        "List-Id: <l>",
        "From: x@example.com",
        "Cc: c@x.org",
        "To: t@x.org",
        "X-Mailer: m",
        "Reply-To: r@x.org",
    ] {
        if is_one_in(4) {
            header.push_str(&format!("{field}\r\n"));
        }
    }
    let body = "x".repeat(if is_one_in(2) { 600 } else { 20 });
    format!("{header}\r\n{body}\r\n").into_bytes()
}

#[tokio::test]
async fn a_dozen_rules() {
    let server = Server::new().await;
    activate(&server, "dozen", SCRIPT).await;
    let mut wrong = Vec::new();
    let mut places = std::collections::BTreeMap::<String, usize>::new();
    let mails = mails();
    for (at, mail) in mails.iter().enumerate() {
        // Line ends as they come over the wire.
        let text = String::from_utf8_lossy(mail)
            .replace("\r\n", "\n")
            .replace('\r', "");
        let octets = Bytes::from(text.replace('\n', "\r\n"));
        let before = ids(&server).await;
        let inbound = Inbound {
            mail_from: Some(ANN.to_owned()),
            recipients: vec![server.core.resolve_recipient(BOB).await.unwrap()],
            message: octets.clone(),
            peer: None,
            answers_each: false,
            arrival: Default::default(),
            is_junk: false,
        };
        assert_eq!(server.core.deliver(inbound).await, [Ok(())]);
        let new: Vec<_> = ids(&server)
            .await
            .into_iter()
            .filter(|id| !before.contains(id))
            .collect();
        let got = match new[..] {
            [] => None,
            [id] => Some(place(&server, id).await),
            _ => panic!("more than one email"),
        };
        let want = expected(&octets);
        *places.entry(got.clone().unwrap_or_default()).or_default() += 1;
        if got.as_deref() != want {
            wrong.push(format!("mail {at}: {got:?}, expected {want:?}"));
        }
    }
    assert!(places.len() > 5, "{places:?}");
    println!("{} mails: {places:?}", mails.len());
    // Encoded words in the wrong place and damaged charsets are read in different ways: very few.
    assert!(wrong.len() * 100 <= mails.len(), "{wrong:#?}");
}

async fn ids(server: &Server) -> std::collections::HashSet<u64> {
    let handle = server.core.accounts.handle(server.bob.account);
    let view = handle.view().await.unwrap();
    view.all_emails().map(|(id, _)| id).collect()
}

async fn place(server: &Server, id: u64) -> String {
    let id = Id::<Email>::new(id).to_string();
    let got = server
        .call::<Get<Email>>(
            &server.bob,
            json!({"ids": [id], "properties": ["mailboxIds"]}),
        )
        .await;
    let ids: Vec<String> = got["list"][0]["mailboxIds"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    let got = server
        .call::<Get<Mailbox>>(&server.bob, json!({"ids": ids, "properties": ["name"]}))
        .await;
    let names = got["list"].as_array().unwrap().iter();
    let mut names: Vec<&str> = names
        .map(|mailbox| mailbox["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    names.join(",")
}
