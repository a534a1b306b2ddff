//! `posthorn session`: who is logged in at the server that runs, and ending it.
//!
//! Other half: `jmap_core::sessions`.

use clap::Subcommand;
use jmap_core::{Caller, sessions::SessionInfo};
use jmap_types::UtcDate;
use serde::{Deserialize, Serialize};

use super::{
    command::Answer,
    execute::{CommandError, Done, Target, done},
};

#[derive(Debug, Subcommand)]
pub enum SessionVerb {
    /// One line a session, the longest first
    List {
        /// Only those of one account
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<String>,
    },
    /// Ends sessions; the credentials stay good
    End {
        /// Ids, as they are listed
        #[arg(required_unless_present = "account")]
        ids: Vec<String>,
        /// All of one account
        #[arg(long, value_name = "ACCOUNT", conflicts_with = "ids")]
        account: Option<String>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub enum SessionCommand {
    List { account: Option<String> },
    End { ids: Vec<String> },
    EndOf { account: String },
}

impl SessionVerb {
    pub fn command(self) -> SessionCommand {
        match self {
            SessionVerb::List { account } => SessionCommand::List { account },
            SessionVerb::End {
                account: Some(account),
                ..
            } => SessionCommand::EndOf { account },
            SessionVerb::End { ids, account: None } => SessionCommand::End { ids },
        }
    }
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionRow {
    pub id: String,
    pub account: String,
    pub kind: String,
    /// The number of the credential within its account.
    pub credential: u64,
    pub description: String,
    /// `None`: from the server's machine.
    pub address: Option<String>,
    /// Seconds since 1970.
    pub since: i64,
    pub active: i64,
}

pub async fn execute(target: &Target, who: &Caller, command: SessionCommand) -> Done {
    let core = &target.core;
    if target.connections.is_none() {
        let text = "no server runs over this data folder, so nobody is logged in";
        return Err(CommandError::Refused(text));
    }
    match command {
        SessionCommand::List { account } => {
            let account = match account {
                Some(name) => Some(core.account_named(&name).await?.id),
                None => None,
            };
            let found = core.open_sessions(who, account).await?;
            Ok(Answer::Sessions(found.iter().map(row).collect()))
        }
        SessionCommand::End { ids } => {
            for id in &ids {
                let number = u64::from_str_radix(id, 16);
                let number =
                    number.map_err(|_| CommandError::Refused("this is no id of a session"))?;
                core.end_session(who, number, None).await?;
            }
            done(format!("sessions ended: {}", ids.len()))
        }
        SessionCommand::EndOf { account } => {
            let id = core.account_named(&account).await?.id;
            let count = core.end_sessions_of(who, id).await?;
            done(format!("sessions ended: {count}"))
        }
    }
}

fn row(of: &SessionInfo) -> SessionRow {
    SessionRow {
        id: format!("{:x}", of.number),
        account: of.name.clone(),
        kind: of.kind.name().to_owned(),
        credential: of.credential,
        description: of.credential_description.clone(),
        address: of.address.map(|address| address.to_string()),
        since: of.since.div_euclid(1000),
        active: of.active.div_euclid(1000),
    }
}

pub fn line(row: &SessionRow) -> String {
    let from = row.address.as_deref().unwrap_or("this machine");
    format!(
        "{:<16}  {:<24} {:<12} from {from}  since {}  active {}",
        row.id,
        row.account.escape_debug().to_string(),
        row.kind,
        UtcDate(row.since),
        UtcDate(row.active)
    )
}
