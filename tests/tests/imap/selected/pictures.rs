//! What clients believe: each keeps a picture of its mailbox from nothing but what it is told, while all of them change it at random. It has to
//! be what a client that comes anew is shown (RFC 9051 §5.2, §7.4; RFC 7162 for those that were away).

use std::collections::BTreeMap;

use e2e::{Dice, dice::number_from_env};

use super::{Client, Server, message};

const MAILBOXES: [&str; 2] = ["INBOX", "Work"];
const STEPS: usize = 300;

/// A message as its client knows it: UID and flags, or only that it is there.
type Known = Option<(u32, String)>;

/// A client with its picture.
struct Believer {
    client: Client,
    mailbox: &'static str,
    messages: Vec<Known>,
    validity: u64,
    highest: u64,
    /// QRESYNC is enabled.
    resyncs: bool,
}

fn number_after(text: &str, word: &str) -> Option<u64> {
    let (_, rest) = text.split_once(word)?;
    let end = rest.find(|c: char| !c.is_ascii_digit());
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

fn uids(set: &str) -> impl Iterator<Item = u32> {
    set.split(',').flat_map(|range| {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        first.parse::<u32>().unwrap()..=last.parse().unwrap()
    })
}

/// Sorted, without `\Recent`, which one client alone has.
fn flags_of(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("FLAGS (")?;
    let (flags, _) = rest.split_once(')')?;
    let mut flags: Vec<&str> = flags
        .split(' ')
        .filter(|flag| *flag != "\\Recent")
        .collect();
    flags.sort_unstable();
    Some(flags.join(" ").trim().to_owned())
}

impl Believer {
    async fn new(server: &Server, mailbox: &'static str, resyncs: bool) -> Believer {
        let mut believer = Believer {
            client: server.login().await,
            mailbox,
            messages: Vec::new(),
            validity: 0,
            highest: 0,
            resyncs,
        };
        if resyncs {
            believer.client.ok("ENABLE QRESYNC").await;
        }
        believer.say(&format!("SELECT {mailbox}")).await;
        believer
    }

    async fn say(&mut self, command: &str) -> String {
        let answer = self.client.say(command).await;
        let end = answer.lines().last().unwrap_or_default();
        // RFC 2180 §4.2: others may have been faster.
        let goes_well = end.starts_with(". OK") || end.starts_with(". NO [EXPUNGEISSUED]");
        assert!(goes_well, "{command}: {answer}");
        self.hear(command, &answer);
        answer
    }

    fn hear(&mut self, command: &str, answer: &str) {
        for line in answer.lines() {
            self.hear_line(line)
                .unwrap_or_else(|| panic!("{command}: {line} in\n{answer}"));
        }
    }

    fn hear_line(&mut self, line: &str) -> Option<()> {
        if let Some(validity) = number_after(line, "[UIDVALIDITY ") {
            self.validity = validity;
        }
        // It is the server's word, also if it is less than what was seen.
        if let Some(highest) = number_after(line, "[HIGHESTMODSEQ ") {
            self.highest = highest;
        }
        if let Some(set) = line.strip_prefix("* VANISHED (EARLIER) ") {
            let gone: Vec<u32> = uids(set).collect();
            self.messages
                .retain(|known| known.as_ref().is_none_or(|(uid, _)| !gone.contains(uid)));
            return Some(());
        }
        if let Some(set) = line.strip_prefix("* VANISHED ") {
            for gone in uids(set) {
                // Of those that it knows only to be there it can't be told which is which: it asks before.
                let at = self.messages.iter().position(|known| {
                    let uid = known.as_ref().map(|(uid, _)| *uid);
                    uid == Some(gone)
                });
                self.messages.remove(at?);
            }
            return Some(());
        }
        let mut words = line.split(' ').skip(1);
        let (Some(Ok(number)), Some(kind)) = (words.next().map(str::parse::<usize>), words.next())
        else {
            return Some(());
        };
        match kind {
            "EXISTS" => {
                assert!(
                    number >= self.messages.len(),
                    "{line}: fewer without EXPUNGE"
                );
                self.messages.resize(number, None);
            }
            "EXPUNGE" => {
                (number >= 1 && number <= self.messages.len()).then_some(())?;
                self.messages.remove(number - 1);
            }
            "FETCH" => {
                let known = self.messages.get_mut(number.checked_sub(1)?)?;
                if let Some(modseq) = number_after(line, "MODSEQ (") {
                    self.highest = self.highest.max(modseq);
                }
                let uid = number_after(line, "UID ").map(|uid| uid as u32);
                if let (Some(uid), Some((before, _))) = (uid, known.as_ref()) {
                    assert_eq!(uid, *before, "{line}: another message");
                }
                let uid = uid.or(known.as_ref().map(|(uid, _)| *uid));
                if let (Some(uid), Some(flags)) = (uid, flags_of(line)) {
                    *known = Some((uid, flags));
                }
            }
            _ => {}
        }
        Some(())
    }

    /// Asks about what it only knows to be there.
    async fn learn(&mut self) {
        if let Some(first) = self.messages.iter().position(Option::is_none) {
            self.say(&format!("FETCH {}:* (UID FLAGS)", first + 1))
                .await;
        }
    }

    async fn change(&mut self, dice: &mut Dice) {
        let number = 1 + dice.below(self.messages.len());
        let there = !self.messages.is_empty();
        let to = *dice.one_of(&MAILBOXES);
        let flag = *dice.one_of(&["\\Seen", "\\Flagged", "\\Deleted", "work"]);
        match dice.below(14) {
            0 | 1 => {
                let mail = message(dice.below(1000));
                let octets = mail.len();
                self.say(&format!("APPEND {to} ({flag}) {{{octets}+}}\r\n{mail}"))
                    .await;
            }
            2 | 3 if there => {
                self.say(&format!("STORE {number} +FLAGS ({flag})")).await;
            }
            4 if there => {
                self.say(&format!("STORE {number}:* -FLAGS.SILENT ({flag})"))
                    .await;
                // What it asked not to be told it does by itself.
                for known in self.messages.iter_mut().skip(number - 1).flatten() {
                    let kept = known.1.split(' ').filter(|other| *other != flag);
                    known.1 = kept.collect::<Vec<_>>().join(" ");
                }
            }
            5 if there => {
                self.say(&format!("STORE {number} FLAGS ({flag})")).await;
            }
            6 if there => {
                self.say(&format!("COPY {number}:* {to}")).await;
            }
            7 if there => {
                self.say(&format!("MOVE {number} {to}")).await;
            }
            8 => {
                self.say("EXPUNGE").await;
            }
            9 if there => {
                self.say(&format!("FETCH {number} (FLAGS BODY[])")).await;
            }
            10 => {
                self.say("SEARCH UNSEEN").await;
            }
            11 => self.learn().await,
            _ => {
                self.say("NOOP").await;
            }
        }
        // VANISHED names UIDs: this one has to know them.
        if self.resyncs {
            self.learn().await;
        }
    }

    /// Goes away and comes back.
    async fn leave(&mut self, server: &Server, dice: &mut Dice) {
        self.learn().await;
        if self.messages.iter().any(Option::is_none) {
            return;
        }
        match dice.below(3) {
            0 => self.client.ok("UNSELECT").await,
            1 => self.client.ok("EXAMINE Trash").await,
            _ => {
                self.client = server.login().await;
                self.client.ok("ENABLE QRESYNC").await
            }
        };
    }

    async fn come_back(&mut self) {
        let select = format!(
            "SELECT {} (QRESYNC ({} {}))",
            self.mailbox, self.validity, self.highest
        );
        let answer = self.client.ok(&select).await;
        // VANISHED (EARLIER) comes before the FETCH responses, whose numbers are those of now.
        let (vanished, rest): (Vec<&str>, Vec<&str>) =
            answer.lines().partition(|line| line.contains("VANISHED"));
        self.hear(&select, &vanished.join("\n"));
        self.hear(&select, &rest.join("\n"));
        self.learn().await;
    }

    /// What it believes, by UID.
    async fn picture(&mut self) -> BTreeMap<u32, String> {
        self.say("NOOP").await;
        self.learn().await;
        let known = self.messages.iter().cloned();
        let picture: BTreeMap<u32, String> = known.map(Option::unwrap).collect();
        assert_eq!(picture.len(), self.messages.len(), "a UID twice");
        picture
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_are_told_is_what_there_is() {
    let first = number_from_env("POSTHORN_SEED", 1) as u64;
    for seed in first..first + 6 {
        println!("POSTHORN_SEED={seed}");
        let server = Server::start().await;
        server.login().await.ok("CREATE Work").await;
        let mut dice = Dice(seed);
        let mut believers = Vec::new();
        for (at, mailbox) in [0, 0, 0, 1, 1].iter().map(|at| MAILBOXES[*at]).enumerate() {
            believers.push(Believer::new(&server, mailbox, at % 2 == 0).await);
        }
        for step in 0..STEPS {
            let at = dice.below(believers.len());
            believers[at].change(&mut dice).await;
            if dice.below(20) == 0 && believers[at].resyncs {
                believers[at].leave(&server, &mut dice).await;
                for _ in 0..dice.below(6) {
                    let other = (at + 1) % believers.len();
                    believers[other].change(&mut dice).await;
                }
                if believers[at].messages.iter().all(Option::is_some) {
                    believers[at].come_back().await;
                }
            }
            if step % 20 != 19 {
                continue;
            }
            for (at, believer) in believers.iter_mut().enumerate() {
                let mut anew = Believer::new(&server, believer.mailbox, false).await;
                let (believed, is) = (believer.picture().await, anew.picture().await);
                assert_eq!(believed, is, "seed {seed}, step {step}, client {at}");
            }
        }
    }
}
