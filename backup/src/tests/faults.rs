//! Killed at each write: what was there before is there, and the next run goes on.

use super::*;

/// A backup of `server` over `files`, killed after each number of writes.
async fn killed_at_each_write(files: &BTreeMap<String, Bytes>, server: &Server) {
    for writes in 0.. {
        let memory = Memory::with(files.clone(), writes);
        let repository = Repository::open(memory.clone(), &Key::None).await;
        let repository = repository.unwrap().unwrap();
        let is_done = back_up(&repository, server, 2).await.is_ok();
        tokio::task::yield_now().await;
        let left = Memory::with(memory.files(), usize::MAX);
        let repository = Repository::open(left.clone(), &Key::None).await;
        let repository = repository.unwrap().unwrap();
        assert_sound(&check(&repository).await);
        let packs = left.paths("packs/");
        let (id, record) = back_up(&repository, server, 3).await.unwrap();
        let snapshot = repository.snapshot(&id).await.unwrap();
        assert_eq!(
            restore(&snapshot).await.unwrap(),
            *server,
            "after {writes} writes"
        );
        assert_sound(&check(&repository).await);
        // A pack whose index file was written isn't put again.
        assert!(!is_done || record.added_octets == 0);
        assert!(left.paths("packs/").len() <= packs.len().max(1) + 3);
        if is_done {
            assert!(writes > 4, "the test kills nobody");
            return;
        }
    }
}

#[tokio::test]
async fn a_run_that_is_killed_at_any_write_leaves_a_whole_repository() {
    let (memory, repository) = plain().await;
    let mut server = Server::with_mails(0..50);
    killed_at_each_write(&memory.files(), &server).await;
    back_up(&repository, &server, 1).await.unwrap();
    for mail in 100..150 {
        server.add(mail);
    }
    killed_at_each_write(&memory.files(), &server).await;
}

#[tokio::test]
async fn a_prune_that_is_killed_at_any_write_leaves_a_whole_repository() {
    let (memory, repository) = plain().await;
    let server = Server::with_mails(500..700);
    back_up(&repository, &Server::with_mails(0..200), 1)
        .await
        .unwrap();
    back_up(&repository, &Server::with_mails(300..400), 2)
        .await
        .unwrap();
    back_up(&repository, &server, 3).await.unwrap();
    let keep = Keep {
        last: 1,
        ..Keep::default()
    };
    for writes in 0.. {
        let memory = Memory::with(memory.files(), writes);
        let repository = Repository::open(memory.clone(), &Key::None).await;
        let repository = repository.unwrap().unwrap();
        let pruning = async {
            let lock = lock(&repository).await?;
            prune(&repository, &lock, keep, &quiet).await?;
            lock.release().await
        };
        let is_done = pruning.await.is_ok();
        tokio::task::yield_now().await;
        let left = Memory::with(memory.files(), usize::MAX);
        let repository = Repository::open(left, &Key::None).await.unwrap().unwrap();
        let report = check(&repository).await;
        assert_sound(&report);
        let last = repository.find(None).await.unwrap();
        let snapshot = repository.snapshot(&last).await.unwrap();
        assert_eq!(restore(&snapshot).await.unwrap(), server);
        if is_done {
            assert_eq!((report.snapshots, report.unused), (1, 0));
            return;
        }
    }
}

#[tokio::test]
async fn a_repository_that_was_not_made_whole_is_made_again() {
    let passphrase = || Encryption::Passphrase(Zeroizing::new("correct horse".to_owned()));
    for writes in 0..3 {
        let memory = Memory::with(BTreeMap::new(), writes);
        let made = Repository::create(memory.clone(), new(passphrase())).await;
        assert!(made.is_err());
        let left = Memory::with(memory.files(), usize::MAX);
        assert!(
            Repository::open(left.clone(), &Key::None)
                .await
                .unwrap()
                .is_none()
        );
        Repository::create(left, new(Encryption::None))
            .await
            .unwrap();
    }
}

/// A pack that the index has is lost: its objects are stored again.
#[tokio::test]
async fn what_was_in_a_lost_pack_is_stored_again() {
    let (memory, repository) = plain().await;
    let server = Server::with_mails(0..100);
    back_up(&repository, &server, 1).await.unwrap();
    for path in memory.paths("packs/") {
        memory.files.lock().remove(&path);
    }
    assert!(!check(&repository).await.problems.is_empty());
    let (id, _) = back_up(&repository, &server, 2).await.unwrap();
    let snapshot = repository.snapshot(&id).await.unwrap();
    assert_eq!(restore(&snapshot).await.unwrap(), server);
}
