//! Imports accounts from an IMAP server.
//!
//! Holds: a message is known by server, user, folder, UIDVALIDITY and UID; a broken connection is made anew and goes on with what isn't known; a
//! folder that shows what others have (all mail, flagged) adds only what nothing else had.
//! Other half: `client` speaks to the server.

pub mod client;
mod response;

use std::{collections::HashMap, time::Duration};

use jmap_core::auth::Secret;

use self::client::{Client, Encryption, Fetched, Folder, ImapError, Row, Server};
use super::{
    MoveError, dates,
    flags::Flags,
    intake::{Intake, Message, collection},
    maildir::is_changed,
    names,
    protocol::{BATCH_OCTETS, KnownItem, MESSAGES_MAX, Meeting},
};
use crate::hex::hex;

/// Tries to connect in a row without a message in between; and the time before each.
const WAITS_SECONDS: [u64; 6] = [0, 1, 2, 4, 8, 16];

/// Whose mail is imported, and from where.
#[derive(Clone, Debug)]
pub struct Source {
    pub server: Server,
    pub user: String,
    pub password: Secret<String>,
    /// Folders that are left out, with `/` between the levels.
    pub excluded: Vec<String>,
}

/// The standard ports.
pub fn port_of(encryption: Encryption) -> u16 {
    match encryption {
        Encryption::Tls => 993,
        Encryption::StartTls | Encryption::Plain => 143,
    }
}

/// Why a pass over the account ended early.
enum Stop {
    /// The source: another connection may do better.
    Lost(std::io::Error),
    Over(MoveError),
}

impl From<MoveError> for Stop {
    fn from(error: MoveError) -> Stop {
        Stop::Over(error)
    }
}

impl From<ImapError> for Stop {
    fn from(error: ImapError) -> Stop {
        match error {
            ImapError::Io(error) => Stop::Lost(error),
            other => Stop::Over(MoveError::Source(other.to_string())),
        }
    }
}

/// Imports all folders of an account.
pub async fn import(source: &Source, intake: &mut Intake) -> Result<(), MoveError> {
    let mut pass = Pass {
        source,
        done: HashMap::new(),
        problems: Vec::new(),
    };
    let mut tries = 0;
    loop {
        tokio::time::sleep(Duration::from_secs(WAITS_SECONDS[tries])).await;
        let before = intake.tally.new + intake.tally.joined;
        let error = match pass.run(intake).await {
            Ok(()) => return Ok(()),
            Err(Stop::Over(error)) => return Err(error),
            Err(Stop::Lost(error)) => error,
        };
        // What came before the break is on disk.
        intake.drain().await?;
        let has_moved = intake.tally.new + intake.tally.joined > before;
        tries = if has_moved { 1 } else { tries + 1 };
        if tries >= WAITS_SECONDS.len() {
            return Err(MoveError::Source(format!(
                "{}: the connection failed {tries} times ({error}); run it again, and it goes on where it was",
                source.server.host
            )));
        }
        intake.tell(&format!("the connection failed ({error}), trying again"));
    }
}

/// One account, over as many connections as it takes.
struct Pass<'s> {
    source: &'s Source,
    /// Folders that are done, by their names.
    done: HashMap<String, ()>,
    /// What was told already.
    problems: Vec<String>,
}

/// A folder, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    folder: Folder,
    levels: Vec<String>,
    role: Option<&'static str>,
    /// It shows what other folders have.
    is_virtual: bool,
}

impl Pass<'_> {
    async fn run(&mut self, intake: &mut Intake) -> Result<(), Stop> {
        let source = self.source;
        let mut client = Client::open(&source.server, &source.user, &source.password).await?;
        let (prefix, others) = client.namespaces().await?;
        let folders = client.list().await?;
        for plan in plans(folders, &prefix, &others, &source.excluded) {
            if self.done.contains_key(&plan.folder.name) {
                continue;
            }
            match self.folder(&mut client, &plan, intake).await {
                Ok(()) => drop(self.done.insert(plan.folder.name.clone(), ())),
                // A folder that can't be opened is no reason to leave the others out.
                Err(Stop::Over(MoveError::Source(why))) => {
                    let place = format!("{}: {}", source.user, plan.levels.join("/"));
                    intake.problem(&place, &why);
                    self.done.insert(plan.folder.name.clone(), ());
                }
                Err(stop) => return Err(stop),
            }
        }
        client.log_out().await;
        Ok(())
    }

    async fn folder(
        &mut self,
        client: &mut Client,
        plan: &Plan,
        intake: &mut Intake,
    ) -> Result<(), Stop> {
        let source = self.source;
        let mut opened = client.examine(&plan.folder.name).await?;
        let mailbox = intake
            .mailbox(&plan.levels, plan.role, plan.folder.is_subscribed)
            .await?;
        if opened.exists == 0 {
            return Ok(());
        }
        let mut rows = client.rows().await?;
        if opened.exists > rows.len() as u64 {
            // Some of them may have been removed meanwhile.
            opened = client.examine(&plan.folder.name).await?;
            rows = match opened.exists {
                0 => Vec::new(),
                _ => client.rows().await?,
            };
        }
        let collection = collection(&[
            b"imap",
            source.server.host.to_ascii_lowercase().as_bytes(),
            &source.server.port.to_be_bytes(),
            source.user.as_bytes(),
            plan.folder.name.as_bytes(),
            &opened.uid_validity.to_be_bytes(),
        ]);
        let known = intake.known(&collection).await?;
        let place = format!("{}: {}", source.user, plan.levels.join("/"));
        if opened.exists > rows.len() as u64 {
            let why = format!(
                "the server says that it has {} messages, and lists {}",
                opened.exists,
                rows.len()
            );
            self.tell(intake, &place, &why);
        }
        let octets_max = intake.message_octets_max();
        let mut wanted: Vec<Row> = Vec::new();
        let mut changed = Vec::new();
        for row in rows {
            let Some(known) = known.get(&hex(&row.uid.to_be_bytes())) else {
                if row.size > octets_max {
                    let why = format!(
                        "it has {} octets, and the server takes {octets_max}",
                        row.size
                    );
                    self.tell(intake, &format!("{place}, UID {}", row.uid), &why);
                    continue;
                }
                wanted.push(row);
                continue;
            };
            intake.tally.known += 1;
            let flags = flags_of(&row.flags);
            if intake.updates_flags && is_changed(known, &flags) {
                changed.push(KnownItem {
                    item: known.item.clone(),
                    keywords: flags.keywords,
                    is_deleted: flags.is_deleted,
                });
            }
        }
        drop(known);
        if !changed.is_empty() {
            intake.flags(&collection, changed).await?;
        }
        let mut rest = &wanted[..];
        while !rest.is_empty() {
            let count = batch(rest);
            let (now, later) = rest.split_at(count);
            rest = later;
            for fetched in self.fetch(client, now, &place, intake).await? {
                let place = format!("{place}, UID {}", fetched.uid);
                let Some(octets) = fetched.octets else {
                    let why = format!("it has more octets than the server takes ({octets_max})");
                    self.tell(intake, &place, &why);
                    continue;
                };
                let message = Message {
                    collection,
                    item: fetched.uid.to_be_bytes().to_vec(),
                    octets,
                    mailboxes: vec![mailbox],
                    flags: flags_of(&fetched.flags),
                    received_at: fetched.date.as_deref().and_then(dates::internal_date),
                    place,
                    meeting: match plan.is_virtual {
                        true => Meeting::Skip,
                        false => intake.meeting(),
                    },
                };
                intake.put(message).await?;
            }
        }
        Ok(())
    }

    /// The messages of a batch. What one of them has too much isn't taken from the others, and what didn't come with the others is asked for
    /// once more, alone.
    async fn fetch(
        &mut self,
        client: &mut Client,
        rows: &[Row],
        place: &str,
        intake: &mut Intake,
    ) -> Result<Vec<Fetched>, Stop> {
        let octets_max = intake.message_octets_max();
        let uids: Vec<u32> = rows.iter().map(|row| row.uid).collect();
        let mut messages = match client.fetch(&uids, octets_max + BATCH_OCTETS).await {
            // What is wrong with one of them is no reason to leave the others out.
            Err(ImapError::Refused { .. }) => Vec::new(),
            fetched => fetched?,
        };
        let mut whole = Vec::with_capacity(rows.len());
        for row in rows {
            let at = messages
                .iter()
                .position(|message| message.uid == row.uid && has_octets(message, row));
            if let Some(at) = at {
                whole.push(messages.swap_remove(at));
                continue;
            }
            let alone = match client.fetch(&[row.uid], octets_max).await {
                Err(error @ ImapError::Refused { .. }) => {
                    let place = format!("{place}, UID {}", row.uid);
                    self.tell(intake, &place, &error.to_string());
                    continue;
                }
                fetched => fetched?,
            };
            let is_it = |message: &Fetched| message.octets.is_none() || has_octets(message, row);
            match alone.into_iter().next().filter(is_it) {
                Some(message) => whole.push(message),
                None => {
                    let place = format!("{place}, UID {}", row.uid);
                    let why = "the server lists it, and doesn't give it; unless it was removed meanwhile, run it again";
                    self.tell(intake, &place, why);
                }
            }
        }
        Ok(whole)
    }

    fn tell(&mut self, intake: &mut Intake, place: &str, why: &str) {
        // A second connection sees the same messages.
        if !self.problems.iter().any(|known| known == place) {
            self.problems.push(place.to_owned());
            intake.problem(place, why);
        }
    }
}

/// Whether a message came with its octets: an empty one is no answer to who has read that it isn't.
fn has_octets(message: &Fetched, row: &Row) -> bool {
    let octets = message.octets.as_ref();
    octets.is_some_and(|octets| !octets.is_empty() || row.size == 0)
}

/// How many of the rows are fetched together.
fn batch(rows: &[Row]) -> usize {
    let mut octets = 0u64;
    let fits = |row: &&Row| {
        octets = octets.saturating_add(row.size);
        octets <= BATCH_OCTETS
    };
    rows.iter()
        .take(MESSAGES_MAX)
        .take_while(fits)
        .count()
        .max(1)
}

fn flags_of(flags: &[String]) -> Flags {
    let mut all = Flags::default();
    flags.iter().for_each(|flag| all.add(flag));
    all.sorted()
}

/// Which folders are imported into which mailboxes: those that show what others have come last.
fn plans(folders: Vec<Folder>, prefix: &str, others: &[String], excluded: &[String]) -> Vec<Plan> {
    let has_uses = |folder: &Folder| {
        let mut names = folder.attributes.iter();
        names.any(|name| names::role_of_attribute(name).is_some())
    };
    let says_uses = folders.iter().any(has_uses);
    let mut plans = Vec::new();
    for folder in folders {
        let has = |wanted: &str| folder.attributes.iter().any(|name| name == wanted);
        let is_others = others
            .iter()
            .any(|prefix| folder.name.starts_with(prefix.as_str()));
        if has("\\noselect") || has("\\nonexistent") || is_others {
            continue;
        }
        let levels = levels_of(&folder, prefix);
        if excluded.iter().any(|name| *name == levels.join("/")) {
            continue;
        }
        let uses = folder.attributes.iter();
        let role = match says_uses {
            true => uses
                .filter_map(|name| names::role_of_attribute(name))
                .next(),
            false => names::usual_role(&levels),
        };
        let is_all = has("\\all");
        plans.push(Plan {
            is_virtual: is_all || has("\\flagged"),
            // What is in no other folder was archived.
            role: if is_all { Some("archive") } else { role },
            levels,
            folder,
        });
    }
    plans.sort_by_key(|plan| plan.is_virtual);
    // A role is given once: the first folder that has it.
    let mut taken: Vec<&str> = Vec::new();
    for plan in &mut plans {
        match plan.role {
            Some(role) if taken.contains(&role) && !plan.is_virtual => plan.role = None,
            Some(role) => taken.push(role),
            None => {}
        }
    }
    plans
}

/// The levels of a name, without the prefix of the user's own namespace.
fn levels_of(folder: &Folder, prefix: &str) -> Vec<String> {
    if folder.name.eq_ignore_ascii_case("INBOX") {
        return vec!["INBOX".to_owned()];
    }
    let name = folder.name.strip_prefix(prefix).unwrap_or(&folder.name);
    let decoded = names::decode_utf7(name).unwrap_or_else(|| name.to_owned());
    let mut levels: Vec<String> = match &folder.delimiter {
        Some(delimiter) => decoded
            .split(delimiter.as_str())
            .map(names::level)
            .collect(),
        None => vec![names::level(&decoded)],
    };
    if levels.len() > 1 && levels[0].eq_ignore_ascii_case("INBOX") {
        levels[0] = "INBOX".to_owned();
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::{
        client::tests::{answer, server},
        *,
    };
    use crate::{
        cli::tests::{ask, target},
        moving::{Destination, Tally},
    };

    fn folder(name: &str, delimiter: &str, attributes: &[&str]) -> Folder {
        Folder {
            name: name.to_owned(),
            delimiter: Some(delimiter.to_owned()),
            attributes: attributes.iter().map(|name| (*name).to_owned()).collect(),
            is_subscribed: true,
        }
    }

    fn shown(plans: Vec<Plan>) -> Vec<String> {
        let show = |plan: Plan| {
            let role = plan.role.unwrap_or("-");
            format!("{} {role} {}", plan.levels.join("/"), plan.is_virtual)
        };
        plans.into_iter().map(show).collect()
    }

    #[test]
    fn folders_go_to_mailboxes() {
        let folders = vec![
            folder("[Gmail]/All Mail", "/", &["\\all"]),
            folder("[Gmail]", "/", &["\\noselect"]),
            folder("[Gmail]/Gesendet", "/", &["\\sent"]),
            folder("Sent", "/", &[]),
            folder("inbox", "/", &[]),
            folder("Gr&APYA3w-e/a", "/", &[]),
            folder("user/bob", "/", &[]),
            folder("Left out", "/", &[]),
        ];
        let plans = plans(folders, "", &["user/".to_owned()], &["Left out".to_owned()]);
        assert_eq!(
            shown(plans),
            [
                "[Gmail]/Gesendet sent false",
                "Sent - false",
                "INBOX - false",
                "Größe/a - false",
                "[Gmail]/All Mail archive true"
            ]
        );
    }

    #[test]
    fn a_prefix_is_no_level_and_usual_names_have_roles() {
        let folders = vec![
            folder("INBOX", ".", &[]),
            folder("INBOX.Sent Items", ".", &[]),
            folder("INBOX.Lists.a/b", ".", &[]),
        ];
        let plans = plans(folders, "INBOX.", &[], &[]);
        let wanted = [
            "INBOX inbox false",
            "Sent Items sent false",
            "Lists/a_b - false",
        ];
        assert_eq!(shown(plans), wanted);
    }

    /// What comes of an inbox with the messages 1 to 4, of which the server says that there are so many, and that answers the fetches so.
    async fn imported(exists: u32, answers: Vec<(&'static str, String)>) -> Tally {
        let (_folder, target) = target().await;
        ask(&target, "domain add example.org").await;
        ask(&target, "account add alice@example.org --no-password").await;
        let mut all = vec![
            answer("LIST", "* LIST () \"/\" INBOX\r\n"),
            answer("LSUB", "* LSUB () \"/\" INBOX\r\n"),
            answer(
                "EXAMINE",
                &format!("* {exists} EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n"),
            ),
        ];
        let rows =
            (1..=4).map(|uid| format!("* {uid} FETCH (UID {uid} FLAGS () RFC822.SIZE 9)\r\n"));
        all.push(answer("UID FETCH 1:*", &rows.collect::<String>()));
        all.extend(answers);
        let source = Source {
            server: server(all.leak()).await,
            user: "alice".to_owned(),
            password: Secret::new("secret words".to_owned()),
            excluded: Vec::new(),
        };
        let destination = Destination::Folder(Box::new(target));
        let progress = std::sync::Arc::new(|_: &str| {});
        let intake = Intake::open(&destination, "alice@example.org", progress).await;
        let mut intake = intake.unwrap();
        let end = import(&source, &mut intake).await;
        intake.finish(end).await
    }

    fn body(uid: u32) -> String {
        format!("* {uid} FETCH (UID {uid} BODY[] {{8}}\r\nA: {uid}\r\n\r\n)\r\n")
    }

    #[tokio::test]
    async fn what_is_listed_and_does_not_come_is_told() {
        let batch = [body(1), "* 3 FETCH (UID 3 BODY[] NIL)\r\n".to_owned()].concat();
        let answers = vec![
            answer("UID FETCH 1,2,3,4", &batch),
            answer("UID FETCH 2", ""),
            answer("UID FETCH 3", "* 3 FETCH (UID 3 BODY[] NIL)\r\n"),
            answer("UID FETCH 4", &body(4)),
        ];
        let tally = imported(5, answers).await;
        assert_eq!(tally.new, 2, "{:?}", tally.problems);
        let told = ["5 messages, and lists 4", "UID 2", "UID 3"];
        assert_eq!(tally.problems.len(), told.len(), "{:?}", tally.problems);
        for (problem, told) in tally.problems.iter().zip(told) {
            assert!(problem.contains(told), "{problem}");
        }
    }

    #[tokio::test]
    async fn a_message_that_is_refused_costs_no_other() {
        let no = |command| (command, "TAG NO [SERVERBUG] it hurts\r\n".to_owned());
        let answers = vec![
            no("UID FETCH 1,2,3,4"),
            answer("UID FETCH 1", &body(1)),
            no("UID FETCH 2"),
            answer("UID FETCH 3", &body(3)),
            answer("UID FETCH 4", &body(4)),
        ];
        let tally = imported(4, answers).await;
        assert_eq!(tally.new, 3, "{:?}", tally.problems);
        let [problem] = &tally.problems[..] else {
            panic!("{:?}", tally.problems);
        };
        assert!(
            problem.contains("UID 2") && problem.contains("it hurts"),
            "{problem}"
        );
    }
}
