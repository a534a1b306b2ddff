//! A database that is killed, that doesn't answer, and connections that go away.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Instant,
};

use tokio::task::JoinSet;

use super::*;
use crate::engine::CommitError;

const WRITERS: u64 = 8;

/// Batch `number` puts two keys and counts.
fn batch(number: u64) -> Batch {
    let mut batch = Batch::new();
    batch
        .put(format!("{number:08}/a").into(), number.to_string())
        .put(format!("{number:08}/b").into(), vec![7; 2000])
        .add(b"count".to_vec(), 1);
    batch
}

/// The batches that are there. Panics when one is there in part.
async fn whole_batches(engine: &Arc<dyn Engine>) -> BTreeSet<u64> {
    let keys = keys(engine).await;
    let keys: Vec<&String> = keys.iter().filter(|key| *key != "count").collect();
    let numbers: BTreeSet<u64> = keys
        .chunks(2)
        .map(|pair| {
            assert_eq!(pair[0].replace("/a", "/b"), *pair[1]);
            pair[0][..8].parse().expect("a number")
        })
        .collect();
    let count = engine.get(b"count").await.expect("a get");
    let count = count.map_or(0, |value| {
        i64::from_be_bytes(value[..].try_into().expect("a counter"))
    });
    assert_eq!(count, numbers.len() as i64);
    numbers
}

/// Under load, all processes of the server are killed, three times; then it is started again.
async fn check_kill(kind: ServerKind) {
    let mut server = DatabaseServer::start(kind, true);
    // It goes with the server.
    let url = {
        let database = std::mem::ManuallyDrop::new(server.database());
        database.url()
    };
    let options = SqlOptions {
        timeout: Duration::from_secs(5),
        ..SqlOptions::new(url)
    };
    let engine = open_with(&options).await;
    let stop = Arc::new(AtomicBool::new(false));
    let next = Arc::new(AtomicU64::new(0));
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let (engine, stop, next) = (engine.clone(), stop.clone(), next.clone());
        writers.spawn(async move {
            let (mut acknowledged, mut failed) = (Vec::new(), Vec::new());
            while !stop.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                match engine.commit(batch(number)).await {
                    Ok(()) => acknowledged.push(number),
                    Err(CommitError::Engine(_)) => failed.push(number),
                    Err(error) => panic!("{error}"),
                }
            }
            (acknowledged, failed)
        });
    }
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        server = tokio::task::spawn_blocking(move || {
            server.kill();
            server.start_again();
            server
        })
        .await
        .expect("started again");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.store(true, Ordering::Relaxed);
    let (mut acknowledged, mut failed) = (BTreeSet::new(), BTreeSet::new());
    for (of_writer, not) in writers.join_all().await {
        acknowledged.extend(of_writer);
        failed.extend(not);
    }
    let there = whole_batches(&engine).await;
    let lost: Vec<_> = acknowledged.difference(&there).collect();
    assert!(lost.is_empty(), "{kind:?} has lost {lost:?}");
    let invented: Vec<_> = there
        .iter()
        .filter(|n| !acknowledged.contains(*n) && !failed.contains(*n))
        .collect();
    assert!(invented.is_empty(), "{kind:?}: {invented:?}");
    println!(
        "{kind:?}: {} acknowledged, {} failed, {} there",
        acknowledged.len(),
        failed.len(),
        there.len()
    );
    assert!(acknowledged.len() > 100, "{kind:?}");
    assert!(engine.is_writable());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_postgres_loses_nothing_that_was_acknowledged() {
    check_kill(ServerKind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_mariadb_loses_nothing_that_was_acknowledged() {
    check_kill(ServerKind::MariaDb).await;
}

/// A database that starts after the server is waited for; one that will never do is an error at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_there_yet_is_waited_for() {
    for kind in KINDS {
        let mut server = DatabaseServer::start(kind, false);
        let url = {
            let database = std::mem::ManuallyDrop::new(server.database());
            database.url()
        };
        server.kill();
        let at_once = options(&url);
        let refused = open_sql(&at_once, Path::new("/nonexistent")).await;
        assert!(refused.is_err(), "{kind:?} is not there");
        let patient = SqlOptions {
            start_timeout: Duration::from_secs(120),
            ..options(&url)
        };
        let opening = tokio::spawn(async move { open_with(&patient).await });
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(!opening.is_finished(), "{kind:?}: nobody has waited");
        let starting = tokio::task::spawn_blocking(move || {
            server.start_again();
            server
        });
        let server = starting.await.expect("started again");
        let engine = opening.await.expect("opened");
        put(&engine, "a", "1").await;
        let nowhere = SqlOptions {
            start_timeout: Duration::from_secs(3600),
            ..options(url.replacen("test0", "nowhere", 1))
        };
        assert!(open_sql(&nowhere, Path::new("/")).await.is_err());
        drop(server);
    }
}

/// A server that is there and says nothing: errors after the time that was set, and all is well when it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_answer_is_an_error_in_time() {
    for kind in KINDS {
        let server = DatabaseServer::start(kind, false);
        let database = server.database();
        let options = SqlOptions {
            timeout: Duration::from_secs(2),
            ..options(database.url())
        };
        let engine = open_with(&options).await;
        put(&engine, "a", "1").await;
        server.freeze(true);
        let begun = Instant::now();
        let commit = async {
            let mut batch = Batch::new();
            batch.put(b"b".to_vec(), "1");
            engine.commit(batch).await
        };
        let (read, scan, committed, snapshot) = tokio::join!(
            engine.get(b"a"),
            engine.scan(Page::first(b"a".to_vec()..b"z".to_vec(), 9)),
            commit,
            engine.snapshot(),
        );
        let took = begun.elapsed();
        server.freeze(false);
        assert!(
            read.is_err() && scan.is_err() && snapshot.is_err(),
            "{kind:?}"
        );
        assert!(matches!(committed, Err(CommitError::Engine(_))), "{kind:?}");
        assert!(took < Duration::from_secs(12), "{kind:?} took {took:?}");
        assert!(!engine.is_writable());
        put(&engine, "c", "1").await;
        assert!(engine.is_writable());
        assert_eq!(
            engine.get(b"a").await.expect("a get").as_deref(),
            Some(&b"1"[..])
        );
    }
}

/// What an administrator, a firewall or a failover does to connections: nobody above notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_connections_are_replaced() {
    for kind in KINDS {
        let database = DatabaseServer::shared(kind).database();
        let engine = open(&database).await;
        put(&engine, "a", "1").await;
        // Several are idle.
        let mut reads = JoinSet::new();
        for _ in 0..8 {
            let engine = engine.clone();
            reads.spawn(async move { engine.get(b"a").await.expect("a get") });
        }
        reads.join_all().await;
        for round in 0..3 {
            let ended = match kind {
                ServerKind::Postgres => database.ask(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                     WHERE datname = current_database() AND pid <> pg_backend_pid()",
                ),
                ServerKind::MariaDb => {
                    let ids = database.ask(
                        "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()",
                    );
                    for id in ids.lines() {
                        database.ask(&format!("KILL {id}"));
                    }
                    ids.lines().count().to_string()
                }
            };
            assert!(ended.parse::<u32>().expect("a number") > 0, "{kind:?}");
            let value = engine.get(b"a").await.expect("a get");
            assert_eq!(value.as_deref(), Some(&b"1"[..]), "{kind:?} {round}");
            put(&engine, &format!("b{round}"), "1").await;
        }
        assert_eq!(keys(&engine).await.len(), 4);
    }
}

/// Somebody has locked a row and forgotten it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_stays_locked_is_an_error_in_time() {
    use sqlx::{Connection, MySqlConnection, PgConnection};
    for kind in KINDS {
        let database = DatabaseServer::shared(kind).database();
        let options = SqlOptions {
            timeout: Duration::from_secs(2),
            ..options(database.url())
        };
        let engine = open_with(&options).await;
        put(&engine, "a", "1").await;
        let begin = "BEGIN; SELECT * FROM kv FOR UPDATE";
        let (mut postgres, mut mysql) = (None, None);
        match kind {
            ServerKind::Postgres => {
                let mut connection = PgConnection::connect(&database.url())
                    .await
                    .expect("connected");
                sqlx::raw_sql(begin)
                    .execute(&mut connection)
                    .await
                    .expect("locked");
                postgres = Some(connection);
            }
            ServerKind::MariaDb => {
                let mut connection = MySqlConnection::connect(&database.url())
                    .await
                    .expect("connected");
                sqlx::raw_sql(begin)
                    .execute(&mut connection)
                    .await
                    .expect("locked");
                mysql = Some(connection);
            }
        }
        let begun = Instant::now();
        let mut batch = Batch::new();
        batch.put(b"a".to_vec(), "2");
        let refused = engine.commit(batch.clone()).await;
        assert!(
            matches!(refused, Err(CommitError::Engine(_))),
            "{kind:?} {refused:?}"
        );
        assert!(
            begun.elapsed() < Duration::from_secs(8),
            "{kind:?} {:?}",
            begun.elapsed()
        );
        drop((postgres, mysql));
        engine.commit(batch).await.expect("a commit");
        assert_eq!(
            engine.get(b"a").await.expect("a get").as_deref(),
            Some(&b"2"[..])
        );
    }
}
