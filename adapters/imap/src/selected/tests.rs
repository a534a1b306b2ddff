//! A client that only hears what is sent always has the right list.

use std::collections::BTreeMap;

use jmap_core::inproc::imap_view::ViewStatus;
use jmap_types::AccountId;

use super::recent::RECENT_MAILBOXES_MAX;
use super::*;

/// Dice that are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below.max(1)
    }
}

fn key() -> MailboxKey {
    MailboxKey {
        account: AccountId::new(1),
        mailbox: 7,
    }
}

/// The mailbox as it is: by UID, email, keyword and MODSEQ.
#[derive(Default)]
struct Mailbox {
    there: BTreeMap<u32, (u64, bool, u64)>,
    uid_next: u32,
    sequence: u64,
}

fn keywords(is_seen: bool) -> Arc<[Arc<str>]> {
    match is_seen {
        true => Arc::from([Arc::from("$seen"), Arc::from("work")]),
        false => Arc::from([]),
    }
}

impl Mailbox {
    fn row(&self, uid: u32) -> ViewRow {
        let (email, is_seen, modseq) = self.there[&uid];
        ViewRow {
            uid,
            email,
            thread: email,
            modseq,
            size: 10,
            received_at: 0,
            saved_at: 0,
            sent_at: None,
            is_deleted: false,
            keywords: keywords(is_seen),
        }
    }

    fn change(&mut self, dice: &mut Dice) {
        self.sequence += 1;
        let some: Vec<u32> = self.there.keys().copied().collect();
        let picked = some.get(dice.roll(some.len() as u64) as usize).copied();
        match (dice.roll(6), picked) {
            (0..=1, Some(uid)) => {
                self.there.remove(&uid);
            }
            (2, Some(uid)) => {
                // Out, and in again: the same email under another UID.
                let (email, is_seen, _) = self.there.remove(&uid).unwrap();
                self.add(email, is_seen, dice);
            }
            (3, Some(uid)) => {
                let sequence = self.sequence;
                let message = self.there.get_mut(&uid).unwrap();
                message.1 = !message.1;
                message.2 = sequence;
            }
            _ => self.add(1_000 + self.sequence, false, dice),
        }
    }

    fn add(&mut self, email: u64, is_seen: bool, dice: &mut Dice) {
        self.uid_next += 1 + dice.roll(3) as u32;
        let uid = self.uid_next - 1;
        self.there.insert(uid, (email, is_seen, self.sequence));
    }

    fn opened(&self) -> Opened {
        Opened {
            status: ViewStatus {
                uid_next: self.uid_next,
                highest_modseq: self.sequence,
                ..ViewStatus::default()
            },
            rights: MailboxRights::ALL,
            messages: self.list(),
            keywords: Vec::new(),
            first_unseen_uid: None,
            sequence: self.sequence,
        }
    }

    fn list(&self) -> UidList {
        let there = self.there.iter();
        there.map(|(uid, message)| (*uid, message.0)).collect()
    }

    fn delta(&self, since: u64) -> MailboxDelta {
        let changed = self.there.iter().filter(|(_, message)| message.2 > since);
        MailboxDelta {
            sequence: self.sequence,
            highest_modseq: self.sequence,
            uid_next: self.uid_next,
            rights: MailboxRights::ALL,
            rows: changed.map(|(uid, _)| self.row(*uid)).collect(),
            messages: self.list(),
        }
    }
}

/// A client: what it knows of each number. `None`: nothing yet.
#[derive(Default)]
struct Client {
    messages: Vec<Option<u32>>,
    /// Flags by UID, as it was told.
    seen: BTreeMap<u32, bool>,
}

impl Client {
    /// Takes in what was sent.
    fn hear(&mut self, sent: &[u8], may_expunge: bool) {
        for line in String::from_utf8(sent.to_vec()).unwrap().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["*", number, "EXISTS"] => {
                    let count: usize = number.parse().unwrap();
                    assert!(
                        count >= self.messages.len(),
                        "EXISTS takes messages away: {line}"
                    );
                    self.messages.resize(count, None);
                }
                ["*", number, "EXPUNGE"] => {
                    assert!(may_expunge, "{line}");
                    self.messages.remove(number.parse::<usize>().unwrap() - 1);
                }
                ["*", "VANISHED", set] => {
                    assert!(may_expunge, "{line}");
                    let set = crate::parse::sequence_set(set.as_bytes()).unwrap();
                    let SequenceSet::Ranges(ranges) = set else {
                        panic!()
                    };
                    let gone = |uid: u32| {
                        ranges.iter().any(|(first, last)| match (first, last) {
                            (SequenceNumber::Number(first), SequenceNumber::Number(last)) => {
                                (*first..=*last).contains(&uid)
                            }
                            _ => false,
                        })
                    };
                    self.messages.retain(|uid| !uid.is_some_and(gone));
                }
                ["*", number, "FETCH", ..] => {
                    let at = number.parse::<usize>().unwrap() - 1;
                    let uid = words[words.iter().position(|w| *w == "(UID").unwrap() + 1];
                    let uid: u32 = uid.parse().unwrap();
                    let known = self
                        .messages
                        .get_mut(at)
                        .expect("EXISTS comes before FETCH");
                    assert_eq!(*known, Some(uid), "{line}");
                    self.seen.insert(uid, line.contains("\\Seen"));
                }
                ["*", "FLAGS", ..] | ["*", "OK", ..] | ["*", _, "RECENT"] => {}
                _ => panic!("{line}"),
            }
        }
    }

    /// Asks for what it doesn't know, as FETCH of the new ones does.
    fn look(&mut self, selected: &Selected, mailbox: &Mailbox) {
        assert_eq!(self.messages.len(), selected.len());
        for (known, (uid, _)) in self.messages.iter_mut().zip(selected.messages().iter()) {
            match known {
                Some(known) => assert_eq!(*known, uid),
                None => {
                    *known = Some(uid);
                    if let Some((_, is_seen, _)) = mailbox.there.get(&uid) {
                        self.seen.insert(uid, *is_seen);
                    }
                }
            }
        }
    }
}

#[test]
fn a_client_that_hears_what_is_sent_has_the_right_list() {
    for seed in 0..600 {
        let mut dice = Dice(seed);
        let manner = Manner {
            vanished: seed % 3 == 0,
            modseq: seed % 2 == 0,
            recent: seed % 5 == 0,
            uid_only: false,
            no_flags: false,
        };
        let mut mailbox = Mailbox {
            uid_next: 1,
            ..Mailbox::default()
        };
        for _ in 0..dice.roll(20) {
            mailbox.change(&mut dice);
        }
        let recents = Recents::default();
        let mut selected = Selected::new(key(), mailbox.opened(), false, u32::MAX);
        let mut client = Client {
            messages: vec![None; selected.len()],
            ..Client::default()
        };
        client.look(&selected, &mailbox);
        for step in 0..40 {
            for _ in 0..dice.roll(5) {
                mailbox.change(&mut dice);
            }
            let is_last = step == 39;
            let may_expunge = is_last || dice.roll(2) == 0;
            let delta = mailbox.delta(selected.sequence());
            let mut sent = Vec::new();
            selected.apply(delta, manner, may_expunge, &recents, &mut sent);
            client.hear(&sent, may_expunge);
            client.look(&selected, &mailbox);
            if may_expunge {
                assert_eq!(*selected.messages(), mailbox.list(), "seed {seed}");
            }
            for (uid, (_, is_seen, _)) in &mailbox.there {
                assert_eq!(client.seen.get(uid), Some(is_seen), "seed {seed} uid {uid}");
            }
        }
    }
}

fn selected(uids: &[u32]) -> Selected {
    let mut mailbox = Mailbox {
        uid_next: uids.last().map_or(1, |uid| uid + 1),
        sequence: 1,
        ..Mailbox::default()
    };
    for &uid in uids {
        mailbox.there.insert(uid, (u64::from(uid) + 100, false, 1));
    }
    Selected::new(key(), mailbox.opened(), false, u32::MAX)
}

#[test]
fn sets_are_places_in_order_and_none_twice() {
    let selected = selected(&[2, 3, 7, 9]);
    let rows = [
        ("1", Some("0"), ""),
        ("1:*", Some("0 1 2 3"), "0 1 2 3"),
        ("*:1", Some("0 1 2 3"), "0 1 2 3"),
        ("*", Some("3"), "3"),
        ("4,1,1:2", Some("0 1 3"), "0"),
        ("3:2", Some("1 2"), "0 1"),
        ("5", None, ""),
        ("4:8", None, "2"),
        ("20:*", None, "3"),
        ("$", Some(""), ""),
    ];
    for (set, numbers, uids) in rows {
        let set_of = crate::parse::sequence_set(set.as_bytes()).unwrap();
        let text = |places: Vec<Range<usize>>| {
            let places = places.into_iter().flatten().map(|at| at.to_string());
            places.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            selected.by_numbers(&set_of).ok().map(text).as_deref(),
            numbers,
            "{set}"
        );
        assert_eq!(text(selected.by_uids(&set_of)), uids, "{set}");
    }
}

#[test]
fn an_empty_mailbox_has_no_star() {
    let selected = selected(&[]);
    let star = crate::parse::sequence_set(b"1:*").unwrap();
    assert_eq!(selected.by_numbers(&star), Err(NoSuchNumber));
    assert!(selected.by_uids(&star).is_empty());
}

#[test]
fn what_the_session_stored_itself_it_is_not_told_again() {
    let mut mailbox = Mailbox {
        uid_next: 3,
        sequence: 1,
        ..Mailbox::default()
    };
    mailbox.there.insert(1, (11, false, 1));
    mailbox.there.insert(2, (12, false, 1));
    let mut selected = Selected::new(key(), mailbox.opened(), false, u32::MAX);
    mailbox.sequence = 2;
    mailbox.there.insert(1, (11, true, 2));
    mailbox.there.insert(2, (12, true, 2));
    selected.tell(11, 2);
    let mut sent = Vec::new();
    selected.apply(
        mailbox.delta(1),
        Manner::default(),
        true,
        &Recents::default(),
        &mut sent,
    );
    let sent = String::from_utf8(sent).unwrap();
    assert!(!sent.contains("* 1 FETCH"), "{sent}");
    assert!(
        sent.contains("* 2 FETCH (UID 2 FLAGS (\\Seen work))"),
        "{sent}"
    );
    assert!(
        sent.starts_with("* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft work)"),
        "{sent}"
    );
}

#[test]
fn a_saved_result_loses_what_is_expunged() {
    let mut selected = selected(&[1, 2, 3, 4]);
    selected.saved = Ranges::of([(2, 4)]);
    let delta = MailboxDelta {
        sequence: 2,
        highest_modseq: 2,
        uid_next: 5,
        rights: MailboxRights::ALL,
        rows: Vec::new(),
        messages: [(1, 101), (2, 102), (4, 104)].into_iter().collect(),
    };
    selected.apply(
        delta,
        Manner::default(),
        true,
        &Recents::default(),
        &mut Vec::new(),
    );
    assert_eq!(selected.saved.iter().collect::<Vec<_>>(), [2, 4]);
}

#[test]
fn a_message_is_recent_in_one_session_only() {
    let recents = Recents::default();
    assert_eq!(
        recents.claim(key(), 10),
        10,
        "what was there before is not recent"
    );
    assert_eq!(recents.peek(key(), 12), 10);
    assert_eq!(recents.claim(key(), 12), 10);
    assert_eq!(recents.claim(key(), 12), 12);
    assert_eq!(
        recents.claim(key(), 11),
        11,
        "a session that is behind takes nothing back"
    );
    assert_eq!(recents.claim(key(), 13), 12);
}

#[test]
fn recents_forget_when_there_are_too_many() {
    let recents = Recents::default();
    for mailbox in 0..=RECENT_MAILBOXES_MAX as u64 {
        recents.claim(MailboxKey { mailbox, ..key() }, 5);
    }
    let first = MailboxKey {
        mailbox: 0,
        ..key()
    };
    assert_eq!(recents.peek(first, 9), 9);
    let last = MailboxKey {
        mailbox: RECENT_MAILBOXES_MAX as u64,
        ..key()
    };
    assert_eq!(recents.peek(last, 9), 5);
}

#[test]
fn flags_lists_at_most_so_many_keywords() {
    let mut selected = selected(&[1]);
    let names: Vec<Arc<str>> = (0..=KEYWORDS_LISTED_MAX)
        .map(|n| Arc::from(format!("k{n:05}")))
        .collect();
    let mailbox = Mailbox::default();
    let mut delta = mailbox.delta(0);
    let row = selected_row(names.into());
    delta.rows = vec![row];
    let mut sent = Vec::new();
    selected.apply(
        delta,
        Manner::default(),
        true,
        &Recents::default(),
        &mut sent,
    );
    assert_eq!(selected.keywords.len(), KEYWORDS_LISTED_MAX);
}

fn selected_row(keywords: Arc<[Arc<str>]>) -> ViewRow {
    let mut mailbox = Mailbox::default();
    mailbox.there.insert(1, (101, false, 2));
    ViewRow {
        keywords,
        ..mailbox.row(1)
    }
}

#[test]
fn ranges_are_sets() {
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let mut set = std::collections::BTreeSet::new();
        let mut ranges = Ranges::default();
        for _ in 0..dice.roll(40) {
            let number = 1 + dice.roll(50) as u32;
            set.insert(number);
            ranges.insert(number);
        }
        assert!(ranges.iter().eq(set.iter().copied()), "seed {seed}");
        assert_eq!(ranges, set.iter().copied().collect());
        let out: std::collections::BTreeSet<u32> = (0..dice.roll(20))
            .map(|_| 1 + dice.roll(50) as u32)
            .collect();
        let left = ranges.without(out.iter().copied());
        assert!(left.iter().eq(set.difference(&out).copied()), "seed {seed}");
        for number in 0..55 {
            assert_eq!(
                ranges.contains(number),
                set.contains(&number),
                "seed {seed}"
            );
        }
    }
}
