//! SEARCH, SORT, THREAD and what goes with them (RFC 9051 §6.4.4, RFC 4731, RFC 5182, RFC 5256, RFC 5267, RFC 9394).

use std::time::Duration;

use crate::fixture;

use super::{Client, Server};

const MESSAGES: [&str; 5] = [
    "From: Amy <amy@example.com>\nTo: list@example.org\nSubject: plan\nDate: Mon, 1 Jan 2018 10:00:00 +0000\nMessage-ID: <1@x>\n\nGNU/Linux works\n",
    "From: bob@example.com\nCc: zoe@example.org\nSubject: Re: plan\nDate: Tue, 2 Jan 2018 10:00:00 +0000\nMessage-ID: <2@x>\nReferences: <1@x>\n\nfine\n",
    "From: =?utf-8?q?J=C3=B6rg?= <joerg@example.com>\nSubject: lunch\nDate: Wed, 3 Jan 2018 23:30:00 -0800\nMessage-ID: <3@x>\n\nat noon, Gr\u{fc}\u{df}e\n",
    "From: carol@example.com\nSubject: Re: plan\nDate: Wed, 3 Jan 2018 01:00:00 +0000\nMessage-ID: <4@x>\nReferences: <1@x> <2@x>\n\nlinuxes\n",
    "From: dave@example.com\nSubject: alone\nMessage-ID: <5@x>\n\nnothing\n",
];

/// An INBOX with these messages, UIDs 2 to 6.
async fn mailbox(server: &Server) -> Client {
    let mut client = server.login().await;
    client.append("INBOX", "", "Subject: gone\r\n\r\n").await;
    for (number, message) in MESSAGES.iter().enumerate() {
        let flags = if number == 1 { "(\\Seen $Work)" } else { "" };
        client
            .append("INBOX", flags, &message.replace('\n', "\r\n"))
            .await;
    }
    client.ok("SELECT INBOX").await;
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    client.ok("EXPUNGE").await;
    client
}

async fn check(client: &mut Client, rows: &[(&str, &str)]) {
    for (command, want) in rows {
        let answer = client.say(command).await;
        assert_eq!(answer.lines().next(), Some(*want), "{command}: {answer}");
        assert!(
            answer.lines().last().unwrap().starts_with(". OK"),
            "{command}: {answer}"
        );
    }
}

#[tokio::test]
async fn every_search_key() {
    let server = Server::start().await;
    let mut client = mailbox(&server).await;
    let rows = [
        ("SEARCH ALL", "* SEARCH 1 2 3 4 5"),
        ("UID SEARCH ALL", "* SEARCH 2 3 4 5 6"),
        ("SEARCH SEEN", "* SEARCH 2"),
        ("SEARCH UNSEEN", "* SEARCH 1 3 4 5"),
        ("SEARCH KEYWORD $work", "* SEARCH 2"),
        ("SEARCH UNKEYWORD $work", "* SEARCH 1 3 4 5"),
        ("SEARCH ANSWERED", "* SEARCH"),
        (
            "SEARCH UNANSWERED UNDRAFT UNFLAGGED UNDELETED",
            "* SEARCH 1 2 3 4 5",
        ),
        ("SEARCH OR DELETED DRAFT", "* SEARCH"),
        ("SEARCH TEXT linux", "* SEARCH 1 4"),
        ("SEARCH BODY inux", "* SEARCH 1 4"),
        ("SEARCH BODY plan", "* SEARCH"),
        ("SEARCH SUBJECT PLAN", "* SEARCH 1 2 4"),
        ("SEARCH FROM example NOT SUBJECT plan", "* SEARCH 3 5"),
        ("SEARCH TO list@", "* SEARCH 1"),
        ("SEARCH CC zoe", "* SEARCH 2"),
        ("SEARCH BCC a", "* SEARCH"),
        ("SEARCH CHARSET UTF-8 FROM {5+}\r\nJ\u{d6}RG", "* SEARCH 3"),
        ("SEARCH BODY {7+}\r\ngr\u{fc}sse", "* SEARCH 3"),
        ("SEARCH HEADER Message-ID 4@x", "* SEARCH 4"),
        ("SEARCH HEADER References \"\"", "* SEARCH 2 4"),
        ("SEARCH 2:3", "* SEARCH 2 3"),
        ("SEARCH 4:*", "* SEARCH 4 5"),
        ("SEARCH *", "* SEARCH 5"),
        ("SEARCH 3:900", "* SEARCH 3 4 5"),
        ("SEARCH 900", "* SEARCH"),
        ("SEARCH UID 1:3", "* SEARCH 1 2"),
        ("SEARCH NOT 1:3", "* SEARCH 4 5"),
        ("SEARCH UID *", "* SEARCH 5"),
        ("SEARCH SENTBEFORE 2-Jan-2018", "* SEARCH 1"),
        ("SEARCH SENTON 3-Jan-2018", "* SEARCH 3 4"),
        ("SEARCH SENTSINCE 3-Jan-2018", "* SEARCH 3 4"),
        ("SEARCH SENTON 4-Jan-2018", "* SEARCH"),
        ("SEARCH SINCE 1-Jan-2020", "* SEARCH 1 2 3 4 5"),
        ("SEARCH BEFORE 1-Jan-2020", "* SEARCH"),
        ("SEARCH SAVEDSINCE 1-Jan-2020", "* SEARCH 1 2 3 4 5"),
        ("SEARCH SAVEDATESUPPORTED", "* SEARCH 1 2 3 4 5"),
        ("SEARCH LARGER 10 SMALLER 100", "* SEARCH 5"),
        ("SEARCH (OR (SEEN SUBJECT plan) FROM dave)", "* SEARCH 2 5"),
        ("SEARCH FUZZY SUBJECT lunch", "* SEARCH 3"),
        ("SEARCH TEXT nowhere", "* SEARCH"),
        ("SEARCH EMAILID nonsense", "* SEARCH"),
    ];
    check(&mut client, &rows).await;
    server.0.core.rebuild_search().await.unwrap();
    check(&mut client, &rows).await;
    // What has `\Deleted` isn't there for JMAP, nor in the index.
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    let rows = [
        ("SEARCH DELETED TEXT linux", "* SEARCH 1"),
        ("SEARCH UNDELETED TEXT linux", "* SEARCH 4"),
        ("SEARCH TEXT linux", "* SEARCH 1 4"),
        ("SEARCH SUBJECT plan DELETED", "* SEARCH 1"),
    ];
    check(&mut client, &rows).await;
    server.0.core.rebuild_search().await.unwrap();
    check(&mut client, &rows).await;
    assert!(
        client
            .say("SEARCH CHARSET KOI8-R ALL")
            .await
            .contains(". NO [BADCHARSET")
    );
}

#[tokio::test]
async fn extended_answers() {
    let server = Server::start().await;
    let mut client = mailbox(&server).await;
    for (command, want) in [
        ("SEARCH RETURN () SUBJECT plan", "ALL 1:2,4"),
        (
            "UID SEARCH RETURN (MIN MAX COUNT) SUBJECT plan",
            "UID MIN 2 MAX 5 COUNT 3",
        ),
        ("SEARCH RETURN (COUNT MIN) TEXT nowhere", "COUNT 0"),
        (
            "UID SEARCH RETURN (PARTIAL -1:-2) ALL",
            "UID PARTIAL (-1:-2 5:6)",
        ),
        (
            "SORT RETURN (ALL COUNT) (REVERSE DATE) UTF-8 SUBJECT plan",
            "COUNT 3 ALL 4,2,1",
        ),
    ] {
        let answer = client.ok(command).await;
        let first = answer.lines().next().unwrap();
        assert!(
            first.starts_with("* ESEARCH (TAG \"a"),
            "{command}: {answer}"
        );
        assert!(first.ends_with(&format!(") {want}")), "{command}: {answer}");
    }
    assert!(
        client
            .say("SEARCH RETURN (ALL PARTIAL 1:2) ALL")
            .await
            .starts_with(". BAD")
    );
}

#[tokio::test]
async fn a_result_is_saved() {
    let server = Server::start().await;
    let mut client = mailbox(&server).await;
    assert_eq!(
        client
            .ok("SEARCH RETURN (SAVE) SUBJECT plan")
            .await
            .lines()
            .count(),
        1
    );
    check(
        &mut client,
        &[
            ("SEARCH $ UNSEEN", "* SEARCH 1 4"),
            ("UID SEARCH UID $", "* SEARCH 2 3 5"),
        ],
    )
    .await;
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    client.ok("EXPUNGE").await;
    check(&mut client, &[("SEARCH $", "* SEARCH 1 3")]).await;
    client.ok("SEARCH RETURN (SAVE MIN) ALL").await;
    check(&mut client, &[("SEARCH $", "* SEARCH 1")]).await;
}

#[tokio::test]
async fn modseq_is_a_key_and_is_answered() {
    let server = Server::start().await;
    let mut client = mailbox(&server).await;
    let answer = client.ok("SEARCH MODSEQ 1").await;
    let line = answer
        .lines()
        .find(|line| line.starts_with("* SEARCH"))
        .unwrap();
    assert!(line.starts_with("* SEARCH 1 2 3 4 5 (MODSEQ "), "{answer}");
    let highest: u64 = line
        .rsplit_once(' ')
        .unwrap()
        .1
        .trim_end_matches(')')
        .parse()
        .unwrap();
    let answer = client.ok(&format!("SEARCH MODSEQ {}", highest + 1)).await;
    assert_eq!(answer.lines().next(), Some("* SEARCH"));
    let answer = client
        .ok(&format!("SEARCH RETURN (COUNT) MODSEQ {highest}"))
        .await;
    assert!(
        answer.contains(&format!("COUNT 1 MODSEQ {highest}\n")),
        "{answer}"
    );
}

#[tokio::test]
async fn messages_are_sorted_and_threaded() {
    let server = Server::start().await;
    let mut client = mailbox(&server).await;
    let rows = [
        ("SORT (DATE) UTF-8 NOT FROM dave", "* SORT 1 2 4 3"),
        (
            "UID SORT (REVERSE DATE) US-ASCII NOT FROM dave",
            "* SORT 4 5 3 2",
        ),
        ("SORT (SUBJECT REVERSE FROM) UTF-8 ALL", "* SORT 5 3 4 2 1"),
        ("SORT (FROM) UTF-8 TEXT nowhere", "* SORT"),
        (
            "THREAD REFERENCES UTF-8 NOT FROM dave",
            "* THREAD (1 2 4)(3)",
        ),
        (
            "UID THREAD REFERENCES UTF-8 SUBJECT plan",
            "* THREAD (2 3 5)",
        ),
        (
            "THREAD ORDEREDSUBJECT UTF-8 NOT FROM dave",
            "* THREAD (1 (2)(4))(3)",
        ),
        ("THREAD REFERENCES UTF-8 TEXT nowhere", "* THREAD"),
    ];
    check(&mut client, &rows).await;
}

#[tokio::test]
async fn only_messages_that_were_announced_are_found() {
    let server = Server::start().await;
    let mut client = mailbox(&server).await;
    let mut other = server.login().await;
    other.ok("SELECT INBOX").await;
    other.append("INBOX", "", "Subject: plan\r\n\r\n").await;
    // EXISTS comes at the end of the command; before it, the message is not there.
    let answer = client.ok("SEARCH ALL").await;
    assert!(
        answer.starts_with("* SEARCH 1 2 3 4 5\n* 6 EXISTS\n"),
        "{answer}"
    );
    check(&mut client, &[("SEARCH ALL", "* SEARCH 1 2 3 4 5 6")]).await;
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    // RFC 9051 §7.5.1: the numbers stay until a command that allows for it.
    let answer = client.ok("SEARCH ALL").await;
    assert!(answer.starts_with("* SEARCH 2 3 4 5 6\n"), "{answer}");
    assert!(!answer.contains("EXPUNGE"), "{answer}");
    let answer = client.ok("UID SEARCH ALL").await;
    assert!(answer.starts_with("* SEARCH 3 4 5 6 7\n"), "{answer}");
    assert!(answer.contains("* 1 EXPUNGE"), "{answer}");
}

#[tokio::test]
async fn searches_are_kept_up_to_date() {
    let server = Server::start().await;
    let mut client = mailbox(&server).await;
    client
        .send("ctx SEARCH RETURN (UPDATE COUNT) SUBJECT plan UNSEEN\r\n")
        .await;
    assert_eq!(
        client.answer("ctx").await,
        "* ESEARCH (TAG \"ctx\") COUNT 2\n. OK SEARCH done\n"
    );
    client.send("ctx SEARCH RETURN (UPDATE) ALL\r\n").await;
    assert!(client.answer("ctx").await.starts_with(". BAD"));
    let answer = client.ok("STORE 2 -FLAGS (\\Seen)").await;
    assert!(answer.contains("ADDTO (0 2)"), "{answer}");
    let answer = client.ok("STORE 1 +FLAGS (\\Seen)").await;
    assert!(answer.contains("REMOVEFROM (0 1)"), "{answer}");
    let mut other = server.login().await;
    other.ok("SELECT INBOX").await;
    other.append("INBOX", "", "Subject: plan\r\n\r\n").await;
    let answer = client.ok("NOOP").await;
    let (exists, added) = (answer.find("* 6 EXISTS"), answer.find("ADDTO (0 6)"));
    assert!(exists.is_some() && exists < added, "{answer}");
    other.ok("STORE 2 +FLAGS.SILENT (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    let answer = client.ok("NOOP").await;
    let (removed, expunged) = (answer.find("REMOVEFROM (0 2)"), answer.find("* 2 EXPUNGE"));
    assert!(removed.is_some() && removed < expunged, "{answer}");
    client.ok("CANCELUPDATE \"ctx\"").await;
    let answer = client.ok("STORE 1 -FLAGS (\\Seen)").await;
    assert!(!answer.contains("ESEARCH"), "{answer}");
    let mut refused = 0;
    for _ in 0..12 {
        refused += client
            .ok("SEARCH RETURN (UPDATE) ALL")
            .await
            .matches("NO [NOUPDATE")
            .count();
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn several_mailboxes_are_searched_at_once() {
    let server = Server::start().await;
    let mut client = mailbox(&server).await;
    client.ok("CREATE work/deep/down").await;
    client
        .append("work/deep", "", "Subject: plan b\r\n\r\n")
        .await;
    client
        .append("work/deep/down", "", "Subject: plan c\r\n\r\n")
        .await;
    client.append("work", "", "Subject: other\r\n\r\n").await;
    let found = async |client: &mut Client, command: &str| {
        let answer = client.ok(command).await;
        let lines = answer
            .lines()
            .filter_map(|line| line.split_once("MAILBOX "));
        let rests = lines.map(|(_, rest)| {
            let (name, rest) = rest.split_once(" UIDVALIDITY ").unwrap();
            format!(
                "{}{}",
                name.trim_matches('"'),
                rest.split_once(')').unwrap().1
            )
        });
        rests.collect::<Vec<_>>().join("; ")
    };
    for (command, want) in [
        (
            "ESEARCH IN (personal) SUBJECT plan",
            "INBOX UID ALL 2:3,5; work/deep UID ALL 1; work/deep/down UID ALL 1",
        ),
        (
            "ESEARCH IN (subtree-one work) RETURN (COUNT) SUBJECT plan",
            "work/deep UID COUNT 1",
        ),
        (
            "ESEARCH IN (subtree work) RETURN (MAX) ALL",
            "work UID MAX 1; work/deep UID MAX 1; work/deep/down UID MAX 1",
        ),
        (
            "ESEARCH IN (mailboxes work mailboxes (work nowhere)) ALL",
            "work UID ALL 1",
        ),
        ("ESEARCH IN (inboxes selected) FROM amy", "INBOX UID ALL 2"),
        ("ESEARCH SUBJECT plan 1", "INBOX UID ALL 2"),
        ("ESEARCH IN (personal) 1", "INBOX UID ALL 2"),
        ("ESEARCH IN (personal) TEXT nowhere", ""),
    ] {
        assert_eq!(found(&mut client, command).await, want, "{command}");
    }
    assert!(
        client
            .say("ESEARCH IN (personal) RETURN (SAVE) ALL")
            .await
            .starts_with(". BAD")
    );
    client.ok("ESEARCH RETURN (SAVE) FROM amy").await;
    check(&mut client, &[("SEARCH $", "* SEARCH 1")]).await;
    client.ok("UNSELECT").await;
    assert!(client.say("ESEARCH ALL").await.starts_with(". BAD"));
    assert_eq!(
        found(&mut client, "ESEARCH IN (mailboxes work) ALL").await,
        "work UID ALL 1"
    );
    let capabilities = client.ok("CAPABILITY").await;
    for name in [
        "ESEARCH",
        "SEARCHRES",
        "PARTIAL",
        "SORT",
        "SORT=DISPLAY",
        "THREAD=REFERENCES",
        "MULTISEARCH",
        "CONTEXT=SEARCH",
        "I18NLEVEL=1",
    ] {
        assert!(
            capabilities.contains(&format!(" {name}")),
            "{name}: {capabilities}"
        );
    }
}

/// The result of a SORT, as a client keeps it.
fn follow(list: &mut Vec<u32>, answer: &str) {
    for line in answer.lines().filter(|line| line.contains("ESEARCH")) {
        let mut words = line.split([' ', '(', ')']).filter(|word| !word.is_empty());
        let mut adds = None;
        while let Some(word) = words.next() {
            match (word, adds) {
                ("ADDTO", _) => adds = Some(true),
                ("REMOVEFROM", _) => adds = Some(false),
                (position, Some(adds)) => {
                    let at = position.parse::<usize>().unwrap() - 1;
                    let number: u32 = words.next().unwrap().parse().unwrap();
                    match adds {
                        true => list.insert(at, number),
                        false => assert_eq!(list.remove(at), number, "{line}"),
                    }
                }
                _ => {}
            }
        }
    }
}

/// RFC 5267 §4.3: who puts in and takes out what it is told has what the same SORT would find now.
#[tokio::test]
async fn sorted_searches_are_kept_up_to_date() {
    let server = Server::start().await;
    let mut client = server.with_messages(0).await;
    let mut other = server.login().await;
    other.ok("SELECT INBOX").await;
    let mut dice = 7u32;
    let mut roll = |sides: u32| {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (dice >> 16) % sides
    };
    for number in 0..90 {
        let letter = (b'a' + roll(20) as u8) as char;
        let text = format!("Subject: {letter}\r\n\r\n{}", "x".repeat(roll(5) as usize));
        other.append("INBOX", "", &text).await;
        if number % 3 == 0 {
            let flags = format!("STORE {} +FLAGS.SILENT (\\Flagged)", number + 1);
            other.ok(&flags).await;
        }
    }
    client.ok("NOOP").await;
    let sort = "UID SORT RETURN (ALL) (REVERSE SUBJECT SIZE) UTF-8 UNFLAGGED";
    client
        .send("ctx UID SORT RETURN (UPDATE COUNT) (REVERSE SUBJECT SIZE) UTF-8 UNFLAGGED\r\n")
        .await;
    let answer = client.answer("ctx").await;
    assert!(!answer.contains("NOUPDATE"), "{answer}");
    let now = |answer: &str| -> Vec<u32> {
        let line = answer.lines().find(|line| line.contains(" ALL ")).unwrap();
        let set = line
            .split(" ALL ")
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap();
        let range = |part: &str| -> Vec<u32> {
            let (a, b) = part.split_once(':').unwrap_or((part, part));
            let (a, b): (u32, u32) = (a.parse().unwrap(), b.parse().unwrap());
            match a <= b {
                true => (a..=b).collect(),
                false => (b..=a).rev().collect(),
            }
        };
        set.split(',').flat_map(range).collect()
    };
    let mut list = now(&client.ok(sort).await);
    assert_eq!(list.len(), 60);
    for _ in 0..12 {
        for _ in 0..roll(4) {
            let letter = (b'a' + roll(20) as u8) as char;
            other
                .append("INBOX", "", &format!("Subject: {letter}\r\n\r\n"))
                .await;
        }
        let (number, sign) = (roll(60) + 1, ["+", "-"][roll(2) as usize]);
        let store = format!(
            "STORE {number}:{} {sign}FLAGS.SILENT (\\Flagged)",
            number + 9
        );
        other.ok(&store).await;
        if roll(3) == 0 {
            let deleted = format!("STORE {} +FLAGS.SILENT (\\Deleted)", roll(60) + 1);
            other.ok(&deleted).await;
            other.ok("EXPUNGE").await;
        }
        follow(&mut list, &client.ok("NOOP").await);
        let expected = now(&client.ok(sort).await);
        assert_eq!(list, expected);
    }
    client.ok("CANCELUPDATE \"ctx\"").await;
    other.append("INBOX", "", "Subject: z\r\n\r\n").await;
    let answer = client.ok("NOOP").await;
    assert!(!answer.contains("ESEARCH"), "{answer}");
}

/// RFC 9585: here each command that isn't done at once takes long.
#[tokio::test]
async fn long_commands_tell_that_they_are_worked_on() {
    let server = fixture::start_with(Default::default(), |config| {
        config.timeouts.progress = Duration::ZERO;
    })
    .await;
    let mut client = server.login("bob").await;
    for number in 0..3 {
        let text = format!("Subject: {number}\r\n\r\nbody");
        let command = format!("APPEND INBOX {{{}+}}\r\n{text}", text.len());
        client.ok(&command).await;
    }
    client.ok("SELECT INBOX").await;
    let rows = [
        ("SEARCH BODY body", "NIL NIL"),
        ("SORT (SUBJECT) UTF-8 ALL", "NIL NIL"),
        ("THREAD REFERENCES UTF-8 ALL", "NIL NIL"),
        ("STORE 1:3 +FLAGS (a)", "0 3"),
        ("COPY 1:3 Trash", "NIL NIL"),
        ("MOVE 1 Trash", "NIL NIL"),
        ("STORE 1:* +FLAGS.SILENT (\\Deleted)", "0 2"),
        ("EXPUNGE", "0 2"),
    ];
    for (at, (command, numbers)) in rows.into_iter().enumerate() {
        let tag = format!("p{at}");
        client.send(format!("{tag} {command}\r\n")).await;
        let lines = client.until(&tag).await;
        let start = format!("* OK [INPROGRESS (\"{tag}\" {numbers})] ");
        assert!(
            lines.iter().any(|line| line.starts_with(&start)),
            "{command}: {lines:?}"
        );
        let end = lines.last().unwrap();
        assert!(end.starts_with("OK "), "{command}: {end}");
    }
}
