//! Answers, as they are sent.

use super::*;

fn hits(rows: &[(u32, u32, u64)]) -> Vec<Hit> {
    let hit = |&(uid, shown, modseq): &(u32, u32, u64)| Hit { uid, shown, modseq };
    rows.iter().map(hit).collect()
}

const FOUND: [(u32, u32, u64); 5] = [
    (14, 2, 90),
    (17, 4, 70),
    (18, 5, 95),
    (19, 6, 10),
    (30, 9, 80),
];

fn check(returns: Option<&[SearchReturn]>, rows: &[(u32, u32, u64)], has_modseq: bool, want: &str) {
    let returns = Returns::new(returns, false);
    let hits = hits(rows);
    let answer = Answer {
        tag: "a1",
        uid: false,
        returns: &returns,
        hits: &hits,
        has_modseq,
        mailbox: None,
        utf8: false,
    };
    let mut out = Vec::new();
    answer.encode(&mut out, Plain::Search);
    assert_eq!(
        String::from_utf8(out).unwrap().trim_end(),
        want,
        "{returns:?}"
    );
}

#[test]
fn answers_have_what_was_asked_for() {
    use SearchReturn::*;
    check(None, &FOUND, false, "* SEARCH 2 4 5 6 9");
    check(None, &[], false, "* SEARCH");
    check(None, &FOUND, true, "* SEARCH 2 4 5 6 9 (MODSEQ 95)");
    check(None, &[], true, "* SEARCH");
    check(
        Some(&[All]),
        &FOUND,
        false,
        "* ESEARCH (TAG \"a1\") ALL 2,4:6,9",
    );
    check(Some(&[All]), &[], true, "* ESEARCH (TAG \"a1\")");
    check(
        Some(&[]),
        &FOUND,
        false,
        "* ESEARCH (TAG \"a1\") ALL 2,4:6,9",
    );
    check(
        Some(&[Min, Count]),
        &FOUND,
        false,
        "* ESEARCH (TAG \"a1\") MIN 2 COUNT 5",
    );
    check(
        Some(&[Min, Max, Count]),
        &[],
        false,
        "* ESEARCH (TAG \"a1\") COUNT 0",
    );
    check(Some(&[Save]), &FOUND, false, "");
    check(
        Some(&[Save, Max]),
        &FOUND,
        false,
        "* ESEARCH (TAG \"a1\") MAX 9",
    );
    // RFC 4731 §3.2
    check(
        Some(&[Min]),
        &FOUND,
        true,
        "* ESEARCH (TAG \"a1\") MIN 2 MODSEQ 90",
    );
    check(
        Some(&[Max]),
        &FOUND,
        true,
        "* ESEARCH (TAG \"a1\") MAX 9 MODSEQ 80",
    );
    check(
        Some(&[Min, Max]),
        &FOUND,
        true,
        "* ESEARCH (TAG \"a1\") MIN 2 MAX 9 MODSEQ 90",
    );
    check(
        Some(&[Min, Count]),
        &FOUND,
        true,
        "* ESEARCH (TAG \"a1\") MIN 2 COUNT 5 MODSEQ 95",
    );
    // RFC 9394 §3.1
    check(
        Some(&[Partial(1, 2)]),
        &FOUND,
        false,
        "* ESEARCH (TAG \"a1\") PARTIAL (1:2 2,4)",
    );
    check(
        Some(&[Partial(4, 90)]),
        &FOUND,
        false,
        "* ESEARCH (TAG \"a1\") PARTIAL (4:90 6,9)",
    );
    check(
        Some(&[Partial(6, 9)]),
        &FOUND,
        false,
        "* ESEARCH (TAG \"a1\") PARTIAL (6:9 NIL)",
    );
    check(
        Some(&[Partial(-1, -2)]),
        &FOUND,
        false,
        "* ESEARCH (TAG \"a1\") PARTIAL (-1:-2 6,9)",
    );
    check(
        Some(&[Partial(-4, -90)]),
        &FOUND,
        false,
        "* ESEARCH (TAG \"a1\") PARTIAL (-4:-90 2,4)",
    );
    check(
        Some(&[Partial(-6, -90)]),
        &FOUND,
        false,
        "* ESEARCH (TAG \"a1\") PARTIAL (-6:-90 NIL)",
    );
    check(
        Some(&[Partial(1, 1)]),
        &[],
        true,
        "* ESEARCH (TAG \"a1\") PARTIAL (1:1 NIL)",
    );
}

#[test]
fn what_is_saved_depends_on_what_is_returned() {
    use SearchReturn::*;
    let rows: [(&[SearchReturn], &[u32]); 10] = [
        (&[Save], &[14, 17, 18, 19, 30]),
        (&[Save, Min], &[14]),
        (&[Save, Max], &[30]),
        (&[Save, Min, Max], &[14, 30]),
        (&[Save, Min, Count], &[14, 17, 18, 19, 30]),
        (&[Save, All, Max], &[14, 17, 18, 19, 30]),
        (&[Save, Partial(2, 3)], &[17, 18]),
        (&[Save, Partial(1, 2), Min], &[14, 17]),
        (&[Save, Partial(2, 3), Min, Max], &[14, 17, 18, 30]),
        (&[Save, Partial(2, 3), Count], &[14, 17, 18, 19, 30]),
    ];
    for (returns, want) in rows {
        let saved = Returns::new(Some(returns), true).saved(&hits(&FOUND));
        assert_eq!(saved, want, "{returns:?}");
    }
    assert!(Returns::new(Some(&[Save, Min]), true).saved(&[]).is_empty());
}

#[test]
fn contexts_are_few_and_sorted_ones_not_too_large() {
    use contexts::{CONTEXTS_MAX, Context, Contexts, SORTED_MESSAGES_MAX};
    let mut contexts = Contexts::default();
    assert!(contexts.has_room(true, SORTED_MESSAGES_MAX));
    assert!(!contexts.has_room(true, SORTED_MESSAGES_MAX + 1));
    assert!(contexts.has_room(false, SORTED_MESSAGES_MAX + 1));
    for number in 0..CONTEXTS_MAX {
        assert!(contexts.has_room(false, 0));
        contexts.add(Context {
            tag: number.to_string(),
            uid: true,
            key: crate::command::SearchKey::All,
            found: Default::default(),
            sorted: None,
            items: Vec::new(),
        });
    }
    assert!(!contexts.has_room(false, 0));
}
