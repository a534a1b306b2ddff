//! `kill -9` under load: what was acknowledged is there, once and whole, and everything agrees about it.
//!
//! Holds: only a message whose 250 was read counts as acknowledged; one whose answer was cut off may be there or not,
//! but not in part.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use e2e::{Dice, Jmap, Server, corpus::message, dice::number_from_env, jmap::string};
use serde_json::json;

const CONNECTIONS: usize = 8;
/// `POSTHORN_KILLS` for more.
const KILLS: usize = 10;
/// The load goes on for up to so long before each kill.
const LOAD_MS_MAX: usize = 1500;
const LOAD_MS_MIN: usize = 100;
/// The last line of each message: who has it has all of it.
const LAST_LINE: &str = "the end of the message";

/// The messages that were sent, by Message-ID without brackets.
#[derive(Default)]
struct Ledger {
    acknowledged: Mutex<BTreeSet<String>>,
    /// Sent, and no answer seen.
    unanswered: Mutex<BTreeSet<String>>,
    next: AtomicUsize,
}

#[test]
fn acknowledged_messages_survive_kill_9() {
    let kills = number_from_env("POSTHORN_KILLS", KILLS);
    let mut dice = Dice(number_from_env("POSTHORN_SEED", 1) as u64);
    let mut server = Server::start();
    let ledger = Ledger::default();
    let mut known = BTreeSet::new();
    let mut state = server.jmap("alice").email_state();
    for kill in 1..=kills {
        let before = ledger.acknowledged.lock().expect("a sender failed").len();
        let load =
            Duration::from_millis((LOAD_MS_MIN + dice.below(LOAD_MS_MAX - LOAD_MS_MIN)) as u64);
        load_and_kill(&mut server, &ledger, load);
        let time = Instant::now();
        server.restart();
        let started = time.elapsed();
        let mut jmap = server.jmap("alice");
        let found = check_messages(&mut jmap, &ledger);
        state = check_changes(&mut jmap, &state, &mut known);
        jmap.check_counts();
        let acknowledged = ledger.acknowledged.lock().expect("a sender failed").len();
        println!(
            "kill {kill} after {} ms: {} acknowledged more, {acknowledged} in all, {found} there; up again in {} ms",
            load.as_millis(),
            acknowledged - before,
            started.as_millis()
        );
    }
    server.home.check();
    server.stop();
    server.home.check();
}

/// Sends over all connections, and kills the server in the middle of it.
fn load_and_kill(server: &mut Server, ledger: &Ledger, load: Duration) {
    let stop = AtomicBool::new(false);
    let port = server.home.smtp;
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| send_until_killed(port, ledger, &stop));
        }
        thread::sleep(load);
        server.kill();
        stop.store(true, Ordering::Relaxed);
    });
}

fn send_until_killed(port: u16, ledger: &Ledger, stop: &AtomicBool) {
    let Ok(mut smtp) = e2e::Smtp::connect(port, false) else {
        return;
    };
    while !stop.load(Ordering::Relaxed) {
        let n = ledger.next.fetch_add(1, Ordering::Relaxed);
        let id = format!("{n}@kill.example");
        let mail = message(&id, &format!("message {n}"), &body(n));
        ledger
            .unanswered
            .lock()
            .expect("a sender failed")
            .insert(id.clone());
        // Some go to two accounts, which takes more than one transaction.
        let both: &[&str] = &["alice@example.org", "bob@example.org"];
        let to = if n.is_multiple_of(5) {
            both
        } else {
            &both[..1]
        };
        let Ok(replies) = smtp.send_to("sender@example.net", to, &mail) else {
            return;
        };
        ledger
            .unanswered
            .lock()
            .expect("a sender failed")
            .remove(&id);
        for reply in &replies {
            assert_eq!(reply.code, 250, "{}", reply.text);
        }
        ledger
            .acknowledged
            .lock()
            .expect("a sender failed")
            .insert(id);
    }
}

/// Of different lengths, up to some 100 KB.
fn body(n: usize) -> String {
    let lines = [1, 10, 100, 1500][n % 4];
    let mut text: String = (0..lines)
        .map(|line| format!("line {line} of message {n}, with some words to search for\n"))
        .collect();
    text.push_str(LAST_LINE);
    text
}

/// Returns how many messages are there.
fn check_messages(jmap: &mut Jmap, ledger: &Ledger) -> usize {
    let ids = jmap.query_all(json!({}));
    let emails = jmap.get_emails(&ids, &["messageId", "blobId", "size", "subject"]);
    let mut there: BTreeMap<String, usize> = BTreeMap::new();
    for email in &emails {
        let id = string(&email["messageId"][0]);
        *there.entry(id).or_default() += 1;
    }
    let acknowledged = ledger.acknowledged.lock().expect("a sender failed");
    let unanswered = ledger.unanswered.lock().expect("a sender failed");
    let missing: Vec<&String> = acknowledged
        .iter()
        .filter(|id| !there.contains_key(*id))
        .collect();
    assert!(
        missing.is_empty(),
        "{} acknowledged messages are lost: {missing:?}",
        missing.len()
    );
    let twice: Vec<_> = there.iter().filter(|(_, count)| **count != 1).collect();
    assert!(twice.is_empty(), "not there once: {twice:?}");
    let invented: Vec<_> = there
        .keys()
        .filter(|id| !acknowledged.contains(*id) && !unanswered.contains(*id))
        .collect();
    assert!(invented.is_empty(), "there, and never sent: {invented:?}");
    // What nobody has seen an answer to may be there, but not in part; all of those are read, and a sample of the others.
    for (n, email) in emails.iter().enumerate() {
        let id = string(&email["messageId"][0]);
        if n % 10 == 0 || unanswered.contains(&id) || n + 50 > emails.len() {
            let octets = jmap.download(&string(&email["blobId"]));
            assert_eq!(email["size"], json!(octets.len()), "the size of {id}");
            assert!(
                octets.ends_with(format!("{LAST_LINE}\r\n").as_bytes()),
                "{id} is not whole"
            );
        }
    }
    emails.len()
}

/// Email/changes from the state before is exactly what is new. Returns the state now.
fn check_changes(jmap: &mut Jmap, since: &str, known: &mut BTreeSet<String>) -> String {
    let now: BTreeSet<String> = jmap.query_all(json!({})).into_iter().collect();
    let (created, updated, destroyed, state) = jmap.email_changes(since);
    let new: BTreeSet<String> = now.difference(known).cloned().collect();
    assert_eq!(created, new, "Email/changes: created");
    assert!(updated.is_empty(), "Email/changes: updated {updated:?}");
    assert!(
        destroyed.is_empty(),
        "Email/changes: destroyed {destroyed:?}"
    );
    *known = now;
    state
}
