//! THREAD.

use super::super::thread::{ANCESTORS_MAX, Item, by_references, by_subject};
use super::*;

/// A message of one line: `id < first second: subject @ time`.
fn item(number: u64, line: &str) -> Item {
    let (rest, time) = line.split_once('@').unwrap();
    let (ids, subject) = rest.split_once(':').unwrap();
    let (id, references) = ids.split_once('<').unwrap_or((ids, ""));
    let subject = subject.trim();
    let (base, is_reply) = crate::mail::message::subject::base_and_reply(subject);
    Item {
        email: number,
        sent_at: time.trim().parse().unwrap(),
        message_id: Some(id.trim())
            .filter(|id| !id.is_empty())
            .map(str::to_owned),
        references: references.split_whitespace().map(str::to_owned).collect(),
        subject: store::search::casemap(&base),
        is_reply,
    }
}

fn items(lines: &[&str]) -> Vec<Item> {
    lines
        .iter()
        .zip(1..)
        .map(|(line, number)| item(number, line))
        .collect()
}

/// As in the THREAD response: `(1 2 (3)(4))`.
fn shown(nodes: &[ThreadNode]) -> String {
    fn below(nodes: &[ThreadNode], depth: u32) -> Vec<String> {
        let mut all = Vec::new();
        let mut at = 0;
        while at < nodes.len() {
            let end = (at + 1..nodes.len())
                .find(|&n| nodes[n].depth <= depth)
                .unwrap_or(nodes.len());
            let answers = below(&nodes[at + 1..end], depth + 1);
            let number = nodes[at].email.map(|n| n.to_string()).unwrap_or_default();
            let answers = match answers.as_slice() {
                [] => String::new(),
                [one] => format!(" {one}"),
                many => {
                    let many: String = many.iter().map(|a| format!("({a})")).collect();
                    if number.is_empty() {
                        many
                    } else {
                        format!(" {many}")
                    }
                }
            };
            all.push(format!("{number}{answers}"));
            at = end;
        }
        all
    }
    below(nodes, 0)
        .iter()
        .map(|thread| format!("({thread})"))
        .collect()
}

fn check(lines: &[&str], want: &str) {
    let threads = by_references(&items(lines));
    assert_eq!(shown(&threads), want, "{lines:#?}");
    let mut emails: Vec<u64> = threads.iter().filter_map(|node| node.email).collect();
    emails.sort_unstable();
    let all: Vec<u64> = (1..=lines.len() as u64).collect();
    assert_eq!(emails, all, "each message is in one thread");
}

#[test]
fn references_make_threads() {
    check(&[], "");
    check(&["a: x @ 1"], "(1)");
    check(
        &["a: x @ 1", "b < a: Re: x @ 2", "c < a b: Re: x @ 3"],
        "(1 2 3)",
    );
    check(
        &["a: x @ 1", "b < a: Re: x @ 3", "c < a: Re: x @ 2"],
        "(1 (3)(2))",
    );
    // In any order.
    check(
        &["c < a b: Re: x @ 3", "a: x @ 1", "b < a: Re: x @ 2"],
        "(2 3 1)",
    );
    // One that isn't there: with one answer it goes, with more it stays at the top alone.
    check(&["b < a: Re: x @ 2"], "(1)");
    check(&["b < a: Re: x @ 2", "c < a: Re: x @ 3"], "((1)(2))");
    check(
        &["a: x @ 1", "c < a b: Re: x @ 3", "d < a b: Re: x @ 4"],
        "(1 (2)(3))",
    );
    // The same id twice: the second has one of its own.
    check(&["a: x @ 1", "a: y @ 2", "b < a: z @ 3"], "(1 3)(2)");
    // No id at all.
    check(&[": x @ 1", ": y @ 2"], "(1)(2)");
    // The last reference wins over what others say.
    check(
        &["a: x @ 1", "b < a: q @ 2", "c: y @ 3", "d < c b: r @ 4"],
        "(1 2 4)(3)",
    );
    check(&["d < x c: r @ 4", "c < b: q @ 3", "b: p @ 2"], "(3 2 1)");
    // Loops.
    check(&["a < a: x @ 1"], "(1)");
    check(&["a < b: x @ 1", "b < a: y @ 2"], "(2 1)");
    check(
        &["a < b c a: x @ 1", "b < c a: y @ 2", "c < a b: z @ 3"],
        "(2 3 1)",
    );
}

#[test]
fn subjects_join_threads() {
    check(&["a: x @ 1", "b: Re: x @ 2"], "(1 2)");
    check(&["a: Re: x @ 1", "b: x @ 2"], "(2 1)");
    check(&["a: X @ 1", "b: x @ 2"], "((1)(2))");
    check(&["a: x @ 1", "b: x @ 2", "c: x @ 3"], "((1)(2)(3))");
    check(&["a: Re: x @ 1", "b: Fwd: x @ 2"], "((1)(2))");
    check(&["a: @ 1", "b: Re: @ 2"], "(1)(2)");
    // Two dummies; and one with a message.
    check(
        &[
            "b < a: Re: x @ 1",
            "c < a: Re: x @ 2",
            "e < d: Re: x @ 3",
            "f < d: Re: x @ 4",
        ],
        "((1)(2)(3)(4))",
    );
    check(
        &["b < a: Re: x @ 1", "c < a: Re: x @ 2", "g: x @ 3"],
        "((1)(2)(3))",
    );
    check(
        &[
            "a: x @ 1",
            "b < a: Re: x @ 2",
            "c: [fwd: x] @ 5",
            "d: y @ 4",
        ],
        "(1 (2)(3))(4)",
    );
    // What came last is where the thread is sorted by its first message.
    check(&["a: x @ 5", "b: y @ 3", "c: Re: x @ 1"], "(2)(1 3)");
}

#[test]
fn ordered_subject_has_no_grandchildren() {
    let rows = items(&[
        "a: x @ 3",
        "b: Re: x @ 1",
        "c: y @ 2",
        "d: [l] x @ 4",
        "e: @ 5",
        "f: @ 6",
    ]);
    assert_eq!(shown(&by_subject(&rows)), "(2 (1)(4))(3)(5 6)");
    assert_eq!(shown(&by_subject(&[])), "");
}

#[test]
fn long_and_wide_threads_are_bounded() {
    let line = |n: usize| match n {
        0 => "m0: x @ 0".to_owned(),
        _ => format!("m{n} < m{}: Re: x @ {n}", n - 1),
    };
    // Backwards, so that each is put on top of all that is there.
    let lines: Vec<String> = (0..ANCESTORS_MAX * 4).rev().map(line).collect();
    let rows = items(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let threads = by_references(&rows);
    assert_eq!(
        threads.iter().filter(|node| node.email.is_some()).count(),
        rows.len()
    );
    // In their order, the one past the limit begins a thread of its own, which the subject joins to the first.
    let lines: Vec<String> = (0..ANCESTORS_MAX + 1).map(line).collect();
    let rows = items(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let threads = by_references(&rows);
    let deepest = threads.iter().map(|node| node.depth).max();
    assert_eq!(deepest, Some(ANCESTORS_MAX as u32 - 1));
    let lines: Vec<String> = (1..50_000)
        .map(|n| format!("m{n} < m0: Re: x @ {n}"))
        .collect();
    let rows = items(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(by_references(&rows).len(), 50_000);
}

#[tokio::test]
async fn messages_are_read_for_it() {
    let messages = [
        "Message-ID: <\"a\"@x>\nSubject: x\nDate: Mon, 1 Jan 2018 10:00:00 +0000\n\n",
        "Message-ID: <b@x>\nIn-Reply-To: <a@x> <zzz@x>\nSubject: other\nDate: Mon, 1 Jan 2018 11:00:00 +0000\n\n",
        "Message-ID: <c@x>\nReferences: nonsense\nIn-Reply-To: <b@x>\nSubject: third\nDate: Mon, 1 Jan 2018 12:00:00 +0000\n\n",
    ];
    let inbox_of = Inbox::new(&messages).await;
    let who = caller(OWNER, &[]);
    let core = &inbox_of.bench.core;
    let algorithm = ThreadAlgorithm::References;
    let nodes = core
        .view_thread(&who, inbox(), &inbox_of.emails, algorithm)
        .await
        .unwrap();
    let depths: Vec<u32> = nodes.iter().map(|node| node.depth).collect();
    assert_eq!(depths, [0, 1, 2]);
    assert_eq!(
        inbox_of.numbers(nodes.into_iter().filter_map(|node| node.email)),
        "1 2 3"
    );
    let algorithm = ThreadAlgorithm::OrderedSubject;
    let nodes = core
        .view_thread(&who, inbox(), &inbox_of.emails, algorithm)
        .await
        .unwrap();
    assert!(nodes.iter().all(|node| node.depth == 0));
}
