//! Who goes next.

use std::{sync::Arc, time::Duration};

use jmap_types::AccountId;

use super::super::{
    board::{Board, Door, HERE, Item, Name, Started, Verdict},
    settings::{Delivery, DomainLimits, QueueRate},
};

fn board(domain: DomainLimits, at_once: usize) -> Board {
    let mut board = Board::default();
    board.settings = Arc::new(Delivery {
        domain,
        at_once,
        ..Delivery::default()
    });
    board
}

fn add(board: &mut Board, id: u64, place: &str, priority: i8) -> Item {
    let item = (AccountId::new(1), id);
    board.begin_admission(item).unwrap();
    let lanes = vec![Name::from(place)];
    board.end_admission(item, (lanes, Vec::new()), (priority, id), 0);
    item
}

fn next(board: &mut Board, now: u64) -> Option<(u64, String)> {
    started(board, now).map(|started| (started.item.1, started.place.to_string()))
}

fn started(board: &mut Board, now: u64) -> Option<Started> {
    board.next(now)
}

const ONE: DomainLimits = DomainLimits {
    at_once: 1,
    rate: None,
};

#[test]
fn priorities_first_then_who_was_served_least_lately() {
    let mut board = board(ONE, 10);
    add(&mut board, 1, "a", 0);
    add(&mut board, 2, "a", 0);
    add(&mut board, 3, "b", 0);
    add(&mut board, 4, "a", 5);
    let first = started(&mut board, 0).unwrap();
    assert_eq!(first.item.1, 4);
    assert_eq!(next(&mut board, 0), Some((3, "b".into())));
    assert_eq!(next(&mut board, 0), None);
    board.finish(&first, Verdict::Works, None, (0, 0));
    assert_eq!(next(&mut board, 0), Some((1, "a".into())));
}

#[test]
fn local_mail_has_room_of_its_own() {
    let mut board = board(ONE, 1);
    add(&mut board, 1, "a", 0);
    add(&mut board, 2, "b", 0);
    add(&mut board, 3, HERE, 0);
    assert_eq!(next(&mut board, 0), Some((3, "".into())));
    assert_eq!(next(&mut board, 0), Some((1, "a".into())));
    add(&mut board, 4, HERE, 0);
    assert_eq!(next(&mut board, 0), Some((4, "".into())));
    assert_eq!(next(&mut board, 0), None);
}

#[test]
fn a_host_that_fails_is_left_alone_and_then_tried_by_one() {
    let limits = DomainLimits {
        at_once: 5,
        rate: None,
    };
    let mut board = board(limits, 10);
    for id in 1..=6 {
        add(&mut board, id, "a", 0);
    }
    let first = started(&mut board, 0).unwrap();
    let second = started(&mut board, 0).unwrap();
    board.finish(&first, Verdict::HostFails("no route".into()), None, (0, 0));
    assert_eq!(next(&mut board, 59_999), None);
    assert_eq!(board.next_tick(), None);
    board.finish(&second, Verdict::Unknown, None, (59_999, 0));
    assert_eq!(board.next_tick(), Some(60_000));
    assert!(matches!(
        board.door("a", 59_999),
        Door::BacksOff { ms: 1, .. }
    ));
    let third = started(&mut board, 60_000).unwrap();
    assert_eq!(next(&mut board, 60_000), None);
    board.finish(&third, Verdict::HostFails("no".into()), None, (60_000, 0));
    // It doubles.
    assert_eq!(board.next_tick(), Some(180_000));
    let fourth = started(&mut board, 180_000).unwrap();
    board.finish(&fourth, Verdict::Works, None, (180_000, 0));
    assert!(next(&mut board, 180_000).is_some() && next(&mut board, 180_000).is_some());
}

#[test]
fn a_greylist_is_not_a_dead_host() {
    let mut board = board(ONE, 10);
    for id in 1..=6 {
        add(&mut board, id, "a", 0);
    }
    for _ in 0..5 {
        let one = started(&mut board, 0).unwrap();
        board.finish(&one, Verdict::TookNothing("450".into()), None, (0, 0));
    }
    // But one that takes nothing of anybody is.
    assert_eq!(next(&mut board, 0), None);
}

#[test]
fn a_rate_is_kept() {
    let rate = QueueRate {
        count: 2,
        per: Duration::from_secs(10),
    };
    let limits = DomainLimits {
        at_once: 10,
        rate: Some(rate),
    };
    let mut board = board(limits, 10);
    for id in 1..=5 {
        add(&mut board, id, "a", 0);
    }
    let count = |board: &mut Board, now| std::iter::from_fn(|| next(board, now)).count();
    assert_eq!(count(&mut board, 0), 2);
    assert_eq!(board.next_tick(), Some(5000));
    assert_eq!(count(&mut board, 4999), 0);
    assert_eq!(count(&mut board, 5000), 1);
    assert_eq!(count(&mut board, 15_000), 2);
}

#[test]
fn what_waits_for_one_destination_is_bounded() {
    let mut board = board(ONE, 1);
    for id in 0..super::super::board::WAITING_MAX as u64 {
        assert_eq!(board.door("a", 0), Door::Open);
        add(&mut board, id, "a", 0);
    }
    assert_eq!(board.door("a", 0), Door::Crowded);
    assert_eq!(board.door("b", 0), Door::Open);
}

#[test]
fn long_lines_leave_room_for_others() {
    let mut board = board(ONE, 1);
    let mut id = 0;
    // Many destinations, each with more than goes in.
    for place in 0..50 {
        let place = format!("d{place}");
        while board.door(&place, 0) == Door::Open && !board.is_full() {
            add(&mut board, id, &place, 0);
            id += 1;
        }
    }
    assert!(!board.is_full(), "{} are held", board.len());
    assert_eq!(board.door("new", 0), Door::Open);
    add(&mut board, id, "new", 0);
    assert_eq!(board.door("d0", 0), Door::Crowded);
}

#[test]
fn destinations_of_few_submissions_are_bounded_too() {
    let mut board = board(ONE, 1);
    let (mut id, mut lanes) = (0, 0);
    while !board.is_full() {
        let item = (AccountId::new(1), id);
        board.begin_admission(item).unwrap();
        let of_one: Vec<Name> = (0..1000).map(|n| Name::from(format!("d{n}"))).collect();
        lanes += of_one.len();
        board.end_admission(item, (of_one, Vec::new()), (0, id), 0);
        id += 1;
    }
    assert_eq!(lanes, super::super::board::LANES_MAX);
    let one = started(&mut board, 0).unwrap();
    board.finish(&one, Verdict::Works, None, (0, 0));
    assert!(!board.is_full());
}

#[test]
fn who_is_due_while_the_lane_runs_is_not_forgotten() {
    let limits = DomainLimits {
        at_once: 2,
        rate: None,
    };
    let mut board = board(limits, 10);
    let item = (AccountId::new(1), 1);
    board.begin_admission(item).unwrap();
    // One recipient at `a` is due now and another later; `b` takes its time, and keeps the submission in memory.
    let (now, later) = (vec!["a".into(), "b".into()], vec![(100, Name::from("a"))]);
    board.end_admission(item, (now, later), (0, 1), 0);
    let a = started(&mut board, 0).unwrap();
    let _b = started(&mut board, 0).unwrap();
    assert_eq!(&*a.place, "a");
    assert_eq!(next(&mut board, 100), None);
    board.finish(&a, Verdict::Works, None, (200, 0));
    assert_eq!(next(&mut board, 10_100), Some((1, "a".into())));
}

#[test]
fn destinations_are_forgotten_when_there_are_too_many() {
    let mut board = board(ONE, 1);
    for id in 0..super::super::board::PLACES_MAX as u64 + 1 {
        add(&mut board, id, &format!("d{id}"), 0);
        let one = started(&mut board, 0).unwrap();
        board.finish(&one, Verdict::HostFails("no".into()), None, (0, 0));
    }
    assert!(board.states(0).len() <= super::super::board::PLACES_MAX);
    assert_eq!(board.len(), 0);
}
