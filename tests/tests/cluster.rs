//! Several servers over one PostgreSQL, as processes: what one does, another one tells; what one leaves behind, another one finishes.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use e2e::{
    Home, PASSWORD, Server, blobs::TestBlobs, corpus::message, databases::TestStore, http::Http,
};
use serde_json::json;

/// Longer than a server is silent before its work is taken over, and what that takes.
const TAKEN_OVER: Duration = Duration::from_secs(45);

/// Servers over one database, with the people.
fn servers(count: usize) -> Vec<Server> {
    let first = Home::with_people_on(TestStore::Postgres);
    let others: Vec<Home> = (1..count).map(|_| first.beside()).collect();
    let homes = std::iter::once(first).chain(others);
    homes.map(Server::start_in).collect()
}

fn mail(id: &str) -> Vec<u8> {
    message(&format!("{id}@example.net"), "a mail", "A cuckooflower.")
}

fn deliver(server: &Server, to: &str, id: &str) {
    let reply = server.lmtp().send("carol@example.net", to, &mail(id));
    let reply = reply.expect("no answer");
    assert!(reply.is_ok(), "{reply:?}\n{}", server.log_tail());
}

/// Waits until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + TAKEN_OVER;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn what_one_server_does_another_one_tells() {
    let servers = servers(2);
    let (a, b) = (&servers[0], &servers[1]);
    let mut waiting = b.imap("alice");
    waiting.ok("SELECT INBOX");
    waiting.idle();
    let began = Instant::now();
    deliver(a, "alice@example.org", "1");
    let line = waiting.line();
    assert_eq!(line, "* 1 EXISTS");
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    waiting.done();
    let mut jmap = b.jmap("alice");
    let ids = jmap.query_all(json!({"text": "cuckooflower"}));
    assert_eq!(ids.len(), 1);
    let patch = json!({ids[0].as_str(): {"keywords/$flagged": true}});
    jmap.call("Email/set", json!({"update": patch}));
    let state = jmap.email_state();
    // A state of one server is one of the other.
    let mut other = a.jmap("alice");
    let changes = other.call("Email/changes", json!({"sinceState": state}));
    assert_eq!(changes["updated"], json!([]), "{changes}");
    let found = other.query_all(json!({"hasKeyword": "$flagged"}));
    assert_eq!(found, ids);
    // Who is locked out at one is locked out at the other.
    a.home.cli(&["account", "disable", "bob@example.org"], "");
    let refused = e2e::pop3::Pop3::try_login(b.home.pop3, "bob@example.org", PASSWORD);
    assert!(refused.is_err());
    for server in &servers {
        server.home.check();
    }
}

#[test]
fn servers_that_write_at_the_same_time_lose_nothing() {
    const EACH: usize = 25;
    let servers = servers(3);
    thread::scope(|scope| {
        for (at, server) in servers.iter().enumerate() {
            scope.spawn(move || {
                for number in 0..EACH {
                    deliver(server, "alice@example.org", &format!("{at}.{number}"));
                }
            });
            scope.spawn(move || {
                let mut imap = server.imap("alice");
                for number in 0..EACH {
                    let octets = mail(&format!("{at}.{number}.imap"));
                    let appended = imap.append("INBOX", "\\Seen", &octets);
                    assert!(appended.is_ok(), "{}", appended.end);
                }
            });
        }
    });
    let mut uids = servers[0].imap("alice");
    let found = uids.ok("SELECT INBOX");
    let total = 2 * EACH * servers.len();
    let next = format!("[UIDNEXT {}]", total + 1);
    let mut lines = found.untagged.iter();
    assert!(
        lines.any(|line| line.text.contains(&next)),
        "a UID was left out, or given twice: {found:?}"
    );
    let first = servers[0].jmap("alice").query_all(json!({}));
    assert_eq!(first.len(), total);
    for server in &servers {
        until("the servers don't agree", || {
            server.jmap("alice").query_all(json!({})) == first
        });
        server.jmap("alice").check_counts();
    }
    servers[0].home.check();
}

#[test]
fn the_queue_of_a_killed_server_is_finished_by_another_one() {
    const MAILS: usize = 30;
    let mut servers = servers(2);
    let mut jmap = servers[0].jmap("alice");
    let drafts = jmap.mailbox("drafts");
    let octets = "From: alice@example.org\r\nTo: bob@example.org\r\nSubject: x\r\n\r\ntext\r\n";
    let email = jmap.import(octets.as_bytes(), &drafts);
    let identities = jmap.call("Identity/get", json!({"ids": null}));
    let identity = &identities["list"][0]["id"];
    let one = json!({"identityId": identity, "emailId": email});
    let all = (0..MAILS).map(|number| (format!("k{number}"), one.clone()));
    let all: serde_json::Map<_, _> = all.collect();
    let sent = jmap.call("EmailSubmission/set", json!({"create": all}));
    assert_eq!(
        sent["created"].as_object().map(serde_json::Map::len),
        Some(MAILS),
        "{sent}"
    );
    servers[0].kill();
    until("not all mail has arrived", || {
        servers[1].jmap("bob").query_all(json!({})).len() >= MAILS
    });
    assert_eq!(servers[1].jmap("bob").query_all(json!({})).len(), MAILS);
    let queue = servers[1].home.cli(&["queue", "list"], "");
    assert!(!queue.contains("bob@example.org"), "{queue}");
    // It comes back with what the other one did.
    servers[0].restart();
    assert_eq!(servers[0].jmap("bob").query_all(json!({})).len(), MAILS);
    servers[0].home.check();
}

#[test]
fn a_server_that_was_taken_for_dead_goes_on() {
    let servers = servers(2);
    let signal = |name: &str| {
        let pid = servers[0].pid().to_string();
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.expect("kill can't be run").success());
    };
    deliver(&servers[0], "alice@example.org", "1");
    signal("-STOP");
    until("nobody has noticed", || {
        servers[1].log().contains("a node is dead")
    });
    deliver(&servers[1], "alice@example.org", "2");
    signal("-CONT");
    until("it doesn't join again", || {
        servers[0].log().contains("joins again")
    });
    deliver(&servers[0], "alice@example.org", "3");
    for server in &servers {
        until("the servers don't agree", || {
            server.jmap("alice").query_all(json!({})).len() == 3
        });
    }
    servers[0].home.check();
}

/// A number of `/metrics`; 0 if it isn't there.
fn metric(server: &Server, name: &str) -> u64 {
    let text = Http::new(server.home.http).get("/metrics", &[]).text();
    let prefix = format!("posthorn_{name} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&prefix));
    value.map_or(0, |value| value.parse().expect("not a number"))
}

const SHARDS: u64 = 4;

/// Waits until all parts of the search index have a server that builds them, and none has more than its part.
fn until_spread(servers: &[Server]) {
    let most = SHARDS.div_ceil(servers.len() as u64);
    let least = SHARDS / servers.len() as u64;
    until("the search index isn't spread over the servers", || {
        let built = servers.iter().map(|of| metric(of, "search_shards_built"));
        let built: Vec<u64> = built.collect();
        let is_fair = built.iter().all(|count| (least..=most).contains(count));
        is_fair && built.iter().sum::<u64>() == SHARDS
    });
}

/// All mail is found by its words, as soon as it is seen to be there.
fn check_found(servers: &[Server], count: usize) {
    for server in servers {
        until("a server doesn't see all mail", || {
            server.jmap("alice").query_all(json!({})).len() == count
        });
        let found = server
            .jmap("alice")
            .query_all(json!({"text": "cuckooflower"}));
        assert_eq!(found.len(), count, "{}", server.log_tail());
        let mut imap = server.imap("alice");
        imap.ok("SELECT INBOX");
        let found = imap.ok("UID SEARCH TEXT ckoofl");
        let mut lines = found.untagged.iter().map(|line| &*line.text);
        let numbers = lines.find_map(|line| line.strip_prefix("* SEARCH "));
        let numbers = numbers.map_or(0, |numbers| numbers.split(' ').count());
        assert_eq!(numbers, count, "{found:?}");
    }
}

#[test]
fn one_server_builds_the_search_index_and_the_others_fetch_it() {
    const MAILS: usize = 12;
    let first = Home::on(TestStore::Postgres).with_blobs(TestBlobs::S3);
    first.add_people();
    let late = first.beside();
    let beside: Vec<Home> = (0..2).map(|_| first.beside()).collect();
    let homes = std::iter::once(first).chain(beside);
    let mut servers: Vec<Server> = homes.map(Server::start_in).collect();
    until_spread(&servers);
    for number in 0..MAILS {
        deliver(
            &servers[number % 3],
            "alice@example.org",
            &format!("{number}"),
        );
    }
    check_found(&servers, MAILS);
    let documents = |servers: &[Server]| -> Vec<u64> {
        let all = servers
            .iter()
            .map(|of| metric(of, "search_documents_total"));
        all.collect()
    };
    until("the mail isn't indexed", || {
        documents(&servers).iter().sum::<u64>() >= MAILS as u64
    });
    // Each mail once, by one of them.
    let by_server = documents(&servers);
    let builders = by_server.iter().filter(|count| **count > 0).count();
    assert_eq!(
        (builders, by_server.iter().sum()),
        (1, MAILS as u64),
        "{by_server:?}"
    );
    let builder = by_server.iter().position(|count| *count > 0).expect("one");
    for other in (0..3).filter(|other| *other != builder) {
        until("a server has not fetched the index", || {
            metric(&servers[other], "search_fetched_files_total") > 0
        });
    }
    check_found(&servers, MAILS);
    let status = servers[0].home.cli(&["blobs", "status"], "");
    assert!(status.contains("objects of the search index"), "{status}");
    // The one that builds it dies with what it has not published.
    deliver(&servers[builder], "alice@example.org", "last");
    servers[builder].kill();
    let mut dead = servers.remove(builder);
    check_found(&servers, MAILS + 1);
    until_spread(&servers);
    deliver(&servers[0], "alice@example.org", "after");
    check_found(&servers, MAILS + 2);
    until(
        "what had not been published is not indexed by another one",
        || documents(&servers).iter().sum::<u64>() >= 2,
    );
    // One that comes reads no mail to find it.
    let new = Server::start_in(late);
    until("a new server has not fetched the index", || {
        metric(&new, "search_fetched_files_total") > 0
    });
    assert_eq!(metric(&new, "search_documents_total"), 0);
    check_found(std::slice::from_ref(&new), MAILS + 2);
    dead.restart();
    servers.extend([new, dead]);
    until_spread(&servers);
    servers[1].home.cli(&["reindex", "alice@example.org"], "");
    check_found(&servers, MAILS + 2);
    for server in &servers {
        server.home.check();
    }
}
