//! What scripts do.

use jmap_types::DataType;
use store::{Record as _, engine::Page, keys};

use super::*;
use crate::{
    inproc::deliver::Arrival,
    mail::submission::{parameters, records::SubmissionRecord},
};

/// A message of ann's for bob.
const HELLO: &str = "From: Ann <ann@example.org>\nTo: bob@example.org\nSubject: hello\nMessage-ID: <1@x>\n\nHi there\n";

/// Runs a script over one message.
async fn after(script: &str, message: &str) -> Vec<String> {
    let server = Server::new().await;
    activate(&server, "s", script).await;
    assert_eq!(arrives(&server, message).await, Ok(()), "{script}");
    filed(&server, &server.bob).await
}

#[tokio::test]
async fn where_a_message_goes() {
    let rows: &[(&str, &[&str])] = &[
        ("keep;", &["hello: Inbox"]),
        ("# nothing", &["hello: Inbox"]),
        ("discard;", &[]),
        (
            "require \"fileinto\"; fileinto \"Archive\";",
            &["hello: Archive"],
        ),
        (
            "require \"fileinto\"; fileinto \"inbox\";",
            &["hello: Inbox"],
        ),
        (
            "require \"fileinto\"; fileinto \"nowhere\";",
            &["hello: Inbox"],
        ),
        (
            "require [\"fileinto\", \"copy\"]; fileinto :copy \"Archive\";",
            &["hello: Archive,Inbox"],
        ),
        (
            "require \"fileinto\"; fileinto \"Archive\"; fileinto \"Junk\"; keep;",
            &["hello: Archive,Inbox,Junk"],
        ),
        (
            "require [\"fileinto\", \"mailbox\"]; fileinto :create \"A/B\"; ",
            &["hello: B"],
        ),
        (
            "require [\"fileinto\", \"imap4flags\"]; fileinto :flags [\"\\\\Seen\", \"Work\", \"\\\\Deleted\"] \"Archive\";",
            &["hello: Archive [$seen work]"],
        ),
        (
            "require \"imap4flags\"; setflag \"\\\\Flagged\"; addflag \"x\"; removeflag \"x\"; keep;",
            &["hello: Inbox [$flagged]"],
        ),
        (
            "require [\"imap4flags\"]; addflag \"$label1\";",
            &["hello: Inbox [$label1]"],
        ),
        (
            "require [\"fileinto\", \"special-use\"]; fileinto :specialuse \"\\\\Trash\" \"nowhere\";",
            &["hello: Trash"],
        ),
        (
            "require [\"fileinto\", \"mailboxid\"]; fileinto :mailboxid \"m4\" \"nowhere\";",
            &["hello: Archive"],
        ),
        (
            "require [\"fileinto\", \"mailbox\"]; if mailboxexists [\"Archive\", \"INBOX\"] { fileinto \"Junk\"; }",
            &["hello: Junk"],
        ),
        (
            "require [\"fileinto\", \"mailbox\"]; if not mailboxexists \"Archiv\" { fileinto \"Junk\"; }",
            &["hello: Junk"],
        ),
        (
            "require [\"fileinto\", \"mailboxid\"]; if mailboxidexists \"m4\" { fileinto \"Junk\"; }",
            &["hello: Junk"],
        ),
        (
            "require [\"fileinto\", \"special-use\"]; if specialuse_exists \"\\\\Archive\" { fileinto \"Junk\"; }",
            &["hello: Junk"],
        ),
        (
            "require [\"fileinto\", \"special-use\"]; if specialuse_exists \"Archive\" \"\\\\Sent\" { fileinto \"Junk\"; }",
            &["hello: Inbox"],
        ),
        (
            "require [\"fileinto\", \"envelope\"]; if envelope :is \"from\" \"ann@example.org\" { fileinto \"Junk\"; }",
            &["hello: Junk"],
        ),
        (
            "require [\"fileinto\", \"envelope\"]; if envelope :domain \"to\" \"example.org\" { fileinto \"Junk\"; }",
            &["hello: Junk"],
        ),
        (
            "require [\"fileinto\", \"variables\"]; set :upper \"v\" \"junk\"; if header :matches \"subject\" \"he*\" { set :lower :upperfirst \"w\" \"${v}\"; fileinto \"${w}\"; }",
            &["hello: Junk"],
        ),
        (
            "require [\"fileinto\", \"body\"]; if body :contains \"THERE\" { fileinto \"Junk\"; }",
            &["hello: Junk"],
        ),
        (
            "require [\"fileinto\", \"relational\", \"comparator-i;ascii-numeric\"]; if header :count \"ge\" :comparator \"i;ascii-numeric\" [\"to\", \"from\"] \"2\" { fileinto \"Junk\"; }",
            &["hello: Junk"],
        ),
        (
            "require [\"fileinto\", \"regex\"]; if header :regex \"subject\" \"^h.l+o$\" { fileinto \"Junk\"; }",
            &["hello: Junk"],
        ),
        (
            "require [\"fileinto\", \"date\", \"relational\"]; if currentdate :value \"ge\" \"year\" \"2023\" { fileinto \"Junk\"; }",
            &["hello: Junk"],
        ),
        (
            "require [\"fileinto\", \"environment\"]; if environment :is \"name\" \"Posthorn\" { fileinto \"Junk\"; }",
            &["hello: Junk"],
        ),
        (
            "require [\"fileinto\", \"environment\"]; if environment :is \"remote-ip\" \"192.0.2.7\" { fileinto \"Junk\"; }",
            &["hello: Junk"],
        ),
        (
            "require [\"fileinto\", \"ihave\"]; if ihave \"fileinto\" { fileinto \"Junk\"; }",
            &["hello: Junk"],
        ),
        (
            "require [\"ihave\"]; if ihave \"enotify\" { discard; }",
            &["hello: Inbox"],
        ),
        (
            "require [\"fileinto\", \"variables\"]; if true { set \"v\" \"Junk\"; } if string \"${v}\" \"Junk\" { fileinto \"${V}\"; }",
            &["hello: Junk"],
        ),
        ("if size :over 1K { discard; }", &["hello: Inbox"]),
        (
            "if allof (exists \"to\", not exists \"cc\") { discard; }",
            &[],
        ),
    ];
    for (script, want) in rows {
        let script = format!("{script}\n");
        assert_eq!(after(&script, HELLO).await, *want, "{script}");
    }
}

#[tokio::test]
async fn parts_of_a_message() {
    let message = "From: ann@example.org\nTo: bob@example.org\nSubject: parts\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nSome words\n--b\nContent-Type: application/x-virus\nContent-Disposition: attachment; filename=evil.exe\n\nx\n--b--\n";
    let script = "require [\"foreverypart\", \"mime\", \"fileinto\"];\nforeverypart { if header :mime :param \"filename\" :contains \"Content-Disposition\" \".exe\" { fileinto \"Junk\"; break; } }\n";
    assert_eq!(after(script, message).await, ["parts: Junk"]);
    let script = "require [\"foreverypart\", \"mime\", \"extracttext\", \"variables\", \"fileinto\"];\nforeverypart { if header :mime :type :is \"Content-Type\" \"text\" { extracttext :first 4 \"v\"; } }\nif string :is \"${v}\" \"Some\" { fileinto \"Junk\"; }\n";
    assert_eq!(after(script, message).await, ["parts: Junk"]);
    let script = "require [\"replace\", \"foreverypart\", \"mime\"];\nforeverypart { if header :mime :contenttype :is \"Content-Type\" \"application/x-virus\" { replace \"removed\"; } }\n";
    let server = Server::new().await;
    activate(&server, "s", script).await;
    arrives(&server, message).await.unwrap();
    let kept = server.inbox_messages(&server.bob).await;
    let text = String::from_utf8_lossy(&kept[0]);
    assert!(
        text.contains("removed") && !text.contains("evil.exe"),
        "{text}"
    );
}

#[tokio::test]
async fn messages_within_a_message() {
    let inner =
        |n: usize, body: &str| format!("Subject: inner{n}\nContent-Type: message/rfc822\n\n{body}");
    let nested = |depth: usize| {
        let inmost = "Subject: inmost\nContent-Type: multipart/alternative; boundary=c\n\n--c\nContent-Transfer-Encoding: base64\n\nZGVlcA==\n--c--\n";
        (1..depth).fold(inmost.to_owned(), |body, n| inner(n, &body))
    };
    let message = |depth: usize| {
        format!(
            "From: ann@example.org\nTo: bob@example.org\nSubject: outer\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nhi\n--b\nContent-Type: message/rfc822\n\n{}\n--b\nContent-Type: text/html; charset=iso-8859-1\n\n<p>gr\u{fc}n</p>\n--b--\n",
            nested(depth)
        )
    };
    let test = |test: &str| {
        format!("require [\"body\", \"fileinto\"];\nif {test} {{ fileinto \"Junk\"; }}\n")
    };
    let deepest = crate::mail::sieve::apart::NESTED_DEPTH_MAX;
    let deep = test("body :content \"text\" :contains \"deep\"");
    assert_eq!(after(&deep, &message(1)).await, ["outer: Junk"]);
    assert_eq!(after(&deep, &message(deepest)).await, ["outer: Junk"]);
    assert_eq!(after(&deep, &message(deepest + 1)).await, ["outer: Inbox"]);
    for (row, want) in [
        (
            "body :content \"message/rfc822\" :contains \"Subject: inner1\"",
            "outer: Junk",
        ),
        (
            "body :content \"message/rfc822\" :contains \"Subject: inmost\"",
            "outer: Junk",
        ),
        (
            "body :content \"message/rfc822\" :contains \"hi\"",
            "outer: Inbox",
        ),
        ("body :text :contains \"hi\"", "outer: Junk"),
        ("body :raw :contains \"ZGVlcA==\"", "outer: Junk"),
        ("header :is \"subject\" \"outer\"", "outer: Junk"),
    ] {
        assert_eq!(after(&test(row), &message(2)).await, [want], "{row}");
    }
    // What is kept of a message that was changed.
    let server = Server::new().await;
    activate(
        &server,
        "s",
        "require \"editheader\";\naddheader \"X-Seen\" \"yes\";\n",
    )
    .await;
    arrives(&server, &message(2)).await.unwrap();
    let kept = server.inbox_messages(&server.bob).await;
    let text = String::from_utf8_lossy(&kept[0]).into_owned();
    let want = format!("X-Seen: yes\r\n{}", message(2).replace('\n', "\r\n"));
    assert!(text.ends_with(&want), "{text}");
}

#[tokio::test]
async fn a_changed_header_makes_another_message() {
    let server = Server::new().await;
    let script = "require [\"editheader\", \"fileinto\", \"copy\"];\nfileinto :copy \"Archive\";\naddheader \"X-Seen\" \"yes\";\ndeleteheader \"Subject\";\naddheader \"Subject\" \"changed\";\ndeleteheader \"Received\";\nkeep;\n";
    activate(&server, "s", script).await;
    arrives(&server, &format!("Received: by x; y\n{HELLO}"))
        .await
        .unwrap();
    assert_eq!(
        filed(&server, &server.bob).await,
        ["changed: Inbox", "hello: Archive"]
    );
    let kept = server.inbox_messages(&server.bob).await;
    let text = String::from_utf8_lossy(&kept[0]);
    assert!(text.contains("X-Seen: yes\r\n"), "{text}");
    assert!(text.contains("Received: by x"), "{text}");
    assert!(text.ends_with("\r\n\r\nHi there\r\n"), "{text}");
}

#[tokio::test]
async fn duplicates_are_remembered_for_their_time() {
    let server = Server::new().await;
    let script = "require [\"duplicate\", \"fileinto\"];\nif duplicate :seconds 100 { fileinto \"Trash\"; }\n";
    activate(&server, "s", script).await;
    arrives(&server, HELLO).await.unwrap();
    arrives(&server, HELLO).await.unwrap();
    server.pass(101);
    arrives(&server, HELLO).await.unwrap();
    assert_eq!(
        filed(&server, &server.bob).await,
        ["hello: Inbox", "hello: Inbox", "hello: Trash"]
    );
}

#[tokio::test]
async fn one_past_what_is_remembered() {
    use crate::mail::sieve::{REMEMBERED_MAX, Remembered, RememberedRecord};
    let mut memory = RememberedRecord::default();
    for hash in 0..=REMEMBERED_MAX as u64 {
        memory.add(&[Remembered { hash, until: 10 }], 1);
    }
    assert_eq!(memory.entries.len(), REMEMBERED_MAX);
    assert_eq!(memory.entries[0].hash, 1);
    memory.add(&[], 10);
    assert_eq!(memory.entries, []);
}

#[tokio::test]
async fn other_scripts_are_included() {
    let server = Server::new().await;
    store_script(
        &server,
        "inner",
        "require \"fileinto\";\nfileinto \"Junk\";\n",
    )
    .await;
    store_script(
        &server,
        "flags",
        "require [\"include\", \"imap4flags\"];\naddflag \"x\";\nreturn;\n",
    )
    .await;
    let script = "require [\"include\", \"imap4flags\"];\ninclude :personal \"flags\";\ninclude :optional \"missing\";\ninclude :once \"inner\";\n";
    activate(&server, "outer", script).await;
    arrives(&server, HELLO).await.unwrap();
    assert_eq!(filed(&server, &server.bob).await, ["hello: Junk [x]"]);
}

#[tokio::test]
async fn a_detail_of_the_address() {
    let server = Server::new().await;
    let script = "require [\"envelope\", \"subaddress\", \"fileinto\", \"variables\", \"mailbox\"];\nif envelope :matches :detail \"to\" \"*\" { set :upperfirst \"d\" \"${1}\"; fileinto :create \"${d}\"; }\n";
    activate(&server, "s", script).await;
    arrives_for(&server, Some(ANN), "bob+lists@example.org", HELLO)
        .await
        .unwrap();
    assert_eq!(filed(&server, &server.bob).await, ["hello: Lists"]);
}

#[tokio::test]
async fn a_refusal_is_told_at_once_or_in_a_report() {
    for word in ["reject", "ereject"] {
        let server = Server::new().await;
        let script = format!("require \"{word}\";\n{word} \"No,\r\nthanks ü\";\n");
        activate(&server, "s", &script).await;
        let refused = Err(DeliverError::Refused("No, thanks ?".into()));
        assert_eq!(arrives(&server, HELLO).await, refused);
        assert!(filed(&server, &server.bob).await.is_empty());
        assert!(filed(&server, &server.ann).await.is_empty(), "told already");
        // With others there is one answer for all (SMTP): a report follows.
        let mut recipients = Vec::new();
        for address in [BOB, "eve@example.org"] {
            recipients.push(server.core.resolve_recipient(address).await.unwrap());
        }
        let mut inbound = Inbound {
            mail_from: Some(ANN.to_owned()),
            recipients,
            message: HELLO.replace('\n', "\r\n").into(),
            peer: None,
            answers_each: false,
            arrival: Default::default(),
            is_junk: false,
        };
        let results = server.core.deliver(inbound.clone()).await;
        assert_eq!(results, [Ok(()), Ok(())]);
        server.core.send_due().await.unwrap();
        let reports = server.inbox_messages(&server.ann).await;
        let text = String::from_utf8_lossy(&reports[0]);
        assert!(
            text.contains("bob@example.org\r\n    550 5.7.1 No, thanks ?"),
            "{text}"
        );
        assert_eq!(filed(&server, &server.eve).await, ["hello: Inbox"]);
        // LMTP has an answer for each.
        inbound.answers_each = true;
        let results = server.core.deliver(inbound).await;
        assert_eq!(results, [refused, Ok(())]);
        assert_eq!(server.core.resume_deliveries().await.unwrap(), 0);
        server.core.send_due().await.unwrap();
        assert_eq!(server.inbox_messages(&server.ann).await.len(), 1);
        assert!(filed(&server, &server.bob).await.is_empty());
        // Nobody can be told: it is kept.
        let mut recipients = Vec::new();
        for address in [BOB, "eve@example.org"] {
            recipients.push(server.core.resolve_recipient(address).await.unwrap());
        }
        let inbound = Inbound {
            mail_from: None,
            recipients,
            message: HELLO.replace('\n', "\r\n").into(),
            peer: None,
            answers_each: false,
            arrival: Default::default(),
            is_junk: false,
        };
        server.core.deliver(inbound).await;
        assert_eq!(filed(&server, &server.bob).await, ["hello: Inbox"]);
    }
}

#[tokio::test]
async fn mail_that_is_sent_here_bounces_when_it_is_refused() {
    let server = Server::new().await;
    activate(&server, "s", "require \"reject\";\nreject \"never\";\n").await;
    let envelope = json!({"mailFrom": {"email": ANN}, "rcptTo": [{"email": BOB}]});
    let answer = server.send(HELLO, envelope).await;
    let id = answer["created"]["k"]["id"].as_str().unwrap().to_owned();
    server.core.send_due().await.unwrap();
    let submission = server.submission(&id).await;
    assert_eq!(
        submission["deliveryStatus"][BOB]["smtpReply"], "550 5.7.1 never",
        "{submission}"
    );
    assert!(filed(&server, &server.bob).await.is_empty());
    assert_eq!(
        server.inbox(&server.ann).await,
        ["Your message could not be delivered"]
    );
}

#[tokio::test]
async fn redirects_go_through_the_queue() {
    let server = Server::new().await;
    activate(&server, "s", "redirect \"eve@example.org\";\n").await;
    arrives(&server, &format!("Return-Path: <ann@example.org>\n{HELLO}"))
        .await
        .unwrap();
    assert!(filed(&server, &server.bob).await.is_empty());
    let got = server.inbox_messages(&server.eve).await;
    let text = String::from_utf8_lossy(&got[0]);
    assert!(
        text.starts_with(
            "Return-Path: <ann@example.org>\r\nDelivered-To: bob@example.org\r\nFrom:"
        ),
        "{text}"
    );
    // The null reverse-path stays the null reverse-path.
    arrives_for(&server, None, BOB, HELLO).await.unwrap();
    let got = server.inbox_messages(&server.eve).await;
    assert!(got[1].starts_with(b"Return-Path: <>\r\n"));
    // What was here before goes round in circles, and stays.
    arrives(&server, &format!("Delivered-To: bob@example.org\n{HELLO}"))
        .await
        .unwrap();
    assert_eq!(server.inbox_messages(&server.eve).await.len(), 2);
    assert_eq!(filed(&server, &server.bob).await, ["hello: Inbox"]);
}

#[tokio::test]
async fn two_who_redirect_to_each_other() {
    let server = Server::new().await;
    activate(&server, "s", "redirect \"eve@example.org\";\n").await;
    let blob = upload(&server, &server.eve, "redirect \"bob@example.org\";\n").await;
    let create = json!({
        "create": {"k": {"blobId": blob}},
        "onSuccessActivateScript": "#k",
    });
    server.call::<Set<SieveScript>>(&server.eve, create).await;
    arrives(&server, HELLO).await.unwrap();
    for _ in 0..5 {
        server.core.send_due().await.unwrap();
    }
    let both = [
        filed(&server, &server.bob).await,
        filed(&server, &server.eve).await,
    ];
    assert_eq!(both.concat(), ["hello: Inbox"], "{both:?}");
}

#[tokio::test]
async fn redirects_to_other_servers_wait_in_the_queue() {
    let server = Server::new().await;
    activate(
        &server,
        "s",
        "require \"copy\";\nredirect :copy \"x@example.net\";\n",
    )
    .await;
    arrives(&server, HELLO).await.unwrap();
    assert_eq!(filed(&server, &server.bob).await, ["hello: Inbox"]);
    assert!(server.core.send_due().await.unwrap().is_some());
}

#[tokio::test]
async fn what_is_asked_for_goes_on_with_a_redirect() {
    let rows = [
        ("redirect \"x@example.net\";\n", "SUCCESS,FAILURE"),
        (
            "require \"copy\";\nredirect :copy \"x@example.net\";\n",
            "FAILURE",
        ),
    ];
    for (script, notify) in rows {
        let server = Server::new().await;
        activate(&server, "s", script).await;
        let given = |name: &str, value: Option<&str>| parameters::of_mail(name, value).unwrap();
        let asked = parameters::of_rcpt("NOTIFY", Some("SUCCESS,FAILURE")).unwrap();
        let inbound = Inbound {
            mail_from: Some("carol@example.com".to_owned()),
            recipients: vec![server.core.resolve_recipient(BOB).await.unwrap()],
            message: Bytes::from(HELLO.replace('\n', "\r\n")),
            peer: None,
            answers_each: false,
            is_junk: false,
            arrival: Arrival {
                mail: vec![given("RET", Some("HDRS")), given("REQUIRETLS", None)],
                recipients: vec![vec![asked]],
                ..Arrival::default()
            },
        };
        assert_eq!(server.core.deliver(inbound).await, [Ok(())]);
        let range = keys::objects(server.bob.account, DataType::EmailSubmission);
        let rows = server
            .core
            .engine
            .scan(Page::first(range, 10))
            .await
            .unwrap();
        let records = rows
            .iter()
            .map(|(key, bytes)| SubmissionRecord::from_bytes(key, bytes));
        let records: Vec<SubmissionRecord> = records.map(Result::unwrap).collect();
        let redirect = records
            .iter()
            .find(|record| record.recipients[0].address.email == "x@example.net")
            .unwrap();
        assert!(redirect.mail_from.parameter("REQUIRETLS").is_some());
        assert!(redirect.mail_from.parameter("RET").is_some());
        let to = &redirect.recipients[0].address;
        let value = |name: &str| to.parameter(name).and_then(|p| p.value.as_deref());
        assert_eq!(value("NOTIFY"), Some(notify));
        assert_eq!(value("ORCPT"), Some("rfc822;bob@example.org"));
        // What is kept here is reported, over TLS too; what only goes on isn't.
        let is_report = |record: &&SubmissionRecord| record.mail_from.email.is_empty();
        let report = records.iter().find(is_report);
        assert_eq!(report.is_some(), script.contains(":copy"));
        if let Some(report) = report {
            assert_eq!(report.recipients[0].address.email, "carol@example.com");
            assert!(report.mail_from.parameter("REQUIRETLS").is_some());
        }
    }
}

#[tokio::test]
async fn a_vacation_answers_each_sender_once() {
    let server = Server::new().await;
    let script = "require [\"vacation\", \"fileinto\", \"fcc\"];\nvacation :days 3 :subject \"Gone ✈\" :fcc \"Sent\" \"Until Mai\";\nfileinto \"Archive\";\n";
    activate(&server, "s", script).await;
    arrives(&server, HELLO).await.unwrap();
    arrives(&server, HELLO).await.unwrap();
    assert_eq!(server.inbox(&server.ann).await, ["Gone ✈"]);
    let reply = server.inbox_messages(&server.ann).await.remove(0);
    let text = String::from_utf8_lossy(&reply);
    assert!(text.starts_with("Return-Path: <>\r\n"), "{text}");
    assert!(
        text.contains("From: bob@example.org\r\n") || text.contains("<bob@example.org>"),
        "{text}"
    );
    assert!(text.contains("Auto-Submitted: auto-replied\r\n"), "{text}");
    assert!(text.contains("In-Reply-To: <1@x>\r\n"), "{text}");
    assert!(text.contains("Until Mai"), "{text}");
    assert_eq!(
        filed(&server, &server.bob).await,
        ["Gone ✈: Sent", "hello: Archive", "hello: Archive"]
    );
    server.pass(3 * 86_400 + 1);
    arrives(&server, HELLO).await.unwrap();
    assert_eq!(server.inbox(&server.ann).await.len(), 2);
    for header in [
        "List-Id: <x>\n",
        "Auto-Submitted: auto-generated\n",
        "Precedence: list\n",
    ] {
        server.pass(30 * 86_400);
        arrives(&server, &format!("{header}{HELLO}")).await.unwrap();
        assert_eq!(server.inbox(&server.ann).await.len(), 2, "{header}");
    }
    // Not addressed to bob.
    arrives(&server, &HELLO.replace(BOB, "all@example.org"))
        .await
        .unwrap();
    assert_eq!(server.inbox(&server.ann).await.len(), 2);
}

#[tokio::test]
async fn a_vacation_with_mime_and_a_hostile_subject() {
    let server = Server::new().await;
    let script = "require [\"vacation\"];\nvacation :mime text:\nContent-Type: text/html; charset=utf-8\nX-Bad: 1\n\n<p>Weg</p>\n.\n;\n";
    activate(&server, "s", script).await;
    let message = HELLO.replace(
        "Subject: hello",
        "Subject: =?utf-8?Q?a=0D=0AFrom:_eve=40example.org=0D=0A=0D=0Abody?=",
    );
    arrives(&server, &message).await.unwrap();
    let reply = server.inbox_messages(&server.ann).await.remove(0);
    let text = String::from_utf8_lossy(&reply);
    assert!(
        text.contains("Content-Type: text/html; charset=utf-8\r\n"),
        "{text}"
    );
    assert!(text.ends_with("\r\n\r\n<p>Weg</p>\r\n"), "{text}");
    assert!(!text.contains("X-Bad"), "{text}");
    let summary = crate::mail::message::Summary::parse(&reply);
    let from = crate::mail::message::address::flatten(summary.from.as_deref().unwrap());
    assert_eq!(from.len(), 1);
    assert_eq!(from[0].email, BOB);
}

#[tokio::test]
async fn one_answer_by_the_script_or_by_the_vacation_response() {
    use jmap_types::mail::VacationResponse;
    let server = Server::new().await;
    let away = json!({"update": {"singleton": {"isEnabled": true, "subject": "Object"}}});
    server
        .call::<Set<VacationResponse>>(&server.bob, away)
        .await;
    let script = "require \"vacation\";\nif header :is \"subject\" \"hello\" { vacation :subject \"Script\" \"x\"; }\nelsif header :is \"subject\" \"junk\" { discard; }\n";
    activate(&server, "s", script).await;
    arrives(&server, HELLO).await.unwrap();
    assert_eq!(server.inbox(&server.ann).await, ["Script"]);
    arrives(&server, &HELLO.replace("hello", "junk"))
        .await
        .unwrap();
    assert_eq!(server.inbox(&server.ann).await, ["Script"], "discarded");
    arrives(&server, &HELLO.replace("hello", "other"))
        .await
        .unwrap();
    assert_eq!(server.inbox(&server.ann).await, ["Script", "Object"]);
}

#[tokio::test]
async fn one_message_for_many_each_by_its_own_script() {
    let server = Server::new().await;
    let script = "require [\"editheader\", \"fileinto\"];\naddheader \"X-Of\" \"bob\";\nfileinto \"Archive\";\n";
    activate(&server, "s", script).await;
    let mut recipients = Vec::new();
    for address in ["bob+x@example.org", "eve@example.org", ANN] {
        recipients.push(server.core.resolve_recipient(address).await.unwrap());
    }
    let inbound = Inbound {
        mail_from: Some("x@example.net".to_owned()),
        recipients,
        message: HELLO.replace('\n', "\r\n").into(),
        peer: None,
        answers_each: false,
        arrival: Default::default(),
        is_junk: false,
    };
    assert_eq!(server.core.deliver(inbound).await, [Ok(()), Ok(()), Ok(())]);
    assert_eq!(filed(&server, &server.bob).await, ["hello: Archive"]);
    assert_eq!(filed(&server, &server.eve).await, ["hello: Inbox"]);
    assert_eq!(filed(&server, &server.ann).await, ["hello: Inbox"]);
    check(&server).await;
}

/// Mail that failed its sender's DMARC policy: what is kept is in Junk, what a script files elsewhere is there, and nobody is answered.
#[tokio::test]
async fn what_is_junk_is_kept_as_such_unless_a_script_says_where() {
    let server = Server::new().await;
    let junk = async |subject: &str| {
        let inbound = Inbound {
            mail_from: Some(ANN.to_owned()),
            recipients: vec![server.core.resolve_recipient(BOB).await.unwrap()],
            message: HELLO.replace("hello", subject).replace('\n', "\r\n").into(),
            peer: None,
            answers_each: false,
            arrival: Default::default(),
            is_junk: true,
        };
        assert_eq!(server.core.deliver(inbound).await, [Ok(())]);
        server.core.send_due().await.unwrap();
    };
    junk("one").await;
    let script = "require [\"fileinto\", \"vacation\"];\nvacation \"away\";\n\
                  if header \"subject\" \"two\" { fileinto \"Archive\"; }\n";
    activate(&server, "s", script).await;
    junk("two").await;
    junk("three").await;
    let want = ["one: Junk", "three: Junk", "two: Archive"];
    assert_eq!(filed(&server, &server.bob).await, want);
    assert_eq!(filed(&server, &server.ann).await, Vec::<String>::new());
    check(&server).await;
}
