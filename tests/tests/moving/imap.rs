//! From Dovecot.

use std::{fs, path::PathBuf};

use e2e::{
    Imap, Server,
    dovecot::{self, Dovecot},
};
use serde_json::json;

use super::*;

const ALICE: &str = "alice@example.org";

/// A Dovecot with the mail of alice, of all sorts, and what should come of it.
fn fill(dovecot: &Dovecot, mails: &[Vec<u8>]) -> Vec<Row> {
    let mut imap = dovecot.imap("alice");
    for name in ["Archive.2019", "Gr&APYA3w-e", "Not subscribed", "Empty"] {
        imap.ok(&format!("CREATE \"{name}\""));
    }
    for name in ["INBOX", "Archive.2019", "Gr&APYA3w-e", "Sent", "Empty"] {
        imap.ok(&format!("SUBSCRIBE \"{name}\""));
    }
    let folders = [
        ("INBOX", "Inbox"),
        ("Archive.2019", "Archive/2019"),
        ("Gr&APYA3w-e", "Größe"),
        ("\"Not subscribed\"", "Not subscribed"),
        ("Sent", "Sent"),
    ];
    let flags: [(&str, &[&str]); 5] = [
        ("", &[]),
        ("\\Seen", &["$seen"]),
        ("\\Seen \\Answered $Work", &["$answered", "$seen", "$work"]),
        ("\\Flagged \\Draft", &["$draft", "$flagged"]),
        ("$Forwarded NonJunk", &["$forwarded", "nonjunk"]),
    ];
    let mut expected = Vec::new();
    for (number, mail) in mails.iter().enumerate() {
        let (folder, mailbox) = folders[number % folders.len()];
        let (flags, keywords) = flags[number / 2 % flags.len()];
        let (day, minute) = (number % 28 + 1, number % 60);
        append(
            &mut imap,
            folder,
            flags,
            &format!("{day:02}-Mar-2019 10:{minute:02}:07 +0100"),
            mail,
        );
        expected.push((
            mailbox.to_owned(),
            hash(mail),
            keywords.iter().map(|name| (*name).to_owned()).collect(),
            format!("2019-03-{day:02}T09:{minute:02}:07Z"),
        ));
    }
    // The same message in another folder, and once more in the same one.
    let last = mails.len() - 1;
    for (folder, mailbox) in [folders[(last + 1) % 5], folders[last % 5]] {
        let flags = flags[last / 2 % 5];
        let (day, minute) = (last % 28 + 1, last % 60);
        append(
            &mut imap,
            folder,
            flags.0,
            &format!("{day:02}-Mar-2019 10:{minute:02}:07 +0100"),
            &mails[last],
        );
        let mut row = expected[last].clone();
        row.0 = mailbox.to_owned();
        expected.push(row);
    }
    expected.sort();
    expected
}

fn append(imap: &mut Imap, folder: &str, flags: &str, date: &str, mail: &[u8]) {
    let head = format!(
        "APPEND {folder} ({flags}) \"{date}\" {{{}+}}\r\n",
        mail.len()
    );
    let answer = imap.try_say(&[head.as_bytes(), mail].concat());
    let answer = answer.expect("no answer");
    assert!(answer.is_ok(), "{}", answer.end);
}

fn password_file(folder: &std::path::Path, password: &str) -> PathBuf {
    let path = folder.join(format!("password-{}", hash(password.as_bytes())));
    fs::write(&path, format!("{password}\n")).expect("not written");
    path
}

#[test]
fn an_account_of_dovecot_comes_in_whatever_is_killed() {
    let mut server = Server::start();
    let folder = server.home.path().to_owned();
    let mut dovecot = Dovecot::start(&folder, &["alice"]);
    let expected = fill(&dovecot, &mails(MANY));
    let port = dovecot.port.to_string();
    let password = password_file(&folder, dovecot::PASSWORD);
    let password = password.to_str().expect("a path");
    let arguments = [
        "import",
        "imap",
        "--host",
        "127.0.0.1",
        "--port",
        &port,
        "--plain",
        "--account",
        ALICE,
        "--user",
        "alice",
        "--password-file",
        password,
    ];
    // The import is killed,
    let mut child = server.home.start_cli(&arguments);
    wait_for_emails(&server, "alice", 1);
    child.kill().expect("not killed");
    child.wait().expect("not waited for");
    // then the server that it comes to,
    let child = server.home.start_cli(&arguments);
    wait_for_emails(&server, "alice", 65);
    server.kill();
    let output = child.wait_with_output().expect("not waited for");
    let is_cut = !output.status.success();
    assert!(
        !is_cut || text(&output).contains("again"),
        "{}",
        text(&output)
    );
    server.restart();
    // and the one that it comes from, which the import waits for.
    let child = server.home.start_cli(&arguments);
    wait_for_emails(&server, "alice", 129);
    dovecot.kill();
    dovecot.start_again();
    let output = child.wait_with_output().expect("not waited for");
    assert!(output.status.success(), "{}", text(&output));
    assert_same(&rows(&mut server.jmap("alice")), &expected);
    // Without a server running, nothing is new.
    server.stop();
    let again = answer(&server.home, &arguments);
    assert_eq!(
        (&again["new"], &again["joined"]),
        (&json!(0), &json!(0)),
        "{again}"
    );
    assert_eq!(again["known"], json!(expected.len()), "{again}");
    server.restart();
    // What came since comes, and no more.
    let mut imap = dovecot.imap("alice");
    let late = message("late@example.net", "late", "It comes late.");
    append(&mut imap, "INBOX", "", "01-Jan-2020 00:00:00 +0000", &late);
    imap.ok("SELECT INBOX");
    imap.ok("UID STORE 1 +FLAGS.SILENT (\\Flagged New)");
    let third = answer(
        &server.home,
        &[&arguments[..], &["--update-flags"]].concat(),
    );
    assert_eq!(
        (&third["new"], &third["flags"]),
        (&json!(1), &json!(1)),
        "{third}"
    );
    let mut jmap = server.jmap("alice");
    let flagged = jmap.query_all(json!({"hasKeyword": "new"}));
    assert_eq!(flagged.len(), 1);
    // Subscriptions, and a folder without messages.
    let mailboxes = jmap.call("Mailbox/get", json!({"ids": null}));
    let subscribed = |name: &str| {
        let list = mailboxes["list"].as_array().expect("no list");
        let found = list.iter().find(|row| row["name"] == name);
        found.unwrap_or_else(|| panic!("no {name}"))["isSubscribed"].clone()
    };
    assert_eq!(subscribed("Größe"), json!(true));
    assert_eq!(subscribed("Empty"), json!(true));
    assert_eq!(subscribed("Not subscribed"), json!(false));
    // The same, read from Dovecot's files.
    let maildir = dovecot.maildir("alice");
    let maildir = maildir.to_str().expect("a path");
    let bob = "bob@example.org";
    answer(
        &server.home,
        &["import", "maildir", maildir, "--account", bob],
    );
    let (mut ours, theirs) = (rows(&mut jmap), rows(&mut server.jmap("bob")));
    // Dovecot keeps the date of a message in its file's time.
    assert_eq!(ours.len(), theirs.len());
    ours.retain(|row| !theirs.contains(row));
    assert!(ours.is_empty(), "{ours:?}");
    server.jmap("alice").check_counts();
    server.home.check();
}

#[test]
fn many_accounts_come_in_at_a_time_and_what_is_wrong_is_listed() {
    let server = Server::start();
    let folder = server.home.path().to_owned();
    let users = ["alice", "bob", "carol"];
    let dovecot = Dovecot::start(&folder, &users);
    server.home.add_account("carol");
    for user in users {
        let mut imap = dovecot.imap(user);
        for number in 0..5 {
            let mail = message(&format!("{number}-{user}@example.net"), user, "A text.");
            append(
                &mut imap,
                "INBOX",
                "\\Seen",
                "01-Jan-2020 00:00:00 +0000",
                &mail,
            );
        }
        append(
            &mut imap,
            "INBOX",
            "",
            "01-Jan-2020 00:00:00 +0000",
            b"no field\r\n\r\nbut a text\r\n",
        );
    }
    let port = dovecot.port.to_string();
    let list = folder.join("accounts.csv");
    let import = |rows: &str, more: &[&str]| {
        fs::write(&list, rows).expect("not written");
        let list = list.to_str().expect("a path");
        let arguments = [
            "import",
            "imap",
            "--host",
            "127.0.0.1",
            "--port",
            &port,
            "--plain",
            "--accounts",
            list,
            "--parallel",
            "2",
        ];
        server.home.try_cli(&[&arguments[..], more].concat(), "")
    };
    let secret = dovecot::PASSWORD;
    let rows = format!(
        "account,user,password\nalice@example.org,alice,{secret}\nbob@example.org,bob,wrong word\nnobody@example.org,carol,{secret}\n"
    );
    let output = import(&rows, &[]);
    let said = text(&output);
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains("bob@example.org: the login was refused"),
        "{said}"
    );
    assert!(said.contains("nobody@example.org"), "{said}");
    assert!(
        !said.contains("wrong word") && !said.contains(secret),
        "{said}"
    );
    assert_eq!(server.jmap("alice").query_all(json!({})).len(), 6, "{said}");
    // The master logs in for the others, in both ways.
    let master = password_file(&folder, dovecot::MASTER_PASSWORD);
    let master = [
        "--master-user",
        dovecot::MASTER,
        "--password-file",
        master.to_str().expect("a path"),
    ];
    let output = import("user,account\nbob,bob@example.org\n", &master);
    assert!(output.status.success(), "{}", text(&output));
    let by_name = [&master[..], &["--master-separator", "*"]].concat();
    let output = import(
        "user,account\ncarol,carol@example.org\nbob,bob@example.org\n",
        &by_name,
    );
    assert!(output.status.success(), "{}", text(&output));
    for user in ["bob", "carol"] {
        assert_eq!(server.jmap(user).query_all(json!({})).len(), 6, "{user}");
    }
    let output = import("what,is,this\n", &[]);
    assert!(
        text(&output).contains("account,user,password"),
        "{}",
        text(&output)
    );
    server.home.check();
}

#[test]
fn an_account_comes_in_over_tls_from_a_server_that_is_trusted() {
    let there = Server::start_in(e2e::Home::with_people().set("", "hostname = \"localhost\""));
    let mut jmap = there.jmap("alice");
    let inbox = jmap.mailbox("inbox");
    for mail in mails(5) {
        jmap.import(&mail, &inbox);
    }
    let expected = rows(&mut jmap);
    let here = Server::start();
    let password = password_file(here.home.path(), e2e::PASSWORD);
    let certificate = there.home.data.join("tls/localhost.crt");
    let (password, certificate) = (password.to_str(), certificate.to_str());
    let import = |kind: &str, port: u16, account: &str, more: &[&str]| {
        let port = port.to_string();
        let arguments = [
            "import",
            "imap",
            "--host",
            "localhost",
            "--port",
            &port,
            kind,
            "--user",
            ALICE,
            "--account",
            account,
            "--password-file",
            password.expect("a path"),
        ];
        here.home.try_cli(&[&arguments[..], more].concat(), "")
    };
    let refused = import("--tls", there.home.imaps, ALICE, &[]);
    let said = text(&refused);
    assert!(
        !refused.status.success() && said.contains("TLS failed"),
        "{said}"
    );
    let trusted = ["--ca-file", certificate.expect("a path")];
    let bob = "bob@example.org";
    for (kind, port, account, name) in [
        ("--tls", there.home.imaps, ALICE, "alice"),
        ("--starttls", there.home.imap, bob, "bob"),
    ] {
        let output = import(kind, port, account, &trusted);
        assert!(output.status.success(), "{}", text(&output));
        assert_same(&rows(&mut here.jmap(name)), &expected);
    }
}
