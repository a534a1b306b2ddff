//! neomutt and aerc: they show the list, search, read, flag and move.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use e2e::{Jmap, PASSWORD, Server, corpus::message, jmap::strings};
use serde_json::{Value, json};

use crate::terminal::Terminal;

const ALICE: &str = "alice@example.org";

fn server_with_mails() -> Server {
    let server = Server::start();
    let mut lmtp = server.lmtp();
    for n in 0..30 {
        let topic = if n % 3 == 0 { "harvest" } else { "weather" };
        let subject = format!("{topic} report {n}");
        let mail = message(
            &format!("{n}@example.net"),
            &subject,
            &format!("The text of {n}."),
        );
        let reply = lmtp.send("carol@example.net", ALICE, &mail);
        assert!(reply.expect("no reply").is_ok());
    }
    server
}

fn write(file: &Path, text: &str) {
    let folder = file.parent().expect("no folder");
    fs::create_dir_all(folder).expect("no folder");
    fs::write(file, text).expect("not written");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("not permitted");
}

fn make(jmap: &mut Jmap, name: &str) -> String {
    let done = jmap.call("Mailbox/set", json!({"create": {"c": {"name": name}}}));
    done["created"]["c"]["id"]
        .as_str()
        .expect("not made")
        .to_owned()
}

/// Subjects, in their order, of what a filter finds.
fn subjects(jmap: &mut Jmap, filter: Value) -> Vec<String> {
    let ids = jmap.query_all(filter);
    let emails = jmap.get_emails(&ids, &["subject"]);
    let subjects = emails.iter().map(|e| e["subject"].as_str().expect("none"));
    let mut subjects: Vec<String> = subjects.map(str::to_owned).collect();
    subjects.sort();
    subjects
}

/// Waits until a filter finds so many.
fn comes_to(jmap: &mut Jmap, filter: Value, count: usize) {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let found = jmap.call("Email/query", json!({"filter": filter}));
        let found = strings(&found["ids"]).len();
        if found == count {
            return;
        }
        assert!(Instant::now() < end, "{found} of {count}: {filter}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn neomutt_limits_tags_saves_and_flags() {
    let server = server_with_mails();
    let folder = server.home.path();
    let mut jmap = server.jmap("alice");
    let (inbox, barn) = (jmap.mailbox("inbox"), make(&mut jmap, "Barn"));
    let rc = format!(
        "set folder=\"imaps://127.0.0.1:{port}/\"\nset spoolfile=+INBOX\nset imap_user=\"{ALICE}\"\nset imap_pass=\"{PASSWORD}\"\n\
         set certificate_file=\"{home}/certificates\"\nset ssl_verify_host=no\nset ssl_verify_dates=no\n\
         set confirmappend=no\nset confirmcreate=no\nset delete=yes\nset quit=yes\nset move=no\nset sort=date-received\n\
         set imap_qresync=yes\nset imap_condstore=yes\nset header_cache=\"{home}/headers\"\nset message_cachedir=\"{home}/bodies\"\nset pager_stop\nset wait_key=no\n",
        port = server.home.imaps,
        home = folder.display()
    );
    write(&folder.join("muttrc"), &rc);
    let command = format!("neomutt -n -F {}/muttrc", folder.display());
    let terminal = Terminal::run(folder, &command);
    // The certificate is the server's own: accept it once.
    terminal.shows(&["(o)nce"]);
    terminal.keys(&["o"]);
    terminal.shows(&["weather report 1", "Msgs:30"]);
    // Found by the server: `=b` is SEARCH BODY.
    terminal.keys(&["l", "=b \"text of 17\"", "Enter"]);
    terminal.shows(&["Msgs:1/30", "weather report 17"]);
    terminal.keys(&["Enter"]);
    terminal.shows(&["The text of 17."]);
    terminal.keys(&["q", "F"]);
    terminal.keys(&["l", "~s harvest", "Enter"]);
    terminal.shows(&["Msgs:10/30", "harvest report 27"]);
    terminal.keys(&["T", "~A", "Enter", ";s", "C-u", "=Barn", "Enter"]);
    // Some, of those that are shown, for the trash.
    terminal.keys(&["l", "~A", "Enter"]);
    terminal.shows(&["weather report 28"]);
    terminal.keys(&["D", "~s \"report 2$\"", "Enter", "$"]);
    comes_to(&mut jmap, json!({"inMailbox": inbox}), 19);
    let moved = subjects(&mut jmap, json!({"inMailbox": barn}));
    let expected = (0..30).step_by(3).map(|n| format!("harvest report {n}"));
    let mut expected: Vec<String> = expected.collect();
    expected.sort();
    assert_eq!(moved, expected);
    let flagged = json!({"inMailbox": inbox, "hasKeyword": "$flagged"});
    assert_eq!(subjects(&mut jmap, flagged), ["weather report 17"]);
    let read = json!({"inMailbox": inbox, "hasKeyword": "$seen"});
    assert_eq!(subjects(&mut jmap, read), ["weather report 17"]);
    // Away, and back with what it has kept (QRESYNC).
    terminal.keys(&["q"]);
    terminal.shows(&["ended 0"]);
    drop(terminal);
    let id = jmap.query_all(json!({"subject": "report 5"})).remove(0);
    jmap.call("Email/set", json!({"update": {&id: {"keywords/$flagged": true}}, "destroy": jmap_ids(&server, "report 7")}));
    let terminal = Terminal::run(folder, &command);
    terminal.shows(&["(o)nce"]);
    terminal.keys(&["o"]);
    terminal.shows(&["Msgs:18", "Flag:2"]);
    terminal.keys(&["q"]);
    terminal.shows(&["ended 0"]);
    server.home.check();
}

fn jmap_ids(server: &Server, subject: &str) -> Vec<String> {
    server
        .jmap("alice")
        .query_all(json!({"subject": format!("\"{subject}\"")}))
}

#[test]
fn aerc_lists_reads_and_moves() {
    let server = server_with_mails();
    let folder = server.home.path();
    let mut jmap = server.jmap("alice");
    let (inbox, barn) = (jmap.mailbox("inbox"), make(&mut jmap, "Barn"));
    let accounts = format!(
        "[Alice]\nsource = imap+insecure://{}:{}@127.0.0.1:{}\nfrom = Alice <{ALICE}>\ndefault = INBOX\ncache-headers = true\n",
        ALICE.replace('@', "%40"),
        PASSWORD.replace(' ', "%20"),
        server.home.imap
    );
    write(&folder.join("aerc/accounts.conf"), &accounts);
    write(
        &folder.join("aerc/aerc.conf"),
        "[ui]\nmessage-view-timestamp-format=2006-01-02\n[filters]\ntext/plain=cat\n[viewer]\npager=cat\n",
    );
    let terminal = Terminal::run(folder, "aerc");
    terminal.shows(&["Barn", "weather report 29", "harvest report 27"]);
    let command = |line: &str| terminal.keys(&[line, "Enter"]);
    command(":view");
    terminal.shows(&["Date: 2026-02-02", "The text of 29."]);
    command(":close");
    terminal.shows(&["harvest report 27"]);
    command(":flag");
    comes_to(&mut jmap, json!({"hasKeyword": "$flagged"}), 1);
    command(":mv Barn");
    comes_to(&mut jmap, json!({"inMailbox": inbox}), 29);
    let moved = json!({"inMailbox": barn, "allInThreadHaveKeyword": "$flagged"});
    assert_eq!(subjects(&mut jmap, moved), ["weather report 29"]);
    // What comes meanwhile is shown (IDLE).
    let mail = message(
        "late@example.net",
        "a late one",
        "The text of the late one.",
    );
    let reply = server.lmtp().send("carol@example.net", ALICE, &mail);
    assert!(reply.expect("no reply").is_ok());
    terminal.shows(&["a late one"]);
    // Found by the server.
    command(":filter -b \"of 17\"");
    let end = Instant::now() + Duration::from_secs(20);
    while terminal.screen().contains("report 16") {
        assert!(Instant::now() < end, "{}", terminal.screen());
        thread::sleep(Duration::from_millis(50));
    }
    terminal.shows(&["weather report 17"]);
    command(":clear");
    terminal.shows(&["report 16"]);
    command(":cf Barn");
    terminal.shows(&["weather report 29"]);
    command(":quit");
    terminal.shows(&["ended 0"]);
    server.home.check();
}
