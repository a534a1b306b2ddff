//! The nodes, their database and their object store.
//!
//! Holds: their ports stay the same whatever happens to them, so that clients need to know nothing else.

use std::path::Path;

use store::engine::sql::servers::{DatabaseServer, ServerKind};
use tempfile::TempDir;

use super::ACCOUNTS;
use crate::{Home, Server, blobs::TestBlobs, deploy, home::free_port, objects::ObjectServer};

/// A client waits so long for the database, or the object store, before it is told to try again.
pub const TIMEOUT_SECONDS: u64 = 6;
/// From so many octets on, messages are in the object store: some of them, so that what is in the database alone goes on without it.
const OUTSIDE_FROM_OCTETS: u64 = 1024;
/// A node that is silent for so long is taken for dead.
pub const DEAD_AFTER_SECONDS: u64 = 4;

#[derive(Debug)]
pub struct Site {
    pub nodes: Vec<Server>,
    pub ports: Vec<Ports>,
    pub database: DatabaseServer,
    pub objects: ObjectServer,
    _secrets: TempDir,
}

/// Where a node listens.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub smtp: u16,
    pub lmtp: u16,
    pub imap: u16,
    pub http: u16,
}

impl Site {
    /// All of it, with the accounts.
    pub fn start(count: usize, stand_in: &Path) -> Site {
        let folder = tempfile::Builder::new().prefix("posthorn-chaos-").tempdir();
        let folder = folder.expect("a temporary folder can't be made");
        let secrets = deploy::make_secrets(folder.path());
        let address = ([127, 0, 0, 1], free_port()).into();
        let objects = ObjectServer::start(address, &secrets, stand_in);
        let blobs = blobs_config(&objects, &secrets);
        let database = DatabaseServer::start(ServerKind::Postgres, false);
        let url = {
            // It goes with the server.
            let database = std::mem::ManuallyDrop::new(database.database());
            database.url()
        };
        let homes: Vec<Home> = (0..count).map(|node| home(node, &url, &blobs)).collect();
        homes[0].cli(&["domain", "add", crate::home::DOMAIN], "");
        for name in ACCOUNTS {
            homes[0].add_account(name);
        }
        let ports = homes.iter().map(ports_of).collect();
        Site {
            nodes: homes.into_iter().map(Server::start_in).collect(),
            ports,
            database,
            objects,
            _secrets: folder,
        }
    }
}

/// What a node is called.
pub fn name(node: usize) -> String {
    format!("node{}", node + 1)
}

/// Lines of `[store.blobs]`. Nothing is kept near a node: what is read comes from the object store.
fn blobs_config(objects: &ObjectServer, secrets: &Path) -> Vec<String> {
    let secret = secrets.join("object-store-secret");
    vec![
        format!("url = \"s3://{}\"", objects.bucket()),
        format!("endpoint = \"{}\"", objects.endpoint()),
        "region = \"garage\"".to_owned(),
        "access-key-id = \"posthorn\"".to_owned(),
        format!("secret-access-key-file = \"{}\"", secret.display()),
        format!("threshold = {OUTSIDE_FROM_OCTETS}"),
        format!("timeout = \"{TIMEOUT_SECONDS}s\""),
        "cache = 0".to_owned(),
    ]
}

fn home(node: usize, url: &str, blobs: &[String]) -> Home {
    let home = Home::over(url.to_owned()).with_blobs(TestBlobs::Inline);
    let name = name(node);
    let home = blobs
        .iter()
        .fold(home, |home, line| home.set("store.blobs", line));
    home.set("store", &format!("timeout = \"{TIMEOUT_SECONDS}s\""))
        .set("cluster", &format!("name = \"{name}\""))
        .set("cluster", "heartbeat = \"1s\"")
        .set(
            "cluster",
            &format!("dead-after = \"{DEAD_AFTER_SECONDS}s\""),
        )
        .set("limits", "max-recipients-per-hour = 0")
        .set("limits", "max-recipients-per-day = 0")
}

fn ports_of(home: &Home) -> Ports {
    Ports {
        smtp: home.smtp,
        lmtp: home.lmtp,
        imap: home.imap,
        http: home.http,
    }
}
