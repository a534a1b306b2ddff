//! Clients: those that an administrator has made, and those that have registered themselves (RFC 7591).
//!
//! Holds: people are sent back to addresses that the client has named before, and to no other (RFC 9700 §4.1.3); a client that
//! has registered itself and isn't used goes.
//! Other half: `adapters/oauth` reads the metadata, `adapters/admin` serves administrators.

use std::net::IpAddr;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use store::{
    Record as _,
    engine::{Assertion, Batch, KeyRange, Page},
    keys,
};
use subtle::ConstantTimeEq as _;

use super::{
    CLIENTS_MAX, ClientRecord, DYNAMIC_CLIENTS_MAX, ErrorCode, NAME_CHARACTERS_MAX, OAuthError,
    REDIRECT_URIS_MAX, REGISTRATION_OCTETS_MAX, TEXT_OCTETS_MAX, limit::Begun, refused,
};
use crate::{
    Core,
    access::{self, Operation},
    admin::{Deed, Terms},
    auth::Secret,
    caller::Caller,
    directory::DirectoryError,
};

/// Random octets of a client's id.
const ID_OCTETS: usize = 16;
/// Random octets of a client's secret.
const SECRET_OCTETS: usize = 32;
const SECRET_KIND: &str = "posthorn 2026 oauth client secret";
/// Seconds that a client is kept that has registered itself and never got a token, and one that got none any more.
const NEVER_USED_KEEP_SECONDS: i64 = 7 * 86_400;
const UNUSED_KEEP_SECONDS: i64 = 120 * 86_400;
const ROWS_PER_PAGE: usize = 500;

/// A client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    pub id: String,
    pub record: ClientRecord,
}

/// A client that is to be made.
#[derive(Clone, Debug, Default)]
pub struct NewClient {
    pub name: String,
    pub redirect_uris: Vec<String>,
    /// A page about it.
    pub uri: Option<String>,
    /// It can keep a secret (RFC 6749 §2.1).
    pub is_confidential: bool,
}

/// A client that was just made.
#[derive(Clone, Debug)]
pub struct NewlyRegistered {
    pub client: Client,
    /// For the client, once.
    pub secret: Option<Secret<String>>,
}

impl Client {
    pub fn is_public(&self) -> bool {
        self.record.secret_hash.is_none()
    }

    /// Whether people may be sent back there: character by character, but for the port of this machine (RFC 8252 §7.3).
    pub fn has_redirect_uri(&self, uri: &str) -> bool {
        let known = self.record.redirect_uris.iter();
        known
            .into_iter()
            .any(|known| known == uri || is_same_but_port(known, uri))
    }

    /// Whether it is the client's secret.
    pub(super) fn is_secret(&self, secret: &Secret<String>) -> bool {
        let hash = secret_hash(secret);
        let known = self.record.secret_hash.as_ref();
        known.is_some_and(|known| known[..].ct_eq(&hash).into())
    }
}

fn secret_hash(secret: &Secret<String>) -> [u8; 32] {
    blake3::derive_key(SECRET_KIND, secret.expose().as_bytes())
}

/// Two addresses of this machine that differ in their ports alone.
fn is_same_but_port(known: &str, uri: &str) -> bool {
    let without_port = |uri: &str| -> Option<(String, String)> {
        let rest = uri.strip_prefix("http://")?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => host,
            _ => authority,
        };
        let is_here = matches!(host, "127.0.0.1" | "[::1]");
        is_here.then(|| (host.to_owned(), rest.to_owned()))
    };
    let known = without_port(known);
    known.is_some() && known == without_port(uri)
}

/// Whether people may be sent to such an address at all: https, a native app's own scheme, or this machine (RFC 8252 §7).
fn is_redirect_uri(uri: &str) -> bool {
    let is_text = (1..=TEXT_OCTETS_MAX).contains(&uri.len())
        && uri.bytes().all(|octet| octet.is_ascii_graphic())
        && !uri.contains(['#', '"', '<', '>', '\\']);
    if !is_text {
        return false;
    }
    let Some((scheme, rest)) = uri.split_once(':') else {
        return false;
    };
    let authority = || {
        let rest = rest.strip_prefix("//")?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        rest.get(..end).filter(|authority| !authority.is_empty())
    };
    match scheme {
        "https" => authority().is_some_and(|authority| !authority.contains('@')),
        "http" => authority().is_some_and(|authority| {
            let host = match authority.rsplit_once(':') {
                Some((host, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => host,
                _ => authority,
            };
            matches!(host, "127.0.0.1" | "[::1]" | "localhost")
        }),
        // RFC 8252 §7.1: a scheme that is a domain's name, backwards.
        _ => {
            scheme.contains('.')
                && scheme
                    .bytes()
                    .all(|octet| octet.is_ascii_alphanumeric() || b".-+".contains(&octet))
        }
    }
}

fn check(new: &NewClient) -> Result<(), OAuthError> {
    let metadata = |why| refused(ErrorCode::InvalidClientMetadata, why);
    let characters = new.name.chars().count();
    if !(1..=NAME_CHARACTERS_MAX).contains(&characters) || new.name.chars().any(char::is_control) {
        return metadata("a client has a name of at most 100 characters");
    }
    let is_page = |uri: &String| uri.starts_with("https://") && is_redirect_uri(uri);
    if new.uri.as_ref().is_some_and(|uri| !is_page(uri)) {
        return metadata("the page about a client has an address that begins with https");
    }
    if new.redirect_uris.len() > REDIRECT_URIS_MAX {
        return refused(
            ErrorCode::InvalidRedirectUri,
            "a client has at most 10 redirection URIs",
        );
    }
    match new.redirect_uris.iter().all(|uri| is_redirect_uri(uri)) {
        true => Ok(()),
        false => refused(
            ErrorCode::InvalidRedirectUri,
            "a redirection URI is https, of this machine, or of a scheme that is a domain's name backwards, and has no fragment",
        ),
    }
}

impl Core {
    /// Registers a client that asks for it itself (RFC 7591).
    pub async fn register_client(
        &self,
        new: NewClient,
        from: IpAddr,
    ) -> Result<NewlyRegistered, OAuthError> {
        check(&new)?;
        let now = self.clock.monotonic();
        if !self.oauth.limits.may(Begun::Registration, from, now) {
            let why = "too many clients are registered at the moment; try again in an hour";
            return refused(ErrorCode::TemporarilyUnavailable, why);
        }
        self.make_client(new, true, None).await
    }

    /// Makes a client, for an administrator.
    pub async fn add_client(
        &self,
        who: &Caller,
        new: NewClient,
        terms: &Terms,
    ) -> Result<NewlyRegistered, OAuthError> {
        access::may_run(who, Operation::ChangeClients)?;
        check(&new)?;
        self.make_client(new, false, Some((who, terms))).await
    }

    async fn make_client(
        &self,
        new: NewClient,
        is_dynamic: bool,
        who: Option<(&Caller, &Terms)>,
    ) -> Result<NewlyRegistered, OAuthError> {
        let max = match is_dynamic {
            true => DYNAMIC_CLIENTS_MAX,
            false => CLIENTS_MAX,
        };
        let mut known = 0;
        let mut range = Some(keys::oauth_clients());
        while let Some(rest) = range {
            let (clients, next) = self.page_of_clients(rest).await?;
            let of_kind = clients
                .iter()
                .filter(|client| client.record.is_dynamic == is_dynamic);
            known += of_kind.count();
            range = next;
        }
        if known >= max {
            let why = "the server has as many clients as it can have";
            return refused(ErrorCode::TemporarilyUnavailable, why);
        }
        let random = |octets: usize| {
            let mut random = vec![0; octets];
            self.rng.fill(&mut random);
            BASE64_URL_SAFE_NO_PAD.encode(random)
        };
        let id = random(ID_OCTETS);
        let secret = new
            .is_confidential
            .then(|| Secret::new(random(SECRET_OCTETS)));
        let now = self.clock.now().seconds();
        let record = ClientRecord {
            name: new.name,
            redirect_uris: new.redirect_uris,
            secret_hash: secret.as_ref().map(|secret| secret_hash(secret).into()),
            created: now,
            last_used: now,
            is_dynamic,
            uri: new.uri,
        };
        if is_dynamic && record.to_bytes().len() > REGISTRATION_OCTETS_MAX {
            let why = "a client that registers itself has at most 4096 octets of metadata";
            return refused(ErrorCode::InvalidClientMetadata, why);
        }
        let key = keys::oauth_client(&id);
        let mut batch = Batch::new();
        batch.assert(Assertion::Absent(key.clone()));
        batch.put(key, record.to_bytes());
        if let Some((who, terms)) = who {
            self.note_once(&mut batch, who, terms.once.as_ref(), &id)
                .await?;
            let deed = Deed::new(Operation::ChangeClients, id.clone())
                .field("name", None, Some(record.name.clone()))
                .field("redirectUris", None, Some(record.redirect_uris.join(" ")));
            self.audit(&mut batch, who, deed);
        }
        let done = self.engine.commit(batch).await;
        done.map_err(store::Error::from)?;
        Ok(NewlyRegistered {
            client: Client { id, record },
            secret,
        })
    }

    /// All clients, by their ids.
    pub async fn clients(&self, who: &Caller) -> Result<Vec<Client>, DirectoryError> {
        access::may_run(who, Operation::SeeClients)?;
        self.all_clients().await
    }

    async fn all_clients(&self) -> Result<Vec<Client>, DirectoryError> {
        let mut all = Vec::new();
        let mut range = Some(keys::oauth_clients());
        while let Some(rest) = range {
            let (clients, next) = self.page_of_clients(rest).await?;
            all.extend(clients);
            range = next;
        }
        Ok(all)
    }

    /// Some clients, and where to go on.
    async fn page_of_clients(
        &self,
        mut range: KeyRange,
    ) -> Result<(Vec<Client>, Option<KeyRange>), store::Error> {
        let page = Page::first(range.clone(), ROWS_PER_PAGE);
        let rows = self.engine.scan(page).await?;
        let clients = rows.iter().filter_map(|(key, bytes)| {
            // One that can't be read is reported by the check.
            let id = keys::decode_oauth_client(key)?.to_owned();
            let record = ClientRecord::from_bytes(key, bytes).ok()?;
            Some(Client { id, record })
        });
        let clients = clients.collect();
        let last = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE);
        let next = last.map(|(last, _)| {
            range.start = [last, &[0u8][..]].concat();
            range
        });
        Ok((clients, next))
    }

    /// Takes a client away: it gets no tokens any more. Those that it has are good for as long as they say.
    pub async fn remove_client(&self, who: &Caller, id: &str) -> Result<(), DirectoryError> {
        access::may_run(who, Operation::ChangeClients)?;
        let client = self.client(id).await?;
        let client = client.ok_or_else(|| DirectoryError::NotFound(id.to_owned()))?;
        let mut batch = Batch::new();
        batch.delete(keys::oauth_client(id));
        let deed =
            Deed::new(Operation::ChangeClients, id).field("name", Some(client.record.name), None);
        self.audit(&mut batch, who, deed);
        let done = self.engine.commit(batch).await;
        Ok(done.map_err(store::Error::from)?)
    }

    pub(super) async fn client(&self, id: &str) -> Result<Option<Client>, store::Error> {
        if id.is_empty() || id.len() > 100 {
            return Ok(None);
        }
        let key = keys::oauth_client(id);
        let bytes = self.engine.get(&key).await?;
        let record = bytes.map(|bytes| ClientRecord::from_bytes(&key, &bytes));
        Ok(record.transpose()?.map(|record| Client {
            id: id.to_owned(),
            record,
        }))
    }

    /// Forgets clients that have registered themselves and aren't used. Returns how many.
    pub(super) async fn purge_clients(&self) -> Result<usize, store::Error> {
        let now = self.clock.now().seconds();
        let is_over = |record: &ClientRecord| {
            let keep = match record.last_used == record.created {
                true => NEVER_USED_KEEP_SECONDS,
                false => UNUSED_KEEP_SECONDS,
            };
            record.is_dynamic && record.last_used.saturating_add(keep) <= now
        };
        let mut forgotten = 0;
        let mut range = Some(keys::oauth_clients());
        while let Some(rest) = range {
            let (clients, next) = self.page_of_clients(rest).await?;
            for client in clients.iter().filter(|client| is_over(&client.record)) {
                let key = keys::oauth_client(&client.id);
                let mut batch = Batch::new();
                batch.assert(Assertion::Equals(key.clone(), client.record.to_bytes()));
                batch.delete(key);
                match self.engine.commit(batch).await.map_err(store::Error::from) {
                    Ok(()) => forgotten += 1,
                    // It was used meanwhile.
                    Err(store::Error::Conflict) => {}
                    Err(error) => return Err(error),
                }
            }
            range = next;
        }
        Ok(forgotten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirection_uris() {
        for (uri, want) in [
            ("https://app.example/back", true),
            ("https://app.example/back?x=1", true),
            ("https://app.example", true),
            ("https://", false),
            ("https://user@app.example/", false),
            ("https://app.example/#part", false),
            ("http://app.example/back", false),
            ("http://127.0.0.1/back", true),
            ("http://127.0.0.1:8080/back", true),
            ("http://[::1]:1/", true),
            ("http://localhost/back", true),
            ("http://127.0.0.1.example/", false),
            ("org.example.mail:/back", true),
            ("mail:/back", false),
            ("javascript:alert(1)", false),
            ("data:text/html,x", false),
            ("java.script\n:/", false),
            ("", false),
            ("/back", false),
        ] {
            assert_eq!(is_redirect_uri(uri), want, "{uri}");
        }
        assert!(!is_redirect_uri(&format!("https://{}", "x".repeat(3000))));
    }

    #[test]
    fn people_are_sent_back_where_they_were_to_be() {
        let client = Client {
            id: "c".into(),
            record: ClientRecord {
                redirect_uris: vec![
                    "https://app.example/back".into(),
                    "http://127.0.0.1:1/back".into(),
                ],
                ..ClientRecord::default()
            },
        };
        for (uri, want) in [
            ("https://app.example/back", true),
            ("https://app.example/back/", false),
            ("https://app.example/back?x", false),
            ("https://app.example:443/back", false),
            ("https://APP.example/back", false),
            ("http://127.0.0.1:1/back", true),
            ("http://127.0.0.1:50000/back", true),
            ("http://127.0.0.1:50000/other", false),
            ("http://127.0.0.1:1x/back", false),
            ("http://[::1]:1/back", false),
            ("http://localhost:1/back", false),
        ] {
            assert_eq!(client.has_redirect_uri(uri), want, "{uri}");
        }
    }
}
