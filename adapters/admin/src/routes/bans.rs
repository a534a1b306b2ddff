//! Networks that nobody may connect from.

use std::time::Duration;

use http::Method;
use jmap_core::{
    access::{self, Operation},
    bans::{self, BanError, BanRule, Network},
};
use serde_json::json;

use super::{CURSOR, LIMIT, handler};
use crate::{
    describe::{Described as _, choice, object},
    page::{self, Page},
    problem::{Kind, Problem},
    request::Request,
    table::{Answer, Outcome, Route},
};

choice! {
    /// What has led to a ban.
    Rule {
        Administrator = "administrator",
        FailedLogins = "failed-logins",
        UnknownRecipients = "unknown-recipients",
        BadCommands = "bad-commands",
        Handshakes = "handshakes",
        Probing = "probing",
    }
}

object! {
    answer
    /// A network that nobody may connect from, by any protocol.
    Ban {
        /// An address, a slash, and how many of its bits count.
        network: String,
        rule: Rule,
        /// What has led to it, in words.
        reason: String,
        since: String = {"format": "date-time"},
        /// Null: until it is lifted.
        until: Option<String> = {"format": "date-time"},
        /// How often the network was banned, this time included.
        times: u64,
        /// The name of the administrator who has banned it; null: a rule has.
        by: Option<String>,
    }
}

object! {
    request
    /// A ban that is to be.
    NewBan {
        /// An address, which stands for its client (of IPv6, its /64), or a network, such as 192.0.2.0/24.
        network: String = {"minLength": 2, "maxLength": 50},
        reason: Option<String> = {"maxLength": 300},
        /// Null: until it is lifted.
        seconds: Option<u64> = {"minimum": 1},
    }
}

const TAG: &str = "Bans";

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/bans",
            (TAG, "listBans"),
            "Lists the bans that are in force",
            Operation::SeeBans,
            handler!(list),
        )
        .query(&[CURSOR, LIMIT])
        .answers(|schemas| page::schema::<Ban>(schemas, true)),
        Route::new(
            Method::PUT,
            "/bans",
            (TAG, "addBan"),
            "Bans a network, in place of the ban that it may have",
            Operation::ChangeBans,
            handler!(add),
        )
        .body(NewBan::schema)
        .may_fail(&[Kind::InvalidValue, Kind::LimitReached])
        .answers(Ban::schema),
        Route::new(
            Method::DELETE,
            "/bans/{network}",
            (TAG, "liftBan"),
            "Lifts a ban",
            Operation::ChangeBans,
            handler!(lift),
        )
        .may_fail(&[Kind::InvalidValue]),
    ]
}

impl From<BanError> for Problem {
    fn from(error: BanError) -> Problem {
        let detail = error.to_string();
        match error {
            BanError::Network(_)
            | BanError::TooLarge
            | BanError::Spared(..)
            | BanError::Reason
            | BanError::Duration => Problem::new(Kind::InvalidValue, detail),
            BanError::NotFound(_) => Problem::not_found(),
            BanError::Directory(error) => error.into(),
        }
    }
}

fn shown(of: &bans::Ban) -> Ban {
    let record = &of.record;
    let date = |ms: i64| super::date_text(ms.div_euclid(1000));
    Ban {
        network: of.network.to_string(),
        rule: match record.rule {
            BanRule::Administrator => Rule::Administrator,
            BanRule::FailedLogins => Rule::FailedLogins,
            BanRule::UnknownRecipients => Rule::UnknownRecipients,
            BanRule::BadCommands => Rule::BadCommands,
            BanRule::Handshakes => Rule::Handshakes,
            BanRule::Probing => Rule::Probing,
        },
        reason: record.reason.clone(),
        since: date(record.since),
        until: record.until.map(date),
        times: record.times.into(),
        by: record.by.clone(),
    }
}

async fn list(request: &Request) -> Outcome {
    let found = request.core.bans(&request.who).await?;
    let page = Page::of(request, found, |of| {
        (format!("{:?}", of.network), String::new())
    })?;
    let items = page.items.iter().map(|of| json!(shown(of))).collect();
    Ok(Answer::ok(page::json_of(
        items,
        page.next,
        Some(page.total),
    )))
}

async fn add(request: &Request) -> Outcome {
    access::may_run(&request.who, Operation::ChangeBans)?;
    let new: NewBan = request.read()?;
    let new = bans::NewBan {
        network: network(&new.network)?,
        reason: new.reason.unwrap_or_default(),
        duration: new.seconds.map(Duration::from_secs),
    };
    let ban = request.core.ban(&request.who, new).await?;
    Ok(Answer::ok(json!(shown(&ban))))
}

fn network(text: &str) -> Result<Network, Problem> {
    text.parse()
        .map_err(|error| Problem::from(BanError::Network(error)))
}

async fn lift(request: &Request) -> Outcome {
    access::may_run(&request.who, Operation::ChangeBans)?;
    let network = network(request.text("network")?)?;
    request.core.lift_ban(&request.who, network).await?;
    Ok(Answer::nothing())
}
