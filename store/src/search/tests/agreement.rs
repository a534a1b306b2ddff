//! Index and matcher, asked the same of random texts.

use super::*;

/// A small generator; the tests need no better one.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(1);
        (super::super::mixed(self.0) % limit as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

const WORDS: [&str; 24] = [
    "a",
    "b",
    "ab",
    "abc",
    "A",
    "é",
    "Straße",
    "strasse",
    "alice@example.org",
    "example.org",
    "don't",
    "日",
    "本",
    "日本",
    "日本語",
    "語日本日",
    "한국",
    "ไทย",
    "🎉",
    "…",
    "--",
    "1.2",
    "b\u{301}",
    "a_b",
];
const GAPS: [&str; 6] = [" ", " ", ", ", ": ", "", "\u{3000}"];

fn random_text(dice: &mut Dice, words: usize) -> String {
    let mut text = String::new();
    for _ in 0..dice.below(words + 1) {
        text.push_str(dice.pick(&WORDS));
        text.push_str(dice.pick(&GAPS));
    }
    text
}

fn random_document(dice: &mut Dice) -> DocumentText {
    let mut document = DocumentText::default();
    for _ in 0..dice.below(6) {
        let field = Field::ALL[dice.below(Field::ALL.len())];
        document.push(field, random_text(dice, 8));
    }
    for _ in 0..dice.below(3) {
        let name = dice.pick(&["X-A", "x-b", "X:C"]);
        document.push_header(name, random_text(dice, 4));
    }
    document
}

fn random_query(dice: &mut Dice, depth: usize) -> Query {
    let choices = if depth == 0 { 5 } else { 9 };
    let children = |dice: &mut Dice| {
        (0..dice.below(4))
            .map(|_| random_query(dice, depth - 1))
            .collect()
    };
    let scope = match dice.below(4) {
        0 => Scope::Any,
        1 => Scope::Header(dice.pick(&["x-a", "X-B", "xc"]).to_owned()),
        _ => Scope::Field(Field::ALL[dice.below(Field::ALL.len())]),
    };
    match dice.below(choices) {
        0 => Query::text(scope, &random_text(dice, 3)),
        1 => Query::text(scope, dice.pick(&WORDS)),
        2 => Query::Text {
            scope,
            term: TextTerm::Phrase(random_text(dice, 4)),
        },
        3 => Query::Text {
            scope,
            term: TextTerm::Prefix(random_text(dice, 2)),
        },
        4 => Query::HasHeader(dice.pick(&["x-a", "X-B", "xc", "x"]).to_owned()),
        5 => Query::Not(Box::new(random_query(dice, depth - 1))),
        6 => Query::Or(children(dice)),
        _ => Query::And(children(dice)),
    }
}

fn check(seed: u64) {
    let mut dice = Dice(seed << 32);
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    let documents: Vec<DocumentText> = (0..60).map(|_| random_document(&mut dice)).collect();
    for batch in 0..3 {
        let changes = documents
            .iter()
            .enumerate()
            .skip(batch)
            .step_by(3)
            .map(|(id, text)| {
                Change::Upsert(Document {
                    key: key(1, id as u64),
                    text: text.clone(),
                })
            });
        apply(&index, 1, changes.collect());
    }
    // Another account's documents, which must never show.
    let neighbour = (2..)
        .find(|account| index.shard_of(*account) == index.shard_of(1))
        .unwrap();
    apply(
        &index,
        neighbour,
        vec![upsert(neighbour, 1000, &[(Field::Body, "a b ab 日本語")])],
    );
    for _ in 0..300 {
        let query = random_query(&mut dice, 3);
        let matcher = Matcher::new(&query).unwrap();
        let want: Vec<u64> = (0..documents.len())
            .filter(|id| matcher.matches(&documents[*id]))
            .map(|id| id as u64)
            .collect();
        let found = index.search(1, KIND, &query, 1000).unwrap().ids;
        assert_eq!(found, want, "seed {seed}, query {query:?}");
    }
}

#[test]
fn index_and_matcher_agree() {
    (1..=6).for_each(check);
}
