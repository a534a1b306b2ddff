//! Other databases beside the embedded one, and several servers over one of them: what an operation costs the servers, and what it costs
//! the database.
//!
//! Holds: the database syncs what it acknowledges, as the embedded one does; its CPU is counted apart from the servers', as it may be
//! another machine's. That of the object store is in no number. On one machine, several servers share its cores: what tells is CPU an operation, not how many in a second.
//! Other half: `--engines` and `--nodes` of the command line.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use store::blob::s3_server::{ACCESS_KEY_ID, BUCKET, S3Server, SECRET_ACCESS_KEY};
use store::engine::sql::servers::{DatabaseServer, ServerKind, TestDatabase};

use crate::corpus::Corpus;
use crate::measure::{Measured, Samples, Watch};
use crate::options::Options;
use crate::proc::{Tree, Usage};
use crate::report::{ms, short, table};
use crate::server::Server;
use crate::smtp::{self, Load, Protocol};
use crate::{Fail, ingest, reading, say, within};

/// Connections that messages come over, whatever the number of servers.
const CONNECTIONS: usize = 12;
/// Servers over one database, at the most.
const NODES_MAX: usize = 3;
const SLOWEST: Duration = Duration::from_millis(400);

/// What one measurement has come to.
struct Row {
    name: String,
    servers: Measured,
    /// CPU of the database's processes; `None`: it is in the server.
    database: Option<Duration>,
}

/// The same over each kind of database.
pub async fn engines(
    options: &Options,
    corpus: &Arc<Corpus>,
    folder: &Path,
) -> Result<String, Fail> {
    let mut rows = Vec::new();
    let postgres = DatabaseServer::start(ServerKind::Postgres, true);
    let mariadb = DatabaseServer::start(ServerKind::MariaDb, true);
    let (on_postgres, on_mariadb) = (postgres.database(), mariadb.database());
    let sqlite = "sqlite:mail.db".to_owned();
    let kinds: [(&str, Option<String>, Option<&DatabaseServer>); 4] = [
        ("RocksDB", None, None),
        ("SQLite", Some(sqlite), None),
        ("PostgreSQL", Some(on_postgres.url()), Some(&postgres)),
        ("MariaDB", Some(on_mariadb.url()), Some(&mariadb)),
    ];
    for (name, url, database) in kinds {
        say(&format!("engines: {name}"));
        let users = users(options);
        let store = url.map_or(String::new(), |url| on_database(&url));
        let server = Server::start_on(&folder.join(name), &users, &store).await?;
        let servers = [server];
        rows.extend(measure(name, options, corpus, &servers, database).await?);
        let [server] = servers;
        server.stop().await;
    }
    Ok(text(&rows))
}

/// One, two and three servers over one PostgreSQL and one object store, which this process plays.
pub async fn nodes(options: &Options, corpus: &Arc<Corpus>, folder: &Path) -> Result<String, Fail> {
    let postgres = DatabaseServer::start(ServerKind::Postgres, true);
    let objects = S3Server::start();
    let secret = folder.join("secret");
    fs::write(&secret, SECRET_ACCESS_KEY)?;
    let mut rows = Vec::new();
    let mut databases: Vec<TestDatabase<'_>> = Vec::new();
    for count in 1..=NODES_MAX {
        let name = match count {
            1 => "1 server".to_owned(),
            count => format!("{count} servers"),
        };
        say(&format!("nodes: {name}"));
        databases.push(postgres.database());
        let store = databases.last().map(|own| {
            let mut store = on_database(&own.url());
            store += &format!(
                "[store.blobs]\nurl = \"s3://{BUCKET}/{count}\"\nendpoint = \"{}\"\naccess-key-id = \"{ACCESS_KEY_ID}\"\n\
                 secret-access-key-file = \"{}\"\n",
                objects.endpoint(),
                secret.display()
            );
            store
        });
        let store = store.unwrap_or_default();
        let mut servers = Vec::new();
        for node in 0..count {
            let users = if node == 0 {
                users(options)
            } else {
                Vec::new()
            };
            let folder = folder.join(format!("{count}-{node}"));
            servers.push(Server::start_on(&folder, &users, &store).await?);
        }
        rows.extend(measure(&name, options, corpus, &servers, Some(&postgres)).await?);
        for server in servers {
            server.stop().await;
        }
    }
    Ok(text(&rows))
}

fn on_database(url: &str) -> String {
    format!("[store]\nurl = \"{url}\"\n")
}

/// Those that messages come to, and one that reads.
fn users(options: &Options) -> Vec<String> {
    let mut users = ingest::users();
    users.push(reading::user(options.sizes[0]));
    users
}

async fn measure(
    name: &str,
    options: &Options,
    corpus: &Arc<Corpus>,
    servers: &[Server],
    database: Option<&DatabaseServer>,
) -> Result<Vec<Row>, Fail> {
    let database = database.map(|database| Tree::new(vec![database.pid()]));
    let used = || database.as_ref().map(Tree::usage);
    let since = |before: Option<Usage>| Some((used()? - before?).cpu);
    let tree = Tree::new(servers.iter().flat_map(Server::roots).collect());
    let limit = Duration::from_secs(300) + SLOWEST * options.messages as u32;
    let mut rows = Vec::new();

    let before = used();
    let watch = Watch::start(&tree);
    let (samples, wall) = within(limit, async {
        let samples = load(servers, corpus, options.messages, 0, ingest::users()).await?;
        let wall = watch.wall();
        for server in servers {
            server.settle().await?;
        }
        Ok((samples, wall))
    })
    .await?;
    rows.push(Row {
        name: format!("{name}: a message comes in"),
        servers: watch.finish(wall, samples),
        database: since(before),
    });

    let size = options.sizes[0];
    let reader = reading::user(size);
    within(limit + SLOWEST * size as u32, async {
        load(servers, corpus, size, 20_000_000, vec![reader]).await?;
        for server in servers {
            server.settle().await?;
        }
        Ok(())
    })
    .await?;
    let before = used();
    let ports: Vec<u16> = servers.iter().map(|server| server.http).collect();
    let pages = within(limit, reading::first_pages(&ports, &tree, size, options)).await?;
    rows.push(Row {
        name: format!("{name}: first page of {size}"),
        servers: pages,
        database: since(before),
    });
    Ok(rows)
}

/// Delivers messages to all servers at once.
async fn load(
    servers: &[Server],
    corpus: &Arc<Corpus>,
    count: usize,
    from: usize,
    users: Vec<String>,
) -> Result<Samples, Fail> {
    let each = count.div_ceil(servers.len());
    let loads = servers.iter().enumerate().map(|(at, server)| Load {
        protocol: Protocol::Lmtp,
        port: server.lmtp,
        connections: CONNECTIONS / servers.len(),
        from: from + at * each,
        count: each.min(count.saturating_sub(at * each)),
        users: users.clone(),
    });
    let loads: Vec<Load> = loads.collect();
    let mut all = Samples::default();
    for samples in try_join_all(loads.iter().map(|load| smtp::run(load, corpus))).await? {
        all.join(samples);
    }
    if all.refused > 0 {
        return Err(format!("{} messages were refused", all.refused).into());
    }
    Ok(all)
}

fn text(rows: &[Row]) -> String {
    let heads = [
        "",
        "server CPU ms",
        "database CPU ms",
        "a CPU second",
        "a second",
        "p50 ms",
        "p99 ms",
    ];
    let mut cells = vec![heads.map(str::to_owned).to_vec()];
    for row in rows {
        let of = &row.servers;
        let operations = of.operations.max(1) as f64;
        let database = row.database.unwrap_or_default();
        let all = (of.cpu + database).as_secs_f64().max(1e-9);
        cells.push(vec![
            row.name.clone(),
            short(ms(of.cpu) / operations),
            row.database
                .map_or("-".into(), |cpu| short(ms(cpu) / operations)),
            short(operations / all),
            short(operations / of.wall.as_secs_f64().max(1e-9)),
            short(ms(of.p50)),
            short(ms(of.p99)),
        ]);
    }
    struct Table(Vec<Vec<String>>);
    impl std::fmt::Display for Table {
        fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            table(f, &self.0)
        }
    }
    Table(cells).to_string()
}
