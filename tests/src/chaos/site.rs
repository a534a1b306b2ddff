//! The nodes and their database.
//!
//! Holds: their ports stay the same whatever happens to them, so that clients need to know nothing else.

use store::engine::sql::servers::{DatabaseServer, ServerKind};

use super::ACCOUNTS;
use crate::{Home, Server};

/// A client waits longer than that for a database before it is told to try again.
pub const DATABASE_TIMEOUT_SECONDS: u64 = 6;
/// A node that is silent for so long is taken for dead.
pub const DEAD_AFTER_SECONDS: u64 = 4;

#[derive(Debug)]
pub struct Site {
    pub nodes: Vec<Server>,
    pub ports: Vec<Ports>,
    pub database: DatabaseServer,
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
    pub fn start(count: usize) -> Site {
        let database = DatabaseServer::start(ServerKind::Postgres, false);
        let url = {
            // It goes with the server.
            let database = std::mem::ManuallyDrop::new(database.database());
            database.url()
        };
        let homes: Vec<Home> = (0..count).map(|node| home(node, &url)).collect();
        homes[0].cli(&["domain", "add", crate::home::DOMAIN], "");
        for name in ACCOUNTS {
            homes[0].add_account(name);
        }
        let ports = homes.iter().map(ports_of).collect();
        Site {
            nodes: homes.into_iter().map(Server::start_in).collect(),
            ports,
            database,
        }
    }
}

/// What a node is called.
pub fn name(node: usize) -> String {
    format!("node{}", node + 1)
}

fn home(node: usize, url: &str) -> Home {
    let home = Home::over(url.to_owned());
    let name = name(node);
    home.set(
        "store",
        &format!("timeout = \"{DATABASE_TIMEOUT_SECONDS}s\""),
    )
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
