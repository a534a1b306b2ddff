//! What a move came to.

use serde::{Deserialize, Serialize};

/// Problems that are listed; more are counted.
pub const PROBLEMS_MAX: usize = 1000;

/// Counts, and what didn't work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub new: u64,
    /// More places of emails that are there.
    pub joined: u64,
    /// There already, by an earlier run or another folder.
    pub known: u64,
    pub flags: u64,
    pub octets: u64,
    pub problems: Vec<String>,
    pub more_problems: u64,
}

impl Tally {
    /// Notes what is wrong with one message or folder, and where that is.
    pub fn problem(&mut self, place: &str, why: &str) {
        match self.problems.len() < PROBLEMS_MAX {
            true => self.problems.push(format!("{place}: {why}")),
            false => self.more_problems += 1,
        }
    }

    pub fn add(&mut self, other: Tally) {
        self.new += other.new;
        self.joined += other.joined;
        self.known += other.known;
        self.flags += other.flags;
        self.octets += other.octets;
        self.more_problems += other.more_problems;
        for problem in other.problems {
            match self.problems.len() < PROBLEMS_MAX {
                true => self.problems.push(problem),
                false => self.more_problems += 1,
            }
        }
    }
}

/// The same, for people and machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MovedRow {
    /// `imported`, `exported` or `copied`.
    pub verb: String,
    pub new: u64,
    pub joined: u64,
    pub known: u64,
    pub flags: u64,
    pub octets: u64,
    pub problems: Vec<String>,
    pub more_problems: u64,
    /// Of a copy: what both sides have.
    pub hash: Option<String>,
}

impl MovedRow {
    pub fn new(verb: &str, tally: Tally) -> MovedRow {
        MovedRow {
            verb: verb.to_owned(),
            new: tally.new,
            joined: tally.joined,
            known: tally.known,
            flags: tally.flags,
            octets: tally.octets,
            problems: tally.problems,
            more_problems: tally.more_problems,
            hash: None,
        }
    }

    pub fn text(&self) -> String {
        let what = match self.hash {
            Some(_) => "records",
            None => "messages",
        };
        let mut text = format!("{} {what} {}, {} octets", self.new, self.verb, self.octets);
        let more = [
            (self.joined, "more places of them"),
            (self.known, "there already"),
            (self.flags, "with changed flags"),
        ];
        for (count, what) in more.into_iter().filter(|(count, _)| *count > 0) {
            text.push_str(&format!("; {count} {what}"));
        }
        if let Some(hash) = &self.hash {
            text.push_str(&format!("\nboth sides have the hash {hash}"));
        }
        if !self.problems.is_empty() {
            text.push_str("\nnot everything worked:");
        }
        for problem in &self.problems {
            text.push_str(&format!("\n  {problem}"));
        }
        if self.more_problems > 0 {
            text.push_str(&format!("\n  and {} more", self.more_problems));
        }
        text
    }
}
