//! Damage: each octet that is flipped, and each file that is lost, is found.

use super::*;

async fn found(files: BTreeMap<String, Bytes>, key: &Key) -> Vec<String> {
    let memory = Memory::with(files, usize::MAX);
    match Repository::open(memory, key).await {
        Ok(Some(repository)) => check(&repository).await.problems,
        Ok(None) => vec!["there is no repository".to_owned()],
        Err(error) => vec![error.to_string()],
    }
}

async fn each_kind_of_damage(memory: &Memory, key: &Key) {
    let files = memory.files();
    assert_eq!(found(files.clone(), key).await, Vec::<String>::new());
    for (path, file) in &files {
        // At both ends, in the middle, and some more.
        let places = [
            0,
            3,
            8,
            9,
            40,
            file.len() / 3,
            file.len() / 2,
            file.len() - 1,
        ];
        for at in places.into_iter().filter(|at| *at < file.len()) {
            let mut damaged = file.to_vec();
            damaged[at] ^= 0x10;
            let mut files = files.clone();
            files.insert(path.clone(), damaged.into());
            assert!(!found(files, key).await.is_empty(), "{path}, octet {at}");
        }
        let mut cut = files.clone();
        cut.insert(path.clone(), file.slice(..file.len() - 1));
        assert!(!found(cut, key).await.is_empty(), "{path}, cut");
        let mut lost = files.clone();
        lost.remove(path);
        // That a snapshot is gone as a whole is what pruning does as well.
        if !path.starts_with("snapshots/") {
            assert!(!found(lost, key).await.is_empty(), "{path}, lost");
        }
    }
}

#[tokio::test]
async fn is_found() {
    let (memory, repository) = plain().await;
    back_up(&repository, &Server::with_mails(0..40), 1)
        .await
        .unwrap();
    back_up(&repository, &Server::with_mails(0..50), 2)
        .await
        .unwrap();
    each_kind_of_damage(&memory, &Key::None).await;
}

#[tokio::test]
async fn is_found_where_all_is_encrypted() {
    let memory = Memory::new();
    let encryption = Encryption::Recipients(vec![RECIPIENT.to_owned()]);
    let repository = Repository::create(memory.clone(), new(encryption))
        .await
        .unwrap();
    back_up(&repository, &Server::with_mails(0..20), 1)
        .await
        .unwrap();
    let key = Key::Identity(Zeroizing::new(IDENTITY.to_owned()));
    each_kind_of_damage(&memory, &key).await;
}

fn with_damaged(files: &BTreeMap<String, Bytes>, path: &str) -> Arc<Memory> {
    let mut damaged = files[path].to_vec();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x10;
    let mut files = files.clone();
    files.insert(path.to_owned(), damaged.into());
    Memory::with(files, usize::MAX)
}

/// Each file of the index or of refs damaged: all is there to be read by its id, and the next backup works, also for who can't read
/// what is there. With a key it makes the index whole; without, what that file had is stored again.
async fn the_index_is_worth_no_mail(encryption: Encryption, key: &Key) {
    let memory = Memory::new();
    let repository = Repository::create(memory.clone(), new(encryption)).await;
    let repository = repository.unwrap();
    let naming = repository.naming_key();
    let repository = open(memory.clone(), key).await;
    let servers = [Server::with_mails(0..40), Server::with_mails(0..50)];
    let mut ids = Vec::new();
    for (time, server) in (1..).zip(&servers) {
        ids.push(back_up(&repository, server, time).await.unwrap().0);
    }
    let files = memory.files();
    for path in memory.paths("index/").iter().chain(&memory.paths("refs/")) {
        let memory = with_damaged(&files, path);
        let repository = open(memory.clone(), key).await;
        assert_restored(&repository, &ids, &servers).await;
        let closed = match &naming {
            Some(naming) => open(memory.clone(), &Key::None)
                .await
                .with_naming_key(**naming),
            None => repository.clone(),
        };
        let last = Server::with_mails(0..60);
        let (id, _) = back_up(&closed, &last, 3).await.unwrap();
        let repository = open(memory.clone(), key).await;
        assert_restored(
            &repository,
            &[ids[0], ids[1], id],
            &[&servers[..], &[last]].concat(),
        )
        .await;
        back_up(&repository, &servers[0], 4).await.unwrap();
        if path.starts_with("index/") {
            assert_sound(&check(&repository).await);
        }
    }
}

async fn open(memory: Arc<Memory>, key: &Key) -> Repository {
    Repository::open(memory, key).await.unwrap().unwrap()
}

async fn assert_restored(repository: &Repository, ids: &[Name], servers: &[Server]) {
    for (id, server) in ids.iter().zip(servers) {
        let id = repository.find(Some(&id.to_string())).await.unwrap();
        let snapshot = repository.snapshot(&id).await.unwrap();
        assert_eq!(restore(&snapshot).await.unwrap(), *server);
    }
}

#[tokio::test]
async fn of_the_index_costs_no_mail() {
    the_index_is_worth_no_mail(Encryption::None, &Key::None).await;
}

#[tokio::test]
async fn of_the_index_costs_no_mail_where_all_is_encrypted() {
    let encryption = Encryption::Recipients(vec![RECIPIENT.to_owned()]);
    let key = Key::Identity(Zeroizing::new(IDENTITY.to_owned()));
    the_index_is_worth_no_mail(encryption, &key).await;
}

/// A pack of blobs that is damaged costs those that are in it, and is read once for all of them.
#[tokio::test]
async fn of_a_pack_costs_what_is_in_it() {
    let (memory, repository) = plain().await;
    for (time, mails) in [(1, 40), (2, 50)] {
        let server = Server::with_mails(0..mails);
        back_up(&repository, &server, time).await.unwrap();
    }
    let (files, server) = (memory.files(), Server::with_mails(0..60));
    let mut costs = Vec::new();
    for path in memory.paths("packs/") {
        let memory = with_damaged(&files, &path);
        let repository = open(memory.clone(), &Key::None).await;
        let (id, _) = back_up(&repository, &server, 3).await.unwrap();
        let snapshot = repository.snapshot(&id).await.unwrap();
        let (mut found, mut lost) = (0, 0);
        for (name, octets) in &server.blobs {
            match snapshot.blob(name).await {
                Ok(Some(read)) => found += u64::from(read == octets),
                Err(error) if error.is_loss() => lost += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(found + lost, 60);
        costs.push(lost);
        // Who takes the damaged file away has what was in it stored again.
        memory.delete(&path).await.unwrap();
        let (id, _) = back_up(&repository, &server, 4).await.unwrap();
        let snapshot = repository.snapshot(&id).await.unwrap();
        assert_eq!(restore(&snapshot).await.unwrap(), server);
    }
    costs.sort_unstable();
    // Two packs have leaves, and two blobs.
    assert_eq!(costs, [0, 0, 10, 40]);
}

/// Files that are right in themselves, and don't fit together.
#[tokio::test]
async fn a_pack_in_the_place_of_another_is_found() {
    let (memory, repository) = plain().await;
    back_up(&repository, &Server::with_mails(0..40), 1)
        .await
        .unwrap();
    let packs = memory.paths("packs/");
    let mut files = memory.files();
    let other = files[&packs[1]].clone();
    files.insert(packs[0].clone(), other);
    assert!(!found(files, &Key::None).await.is_empty());
}

/// Without reading all, the rows are read and each blob is looked for.
#[tokio::test]
async fn a_lost_blob_is_found_without_reading_all() {
    let (memory, repository) = plain().await;
    back_up(&repository, &Server::with_mails(0..40), 1)
        .await
        .unwrap();
    for path in memory.paths("packs/") {
        let mut files = memory.files();
        files.remove(&path);
        let memory = Memory::with(files, usize::MAX);
        let repository = Repository::open(memory, &Key::None).await.unwrap().unwrap();
        let report = verify(&repository, VerifyOptions::default(), &quiet).await;
        assert!(!report.unwrap().problems.is_empty());
    }
}

/// What was stored wrongly has the right name, as a file: each object has one too.
#[test]
fn an_object_that_is_not_what_its_name_says_is_found() {
    for (octets, is_right) in [(b"one", true), (b"two", false)] {
        let mut builder = crate::pack::Builder::default();
        builder.add(Name::of(b"one"), octets);
        let content = builder.build().unwrap();
        let pack = crate::pack::Pack::parse("packs/00/x", &content);
        assert_eq!(pack.is_ok(), is_right);
    }
}

/// Also where nobody can look into it.
#[tokio::test]
async fn a_file_that_is_not_what_its_name_says_is_found_without_a_key() {
    let memory = Memory::new();
    let encryption = Encryption::Recipients(vec![RECIPIENT.to_owned()]);
    let repository = Repository::create(memory.clone(), new(encryption))
        .await
        .unwrap();
    back_up(&repository, &Server::with_mails(0..20), 1)
        .await
        .unwrap();
    assert!(found(memory.files(), &Key::None).await.is_empty());
    for path in memory.paths("packs/") {
        let mut files = memory.files();
        let mut octets = files[&path].to_vec();
        *octets.last_mut().unwrap() ^= 1;
        files.insert(path, octets.into());
        assert!(!found(files, &Key::None).await.is_empty());
    }
}
