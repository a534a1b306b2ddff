//! From files and into files, read by Python's mailbox; and from another server of ours.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use e2e::{PASSWORD, Server};
use serde_json::json;

use super::*;

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";

/// Gives alice mails in several mailboxes, with names that file systems don't like.
fn fill(server: &Server, mails: &[Vec<u8>]) {
    let mut jmap = server.jmap("alice");
    let names = [
        "../../etc",
        "a.b/c",
        "Größe 日本",
        "a.mbox",
        ".hidden",
        "percent%2E",
    ];
    let create: serde_json::Map<String, Value> = names
        .iter()
        .enumerate()
        .map(|(at, name)| {
            (
                format!("m{at}"),
                json!({"name": name, "isSubscribed": at % 2 == 0}),
            )
        })
        .collect();
    let made = jmap.call("Mailbox/set", json!({"create": create}));
    let mut mailboxes = vec![jmap.mailbox("inbox"), jmap.mailbox("archive")];
    for at in 0..names.len() {
        let id = made["created"][format!("m{at}")]["id"].as_str();
        mailboxes.push(id.unwrap_or_else(|| panic!("{made}")).to_owned());
    }
    let child = json!({"create": {"c": {"name": "child", "parentId": mailboxes[5]}}});
    let made = jmap.call("Mailbox/set", child);
    mailboxes.push(
        made["created"]["c"]["id"]
            .as_str()
            .expect("no id")
            .to_owned(),
    );
    let keywords = [
        json!({}),
        json!({"$seen": true, "$work": true}),
        json!({"$answered": true, "$flagged": true}),
        json!({"$draft": true, "$forwarded": true, "later": true}),
    ];
    let mut emails = serde_json::Map::new();
    for (number, mail) in mails.iter().enumerate() {
        let mut keywords = keywords[number % keywords.len()].clone();
        // More than there are letters.
        keywords[format!("k{}", number % 40)] = json!(true);
        let mut places = json!({mailboxes[number % mailboxes.len()].as_str(): true});
        if number % 7 == 0 {
            places[mailboxes[(number + 1) % mailboxes.len()].as_str()] = json!(true);
        }
        let blob = jmap.upload(mail, "message/rfc822");
        emails.insert(
            number.to_string(),
            json!({
                "blobId": blob, "mailboxIds": places, "keywords": keywords,
                "receivedAt": format!("2021-05-{:02}T01:02:{:02}Z", number % 28 + 1, number % 60)
            }),
        );
        if emails.len() == 50 || number + 1 == mails.len() {
            let done = jmap.call("Email/import", json!({"emails": emails}));
            assert_eq!(done["notCreated"], Value::Null, "{done}");
            emails = serde_json::Map::new();
        }
    }
}

/// Runs a script of Python; what it prints.
fn python(script: &str, args: &[&str]) -> String {
    let output = Command::new("python3")
        .arg("-c")
        .arg(script)
        .args(args)
        .output();
    let output = output.expect("python3 can't be run");
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path")
}

/// Each message of all folders: SHA-256 of its octets, flags, time.
const READ_MAILDIR: &str = r"
import hashlib, mailbox, os, sys
root = mailbox.Maildir(sys.argv[1], factory=None, create=False)
def show(box, name):
    for key in box.keys():
        message = box.get_message(key)
        print(hashlib.sha256(box.get_bytes(key)).hexdigest(), int(message.get_date()), name)
show(root, '')
for name in root.list_folders():
    show(root.get_folder(name), name)
";

/// Each message of all files, without what the export has put before it.
const READ_MBOX: &str = r"
import hashlib, mailbox, os, sys
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        if name.endswith('.mbox'):
            box = mailbox.mbox(os.path.join(folder, name), create=False)
            for key in box.keys():
                octets = box.get_bytes(key)
                end = octets.index(b'\n', octets.index(b'X-Posthorn-Hash')) + 1
                print(hashlib.sha256(octets[end:].replace(b'\n', b'\r\n')).hexdigest())
";

fn sha256(octets: &[u8]) -> String {
    use aws_lc_rs::digest::{SHA256, digest};
    let hash = digest(&SHA256, octets);
    hash.as_ref()
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect()
}

#[test]
fn an_account_goes_out_into_files_and_comes_in_again_as_it_was() {
    let server = Server::start();
    let mut all = mails(MANY / 2);
    all.push(b"Subject: lines\r\n\r\nFrom here on\r\n>From there\r\n\r\n\r\n".to_vec());
    all.push(b"Subject: no last line\r\n\r\nend".to_vec());
    fill(&server, &all);
    let expected = rows(&mut server.jmap("alice"));
    let folder = server.home.path().to_owned();
    for (kind, name) in [("maildir", "out-maildir"), ("mbox", "out-mbox")] {
        let out = folder.join(name);
        let arguments = ["export", kind, path(&out), "--account", ALICE];
        let mut child = server.home.start_cli(&arguments);
        let end = Instant::now() + WAIT;
        while count_files(&out) < 20 && child.try_wait().ok().flatten().is_none() {
            assert!(Instant::now() < end, "nothing is exported");
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().expect("not killed");
        child.wait().expect("not waited for");
        let done = answer(&server.home, &arguments);
        assert_eq!(done["problems"], json!([]), "{done}");
        let sum = done["new"].as_u64().unwrap_or(0) + done["known"].as_u64().unwrap_or(0);
        assert!(kind == "mbox" || sum == expected.len() as u64, "{done}");
        let again = answer(&server.home, &arguments);
        assert_eq!(again["new"], json!(0), "{again}");
        assert!(
            !folder.join("etc").exists()
                && !folder.parent().expect("a folder").join("etc").exists()
        );
        // Into another account, twice.
        let name = format!("{kind}@example.org");
        server.home.add_account(kind);
        let import = ["import", kind, path(&out), "--account", &name];
        answer(&server.home, &import);
        assert_same(&rows(&mut server.jmap(kind)), &expected);
        let again = answer(&server.home, &import);
        assert_eq!(
            (&again["new"], &again["joined"]),
            (&json!(0), &json!(0)),
            "{again}"
        );
    }
    // Python reads the same.
    let read = python(READ_MAILDIR, &[path(&folder.join("out-maildir"))]);
    assert_eq!(read.lines().count(), expected.len());
    for mail in all.iter().step_by(10) {
        assert!(
            read.contains(&sha256(mail)),
            "{}",
            String::from_utf8_lossy(mail)
        );
    }
    let read = python(READ_MBOX, &[path(&folder.join("out-mbox"))]);
    assert_eq!(read.lines().count(), expected.len());
    for mail in all.iter().take(all.len() - 2).step_by(10) {
        let quotes = mail.windows(5).any(|octets| octets == b"From ");
        assert!(
            quotes || read.contains(&sha256(mail)),
            "{}",
            String::from_utf8_lossy(mail)
        );
    }
    server.home.check();
}

fn count_files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.path().is_dir() {
            true => count_files(&entry.path()),
            false => 1,
        })
        .sum()
}

#[test]
fn what_is_no_mail_goes_out_beside_it() {
    let server = Server::start();
    let mut jmap = server.jmap("alice");
    let vacation = json!({"update": {"singleton": {"isEnabled": true, "subject": "away", "textBody": "I am away."}}});
    jmap.call("VacationResponse/set", vacation);
    let script = b"keep;\r\n";
    let blob = jmap.upload(script, "application/sieve");
    let create = json!({"create": {"s": {"name": "../my rules", "blobId": blob}}, "onSuccessActivateScript": "#s"});
    let made = jmap.call("SieveScript/set", create);
    assert!(made["created"]["s"].is_object(), "{made}");
    let out = server.home.path().join("out");
    server
        .home
        .cli(&["export", "maildir", path(&out), "--account", ALICE], "");
    let settings = fs::read_to_string(out.join("posthorn-settings.json")).expect("no settings");
    let settings: Value = serde_json::from_str(&settings).expect("no JSON");
    assert_eq!(settings["vacation"]["textBody"], "I am away.");
    assert_eq!(settings["identities"][0]["email"], ALICE);
    let sieve = out.join("posthorn-sieve");
    let name = "%2E.%2Fmy rules.sieve";
    assert_eq!(fs::read(sieve.join(name)).expect("no script"), script);
    assert_eq!(
        fs::read_to_string(sieve.join("active.txt")).expect("no file"),
        format!("{name}\n")
    );
}

const WRITE_MBOX: &str = r"
import mailbox, sys
box = mailbox.mbox(sys.argv[1])
for number in range(20):
    message = mailbox.mboxMessage()
    message['Subject'] = 'number %d' % number
    message['Message-ID'] = '<%d@example.net>' % number
    message.set_payload('A text.\nFrom here on.\n>>From there.\n')
    message.set_from('a@example.net', (2020, 1, 2, 3, 4, number, 0, 0, 0))
    message.set_flags('RO' if number % 2 else 'F')
    box.add(message)
box.flush()
";

#[test]
fn an_mbox_of_python_comes_in() {
    let server = Server::start();
    let file = server.home.path().join("Some Mail.mbox");
    python(WRITE_MBOX, &[path(&file)]);
    // Python quotes `From `, but not what is quoted already.
    let import = [
        "import",
        "mbox",
        path(&file),
        "--account",
        BOB,
        "--quoting",
        "mboxo",
    ];
    let done = answer(&server.home, &import);
    assert_eq!(done["new"], json!(20), "{done}");
    // It is read meanwhile: only its flags have changed.
    let text = fs::read_to_string(&file)
        .expect("no file")
        .replace("X-Status: F", "Status: RO");
    fs::write(&file, text).expect("not written");
    let again = answer(&server.home, &[&import[..], &["--update-flags"]].concat());
    assert_eq!(
        (&again["new"], &again["flags"]),
        (&json!(0), &json!(10)),
        "{again}"
    );
    let mut jmap = server.jmap("bob");
    let rows = rows(&mut jmap);
    assert!(
        rows.iter()
            .all(|row| row.0 == "Some Mail" && row.2 == ["$seen"]),
        "{rows:?}"
    );
    assert_eq!(rows[0].3.get(..17), Some("2020-01-02T03:04:"));
    let ids = jmap.query_all(json!({}));
    let emails = jmap.get_emails(&ids[..1], &["blobId"]);
    let octets = jmap.download(emails[0]["blobId"].as_str().expect("no blob"));
    let octets = String::from_utf8_lossy(&octets).into_owned();
    assert!(
        octets.ends_with("\r\n\r\nA text.\r\nFrom here on.\r\n>>From there.\r\n"),
        "{octets:?}"
    );
    assert!(!octets.contains("Status"), "{octets:?}");
}

#[test]
fn an_account_of_another_posthorn_comes_in_by_jmap() {
    let there = Server::start();
    fill(&there, &mails(60));
    let expected = rows(&mut there.jmap("alice"));
    let here = Server::start();
    let password: PathBuf = here.home.path().join("password");
    fs::write(&password, format!("{PASSWORD}\n")).expect("not written");
    let url = format!("http://127.0.0.1:{}", there.home.http);
    let import = [
        "import",
        "jmap",
        "--url",
        &url,
        "--account",
        BOB,
        "--user",
        ALICE,
        "--password-file",
        path(&password),
    ];
    let mut child = here.home.start_cli(&import);
    wait_for_emails(&here, "bob", 1);
    child.kill().expect("not killed");
    child.wait().expect("not waited for");
    answer(&here.home, &import);
    assert_same(&rows(&mut here.jmap("bob")), &expected);
    let again = answer(&here.home, &import);
    assert_eq!(again["new"], json!(0), "{again}");
    fs::write(&password, "wrong\n").expect("not written");
    let output = here.home.try_cli(&import, "");
    assert!(
        !output.status.success() && text(&output).contains("login was refused"),
        "{}",
        text(&output)
    );
    here.home.check();
}
