//! A person signs in on a page: with the password, then with a code if there is a second factor.
//!
//! Holds: between two pages the browser carries a ticket that only this server can make, bound to what it was made for and good for
//! minutes; a password set meanwhile makes it void, and so does taking away the passkey that was used. Limits are those of all logins.
//! Other half: `adapters/oauth` has the pages; `authorize` and `device` take who has signed in.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jmap_types::AccountId;
use minicbor::{Decode, Encode};
use subtle::ConstantTimeEq as _;

use crate::{
    Core,
    auth::{
        AuthError, Credentials, Origin, RetryAfter, Secret,
        login::{Candidate, stored_form, too_many, unavailable, wait},
        webauthn::{Assertion, RelyingParty},
    },
    clock::UtcMillis,
    directory::records::{AccountKind, PASSWORD},
};

/// How long the pages may take together.
const TICKET_KEEP: Duration = Duration::from_secs(900);
const TICKET_OCTETS_MAX: usize = 1024;
const KEY_KIND: &str = "posthorn 2026 sign-in ticket";
const TAG_OCTETS: usize = 32;
/// In place of a ticket, which is never this.
const FORM: &[u8] = b"form";

/// Somebody who has signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    pub account: AccountId,
    pub name: String,
    /// Seconds since 1970.
    pub authenticated: i64,
    /// The credential that was used, if it was a passkey: it is good as long as that is.
    pub passkey: Option<u64>,
}

/// How far somebody has come.
#[derive(Clone, Debug)]
pub enum SignInStep {
    /// With this ticket they are signed in.
    Done(Secret<String>),
    /// With this ticket a code is taken.
    Code(Secret<String>),
}

#[derive(Encode, Decode)]
struct Ticket {
    #[n(0)]
    account: u64,
    /// Milliseconds since 1970.
    #[n(1)]
    made: i64,
    #[n(2)]
    is_done: bool,
    #[n(3)]
    passkey: Option<u64>,
}

impl Core {
    /// The first page: name and password of an account. `binding`: what the ticket is good for, and nothing else.
    pub async fn sign_in(
        &self,
        login: String,
        password: Secret<String>,
        origin: Origin,
        binding: &[u8],
    ) -> Result<SignInStep, AuthError> {
        let name = stored_form(&login);
        let credentials = Credentials::Password { login, password };
        match self.login(credentials, origin).await {
            Ok(caller) => Ok(SignInStep::Done(self.ticket(
                caller.account,
                true,
                None,
                binding,
            ))),
            Err(AuthError::SecondFactor) => {
                let candidate = self.candidate(&name).await.map_err(unavailable)?;
                let account = candidate.ok_or(AuthError::Invalid)?.id;
                Ok(SignInStep::Code(self.ticket(account, false, None, binding)))
            }
            Err(error) => Err(error),
        }
    }

    /// The second page: a code.
    pub async fn sign_in_by_code(
        &self,
        ticket: &str,
        code: &Secret<String>,
        origin: Origin,
        binding: &[u8],
    ) -> Result<Secret<String>, AuthError> {
        let result = self.try_code(ticket, code, &origin, binding).await;
        self.note_sign_in(&result, &origin);
        result
    }

    /// Counts, tells and remembers as with every other login.
    fn note_sign_in<T>(&self, result: &Result<T, AuthError>, origin: &Origin) {
        match result {
            Ok(_) => {
                self.metrics.logins.add(1);
                self.note_good_login(origin);
            }
            Err(why) => {
                self.metrics.logins_failed.add(1);
                self.tell_failed_login(None, origin, why);
            }
        }
    }

    async fn try_code(
        &self,
        ticket: &str,
        code: &Secret<String>,
        origin: &Origin,
        binding: &[u8],
    ) -> Result<Secret<String>, AuthError> {
        let id = self.opened(ticket, false, binding).await?.account;
        let generation = self.directory.generation();
        let record = self.account_record(id).await.map_err(unavailable)?;
        let record = record.ok_or(AuthError::Invalid)?;
        let login = record.name.clone();
        let checked = self.directory.rate.check(origin, Some(&login));
        let delay = checked.map_err(|retry_after| too_many(&login, origin, retry_after))?;
        wait(delay).await;
        let candidate = Candidate { id, record };
        self.pass_by_code(&login, &candidate, code, origin).await?;
        self.directory.rate.succeeded(origin, Some(&login));
        self.admit(candidate, PASSWORD, generation, origin).await?;
        Ok(self.ticket(id, true, None, binding))
    }

    /// The first page, with a passkey, which is both factors. `of`: the server, as the browser knows it.
    pub async fn sign_in_by_passkey(
        &self,
        assertion: &Assertion,
        of: RelyingParty<'_>,
        origin: Origin,
        binding: &[u8],
    ) -> Result<Secret<String>, AuthError> {
        let result = self.try_passkey(assertion, of, &origin, binding).await;
        self.note_sign_in(&result, &origin);
        result
    }

    async fn try_passkey(
        &self,
        assertion: &Assertion,
        of: RelyingParty<'_>,
        origin: &Origin,
        binding: &[u8],
    ) -> Result<Secret<String>, AuthError> {
        let checked = self.directory.rate.check(origin, None);
        let delay = checked
            .map_err(|RetryAfter(retry_after)| AuthError::TooManyAttempts { retry_after })?;
        wait(delay).await;
        self.look_at_directory().await.map_err(unavailable)?;
        let generation = self.directory.generation();
        let used = self.use_passkey(assertion, binding, of).await;
        let (id, number) = match used.map_err(unavailable)? {
            Ok(used) => used,
            Err(error) => {
                self.directory.rate.failed(origin, None);
                self.note_failed_login(origin, None, &error.to_string());
                tracing::warn!(ip = %origin.ip, protocol = %origin.protocol, %error, "login by passkey failed");
                return Err(AuthError::Invalid);
            }
        };
        let record = self.account_record(id).await.map_err(unavailable)?;
        let record = record.filter(|record| record.kind == AccountKind::Person);
        let record = record.ok_or(AuthError::Invalid)?;
        self.admit(Candidate { id, record }, number, generation, origin)
            .await?;
        Ok(self.ticket(id, true, Some(number), binding))
    }

    /// Who has signed in. Errors: the ticket is none, or its time is over.
    pub async fn signed_in(&self, ticket: &str, binding: &[u8]) -> Result<SignedIn, AuthError> {
        self.opened(ticket, true, binding).await
    }

    /// What a browser keeps while somebody is on the pages: 16 random octets.
    pub fn page_cookie(&self) -> String {
        let mut octets = [0; 16];
        self.rng.fill(&mut octets);
        BASE64_URL_SAFE_NO_PAD.encode(octets)
    }

    /// What a form has in it that this server has made for `binding`.
    pub fn form_token(&self, binding: &[u8]) -> String {
        let tag = self.ticket_tag(FORM, binding);
        BASE64_URL_SAFE_NO_PAD.encode(tag.as_bytes())
    }

    pub fn is_form_token(&self, text: &str, binding: &[u8]) -> bool {
        let wanted = self.form_token(binding);
        wanted.as_bytes().ct_eq(text.as_bytes()).into()
    }

    fn ticket(
        &self,
        account: AccountId,
        is_done: bool,
        passkey: Option<u64>,
        binding: &[u8],
    ) -> Secret<String> {
        let ticket = Ticket {
            account: account.number(),
            made: self.clock.now().0,
            is_done,
            passkey,
        };
        // Into memory: it can't fail.
        let mut octets = minicbor::to_vec(&ticket).unwrap_or_default();
        let tag = self.ticket_tag(&octets, binding);
        octets.extend_from_slice(tag.as_bytes());
        Secret::new(BASE64_URL_SAFE_NO_PAD.encode(octets))
    }

    fn ticket_tag(&self, octets: &[u8], binding: &[u8]) -> blake3::Hash {
        let key = blake3::derive_key(KEY_KIND, self.directory.scram_key.expose());
        let mut hasher = blake3::Hasher::new_keyed(&key);
        // With its length before it, ticket and binding don't run into one another.
        hasher.update(&(octets.len() as u64).to_le_bytes());
        hasher.update(octets).update(binding);
        hasher.finalize()
    }

    async fn opened(
        &self,
        text: &str,
        is_done: bool,
        binding: &[u8],
    ) -> Result<SignedIn, AuthError> {
        let octets = Some(text).filter(|text| text.len() <= TICKET_OCTETS_MAX);
        let octets = octets.and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok());
        let octets = octets.ok_or(AuthError::Invalid)?;
        let at = octets.len().saturating_sub(TAG_OCTETS);
        let (ticket, tag) = octets.split_at(at);
        let wanted = self.ticket_tag(ticket, binding);
        if !bool::from(wanted.as_bytes()[..].ct_eq(tag)) {
            return Err(AuthError::Invalid);
        }
        let ticket: Ticket = minicbor::decode(ticket).map_err(|_| AuthError::Invalid)?;
        let now = self.clock.now();
        let ends = UtcMillis(ticket.made).saturating_add(TICKET_KEEP);
        if ticket.is_done != is_done || now >= ends {
            return Err(AuthError::Expired);
        }
        let account = AccountId::new(ticket.account);
        let signed_in = SignedIn {
            account,
            name: String::new(),
            authenticated: UtcMillis(ticket.made).seconds(),
            passkey: ticket.passkey,
        };
        self.look_at_directory().await.map_err(unavailable)?;
        let name = self.still_good(&signed_in).await.map_err(unavailable)?;
        Ok(SignedIn {
            name: name.ok_or(AuthError::Invalid)?,
            ..signed_in
        })
    }

    /// The name of the account that somebody has signed in to, if nothing has happened to it since.
    pub(crate) async fn still_good(
        &self,
        signed_in: &SignedIn,
    ) -> Result<Option<String>, store::Error> {
        let Some(record) = self.account_record(signed_in.account).await? else {
            return Ok(None);
        };
        if record.disabled || record.kind != AccountKind::Person {
            return Ok(None);
        }
        let credentials = self.credential_records(signed_in.account).await?;
        let password = credentials.iter().find(|(number, _)| *number == PASSWORD);
        // A password of the same second may be the one that was shown.
        let is_newer = password.is_some_and(|(_, record)| record.created > signed_in.authenticated);
        let has = |number| credentials.iter().any(|(of, _)| *of == number);
        let is_good = !is_newer && signed_in.passkey.is_none_or(has);
        Ok(is_good.then(|| record.name.clone()))
    }
}
