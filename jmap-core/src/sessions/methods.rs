//! What administrators, and people about their own, are told of sessions, and how they end them.
//!
//! Holds: who ends a session of somebody else's is in the audit before it ends.
//! Other half: `access` decides.

use std::{collections::HashMap, net::IpAddr, sync::atomic::Ordering};

use jmap_types::AccountId;

use super::{Ending, Entry, SessionKind};
use crate::{
    Core,
    access::{self, Object, Operation},
    admin::Deed,
    caller::Caller,
    directory::{CredentialKind, DirectoryError},
};

/// A session, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Within this node, for as long as it runs.
    pub number: u64,
    pub account: AccountId,
    /// The login name.
    pub name: String,
    pub kind: SessionKind,
    /// The number of the credential within its account.
    pub credential: u64,
    /// `None`: it is no row of the directory, or the session is one of HTTP.
    pub credential_kind: Option<CredentialKind>,
    pub credential_description: String,
    /// `None`: of this machine.
    pub address: Option<IpAddr>,
    /// Milliseconds since 1970.
    pub since: i64,
    pub active: i64,
}

impl Core {
    /// The sessions at this node that the caller may see, the oldest first; `account`: only those of this one.
    pub async fn open_sessions(
        &self,
        who: &Caller,
        account: Option<AccountId>,
    ) -> Result<Vec<SessionInfo>, DirectoryError> {
        access::may_begin(who, Operation::SeeSessions, account)?;
        let mut found = self.all_sessions();
        found.retain(|info| account.is_none_or(|account| info.account == account));
        let mut may: HashMap<AccountId, bool> = HashMap::new();
        for info in &found {
            if may.contains_key(&info.account) {
                continue;
            }
            let record = self.account_record(info.account).await?;
            let is_seen = record.is_some_and(|record| {
                let object = Object::Account(info.account, &record);
                access::may(who, Operation::SeeSessions, object).is_ok()
            });
            may.insert(info.account, is_seen);
        }
        found.retain(|info| may.get(&info.account) == Some(&true));
        found.sort_by_key(|info| (info.since, info.number));
        Ok(found)
    }

    fn all_sessions(&self) -> Vec<SessionInfo> {
        let entries: Vec<(u64, Entry)> = {
            let open = self.sessions.open.lock();
            let all = open.iter();
            all.map(|(number, entry)| (*number, entry.clone()))
                .collect()
        };
        let connections = entries.into_iter().filter_map(|(number, entry)| {
            let place = entry.place.upgrade()?;
            Some(SessionInfo {
                number,
                account: entry.caller.account,
                name: entry.caller.name.clone(),
                kind: place.kind,
                credential: entry.caller.credential,
                credential_kind: entry.known.kind,
                credential_description: entry.known.description,
                address: place.address,
                since: entry.since,
                active: place.active.load(Ordering::Relaxed),
            })
        });
        let recent = self.sessions.recent.all(self.clock.now().0);
        let programs = recent.into_iter().map(|recent| SessionInfo {
            number: recent.number,
            account: recent.caller.account,
            name: recent.caller.name.clone(),
            kind: SessionKind::Http,
            credential: recent.caller.credential,
            credential_kind: None,
            credential_description: String::new(),
            address: recent.caller.address(),
            since: recent.since,
            active: recent.active,
        });
        connections.chain(programs).collect()
    }

    /// Ends one session. `account`: only if it is one of this account's.
    pub async fn end_session(
        &self,
        who: &Caller,
        number: u64,
        account: Option<AccountId>,
    ) -> Result<(), DirectoryError> {
        access::may_begin(who, Operation::EndSession, account)?;
        let not_found = || DirectoryError::NotFound(format!("session {number:x}"));
        let mut all = self.all_sessions().into_iter();
        let info = all.find(|info| info.number == number);
        let info = info.filter(|info| account.is_none_or(|account| info.account == account));
        let info = info.ok_or_else(not_found)?;
        let record = self.account_record(info.account).await?;
        let record = record.ok_or_else(not_found)?;
        let object = Object::Account(info.account, &record);
        access::may(who, Operation::EndSession, object).map_err(|error| match error {
            // Not the account is what was asked for.
            DirectoryError::NotFound(_) => not_found(),
            error => error,
        })?;
        if info.kind == SessionKind::Http {
            return Err(DirectoryError::InUse(
                "a program that logs in with each request has no connection to end; revoke its credential"
                    .to_owned(),
            ));
        }
        let deed = Deed::of_account(Operation::EndSession, info.account, &record)
            .field("session", Some(format!("{number:x}")), None)
            .field("protocol", Some(info.kind.name().to_owned()), None)
            .field(
                "address",
                info.address.map(|address| address.to_string()),
                None,
            );
        self.note_deed(who, deed).await?;
        self.sessions.end(number, Ending::Asked);
        Ok(())
    }

    /// Ends all connections of an account at this node, and says how many there were.
    pub async fn end_sessions_of(
        &self,
        who: &Caller,
        account: AccountId,
    ) -> Result<usize, DirectoryError> {
        let record = self
            .account_for(who, Operation::EndSession, account)
            .await?;
        let all = self.all_sessions();
        let own = all
            .into_iter()
            .filter(|info| info.account == account && info.kind != SessionKind::Http);
        let numbers: Vec<u64> = own.map(|info| info.number).collect();
        if !numbers.is_empty() {
            let count = numbers.len().to_string();
            let deed = Deed::of_account(Operation::EndSession, account, &record);
            self.note_deed(who, deed.field("sessions", Some(count), None))
                .await?;
        }
        for number in &numbers {
            self.sessions.end(*number, Ending::Asked);
        }
        Ok(numbers.len())
    }
}
