//! A child process commits and says so; the parent kills it, or its disk gets full.

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tempfile::TempDir;

use super::*;
use crate::engine::SplitMix64;

const FOLDER: &str = "POSTHORN_TEST_ENGINE_FOLDER";
const FIRST_NUMBER: &str = "POSTHORN_TEST_ENGINE_FIRST_NUMBER";
const WRITERS: usize = 8;
const KILLS: usize = 8;
const SEED: u64 = 41;

/// A batch of three writes, two of them rows of its own. The second goes to a blob file.
fn numbered(number: u64) -> Batch {
    let mut batch = Batch::new();
    batch.put(format!("{number:012}/a").into(), number.to_string());
    batch.put(format!("{number:012}/b").into(), vec![number as u8; 3000]);
    batch.add("count".into(), 1);
    batch
}

/// Runs `test` of this executable in a process of its own.
fn child(test: &str, folder: &Path, first_number: u64, shell: Option<&str>) -> Child {
    let executable = env::current_exe().expect("the test's own file");
    let mut command = match shell {
        Some(script) => {
            let mut command = Command::new("sh");
            command.args(["-c", script]).arg(executable);
            command
        }
        None => Command::new(executable),
    };
    command
        .arg(format!("engine::rocks::tests::crash::{test}"))
        .args(["--exact", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(FIRST_NUMBER, first_number.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child")
}

/// The numbers after `word` in what the child printed, in all its whole lines.
fn numbers(output: &[String], word: &str) -> BTreeSet<u64> {
    // The test harness may print something in front of it.
    let number = |line: &String| line.split_once(word)?.1.trim().parse().ok();
    output.iter().filter_map(number).collect()
}

fn collect_lines(child: &mut Child) -> thread::JoinHandle<Vec<String>> {
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    thread::spawn(move || {
        let mut lines = Vec::new();
        let mut line = String::new();
        while stdout.read_line(&mut line).expect("a line") > 0 {
            if line.ends_with('\n') {
                lines.push(line.trim_end().to_owned());
            }
            line.clear();
        }
        lines
    })
}

/// The numbered batches that are there, each of them whole.
async fn whole_batches(engine: &Arc<dyn Engine>) -> BTreeSet<u64> {
    let page = Page::first(b"0".to_vec()..b"a".to_vec(), usize::MAX);
    let pairs = engine.scan(page).await.expect("a scan");
    let mut there = BTreeSet::new();
    for pair in pairs.chunks(2) {
        let name = pair[0].0.escape_ascii().to_string();
        let number: u64 = name[..12].parse().expect("a number");
        assert_eq!(pair.len(), 2, "{name} is alone");
        assert!(
            pair[0].1 == number.to_string() && name.ends_with("/a"),
            "{name}"
        );
        assert!(pair[1].1 == vec![number as u8; 3000], "{name}");
        assert!(pair[1].0 == format!("{number:012}/b"), "{name}");
        there.insert(number);
    }
    let count = engine.get(b"count").await.expect("a get");
    let count = count.map_or(0, |count| {
        i64::from_be_bytes(count[..].try_into().expect("8"))
    });
    assert_eq!(
        count,
        there.len() as i64,
        "the counter goes with the batches"
    );
    there
}

#[tokio::test]
async fn a_kill_loses_nothing_that_was_acknowledged() {
    let folder = TempDir::new().expect("a folder");
    let mut dice = SplitMix64(SEED);
    let mut acknowledged = BTreeSet::new();
    let mut first = 0;
    for kill in 0..KILLS {
        let mut child = child("child_that_is_killed", folder.path(), first, None);
        let lines = collect_lines(&mut child);
        thread::sleep(Duration::from_millis(100 + dice.below(500)));
        // On Unix this is SIGKILL.
        child.kill().expect("killed");
        child.wait().expect("ended");
        let lines = lines.join().expect("lines");
        acknowledged.extend(numbers(&lines, "acknowledged "));
        let engine = open(folder.path()).expect("opens");
        let there = whole_batches(&engine).await;
        let lost: Vec<_> = acknowledged.difference(&there).collect();
        assert!(lost.is_empty(), "kill {kill} lost {lost:?}");
        println!(
            "kill {kill}: {} acknowledged, {} there",
            acknowledged.len(),
            there.len()
        );
        first = there.last().map_or(0, |last| last + 1);
    }
    assert!(!acknowledged.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "is a part of another test"]
async fn child_that_is_killed() {
    let Ok(folder) = env::var(FOLDER) else { return };
    let first = env::var(FIRST_NUMBER)
        .expect("a number")
        .parse()
        .expect("a number");
    let next = Arc::new(AtomicU64::new(first));
    let engine = open(Path::new(&folder)).expect("opens");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let (engine, next) = (engine.clone(), next.clone());
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                engine.commit(numbered(number)).await.expect("a commit");
                println!("acknowledged {number}");
            }
        });
    }
    tasks.join_all().await;
}

/// `ulimit -f` (in 512 octets) stands in for a full disk: a write to a larger file fails.
#[tokio::test]
async fn a_full_disk_refuses_and_forgets() {
    let folder = TempDir::new().expect("a folder");
    let script = r#"ulimit -f 1500; trap "" XFSZ; exec "$0" "$@""#;
    let mut child = child("child_whose_disk_is_full", folder.path(), 0, Some(script));
    let lines = collect_lines(&mut child);
    assert!(child.wait().expect("ended").success());
    let lines = lines.join().expect("lines");
    let acknowledged = numbers(&lines, "acknowledged ");
    let refused = numbers(&lines, "refused ");
    assert!(acknowledged.len() > 50, "{lines:?}");
    assert!(refused.len() > 50, "{lines:?}");
    let engine = open(folder.path()).expect("opens");
    let there = whole_batches(&engine).await;
    assert_eq!(
        there, acknowledged,
        "what was refused isn't there, the rest is"
    );
    engine
        .commit(numbered(1_000_000))
        .await
        .expect("there is room now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "is a part of another test"]
async fn child_whose_disk_is_full() {
    let Ok(folder) = env::var(FOLDER) else { return };
    // The log gets full, not a table.
    let engine = RocksEngine::open(&folder, &RocksOptions::default()).expect("opens");
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..600 {
        let engine = engine.clone();
        tasks.spawn(async move { (number, engine.commit(numbered(number)).await) });
        if number % 7 == 0 {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }
    let mut there = BTreeSet::new();
    for (number, result) in tasks.join_all().await {
        match result {
            Ok(()) => {
                there.insert(number);
                println!("acknowledged {number}");
            }
            Err(crate::engine::CommitError::Engine(EngineError::Full(_))) => {
                println!("refused {number}");
            }
            Err(error) => panic!("commit {number}: {error:?}"),
        }
    }
    assert_eq!(whole_batches(&engine).await, there, "reading goes on");
}
