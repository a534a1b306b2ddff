//! URLs, passwords, and servers that won't do.

use super::*;
use crate::engine::{
    EngineError,
    sql::{SqlKind, without_password},
};

async fn refusal(options: &SqlOptions) -> String {
    let error = open_sql(options, Path::new("/nonexistent")).await;
    error.expect_err("it won't do").to_string()
}

#[test]
fn urls_say_what_kind_it_is() {
    let kind = |url: &str| SqlKind::of(url, Path::new("/data")).map_err(|error| error.to_string());
    assert_eq!(kind("postgres://a@b/c"), Ok(SqlKind::Postgres));
    assert_eq!(kind("postgresql://a@b/c"), Ok(SqlKind::Postgres));
    assert_eq!(kind("mysql://a@b/c"), Ok(SqlKind::MySql));
    assert_eq!(kind("mariadb://a@b/c"), Ok(SqlKind::MySql));
    assert_eq!(
        kind("sqlite:mail.db"),
        Ok(SqlKind::Sqlite("/data/mail.db".into()))
    );
    assert_eq!(
        kind("sqlite:///srv/mail.db"),
        Ok(SqlKind::Sqlite("/srv/mail.db".into()))
    );
    for wrong in [
        "",
        "postgres",
        "sqlite:",
        "sqlite:a?mode=ro",
        "redis://a",
        "postgres:a",
    ] {
        assert!(kind(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn passwords_are_not_shown() {
    let rows = [
        ("postgres://me:secret@host:1/db", "postgres://me@host:1/db"),
        ("postgres://me:se@cret@host/db", "postgres://me@host/db"),
        ("mysql://me@host/db?password=secret", "mysql://me@host/db"),
        ("mysql://host/db", "mysql://host/db"),
        ("sqlite:mail.db", "sqlite:mail.db"),
    ];
    for (url, want) in rows {
        assert_eq!(without_password(url), want);
        let options = SqlOptions {
            password: Some("secret".into()),
            ..SqlOptions::new(url)
        };
        assert!(!format!("{options:?}").contains("secret"), "{options:?}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_an_error_that_does_not_tell_it() {
    let server = DatabaseServer::shared(ServerKind::MariaDb);
    let database = server.database();
    server.tell("CREATE USER IF NOT EXISTS mail@localhost IDENTIFIED BY 'the right one'");
    let name = database.name();
    server.tell(&format!("GRANT ALL ON {name}.* TO mail@localhost"));
    let url = database.url().replace("root@", "mail:secret@");
    let mut options = options(url);
    let error = refusal(&options).await;
    assert!(
        error.contains("Access denied") && !error.contains("secret"),
        "{error}"
    );
    options.password = Some("the right one".into());
    // Without the right to raise what MariaDB takes by default.
    options.value_octets_max = 1 << 20;
    let engine = open_with(&options).await;
    put(&engine, "a", "1").await;
}

#[tokio::test]
async fn a_server_that_may_lose_mail_is_refused() {
    let wants = [
        (ServerKind::Postgres, "fsync"),
        (ServerKind::MariaDb, "innodb_flush_log_at_trx_commit"),
    ];
    for (kind, setting) in wants {
        let database = DatabaseServer::shared(kind).database();
        let error = refusal(&SqlOptions::new(database.url())).await;
        assert!(error.contains(setting), "{error}");
    }
}

/// PostgreSQL lets each connection say whether it waits for the disk: ours do, whatever the server's default.
#[tokio::test]
async fn commits_are_synchronous_whatever_the_default() {
    let database = DatabaseServer::shared(ServerKind::Postgres).database();
    database.ask("DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET synchronous_commit = off'; END $$");
    assert_eq!(database.ask("SHOW synchronous_commit"), "off");
    use crate::engine::sql::{
        dialect::{Dialect, Purpose},
        postgres::PostgresDialect,
    };
    let dialect = PostgresDialect::open(&options(database.url()))
        .await
        .expect("opens");
    let mut connection = dialect.connect(Purpose::Commit).await.expect("connected");
    use sqlx::Row as _;
    let row = sqlx::query("SHOW synchronous_commit")
        .fetch_one(&mut connection)
        .await
        .expect("a row");
    assert_eq!(row.get::<String, _>(0), "on");
}

#[tokio::test]
async fn a_packet_that_is_too_small_is_raised_or_refused() {
    let server = DatabaseServer::start(ServerKind::MariaDb, false);
    let database = server.database();
    let name = database.name();
    server.tell("CREATE USER small@localhost IDENTIFIED BY 'small'");
    server.tell(&format!("GRANT ALL ON {name}.* TO small@localhost"));
    let mut small = options(database.url().replace("root@", "small@"));
    small.password = Some("small".into());
    let error = refusal(&small).await;
    assert!(
        error.contains("max_allowed_packet") && error.contains("65M"),
        "{error}"
    );
    open(&database).await;
    let raised = database.ask("SELECT @@global.max_allowed_packet");
    assert_eq!(raised, (65 << 20).to_string());
    open_with(&small).await;
}

#[tokio::test]
async fn tables_of_a_newer_version_are_refused() {
    for kind in KINDS {
        let database = DatabaseServer::shared(kind).database();
        drop(open(&database).await);
        database.ask("UPDATE kv_schema SET version = 2");
        let error = refusal(&options(database.url())).await;
        assert!(error.contains("version 2"), "{error}");
        let error = open_sql(&options(database.url()), Path::new("/")).await;
        assert!(matches!(error, Err(EngineError::Io(_))));
    }
}

/// Two servers that start at once on an empty database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_made_once() {
    for kind in KINDS {
        let database = DatabaseServer::shared(kind).database();
        let options = options(database.url());
        let opening = (0..6).map(|_| {
            let options = options.clone();
            tokio::spawn(async move { open_with(&options).await })
        });
        let opening: Vec<_> = opening.collect();
        for (number, engine) in opening.into_iter().enumerate() {
            put(&engine.await.expect("opens"), &number.to_string(), "1").await;
        }
        assert_eq!(keys(&open(&database).await).await.len(), 6);
    }
}
