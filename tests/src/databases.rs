//! The database that a server of a test keeps everything in.
//!
//! Holds: `POSTHORN_TEST_STORE` says which, for all tests: `rocksdb` (if it isn't there), `sqlite`, `postgres` or `mariadb`.
//! Other half: `store::engine::sql::servers`, which starts PostgreSQL and MariaDB; `cargo xtask test --store NAME`.

use store::engine::sql::servers::{DatabaseServer, ServerKind, TestDatabase};

const VARIABLE: &str = "POSTHORN_TEST_STORE";

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestStore {
    RocksDb,
    Sqlite,
    Postgres,
    MariaDb,
}

impl TestStore {
    pub const ALL: [TestStore; 4] = [
        TestStore::RocksDb,
        TestStore::Sqlite,
        TestStore::Postgres,
        TestStore::MariaDb,
    ];

    /// The one that all tests are run with.
    pub fn of_all_tests() -> TestStore {
        match std::env::var(VARIABLE).as_deref() {
            Err(_) | Ok("" | "rocksdb") => TestStore::RocksDb,
            Ok("sqlite") => TestStore::Sqlite,
            Ok("postgres") => TestStore::Postgres,
            Ok("mariadb") => TestStore::MariaDb,
            Ok(other) => panic!("{VARIABLE} is \"{other}\": rocksdb, sqlite, postgres or mariadb"),
        }
    }

    /// Whether a test that is about the files of the embedded database can be run; it is said if not.
    pub fn is_rocksdb_for(test: &str) -> bool {
        let found = TestStore::of_all_tests();
        if found != TestStore::RocksDb {
            eprintln!("{test} is left out with {found:?}: it is about the files of RocksDB");
        }
        found == TestStore::RocksDb
    }

    /// Whether a test can be run that is about a database in the data folder; it is said if not.
    pub fn is_in_the_folder_for(test: &str) -> bool {
        let found = TestStore::of_all_tests();
        let is_there = matches!(found, TestStore::RocksDb | TestStore::Sqlite);
        if !is_there {
            eprintln!(
                "{test} is left out with {found:?}: it is about a database in the data folder"
            );
        }
        is_there
    }
}

/// An empty database of its own.
#[derive(Debug)]
pub enum OwnDatabase {
    /// In the data folder.
    RocksDb,
    Sqlite,
    Server(TestDatabase<'static>),
    /// That of another home, by its URL.
    Shared(String),
}

impl OwnDatabase {
    pub fn new(store: TestStore) -> OwnDatabase {
        let of = |kind| OwnDatabase::Server(DatabaseServer::shared(kind).database());
        match store {
            TestStore::RocksDb => OwnDatabase::RocksDb,
            TestStore::Sqlite => OwnDatabase::Sqlite,
            TestStore::Postgres => of(ServerKind::Postgres),
            TestStore::MariaDb => of(ServerKind::MariaDb),
        }
    }

    /// Lines of the table `store` of the configuration.
    pub fn config(&self) -> Vec<String> {
        match self {
            OwnDatabase::RocksDb => Vec::new(),
            OwnDatabase::Sqlite => vec!["url = \"sqlite:mail.db\"".to_owned()],
            OwnDatabase::Server(database) => on_server(&database.url()),
            OwnDatabase::Shared(url) => on_server(url),
        }
    }
}

/// The tests' servers don't sync.
fn on_server(url: &str) -> Vec<String> {
    vec![format!("url = \"{url}\""), "durable = false".to_owned()]
}
