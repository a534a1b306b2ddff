//! `kill -9` while clients file, flag and move messages: what was answered with OK is so afterwards, under the same UIDs.
//!
//! Holds: what was under way when the server died may be done or not.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use e2e::{Dice, PASSWORD, Server, corpus::message, reading::Connection};

const CONNECTIONS: usize = 6;
const KILLS: usize = 4;

/// Where a message is, as answers said.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    mailbox: &'static str,
    uid: u32,
    is_flagged: bool,
}

#[derive(Clone, Debug)]
struct Filed {
    place: Place,
    /// Asked for, and not answered.
    under_way: Option<Change>,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Flag,
    Move,
}

/// Messages by subject.
type Ledger = Mutex<BTreeMap<String, Filed>>;

struct Imap(Connection);

impl Imap {
    fn login(port: u16) -> io::Result<Imap> {
        let mut imap = Imap(Connection::open(port)?);
        imap.0.line()?;
        imap.say(&format!("LOGIN alice@example.org \"{PASSWORD}\""))?;
        Ok(imap)
    }

    /// The lines of the answer to a command that has to go well.
    fn say(&mut self, command: &str) -> io::Result<Vec<String>> {
        self.0.write(format!("a {command}\r\n").as_bytes())?;
        let mut lines = Vec::new();
        loop {
            let line = self.0.line()?;
            let is_end = line.starts_with("a ");
            assert!(!is_end || line.starts_with("a OK"), "{command}: {line}");
            lines.push(line);
            if is_end {
                return Ok(lines);
            }
        }
    }
}

/// The last UID of APPENDUID or COPYUID.
fn uid_of(lines: &[String]) -> u32 {
    let mut lines_with = lines.iter().filter(|line| line.contains(" OK ["));
    let code = lines_with.find(|line| line.contains("UID "));
    let code = code.and_then(|line| line.split_once(']'));
    let uid = code.and_then(|(code, _)| code.rsplit(' ').next());
    uid.and_then(|uid| uid.parse().ok())
        .unwrap_or_else(|| panic!("no UID in {lines:?}"))
}

/// Until the connection breaks.
fn work(port: u16, name: &str, ledger: &Ledger) -> io::Result<()> {
    let mut imap = Imap::login(port)?;
    imap.say("SELECT INBOX")?;
    for n in 0.. {
        let subject = format!("{name}.{n}");
        let mail = message(&format!("{subject}@kill.example"), &subject, "text");
        let mail = String::from_utf8_lossy(&mail).into_owned();
        let lines = imap.say(&format!("APPEND INBOX {{{}+}}\r\n{mail}", mail.len()))?;
        let place = Place {
            mailbox: "INBOX",
            uid: uid_of(&lines),
            is_flagged: false,
        };
        let set = |place: &Place, under_way| {
            let filed = Filed {
                place: place.clone(),
                under_way,
            };
            let mut ledger = ledger.lock().expect("another one failed");
            ledger.insert(subject.clone(), filed);
        };
        set(&place, Some(Change::Flag));
        imap.say(&format!(
            "UID STORE {} +FLAGS.SILENT (\\Flagged)",
            place.uid
        ))?;
        let flagged = Place {
            is_flagged: true,
            ..place.clone()
        };
        if n % 3 != 0 {
            set(&flagged, None);
            continue;
        }
        set(&flagged, Some(Change::Move));
        let lines = imap.say(&format!("UID MOVE {} Archive", place.uid))?;
        let moved = Place {
            mailbox: "Archive",
            uid: uid_of(&lines),
            is_flagged: true,
        };
        set(&moved, None);
    }
    Ok(())
}

/// What is in a mailbox: subjects with their places, UIDVALIDITY and UIDNEXT.
fn look(imap: &mut Imap, mailbox: &'static str) -> (BTreeMap<String, Place>, String, u32) {
    let selected = imap.say(&format!("SELECT {mailbox}")).expect("no SELECT");
    let code = |name: &str| {
        let code = selected.iter().find_map(|line| line.split_once(name));
        let end = code.and_then(|(_, rest)| rest.split_once(']'));
        end.map(|(number, _)| number.to_owned()).expect("no code")
    };
    let fetch = "UID FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])";
    let lines = imap.say(fetch).expect("no FETCH");
    let mut there = BTreeMap::new();
    let mut place = None;
    for line in &lines {
        if let Some((_, rest)) = line.split_once("(UID ") {
            let uid = rest.split(' ').next().and_then(|uid| uid.parse().ok());
            place = uid.map(|uid| Place {
                mailbox,
                uid,
                is_flagged: line.contains("\\Flagged"),
            });
        } else if let Some(subject) = line.strip_prefix("Subject: ") {
            let place = place.take().expect("a subject without a message");
            let twice = there.insert(subject.to_owned(), place);
            assert!(twice.is_none(), "{subject} is there twice");
        }
    }
    let uid_next = code("[UIDNEXT ").parse().expect("no number");
    (there, code("[UIDVALIDITY "), uid_next)
}

#[test]
fn what_was_answered_survives_kill_9() {
    let mut server = Server::start();
    let mut dice = Dice(5);
    let ledger = Ledger::default();
    let mut validity: Option<[String; 2]> = None;
    for kill in 0..KILLS {
        let port = server.home.imap;
        thread::scope(|scope| {
            for at in 0..CONNECTIONS {
                let ledger = &ledger;
                scope.spawn(move || work(port, &format!("m{kill}.{at}"), ledger));
            }
            thread::sleep(Duration::from_millis(300 + dice.below(900) as u64));
            server.kill();
        });
        server.restart();
        let mut imap = Imap::login(server.home.imap).expect("no login");
        let (inbox, inbox_validity, inbox_next) = look(&mut imap, "INBOX");
        let (archive, archive_validity, archive_next) = look(&mut imap, "Archive");
        let now = [inbox_validity, archive_validity];
        assert_eq!(*validity.get_or_insert_with(|| now.clone()), now);
        for (there, next) in [(&inbox, inbox_next), (&archive, archive_next)] {
            let last = there.values().map(|place| place.uid).max();
            assert!(last.is_none_or(|last| last < next), "{last:?} {next}");
        }
        let mut ledger = ledger.lock().expect("a client failed");
        assert!(!ledger.is_empty(), "nothing was done");
        println!("kill {kill}: {} messages", ledger.len());
        for (subject, filed) in ledger.iter_mut() {
            let (in_inbox, in_archive) = (inbox.get(subject), archive.get(subject));
            let found = match (in_inbox, in_archive) {
                (Some(place), None) | (None, Some(place)) => place,
                neither => panic!("{subject} {filed:?}: {neither:?}"),
            };
            match filed.under_way.take() {
                _ if *found == filed.place => {}
                Some(Change::Flag) => {
                    assert!(
                        found.is_flagged && found.uid == filed.place.uid,
                        "{subject}"
                    );
                }
                Some(Change::Move) => assert_eq!(found.mailbox, "Archive", "{subject}"),
                None => panic!("{subject}: {found:?} is not {:?}", filed.place),
            }
            filed.place = found.clone();
        }
    }
    server.home.check();
}
