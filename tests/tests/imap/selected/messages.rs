//! The selected mailbox: SELECT, FETCH, STORE, EXPUNGE, COPY, MOVE, APPEND, REPLACE.

use super::{Server, message};

#[tokio::test(flavor = "multi_thread")]
async fn select_says_what_there_is() {
    let server = Server::start().await;
    let mut client = server.login().await;
    client.append("INBOX", "(\\Seen work)", &message(1)).await;
    client.append("INBOX", "", &message(2)).await;
    let answer = client.say("SELECT INBOX").await;
    for want in [
        "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft work)\n",
        "* 2 EXISTS\n",
        "* 0 RECENT\n",
        "* OK [UNSEEN 2] ",
        "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft work \\*)] ",
        "* OK [UIDVALIDITY ",
        "* OK [UIDNEXT 3] ",
        "* OK [HIGHESTMODSEQ ",
        "* OK [MAILBOXID (",
        ". OK [READ-WRITE] ",
    ] {
        assert!(answer.contains(want), "no {want} in\n{answer}");
    }
    client
        .expect(
            "EXAMINE INBOX",
            &[
                "* OK [CLOSED]~",
                "* OK [PERMANENTFLAGS ()]~",
                ". OK [READ-ONLY]~",
            ],
        )
        .await;
    client
        .expect("STORE 1 +FLAGS (\\Deleted)", &[". NO [NOPERM]~"])
        .await;
    client
        .expect(
            "FETCH 2 BODY[TEXT]",
            &["* 2 FETCH (BODY[TEXT] {8}", "body 2", ")", ". OK~"],
        )
        .await;
    client
        .expect("FETCH 2 FLAGS", &["* 2 FETCH (FLAGS ())"])
        .await;
    client
        .expect("SELECT nowhere", &["* OK [CLOSED]~", ". NO [NONEXISTENT]~"])
        .await;
    client.expect("FETCH 1 FLAGS", &[". BAD~"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fetch_answers_and_sets_seen() {
    let server = Server::start().await;
    let mut client = server.with_messages(3).await;
    client
        .expect(
            "FETCH 1 (UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT)])",
            &[
                "* 1 FETCH (UID 1 RFC822.SIZE 51 BODY[HEADER.FIELDS (SUBJECT)] {22}",
                "Subject: message 1",
                "",
                ")",
                ". OK~",
            ],
        )
        .await;
    client
        .expect(
            "FETCH 1:* (ENVELOPE BODYSTRUCTURE)",
            &[
                "* 1 FETCH (ENVELOPE (NIL \"message 1\" ((NIL NIL \"a\" \"example.org\"))~",
                "* 3 FETCH (ENVELOPE~",
            ],
        )
        .await;
    client
        .expect(
            "FETCH 2 BODY[1]",
            &[
                "* 2 FETCH (BODY[1] {8}",
                "body 2",
                " FLAGS (\\Seen))",
                ". OK~",
            ],
        )
        .await;
    let again = client.say("UID FETCH 2 BODY[1]").await;
    assert!(!again.contains("FLAGS"), "{again}");
    client.expect("FETCH 4 FLAGS", &[". BAD~"]).await;
    client.expect("UID FETCH 4 FLAGS", &[". OK~"]).await;
    client
        .expect(
            "UID FETCH 1:* (FLAGS) (PARTIAL -1:-2)",
            &["* 2 FETCH~", "* 3 FETCH~"],
        )
        .await;
    client
        .expect("FETCH 1 (EMAILID THREADID)", &["* 1 FETCH (EMAILID (e~"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn store_changes_flags_and_tells_the_others() {
    let server = Server::start().await;
    let mut client = server.with_messages(2).await;
    let mut other = server.login().await;
    other.ok("SELECT INBOX").await;
    client
        .expect(
            "STORE 1 +FLAGS ($Forwarded \\Flagged)",
            &["* 1 FETCH (UID 1 FLAGS (\\Flagged $Forwarded))", ". OK~"],
        )
        .await;
    let silent = client.say("STORE 1:2 FLAGS.SILENT (\\Seen)").await;
    assert!(!silent.contains("FETCH"), "{silent}");
    other
        .expect(
            "NOOP",
            &[
                "* 1 FETCH (UID 1 FLAGS (\\Seen))",
                "* 2 FETCH (UID 2 FLAGS (\\Seen))",
            ],
        )
        .await;
    client
        .expect("STORE 1 -FLAGS (\\Seen)", &["* 1 FETCH (UID 1 FLAGS ())"])
        .await;
    client
        .expect("STORE 1 +FLAGS (\\Nonsense)", &[". NO [CANNOT]~"])
        .await;
    // RFC 7162 §3.1.3
    let answer = client
        .say("UID STORE 1:2 (UNCHANGEDSINCE 1) +FLAGS (\\Answered)")
        .await;
    assert!(answer.contains("* OK [HIGHESTMODSEQ "), "{answer}");
    assert!(answer.contains(". OK [MODIFIED 1:2]"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn expunge_keeps_numbers_until_it_may_be_told() {
    let server = Server::start().await;
    let mut client = server.with_messages(4).await;
    let mut other = server.login().await;
    other.ok("SELECT INBOX").await;
    client
        .expect("STORE 2,4 +FLAGS.SILENT (\\Deleted)", &[". OK~"])
        .await;
    client
        .expect("EXPUNGE", &["* 4 EXPUNGE", "* 2 EXPUNGE", ". OK~"])
        .await;
    let answer = other.say("FETCH 1:4 UID").await;
    assert_eq!(
        answer,
        "* 1 FETCH (UID 1)\n* 3 FETCH (UID 3)\n. OK [EXPUNGEISSUED] Some messages are gone\n"
    );
    other.expect("FETCH 3 UID", &["* 3 FETCH (UID 3)"]).await;
    other
        .expect("NOOP", &["* 4 EXPUNGE", "* 2 EXPUNGE", ". OK~"])
        .await;
    other.expect("FETCH 2 UID", &["* 2 FETCH (UID 3)"]).await;
    // RFC 9051 §6.4.9
    client
        .expect("STORE 1:2 +FLAGS.SILENT (\\Deleted)", &[". OK~"])
        .await;
    client
        .expect("UID EXPUNGE 3", &["* 2 EXPUNGE", ". OK~"])
        .await;
    client.expect("CLOSE", &[". OK~"]).await;
    other.expect("NOOP", &["* 2 EXPUNGE", "* 1 EXPUNGE"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_and_move_tell_the_uids() {
    let server = Server::start().await;
    let mut client = server.with_messages(3).await;
    let copied = client.ok("COPY 1:2 Trash").await;
    assert!(copied.contains(" 1:2 1:2] "), "{copied}");
    let moved = client.ok("UID MOVE 2:3 Archive").await;
    let start = moved.find("* OK [COPYUID ").expect(&moved);
    let expunge = moved.find("* 3 EXPUNGE\n* 2 EXPUNGE\n").expect(&moved);
    assert!(start < expunge && moved.contains(" 2:3 1:2] "), "{moved}");
    client
        .expect("COPY 1 nowhere", &[". NO [TRYCREATE]~"])
        .await;
    client.expect("UID COPY 77 Trash", &[". OK COPY~"]).await;
    client.expect("COPY 7 Trash", &[". BAD~"]).await;
    client
        .expect("SELECT Archive", &["* 2 EXISTS", ". OK~"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn append_files_all_or_nothing() {
    let server = Server::start().await;
    let mut client = server.login().await;
    let answer = client
        .append(
            "INBOX",
            "(\\Draft) \"17-Jul-1996 02:44:25 -0700\"",
            &message(1),
        )
        .await;
    assert!(
        answer.contains("OK [APPENDUID ") && answer.contains(" 1] "),
        "{answer}"
    );
    let (one, two) = (message(2), message(3));
    let many = format!(
        "APPEND INBOX {{{}+}}\r\n{one} (\\Seen) {{{}+}}\r\n{two}",
        one.len(),
        two.len()
    );
    let answer = client.ok(&many).await;
    assert!(answer.contains(" 2:3] "), "{answer}");
    client
        .expect("APPEND nowhere {3+}\r\na\r\n", &[". NO [TRYCREATE]~"])
        .await;
    client.ok("SELECT INBOX").await;
    client
        .expect(
            "FETCH 1 (FLAGS INTERNALDATE)",
            &["* 1 FETCH (FLAGS (\\Draft) INTERNALDATE \"17-Jul-1996 09:44:25 +0000\")"],
        )
        .await;
    // RFC 4469: parts of messages that are here.
    let text = "Subject: joined\r\n\r\n";
    let catenate = format!(
        "APPEND INBOX CATENATE (TEXT {{{}+}}\r\n{text} URL \"/INBOX/;UID=2/;SECTION=TEXT\" URL \"/;UID=3/;SECTION=TEXT\")",
        text.len()
    );
    client.ok(&catenate).await;
    client
        .expect(
            "FETCH 4 BODY.PEEK[]",
            &["Subject: joined", "", "body 2", "body 3", ")"],
        )
        .await;
    client
        .expect(
            "APPEND INBOX CATENATE (URL \"/INBOX/;UID=99\")",
            &[". NO [BADURL /INBOX/;UID=99]~"],
        )
        .await;
    // RFC 3516 §4.4
    client
        .expect("APPEND INBOX ~{4+}\r\na\0b\n", &[". NO [UNKNOWN-CTE]~"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replace_puts_a_message_in_the_place_of_another() {
    let server = Server::start().await;
    let mut client = server.with_messages(2).await;
    let text = message(9);
    let command = format!("REPLACE 1 INBOX (\\Draft) {{{}+}}\r\n{text}", text.len());
    client
        .expect(
            &command,
            &["* OK [APPENDUID~", "* 1 EXPUNGE", "* 2 EXISTS", ". OK~"],
        )
        .await;
    client
        .expect(
            "FETCH 2 (UID FLAGS)",
            &["* 2 FETCH (UID 3 FLAGS (\\Draft \\Recent))"],
        )
        .await;
    client
        .expect(
            "UID REPLACE 1 INBOX {3+}\r\na\r\n",
            &[". NO [NONEXISTENT]~"],
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_messages_are_recent_in_one_session() {
    let server = Server::start().await;
    let mut client = server.with_messages(1).await;
    let mut other = server.login().await;
    other.append("INBOX", "", &message(2)).await;
    client.expect("NOOP", &["* 2 EXISTS", "* 1 RECENT"]).await;
    client
        .expect("FETCH 2 FLAGS", &["* 2 FETCH (FLAGS (\\Recent))"])
        .await;
    other.expect("SELECT INBOX", &["* 0 RECENT"]).await;
}

/// RFC 8508 §4.5
#[tokio::test]
async fn who_resynchronizes_is_told_the_modseq_of_a_replacement() {
    let server = Server::start().await;
    let mut client = server.with_messages(2).await;
    client.ok("UNSELECT").await;
    client.ok("ENABLE QRESYNC").await;
    client.ok("SELECT INBOX").await;
    let answer = client.ok("REPLACE 1 INBOX {3+}\r\na\r\n").await;
    let last = answer.lines().last().unwrap();
    assert!(last.starts_with(". OK [HIGHESTMODSEQ "), "{answer}");
    let (filed, gone) = (answer.find("[APPENDUID "), answer.find("* VANISHED 1"));
    assert!(filed.is_some() && filed < gone, "{answer}");
}
