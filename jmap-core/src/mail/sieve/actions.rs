//! What a plan does, in the transaction of the delivery.
//!
//! Holds: all of it happens with the delivery, or nothing; what can't be done as the script says leaves the message in the inbox.
//! Other half: `filter` makes plans; `inproc::queue` sends what is staged here.

use std::collections::BTreeMap;

use bytes::Bytes;
use jmap_types::mail::Mailbox;
use unicode_normalization::UnicodeNormalization as _;

use super::{
    REASON_OCTETS_MAX, REMEMBERED, Remembered, RememberedRecord,
    filter::{Filtered, Incoming},
    run::{Filing, Plan, Redirect, Target, Vacation},
    script_key,
};
use crate::{
    Core,
    inproc::origin::Author,
    mail::{
        email, forward, mailbox,
        submission::{self, envelope::Envelope, parameters, records::EnvelopeAddress, stage},
        vacation,
        write::{self, MailTxn, Message, Placement},
    },
    object::{GetObject as _, Rejected},
    trace::Told,
};

/// What became of a message.
#[derive(Debug)]
pub(crate) enum Carried {
    Done {
        /// Something has to be sent.
        has_outgoing: bool,
        /// The account's VacationResponse may still answer it.
        is_open_for_reply: bool,
        /// Recipients that were counted for the account's rate: to be given back if the transaction fails.
        redirects: u64,
        /// What was done, for the trace.
        told: Told,
    },
    /// Nothing was written: the sender is to be told why.
    Refused(String),
}

/// A plan being carried out.
struct Acting<'a> {
    core: &'a Core,
    incoming: &'a Incoming<'a>,
    /// What was done, for the log.
    done: Vec<String>,
    problem: Option<String>,
    /// Mailboxes that the message itself, or another version of it, is in.
    mailboxes: Vec<u64>,
    outgoing: usize,
    /// Recipients that were counted for the account's rate.
    redirects: u64,
}

/// Does what the plan says.
pub(crate) async fn carry_out(
    core: &Core,
    txn: &mut MailTxn,
    incoming: &Incoming<'_>,
    filtered: Filtered,
) -> Result<Carried, Rejected> {
    let Filtered {
        mut plan,
        script,
        error,
    } = filtered;
    let mut acting = Acting {
        core,
        incoming,
        done: Vec::new(),
        problem: error,
        mailboxes: Vec::new(),
        outgoing: 0,
        redirects: 0,
    };
    let mut refused = None;
    if let Some(reason) = plan.refusal.take() {
        let reason = one_line(&reason);
        acting.done.push("reject".to_owned());
        if incoming.may_refuse {
            refused = Some(reason);
        } else if !acting.report(txn, &reason).await? {
            acting.problem = Some("there is nobody to tell of the rejection".to_owned());
            plan.filings = Plan::inbox().filings;
        } else {
            plan.is_discarded = true;
        }
    }
    let result = match &refused {
        Some(_) => Ok(()),
        None => acting.act(txn, &plan).await,
    };
    if result.is_err() {
        core.sending.give_back(txn.account(), acting.redirects);
    }
    result?;
    if let Some(script) = script {
        let actions = acting.done.join(", ");
        let account = txn.account();
        match &acting.problem {
            Some(error) => {
                tracing::warn!(%account, script, actions, error, "a sieve script failed")
            }
            None => tracing::info!(%account, script, actions, "a sieve script has run"),
        }
    }
    Ok(match refused {
        Some(reason) => Carried::Refused(reason),
        None => Carried::Done {
            has_outgoing: acting.outgoing > 0,
            is_open_for_reply: plan.vacation.is_none() && !plan.is_discarded,
            redirects: acting.redirects,
            told: Told {
                mailboxes: acting.mailboxes,
                actions: acting.done,
                problem: acting.problem,
                reported: None,
            },
        },
    })
}

impl Acting<'_> {
    async fn act(&mut self, txn: &mut MailTxn, plan: &Plan) -> Result<(), Rejected> {
        let mut versions = BTreeMap::new();
        for (number, octets) in &plan.versions {
            versions.insert(*number, Message::parse(octets.clone()));
        }
        versions.insert(0, self.incoming.message.clone());
        if let Some(written) = &plan.vacation
            && let Some(octets) = self.answer(txn, written).await?
        {
            versions.insert(written.version, Message::parse(octets));
        }
        let mut is_kept = self.file(txn, &plan.filings, &versions).await?;
        for redirect in &plan.redirects {
            let is_one = plan.redirects.len() == 1;
            let is_sent = self.redirect(txn, redirect, &versions, is_one).await?;
            // What isn't sent must be somewhere.
            if !is_sent && !is_kept {
                let inbox = Plan::inbox().filings;
                is_kept = self.file(txn, &inbox, &versions).await?;
            }
        }
        if plan.is_discarded && plan.filings.is_empty() && plan.redirects.is_empty() {
            self.done.push("discard".to_owned());
        }
        if !plan.remember.is_empty() {
            let key = script_key(txn.account(), REMEMBERED);
            let mut memory = match txn.record::<RememberedRecord>(&key).await {
                Err(store::Error::Corrupt { .. }) => RememberedRecord::default(),
                memory => memory?.unwrap_or_default(),
            };
            let now = self.core.clock.now().seconds();
            let entries: Vec<Remembered> = plan
                .remember
                .iter()
                .map(|&(hash, seconds)| Remembered {
                    hash,
                    until: now.saturating_add(seconds),
                })
                .collect();
            memory.add(&entries, now);
            txn.put_record(key, &memory);
        }
        Ok(())
    }

    /// Files each version of the message once, into all its mailboxes. Whether the message itself is in one of them.
    async fn file(
        &mut self,
        txn: &mut MailTxn,
        filings: &[Filing],
        versions: &BTreeMap<usize, Message>,
    ) -> Result<bool, Rejected> {
        let junk = match self.incoming.is_junk {
            true => mailbox::with_role(txn, "junk").await?,
            false => None,
        };
        let mut by_version: BTreeMap<usize, (Vec<u64>, Vec<String>)> = BTreeMap::new();
        for filing in filings {
            let mailbox = match self.mailbox(txn, &filing.target).await? {
                Some(mailbox) => mailbox,
                None => junk.unwrap_or(write::INBOX),
            };
            let (mailboxes, keywords) = by_version.entry(filing.version).or_default();
            if !mailboxes.contains(&mailbox) {
                mailboxes.push(mailbox);
            }
            let max = self.core.limits().max_keywords_per_email as usize;
            for keyword in filing.flags.iter().filter_map(|flag| keyword(flag)) {
                if !keywords.contains(&keyword) && keywords.len() < max {
                    keywords.push(keyword);
                }
            }
        }
        let mut is_kept = false;
        for (version, (mailboxes, keywords)) in by_version {
            // A reply that could not be written isn't filed either.
            let Some(message) = versions.get(&version) else {
                continue;
            };
            let placement = Placement {
                mailboxes,
                keywords,
                received_at: self.incoming.received_at,
                quota_octets: self.incoming.quota_octets,
                is_delivery: true,
                is_deleted: false,
            };
            let now = self.core.clock.now();
            write::insert_email(txn, message, &placement, now).await?;
            self.mailboxes.extend(placement.mailboxes);
            is_kept = true;
        }
        Ok(is_kept)
    }

    /// The mailbox that is meant; `None`: it isn't there, and that is noted.
    async fn mailbox(
        &mut self,
        txn: &mut MailTxn,
        target: &Target,
    ) -> Result<Option<u64>, Rejected> {
        let Target::Mailbox {
            name,
            id,
            role: attribute,
            may_create,
        } = target
        else {
            self.done.push("keep".to_owned());
            return Ok(None);
        };
        self.done.push(format!("fileinto {name:?}"));
        let mailboxes = mailbox::all_in(txn).await?;
        // RFC 9042 §4: the id wins, if there is such a mailbox.
        if let Some(id) = id {
            let asked = jmap_types::WireId::parse(id).and_then(|id| Mailbox::parse_id(&id));
            let known = asked.filter(|asked| mailboxes.iter().any(|(id, ..)| id == asked));
            if known.is_some() {
                return Ok(known);
            }
        }
        let role = attribute.as_deref().and_then(role);
        // RFC 8579 §4: the one with the attribute wins, if there is one.
        if let Some(role) = &role {
            let used = mailboxes
                .iter()
                .find(|(_, _, other)| other.as_ref() == Some(role));
            if let Some((id, ..)) = used {
                return Ok(Some(*id));
            }
        }
        let named = mailboxes.iter().find(|(_, known, _)| is_name(known, name));
        if let Some((id, ..)) = named {
            return Ok(Some(*id));
        }
        if !*may_create {
            self.problem = Some(format!("there is no mailbox {name:?}"));
            return Ok(None);
        }
        match mailbox::create_path(self.core, txn, name, role.as_deref()).await {
            Ok(id) => Ok(Some(id)),
            Err(Rejected::Set(error)) => {
                let why = error.description.unwrap_or_default();
                self.problem = Some(format!("the mailbox {name:?} can't be made: {why}"));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Stages a redirect (RFC 5228 §4.2); `is_one`: there is no other. `false`: it isn't sent.
    async fn redirect(
        &mut self,
        txn: &mut MailTxn,
        redirect: &Redirect,
        versions: &BTreeMap<usize, Message>,
        is_one: bool,
    ) -> Result<bool, Rejected> {
        let account = txn.account();
        let own = self.own_address(txn).await?;
        let Some(message) = versions.get(&redirect.version) else {
            return Ok(false);
        };
        let address = &redirect.address;
        self.done.push(format!("redirect <{address}>"));
        if !submission::is_address(address) {
            self.problem = Some(format!("{address:?} is no address"));
            return Ok(false);
        }
        if forward::is_looping(self.incoming.message, &own) {
            self.problem = Some("the message goes round in circles".to_owned());
            return Ok(false);
        }
        if self.core.take_sending(account, 1).await?.is_err() {
            self.problem = Some("too much was sent lately".to_owned());
            return Ok(false);
        }
        self.redirects += 1;
        let octets = forward::trace(&message.octets, &own);
        // RFC 5228 §4.2: the null reverse-path stays; otherwise it is one that leads to the sender by way of this server.
        let mail_from = match self.incoming.mail_from {
            Some(sender) => forward::reverse_path(self.core, sender, address, &own, true).await?,
            None => String::new(),
        };
        // RFC 3461 §5.2.7.1, RFC 8689 §4.2: what was asked for with the message is asked for further on.
        let incoming = self.incoming;
        let is_reported = !self.mailboxes.is_empty() || !is_one;
        let came_to = incoming.recipient.unwrap_or(&own);
        let envelope = Envelope {
            mail_from: parameters::with(mail_from, parameters::handed_on(incoming.mail_parameters)),
            recipients: vec![parameters::with(
                address.as_str(),
                parameters::handed_on_to(came_to, incoming.parameters, is_reported),
            )],
        };
        // What a script has changed are not the author's words any more.
        let author = match redirect.version {
            0 => incoming.author.clone(),
            _ => Author::Unknown,
        };
        let is_staged = stage::passed_on(self.core, txn, envelope, octets, &author).await?;
        self.outgoing += usize::from(is_staged);
        if !is_staged {
            self.problem = Some("too many messages wait to be sent".to_owned());
        }
        Ok(is_staged)
    }

    /// Hands a message to the queue. `false`: there is no room in it.
    async fn send(
        &mut self,
        txn: &mut MailTxn,
        mail_from: &str,
        to: &str,
        octets: Bytes,
    ) -> Result<bool, Rejected> {
        let envelope = Envelope {
            mail_from: EnvelopeAddress::plain(mail_from),
            recipients: vec![EnvelopeAddress::plain(to)],
        };
        let is_staged = stage::automatic(self.core, txn, envelope, octets).await?;
        self.outgoing += usize::from(is_staged);
        Ok(is_staged)
    }

    async fn own_address(&self, txn: &MailTxn) -> Result<String, store::Error> {
        let record = self.core.account_record(txn.account()).await?;
        let own = record.and_then(|record| record.addresses.first().cloned());
        Ok(own.unwrap_or_default())
    }

    /// Stages the reply of RFC 5230, and gives its octets.
    async fn answer(
        &mut self,
        txn: &mut MailTxn,
        written: &Vacation,
    ) -> Result<Option<Bytes>, Rejected> {
        let Some(sender) = self.incoming.mail_from else {
            return Ok(None);
        };
        let sender = sender.to_owned();
        let reply =
            vacation::as_written(self.core, txn, self.incoming.message, &sender, written).await?;
        let Some(octets) = reply else {
            self.problem = Some("the vacation response can't be written".to_owned());
            return Ok(None);
        };
        self.done.push("vacation".to_owned());
        // RFC 5230 §4.8, RFC 3834 §3.3
        if !self.send(txn, "", &sender, octets.clone()).await? {
            self.problem = Some("too many messages wait to be sent".to_owned());
        }
        Ok(Some(octets))
    }

    /// RFC 5429 §2.1: who can't be told in the session gets a report. `false`: there is nobody.
    async fn report(&mut self, txn: &mut MailTxn, reason: &str) -> Result<bool, Rejected> {
        let own = self.own_address(txn).await?;
        let recipient = self.incoming.recipient.map_or(own, str::to_owned);
        let reply = format!("550 5.7.1 {reason}");
        let recipients = [EnvelopeAddress::plain(recipient)];
        let is_told =
            forward::tell_sender(self.core, txn, self.incoming, &recipients, &reply).await?;
        self.outgoing += usize::from(is_told);
        Ok(is_told)
    }
}

/// The role of a special-use attribute (RFC 6154), such as `\Junk`.
pub(super) fn role(attribute: &str) -> Option<String> {
    let name = attribute.strip_prefix('\\')?;
    (!name.is_empty()).then(|| name.to_ascii_lowercase())
}

/// The keyword of an IMAP flag (RFC 8621 §4.1.1); `None` for a flag that scripts can't set.
fn keyword(flag: &str) -> Option<String> {
    let Some(system) = flag.strip_prefix('\\') else {
        return email::keyword(flag);
    };
    let system = system.to_ascii_lowercase();
    matches!(&*system, "seen" | "answered" | "flagged" | "draft").then(|| format!("${system}"))
}

/// Whether `asked` names the mailbox with this name: as IMAP has it, INBOX in any letter case (RFC 5490 §2).
pub(super) fn is_name(known: &str, asked: &str) -> bool {
    let asked: String = asked.nfc().collect();
    let (known_first, known_rest) = known.split_once('/').unwrap_or((known, ""));
    let (asked_first, asked_rest) = asked.split_once('/').unwrap_or((&asked, ""));
    let is_same_first = match known_first {
        "INBOX" => asked_first.eq_ignore_ascii_case("inbox"),
        other => other == asked_first,
    };
    is_same_first && known_rest == asked_rest && known.contains('/') == asked.contains('/')
}

/// A reason as it goes into a reply: one line, not too long (RFC 5429 §2.1.2).
fn one_line(reason: &str) -> String {
    let mut line = String::new();
    for word in reason.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        // Not every client takes more than ASCII (RFC 6531 §3.7.4).
        line.extend(word.chars().map(|c| if c.is_ascii() { c } else { '?' }));
    }
    line.truncate(REASON_OCTETS_MAX);
    match line.is_empty() {
        true => "The recipient does not want this message".to_owned(),
        false => line,
    }
}
