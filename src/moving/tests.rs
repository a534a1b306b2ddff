//! Names, dates and lists of accounts, as rows; and what comes of sources that aren't whole.

use std::{
    fs,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use jmap_core::auth::Secret;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{
    Destination, Intake, Tally, csv::read_accounts, dates, export, flags::Flags,
    imap::client::tls_config, intake::Message, jmap, maildir, maildir::wire_form, names,
    protocol::Meeting,
};
use crate::cli::tests::{ask, target};

const ALICE: &str = "alice@example.org";

/// An account that nothing is in; the folder is that of the server's index.
async fn alice() -> (tempfile::TempDir, Destination) {
    let (folder, target) = target().await;
    ask(&target, "domain add example.org").await;
    ask(&target, &format!("account add {ALICE} --no-password")).await;
    (folder, Destination::Folder(Box::new(target)))
}

async fn intake(destination: &Destination) -> Intake {
    let progress = Arc::new(|_: &str| {});
    Intake::open(destination, ALICE, progress).await.unwrap()
}

fn assert_told(tally: &Tally, told: &[&str]) {
    assert_eq!(tally.problems.len(), told.len(), "{:?}", tally.problems);
    for told in told {
        let is_told = tally.problems.iter().any(|problem| problem.contains(told));
        assert!(is_told, "{told}: {:?}", tally.problems);
    }
}

#[tokio::test]
async fn what_a_maildir_does_not_give_is_told() {
    let root = tempfile::tempdir().unwrap();
    let make = |name: &[u8]| {
        let cur = root
            .path()
            .join(std::ffi::OsStr::from_bytes(name))
            .join("cur");
        fs::create_dir_all(&cur).unwrap();
        fs::write(cur.join("1:2,S"), "A: b\n\n").unwrap();
        cur
    };
    let cur = make(b"");
    make(b".\xff");
    make(b".a..b");
    make(b".fine");
    // As a file is seen that was renamed between the list and the look.
    symlink(root.path().join("gone"), cur.join("2:2,")).unwrap();
    let (_folder, destination) = alice().await;
    let mut intake = intake(&destination).await;
    let end = maildir::import(root.path(), &mut intake).await;
    let tally = intake.finish(end).await;
    assert_eq!(tally.new + tally.joined, 2);
    assert_told(
        &tally,
        &["/2: it was there", "isn't UTF-8", "an empty level"],
    );
}

/// A JMAP server with the emails 1 to 3, of which the second has no blob and the third is listed alone.
async fn jmap_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let session = json!({
        "apiUrl": "/api",
        "downloadUrl": "/blob/{accountId}/{blobId}/{name}?type={type}",
        "primaryAccounts": {"urn:ietf:params:jmap:mail": "a"},
        "accounts": {"a": {}},
    });
    let email = |id: &str| {
        json!({
            "id": id, "blobId": id, "size": 8, "mailboxIds": {"m": true}, "keywords": {},
            "receivedAt": "2020-01-01T00:00:00Z",
        })
    };
    let answer = move |request: &str| {
        let line = request.lines().next().unwrap_or_default();
        if line.contains("/.well-known/jmap") {
            return ("200 OK", session.to_string());
        }
        if line.contains("/blob/") {
            return match line.contains("/1/") {
                true => ("200 OK", "A: b\r\n\r\n".to_owned()),
                false => ("404 Not Found", String::new()),
            };
        }
        let responses = if request.contains("Mailbox/get") {
            let mailbox = json!({"id": "m", "name": "Inbox", "role": "inbox", "parentId": null});
            json!([["Mailbox/get", {"list": [mailbox]}, "0"]])
        } else if request.contains("anchor") {
            json!([["Email/query", {"ids": []}, "0"], ["Email/get", {"list": []}, "1"]])
        } else if request.contains("Email/query") {
            json!([
                ["Email/query", {"ids": ["1", "2", "3"]}, "0"],
                ["Email/get", {"list": [email("1"), email("2")], "notFound": ["3"]}, "1"],
            ])
        } else {
            json!([["Email/get", {"state": "s", "list": []}, "0"]])
        };
        ("200 OK", json!({"methodResponses": responses}).to_string())
    };
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            let mut part = [0; 4096];
            // The requests are small, and their bodies are JSON.
            loop {
                let read = stream.read(&mut part).await.unwrap_or(0);
                request.extend_from_slice(&part[..read]);
                let text = String::from_utf8_lossy(&request);
                let is_whole = match text.starts_with("POST") {
                    true => text.ends_with("]}") || text.ends_with("]]}"),
                    false => text.ends_with("\r\n\r\n"),
                };
                if read == 0 || is_whole {
                    break;
                }
            }
            let (status, body) = answer(&String::from_utf8_lossy(&request));
            let length = body.len();
            let text = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            let _ = stream.write_all(text.as_bytes()).await;
        }
    });
    port
}

#[tokio::test]
async fn what_a_jmap_server_lists_and_does_not_give_is_told() {
    let port = jmap_server().await;
    let (_folder, destination) = alice().await;
    let mut intake = intake(&destination).await;
    let source = jmap::Source {
        url: format!("http://127.0.0.1:{port}/"),
        login: jmap::Login::Token(Secret::new("token".to_owned())),
        account: None,
        tls: tls_config(None).unwrap(),
    };
    let end = jmap::import(&source, &mut intake).await;
    let tally = intake.finish(end).await;
    assert_eq!(tally.new, 1);
    assert_told(&tally, &["email 2", "email 3"]);
}

/// Puts a message with this subject into the inbox.
async fn put(destination: &Destination, subject: &str) {
    let mut intake = intake(destination).await;
    let inbox = ["INBOX".to_owned()];
    let mailbox = intake.mailbox(&inbox, Some("inbox"), true).await.unwrap();
    let text = format!("Subject: {subject}\r\n\r\nOne.\r\n\r\nFrom here on.\r\n");
    let message = Message {
        collection: [1; 16],
        item: subject.as_bytes().to_vec(),
        octets: Bytes::from(text),
        mailboxes: vec![mailbox],
        flags: Flags::default(),
        received_at: Some(1),
        place: subject.to_owned(),
        meeting: Meeting::Separate,
    };
    intake.put(message).await.unwrap();
    assert_eq!(intake.finish(Ok(())).await.new, 1);
}

async fn export_mbox(destination: &Destination, root: &Path) -> (u64, u64) {
    let progress: super::Progress = Arc::new(|_: &str| {});
    let tally = export::mbox::export(destination, ALICE, root, &progress).await;
    let tally = tally.unwrap();
    assert_told(&tally, &[]);
    (tally.new, tally.known)
}

#[tokio::test]
async fn a_second_export_adds_to_an_mbox_what_it_has_not_got() {
    let root = tempfile::tempdir().unwrap();
    let (_folder, destination) = alice().await;
    put(&destination, "first").await;
    // A field of the message's own is none of the export's.
    put(&destination, "second\r\nX-Posthorn-Hash: 00").await;
    assert_eq!(export_mbox(&destination, root.path()).await, (2, 0));
    assert_eq!(export_mbox(&destination, root.path()).await, (0, 2));
    put(&destination, "third").await;
    assert_eq!(export_mbox(&destination, root.path()).await, (1, 2));
    assert_eq!(export_mbox(&destination, root.path()).await, (0, 3));
    let file = fs::read_to_string(root.path().join("INBOX.mbox")).unwrap();
    for subject in ["first", "second", "third"] {
        let line = format!("Subject: {subject}\n");
        assert_eq!(file.matches(&line).count(), 1, "{file}");
    }
    // A file that another program has written has no empty line at its end.
    fs::write(
        root.path().join("INBOX.mbox"),
        "From a@b Thu Jan  1 00:00:10 1970\nA: b",
    )
    .unwrap();
    assert_eq!(export_mbox(&destination, root.path()).await, (3, 0));
    let file = fs::read_to_string(root.path().join("INBOX.mbox")).unwrap();
    assert!(file.contains("\nA: b\n\nFrom "), "{file}");
}

#[test]
fn names_in_modified_utf7() {
    let rows = [
        ("INBOX", "INBOX"),
        ("Größe", "Gr&APYA3w-e"),
        ("日本", "&ZeVnLA-"),
        ("a&b", "a&-b"),
        ("😀", "&2D3eAA-"),
    ];
    for (name, encoded) in rows {
        assert_eq!(names::encode_utf7(name), encoded);
        assert_eq!(names::decode_utf7(encoded).as_deref(), Some(name));
    }
    for wrong in ["&", "&AP", "&A-", "&====-", "é"] {
        assert_eq!(names::decode_utf7(wrong), None, "{wrong}");
    }
}

#[test]
fn names_of_files_stay_in_their_folder() {
    let rows = [
        ("..", "%2E."),
        ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
        ("a/b", "a%2Fb"),
        ("Größe", "Größe"),
        ("~root", "%7Eroot"),
        ("100%", "100%25"),
        ("a\0\n", "a%00%0A"),
        ("", "%00"),
    ];
    for (name, file) in rows {
        assert_eq!(names::file_name(name, false), file);
        assert_eq!(
            names::of_file_name(file),
            if name.is_empty() { "\0" } else { name }
        );
    }
    assert_eq!(names::file_name("a.b", true), "a%2Eb");
    let long = [
        names::file_name(&"é".repeat(500), true),
        names::file_name(&"é".repeat(501), true),
    ];
    assert!(
        long.iter().all(|name| name.len() < 200) && long[0] != long[1],
        "{long:?}"
    );
}

#[test]
fn dates_of_imap_mbox_and_jmap() {
    let rows = [
        ("17-Jul-1996 02:44:25 -0700", Some(837_596_665)),
        (" 1-Jan-1970 00:00:00 +0000", Some(0)),
        ("1-Foo-1970 00:00:00 +0000", None),
        ("", None),
    ];
    for (text, seconds) in rows {
        assert_eq!(dates::internal_date(text), seconds, "{text}");
    }
    let rows = [
        ("From a@b Thu Jan  1 00:00:10 1970", Some(10)),
        ("From a@b Thu Jan  1 01:00 +0100 1970", Some(0)),
        (
            "From MAILER-DAEMON Sun Feb 29 12:00:00 2032 +0000",
            Some(1_961_668_800),
        ),
        ("From here to there at 10:00", None),
        ("From x", None),
    ];
    for (text, seconds) in rows {
        assert_eq!(dates::from_line_date(text), seconds, "{text}");
    }
    for seconds in [0, 951_782_400, 1_961_668_800, 4_102_444_799, 1_700_000_000] {
        let line = format!("From x {}", dates::from_line(seconds));
        assert_eq!(dates::from_line_date(&line), Some(seconds), "{line}");
    }
    assert_eq!(dates::utc_date("1970-01-01T00:01:00Z"), Some(60));
    assert_eq!(dates::utc_date("1970-01-01"), None);
}

#[test]
fn accounts_of_a_file() {
    let text = "Account,user,password\r\na@x,\"u,1\",\"p\"\"w\"\r\n\r\nb@x,u2,\n";
    let rows = read_accounts(text).unwrap();
    let row = |at: usize| {
        let row = &rows[at];
        (
            row.account.as_str(),
            row.user.as_str(),
            row.password.as_ref().map(|p| p.expose().as_str()),
        )
    };
    assert_eq!(row(0), ("a@x", "u,1", Some("p\"w")));
    assert_eq!(row(1), ("b@x", "u2", None));
    let rows = [
        ("", "empty"),
        ("a,b\n", "account,user,password"),
        (
            "account,user,password\nx,y,secret,z\n",
            "line 2 has 4 columns",
        ),
        ("account,user\n,y\n", "line 2 has no account"),
        ("account,user\nx,\"y\n", "doesn't end"),
        ("account,user\n", "no accounts"),
    ];
    for (text, why) in rows {
        let error = read_accounts(text).unwrap_err();
        assert!(error.contains(why) && !error.contains("secret"), "{error}");
    }
}

#[test]
fn flags_become_keywords() {
    let mut flags = Flags::default();
    for flag in [
        "\\Seen",
        "\\Deleted",
        "\\Recent",
        "NonJunk",
        "a]b",
        "$Forwarded",
    ] {
        flags.add(flag);
    }
    assert!(flags.is_deleted);
    assert_eq!(
        flags.sorted().keywords,
        ["$forwarded", "$seen", "a_b", "nonjunk"]
    );
    let mut names = [const { None }; 26];
    names[1] = Some("Work".to_owned());
    let flags = Flags::of_maildir("FSTab", &names);
    assert_eq!(flags.keywords, ["$flagged", "$seen", "work"]);
    assert!(flags.is_deleted);
}

#[test]
fn lines_of_the_system_become_those_of_the_network() {
    let rows: [(&[u8], &[u8]); 4] = [
        (b"a\nb\n", b"a\r\nb\r\n"),
        (b"a\r\nb\nc", b"a\r\nb\nc"),
        (b"a\nb\r\n", b"a\r\nb\r\n"),
        (b"a", b"a"),
    ];
    for (file, wire) in rows {
        assert_eq!(&wire_form(file.to_vec())[..], wire);
    }
}
