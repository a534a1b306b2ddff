//! Imports accounts from a JMAP server (RFC 8620, RFC 8621).
//!
//! Holds: the source is only read; answers are bounded; credentials go over no connection that is less protected than the one that was asked for.
//! While the account changes, its emails are gone through again until a pass has found nothing new.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use jmap_core::auth::Secret;
use rustls::ClientConfig;
use serde_json::{Value, json};

use super::{
    MoveError, dates,
    flags::Flags,
    intake::{Intake, Message, collection, short_hash},
    maildir::is_changed,
    protocol::KnownItem,
};
use crate::hex::hex;

const TIMEOUT: Duration = Duration::from_secs(300);
const ANSWER_OCTETS_MAX: usize = 64 << 20;
const REDIRECTS_MAX: usize = 5;
/// Emails of one page.
const PAGE: usize = 256;
/// Passes over an account that doesn't stand still.
const PASSES_MAX: usize = 5;
const USING: [&str; 2] = ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"];
/// Tries of one request; and the time before each.
const WAITS_SECONDS: [u64; 4] = [0, 1, 4, 16];

/// How requests are authenticated.
#[derive(Clone, Debug)]
pub enum Login {
    Password(String, Secret<String>),
    Token(Secret<String>),
}

type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Whose mail is imported, and from where.
#[derive(Clone, Debug)]
pub struct Source {
    pub url: String,
    pub login: Login,
    /// Another account of the session than the user's own.
    pub account: Option<String>,
    pub tls: Arc<ClientConfig>,
}

/// A session with the source.
struct Remote {
    http: Http,
    authorization: Secret<String>,
    is_https: bool,
    api: Uri,
    download: String,
    base: Uri,
    account: String,
}

/// Imports all mail of an account.
pub async fn import(source: &Source, intake: &mut Intake) -> Result<(), MoveError> {
    let remote = Remote::open(source).await?;
    let host = remote
        .base
        .authority()
        .map_or("", |authority| authority.as_str());
    let collection = collection(&[
        b"jmap",
        host.to_ascii_lowercase().as_bytes(),
        remote.account.as_bytes(),
    ]);
    let mailboxes = remote.mailboxes(intake).await?;
    for _ in 0..PASSES_MAX {
        let before = remote.state().await?;
        let missing = remote.emails(&collection, &mailboxes, intake).await?;
        if remote.state().await? == before {
            // Nobody has removed them meanwhile.
            for place in missing {
                intake.problem(&place, "the server lists it, and doesn't give it");
            }
            return Ok(());
        }
    }
    Err(MoveError::Source(
        "the account changes all the time; run it again to see what is new".to_owned(),
    ))
}

fn wrong(why: impl Into<String>) -> MoveError {
    MoveError::Source(why.into())
}

impl Remote {
    async fn open(source: &Source) -> Result<Remote, MoveError> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(Duration::from_secs(30)));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config((*source.tls).clone())
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(connector);
        let http: Http = Client::builder(TokioExecutor::new()).build(https);
        let authorization = Secret::new(match &source.login {
            Login::Token(token) => format!("Bearer {}", token.expose()),
            Login::Password(user, password) => {
                let both = Secret::new(format!("{user}:{}", password.expose()));
                format!("Basic {}", STANDARD.encode(both.expose()))
            }
        });
        let base: Uri = source
            .url
            .parse()
            .map_err(|_| wrong(format!("{} is no URL", source.url)))?;
        if !matches!(base.scheme_str(), Some("https" | "http")) {
            return Err(wrong("the URL has to begin with https:// (or http://)"));
        }
        let mut remote = Remote {
            http,
            authorization,
            is_https: base.scheme_str() == Some("https"),
            api: base.clone(),
            download: String::new(),
            account: String::new(),
            base,
        };
        let session = remote.session().await?;
        let text = |name: &str| session[name].as_str().unwrap_or_default().to_owned();
        remote.api = remote.absolute(&text("apiUrl"))?;
        remote.download = text("downloadUrl");
        let own = session["primaryAccounts"][USING[1]].as_str();
        let account = source.account.as_deref().or(own);
        remote.account = account
            .ok_or_else(|| wrong("the server names no account with mail"))?
            .to_owned();
        if session["accounts"][&remote.account].is_null() {
            return Err(wrong(format!("there is no account {}", remote.account)));
        }
        Ok(remote)
    }

    /// RFC 8620 §2.2: the session is at the URL itself, or at the well-known place.
    async fn session(&mut self) -> Result<Value, MoveError> {
        let path = self.base.path();
        let mut url = match path.is_empty() || path == "/" {
            true => self.absolute("/.well-known/jmap")?,
            false => self.base.clone(),
        };
        for _ in 0..REDIRECTS_MAX {
            let (status, location, body) = self.get(&url, ANSWER_OCTETS_MAX).await?;
            if status.is_redirection() {
                let location = location.ok_or_else(|| wrong("a redirect leads nowhere"))?;
                self.base = url;
                url = self.absolute(&location)?;
                continue;
            }
            if status == StatusCode::UNAUTHORIZED {
                return Err(wrong("the login was refused"));
            }
            if !status.is_success() {
                return Err(wrong(format!("the session is answered with {status}")));
            }
            self.base = url;
            return serde_json::from_slice(&body)
                .map_err(|error| wrong(format!("the session can't be read: {error}")));
        }
        Err(wrong("the session is redirected again and again"))
    }

    /// A URL that may be relative. One that is less protected is refused.
    fn absolute(&self, text: &str) -> Result<Uri, MoveError> {
        let bad = || wrong(format!("the server names a URL that isn't one: {text}"));
        let uri: Uri = text.parse().map_err(|_| bad())?;
        let uri = match uri.scheme() {
            Some(_) => uri,
            None => {
                let path = uri.path_and_query().cloned().ok_or_else(bad)?;
                let scheme = self.base.scheme_str().unwrap_or("https");
                let authority = self.base.authority().ok_or_else(bad)?;
                Uri::builder()
                    .scheme(scheme)
                    .authority(authority.as_str())
                    .path_and_query(path)
                    .build()
                    .map_err(|_| bad())?
            }
        };
        if self.is_https && uri.scheme_str() != Some("https") {
            return Err(wrong("the server wants the login without encryption"));
        }
        Ok(uri)
    }

    async fn get(
        &self,
        url: &Uri,
        octets_max: usize,
    ) -> Result<(StatusCode, Option<String>, Bytes), MoveError> {
        self.exchange(|| Request::get(url.clone()), Bytes::new(), octets_max)
            .await
    }

    async fn exchange(
        &self,
        request: impl Fn() -> http::request::Builder,
        body: Bytes,
        octets_max: usize,
    ) -> Result<(StatusCode, Option<String>, Bytes), MoveError> {
        let mut last = String::new();
        for wait in WAITS_SECONDS {
            tokio::time::sleep(Duration::from_secs(wait)).await;
            let request = request()
                .header(header::AUTHORIZATION, self.authorization.expose())
                .header(header::ACCEPT, "*/*")
                .body(Full::new(body.clone()))
                .map_err(|error| wrong(error.to_string()))?;
            let done = tokio::time::timeout(TIMEOUT, async {
                let response = self.http.request(request).await.map_err(|e| {
                    let cause = std::error::Error::source(&e).map(ToString::to_string);
                    cause.unwrap_or_else(|| e.to_string())
                })?;
                let status = response.status();
                let location = response.headers().get(header::LOCATION);
                let location = location.and_then(|value| value.to_str().ok().map(str::to_owned));
                let body = Limited::new(response.into_body(), octets_max)
                    .collect()
                    .await;
                let body = body.map_err(|error| error.to_string())?.to_bytes();
                Ok::<_, String>((status, location, body))
            });
            match done.await {
                Err(_) => last = "it doesn't answer in time".to_owned(),
                Ok(Err(error)) => last = error,
                Ok(Ok((status, ..)))
                    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS =>
                {
                    last = format!("it answers {status}");
                }
                Ok(Ok(answer)) => return Ok(answer),
            }
        }
        Err(wrong(format!(
            "{}: {last}; run it again, and it goes on where it was",
            self.base
                .authority()
                .map_or("the server", |host| host.as_str())
        )))
    }

    /// The arguments of the answers to some calls.
    async fn call(&self, calls: Value) -> Result<Vec<Value>, MoveError> {
        let body = json!({"using": USING, "methodCalls": calls}).to_string();
        let request =
            || Request::post(self.api.clone()).header(header::CONTENT_TYPE, "application/json");
        let (status, _, body) = self
            .exchange(request, body.into(), ANSWER_OCTETS_MAX)
            .await?;
        if !status.is_success() {
            return Err(wrong(format!("a request is answered with {status}")));
        }
        let mut answer: Value = serde_json::from_slice(&body)
            .map_err(|error| wrong(format!("an answer can't be read: {error}")))?;
        let Some(Value::Array(responses)) = answer.get_mut("methodResponses").map(Value::take)
        else {
            return Err(wrong("an answer has no responses"));
        };
        let mut arguments = Vec::new();
        for mut response in responses {
            let of_response = response[1].take();
            if response[0] == "error" {
                let kind = of_response["type"]
                    .as_str()
                    .unwrap_or("an error")
                    .to_owned();
                return Err(wrong(format!("a call is answered with {kind}")));
            }
            arguments.push(of_response);
        }
        Ok(arguments)
    }

    async fn state(&self) -> Result<Value, MoveError> {
        let get = json!([["Email/get", {"accountId": self.account, "ids": []}, "0"]]);
        let mut answers = self.call(get).await?;
        Ok(answers
            .first_mut()
            .map_or(Value::Null, |answer| answer["state"].take()))
    }

    /// Our mailboxes, by the ids of the source.
    async fn mailboxes(&self, intake: &mut Intake) -> Result<BTreeMap<String, u64>, MoveError> {
        let arguments = json!({
            "accountId": self.account,
            "ids": null,
            "properties": ["id", "name", "parentId", "role", "isSubscribed"]
        });
        let answers = self.call(json!([["Mailbox/get", arguments, "0"]])).await?;
        let list = answers.first().and_then(|answer| answer["list"].as_array());
        let list = list.ok_or_else(|| wrong("the server has no list of mailboxes"))?;
        let by_id: HashMap<&str, &Value> = list
            .iter()
            .filter_map(|row| Some((row["id"].as_str()?, row)))
            .collect();
        let mut mailboxes = BTreeMap::new();
        for (id, row) in &by_id {
            let mut levels = Vec::new();
            let mut at = Some(*row);
            // A damaged tree may be a circle.
            while let Some(row) = at.filter(|_| levels.len() <= by_id.len()) {
                let is_inbox = row["role"] == "inbox" && row["parentId"].is_null();
                levels.push(match is_inbox {
                    true => "INBOX".to_owned(),
                    // A name there is one that a mailbox here can have, or that is refused.
                    false => row["name"].as_str().unwrap_or_default().to_owned(),
                });
                at = row["parentId"]
                    .as_str()
                    .and_then(|id| by_id.get(id).copied());
            }
            levels.reverse();
            let role = row["role"].as_str().map(str::to_ascii_lowercase);
            let is_subscribed = row["isSubscribed"].as_bool().unwrap_or(true);
            let made = intake
                .mailbox(&levels, role.as_deref(), is_subscribed)
                .await;
            match made {
                Ok(ours) => drop(mailboxes.insert((*id).to_owned(), ours)),
                Err(MoveError::Source(why)) => intake.problem(&levels.join("/"), &why),
                Err(error) => return Err(error),
            }
        }
        Ok(mailboxes)
    }

    /// One pass over all emails, the oldest first: what comes meanwhile comes behind. Returns the places of those that are listed and can't be had.
    async fn emails(
        &self,
        collection: &[u8; 16],
        mailboxes: &BTreeMap<String, u64>,
        intake: &mut Intake,
    ) -> Result<Vec<String>, MoveError> {
        let known = intake.known(collection).await?;
        let mut changed = Vec::new();
        let mut missing = Vec::new();
        let mut anchor: Option<String> = None;
        loop {
            let mut query = json!({
                "accountId": self.account,
                "sort": [{"property": "receivedAt", "isAscending": true}],
                "limit": PAGE
            });
            if let Some(anchor) = &anchor {
                query["anchor"] = json!(anchor);
                query["anchorOffset"] = json!(1);
            }
            let get = json!({
                "accountId": self.account,
                "#ids": {"resultOf": "0", "name": "Email/query", "path": "/ids"},
                "properties": ["id", "blobId", "size", "mailboxIds", "keywords", "receivedAt"]
            });
            let calls = json!([["Email/query", query, "0"], ["Email/get", get, "1"]]);
            let answers = self.call(calls).await?;
            let ids = answers.first().and_then(|answer| answer["ids"].as_array());
            let last = ids.and_then(|ids| ids.last()).and_then(Value::as_str);
            let Some(last) = last else {
                break;
            };
            if anchor.as_deref() == Some(last) {
                return Err(wrong("the server's list of emails goes round in circles"));
            }
            anchor = Some(last.to_owned());
            let list = answers.get(1).and_then(|answer| answer["list"].as_array());
            let list = list.map_or(&[][..], Vec::as_slice);
            let given: HashSet<&str> = list.iter().filter_map(|row| row["id"].as_str()).collect();
            let ids = ids.into_iter().flatten().filter_map(Value::as_str);
            let is_known = |id: &str| known.contains_key(&hex(&short_hash(id.as_bytes())));
            let not_given = ids.filter(|id| !given.contains(id) && !is_known(id));
            missing.extend(not_given.map(|id| self.place(id)));
            for row in list {
                let item = short_hash(row["id"].as_str().unwrap_or_default().as_bytes()).to_vec();
                let flags = flags_of(row);
                if let Some(known) = known.get(&hex(&item)) {
                    intake.tally.known += 1;
                    if is_changed(known, &flags) {
                        changed.push(KnownItem {
                            item: hex(&item),
                            keywords: flags.keywords,
                            is_deleted: false,
                        });
                    }
                    continue;
                }
                let is_there = self
                    .email(row, item, flags, (collection, mailboxes), intake)
                    .await?;
                if !is_there {
                    missing.push(self.place(row["id"].as_str().unwrap_or("?")));
                }
            }
        }
        if intake.updates_flags && !changed.is_empty() {
            intake.flags(collection, changed).await?;
        }
        Ok(missing)
    }

    fn place(&self, id: &str) -> String {
        format!("{}: email {id}", self.account)
    }

    /// Returns whether its octets are there.
    async fn email(
        &self,
        row: &Value,
        item: Vec<u8>,
        flags: Flags,
        (collection, mailboxes): (&[u8; 16], &BTreeMap<String, u64>),
        intake: &mut Intake,
    ) -> Result<bool, MoveError> {
        let place = self.place(row["id"].as_str().unwrap_or("?"));
        let ids = row["mailboxIds"].as_object().into_iter().flatten();
        let ours: Vec<u64> = ids
            .filter_map(|(id, _)| mailboxes.get(id).copied())
            .collect();
        if ours.is_empty() {
            intake.problem(&place, "none of its mailboxes could be made here, or it is in one that came meanwhile: run it again");
            return Ok(true);
        }
        let max = intake.message_octets_max();
        if row["size"].as_u64().is_some_and(|size| size > max) {
            intake.problem(
                &place,
                &format!("it has more octets than the server takes ({max})"),
            );
            return Ok(true);
        }
        let Some(blob) = row["blobId"].as_str() else {
            intake.problem(&place, "the server names no blob");
            return Ok(true);
        };
        let escaped = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
                .to_string()
        };
        let url = self
            .download
            .replace("{accountId}", &escaped(&self.account))
            .replace("{blobId}", &escaped(blob))
            .replace("{name}", "message.eml")
            .replace("{type}", &escaped("message/rfc822"));
        let url = self.absolute(&url)?;
        let (status, _, octets) = self
            .get(&url, usize::try_from(max).unwrap_or(usize::MAX))
            .await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        if !status.is_success() {
            intake.problem(&place, &format!("its download is answered with {status}"));
            return Ok(true);
        }
        let message = Message {
            collection: *collection,
            item,
            octets,
            mailboxes: ours,
            flags,
            received_at: row["receivedAt"].as_str().and_then(dates::utc_date),
            place,
            // There, it is one email in all its mailboxes already.
            meeting: super::protocol::Meeting::Separate,
        };
        intake.put(message).await?;
        Ok(true)
    }
}

fn flags_of(row: &Value) -> Flags {
    let mut flags = Flags::default();
    for (name, _) in row["keywords"].as_object().into_iter().flatten() {
        flags.add(name);
    }
    flags.sorted()
}
