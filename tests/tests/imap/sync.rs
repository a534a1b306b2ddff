//! Programs that keep a folder and an account the same: mbsync and offlineimap. Both sides change between the runs, and after each the two
//! are the same again.
//!
//! Holds: what is compared on the server's side is what JMAP has, octets and keywords; a run with nothing to do changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use e2e::{
    Corpus, Dice, Home, Jmap, PASSWORD, Server,
    corpus::{message, to_crlf},
    jmap::{string, strings},
};
use serde_json::{Value, json};

const ALICE: &str = "alice@example.org";
/// Mails that are there before the first run, a third of them in the folder.
const MAILS: usize = 300;
const ROUNDS: usize = 4;
/// Runs after which nothing may be left to do.
const PASSES_MAX: usize = 5;
/// Flags of Maildir, and what they are in JMAP. `T` is `\Deleted`, which a run takes away.
const FLAGS: [(char, &str); 4] = [
    ('D', "$draft"),
    ('F', "$flagged"),
    ('R', "$answered"),
    ('S', "$seen"),
];

/// What a side has: for each folder, message and flags of each mail, in some order.
type Picture = BTreeMap<String, Vec<(String, String)>>;

/// mbsync marks what it uploads with a field, which is on the server alone.
fn name_of(octets: &[u8]) -> String {
    let lines = octets.split_inclusive(|octet| *octet == b'\n');
    let kept: Vec<&[u8]> = lines
        .filter(|line| !line.starts_with(b"X-TUID: "))
        .collect();
    blake3::hash(&kept.concat()).to_hex()[..16].to_owned()
}

/// Folders of mails beside each other, `name/{cur,new,tmp}`.
struct Folders {
    base: PathBuf,
    made: usize,
}

impl Folders {
    fn new(base: PathBuf) -> Folders {
        fs::create_dir_all(&base).expect("no folder");
        Folders { base, made: 0 }
    }

    fn make(&self, name: &str) {
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(self.base.join(name).join(part)).expect("no folder");
        }
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.base).expect("no folder").flatten();
        let folders = entries.filter(|entry| entry.path().join("cur").is_dir());
        let names = folders.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// Files of a folder.
    fn mails(&self, name: &str) -> Vec<PathBuf> {
        let parts = ["cur", "new"].map(|part| self.base.join(name).join(part));
        let entries = parts.iter().flat_map(|part| fs::read_dir(part).into_iter());
        let mut mails: Vec<PathBuf> = entries.flatten().flatten().map(|e| e.path()).collect();
        mails.sort();
        mails
    }

    /// Files a mail, as a mail program does.
    fn add(&mut self, folder: &str, octets: &[u8], flags: &str) {
        self.made += 1;
        let text = octets.iter().copied().filter(|octet| *octet != b'\r');
        let name = format!("1700000000.{}_1.test:2,{flags}", self.made);
        let path = self.base.join(folder).join("cur").join(name);
        fs::write(path, text.collect::<Vec<u8>>()).expect("not written");
    }

    fn set_flags(&self, mail: &Path, flags: &str) {
        let name = mail.file_name().expect("no name").to_string_lossy();
        let name = name.split(":2,").next().unwrap_or_default().to_owned();
        let folder = mail.parent().and_then(Path::parent).expect("no folder");
        let to = folder.join("cur").join(format!("{name}:2,{flags}"));
        fs::rename(mail, to).expect("not renamed");
    }

    fn picture(&self) -> Picture {
        let mut picture = Picture::new();
        for name in self.names() {
            let mails = self.mails(&name).into_iter().map(|path| {
                let octets = to_crlf(&fs::read(&path).expect("not read"));
                (name_of(&octets), flags_of(&path))
            });
            let mut mails: Vec<_> = mails.collect();
            mails.sort();
            picture.insert(name, mails);
        }
        picture
    }
}

fn flags_of(mail: &Path) -> String {
    let name = mail.to_string_lossy();
    let flags = name.split_once(":2,").map(|(_, flags)| flags);
    let known = flags.unwrap_or_default().chars();
    known
        .filter(|flag| FLAGS.iter().any(|(f, _)| f == flag))
        .collect()
}

/// The account, as JMAP has it.
struct Account {
    jmap: Jmap,
    /// Names of blobs, by id: they don't change.
    blobs: BTreeMap<String, String>,
}

impl Account {
    fn mailboxes(&mut self) -> BTreeMap<String, String> {
        let response = self.jmap.call("Mailbox/get", json!({"ids": null}));
        let list = response["list"].as_array().expect("no list");
        let of = |mailbox: &Value| {
            let name = match mailbox["role"] == "inbox" {
                true => "INBOX".to_owned(),
                false => string(&mailbox["name"]),
            };
            (name, string(&mailbox["id"]))
        };
        list.iter().map(of).collect()
    }

    fn picture(&mut self) -> Picture {
        let mailboxes = self.mailboxes();
        let mut picture: Picture = mailboxes.keys().map(|n| (n.clone(), Vec::new())).collect();
        let ids = self.jmap.query_all(Value::Null);
        let properties = ["blobId", "mailboxIds", "keywords"];
        for email in self.jmap.get_emails(&ids, &properties) {
            let blob = string(&email["blobId"]);
            let jmap = &mut self.jmap;
            let name = self.blobs.entry(blob.clone());
            let name = name.or_insert_with(|| name_of(&to_crlf(&jmap.download(&blob))));
            let has = |keyword: &str| email["keywords"].get(keyword).is_some();
            let flags = FLAGS.iter().filter(|(_, keyword)| has(keyword));
            let flags: String = flags.map(|(flag, _)| flag).collect();
            for (folder, id) in &mailboxes {
                if email["mailboxIds"].get(id).is_some() {
                    let folder = picture.entry(folder.clone()).or_default();
                    folder.push((name.clone(), flags.clone()));
                }
            }
        }
        picture.values_mut().for_each(|mails| mails.sort());
        picture
    }

    fn update(&mut self, email: &str, patch: Value) {
        let done = self
            .jmap
            .call("Email/set", json!({"update": {email: patch}}));
        assert!(done["updated"].get(email).is_some(), "{done}");
    }

    /// Keywords, moves, copies, removals, a delivery, a new mailbox.
    fn change(&mut self, server: &Server, dice: &mut Dice, round: usize) {
        let mailboxes: Vec<String> = self.mailboxes().into_values().collect();
        let ids = self.jmap.query_all(Value::Null);
        for id in &ids {
            match dice.below(20) {
                0 => self.update(id, json!({"keywords/$flagged": true})),
                1 => self.update(id, json!({"keywords/$flagged": null})),
                2 => self.update(
                    id,
                    json!({"keywords/$seen": true, "keywords/$answered": true}),
                ),
                3 => {
                    let to = dice.one_of(&mailboxes);
                    self.update(id, json!({"mailboxIds": {to: true}}));
                }
                4 => {
                    let to = dice.one_of(&mailboxes);
                    self.update(id, json!({(format!("mailboxIds/{to}")): true}));
                }
                5 => {
                    let done = self.jmap.call("Email/set", json!({"destroy": [id]}));
                    assert_eq!(strings(&done["destroyed"]), std::slice::from_ref(id));
                }
                _ => {}
            }
        }
        for n in 0..5 {
            let mail = message(&format!("new{round}.{n}@example.net"), "new", "delivered");
            let reply = server.smtp().send("carol@example.net", ALICE, &mail);
            assert_eq!(reply.expect("not delivered").code, 250);
        }
        let create = json!({"create": {"m": {"name": format!("Made on the server {round}")}}});
        let done = self.jmap.call("Mailbox/set", create);
        assert!(done["created"]["m"].is_object(), "{done}");
    }
}

/// Flags, moves, removals, new mails, a new folder: as a mail program does.
fn change_folders(
    folders: &mut Folders,
    dice: &mut Dice,
    round: usize,
    mut gone: impl FnMut(&Path),
) {
    let names = folders.names();
    for name in &names {
        for mail in folders.mails(name) {
            match dice.below(20) {
                0 => folders.set_flags(&mail, "FS"),
                1 => folders.set_flags(&mail, ""),
                2 => {
                    let octets = fs::read(&mail).expect("not read");
                    let to: &String = dice.one_of(&names);
                    folders.add(to, &to_crlf(&octets), "S");
                    gone(&mail);
                }
                3 => gone(&mail),
                _ => {}
            }
        }
    }
    for n in 0..5 {
        let mail = message(&format!("mine{round}.{n}@example.org"), "mine", "a draft");
        folders.add("INBOX", &mail, "DS");
    }
    folders.make(&format!("Made here {round}"));
}

/// Mails that both sides can keep as they are: Maildir has lines of LF alone, and IMAP has no NUL.
fn mails(corpus: Corpus) -> Vec<Vec<u8>> {
    let step = (corpus.mails.len() / MAILS).max(1);
    let mails = corpus
        .mails
        .into_iter()
        .step_by(step)
        .map(|mail| mail.octets);
    let mails = mails.filter(|octets| !octets.contains(&0));
    mails.take(MAILS).collect()
}

fn run(program: &str, args: &[&str], folder: &Path) -> String {
    let output = Command::new(program)
        .args(args)
        .env("HOME", folder)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output();
    let output = output
        .unwrap_or_else(|error| panic!("{program} can't be run ({error}); it is a Debian package"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(
        output.status.success(),
        "{program}: {}\n{said}",
        output.status
    );
    said
}

/// What is different, shortly.
fn assert_same(round: usize, server: &Picture, folders: &Picture) {
    let names: BTreeSet<&String> = server.keys().chain(folders.keys()).collect();
    for name in names {
        let (there, here) = (server.get(name), folders.get(name));
        let of = |mails: Option<&Vec<(String, String)>>| -> Vec<(String, String)> {
            mails.cloned().unwrap_or_default()
        };
        let (there, here) = (of(there), of(here));
        let missing: Vec<_> = there.iter().filter(|mail| !here.contains(mail)).collect();
        let extra: Vec<_> = here.iter().filter(|mail| !there.contains(mail)).collect();
        assert!(
            there == here,
            "round {round}, {name}: {} on the server, {} in the folder; not in the folder {missing:?}; not on the server {extra:?}",
            there.len(),
            here.len(),
        );
    }
}

/// Delivers and files mails, then changes both sides and synchronizes them, again and again.
fn keep_the_same(
    server: &Server,
    mut folders: Folders,
    corpus: Corpus,
    filed_in: [&str; 2],
    synchronize: impl Fn() -> String,
    gone: impl Fn(&Path) + Copy,
) {
    let mails = mails(corpus);
    let (delivered, filed) = mails.split_at(mails.len() * 2 / 3);
    let mut smtp = server.smtp();
    for mail in delivered {
        let reply = smtp.send("carol@example.net", ALICE, mail);
        assert_eq!(reply.expect("not delivered").code, 250);
    }
    filed_in.iter().for_each(|name| folders.make(name));
    for (at, mail) in filed.iter().enumerate() {
        let flags = ["", "S", "FS", "RS"][at % 4];
        folders.add(filed_in[at % 2], mail, flags);
    }
    let mut account = Account {
        jmap: server.jmap("alice"),
        blobs: BTreeMap::new(),
    };
    let mut dice = Dice(7);
    for round in 0..ROUNDS {
        let said = settle(&mut account, &synchronize);
        let (there, here) = (account.picture(), folders.picture());
        println!(
            "round {round}: {} mails\n{said}",
            here.values().map(Vec::len).sum::<usize>()
        );
        assert_same(round, &there, &here);
        // Nothing to do: nothing is done.
        let state = account.jmap.email_state();
        synchronize();
        assert_eq!(account.jmap.email_state(), state, "round {round}");
        assert_same(round, &there, &folders.picture());
        account.jmap.check_counts();
        account.change(server, &mut dice, round);
        change_folders(&mut folders, &mut dice, round, gone);
    }
    settle(&mut account, &synchronize);
    assert_same(ROUNDS, &account.picture(), &folders.picture());
    server.home.check();
}

/// A log that says what is wrong alone.
fn quiet() -> Home {
    Home::with_people().set("log", "level = \"warn\"")
}

/// Synchronizes until nothing changes. Once is not enough where an email is in two mailboxes: what is changed in the one is seen in the other.
fn settle(account: &mut Account, synchronize: impl Fn() -> String) -> String {
    let mut said = String::new();
    for _ in 0..PASSES_MAX {
        let before = account.jmap.email_state();
        said.push_str(&synchronize());
        if account.jmap.email_state() == before {
            return said;
        }
    }
    panic!("it goes on changing:\n{said}");
}

#[test]
fn mbsync_keeps_a_folder_and_an_account_the_same() {
    let server = Server::start_in(quiet());
    let folder = server.home.path().to_owned();
    let folders = Folders::new(folder.join("mail"));
    let certificate = server.home.data.join("tls/mail.example.org.crt");
    let config = format!(
        "IMAPAccount posthorn\nHost 127.0.0.1\nPort {}\nUser {ALICE}\nPass \"{PASSWORD}\"\nSSLType IMAPS\nCertificateFile {}\n\n\
         IMAPStore there\nAccount posthorn\n\n\
         MaildirStore here\nPath {mail}/\nInbox {mail}/INBOX\nSubFolders Verbatim\n\n\
         Channel all\nFar :there:\nNear :here:\nPatterns *\nCreate Both\nExpunge Both\nSyncState *\n",
        server.home.imaps,
        certificate.display(),
        mail = folders.base.display(),
    );
    let rc = folder.join("mbsyncrc");
    fs::write(&rc, config).expect("not written");
    let rc = rc.to_string_lossy().into_owned();
    let synchronize = || run("mbsync", &["-c", &rc, "-a", "-V"], &folder);
    // A mail that is gone: marked as such by the program, and taken away by the next run.
    let gone = |mail: &Path| {
        let name = mail.to_string_lossy();
        let name = name.split(":2,").next().unwrap_or_default().to_owned();
        let name = name.replace("/new/", "/cur/");
        fs::rename(mail, format!("{name}:2,ST")).expect("not renamed");
    };
    keep_the_same(
        &server,
        folders,
        Corpus::load(),
        ["INBOX", "Filed here"],
        synchronize,
        gone,
    );
}

#[test]
fn offlineimap_keeps_a_folder_and_an_account_the_same() {
    let server = Server::start_in(quiet());
    let folder = server.home.path().to_owned();
    let folders = Folders::new(folder.join("mail"));
    let config = format!(
        "[general]\naccounts = posthorn\nui = quiet\nmetadata = {}\n\n\
         [Account posthorn]\nlocalrepository = here\nremoterepository = there\nutf8foldernames = yes\n\n\
         [Repository here]\ntype = Maildir\nlocalfolders = {}\n\n\
         [Repository there]\ntype = IMAP\nremotehost = 127.0.0.1\nremoteport = {}\nremoteuser = {ALICE}\nremotepass = {PASSWORD}\n\
         ssl = no\nstarttls = no\n",
        folder.join("offlineimap").display(),
        folders.base.display(),
        server.home.imap,
    );
    let rc = folder.join("offlineimaprc");
    fs::write(&rc, config).expect("not written");
    let rc = rc.to_string_lossy().into_owned();
    let synchronize = || run("offlineimap", &["-c", &rc, "-o", "-1"], &folder);
    let gone = |mail: &Path| fs::remove_file(mail).expect("not removed");
    // What isn't well-formed it writes anew.
    let corpus = Corpus::generate(MAILS);
    keep_the_same(
        &server,
        folders,
        corpus,
        ["INBOX", "Fil\u{e9}s"],
        synchronize,
        gone,
    );
}
