use std::fs;

use super::*;

#[test]
fn words_are_found_in_their_fields() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    let mut mail = text(&[
        (Field::From, "Alice Müller <alice@mail.example.org>"),
        (Field::To, "Bob <bob@example.com>"),
        (Field::To, "Carol <carol@example.net>"),
        (Field::Subject, "Grüße aus Köln"),
        (
            Field::Body,
            "Don't panic: the \"quick\" brown fox. 日本語のメール",
        ),
        (Field::Attachment, "invoice-2024.pdf"),
    ]);
    mail.push_header("List-Id", "<dev.lists.example.org>");
    let document = Document {
        key: key(1, 7),
        text: mail,
    };
    apply(&index, 1, vec![Change::Upsert(document)]);
    let check = |scope: Scope, text: &str, found: bool| {
        let want: &[u64] = if found { &[7] } else { &[] };
        assert_eq!(
            find(&index, 1, scope.clone(), text),
            want,
            "{text:?} in {scope:?}"
        );
    };
    for word in [
        "alice@mail.example.org",
        "alice",
        "example.org",
        "example",
        "MULLER",
        "grusse köln",
    ] {
        check(Scope::Any, word, true);
    }
    for word in [
        "don't",
        "\"panic the quick brown\"",
        "invoice",
        "2024.pdf",
        "日本",
        "語",
        "日本語",
        "fox alice",
    ] {
        check(Scope::Any, word, true);
    }
    for word in [
        "alic",
        "\"brown quick\"",
        "語日",
        "日語",
        "\"com carol\"",
        "fox cat",
        "dev",
    ] {
        check(Scope::Any, word, false);
    }
    check(Scope::Field(Field::From), "alice", true);
    check(Scope::Field(Field::To), "alice", false);
    check(Scope::Field(Field::To), "bob carol", true);
    check(Scope::Header("LIST-ID".into()), "lists.example", true);
    check(Scope::Header("X-Other".into()), "lists.example", false);
    let has = |name: &str| {
        let query = Query::HasHeader(name.into());
        index.search(1, KIND, &query, 9).unwrap().ids
    };
    assert_eq!(has("list-id"), [7]);
    assert_eq!(has("list"), [0; 0]);
    assert_eq!(find(&index, 2, Scope::Any, "alice"), [0; 0]);
    assert_eq!(
        index.search(1, KIND + 1, &Query::all(), 9).unwrap().ids,
        [0; 0]
    );
}

#[test]
fn batches_may_be_applied_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = || {
        vec![
            upsert(1, 1, &[(Field::Subject, "old")]),
            upsert(1, 2, &[(Field::Subject, "two")]),
            upsert(1, 1, &[(Field::Subject, "new")]),
        ]
    };
    let second = || {
        vec![
            Change::Delete(key(1, 2)),
            Change::Delete(key(1, 99)),
            upsert(1, 3, &[]),
        ]
    };
    let check = |index: &SearchIndex, word: &str, want: &[u64]| {
        assert_eq!(find(index, 1, Scope::Any, word), want, "{word:?}");
    };
    let index = open(folder.path());
    assert_eq!(index.status(index.shard_of(1)).unwrap(), ShardStatus::Empty);
    for _ in 0..3 {
        apply(&index, 1, first());
        check(&index, "old", &[]);
        check(&index, "new", &[1]);
        check(&index, "", &[1, 2]);
    }
    drop(index);
    // As after a crash between the commit and the caller's cursor.
    let index = open(folder.path());
    assert_eq!(index.status(index.shard_of(1)).unwrap(), ShardStatus::Ready);
    apply(&index, 1, first());
    for _ in 0..3 {
        apply(&index, 1, second());
        check(&index, "two", &[]);
        check(&index, "", &[1, 3]);
    }
    assert_eq!(index.stats(index.shard_of(1)).unwrap().documents, 2);
    index.verify(index.shard_of(1)).unwrap();
}

#[test]
fn accounts_are_deleted_whole() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    let shard = index.shard_of(1);
    let other = (2..)
        .find(|account| index.shard_of(*account) == shard)
        .unwrap();
    let outside = (2..)
        .find(|account| index.shard_of(*account) != shard)
        .unwrap();
    let mail = |account, id| upsert(account, id, &[(Field::Body, "text")]);
    index
        .apply(shard, vec![mail(1, 1), mail(other, 1), mail(1, 2)])
        .unwrap();
    index
        .apply(
            shard,
            vec![mail(1, 3), Change::DeleteAccount(1), mail(1, 4)],
        )
        .unwrap();
    assert_eq!(find(&index, 1, Scope::Any, "text"), [4]);
    assert_eq!(find(&index, other, Scope::Any, "text"), [1]);
    let refused = index.apply(shard, vec![mail(1, 9), mail(outside, 1)]);
    assert!(matches!(refused, Err(SearchError::WrongShard { .. })));
    assert_eq!(find(&index, 1, Scope::Any, "text"), [4]);
    assert!(matches!(
        index.stats(2),
        Err(SearchError::WrongShard { shard: 2 })
    ));
}

#[test]
fn hits_are_limited_to_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    let mails = (0..10)
        .rev()
        .map(|id| upsert(1, id, &[(Field::Body, "text")]));
    apply(&index, 1, mails.collect());
    let search = |limit| index.search(1, KIND, &Query::all(), limit).unwrap();
    assert_eq!(search(3).ids, [7, 8, 9]);
    assert!(search(9).truncated);
    assert!(!search(10).truncated);
    assert!(search(10).contains(5) && !search(2).contains(5));
}

#[test]
fn many_small_batches_are_merged() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    for id in 0..60 {
        apply(&index, 1, vec![upsert(1, id, &[(Field::Body, "text")])]);
    }
    let stats = index.stats(index.shard_of(1)).unwrap();
    assert!(stats.segments <= 12, "{stats:?}");
    assert_eq!(find(&index, 1, Scope::Any, "text").len(), 60);
}

#[test]
fn long_and_hostile_texts_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    let words: String = (0..150_000).map(|n| format!("w{n} ")).collect();
    let hostile = "\0\u{FFFD}\u{202E}\u{301}\u{301}\u{FDFA}:".repeat(1000);
    let mut mail = text(&[(Field::Body, &words), (Field::Subject, &hostile)]);
    for n in 0..TEXTS_MAX {
        mail.push(Field::To, format!("to{n}"));
    }
    mail.push_header(":\0".repeat(10_000), hostile.repeat(100));
    let huge = "x".repeat(BODY_OCTETS_MAX * 2);
    let other = text(&[(Field::Body, &huge), (Field::Body, "late")]);
    let changes = vec![
        Change::Upsert(Document {
            key: key(1, u64::MAX),
            text: mail,
        }),
        Change::Upsert(Document {
            key: key(1, 0),
            text: other,
        }),
    ];
    apply(&index, 1, changes);
    assert_eq!(find(&index, 1, Scope::Any, "w99999"), [u64::MAX]);
    assert_eq!(find(&index, 1, Scope::Any, "w100000"), [0; 0]);
    assert_eq!(find(&index, 1, Scope::Any, "to4000"), [u64::MAX]);
    assert_eq!(find(&index, 1, Scope::Any, "to4094"), [0; 0]);
    assert_eq!(find(&index, 1, Scope::Any, &huge), [0]);
    assert_eq!(find(&index, 1, Scope::Any, "late"), [0; 0]);
}

/// What a shard says of itself after its files were changed.
fn damage(change: impl Fn(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    let shard = index.shard_of(1);
    apply(&index, 1, vec![upsert(1, 1, &[(Field::Body, "text")])]);
    drop(index);
    change(&folder.path().join(format!("shard-{shard:05}")));
    let index = open(folder.path());
    let damaged = index.verify(shard);
    assert!(
        matches!(damaged, Err(SearchError::NeedsRebuild { .. })),
        "{damaged:?}"
    );
    assert!(matches!(
        index.status(shard).unwrap(),
        ShardStatus::NeedsRebuild(_)
    ));
    let found = index.search(1, KIND, &Query::all(), 1);
    assert!(
        matches!(found, Err(SearchError::NeedsRebuild { .. })),
        "{found:?}"
    );
    let other = (0..)
        .find(|account| index.shard_of(*account) != shard)
        .unwrap();
    assert_eq!(find(&index, other, Scope::Any, "text"), [0; 0]);
    index.reset(shard).unwrap();
    assert_eq!(index.status(shard).unwrap(), ShardStatus::Empty);
    apply(&index, 1, vec![upsert(1, 2, &[(Field::Body, "text")])]);
    assert_eq!(find(&index, 1, Scope::Any, "text"), [2]);
}

fn each_file(shard: &Path, ending: &str, change: impl Fn(&Path)) {
    for entry in fs::read_dir(shard).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().ends_with(ending) {
            change(&path);
        }
    }
}

#[test]
fn damage_asks_for_a_rebuild() {
    damage(|shard| {
        fs::write(shard.join("format"), "posthorn search index 99, 2 shards\n").unwrap()
    });
    damage(|shard| fs::remove_file(shard.join("format")).unwrap());
    damage(|shard| fs::remove_file(shard.join("meta.json")).unwrap());
    damage(|shard| fs::write(shard.join("meta.json"), "{}").unwrap());
    damage(|shard| fs::write(shard.join("meta.json"), "").unwrap());
    for ending in [".idx", ".pos", ".term", ".fast"] {
        damage(|shard| each_file(shard, ending, |path| fs::remove_file(path).unwrap()));
        damage(|shard| each_file(shard, ending, |path| fs::write(path, "short").unwrap()));
        damage(|shard| {
            each_file(shard, ending, |path| {
                let mut octets = fs::read(path).unwrap();
                octets[0] ^= 0xFF;
                fs::write(path, octets).unwrap();
            })
        });
    }
    damage(|shard| {
        let meta = fs::read_to_string(shard.join("meta.json")).unwrap();
        fs::write(
            shard.join("meta.json"),
            meta.replace("\"subject\"", "\"topic\""),
        )
        .unwrap();
    });
}

#[test]
fn another_number_of_shards_asks_for_a_rebuild() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let options = SearchOptions {
        shards: 3,
        ..SearchOptions::default()
    };
    let index = SearchIndex::open(folder.path(), &options).unwrap();
    assert!(matches!(
        index.status(0).unwrap(),
        ShardStatus::NeedsRebuild(_)
    ));
    assert_eq!(index.status(2).unwrap(), ShardStatus::Empty);
}

#[test]
fn an_index_whose_memory_was_trimmed_answers_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    let shard = index.shard_of(1);
    let open_files = || {
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let of_index = format!("{}/", folder.path().display());
        maps.lines().filter(|line| line.contains(&of_index)).count()
    };
    let needle = Needle::new("lph");
    let containing = || index.containing(1, KIND, &needle, Place::Anywhere).unwrap();
    apply(&index, 1, vec![upsert(1, 1, &[(Field::Body, "alpha")])]);
    assert_eq!(find(&index, 1, Scope::Any, "alpha"), [1]);
    let before = (containing(), index.stats(shard).unwrap());
    assert!(cfg!(not(target_os = "linux")) || open_files() > 0);
    index.trim_memory();
    assert_eq!(open_files(), 0);
    assert_eq!((containing(), index.stats(shard).unwrap()), before);
    assert_eq!(find(&index, 1, Scope::Any, "alpha"), [1]);

    // What is written while the files are closed is found, and replaces what it should.
    index.trim_memory();
    apply(&index, 1, vec![upsert(1, 1, &[(Field::Body, "beta")])]);
    index.trim_memory();
    apply(&index, 1, vec![upsert(1, 2, &[(Field::Body, "beta")])]);
    assert_eq!(find(&index, 1, Scope::Any, "beta"), [1, 2]);
    assert_eq!(find(&index, 1, Scope::Any, "alpha"), [0; 0]);
    assert_eq!(index.status(shard).unwrap(), ShardStatus::Ready);
}

#[test]
fn damage_while_the_files_are_closed_is_told_from_no_matches() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    let shard = index.shard_of(1);
    apply(&index, 1, vec![upsert(1, 1, &[(Field::Body, "alpha")])]);
    index.trim_memory();
    let of_shard = folder.path().join(format!("shard-{shard:05}"));
    for entry in fs::read_dir(of_shard).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "term")
        {
            fs::remove_file(path).unwrap();
        }
    }
    let query = Query::text(Scope::Any, "alpha");
    let found = index.search(1, KIND, &query, 9);
    assert!(
        matches!(found, Err(SearchError::NeedsRebuild { .. })),
        "{found:?}"
    );
    index.reset(shard).unwrap();
    assert_eq!(find(&index, 1, Scope::Any, "alpha"), [0; 0]);
}

/// tantivy's list of files is written with each commit, and what isn't in it is found at the next start.
#[test]
fn what_an_interrupted_write_left_behind_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    apply(&index, 1, vec![upsert(1, 1, &[(Field::Body, "kept")])]);
    let shard = folder
        .path()
        .join(format!("shard-{:05}", index.shard_of(1)));
    drop(index);
    let listed = fs::read_to_string(shard.join(".managed.json")).unwrap();
    let files = || {
        let entries = fs::read_dir(&shard).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        names
    };
    let before = files();
    for name in before.iter().filter(|name| *name != "format") {
        assert!(listed.contains(name.as_str()), "{name} in {listed}");
    }
    let segment = "0123456789abcdef0123456789abcdef";
    for ending in ["term", "store", "idx"] {
        fs::write(shard.join(format!("{segment}.{ending}")), "half").unwrap();
    }
    let index = open(folder.path());
    assert_eq!(files(), before);
    index.verify(index.shard_of(1)).unwrap();
    apply(&index, 1, vec![upsert(1, 2, &[(Field::Body, "kept")])]);
    assert_eq!(find(&index, 1, Scope::Field(Field::Body), "kept"), [1, 2]);
}
