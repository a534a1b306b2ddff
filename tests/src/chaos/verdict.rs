//! Whether everything is as clients were told, once all runs again.
//!
//! Holds: each account is looked at on each node, by JMAP and by IMAP, and each message is read whole; what is only late is waited for.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    model::Place,
    site::{Site, name},
    work::{Context, Follower, Worker, names},
};
use crate::{Server, jmap::string};

/// Longer than anything takes that is still under way: the queue, and what a node looks for by itself.
const WAIT: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many messages were read whole, and what is wrong.
pub fn verdict(
    site: &Site,
    context: &Context,
    mut workers: Vec<Worker>,
    say: &(dyn Fn(&str) + Sync),
) -> (usize, Vec<String>) {
    let mut wrong = context.model.seen_violations();
    wrong.extend(queue_is_left(site));
    say("the queue is empty");
    let end = Instant::now() + WAIT;
    loop {
        let found = compare_all(site, context);
        if found.is_empty() {
            break;
        }
        if Instant::now() > end {
            wrong.extend(found.into_iter().map(|what| with_trace(site, what)));
            break;
        }
        sleep(LOOK_EVERY);
    }
    say("what is there was compared");
    let (read, damaged) = read_all(site, context);
    wrong.extend(damaged);
    say(&format!("{read} messages were read"));
    for worker in &mut workers {
        if let Worker::Follower(follower) = worker {
            wrong.extend(follows(site, context, follower));
        }
    }
    for (number, node) in site.nodes.iter().enumerate() {
        let output = node.home.try_cli(&["check"], "");
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            wrong.push(format!("posthorn check at {}: {text}", name(number)));
        }
        for line in node.log().lines().filter(|line| line.contains("panicked")) {
            wrong.push(format!("{}: {line}", name(number)));
        }
    }
    (read, wrong)
}

/// Reads each message of each account at each node: how many, and those that aren't what was sent.
fn read_all(site: &Site, context: &Context) -> (usize, Vec<String>) {
    let read = |at: usize| {
        let accounts = context.accounts.iter();
        let of = accounts.map(|account| read_account(&site.nodes[at], context, account.name));
        let (counts, wrong): (Vec<usize>, Vec<Vec<String>>) = of.unzip();
        let wrong = wrong.into_iter().flatten();
        let wrong = wrong.map(|what| format!("at {}: {what}", name(at)));
        (counts.iter().sum(), wrong.collect::<Vec<String>>())
    };
    let failed = |_| (0, vec!["a message could not be read".to_owned()]);
    let results: Vec<(usize, Vec<String>)> = scope(|scope| {
        let nodes = 0..site.nodes.len();
        let running: Vec<_> = nodes.map(|at| scope.spawn(move || read(at))).collect();
        let done = running
            .into_iter()
            .map(|of| of.join().unwrap_or_else(failed));
        done.collect()
    });
    let count = results.iter().map(|(count, _)| count).sum();
    (count, results.into_iter().flat_map(|of| of.1).collect())
}

fn read_account(node: &Server, context: &Context, account: &str) -> (usize, Vec<String>) {
    let mut jmap = node.jmap(account);
    let ids = jmap.query_all(Value::Null);
    let mut wrong = Vec::new();
    for email in jmap.get_emails(&ids, &["messageId", "blobId"]) {
        let id = email["messageId"][0].as_str().unwrap_or_default();
        let answer = jmap.try_download(&string(&email["blobId"]));
        let found = match answer.status {
            200 => context.model.compare_octets(id, &answer.body),
            status => Some(format!("{id} can't be read: {status} {}", answer.text())),
        };
        wrong.extend(found.map(|what| format!("{account}: {what}")));
    }
    (ids.len(), wrong)
}

/// The same, and what the servers know of the message that it begins with.
fn with_trace(site: &Site, what: String) -> String {
    let mut words = what.split(' ');
    let id = words.find(|word| word.ends_with("@example.net"));
    let Some(id) = id else {
        return what;
    };
    let trace = site.nodes[0].home.try_cli(&["trace", id], "");
    format!("{what}\n{}", String::from_utf8_lossy(&trace.stdout))
}

/// Waits until nothing is in the queue any more.
fn queue_is_left(site: &Site) -> Option<String> {
    let end = Instant::now() + WAIT;
    loop {
        let metrics = site.nodes[0].home.try_cli(&["queue", "list", "--json"], "");
        let text = String::from_utf8_lossy(&metrics.stdout).into_owned();
        let list: Value = serde_json::from_str(&text).unwrap_or_default();
        let is_empty = list["messages"].as_array().is_some_and(Vec::is_empty);
        if is_empty {
            return None;
        }
        if Instant::now() > end {
            return Some(format!("the queue isn't empty: {text}"));
        }
        sleep(LOOK_EVERY);
    }
}

/// What a node shows of an account.
#[derive(Debug, PartialEq, Eq)]
struct View {
    /// By id: Message-ID, thread, size, blob, mailboxes, keywords.
    emails: BTreeMap<String, Vec<Value>>,
    /// By mailbox: UIDVALIDITY, UIDNEXT, and what is there by UID.
    mailboxes: BTreeMap<String, (u64, u64, ByUid)>,
}

/// The id and the flags of an email.
type ByUid = BTreeMap<u32, (String, BTreeSet<String>)>;

fn compare_all(site: &Site, context: &Context) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, account) in context.accounts.iter().enumerate() {
        let mut first: Option<View> = None;
        for (at, node) in site.nodes.iter().enumerate() {
            let (view, found) = view_of(node, account.name);
            let where_it_is = format!("{} at {}", account.name, name(at));
            wrong.extend(
                differs_from_imap(node, account.name, &view)
                    .map(|what| format!("{where_it_is}: {what}")),
            );
            match &first {
                None => {
                    let is_shared = |id: &str| context.is_shared(number, id);
                    let told = context.model.compare(number, &found, is_shared);
                    wrong.extend(
                        told.into_iter()
                            .map(|what| format!("{where_it_is}: {what}")),
                    );
                    first = Some(view);
                }
                Some(first) if *first == view => {}
                Some(first) => {
                    let what = difference(first, &view);
                    wrong.push(format!(
                        "{where_it_is} is another than at {}: {what}",
                        name(0)
                    ));
                }
            }
        }
    }
    wrong
}

fn view_of(node: &Server, account: &str) -> (View, BTreeMap<String, Vec<Place>>) {
    let mut jmap = node.jmap(account);
    jmap.check_counts();
    let all = jmap.call("Mailbox/get", json!({"ids": null, "properties": ["name"]}));
    let list = all["list"].as_array().expect("a list").iter();
    let names_by_id: BTreeMap<String, String> = list
        .map(|mailbox| (string(&mailbox["id"]), string(&mailbox["name"])))
        .collect();
    let ids = jmap.query_all(Value::Null);
    let properties = [
        "id",
        "messageId",
        "threadId",
        "size",
        "blobId",
        "mailboxIds",
        "keywords",
    ];
    let mut emails = BTreeMap::new();
    let mut found: BTreeMap<String, Vec<Place>> = BTreeMap::new();
    for email in jmap.get_emails(&ids, &properties) {
        let mailboxes = names(&email["mailboxIds"]);
        let mailboxes = mailboxes.iter().map(|id| names_by_id[id].clone());
        let place = Place {
            mailbox: mailboxes.collect::<Vec<_>>().join("+"),
            keywords: names(&email["keywords"]),
        };
        let id = email["messageId"][0].as_str().unwrap_or_default();
        found.entry(id.to_owned()).or_default().push(place);
        let of = properties.iter().map(|name| email[*name].clone());
        emails.insert(string(&email["id"]), of.collect());
    }
    let mut imap = node.imap(account);
    let mut mailboxes = BTreeMap::new();
    for mailbox in imap.names() {
        let selected = imap.ok(&format!("EXAMINE \"{mailbox}\""));
        let number = |word: &str| selected.number_after(word).unwrap_or_default();
        let of = (number("[UIDVALIDITY "), number("[UIDNEXT "));
        let rows = match selected
            .untagged
            .iter()
            .any(|line| line.text == "* 0 EXISTS")
        {
            true => BTreeMap::new(),
            false => {
                let fetched = imap.ok("UID FETCH 1:* (UID EMAILID FLAGS)");
                let lines = fetched.untagged.iter();
                let row = |line: &crate::imap::Untagged| {
                    Some((line.uid()?, (line.email_id()?, line.flags()?)))
                };
                lines.filter_map(row).collect()
            }
        };
        mailboxes.insert(mailbox, (of.0, of.1, rows));
    }
    (View { emails, mailboxes }, found)
}

/// What IMAP shows otherwise than JMAP on one node.
fn differs_from_imap(node: &Server, account: &str, view: &View) -> Option<String> {
    let of_jmap: BTreeSet<&String> = view.emails.keys().collect();
    let rows = view.mailboxes.values().flat_map(|(.., rows)| rows.values());
    let shown = rows.filter(|(_, flags)| !flags.contains("\\Deleted"));
    let shown: Vec<&String> = shown.map(|(id, _)| id).collect();
    let of_imap: BTreeSet<&String> = shown.iter().copied().collect();
    if shown.len() == of_imap.len() && of_imap == of_jmap {
        return None;
    }
    let only: Vec<_> = of_imap.symmetric_difference(&of_jmap).collect();
    let (by_imap, by_jmap) = (shown.len(), of_jmap.len());
    let port = node.home.imap;
    Some(format!(
        "{account} has {by_imap} messages by IMAP (port {port}), {by_jmap} by JMAP; not by both: {only:?}"
    ))
}

fn difference(first: &View, second: &View) -> String {
    let emails = first
        .emails
        .iter()
        .filter(|(id, of)| second.emails.get(*id) != Some(of));
    let missing: Vec<&String> = emails.map(|(id, _)| id).collect();
    let more = second
        .emails
        .keys()
        .filter(|id| !first.emails.contains_key(*id));
    let more: Vec<&String> = more.collect();
    let mailboxes = first.mailboxes.iter();
    let mailboxes = mailboxes.filter(|(name, of)| second.mailboxes.get(*name) != Some(of));
    let mailboxes: Vec<&String> = mailboxes.map(|(name, _)| name).collect();
    format!("other or missing emails {missing:?}, more {more:?}, other mailboxes {mailboxes:?}")
}

/// What the copy of a client has that the server doesn't have, or the other way round.
fn follows(site: &Site, context: &Context, follower: &mut Follower) -> Vec<String> {
    let account = &context.accounts[follower.account];
    let last = site.ports.len() - 1;
    loop {
        match follower.follow(&site.ports[last]) {
            Ok(true) => {}
            Ok(false) => break,
            Err(failure) => return vec![format!("{}: Email/changes: {failure:?}", account.name)],
        }
    }
    let mut jmap = site.nodes[0].jmap(account.name);
    let ids = jmap.query_all(Value::Null);
    let emails = jmap.get_emails(&ids, &["id", "mailboxIds", "keywords"]);
    let untouched: BTreeSet<&str> = account.shared.iter().map(|of| of.email()).collect();
    let mut wrong = Vec::new();
    for email in &emails {
        let id = string(&email["id"]);
        let of = (names(&email["mailboxIds"]), names(&email["keywords"]));
        match follower.emails.get(&id) {
            Some(copy) if *copy == of => {}
            None if untouched.contains(id.as_str()) => {}
            copy => wrong.push(format!("the copy of {id} is {copy:?}, and not {of:?}")),
        }
    }
    let there: BTreeSet<&String> = ids.iter().collect();
    let gone = follower.emails.keys().filter(|id| !there.contains(id));
    wrong.extend(gone.map(|id| format!("{id} has gone, and the copy has it")));
    wrong
        .into_iter()
        .map(|what| format!("{}: {what}", account.name))
        .collect()
}
