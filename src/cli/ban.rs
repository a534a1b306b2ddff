//! `posthorn ban`: networks that nobody may connect from.
//!
//! Other half: `jmap_core::bans`.

use clap::Subcommand;
use jmap_core::{
    Caller, Core,
    bans::{self, BanError, NewBan},
};
use jmap_types::UtcDate;
use serde::{Deserialize, Serialize};

use super::{
    command::Answer,
    execute::{Done, done},
};
use crate::config::values::Span;

#[derive(Debug, Subcommand)]
pub enum BanVerb {
    /// One line a ban, with what has led to it
    List,
    /// Bans a network, in place of the ban that it may have
    Add {
        /// An address, which stands for its client (of IPv6, its /64), or a network, such as 192.0.2.0/24
        network: String,
        /// For whoever sees the list
        #[arg(long, default_value = "")]
        reason: String,
        /// Such as `2h`; without it, until it is lifted
        #[arg(long = "for", value_name = "TIME")]
        duration: Option<Span>,
    },
    /// Lifts a ban
    Remove { network: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub enum BanCommand {
    List,
    Add {
        network: String,
        reason: String,
        seconds: Option<u64>,
    },
    Remove {
        network: String,
    },
}

impl BanVerb {
    pub fn command(self) -> BanCommand {
        match self {
            BanVerb::List => BanCommand::List,
            BanVerb::Add {
                network,
                reason,
                duration,
            } => BanCommand::Add {
                network,
                reason,
                seconds: duration.map(|span| span.0.as_secs()),
            },
            BanVerb::Remove { network } => BanCommand::Remove { network },
        }
    }
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BanRow {
    pub network: String,
    pub rule: String,
    pub reason: String,
    /// Seconds since 1970.
    pub since: i64,
    /// `None`: until it is lifted.
    pub until: Option<i64>,
    pub times: u32,
    /// `None`: a rule.
    pub by: Option<String>,
}

pub async fn execute(core: &Core, who: &Caller, command: BanCommand) -> Done {
    match command {
        BanCommand::List => {
            let bans = core.bans(who).await?;
            Ok(Answer::Bans(bans.iter().map(row).collect()))
        }
        BanCommand::Add {
            network,
            reason,
            seconds,
        } => {
            let new = NewBan {
                network: network.parse().map_err(BanError::Network)?,
                reason,
                duration: seconds.map(std::time::Duration::from_secs),
            };
            let ban = core.ban(who, new).await?;
            done(format!("nobody may connect from {} now", ban.network))
        }
        BanCommand::Remove { network } => {
            let network = network.parse().map_err(BanError::Network)?;
            core.lift_ban(who, network).await?;
            done(format!("the ban of {network} is lifted"))
        }
    }
}

fn row(of: &bans::Ban) -> BanRow {
    let record = &of.record;
    BanRow {
        network: of.network.to_string(),
        rule: record.rule.name().to_owned(),
        reason: record.reason.clone(),
        since: record.since.div_euclid(1000),
        until: record.until.map(|until| until.div_euclid(1000)),
        times: record.times,
        by: record.by.clone(),
    }
}

pub fn line(row: &BanRow) -> String {
    let end = match row.until {
        Some(until) => format!("until {}", UtcDate(until)),
        None => "until it is lifted".to_owned(),
    };
    let by = row.by.as_deref().unwrap_or(&row.rule);
    let times = match row.times {
        0 | 1 => String::new(),
        times => format!("  banned {times} times"),
    };
    format!(
        "{:<24} since {}  {end}  by {by}{times}  {}",
        row.network,
        UtcDate(row.since),
        row.reason.escape_debug()
    )
}
