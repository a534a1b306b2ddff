//! Searches over mails, by seed: the same as reading all of each.

use store::search::{Needle, casemap};

use super::super::super::MailboxKey;
use super::*;
use crate::mail::message::{
    Summary,
    everything::{Texts, each_text},
};

/// All texts of a message.
#[derive(Default)]
struct All {
    headers: Vec<String>,
    bodies: Vec<String>,
}

impl Texts for All {
    fn header(&mut self, _name: &[u8], line: &str) {
        self.headers.push(casemap(line));
    }

    fn body(&mut self, text: &str) {
        self.bodies.push(casemap(text));
    }

    fn wants(&self) -> (bool, bool) {
        (true, true)
    }
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides.max(1)
    }
}

/// Mails of few words, where there is no corpus.
fn generated(number: usize) -> Vec<u8> {
    let words = [
        "Straße",
        "linux",
        "LINUX-Kernel",
        "a",
        "日本語の本",
        "re: re:",
        "x@example.org",
        "foo.bar",
    ];
    let mut dice = Dice(number as u64);
    let mut text = |count: usize| {
        let picked: Vec<&str> = (0..count).map(|_| words[dice.roll(words.len())]).collect();
        picked.join(" ")
    };
    format!(
        "From: {}\r\nSubject: {}\r\nX-Other: {}\r\n\r\n{}\r\n",
        text(2),
        text(3),
        text(2),
        text(12)
    )
    .into_bytes()
}

/// A piece of a text, with the letter case changed.
fn piece(dice: &mut Dice, texts: &[String]) -> String {
    let text = &texts[dice.roll(texts.len())];
    let chars: Vec<char> = text.chars().collect();
    let start = dice.roll(chars.len());
    let piece: String = chars.iter().skip(start).take(1 + dice.roll(14)).collect();
    match dice.roll(2) {
        0 => piece.to_lowercase(),
        _ => piece,
    }
}

#[tokio::test]
async fn a_search_finds_what_reading_everything_finds() {
    let mut mails = crate::corpus::mails(400);
    if mails.is_empty() {
        mails = (0..200).map(generated).collect();
    }
    let bench = Bench::new().await;
    let mut emails = Vec::new();
    let mut texts = Vec::new();
    for mail in &mails {
        emails.push(bench.deliver(mail.clone()).await);
        let mut all = All::default();
        each_text(mail, &Summary::parse(mail), &mut all);
        texts.push(all);
    }
    let core = &bench.core;
    core.search.index_pending().await.unwrap();
    let who = caller(OWNER, &[]);
    let key: MailboxKey = inbox();
    for seed in 0..150u64 {
        let mut dice = Dice(seed);
        let of = &texts[dice.roll(texts.len())];
        let (needle, is_body) = match dice.roll(2) {
            0 if !of.bodies.is_empty() => (piece(&mut dice, &of.bodies), dice.roll(3) > 0),
            _ => (piece(&mut dice, &of.headers), dice.roll(6) == 0),
        };
        let condition = match is_body {
            true => Condition::Body(needle.clone()),
            false => Condition::Text(needle.clone()),
        };
        let found = core
            .view_search(&who, key, &emails, condition)
            .await
            .unwrap();
        let found: Vec<u64> = found.into_iter().map(|found| found.email).collect();
        let folded = Needle::new(&needle);
        let is_in = |all: &All| {
            let in_header = !is_body && all.headers.iter().any(|text| folded.is_in_folded(text));
            in_header || all.bodies.iter().any(|text| folded.is_in_folded(text))
        };
        let want: Vec<u64> = emails
            .iter()
            .zip(&texts)
            .filter(|(_, all)| is_in(all))
            .map(|(email, _)| *email)
            .collect();
        assert_eq!(found, want, "seed {seed}: {needle:?}, body {is_body}");
    }
}
