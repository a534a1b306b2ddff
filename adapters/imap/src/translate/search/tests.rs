//! Keys as clients write them, and what the core is asked.

use jmap_core::access::MailboxRights;
use jmap_core::inproc::imap_view::{MailboxKey, Opened, ViewStatus};

use super::*;
use crate::command::{Command, Search};
use crate::parse::{Mode, parse};

/// Messages with the UIDs 3, 5 and 9, which are the emails 30, 10 and 20; the last one is recent.
fn selected() -> Selected {
    let opened = Opened {
        status: ViewStatus {
            uid_next: 10,
            ..ViewStatus::default()
        },
        rights: MailboxRights::ALL,
        messages: [(3, 30), (5, 10), (9, 20)].into_iter().collect(),
        keywords: Vec::new(),
        first_unseen_uid: None,
        sequence: 1,
    };
    let key = MailboxKey {
        account: AccountId::new(7),
        mailbox: 1,
    };
    let mut selected = Selected::new(key, opened, false, 9);
    selected.saved = [5].into_iter().collect();
    selected
}

fn key(text: &str) -> SearchKey {
    let tagged = parse(format!("a SEARCH {text}").as_bytes(), Mode { utf8: true }).unwrap();
    match tagged.command {
        Command::Search {
            search: Search { key, .. },
            ..
        } => key,
        other => panic!("{other:?}"),
    }
}

fn check(text: &str, want: &Condition) {
    let selected = selected();
    let messages = Messages {
        account: AccountId::new(7),
        list: selected.messages(),
        selected: Some(&selected),
        now: 1000 * DAY,
    };
    assert_eq!(messages.condition(&key(text)), *want, "{text}");
    // As good a minute later, when it is kept up to date.
    let frozen = frozen(&key(text), &selected);
    assert_eq!(messages.condition(&frozen), *want, "{text}, frozen");
    assert!(!Mentions::of(&frozen).numbers, "{text}");
}

fn emails(emails: &[u64]) -> Condition {
    Condition::OneOf(emails.to_vec())
}

fn span(from: i64, before: i64) -> Span {
    Span { from, before }
}

#[test]
fn numbers_are_emails() {
    for (text, want) in [
        ("1", &[30][..]),
        ("2:3", &[10, 20]),
        ("3:1", &[10, 20, 30]),
        ("*", &[20]),
        ("2:*", &[10, 20]),
        ("5:*", &[20]),
        ("4", &[]),
        ("3:4000000000", &[20]),
        ("1,3,1", &[20, 30]),
        ("$", &[10]),
        ("UID 5", &[10]),
        ("UID 4:8", &[10]),
        ("UID 10:*", &[20]),
        ("UID 1", &[]),
        ("UID $", &[10]),
        ("RECENT", &[20]),
    ] {
        check(text, &emails(want));
    }
}

#[test]
fn dates_are_spans() {
    let day = 17_532;
    let (min, max) = (i64::MIN, i64::MAX);
    for (text, want) in [
        (
            "BEFORE 1-Jan-2018",
            Condition::Received(span(min, day * DAY)),
        ),
        (
            "ON 1-Jan-2018",
            Condition::Received(span(day * DAY, (day + 1) * DAY)),
        ),
        (
            "SINCE 1-Jan-2018",
            Condition::Received(span(day * DAY, max)),
        ),
        (
            "SAVEDON 1-Jan-2018",
            Condition::Saved(span(day * DAY, (day + 1) * DAY)),
        ),
        ("SENTBEFORE 1-Jan-2018", Condition::Sent(span(min, day))),
        ("SENTON 1-Jan-2018", Condition::Sent(span(day, day + 1))),
        ("SENTSINCE 1-Jan-2018", Condition::Sent(span(day, max))),
        ("OLDER 86400", Condition::Received(span(min, 999 * DAY + 1))),
        ("YOUNGER 86400", Condition::Received(span(999 * DAY, max))),
    ] {
        check(text, &want);
    }
}

#[test]
fn other_keys() {
    let keyword = |name: &str| Condition::Keyword(name.to_owned());
    let not = |condition| Condition::Not(Box::new(condition));
    let account = AccountId::new(7).to_string();
    for (text, want) in [
        ("ALL", Condition::And(vec![])),
        ("SEEN", keyword("$seen")),
        ("NOT SEEN", not(keyword("$seen"))),
        ("UNSEEN", not(keyword("$seen"))),
        ("UNDELETED", not(Condition::Deleted)),
        ("KEYWORD $Forwarded", keyword("$forwarded")),
        ("OLD", not(emails(&[20]))),
        (
            "NEW",
            Condition::And(vec![emails(&[20]), not(keyword("$seen"))]),
        ),
        (
            "OR SEEN DRAFT",
            Condition::Or(vec![keyword("$seen"), keyword("$draft")]),
        ),
        (
            "(SEEN DRAFT)",
            Condition::And(vec![keyword("$seen"), keyword("$draft")]),
        ),
        ("FUZZY SUBJECT x", Condition::Subject("x".to_owned())),
        (
            "MODSEQ \"/flags/\\\\draft\" all 620162338",
            Condition::ChangedSince(620_162_338),
        ),
        (&format!("EMAILID {}", EmailId::new(33)), emails(&[33])),
        (
            &format!("EMAILID {account}-{}", EmailId::new(33)),
            emails(&[33]),
        ),
        (
            &format!("THREADID {}", ThreadId::new(33)),
            Condition::Thread(33),
        ),
        ("EMAILID unheard", emails(&[])),
        ("THREADID unheard", emails(&[])),
        ("SAVEDATESUPPORTED", Condition::And(vec![])),
    ] {
        check(text, &want);
    }
}

#[test]
fn a_mailbox_that_is_not_selected_has_uids_alone() {
    let messages = Messages {
        account: AccountId::new(7),
        list: &[(3, 30), (5, 10), (9, 20)].into_iter().collect(),
        selected: None,
        now: 0,
    };
    for (text, want) in [
        ("1:*", &[][..]),
        ("UID 4:*", &[10, 20]),
        ("UID 20:*", &[20]),
        ("UID $", &[]),
        ("RECENT", &[]),
    ] {
        assert_eq!(messages.condition(&key(text)), emails(want), "{text}");
    }
}

#[test]
fn modseq_and_numbers_are_noticed_at_any_depth() {
    for (text, modseq, numbers) in [
        ("ALL", false, false),
        ("OR SEEN (DRAFT NOT MODSEQ 5)", true, false),
        ("NOT (UID 1 OR 4 5)", false, true),
        ("$", false, false),
    ] {
        let want = Mentions { modseq, numbers };
        assert_eq!(Mentions::of(&key(text)), want, "{text}");
    }
}
