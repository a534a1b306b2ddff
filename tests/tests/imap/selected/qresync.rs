//! CONDSTORE and QRESYNC (RFC 7162).

use super::{Server, message};

/// The number after a word.
fn number_after(text: &str, word: &str) -> u64 {
    let (_, rest) = text
        .split_once(word)
        .unwrap_or_else(|| panic!("no {word} in\n{text}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_away_is_told_what_it_missed() {
    let server = Server::start().await;
    let mut client = server.with_messages(5).await;
    client.ok("ENABLE QRESYNC").await;
    let selected = client.ok("SELECT INBOX").await;
    let validity = number_after(&selected, "[UIDVALIDITY ");
    let modseq = number_after(&selected, "[HIGHESTMODSEQ ");
    client.ok("UNSELECT").await;

    let mut other = server.login().await;
    other.ok("SELECT INBOX").await;
    other.ok("STORE 2,4 +FLAGS (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    other.ok("STORE 1 +FLAGS (\\Flagged)").await;
    other.append("INBOX", "", &message(6)).await;

    let answer = client
        .ok(&format!("SELECT INBOX (QRESYNC ({validity} {modseq} 1:5))"))
        .await;
    assert!(answer.contains("* VANISHED (EARLIER) 2,4\n"), "{answer}");
    assert!(
        answer.contains("* 1 FETCH (UID 1 FLAGS (\\Flagged) MODSEQ ("),
        "{answer}"
    );
    assert!(!answer.contains("UID 6 "), "{answer}");
    let answer = client
        .ok(&format!(
            "SELECT INBOX (QRESYNC ({validity} {modseq} 1:5 (1:2 1,3)))"
        ))
        .await;
    assert!(answer.contains("* VANISHED (EARLIER) 4\n"), "{answer}");
    let answer = client
        .ok(&format!(
            "SELECT INBOX (QRESYNC ({} {modseq} 1:5))",
            validity + 1
        ))
        .await;
    assert!(!answer.contains("VANISHED"), "{answer}");

    // §3.2.10: VANISHED in place of EXPUNGE, and the MODSEQ at the end.
    let answer = client
        .ok(&format!(
            "UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq} VANISHED)"
        ))
        .await;
    assert!(
        answer.starts_with("* VANISHED (EARLIER) 2,4\n* 1 FETCH (UID 1 "),
        "{answer}"
    );
    assert!(
        answer.contains("* 4 FETCH (UID 6 FLAGS () MODSEQ ("),
        "{answer}"
    );
    client.ok("STORE 1 +FLAGS (\\Deleted)").await;
    let answer = client.ok("EXPUNGE").await;
    assert!(answer.contains("* VANISHED 1\n"), "{answer}");
    assert!(answer.contains(". OK [HIGHESTMODSEQ "), "{answer}");
    let at_expunge = number_after(&answer, "[HIGHESTMODSEQ ");
    assert!(at_expunge > modseq);
    // §3.2.8
    assert_eq!(client.ok("CLOSE").await, ". OK Closed\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn condstore_tells_the_modseq_once_it_was_asked_for() {
    let server = Server::start().await;
    let mut client = server.with_messages(2).await;
    client
        .expect("FETCH 1 FLAGS", &["* 1 FETCH (FLAGS ())"])
        .await;
    let answer = client.ok("FETCH 1:2 (MODSEQ)").await;
    assert!(answer.starts_with("* OK [HIGHESTMODSEQ "), "{answer}");
    let modseq = number_after(&answer, "MODSEQ (");
    client
        .expect(
            "STORE 2 +FLAGS.SILENT (\\Seen)",
            &["* 2 FETCH (UID 2 MODSEQ (~"],
        )
        .await;
    let answer = client
        .ok(&format!("FETCH 1:2 (FLAGS) (CHANGEDSINCE {modseq})"))
        .await;
    assert!(
        !answer.contains("* 1 FETCH") && answer.contains("* 2 FETCH"),
        "{answer}"
    );
    client
        .expect("SELECT INBOX (QRESYNC (1 1))", &[". BAD~"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_told_yet_is_not_passed_over() {
    let server = Server::start().await;
    let mut client = server.with_messages(4).await;
    client.ok("ENABLE QRESYNC").await;
    let selected = client.ok("SELECT INBOX").await;
    let validity = number_after(&selected, "[UIDVALIDITY ");
    let modseq = number_after(&selected, "[HIGHESTMODSEQ ");
    let mut other = server.login().await;
    other.ok("SELECT INBOX").await;
    other.ok("STORE 2 +FLAGS (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    // Its MODSEQ is beyond that of the removal, which may not be told now (§3.2).
    let answer = client.ok("STORE 1 +FLAGS (\\Flagged)").await;
    assert!(
        answer.contains("* 1 FETCH (UID 1 FLAGS (\\Flagged) MODSEQ ("),
        "{answer}"
    );
    assert!(!answer.contains("VANISHED"), "{answer}");
    let told = number_after(&answer, "[HIGHESTMODSEQ ");
    assert_eq!(told, modseq);
    drop(client);
    let mut client = server.login().await;
    client.ok("ENABLE QRESYNC").await;
    let answer = client
        .ok(&format!("SELECT INBOX (QRESYNC ({validity} {told}))"))
        .await;
    assert!(answer.contains("* VANISHED (EARLIER) 2\n"), "{answer}");
}

/// RFC 9586.
#[tokio::test(flavor = "multi_thread")]
async fn uidonly_names_messages_by_uid_alone() {
    let server = Server::start().await;
    let mut client = server.with_messages(4).await;
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    client.ok("EXPUNGE").await;
    let enabled = client.ok("ENABLE UIDONLY QRESYNC").await;
    assert!(
        enabled.starts_with("* ENABLED UIDONLY QRESYNC\n"),
        "{enabled}"
    );
    for command in [
        "FETCH 1 FLAGS",
        "STORE 1 +FLAGS (\\Seen)",
        "COPY 1 Trash",
        "MOVE 1 Trash",
        "SEARCH ALL",
        "SORT (DATE) UTF-8 ALL",
        "THREAD REFERENCES UTF-8 ALL",
        "UID SEARCH 1:2",
        "SELECT INBOX (QRESYNC (1 1 1:4 (1 1)))",
        "REPLACE 1 INBOX {3+}\r\na\r\n",
    ] {
        client.expect(command, &[". BAD [UIDREQUIRED]~"]).await;
    }
    let selected = client.ok("SELECT INBOX").await;
    assert!(!selected.contains("[UNSEEN "), "{selected}");
    client
        .expect("UID FETCH 2 FLAGS", &["* 2 UIDFETCH (FLAGS () MODSEQ (~"])
        .await;
    client
        .expect(
            "UID STORE 3 +FLAGS (\\Deleted)",
            &["* 3 UIDFETCH (FLAGS (\\Deleted)~"],
        )
        .await;
    client.expect("UID SEARCH ALL", &["* SEARCH 2 3 4"]).await;
    let mut other = server.login().await;
    other.ok("SELECT INBOX").await;
    other.ok("STORE 1 +FLAGS (\\Flagged)").await;
    client
        .expect("NOOP", &["* 2 UIDFETCH (FLAGS (\\Flagged)~"])
        .await;
    client.expect("EXPUNGE", &["* VANISHED 3", ". OK~"]).await;
    client
        .expect(
            "UID MOVE 4 Trash",
            &["* OK [COPYUID~", "* VANISHED 4", ". OK~"],
        )
        .await;
}
