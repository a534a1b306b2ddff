//! Records as lines and back, files that rotate, what is found, who follows.

use std::{
    fs::{self, File},
    io,
    os::unix::net::UnixDatagram,
    path::Path,
    time::Duration,
};

use serde_json::{Map, json};

use super::{
    file::{RotatingFile, Rules},
    journal,
    recent::{Next, Recent},
    record::{Level, Record, Times},
    search::{self, Wanted},
};

fn record(time_us: u64, level: Level, message: &str) -> Record {
    let mut fields = Map::new();
    fields.insert("peer".into(), json!("192.0.2.1"));
    fields.insert("count".into(), json!(3));
    Record {
        time_us,
        level,
        target: "smtp::server".into(),
        message: message.into(),
        fields,
    }
}

#[test]
fn lines_are_read_as_they_were_written() {
    let of = record(1_800_000_000_000_123, Level::Warn, "one\ntwo \"three\"");
    let json = of.json_line();
    assert_eq!(
        json,
        "{\"count\":3,\"level\":\"WARN\",\"message\":\"one\\ntwo \\\"three\\\"\",\"peer\":\"192.0.2.1\",\"target\":\"smtp::server\",\"timestamp\":\"2027-01-15T08:00:00.000123Z\"}\n"
    );
    assert_eq!(search::parse(json.trim_end().as_bytes()), Some(of.clone()));
    let text = of.text_line(false);
    assert_eq!(
        text,
        "2027-01-15T08:00:00.000123Z  WARN smtp::server: one\\ntwo \"three\" count=3 peer=192.0.2.1\n"
    );
    let read = search::parse(text.trim_end().as_bytes()).unwrap();
    assert_eq!((read.time_us, read.level), (of.time_us, of.level));
    assert_eq!(read.target, of.target);
    for wrong in [
        "",
        "x",
        "{",
        "{}",
        "2027-01-15T08:00:00Z WARN a: b",
        "panicked at",
    ] {
        assert_eq!(search::parse(wrong.as_bytes()), None, "{wrong}");
    }
}

#[test]
fn times_grow() {
    let times = Times::default();
    let all: Vec<u64> = (0..1000).map(|_| times.next()).collect();
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn memory_is_bounded_and_who_is_too_slow_is_told() {
    let one = record(1, Level::Info, "x").octets();
    let recent = Recent::new(10 * one);
    let mut follower = recent.follow(None);
    for time in 1..=25 {
        recent.push(record(time, Level::Info, "x"));
    }
    let times: Vec<u64> = recent.all().iter().map(|of| of.time_us).collect();
    assert_eq!(times, (16..=25).collect::<Vec<u64>>());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        assert_eq!(follower.next(&recent).await, Some(Next::Missed(15)));
        for time in 16..=25 {
            match follower.next(&recent).await {
                Some(Next::Record(of)) => assert_eq!(of.time_us, time),
                other => panic!("{other:?}"),
            }
        }
        let mut later = recent.follow(Some(23));
        assert!(matches!(later.next(&recent).await, Some(Next::Record(of)) if of.time_us == 24));
        recent.end();
        assert_eq!(follower.next(&recent).await, None);
        assert_eq!(later.next(&recent).await, None);
    });
    // One that is larger than all memory is there all the same.
    recent.push(record(99, Level::Info, &"y".repeat(20 * one)));
    assert_eq!(recent.all().len(), 1);
}

#[test]
fn files_rotate_and_all_of_them_are_searched() {
    let folder = tempfile::tempdir().unwrap();
    let rules = Rules {
        path: folder.path().join("deep/posthorn.log"),
        octets_max: 2000,
        age_max: Duration::ZERO,
        keep: 3,
    };
    let file = RotatingFile::open(rules.clone()).unwrap();
    let begin = 1_800_000_000_000_000;
    for number in 0..60 {
        let level = if number % 10 == 0 {
            Level::Error
        } else {
            Level::Info
        };
        let of = record(begin + number, level, &format!("line {number}"));
        file.write(&of.json_line(), of.time_us).unwrap();
    }
    let paths = file.paths();
    assert_eq!(paths.len(), 4);
    for path in &paths {
        let octets = fs::metadata(path).unwrap().len();
        assert!(octets <= 2000, "{octets}");
    }
    assert!(!folder.path().join("deep/posthorn.log.4").exists());
    // What is in memory as well is found once.
    let recent = Recent::new(1 << 20);
    for number in 50..60 {
        recent.push(record(
            begin + number,
            Level::Info,
            &format!("line {number}"),
        ));
    }
    let (mut seen, mut before_us) = (Vec::new(), None);
    loop {
        let wanted = Wanted {
            before_us,
            limit: 7,
            ..Wanted::default()
        };
        let found = search::search(&recent, &paths, &wanted);
        seen.extend(found.records.iter().map(|of| of.time_us - begin));
        before_us = found.next_us;
        if before_us.is_none() {
            break;
        }
    }
    assert!(seen.len() > 30, "{}", seen.len());
    let newest_first: Vec<u64> = (60 - seen.len() as u64..60).rev().collect();
    assert_eq!(seen, newest_first);
    let rows: [(Wanted, &[u64]); 4] = [
        (
            Wanted {
                level: Some(Level::Error),
                limit: 2,
                ..Wanted::default()
            },
            &[40, 30],
        ),
        (
            Wanted {
                text: Some("LINE 41".into()),
                limit: 9,
                ..Wanted::default()
            },
            &[41],
        ),
        (
            Wanted {
                target: Some("store".into()),
                limit: 9,
                ..Wanted::default()
            },
            &[],
        ),
        (
            Wanted {
                since_us: Some(begin + 48),
                before_us: Some(begin + 51),
                limit: 9,
                ..Wanted::default()
            },
            &[50, 49, 48],
        ),
    ];
    for (wanted, want) in rows {
        let found = search::search(&recent, &paths, &wanted);
        let times: Vec<u64> = found.records.iter().map(|of| of.time_us - begin).collect();
        assert_eq!(times, want, "{wanted:?}");
    }
}

#[test]
fn a_file_that_was_moved_away_is_opened_anew_and_an_old_one_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let file = RotatingFile::open(Rules {
        path: path.clone(),
        octets_max: 1 << 20,
        age_max: Duration::from_secs(60),
        keep: 1,
    })
    .unwrap();
    file.write("a\n", 1_000_000).unwrap();
    fs::rename(&path, folder.path().join("away")).unwrap();
    file.write("b\n", 2_000_000).unwrap();
    file.reopen();
    file.write("c\n", 3_000_000).unwrap();
    file.write("d\n", 64_000_000).unwrap();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(
        [read("away"), read("log.1"), read("log")],
        ["a\nb\n", "c\n", "d\n"]
    );
    let nowhere = Rules {
        path: "/proc/no/log".into(),
        octets_max: 1,
        age_max: Duration::ZERO,
        keep: 0,
    };
    assert!(
        RotatingFile::open(nowhere)
            .unwrap_err()
            .starts_with("the log can't be written to /proc/no/log: ")
    );
}

/// Opens no new file while there is one of the name "full" beside it.
fn open_unless_full(path: &Path) -> io::Result<File> {
    match path.exists() || !path.with_file_name("full").exists() {
        true => File::options().create(true).append(true).open(path),
        false => Err(io::Error::other("there are too many files")),
    }
}

#[test]
fn old_files_stay_while_no_new_one_can_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let rules = Rules {
        path: folder.path().join("log"),
        octets_max: 2,
        age_max: Duration::ZERO,
        keep: 2,
    };
    let file = RotatingFile::open_by(open_unless_full, rules).unwrap();
    let mut time_us = 0;
    let mut write = |lines: &[&str]| {
        for line in lines {
            time_us += 1;
            file.write(line, time_us).unwrap();
        }
    };
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    write(&["a\n", "b\n", "c\n"]);
    fs::write(folder.path().join("full"), "").unwrap();
    write(&["d\n", "e\n", "f\n"]);
    assert_eq!(
        [read("log.2"), read("log.1"), read("log")],
        ["a\n", "b\n", "c\nd\ne\nf\n"]
    );
    fs::remove_file(folder.path().join("full")).unwrap();
    write(&["g\n"]);
    assert_eq!(
        [read("log.2"), read("log.1"), read("log")],
        ["b\n", "c\nd\ne\nf\n", "g\n"]
    );

    // Where there is room, none has to go.
    fs::remove_file(folder.path().join("log.1")).unwrap();
    write(&["h\n"]);
    assert_eq!([read("log.2"), read("log.1")], ["b\n", "g\n"]);
}

#[test]
fn a_large_log_is_searched_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let begin: u64 = 1_800_000_000_000_000;
    let mut text = String::new();
    for number in 0..4000 {
        text.push_str(
            &record(
                begin + number,
                Level::Info,
                &format!("n{number} {}", "z".repeat(100)),
            )
            .json_line(),
        );
        // What isn't ours is in between.
        text.push_str("thread 'x' panicked\n");
    }
    fs::write(&path, &text).unwrap();
    let recent = Recent::new(1000);
    for before in [4000, 3999, 2500, 700, 1, 0] {
        let wanted = Wanted {
            before_us: Some(begin + before),
            limit: 3,
            ..Wanted::default()
        };
        let found = search::search(&recent, std::slice::from_ref(&path), &wanted);
        let times: Vec<u64> = found.records.iter().map(|of| of.time_us - begin).collect();
        let want: Vec<u64> = (before.saturating_sub(3)..before).rev().collect();
        assert_eq!(times, want);
        assert_eq!(found.next_us.is_some(), before > 3);
    }
}

#[test]
fn journald_is_told_in_its_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    assert!(journal::Journal::connect(&path).is_err());
    let socket = UnixDatagram::bind(&path).unwrap();
    let journal = journal::Journal::connect(&path).unwrap();
    journal.send(&record(1, Level::Error, "one\ntwo")).unwrap();
    let mut octets = [0; 1000];
    let length = socket.recv(&mut octets).unwrap();
    let want = b"MESSAGE\n\x07\0\0\0\0\0\0\0one\ntwo\nPRIORITY=3\nSYSLOG_IDENTIFIER=posthorn\nPOSTHORN_TARGET=smtp::server\nPOSTHORN_COUNT=3\nPOSTHORN_PEER=192.0.2.1\n";
    assert_eq!(octets[..length], want[..]);
    // It is started anew.
    drop(socket);
    fs::remove_file(&path).unwrap();
    let socket = UnixDatagram::bind(&path).unwrap();
    journal.send(&record(2, Level::Info, "three")).unwrap();
    assert!(socket.recv(&mut octets).unwrap() > 0);
}
