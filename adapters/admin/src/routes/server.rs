//! The server itself: its nodes, and its numbers.

use http::Method;
use jmap_core::{access, access::Operation};
use serde_json::json;

use super::handler;
use crate::{
    describe::{Described as _, choice, object},
    history::{self, Step},
    page,
    request::Request,
    table::{Answer, Outcome, Parameter, Route},
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

choice! {
    /// How far back numbers are told, and in what steps: an hour in steps of ten seconds, or a day in steps of five minutes.
    Span {
        Hour = "hour",
        Day = "day",
    }
}

object! {
    answer
    /// A step in time: what was counted within it, and how it was at its end.
    Point {
        /// Its end.
        at: String = {"format": "date-time"},
        messages_received: u64,
        octets_received: u64,
        deliveries: u64,
        deliveries_refused: u64,
        queue_delivered: u64,
        queue_deferred: u64,
        queue_failed: u64,
        logins: u64,
        logins_failed: u64,
        queue_length: u64,
        connections: u64,
        memory_octets: u64,
        disk_octets: u64,
    }
}

object! {
    answer
    /// Numbers over time. The node that answers tells of itself, since it was started.
    NumbersOverTime {
        span: Span,
        every_seconds: u64,
        /// Oldest first.
        points: Vec<Point>,
    }
}

const TAG: &str = "Server";
const SPAN: Parameter = Parameter {
    name: "span",
    about: "How far back.",
    schema: || json!({"type": "string", "enum": Span::WORDS, "default": "hour"}),
};

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
        Route::new(
            Method::GET,
            "/metrics/history",
            (TAG, "getNumbersOverTime"),
            "Shows numbers of the server over time, for charts",
            Operation::SeeServer,
            handler!(over_time),
        )
        .query(&[SPAN])
        .answers(NumbersOverTime::schema),
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
        disk_octets: host.disk_octets,
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

async fn over_time(request: &Request) -> Outcome {
    access::may_run(&request.who, Operation::SeeServer)?;
    let span = request.asked_as::<Span>("span")?.unwrap_or(Span::Hour);
    let (steps, step) = match span {
        Span::Hour => (request.site.history.hour(), history::STEP),
        Span::Day => (request.site.history.day(), history::LONG_STEP),
    };
    Ok(Answer::ok(json!(NumbersOverTime {
        span,
        every_seconds: step.as_secs(),
        points: steps.into_iter().map(point).collect(),
    })))
}

fn point(step: Step) -> Point {
    let Step { at, counts, levels } = step;
    Point {
        at: super::date_text(at.seconds()),
        messages_received: counts.messages_received,
        octets_received: counts.octets_received,
        deliveries: counts.deliveries,
        deliveries_refused: counts.deliveries_refused,
        queue_delivered: counts.queue_delivered,
        queue_deferred: counts.queue_deferred,
        queue_failed: counts.queue_failed,
        logins: counts.logins,
        logins_failed: counts.logins_failed,
        queue_length: levels.queue_length,
        connections: levels.connections,
        memory_octets: levels.memory_octets,
        disk_octets: levels.disk_octets,
    }
}
