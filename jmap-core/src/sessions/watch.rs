//! Whether the logins of open sessions are still good.
//!
//! Holds: a session whose password was changed, whose credential or token was revoked or has expired, or whose account was disabled or removed, is
//! ended within [`LOOK_EVERY`] of the moment at which this node knows of it; what has nothing to do with logging in ends none.
//! Other half: `directory`, which counts up with every change, of this node or another one.

use std::{collections::HashMap, time::Duration};

use jmap_types::AccountId;
use store::{Record as _, keys};

use super::{Ending, OpenSession, Sessions};
use crate::{
    Core,
    auth::token::TOKEN_HASH_OCTETS,
    caller::Caller,
    directory::{AccountRecord, CredentialKind, records::CredentialRecord},
};

/// How often it is looked whether anything has changed. Where nothing has, that reads nothing.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Accounts that are read at a time.
const ACCOUNTS_AT_ONCE: usize = 500;

/// What is known of the login of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The generation of the account's record with which the credential was the one that is known.
    pub generation: u64,
    /// What tells it from a later one in its place. `None`: it is no row of the directory.
    pub credential: Option<Fingerprint>,
    /// Milliseconds since 1970.
    pub expires: Option<i64>,
    pub kind: Option<CredentialKind>,
    pub description: String,
}

/// What stays the same of a credential as long as the secret does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    created: i64,
    lookup: Vec<u8>,
    token_hash: [u8; TOKEN_HASH_OCTETS],
}

impl Fingerprint {
    fn of(record: &CredentialRecord) -> Self {
        Self {
            created: record.created,
            lookup: record.lookup.clone(),
            token_hash: record.token_hash,
        }
    }
}

/// What became of an account's record.
enum Account {
    Same,
    /// Its generation now.
    Changed(u64),
    Gone,
}

impl Core {
    /// The sessions that are open at this node.
    pub fn sessions(&self) -> &std::sync::Arc<Sessions> {
        &self.sessions
    }

    /// Takes the place for somebody who has just logged in. A login that is no longer good, and one too many, are ended at once.
    pub async fn open_session(&self, place: &OpenSession, who: &Caller) {
        match self.known_login(who).await {
            Ok(Some(known)) => self.sessions.enter(&place.0, who.clone(), known),
            Ok(None) => place.0.end(Ending::LoginOver),
            Err(error) => {
                // Nothing was found out: the next look does.
                tracing::error!(%error, "the login of a session can't be looked at");
                let known = Known {
                    generation: 0,
                    credential: None,
                    expires: None,
                    kind: None,
                    description: String::new(),
                };
                self.sessions.enter(&place.0, who.clone(), known);
            }
        }
    }

    /// What there is to know of a login. `None`: it is no longer good.
    pub(super) async fn known_login(&self, who: &Caller) -> Result<Option<Known>, store::Error> {
        let credentials = self.credential_records(who.account).await?;
        // Behind it: if the account is still what it was when the secret was compared, so was what was read just now.
        let record = self.stored_account(who.account).await?;
        let Some(record) = record.filter(|record| !record.removed && !record.disabled) else {
            return Ok(None);
        };
        let mut own = credentials.into_iter();
        let own = own.find(|(number, _)| *number == who.credential);
        // What has changed since the secret was compared may be the secret.
        if record.generation != who.generation() {
            return Ok(None);
        }
        if own.is_none() && self.current(who).await?.is_none() {
            return Ok(None);
        }
        let own = own.map(|(_, record)| record);
        Ok(Some(Known {
            generation: record.generation,
            credential: own.as_ref().map(Fingerprint::of),
            // Of a grant, its token's: the grant goes on with the next one.
            expires: who.expires().or(own.as_ref().and_then(|own| own.expires)),
            kind: own.as_ref().map(|own| own.kind),
            description: own.map(|own| own.description).unwrap_or_default(),
        }))
    }

    /// Works until it is dropped.
    pub(crate) async fn run_sessions(&self) {
        let mut looked = self.generation();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.sessions.end_expired(self.clock.now().0);
            let generation = self.generation();
            if generation == looked {
                continue;
            }
            match self.end_lost_sessions().await {
                Ok(()) => looked = generation,
                Err(error) => {
                    tracing::error!(%error, "the logins of open sessions can't be looked at");
                }
            }
        }
    }

    /// Ends the sessions whose login is no longer good.
    pub async fn end_lost_sessions(&self) -> Result<(), store::Error> {
        let mut of_account: HashMap<AccountId, Vec<(u64, Caller, Known)>> = HashMap::new();
        for (number, caller, known) in self.sessions.logins() {
            let of = of_account.entry(caller.account).or_default();
            of.push((number, caller, known));
        }
        let accounts: Vec<AccountId> = of_account.keys().copied().collect();
        for some in accounts.chunks(ACCOUNTS_AT_ONCE) {
            let rows: Vec<_> = some.iter().map(|account| keys::account(*account)).collect();
            let values = self.engine.multi_get(&rows).await?;
            for ((account, key), value) in some.iter().zip(&rows).zip(values) {
                let record = match value.map(|bytes| AccountRecord::from_bytes(key, &bytes)) {
                    Some(Ok(record)) => Some(record),
                    // Invariant 5: what can't be read ends nothing, and the others are looked at.
                    Some(Err(error)) => {
                        tracing::error!(%error, "sessions of an account can't be looked at");
                        continue;
                    }
                    None => None,
                };
                let sessions = of_account.remove(account).unwrap_or_default();
                for (number, caller, known) in sessions {
                    self.look_at_session(number, &caller, known, record.as_ref())
                        .await?;
                }
            }
        }
        Ok(())
    }

    async fn look_at_session(
        &self,
        number: u64,
        caller: &Caller,
        known: Known,
        record: Option<&AccountRecord>,
    ) -> Result<(), store::Error> {
        match what_became(record, &known) {
            Account::Same => {}
            Account::Gone => self.sessions.end(number, Ending::LoginOver),
            Account::Changed(generation) => {
                let credentials = self.credential_records(caller.account).await?;
                let own = credentials.iter().find(|(of, _)| *of == caller.credential);
                let is_same = known.credential == own.map(|(_, own)| Fingerprint::of(own));
                if !is_same || self.current(caller).await?.is_none() {
                    self.sessions.end(number, Ending::LoginOver);
                    return Ok(());
                }
                self.sessions.learn(
                    number,
                    Known {
                        generation,
                        ..known
                    },
                );
            }
        }
        Ok(())
    }
}

fn what_became(record: Option<&AccountRecord>, known: &Known) -> Account {
    match record {
        None => Account::Gone,
        Some(record) if record.removed || record.disabled => Account::Gone,
        Some(record) if record.generation == known.generation => Account::Same,
        Some(record) => Account::Changed(record.generation),
    }
}

impl Sessions {
    fn logins(&self) -> Vec<(u64, Caller, Known)> {
        let open = self.open.lock();
        let of = |(number, entry): (&u64, &super::Entry)| {
            (*number, entry.caller.clone(), entry.known.clone())
        };
        open.iter().map(of).collect()
    }

    fn learn(&self, number: u64, known: Known) {
        if let Some(entry) = self.open.lock().get_mut(&number) {
            entry.known = known;
        }
    }

    /// Tells a session that it has to end.
    pub(super) fn end(&self, number: u64, why: Ending) {
        let entry = self.open.lock().get(&number).cloned();
        let Some(entry) = entry else { return };
        if let Some(place) = entry.place.upgrade() {
            let (who, protocol) = (&entry.caller.name, place.kind.name());
            tracing::info!(%who, protocol, reason = why.text(), "session ended");
            place.end(why);
        }
    }

    pub(crate) fn end_expired(&self, now: i64) {
        let is_over = |entry: &super::Entry| entry.known.expires.is_some_and(|end| now >= end);
        let over: Vec<u64> = {
            let open = self.open.lock();
            let over = open.iter().filter(|(_, entry)| is_over(entry));
            over.map(|(number, _)| *number).collect()
        };
        for number in over {
            self.end(number, Ending::LoginOver);
        }
    }
}
