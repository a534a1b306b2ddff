//! `posthorn queue`: the mail that is under way, in the hands of an administrator.
//!
//! Holds: a message is named as `ACCOUNT/SUBMISSION`, with the ids that JMAP has for them.
//! Other half: `jmap_core::inproc::queue`, which does it.

use std::fmt::Write as _;

use clap::{ArgGroup, Args, Subcommand};
use jmap_core::{
    Caller, Core,
    inproc::queue::{PlaceState, QueueEntry, QueueFilter, QueueState, Which},
};
use jmap_types::{AccountId, UtcDate, mail::EmailSubmissionId};
use serde::{Deserialize, Serialize};

use super::execute::CommandError;

#[derive(Debug, Subcommand)]
pub enum QueueVerb {
    /// What is under way, what is due first coming first
    List {
        /// Only what waits for recipients of this domain
        #[arg(long)]
        domain: Option<String>,
        /// Only what this account has sent, or passes on
        #[arg(long)]
        account: Option<String>,
        /// At most so many messages
        #[arg(long, default_value_t = 1000)]
        limit: usize,
    },
    /// One message: its recipients, the last answers, the hosts that were tried
    Show {
        /// As `queue list` prints it
        message: String,
    },
    /// The destinations that mail waits for, or that have failed lately
    Destinations,
    /// Tries now what waits for its next try
    Retry(Part),
    /// Gives up what waits; what is being sent goes on
    Cancel {
        #[command(flatten)]
        part: Part,
        /// Tells the senders
        #[arg(long)]
        bounce: bool,
    },
    /// Holds a message back: it isn't tried and doesn't expire until `release`; what is being sent goes on
    Hold {
        /// As `queue list` prints it
        message: String,
    },
    /// Ends the hold of a message, which is tried now
    Release {
        /// As `queue list` prints it
        message: String,
    },
    /// Sends nothing any more, to a domain or to anybody, until `resume`; also after a restart
    Pause { domain: Option<String> },
    /// Ends a pause
    Resume { domain: Option<String> },
}

/// Which part of the queue is meant.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("part").required(true).args(["message", "domain", "all"])))]
pub struct Part {
    /// A message, as `queue list` prints it
    message: Option<String>,
    /// What is for recipients of this domain
    #[arg(long)]
    domain: Option<String>,
    /// All of it
    #[arg(long)]
    all: bool,
}

/// A command for the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub enum QueueCommand {
    List {
        domain: Option<String>,
        account: Option<String>,
        limit: usize,
    },
    Show {
        message: String,
    },
    Destinations,
    Retry(PartRow),
    Cancel {
        part: PartRow,
        bounce: bool,
    },
    Hold {
        message: String,
    },
    Release {
        message: String,
    },
    Pause {
        domain: Option<String>,
    },
    Resume {
        domain: Option<String>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartRow {
    Message(String),
    Domain(String),
    All,
}

/// What a command for the queue comes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum QueueAnswer {
    List(ListRow),
    Message(Box<MessageRow>),
    Destinations(DestinationsRow),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListRow {
    pub messages: Vec<MessageRow>,
    pub has_more: bool,
    /// What is paused; an empty name is the whole queue.
    pub paused: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MessageRow {
    pub message: String,
    pub account: String,
    /// An empty address is the null reverse-path.
    pub sender: String,
    pub state: String,
    pub priority: i8,
    pub octets: Option<u64>,
    /// Seconds since 1970.
    pub arrived: i64,
    /// Milliseconds since 1970: when something is done about it next. `None`: not before it is released.
    pub due: Option<u64>,
    pub recipients: Vec<RecipientRow>,
    pub tried: Vec<HostRow>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecipientRow {
    pub address: String,
    pub delivered: String,
    pub reply: String,
    pub remote: Option<String>,
    pub attempts: u32,
    /// Milliseconds since 1970.
    pub last_try: Option<i64>,
    pub next_try: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostRow {
    /// Milliseconds since 1970.
    pub when: i64,
    pub domain: String,
    pub host: String,
    pub address: Option<String>,
    pub tls: Option<String>,
    pub result: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DestinationsRow {
    pub destinations: Vec<DestinationRow>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DestinationRow {
    /// Empty: the mailboxes here.
    pub domain: String,
    pub waiting: u64,
    pub sending: u64,
    pub failures: u32,
    /// Seconds until it is tried again.
    pub left_alone_seconds: u64,
    pub last_reply: String,
    pub is_paused: bool,
}

impl QueueVerb {
    pub fn command(self) -> QueueCommand {
        match self {
            Self::List {
                domain,
                account,
                limit,
            } => QueueCommand::List {
                domain,
                account,
                limit,
            },
            Self::Show { message } => QueueCommand::Show { message },
            Self::Destinations => QueueCommand::Destinations,
            Self::Retry(part) => QueueCommand::Retry(part.row()),
            Self::Cancel { part, bounce } => QueueCommand::Cancel {
                part: part.row(),
                bounce,
            },
            Self::Hold { message } => QueueCommand::Hold { message },
            Self::Release { message } => QueueCommand::Release { message },
            Self::Pause { domain } => QueueCommand::Pause { domain },
            Self::Resume { domain } => QueueCommand::Resume { domain },
        }
    }
}

impl Part {
    fn row(self) -> PartRow {
        match (self.message, self.domain) {
            (Some(message), _) => PartRow::Message(message),
            (None, Some(domain)) => PartRow::Domain(domain),
            (None, None) => PartRow::All,
        }
    }
}

/// What it comes to: rows, or a sentence.
pub enum Done {
    Rows(QueueAnswer),
    Sentence(String),
}

/// Does a command.
pub async fn execute(
    core: &Core,
    who: &Caller,
    command: QueueCommand,
) -> Result<Done, CommandError> {
    let sentence = match command {
        QueueCommand::List {
            domain,
            account,
            limit,
        } => {
            let account = match account {
                Some(name) => Some(core.account_named(&name).await?.id),
                None => None,
            };
            let filter = QueueFilter {
                domain,
                account,
                limit,
            };
            let (entries, has_more) = core.queue_entries(who, &filter).await?;
            let pauses = core.queue_pauses(who).await?;
            return Ok(Done::Rows(QueueAnswer::List(ListRow {
                messages: entries.into_iter().map(message_row).collect(),
                has_more,
                paused: pauses.into_iter().map(|(domain, _)| domain).collect(),
            })));
        }
        QueueCommand::Show { message } => {
            let (account, submission) = ids(&message)?;
            let entry = core.queue_entry(who, account, submission).await?;
            let row = Box::new(message_row(entry));
            return Ok(Done::Rows(QueueAnswer::Message(row)));
        }
        QueueCommand::Destinations => {
            let places = core.queue_places(who)?;
            let destinations = places.into_iter().map(destination_row).collect();
            let row = DestinationsRow { destinations };
            return Ok(Done::Rows(QueueAnswer::Destinations(row)));
        }
        QueueCommand::Retry(part) => {
            let count = core.retry_queue(who, &which(part)?).await?;
            format!("{} tried now", messages(count))
        }
        QueueCommand::Cancel { part, bounce } => {
            let count = core.cancel_queue(who, &which(part)?, bounce).await?;
            format!("{} given up", messages(count))
        }
        QueueCommand::Hold { message } => {
            let (account, submission) = ids(&message)?;
            core.hold_queued(who, account, submission).await?;
            format!("{message} is held back until it is released")
        }
        QueueCommand::Release { message } => {
            let (account, submission) = ids(&message)?;
            core.release_queued(who, account, submission).await?;
            format!("{message} is tried now")
        }
        QueueCommand::Pause { domain } => {
            core.pause_queue(who, domain.as_deref()).await?;
            format!("nothing goes {} until it is resumed", to(domain))
        }
        QueueCommand::Resume { domain } => {
            core.resume_queue(who, domain.as_deref()).await?;
            format!("mail goes {} again", to(domain))
        }
    };
    Ok(Done::Sentence(sentence))
}

fn messages(count: u64) -> String {
    match count {
        1 => "1 message is".to_owned(),
        count => format!("{count} messages are"),
    }
}

fn to(domain: Option<String>) -> String {
    domain.map_or_else(|| "to anybody".to_owned(), |domain| format!("to {domain}"))
}

fn which(part: PartRow) -> Result<Which, CommandError> {
    Ok(match part {
        PartRow::All => Which::All,
        PartRow::Domain(domain) => Which::Domain(domain),
        PartRow::Message(message) => {
            let (account, submission) = ids(&message)?;
            Which::One(account, submission)
        }
    })
}

fn ids(message: &str) -> Result<(AccountId, u64), CommandError> {
    let parsed = message.split_once('/').and_then(|(account, submission)| {
        let submission = EmailSubmissionId::parse(submission)?;
        Some((AccountId::parse(account)?, submission.number()))
    });
    parsed.ok_or(CommandError::Refused(
        "a message is named as `posthorn queue list` prints it: ACCOUNT/SUBMISSION",
    ))
}

fn message_row(entry: QueueEntry) -> MessageRow {
    let state = match entry.state {
        _ if entry.record.is_done => "done",
        QueueState::Held => "held",
        QueueState::OnHold => "on-hold",
        QueueState::Sending => "sending",
        QueueState::Waiting => "waiting",
        QueueState::Deferred => "deferred",
    };
    let record = entry.record;
    let submission = EmailSubmissionId::new(entry.submission);
    let recipient = |recipient: &jmap_core::mail::submission::records::RecipientRecord| {
        let address = recipient.address.email.clone();
        RecipientRow {
            address,
            delivered: recipient.delivered.as_str().to_owned(),
            reply: recipient.smtp_reply.clone(),
            remote: recipient.remote.clone(),
            attempts: recipient.attempts.unwrap_or(0),
            last_try: recipient.last_try,
            next_try: recipient.next_try,
        }
    };
    MessageRow {
        message: format!("{}/{submission}", entry.account),
        account: entry.account_name,
        state: state.to_owned(),
        priority: entry.priority,
        octets: record.size,
        arrived: record.arrived(),
        due: entry.due,
        recipients: record.recipients.iter().map(recipient).collect(),
        sender: record.mail_from.email,
        tried: record
            .history
            .unwrap_or_default()
            .into_iter()
            .map(|host| HostRow {
                when: host.when,
                domain: host.domain,
                host: host.host,
                address: host.address,
                tls: host.tls,
                result: host.result,
            })
            .collect(),
    }
}

fn destination_row(place: PlaceState) -> DestinationRow {
    DestinationRow {
        domain: place.name,
        waiting: place.waiting as u64,
        sending: place.running as u64,
        failures: place.failures,
        left_alone_seconds: place.blocked_ms.div_ceil(1000),
        last_reply: place.last_reply,
        is_paused: place.is_paused,
    }
}

/// For people.
pub fn text(answer: &QueueAnswer) -> String {
    match answer {
        QueueAnswer::List(list) => list_text(list),
        QueueAnswer::Message(row) => message_text(row),
        QueueAnswer::Destinations(row) => {
            let lines: Vec<String> = row.destinations.iter().map(destination_line).collect();
            match lines.is_empty() {
                true => "nothing waits for its turn".to_owned(),
                false => lines.join("\n"),
            }
        }
    }
}

fn list_text(list: &ListRow) -> String {
    let mut lines: Vec<String> = Vec::new();
    for domain in &list.paused {
        lines.push(match domain.is_empty() {
            true => "The whole queue is paused.".to_owned(),
            false => format!("{domain} is paused."),
        });
    }
    if list.messages.is_empty() {
        lines.push("the queue is empty".to_owned());
    }
    for row in &list.messages {
        let open: Vec<&RecipientRow> = row
            .recipients
            .iter()
            .filter(|recipient| recipient.delivered == "queued")
            .collect();
        let mut line = format!(
            "{:<14} {:<9} {:<20}  <{}>",
            row.message,
            row.state,
            row.due
                .map_or_else(|| "-".to_owned(), |due| time(due / 1000)),
            row.sender
        );
        if row.priority != 0 {
            let _ = write!(line, "  priority {}", row.priority);
        }
        lines.push(line);
        lines.extend(
            open.iter()
                .map(|recipient| format!("    {}  {}", recipient.address, recipient.reply)),
        );
    }
    if list.has_more {
        lines.push("There is more; --limit shows it.".to_owned());
    }
    lines.join("\n")
}

fn message_text(row: &MessageRow) -> String {
    let mut text = format!(
        "message      {}\naccount      {}\nsender       <{}>\nstate        {}\n",
        row.message, row.account, row.sender, row.state
    );
    let arrived = u64::try_from(row.arrived).unwrap_or(0);
    let _ = writeln!(text, "arrived      {}", time(arrived));
    if let Some(due) = row.due.filter(|_| row.state != "done") {
        let _ = writeln!(text, "next         {}", time(due / 1000));
    }
    if let Some(octets) = row.octets {
        let _ = writeln!(text, "octets       {octets}");
    }
    if row.priority != 0 {
        let _ = writeln!(text, "priority     {}", row.priority);
    }
    for recipient in &row.recipients {
        let _ = write!(
            text,
            "\n{}\n    {} after {} tries",
            recipient.address, recipient.delivered, recipient.attempts
        );
        if let Some(next) = recipient
            .next_try
            .filter(|_| recipient.delivered == "queued")
        {
            let _ = write!(text, ", next {}", time(next / 1000));
        }
        let from = recipient.remote.as_deref().unwrap_or("here");
        let _ = writeln!(text, "\n    {from}: {}", recipient.reply);
    }
    if !row.tried.is_empty() {
        text.push_str("\nhosts that were tried\n");
    }
    for host in &row.tried {
        let when = u64::try_from(host.when / 1000).unwrap_or(0);
        let _ = write!(text, "    {} {}", time(when), host.host);
        if let Some(address) = &host.address {
            let _ = write!(text, " [{address}]");
        }
        let tls = host.tls.as_deref().unwrap_or("not encrypted");
        let _ = writeln!(text, ", {tls}: {}", host.result);
    }
    text.truncate(text.trim_end().len());
    text
}

fn destination_line(row: &DestinationRow) -> String {
    let name = match row.domain.is_empty() {
        true => "(mailboxes here)",
        false => &row.domain,
    };
    let mut line = format!(
        "{name:<32} {:>6} waiting {:>4} sending",
        row.waiting, row.sending
    );
    if row.is_paused {
        line.push_str("  paused");
    }
    if row.left_alone_seconds > 0 {
        let _ = write!(
            line,
            "  left alone for {} s after {} failures: {}",
            row.left_alone_seconds, row.failures, row.last_reply
        );
    }
    line
}

/// A time in seconds since 1970, in UTC.
fn time(seconds: u64) -> String {
    UtcDate(i64::try_from(seconds).unwrap_or(i64::MAX)).to_string()
}
