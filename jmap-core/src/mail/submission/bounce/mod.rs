//! Delivery status notifications (RFC 3461, 3464, 6522, 6533), as the sender gets them.
//!
//! Holds: nothing answers the null reverse-path; a report quotes at most [`HEADER_OCTETS_MAX`] of the message's header
//! section, or a message of at most [`FULL_OCTETS_MAX`] whole; what came from others can't break out of its line.
//! Other half: `inproc::queue::note` decides what is to be told.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use super::{
    envelope::Envelope,
    parameters,
    records::{EnvelopeAddress, Parameter, RecipientRecord, SubmissionRecord},
};
use crate::mail::message::SentAt;

/// Octets of the header section that a report quotes.
pub const HEADER_OCTETS_MAX: usize = 32 << 10;
/// The largest message that comes back whole where the sender wants it (RET=FULL), in octets.
pub const FULL_OCTETS_MAX: usize = 1 << 20;
/// Octets of a field of a report that came from somebody else.
const VALUE_OCTETS_MAX: usize = 900;

/// What a report says of a recipient (RFC 3464 §2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    Failed,
    Delayed,
    /// It is in the mailbox.
    Delivered,
    /// It went on to a server that tells no more of it.
    Relayed,
    /// It went on to the addresses that an address here stands for.
    Expanded,
}

impl Action {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
        }
    }

    fn subject(self) -> &'static str {
        match self {
            Self::Failed => "Your message could not be delivered",
            Self::Delayed => "Your message is delayed",
            Self::Delivered => "Your message was delivered",
            Self::Relayed | Self::Expanded => "Your message was passed on",
        }
    }

    fn opening(self) -> &'static str {
        match self {
            Self::Failed => "Your message could not be delivered to:",
            Self::Delayed => "Your message could not be delivered yet to:",
            Self::Delivered => "Your message was delivered to:",
            Self::Relayed => {
                "Your message was taken by another server, which will not tell whether it arrives, for:"
            }
            Self::Expanded => {
                "Your message was delivered to an address that stands for several others, and passed on to those:"
            }
        }
    }
}

/// A word of NOTIFY (RFC 3461 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notify {
    Success,
    Failure,
    Delay,
}

/// What the sender asked for; `None`: nothing.
fn notify(recipient: &EnvelopeAddress, word: Notify) -> Option<bool> {
    let value = recipient.parameter("NOTIFY")?.value.as_deref()?;
    let name = match word {
        Notify::Success => "SUCCESS",
        Notify::Failure => "FAILURE",
        Notify::Delay => "DELAY",
    };
    Some(
        value
            .split(',')
            .any(|given| given.trim().eq_ignore_ascii_case(name)),
    )
}

fn is_never(recipient: &EnvelopeAddress) -> bool {
    let value = recipient.parameter("NOTIFY");
    value
        .and_then(|parameter| parameter.value.as_deref())
        .is_some_and(|value| value.trim().eq_ignore_ascii_case("NEVER"))
}

/// Whether the sender wants to know (RFC 3461 §4.1, §5.2): of failures and delays unless they say otherwise, of success only when
/// they say so.
pub fn is_wanted(recipient: &EnvelopeAddress, action: Action) -> bool {
    match action {
        Action::Failed => notify(recipient, Notify::Failure).unwrap_or(true),
        Action::Delayed => notify(recipient, Notify::Delay).unwrap_or(true),
        Action::Delivered | Action::Relayed | Action::Expanded => {
            notify(recipient, Notify::Success).unwrap_or(false)
        }
    }
}

/// What BY asks for (RFC 2852 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliverBy {
    /// Seconds since 1970.
    pub deadline: i64,
    /// After the deadline: `true`, the message comes back; `false`, the sender is told, and it goes on.
    pub returns: bool,
    /// The sender wants to know where it went.
    pub traces: bool,
}

impl DeliverBy {
    /// `None`: nothing was asked for, or nothing that can be read.
    pub fn of(record: &SubmissionRecord) -> Option<Self> {
        let value = record.mail_from.parameter("BY")?.value.as_deref()?;
        let (seconds, mode) = value.split_once(';')?;
        let seconds: i64 = seconds.parse().ok()?;
        let mode = mode.to_ascii_uppercase();
        let (mode, traces) = match mode.strip_suffix('T') {
            Some(mode) => (mode, true),
            None => (&*mode, false),
        };
        let returns = match mode {
            "R" => true,
            "N" => false,
            _ => return None,
        };
        Some(Self {
            deadline: record.arrived().saturating_add(seconds),
            returns,
            traces,
        })
    }

    /// The parameter as it is passed on at `now` (seconds since 1970): with the time that is left.
    pub fn passed_on(self, now: i64) -> Parameter {
        let mode = if self.returns { 'R' } else { 'N' };
        let trace = if self.traces { "T" } else { "" };
        let left = self.deadline.saturating_sub(now);
        Parameter {
            name: "BY".to_owned(),
            value: Some(format!("{left};{mode}{trace}")),
        }
    }

    /// RFC 2852 §4.1.5: whether the sender is told that a server took it which will not tell itself. Whether it knows
    /// Deliver By can only be concluded from whether it knows DSN.
    pub fn wants_relayed(self, recipient: &EnvelopeAddress, tells_success: bool) -> bool {
        !is_never(recipient) && (self.traces || (!self.returns && !tells_success))
    }
}

/// The enhanced status code of a reply (RFC 3463), or one made of its code.
pub fn status(reply: &str) -> String {
    let mut words = reply.split(' ');
    let code = words.next().unwrap_or_default();
    let class = match code.as_bytes().first() {
        Some(class @ (b'2' | b'4' | b'5')) => char::from(*class),
        _ => '5',
    };
    let is_number = |text: &str| {
        (1..=3).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit())
    };
    let given = words.next().filter(|given| {
        let parts: Vec<&str> = given.split('.').collect();
        parts.len() == 3 && given.starts_with(class) && parts.iter().copied().all(is_number)
    });
    match given {
        Some(given) => given.to_owned(),
        None => format!("{class}.0.0"),
    }
}

/// What a report is made of.
#[derive(Clone, Copy, Debug)]
pub struct Report<'r> {
    pub hostname: &'r str,
    pub action: Action,
    pub record: &'r SubmissionRecord,
    /// Those of its recipients that are told of.
    pub recipients: &'r [RecipientRecord],
    pub message: &'r [u8],
    /// Seconds since 1970.
    pub now: i64,
    /// Seconds since 1970: until when a delayed message is tried.
    pub retry_until: i64,
    pub random: [u8; 32],
}

impl Report<'_> {
    /// RFC 6533: whether the fields need more than ASCII.
    fn is_global(&self) -> bool {
        let mail_from = &self.record.mail_from;
        mail_from.parameter("SMTPUTF8").is_some()
            || !mail_from.email.is_ascii()
            || self
                .recipients
                .iter()
                .any(|recipient| !recipient.address.email.is_ascii())
    }

    /// RFC 3461 §4.3: the whole message comes back only with a failure, and where it may be seen.
    fn returns_all(&self) -> bool {
        let ret = self.record.mail_from.parameter("RET");
        let full = ret
            .and_then(|parameter| parameter.value.as_deref())
            .is_some_and(|value| value.eq_ignore_ascii_case("FULL"));
        // RFC 8689 §5: what was to go by TLS alone doesn't come back over who knows what.
        full && self.action == Action::Failed
            && self.message.len() <= FULL_OCTETS_MAX
            && self.record.mail_from.parameter("REQUIRETLS").is_none()
    }

    /// The parameters of MAIL with which the report goes to another server.
    pub fn parameters(&self, report: &[u8]) -> Vec<Parameter> {
        let mut parameters = Vec::new();
        let mut add = |name: &str, value: Option<&str>| {
            parameters.push(Parameter {
                name: name.to_owned(),
                value: value.map(str::to_owned),
            });
        };
        if !report.is_ascii() {
            add("BODY", Some("8BITMIME"));
        }
        if self.is_global() {
            add("SMTPUTF8", None);
        }
        if self.record.mail_from.parameter("REQUIRETLS").is_some() {
            add("REQUIRETLS", None);
        }
        parameters
    }

    /// The envelope with which a report that was built goes to a sender elsewhere: from nobody, about which nobody is told
    /// anything (RFC 3461 §4.1, §6.1).
    pub fn envelope(&self, sender: &str, report: &[u8]) -> Envelope {
        let never = Parameter {
            name: "NOTIFY".to_owned(),
            value: Some("NEVER".to_owned()),
        };
        Envelope {
            mail_from: parameters::with("", self.parameters(report)),
            recipients: vec![parameters::with(sender, vec![never])],
        }
    }

    /// The report, whole.
    pub fn build(&self) -> Vec<u8> {
        let number = self.random.iter().fold(String::new(), |mut text, octet| {
            let _ = write!(text, "{octet:02x}");
            text
        });
        let (boundary, id) = number.split_at(32);
        let (hostname, to) = (self.hostname, &self.record.mail_from.email);
        let (subject, date) = (self.action.subject(), date(self.now));
        let status_type = match self.is_global() {
            true => "global-delivery-status",
            false => "delivery-status",
        };
        let text = self.text();
        let fields = self.fields();
        let mut report = format!(
            "From: Mail Delivery System <MAILER-DAEMON@{hostname}>\r\n\
             To: <{to}>\r\n\
             Subject: {subject}\r\n\
             Date: {date}\r\n\
             Message-ID: <{id}@{hostname}>\r\n\
             Auto-Submitted: auto-replied\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status;\r\n \
             boundary=\"=_{boundary}\"\r\n\
             \r\n\
             --=_{boundary}\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             {text_encoding}\
             \r\n\
             {text}\
             \r\n--=_{boundary}\r\n\
             Content-Type: message/{status_type}\r\n\
             {fields_encoding}\
             \r\n\
             {fields}\
             \r\n--=_{boundary}\r\n",
            text_encoding = encoding(text.as_bytes()),
            fields_encoding = encoding(fields.as_bytes()),
        );
        let headers = header_section(self.message);
        let (content_type, returned) = match (self.returns_all(), headers.is_ascii()) {
            (true, true) => ("message/rfc822", self.message),
            (true, false) => ("message/global", self.message),
            (false, true) => ("text/rfc822-headers", headers),
            (false, false) => ("message/global-headers", headers),
        };
        let _ = write!(
            report,
            "Content-Type: {content_type}\r\n{}\r\n",
            encoding(returned)
        );
        let mut report = report.into_bytes();
        report.extend_from_slice(returned);
        report.extend_from_slice(format!("\r\n--=_{boundary}--\r\n").as_bytes());
        report
    }

    /// For people.
    fn text(&self) -> String {
        let mut text = format!(
            "This is the mail system at {}.\r\n\r\n{}\r\n\r\n",
            self.hostname,
            self.action.opening()
        );
        for recipient in self.recipients {
            let _ = write!(text, "  {}\r\n", line(&recipient.address.email));
            let reply = line(&recipient.smtp_reply);
            let _ = match (self.action, &recipient.remote) {
                (Action::Delivered | Action::Expanded, _) => Ok(()),
                (_, Some(remote)) => write!(text, "    {} said: {reply}\r\n", line(remote)),
                (_, None) => write!(text, "    {reply}\r\n"),
            };
        }
        let closing = match self.action {
            Action::Failed => "Nothing more will be tried for these recipients.".to_owned(),
            Action::Delayed => format!(
                "You need not do anything: it will be tried again until\r\n{}.",
                date(self.retry_until)
            ),
            Action::Delivered | Action::Expanded => "You asked to be told.".to_owned(),
            Action::Relayed => "There will be no further report of success.".to_owned(),
        };
        let _ = write!(text, "\r\n{closing}\r\n");
        text
    }

    /// For machines (RFC 3464 §2).
    fn fields(&self) -> String {
        let record = self.record;
        let mut fields = format!("Reporting-MTA: dns; {}\r\n", self.hostname);
        if let Some(id) = value_of(&record.mail_from, "ENVID") {
            let _ = write!(fields, "Original-Envelope-Id: {}\r\n", line(id));
        }
        let _ = write!(fields, "Arrival-Date: {}\r\n", date(record.arrived()));
        // RFC 2852 §6
        if let Some(by) = DeliverBy::of(record) {
            let _ = write!(fields, "Deliver-By-Date: {}\r\n", date(by.deadline));
        }
        for recipient in self.recipients {
            fields.push_str("\r\n");
            self.write_recipient(&mut fields, recipient);
        }
        fields
    }

    /// RFC 3464 §2.3.4: of the class 4, whatever was said. RFC 3463 §3.5: X.4.7 is for the time that the sender has given.
    fn status_of_delay(&self, reply: &str) -> String {
        let is_late = DeliverBy::of(self.record).is_some_and(|by| self.now >= by.deadline);
        let status = status(reply);
        match (is_late, status.starts_with('4')) {
            (true, _) => "4.4.7".to_owned(),
            (false, true) => status,
            (false, false) => "4.0.0".to_owned(),
        }
    }

    fn write_recipient(&self, fields: &mut String, recipient: &RecipientRecord) {
        let email = line(&recipient.address.email);
        // RFC 3464 §2.3.1: only what the sender gave.
        if let Some(original) = value_of(&recipient.address, "ORCPT")
            && let Some((kind, address)) = original.split_once(';')
        {
            let (kind, address) = (line(kind.trim()), line(address.trim()));
            let _ = write!(fields, "Original-Recipient: {kind}; {address}\r\n");
        }
        // RFC 6533 §3
        let kind = if email.is_ascii() { "rfc822" } else { "utf-8" };
        let reply = line(&recipient.smtp_reply);
        let status = match self.action {
            Action::Failed | Action::Relayed => status(&reply),
            Action::Delayed => self.status_of_delay(&reply),
            Action::Delivered | Action::Expanded => "2.0.0".to_owned(),
        };
        let action = self.action.as_str();
        let _ = write!(
            fields,
            "Final-Recipient: {kind}; {email}\r\nAction: {action}\r\nStatus: {status}\r\n"
        );
        if let Some(remote) = &recipient.remote {
            let _ = write!(fields, "Remote-MTA: dns; {}\r\n", line(remote));
        }
        if !matches!(self.action, Action::Delivered | Action::Expanded) {
            let _ = write!(fields, "Diagnostic-Code: smtp; {reply}\r\n");
        }
        if let Some(last) = recipient.last_try {
            let last = date(last.div_euclid(1000));
            let _ = write!(fields, "Last-Attempt-Date: {last}\r\n");
        }
        if self.action == Action::Delayed {
            let until = date(self.retry_until);
            let _ = write!(fields, "Will-Retry-Until: {until}\r\n");
        }
    }
}

fn value_of<'a>(address: &'a EnvelopeAddress, name: &str) -> Option<&'a str> {
    address.parameter(name)?.value.as_deref()
}

fn date(seconds: i64) -> String {
    SentAt::utc(seconds).to_rfc5322()
}

/// What others have said, as one line that is not too long.
fn line(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    line.truncate(line.floor_char_boundary(VALUE_OCTETS_MAX));
    line
}

/// The encoding of a part; that of ASCII needs no field.
fn encoding(octets: &[u8]) -> &'static str {
    match octets.is_ascii() {
        true => "",
        false => "Content-Transfer-Encoding: 8bit\r\n",
    }
}

/// The header section without its empty line; whole lines, at most [`HEADER_OCTETS_MAX`].
fn header_section(message: &[u8]) -> &[u8] {
    let end = memchr::memmem::find(message, b"\r\n\r\n").map_or(message.len(), |at| at + 2);
    let section = &message[..end];
    if section.len() <= HEADER_OCTETS_MAX {
        return section;
    }
    let cut = &section[..HEADER_OCTETS_MAX];
    &cut[..memchr::memrchr(b'\n', cut).map_or(0, |at| at + 1)]
}
