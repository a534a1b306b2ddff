//! What people have granted to clients of OAuth: a grant is a credential of the account, whose tokens come and go.
//!
//! Holds: a grant comes into being in the commit that uses its code up; a refresh token is replaced in the commit that makes the next
//! one, so that of two who come with it one gets something; with a grant go all its tokens.
//! Other half: `auth::oauth` checks who asks; `auth::login` takes the access tokens.

use std::{sync::Arc, time::Duration};

use jmap_types::AccountId;
use store::{
    Record as _,
    engine::{Assertion, Batch},
    keys, numbers,
};

use super::{
    CREDENTIALS_PER_ACCOUNT_MAX, DirectoryError,
    read::Token,
    records::{AccountKind, AccountRecord, CredentialKind, CredentialRecord, PASSWORD},
};
use crate::{
    Core,
    access::Operation,
    admin::Deed,
    auth::{
        Origin, Secret,
        oauth::{
            ACCESS_SECONDS, ACCESS_TOKENS_MAX, Client, GRANTS_PER_ACCOUNT_MAX, OAuthScopes,
            REFRESH_SECONDS,
            records::{AccessToken, Grant, Kept},
        },
        token::{self, Presented, TokenId},
    },
    caller::Caller,
    clock::UtcMillis,
};

/// What a person has agreed to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewGrant<'g> {
    pub account: AccountId,
    pub client: &'g Client,
    pub scopes: OAuthScopes,
    /// When they signed in, in seconds since 1970.
    pub authenticated: i64,
    pub origin: &'g Origin,
}

/// Uses up what a grant is made of, which has come to the credential of this number.
pub(crate) type Spend<'s> = dyn Fn(&mut Batch, u64) + Send + Sync + 's;

/// Tokens that were just made.
#[derive(Debug)]
pub(crate) struct Granted {
    pub id: AccountId,
    pub account: Arc<AccountRecord>,
    pub access: Secret<String>,
    pub refresh: Option<Secret<String>>,
    pub scopes: OAuthScopes,
}

/// What a refresh token comes to.
#[derive(Debug)]
pub(crate) enum Refreshed {
    /// With the client and the time of signing in.
    Granted(Granted, i64),
    Wrong,
    /// It asks for more than was granted.
    TooMuch,
    /// It was used before: the grant has ended.
    Reused,
}

impl Grant {
    /// The access token of this id.
    pub(super) fn token(&self, id: TokenId, account: AccountId, credential: u64) -> Option<Token> {
        let token = self.access.iter().find(|token| token.kept.id() == id)?;
        Some(Token {
            account,
            credential,
            hash: token.kept.hash(),
            expires: Some(token.expires),
            scopes: token.scopes.opens(),
        })
    }
}

impl CredentialRecord {
    /// Whether a token is one of its own still. `None`: it wasn't a token that was used.
    pub(super) fn has_token(&self, id: Option<TokenId>) -> bool {
        match (&self.grant, id) {
            (Some(grant), Some(id)) => grant.access.iter().any(|token| token.kept.id() == id),
            (Some(_), None) | (None, _) => true,
        }
    }

    /// With the record go the ways to its tokens.
    pub(super) fn forget_tokens(&self, batch: &mut Batch) {
        for id in self.grant.iter().flat_map(|grant| grant.ids()) {
            batch.delete(keys::credential_lookup(&id.0));
        }
    }
}

impl Core {
    /// Makes a grant, and its first tokens.
    pub(crate) async fn add_grant(
        &self,
        new: &NewGrant<'_>,
        spend: &Spend<'_>,
    ) -> Result<Granted, DirectoryError> {
        self.change_directory(|| self.try_add_grant(new, spend))
            .await
    }

    async fn try_add_grant(
        &self,
        new: &NewGrant<'_>,
        spend: &Spend<'_>,
    ) -> Result<Granted, DirectoryError> {
        let fence = self.fence().await?;
        let id = new.account;
        let mut account = self.existing(id).await?;
        if account.disabled || account.kind != AccountKind::Person {
            return Err(DirectoryError::Forbidden);
        }
        let mut batch = Batch::new();
        self.make_room_for_grant(&mut batch, id).await?;
        let now = self.clock.now();
        let mut grant = Grant {
            client: new.client.id.clone(),
            scopes: new.scopes,
            refresh: None,
            access: Vec::new(),
            used: now.seconds(),
            authenticated: new.authenticated,
        };
        account.last_credential = account.last_credential.max(PASSWORD) + 1;
        account.generation += 1;
        let number = account.last_credential;
        let row = (id, number);
        let refresh = new
            .scopes
            .contains(OAuthScopes::OFFLINE_ACCESS)
            .then(|| self.mint_refresh(&mut batch, row, &mut grant));
        let access = self.mint_access(&mut batch, row, &mut grant, new.scopes);
        let record = CredentialRecord {
            description: new.client.record.name.clone(),
            kind: CredentialKind::Grant,
            created: now.seconds(),
            expires: Some(ends(&grant, now).0),
            scopes: Some(new.scopes.opens()),
            grant: Some(Box::new(grant)),
            ..CredentialRecord::default()
        };
        batch.put(keys::credential(id, number), record.to_bytes());
        spend(&mut batch, number);
        let who = self.caller(id, &account, PASSWORD, 0).await?;
        let deed = Deed::of_account(Operation::IssueCredential, id, &account)
            .field("credential", None, Some(number.to_string()))
            .field("kind", None, Some("grant".to_owned()))
            .field("description", None, Some(record.description.clone()))
            .field("scopes", None, Some(new.scopes.text()));
        self.audit(&mut batch, &who.coming_from(new.origin), deed);
        // A client that was removed meanwhile gets nothing.
        batch.assert(Assertion::Present(keys::oauth_client(&new.client.id)));
        let account = self.commit_account(fence, id, account, batch).await?;
        self.note_use(new.client).await;
        Ok(Granted {
            id,
            account: account.record,
            access,
            refresh,
            scopes: new.scopes,
        })
    }

    /// Takes away grants whose time is over; where there are too many, those that were not used for the longest time.
    async fn make_room_for_grant(
        &self,
        batch: &mut Batch,
        id: AccountId,
    ) -> Result<(), DirectoryError> {
        let now = self.clock.now().0;
        let records = self.credential_records(id).await?;
        let others = records
            .iter()
            .filter(|(_, record)| record.grant.is_none())
            .count();
        let mut grants: Vec<(i64, u64, &CredentialRecord)> = Vec::new();
        for (number, record) in &records {
            let Some(grant) = &record.grant else { continue };
            if record.expires.is_some_and(|expires| expires <= now) {
                batch.delete(keys::credential(id, *number));
                record.forget_tokens(batch);
                continue;
            }
            grants.push((grant.used, *number, record));
        }
        grants.sort_unstable_by_key(|(used, number, _)| (*used, *number));
        if others >= CREDENTIALS_PER_ACCOUNT_MAX {
            return Err(DirectoryError::TooMany("credentials of one account"));
        }
        let room = GRANTS_PER_ACCOUNT_MAX.min(CREDENTIALS_PER_ACCOUNT_MAX - others);
        let too_many = (grants.len() + 1).saturating_sub(room);
        for (_, number, record) in grants.into_iter().take(too_many) {
            batch.delete(keys::credential(id, number));
            record.forget_tokens(batch);
        }
        Ok(())
    }

    /// Makes an access token of a grant; of too many, the oldest goes, and so do those that are over.
    fn mint_access(
        &self,
        batch: &mut Batch,
        (id, number): (AccountId, u64),
        grant: &mut Grant,
        scopes: OAuthScopes,
    ) -> Secret<String> {
        let now = self.clock.now();
        let from = (grant.access.len() + 1).saturating_sub(ACCESS_TOKENS_MAX);
        let access = std::mem::take(&mut grant.access);
        for (at, token) in access.into_iter().enumerate() {
            match at >= from && token.expires > now.0 {
                true => grant.access.push(token),
                false => {
                    batch.delete(keys::credential_lookup(&token.kept.id().0));
                }
            }
        }
        let minted = token::mint_bearer(&*self.rng);
        let row = numbers(&[id.number(), number]);
        batch.put(keys::credential_lookup(&minted.id.0), row);
        grant.access.push(AccessToken {
            kept: Kept::of(&minted),
            expires: after(now, ACCESS_SECONDS).0,
            scopes,
        });
        minted.text
    }

    /// Makes a refresh token of a grant, in place of the one that it has.
    fn mint_refresh(
        &self,
        batch: &mut Batch,
        (id, number): (AccountId, u64),
        grant: &mut Grant,
    ) -> Secret<String> {
        let minted = match &grant.refresh {
            Some(kept) => token::mint_bearer_as(kept.id(), &*self.rng),
            None => token::mint_bearer(&*self.rng),
        };
        let row = numbers(&[id.number(), number]);
        batch.put(keys::credential_lookup(&minted.id.0), row);
        grant.refresh = Some(Kept::of(&minted));
        minted.text
    }

    /// The grant that a token is of, whether it is still one of its tokens or not.
    pub(crate) async fn grant_of(
        &self,
        id: TokenId,
    ) -> Result<Option<(AccountId, u64, CredentialRecord)>, store::Error> {
        let key = keys::credential_lookup(&id.0);
        let Some(bytes) = self.engine.get(&key).await? else {
            return Ok(None);
        };
        let [account, number] = store::decode_numbers(&key, &bytes)?;
        let account = AccountId::new(account);
        let record: Option<CredentialRecord> =
            self.stored(&keys::credential(account, number)).await?;
        let record = record.filter(|record| record.grant.is_some());
        Ok(record.map(|record| (account, number, record)))
    }

    /// Takes a refresh token, and makes the next one and an access token (RFC 6749 §6, RFC 9700 §4.14.2).
    /// `scopes`: fewer than were granted; `None`: all.
    pub(crate) async fn refresh_grant(
        &self,
        client: &Client,
        presented: &Presented<TokenId>,
        scopes: Option<OAuthScopes>,
    ) -> Result<Refreshed, DirectoryError> {
        let Some((id, number, old)) = self.grant_of(presented.id).await? else {
            return Ok(Refreshed::Wrong);
        };
        let now = self.clock.now();
        let is_over = old.expires.is_some_and(|expires| expires <= now.0);
        let Some(grant) = old.grant.as_ref().filter(|grant| grant.client == client.id) else {
            return Ok(Refreshed::Wrong);
        };
        let Some(kept) = grant
            .refresh
            .as_ref()
            .filter(|kept| kept.id() == presented.id)
        else {
            return Ok(Refreshed::Wrong);
        };
        let account = self.account_record(id).await?;
        let account = account.filter(|account| !account.disabled);
        let Some(account) = account.filter(|_| !is_over) else {
            return Ok(Refreshed::Wrong);
        };
        if !kept.is(presented) {
            // Nobody knows the id but those who have had one of its tokens: one of them isn't the client.
            tracing::warn!(login = ?account.name, client = ?old.description, "a refresh token was used again; the grant ends");
            self.end_grant(id, number).await?;
            return Ok(Refreshed::Reused);
        }
        let wanted = scopes.unwrap_or(grant.scopes);
        if !grant.scopes.contains(wanted) || wanted.is_empty() {
            return Ok(Refreshed::TooMuch);
        }
        let mut grant = grant.clone();
        let mut batch = Batch::new();
        grant.used = now.seconds();
        let refresh = self.mint_refresh(&mut batch, (id, number), &mut grant);
        let access = self.mint_access(&mut batch, (id, number), &mut grant, wanted);
        let authenticated = grant.authenticated;
        let new = CredentialRecord {
            expires: Some(ends(&grant, now).0),
            grant: Some(grant),
            ..old.clone()
        };
        let key = keys::credential(id, number);
        batch.assert(Assertion::Equals(key.clone(), old.to_bytes()));
        batch.put(key, new.to_bytes());
        batch.assert(Assertion::Present(keys::oauth_client(&client.id)));
        match self.engine.commit(batch).await.map_err(store::Error::from) {
            Ok(()) => {}
            // Somebody else has come with it at the same time, the grant has ended, or the client was removed.
            Err(store::Error::Conflict) => return Ok(Refreshed::Wrong),
            Err(error) => return Err(error.into()),
        }
        self.note_use(client).await;
        let granted = Granted {
            id,
            account,
            access,
            refresh: Some(refresh),
            scopes: wanted,
        };
        Ok(Refreshed::Granted(granted, authenticated))
    }

    /// Ends a grant. It is no error if it has ended already.
    pub(crate) async fn end_grant(&self, id: AccountId, number: u64) -> Result<(), DirectoryError> {
        match self.revoke_credential(&Caller::server(), id, number).await {
            Err(DirectoryError::NotFound(_)) => Ok(()),
            result => result,
        }
    }

    /// Takes an access token away, and leaves the others of its grant.
    pub(crate) async fn end_access_token(
        &self,
        id: AccountId,
        number: u64,
        token: TokenId,
    ) -> Result<(), DirectoryError> {
        self.change_directory(|| self.try_end_access_token(id, number, token))
            .await
    }

    async fn try_end_access_token(
        &self,
        id: AccountId,
        number: u64,
        token: TokenId,
    ) -> Result<(), DirectoryError> {
        let fence = self.fence().await?;
        let mut account = self.existing(id).await?;
        let key = keys::credential(id, number);
        let stored: Option<CredentialRecord> = self.stored(&key).await?;
        let Some(old) = stored else { return Ok(()) };
        let mut new = old.clone();
        if let Some(grant) = &mut new.grant {
            grant.access.retain(|access| access.kept.id() != token);
        }
        account.generation += 1;
        let mut batch = Batch::new();
        batch.delete(keys::credential_lookup(&token.0));
        batch.assert(Assertion::Equals(key.clone(), old.to_bytes()));
        batch.put(key, new.to_bytes());
        self.commit_account(fence, id, account, batch)
            .await
            .map(drop)
    }

    /// That a client is used, once a day: by itself, so that neither a use of the same moment nor a removal costs somebody their tokens.
    async fn note_use(&self, client: &Client) {
        let now = self.clock.now().seconds();
        if now.saturating_sub(client.record.last_used) < 86_400
            && client.record.last_used != client.record.created
        {
            return;
        }
        let mut record = client.record.clone();
        // The time of its making would say that it was never used.
        record.last_used = now.max(record.created + 1);
        let key = keys::oauth_client(&client.id);
        let mut batch = Batch::new();
        // One that was removed meanwhile doesn't come back.
        batch.assert(Assertion::Equals(key.clone(), client.record.to_bytes()));
        batch.put(key, record.to_bytes());
        match self.engine.commit(batch).await.map_err(store::Error::from) {
            Ok(()) | Err(store::Error::Conflict) => {}
            Err(error) => {
                tracing::warn!(client = client.id, %error, "the use of a client is not noted")
            }
        }
    }
}

/// When a grant is over: with its refresh token, or without one with its last access token.
fn ends(grant: &Grant, now: UtcMillis) -> UtcMillis {
    match grant.refresh {
        Some(_) => after(now, REFRESH_SECONDS),
        None => after(now, ACCESS_SECONDS),
    }
}

fn after(now: UtcMillis, seconds: i64) -> UtcMillis {
    now.saturating_add(Duration::from_secs(seconds.unsigned_abs()))
}
