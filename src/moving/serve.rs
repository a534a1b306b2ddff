//! Answers a session of moving on a core.
//!
//! Holds: memory is bounded by one batch; a question that can't be understood ends the session.
//! Other half: `session`.

use std::io;

use bytes::Bytes;
use jmap_core::{
    Caller, Core,
    inproc::{
        export::Settings,
        import::{FlagsSeen, ImportError, Imported, Item, Meeting as CoreMeeting},
    },
};
use jmap_types::AccountId;
use tokio::io::{AsyncBufRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::protocol::{
    AddressItem, Ask, BATCH_OCTETS, EmailItem, EmailRow, FlagsItem, IdentityItem, KnownItem,
    LINE_OCTETS_MAX, MESSAGES_MAX, MailboxItem, Meeting, Outcome, PutItem, Reply, ScriptItem,
    SettingsItem, VacationItem,
};
use crate::{
    cli::control::{read_line, write},
    hex::{hex, unhex, unhex_array},
};

/// Answers until the peer has no more questions.
pub async fn session(
    stream: &mut (impl AsyncBufRead + AsyncWrite + Unpin),
    core: &Core,
    who: Caller,
) -> io::Result<()> {
    let mut mover = Mover {
        core,
        who,
        account: None,
    };
    loop {
        let line = match read_line(stream, LINE_OCTETS_MAX).await {
            Ok(line) => line,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        let Ok(ask) = serde_json::from_slice::<Ask>(&line) else {
            let why = "the server doesn't know this question; it may be of another version";
            return write(stream, &Reply::Error(why.to_owned())).await;
        };
        drop(line);
        let answered = match ask {
            Ask::Put(items) => {
                let octets = read_octets(stream, core, &items).await?;
                mover.put(items, octets).await
            }
            Ask::Octets { hash } => match mover.octets(&hash).await {
                Ok(octets) => {
                    let length = octets.as_ref().map(|octets| octets.len() as u64);
                    write(stream, &Reply::Octets(length)).await?;
                    stream.write_all(&octets.unwrap_or_default()).await?;
                    stream.flush().await?;
                    continue;
                }
                Err(error) => Err(error),
            },
            ask => mover.answer(ask).await,
        };
        match answered {
            Ok(reply) => write(stream, &reply).await?,
            Err(error) => return write(stream, &Reply::Error(error.to_string())).await,
        }
    }
}

/// The messages behind a line. More than was agreed on ends the session.
async fn read_octets(
    stream: &mut (impl AsyncBufRead + Unpin),
    core: &Core,
    items: &[PutItem],
) -> io::Result<Vec<Bytes>> {
    let too_much = || io::Error::new(io::ErrorKind::InvalidData, "a batch is too large");
    let max = core.limits.max_size_message;
    let sum = items
        .iter()
        .fold(0u64, |sum, item| sum.saturating_add(item.octets));
    if items.len() > MESSAGES_MAX
        || sum > BATCH_OCTETS.saturating_add(max)
        || items.iter().any(|item| item.octets > max)
    {
        return Err(too_much());
    }
    let mut messages = Vec::with_capacity(items.len());
    for item in items {
        let length = usize::try_from(item.octets).map_err(|_| too_much())?;
        let mut octets = vec![0; length];
        stream.read_exact(&mut octets).await?;
        messages.push(Bytes::from(octets));
    }
    Ok(messages)
}

/// Why a session ends.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(transparent)]
    Directory(#[from] jmap_core::directory::DirectoryError),
    #[error("{0}")]
    Wrong(&'static str),
}

type Answered = Result<Reply, Failure>;

struct Mover<'c> {
    core: &'c Core,
    who: Caller,
    account: Option<AccountId>,
}

impl Mover<'_> {
    fn account(&self) -> Result<AccountId, Failure> {
        self.account
            .ok_or(Failure::Wrong("no account has been named"))
    }

    async fn answer(&mut self, ask: Ask) -> Answered {
        let (core, who) = (self.core, &self.who);
        Ok(match ask {
            Ask::Account { name } => {
                let account = core.account_named(&name).await?;
                self.account = Some(account.id);
                Reply::Account {
                    name: account.record.name.clone(),
                    message_octets_max: core.limits.max_size_message,
                    keywords_max: core.limits.max_keywords_per_email,
                }
            }
            Ask::Mailbox {
                levels,
                role,
                is_subscribed,
            } => {
                let levels: Vec<&str> = levels.iter().map(String::as_str).collect();
                let made = core.import_mailbox(
                    who,
                    self.account()?,
                    &levels,
                    role.as_deref(),
                    is_subscribed,
                );
                match made.await {
                    Ok((id, is_new)) => Reply::Mailbox { id, is_new },
                    Err(error @ ImportError::Mailbox(_)) => Reply::Refused(error.to_string()),
                    Err(error) => return Err(error.into()),
                }
            }
            Ask::Known { collection, after } => {
                let collection = of_hex(&collection)?;
                let after = after
                    .map(|after| unhex(&after).ok_or(NOT_HEX))
                    .transpose()?;
                let known = core
                    .import_known(who, self.account()?, &collection, after.as_deref())
                    .await?;
                let row = |(item, record): (Vec<u8>, jmap_core::inproc::import::ImportRecord)| {
                    KnownItem {
                        item: hex(&item),
                        keywords: record.keywords,
                        is_deleted: record.is_deleted,
                    }
                };
                Reply::Known(known.into_iter().map(row).collect())
            }
            Ask::Flags { collection, seen } => {
                let collection = of_hex(&collection)?;
                let seen = seen.into_iter().map(flags).collect::<Result<Vec<_>, _>>()?;
                let account = self.account()?;
                Reply::Flags(core.import_flags(who, account, &collection, &seen).await?)
            }
            Ask::Forget => {
                core.import_forget(who, self.account()?).await?;
                Reply::Forgotten
            }
            Ask::Mailboxes => {
                let rows = core.export_mailboxes(who, self.account()?).await?;
                let row =
                    |(id, record): (u64, jmap_core::mail::records::MailboxRecord)| MailboxItem {
                        id,
                        name: record.name,
                        parent: record.parent,
                        role: record.role,
                        is_subscribed: record.is_subscribed,
                    };
                Reply::Mailboxes(rows.into_iter().map(row).collect())
            }
            Ask::Emails { after } => {
                let rows = core.export_emails(who, self.account()?, after).await?;
                let row = |(id, record): (u64, Result<_, store::Error>)| EmailItem {
                    id,
                    email: record.ok().map(email_row),
                };
                Reply::Emails(rows.into_iter().map(row).collect())
            }
            Ask::Settings => {
                let settings = core.export_settings(who, self.account()?).await?;
                Reply::Settings(Box::new(settings_item(settings)))
            }
            Ask::Put(_) | Ask::Octets { .. } => {
                return Err(Failure::Wrong("octets are read and written elsewhere"));
            }
        })
    }

    async fn put(&self, items: Vec<PutItem>, octets: Vec<Bytes>) -> Answered {
        let mut read = Vec::with_capacity(items.len());
        for (item, octets) in items.into_iter().zip(octets) {
            read.push(Item {
                collection: of_hex(&item.collection)?,
                item: unhex(&item.item).ok_or(NOT_HEX)?,
                octets,
                mailboxes: item.mailboxes,
                keywords: item.keywords,
                is_deleted: item.is_deleted,
                received_at: item.received_at,
                meeting: match item.meeting {
                    Meeting::Separate => CoreMeeting::Separate,
                    Meeting::Join => CoreMeeting::Join,
                    Meeting::Skip => CoreMeeting::Skip,
                },
            });
        }
        let account = self.account()?;
        let outcomes = self.core.import_items(&self.who, account, read).await?;
        let outcome = |outcome| match outcome {
            Ok(Imported::New(_)) => Outcome::New,
            Ok(Imported::Joined(_)) => Outcome::Joined,
            Ok(Imported::Skipped(_)) => Outcome::Skipped,
            Ok(Imported::Known(_)) => Outcome::Known,
            Err(error) => Outcome::Refused(sentence(&error)),
        };
        Ok(Reply::Put(outcomes.into_iter().map(outcome).collect()))
    }

    async fn octets(&self, hash: &str) -> Result<Option<Bytes>, Failure> {
        let hash = unhex_array(hash).ok_or(NOT_HEX)?;
        let account = self.account()?;
        Ok(self.core.export_octets(&self.who, account, &hash).await?)
    }
}

const NOT_HEX: Failure = Failure::Wrong("a name is not in hexadecimal");

fn of_hex(text: &str) -> Result<[u8; 16], Failure> {
    unhex_array(text).ok_or(NOT_HEX)
}

fn flags(item: FlagsItem) -> Result<FlagsSeen, Failure> {
    Ok(FlagsSeen {
        item: unhex(&item.item).ok_or(NOT_HEX)?,
        keywords: item.keywords,
        is_deleted: item.is_deleted,
    })
}

fn sentence(error: &jmap_types::SetError) -> String {
    match &error.description {
        Some(text) => text.to_string(),
        None => format!("it is refused ({:?})", error.kind),
    }
}

fn email_row(record: jmap_core::mail::records::EmailRecord) -> EmailRow {
    let place =
        |place: &jmap_core::mail::records::InMailbox| (place.mailbox, place.uid, place.is_deleted);
    EmailRow {
        hash: hex(&record.blob),
        size: record.size,
        received_at: record.received_at,
        places: record.all_places.iter().map(place).collect(),
        keywords: record.keywords,
    }
}

fn settings_item(settings: Settings) -> SettingsItem {
    let addresses = |list: Vec<jmap_core::mail::identity::NamedAddress>| {
        let item = |address: jmap_core::mail::identity::NamedAddress| AddressItem {
            name: address.name,
            email: address.email,
        };
        list.into_iter().map(item).collect()
    };
    let identities = settings.identities.into_iter().map(|record| IdentityItem {
        name: record.name,
        email: record.email,
        reply_to: record.reply_to.map(addresses),
        bcc: record.bcc.map(addresses),
        text_signature: record.text_signature,
        html_signature: record.html_signature,
    });
    SettingsItem {
        identities: identities.collect(),
        vacation: settings.vacation.map(|record| VacationItem {
            is_enabled: record.is_enabled,
            from_date: record.from_date,
            to_date: record.to_date,
            subject: record.subject,
            text_body: record.text_body,
            html_body: record.html_body,
        }),
        scripts: settings
            .scripts
            .into_iter()
            .map(|script| ScriptItem {
                name: script.name,
                is_active: script.is_active,
                script: String::from_utf8_lossy(&script.octets).into_owned(),
            })
            .collect(),
    }
}
