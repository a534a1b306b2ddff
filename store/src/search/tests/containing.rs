//! Texts anywhere in others: the same answer as from reading everything.

use std::collections::BTreeSet;

use super::super::fold::{Kind, fold_first};
use super::*;

/// The letters of a text as the index folds it, with `|` for what stands between words.
fn letters(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    let mut units = Vec::new();
    while !rest.is_empty() {
        units.clear();
        let octets = fold_first(rest, &mut units);
        rest = &rest[octets..];
        for unit in &units {
            match unit.kind {
                Kind::Letter => out.push(unit.ch),
                Kind::Skip => {}
                Kind::Gram | Kind::Symbol | Kind::Break => {
                    if !out.ends_with('|') {
                        out.push('|');
                    }
                }
            }
        }
    }
    out
}

/// What `needle` builds on: casemapping takes no letter from a word, and adds none.
#[test]
fn every_character_has_the_same_letters_when_it_is_casemapped() {
    let mut wrong = Vec::new();
    for ch in '\0'..=char::MAX {
        let text = ch.to_string();
        let folded = casemap(&text);
        if letters(&text) != letters(&folded) {
            wrong.push((ch, letters(&text), letters(&folded)));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} characters: {:?}",
        wrong.len(),
        &wrong[..wrong.len().min(40)]
    );
}

fn check(needle: &str, text: &str, is_in: bool) {
    assert_eq!(
        Needle::new(needle).is_in(text),
        is_in,
        "{needle:?} in {text:?}"
    );
}

#[test]
fn a_needle_is_found_anywhere_in_any_letter_case() {
    check("", "", true);
    check("linu", "GNU/Linux", true);
    check("nux", "linux", true);
    check("linux", "linu x", false);
    check("STRASSE", "Die Straße", true);
    check("grüße", "GRÜSSE", true);
    check("e\u{301}t\u{e9}", "\u{c9}t\u{c9}", true);
    // RFC 5051: an accent makes a difference...
    check("cafes", "caf\u{e9}s", false);
    check("\u{fb01}sh", "FISH", true);
    check("привет", "ПРИВЕТ", true);
    check("a b", "a \r\n\tb", true);
    check("a  b", "a b", true);
    check("ab", "a b", false);
    check("検索", "全文検索", true);
    check("ς", "Σ", true);
}

/// Dice that are the same in every run.
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

const PIECES: [&str; 38] = [
    "a",
    "b",
    "ab",
    "ba",
    "A",
    "B",
    "linux",
    "re",
    "1",
    "2",
    " ",
    " ",
    " ",
    "\r\n",
    "\t",
    ".",
    "@",
    "-",
    "_",
    "ß",
    "é",
    "e\u{301}",
    "\u{ad}",
    "\u{200b}",
    "ﬁ",
    "½",
    "検",
    "索",
    "が",
    "か\u{3099}",
    "한",
    "ﾊﾟ",
    "й",
    "Ж",
    "😀",
    "’",
    "İ",
    "٣",
];

fn random_text(dice: &mut Dice, pieces: usize) -> String {
    let count = dice.roll(pieces);
    (0..count)
        .map(|_| PIECES[dice.roll(PIECES.len())])
        .collect()
}

fn random_document(dice: &mut Dice) -> DocumentText {
    let mut document = DocumentText::default();
    for _ in 0..dice.roll(4) {
        let field = Field::ALL[dice.roll(Field::ALL.len())];
        document.push(field, random_text(dice, 12));
    }
    for _ in 0..dice.roll(3) {
        document.rest_body.push(random_text(dice, 12));
        document.rest_header.push(random_text(dice, 12));
        document.lines.push(random_text(dice, 12));
    }
    if dice.roll(8) == 0 {
        // Longer than a token.
        let long: String = (0..dice.roll(80))
            .map(|_| ["ab", "1", "й", "é"][dice.roll(4)])
            .collect();
        document.rest_header.push(long.clone());
        document.lines.push(long.repeat(3));
        document.push(Field::Body, long.repeat(2));
    }
    document.is_cut = dice.roll(10) == 0;
    document
}

fn texts(document: &DocumentText, place: Place) -> Vec<&str> {
    let field = |want: Field| document.texts.iter().filter(move |(f, _)| *f == want);
    match place {
        Place::Field(want) => field(want).map(|(_, text)| text.as_str()).collect(),
        Place::Body => {
            let body = field(Field::Body).map(|(_, text)| text.as_str());
            body.chain(document.rest_body.iter().map(String::as_str))
                .collect()
        }
        Place::Anywhere => {
            let all = document.texts.iter().map(|(_, text)| text);
            let all = all.chain(&document.rest_body).chain(&document.rest_header);
            let all = all.chain(&document.lines);
            all.map(String::as_str).collect()
        }
    }
}

/// A needle that some text has, most of the time.
fn random_needle(dice: &mut Dice, documents: &[DocumentText]) -> String {
    if dice.roll(4) == 0 {
        return random_text(dice, 4);
    }
    let document = &documents[dice.roll(documents.len())];
    let texts = texts(document, Place::Anywhere);
    let Some(text) = texts.get(dice.roll(texts.len())) else {
        return random_text(dice, 4);
    };
    let chars: Vec<char> = text.chars().collect();
    let start = dice.roll(chars.len());
    let len = if dice.roll(6) == 0 {
        60
    } else {
        1 + dice.roll(6)
    };
    let piece: String = chars.iter().skip(start).take(len).collect();
    match dice.roll(3) {
        0 => piece.to_uppercase(),
        1 => casemap(&piece),
        _ => piece,
    }
}

#[test]
fn the_index_rules_out_nothing_that_is_there() {
    let mut helped = 0;
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let folder = tempfile::tempdir().unwrap();
        let index = open(folder.path());
        let documents: Vec<DocumentText> = (0..30).map(|_| random_document(&mut dice)).collect();
        let upserts: Vec<Change> = documents
            .iter()
            .enumerate()
            .map(|(id, text)| {
                Change::Upsert(Document {
                    key: key(1, id as u64),
                    text: text.clone(),
                })
            })
            .collect();
        // In two segments.
        let (first, second) = upserts.split_at(dice.roll(30));
        apply(&index, 1, first.to_vec());
        apply(&index, 1, second.to_vec());
        for round in 0..300 {
            let text = random_needle(&mut dice, &documents);
            let needle = Needle::new(&text);
            let place = match dice.roll(4) {
                0 => Place::Body,
                1 => Place::Field(Field::Subject),
                _ => Place::Anywhere,
            };
            let Some(found) = index.containing(1, KIND, &needle, place).unwrap() else {
                continue;
            };
            let (certain, possible): (BTreeSet<u64>, BTreeSet<u64>) = (
                found.certain.into_iter().collect(),
                found.possible.into_iter().collect(),
            );
            for (id, document) in documents.iter().enumerate() {
                let id = id as u64;
                let is_in = texts(document, place).iter().any(|text| needle.is_in(text));
                let context =
                    || format!("seed {seed} round {round}: {text:?} {place:?} in {document:?}");
                assert!(
                    !is_in || certain.contains(&id) || possible.contains(&id),
                    "{}",
                    context()
                );
                assert!(is_in || !certain.contains(&id), "certain: {}", context());
                let is_ruled_out = !certain.contains(&id) && !possible.contains(&id);
                helped += usize::from(certain.contains(&id) || is_ruled_out);
            }
        }
    }
    assert!(helped > 30_000, "{helped}");
}

/// The same over mails, if there are some: needles are cut out of them.
#[test]
fn the_index_rules_out_nothing_of_the_corpus() {
    let corpus = std::env::var_os("POSTHORN_CORPUS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"),
        Into::into,
    );
    let mut files: Vec<_> = ["ham", "spam"]
        .iter()
        .flat_map(|kind| std::fs::read_dir(corpus.join(kind)).into_iter().flatten())
        .map(|entry| entry.unwrap().path())
        .collect();
    if files.is_empty() {
        println!("no mails in {}: left to the test above", corpus.display());
        return;
    }
    files.sort();
    let mut dice = Dice(7);
    let documents: Vec<DocumentText> = files
        .iter()
        .step_by(9)
        .map(|file| {
            let mail = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
            let (header, body) = mail
                .split_once("\r\n\r\n")
                .or(mail.split_once("\n\n"))
                .unwrap_or(("", &mail));
            let mut document = DocumentText::default();
            document.push(Field::Body, body);
            let lines = header.lines().map(str::to_owned);
            (document.rest_header, document.lines) = lines.partition(|line| line.len() % 2 == 0);
            document
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    let upserts = documents.iter().enumerate().map(|(id, text)| {
        Change::Upsert(Document {
            key: key(1, id as u64),
            text: text.clone(),
        })
    });
    apply(&index, 1, upserts.collect());
    let folded: Vec<Vec<String>> = documents
        .iter()
        .map(|document| {
            texts(document, Place::Anywhere)
                .into_iter()
                .map(casemap)
                .collect()
        })
        .collect();
    for _ in 0..400 {
        let text = random_needle(&mut dice, &documents);
        let needle = Needle::new(&text);
        let Some(found) = index.containing(1, KIND, &needle, Place::Anywhere).unwrap() else {
            continue;
        };
        for (id, texts) in folded.iter().enumerate() {
            let is_in = texts.iter().any(|text| needle.is_in_folded(text));
            let is_certain = found.certain.binary_search(&(id as u64)).is_ok();
            let is_possible = found.possible.binary_search(&(id as u64)).is_ok();
            assert!(
                !is_in || is_certain || is_possible,
                "{text:?} in {}",
                files[id * 9].display()
            );
            assert!(
                is_in || !is_certain,
                "certain: {text:?} in {}",
                files[id * 9].display()
            );
        }
    }
}

#[test]
fn what_is_of_others_or_deleted_is_not_found() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    apply(
        &index,
        1,
        vec![
            upsert(1, 1, &[(Field::Body, "linux")]),
            upsert(1, 2, &[(Field::Body, "linux")]),
        ],
    );
    let other = (2..)
        .find(|&account| index.shard_of(account) == index.shard_of(1))
        .unwrap();
    apply(
        &index,
        other,
        vec![upsert(other, 3, &[(Field::Body, "linux")])],
    );
    apply(&index, 1, vec![Change::Delete(key(1, 1))]);
    let needle = Needle::new("inu");
    let found = index
        .containing(1, KIND, &needle, Place::Body)
        .unwrap()
        .unwrap();
    assert_eq!((found.certain, found.possible), (vec![2], vec![]));
    let found = index
        .containing(1, KIND, &needle, Place::Field(Field::From))
        .unwrap()
        .unwrap();
    assert_eq!((found.certain, found.possible), (vec![], vec![]));
}

#[test]
fn what_is_past_a_limit_makes_a_document_possible() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    let mut document = DocumentText::default();
    document.rest_header.push("x ".repeat(REST_OCTETS_MAX / 2));
    let upsert = |id, text: &DocumentText| {
        Change::Upsert(Document {
            key: key(1, id),
            text: text.clone(),
        })
    };
    // Half as many words as octets: that is past the words of one text.
    apply(&index, 1, vec![upsert(1, &document)]);
    document.rest_header = vec!["x".repeat(REST_OCTETS_MAX)];
    apply(&index, 1, vec![upsert(2, &document)]);
    document.rest_header = vec!["x".repeat(REST_OCTETS_MAX + 1)];
    apply(&index, 1, vec![upsert(3, &document)]);
    document.rest_header.clear();
    document.lines = vec!["x".repeat(REST_OCTETS_MAX - 1)];
    apply(&index, 1, vec![upsert(5, &document)]);
    document.lines = vec!["x".repeat(REST_OCTETS_MAX)];
    apply(&index, 1, vec![upsert(6, &document)]);
    document.lines.clear();
    document.push(Field::Body, "x ".repeat(BODY_OCTETS_MAX / 2 + 1));
    apply(&index, 1, vec![upsert(4, &document)]);
    let found = index
        .containing(1, KIND, &Needle::new("linux"), Place::Body)
        .unwrap()
        .unwrap();
    assert_eq!((found.certain, found.possible), (vec![], vec![1, 3, 4, 6]));
}
