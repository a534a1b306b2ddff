//! The server itself: its nodes, and its numbers.

use http::Method;
use jmap_core::{access, access::Operation, directory::DirectoryError};
use serde_json::json;

use super::handler;
use crate::{
    describe::{Described as _, object},
    page,
    request::Request,
    table::{Answer, Outcome, Route},
};

object! {
    answer
    /// A server of the cluster.
    Node {
        id: String,
        name: String,
        version: String,
        /// When it joined, by its own clock.
        joined: String = {"format": "date-time"},
        /// It is the one that answers.
        answers: bool,
    }
}

object! {
    answer
    /// Connections of one listener.
    Connections {
        listener: String,
        open: u64,
    }
}

object! {
    answer
    /// What a server has done since it was started, and what it is busy with. The node that answers tells of itself.
    Numbers {
        version: String,
        hostname: String,
        accounts: u64,
        domains: u64,
        /// False while the disk is full or broken: reading goes on.
        writable: bool,
        disk_octets: u64,
        memory_octets: u64,
        connections: Vec<Connections>,
        messages_received: u64,
        octets_received: u64,
        deliveries: u64,
        deliveries_refused: u64,
        queue_length: u64,
        queue_delivered: u64,
        queue_deferred: u64,
        queue_failed: u64,
        logins: u64,
        logins_failed: u64,
        /// Accounts whose search index is behind.
        search_pending: u64,
        /// Rounds of background work that failed.
        work_failures: u64,
    }
}

const TAG: &str = "Server";

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/nodes",
            (TAG, "listNodes"),
            "Lists the servers that work over the same database; none, where one has it alone",
            Operation::SeeServer,
            handler!(nodes),
        )
        .answers(|schemas| page::schema::<Node>(schemas, false)),
        Route::new(
            Method::GET,
            "/metrics",
            (TAG, "getNumbers"),
            "Shows what the server has done, and what it is busy with",
            Operation::SeeServer,
            handler!(numbers),
        )
        .answers(Numbers::schema),
    ]
}

async fn nodes(request: &Request) -> Outcome {
    let nodes = request.core.nodes(&request.who).await?;
    let items = nodes.into_iter().map(|node| {
        json!(Node {
            id: format!("{:x}", node.node),
            name: node.record.name,
            version: node.record.version,
            joined: super::date_text(node.record.joined),
            answers: node.is_self,
        })
    });
    Ok(Answer::ok(page::json_of(items.collect(), None, None)))
}

async fn numbers(request: &Request) -> Outcome {
    let (core, who) = (&request.core, &request.who);
    access::may_run(who, Operation::SeeServer)?;
    let host = request.site.host.numbers();
    let (metrics, gauges) = (&core.metrics, core.gauges());
    let numbers = Numbers {
        version: host.version,
        hostname: core.hostname().to_string(),
        accounts: core.accounts(who).await?.len() as u64,
        domains: core.domains(who).await?.len() as u64,
        writable: core.is_writable(),
        disk_octets: core.disk_octets().await.map_err(DirectoryError::from)?,
        memory_octets: host.memory_octets,
        connections: host
            .connections
            .into_iter()
            .map(|(listener, open)| Connections { listener, open })
            .collect(),
        messages_received: metrics.messages_received.get(),
        octets_received: metrics.octets_received.get(),
        deliveries: metrics.deliveries.get(),
        deliveries_refused: metrics.deliveries_refused.get(),
        queue_length: gauges.queue_length,
        queue_delivered: metrics.queue_delivered.get(),
        queue_deferred: metrics.queue_deferred.get(),
        queue_failed: metrics.queue_failed.get(),
        logins: metrics.logins.get(),
        logins_failed: metrics.logins_failed.get(),
        search_pending: gauges.search_pending as u64,
        work_failures: metrics.work_failures.get(),
    };
    Ok(Answer::ok(json!(numbers)))
}
