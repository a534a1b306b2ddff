//! `posthorn trace`: what happened to messages, as a story and for machines.
//!
//! Holds: a line of the story says one thing; nothing that came from outside can break out of its line.
//! Other half: `jmap_core::trace`.

use std::fmt::Write as _;

use jmap_core::{
    Caller, Core,
    directory::DirectoryError,
    trace::{TraceError, TraceFilter, TraceHost, TraceRecipient, TraceSession, Traced},
};
use jmap_types::{AccountId, UtcDate};
use serde::{Deserialize, Serialize};

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TraceQuery {
    pub message_id: Option<String>,
    pub from: Option<String>,
    pub to: Option<String>,
    /// The name of an account.
    pub account: Option<String>,
    /// No older than so many seconds.
    pub since_seconds: Option<u64>,
    pub limit: usize,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceRow {
    pub id: u64,
    /// UTC
    pub at: String,
    pub event: String,
    pub message_id: Option<String>,
    /// Empty: the null reverse-path.
    pub mail_from: Option<String>,
    pub recipients: Vec<RecipientRow>,
    pub other_recipients: u64,
    pub size: Option<u64>,
    pub session: Option<SessionRow>,
    /// The account, by its name, and the number of the submission.
    pub submission: Option<SubmissionRow>,
    pub hosts: Vec<HostRow>,
    pub note: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecipientRow {
    pub address: String,
    pub reply: String,
    pub remote: Option<String>,
    pub places: Vec<PlaceRow>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaceRow {
    pub account: String,
    pub mailboxes: Vec<String>,
    pub actions: Vec<String>,
    pub problem: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionRow {
    pub client: String,
    pub hello: String,
    pub protocol: String,
    pub tls: Option<String>,
    pub id: String,
    pub authentication: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubmissionRow {
    pub account: String,
    /// 0: the message came from outside.
    pub number: u64,
    pub sent_by: Option<String>,
    pub held_until: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostRow {
    pub at: String,
    pub host: String,
    pub address: Option<String>,
    pub tls: Option<String>,
    pub result: String,
}

/// Looks it up. `now_ms`: milliseconds since 1970.
pub async fn find(
    core: &Core,
    who: &Caller,
    query: TraceQuery,
    now_ms: i64,
) -> Result<Vec<TraceRow>, TraceError> {
    let account = match &query.account {
        Some(name) => Some(core.account_named(name).await?.id),
        None => None,
    };
    let since = |seconds: u64| {
        let ms = i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
        now_ms.saturating_sub(ms)
    };
    let filter = TraceFilter {
        message_id: query.message_id,
        account,
        from: query.from,
        to: query.to,
        since: query.since_seconds.map(since),
        ..TraceFilter::default()
    };
    let mut rows = Vec::new();
    for traced in core.trace(who, &filter, query.limit).await? {
        rows.push(row(core, who, traced).await?);
    }
    Ok(rows)
}

async fn row(core: &Core, who: &Caller, traced: Traced) -> Result<TraceRow, TraceError> {
    let record = traced.record;
    let mut recipients = Vec::new();
    for recipient in record.recipients {
        recipients.push(recipient_row(core, who, recipient).await?);
    }
    let submission = match record.submission {
        Some(of) => Some(SubmissionRow {
            account: name_of(core, who, of.account).await?,
            number: of.id,
            sent_by: of.who,
            held_until: of.hold_until.map(|at| UtcDate(at).to_string()),
        }),
        None => None,
    };
    Ok(TraceRow {
        id: traced.id,
        at: date(traced.when),
        event: record.kind.as_str().to_owned(),
        message_id: record.message_id,
        mail_from: record.mail_from,
        recipients,
        other_recipients: record.more_recipients.unwrap_or(0),
        size: record.size,
        session: record.session.map(session_row),
        submission,
        hosts: record
            .hosts
            .unwrap_or_default()
            .into_iter()
            .map(host_row)
            .collect(),
        note: record.note,
    })
}

async fn recipient_row(
    core: &Core,
    who: &Caller,
    recipient: TraceRecipient,
) -> Result<RecipientRow, TraceError> {
    let mut places = Vec::new();
    for place in recipient.places {
        let mut mailboxes = Vec::new();
        for mailbox in place.mailboxes {
            let account = AccountId::new(place.account);
            let name = core.trace_mailbox(who, account, mailbox).await?;
            mailboxes.push(name.unwrap_or_else(|| "a mailbox that is no more".to_owned()));
        }
        places.push(PlaceRow {
            account: name_of(core, who, place.account).await?,
            mailboxes,
            actions: place.actions,
            problem: place.problem,
        });
    }
    Ok(RecipientRow {
        address: recipient.address,
        reply: recipient.reply,
        remote: recipient.remote,
        places,
    })
}

/// What an account is called; one that is gone, by its id.
async fn name_of(core: &Core, who: &Caller, number: u64) -> Result<String, TraceError> {
    let id = AccountId::new(number);
    match core.account(who, id).await {
        Ok(account) => Ok(account.record.name.clone()),
        Err(DirectoryError::Store(error)) => Err(error.into()),
        Err(_) => Ok(id.to_string()),
    }
}

fn session_row(session: TraceSession) -> SessionRow {
    SessionRow {
        client: session.peer,
        hello: session.hello,
        protocol: session.protocol,
        tls: session.tls,
        id: session.id,
        authentication: session.authentication,
    }
}

fn host_row(host: TraceHost) -> HostRow {
    HostRow {
        at: date(host.when),
        host: host.host,
        address: host.address,
        tls: host.tls,
        result: host.result,
    }
}

fn date(ms: i64) -> String {
    UtcDate(ms.div_euclid(1000)).to_string()
}

/// The story: a paragraph an event, oldest first.
pub fn story(rows: &[TraceRow]) -> String {
    if rows.is_empty() {
        return "nothing is known of such a message".to_owned();
    }
    rows.iter().map(paragraph).collect::<Vec<_>>().join("\n")
}

fn paragraph(row: &TraceRow) -> String {
    let mut text = format!("{}  {}", row.at, row.event);
    if let Some(id) = &row.message_id {
        let _ = write!(text, "  <{}>", plain(id));
    }
    if let Some(size) = row.size {
        let _ = write!(text, "  {size} octets");
    }
    let from = match row.mail_from.as_deref() {
        None => None,
        Some("") => Some("nobody (the null reverse-path)".to_owned()),
        Some(from) => Some(plain(from)),
    };
    if let Some(from) = from {
        let _ = write!(text, "\n  from {from}");
    }
    if let Some(of) = &row.submission {
        text.push_str(&submission(of));
    }
    if let Some(session) = &row.session {
        text.push_str(&session_line(session));
    }
    for host in &row.hosts {
        let address = host.address.as_deref().unwrap_or("no address");
        let tls = host.tls.as_deref().unwrap_or("not encrypted");
        let _ = write!(
            text,
            "\n  {} tried {} [{address}], {}: {}",
            host.at,
            plain(&host.host),
            plain(tls),
            plain(&host.result)
        );
    }
    for recipient in &row.recipients {
        recipient_lines(&mut text, recipient);
    }
    if row.other_recipients > 0 {
        let _ = write!(text, "\n  and {} more recipients", row.other_recipients);
    }
    if let Some(note) = row.note.as_ref().filter(|_| row.recipients.is_empty()) {
        let _ = write!(text, "\n  {}", plain(note));
    }
    if let Some(note) = row.note.as_ref().filter(|_| row.event == "reported") {
        let _ = write!(text, "\n  the sender was told: {}", plain(note));
    }
    text
}

fn submission(of: &SubmissionRow) -> String {
    let mut line = match &of.sent_by {
        Some(who) => format!("\n  sent by {who}"),
        None => String::from("\n "),
    };
    let _ = match of.number {
        0 => write!(line, " in {}", of.account),
        number => write!(line, " as submission {number} of {}", of.account),
    };
    if let Some(until) = &of.held_until {
        let _ = write!(line, ", held until {until}");
    }
    line
}

fn session_line(session: &SessionRow) -> String {
    let client = match session.client.as_str() {
        "" => "this machine",
        client => client,
    };
    let tls = session.tls.as_deref().unwrap_or("not encrypted");
    let mut line = format!(
        "\n  by {} from {} [{client}], {}",
        session.protocol,
        plain(&session.hello),
        plain(tls)
    );
    if !session.id.is_empty() {
        let _ = write!(line, ", as {}", session.id);
    }
    if let Some(results) = &session.authentication {
        let _ = write!(line, "\n  verified: {}", plain(results));
    }
    line
}

fn recipient_lines(text: &mut String, recipient: &RecipientRow) {
    let _ = write!(
        text,
        "\n  to {}: {}",
        plain(&recipient.address),
        plain(&recipient.reply)
    );
    if let Some(remote) = &recipient.remote {
        let _ = write!(text, " (said {})", plain(remote));
    }
    for place in &recipient.places {
        let _ = write!(text, "\n    {}:", place.account);
        let actions: Vec<String> = place.actions.iter().map(|action| plain(action)).collect();
        match actions.is_empty() {
            true => text.push_str(" nothing was done yet"),
            false => {
                let _ = write!(text, " {}", actions.join(", "));
            }
        }
        if !place.mailboxes.is_empty() {
            let names: Vec<String> = place.mailboxes.iter().map(|name| plain(name)).collect();
            let _ = write!(text, "; it is in {}", names.join(", "));
        }
        if let Some(problem) = &place.problem {
            let _ = write!(text, "; but {}", plain(problem));
        }
    }
}

/// Without control characters.
fn plain(text: &str) -> String {
    let harmless = |c: char| if c.is_control() { '?' } else { c };
    text.chars().map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_story() {
        let received = TraceRow {
            id: 1,
            at: "2026-11-28T20:00:00Z".into(),
            event: "received".into(),
            message_id: Some("one@example.net".into()),
            mail_from: Some("carol@example.net".into()),
            recipients: vec![RecipientRow {
                address: "bob@example.org".into(),
                reply: "250 2.1.5 Delivered".into(),
                remote: None,
                places: vec![PlaceRow {
                    account: "bob@example.org".into(),
                    mailboxes: vec!["Lists\n".into()],
                    actions: vec!["fileinto \"Lists\"".into()],
                    problem: None,
                }],
            }],
            other_recipients: 0,
            size: Some(1234),
            session: Some(SessionRow {
                client: "192.0.2.1".into(),
                hello: "mx.example.net".into(),
                protocol: "ESMTPS".into(),
                tls: Some("TLSv1.3 X".into()),
                id: "0123456789abcdef".into(),
                authentication: Some("spf=pass".into()),
            }),
            submission: None,
            hosts: Vec::new(),
            note: None,
        };
        let attempted = TraceRow {
            event: "attempted".into(),
            mail_from: Some(String::new()),
            size: None,
            session: None,
            submission: Some(SubmissionRow {
                account: "ann@example.org".into(),
                number: 7,
                sent_by: None,
                held_until: None,
            }),
            hosts: vec![HostRow {
                at: "2026-11-28T20:00:01Z".into(),
                host: "mx.example.com".into(),
                address: Some("192.0.2.9".into()),
                tls: None,
                result: "250 ok".into(),
            }],
            recipients: Vec::new(),
            ..received.clone()
        };
        expect![[r#"
            2026-11-28T20:00:00Z  received  <one@example.net>  1234 octets
              from carol@example.net
              by ESMTPS from mx.example.net [192.0.2.1], TLSv1.3 X, as 0123456789abcdef
              verified: spf=pass
              to bob@example.org: 250 2.1.5 Delivered
                bob@example.org: fileinto "Lists"; it is in Lists?
            2026-11-28T20:00:00Z  attempted  <one@example.net>
              from nobody (the null reverse-path)
              as submission 7 of ann@example.org
              2026-11-28T20:00:01Z tried mx.example.com [192.0.2.9], not encrypted: 250 ok
        "#]]
        .assert_eq(&(story(&[received, attempted]) + "\n"));
        assert_eq!(story(&[]), "nothing is known of such a message");
    }
}
