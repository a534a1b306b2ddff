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
