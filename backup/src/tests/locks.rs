//! The lock: one at a time, and never for ever.

use std::time::Duration;

use super::*;
use crate::records::{Framed as _, LockRecord};

fn owner(id: u64) -> LockOwner {
    LockOwner {
        id,
        hostname: format!("mx{id}.example.org"),
        purpose: "a backup".to_owned(),
    }
}

async fn take(repository: &Repository, id: u64) -> Result<Lock, Error> {
    repository
        .lock(owner(id), LockTimes::default(), &quiet)
        .await
}

#[tokio::test(start_paused = true)]
async fn a_second_one_is_refused_while_the_first_lives() {
    let (memory, repository) = plain().await;
    let first = take(&repository, 1).await.unwrap();
    let refused = take(&repository, 2).await.unwrap_err().to_string();
    assert_eq!(
        refused,
        "the backup is in use: mx1.example.org is busy with a backup"
    );
    first.check().await.unwrap();
    first.release().await.unwrap();
    take(&repository, 2).await.unwrap().release().await.unwrap();
    assert!(memory.paths("locks/").is_empty());
}

fn record(machine: &str, process: u32, started: u64) -> Bytes {
    let record = LockRecord {
        purpose: "a backup".to_owned(),
        hostname: "mx9.example.org".to_owned(),
        machine: machine.to_owned(),
        process,
        started,
        beat: 5,
    };
    record.to_frame().into()
}

#[tokio::test(start_paused = true)]
async fn one_of_another_machine_that_does_not_move_is_taken_away() {
    let (memory, repository) = plain().await;
    memory
        .put("locks/0000000000000009", record("elsewhere", 1, 1))
        .await
        .unwrap();
    let began = tokio::time::Instant::now();
    let lock = take(&repository, 1).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(60));
    assert_eq!(memory.paths("locks/").len(), 1);
    lock.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_of_a_process_here_that_is_no_more_goes_at_once() {
    let (memory, repository) = plain().await;
    let own = take(&repository, 1).await.unwrap();
    let file = memory.files()["locks/0000000000000001"].clone();
    own.release().await.unwrap();
    let mut dead = LockRecord::from_frame("", &file).unwrap();
    // The number of a process is used again; when it began is not.
    dead.started += 1;
    memory
        .put("locks/0000000000000009", dead.to_frame().into())
        .await
        .unwrap();
    let began = tokio::time::Instant::now();
    take(&repository, 1).await.unwrap().release().await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_has_lost_it_writes_no_snapshot() {
    let (memory, repository) = plain().await;
    let lock = take(&repository, 1).await.unwrap();
    let writer = Writer::new(&repository).await.unwrap();
    memory.delete("locks/0000000000000001").await.unwrap();
    let finished = writer.finish(&lock, SnapshotRecord::default()).await;
    assert!(matches!(finished, Err(Error::LockLost)));
    assert!(memory.paths("snapshots/").is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_has_lost_it_removes_nothing() {
    let (memory, repository) = plain().await;
    for time in 1..=2 {
        back_up(&repository, &Server::with_mails(0..9), time)
            .await
            .unwrap();
    }
    let lock = take(&repository, 1).await.unwrap();
    memory.delete("locks/0000000000000001").await.unwrap();
    let before = memory.files();
    let keep = Keep {
        last: 1,
        ..Keep::default()
    };
    let pruned = prune(&repository, &lock, keep, &quiet).await;
    assert!(matches!(pruned, Err(Error::LockLost)));
    assert_eq!(memory.files(), before);
}

#[tokio::test]
async fn who_is_dropped_lets_others_go_on() {
    let (memory, repository) = plain().await;
    drop(take(&repository, 1).await.unwrap());
    while !memory.paths("locks/").is_empty() {
        tokio::task::yield_now().await;
    }
}
