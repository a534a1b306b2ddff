//! A client of JMAP (RFC 8620, RFC 8621), as much of it as the measurements need.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::http::Http;
use crate::reading::{Act, PAGE, Reader};
use crate::{DOMAIN, Fail, PASSWORD};

const USING: [&str; 2] = ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"];

pub struct Jmap {
    http: Http,
    session: Session,
    inbox: String,
    /// The newest messages, as `(id, blobId)`; at most 1,000.
    newest: Vec<(String, String)>,
}

/// What is needed of the session object (RFC 8620 §2); the URLs as paths.
struct Session {
    account: String,
    api: String,
    download: String,
    event_source: String,
}

fn authorization(user: &str) -> String {
    format!(
        "Basic {}",
        STANDARD.encode(format!("{user}@{DOMAIN}:{PASSWORD}"))
    )
}

async fn session(http: &mut Http) -> Result<Session, Fail> {
    let mut path = "/.well-known/jmap".to_owned();
    let mut answer = http.get(&path).await?;
    if answer.status / 100 == 3 {
        path = "/jmap/session".into();
        answer = http.get(&path).await?;
    }
    if answer.status != 200 {
        return Err(format!(
            "{path}: {} {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        )
        .into());
    }
    let value: Value = serde_json::from_slice(&answer.body)?;
    let text = |value: &Value| {
        value
            .as_str()
            .map(str::to_owned)
            .ok_or("the session lacks something")
    };
    // RFC 8620 §2: the URLs are absolute; this client keeps to its one connection.
    let path = |value: &Value| -> Result<String, Fail> {
        let url = text(value)?;
        let host = url
            .split_once("://")
            .map(|(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
        Ok(host.unwrap_or(&url).to_owned())
    };
    Ok(Session {
        account: text(&value["primaryAccounts"][USING[1]])?,
        api: path(&value["apiUrl"])?,
        download: path(&value["downloadUrl"])?,
        event_source: path(&value["eventSourceUrl"])?,
    })
}

/// Opens an event source (RFC 8620 §7.3) that waits for changes of every type.
pub async fn event_source(port: u16, user: &str) -> Result<tokio::net::TcpStream, Fail> {
    let mut http = Http::open(port, &authorization(user)).await?;
    let session = session(&mut http).await?;
    let path = session
        .event_source
        .replace("{types}", "*")
        .replace("{closeafter}", "no")
        .replace("{ping}", "300");
    http.stream(&path).await
}

impl Jmap {
    /// Connects, reads the session, and lists the newest messages of the inbox.
    pub async fn open(port: u16, user: &str) -> Result<Self, Fail> {
        let mut http = Http::open(port, &authorization(user)).await?;
        let session = session(&mut http).await?;
        let mut jmap = Self {
            http,
            session,
            inbox: String::new(),
            newest: Vec::new(),
        };
        let account = jmap.session.account.clone();
        let found = jmap
            .call(json!([["Mailbox/query", {"accountId": account, "filter": {"role": "inbox"}}, "0"]]))
            .await?;
        jmap.inbox = found[0][1]["ids"][0].as_str().ok_or("no inbox")?.to_owned();
        for position in [0, 250, 500, 750] {
            let answers = jmap
                .call(json!([
                    ["Email/query", {"accountId": account, "filter": {"inMailbox": jmap.inbox}, "position": position,
                        "sort": [{"property": "receivedAt", "isAscending": false}], "limit": 250}, "0"],
                    ["Email/get", {"accountId": account, "properties": ["blobId"],
                        "#ids": {"resultOf": "0", "name": "Email/query", "path": "/ids"}}, "1"],
                ]))
                .await?;
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let list = answers[1][1]["list"]
                .as_array()
                .ok_or("Email/get gives no list")?;
            jmap.newest.extend(
                list.iter()
                    .map(|email| (text(&email["id"]), text(&email["blobId"]))),
            );
        }
        match jmap.newest.is_empty() {
            true => Err(format!("the inbox of {user} is empty").into()),
            false => Ok(jmap),
        }
    }

    /// The number of messages in the inbox.
    pub async fn total(&mut self) -> Result<usize, Fail> {
        let query = json!([["Email/query", {"accountId": self.session.account, "filter": {"inMailbox": self.inbox},
            "limit": 1, "calculateTotal": true}, "0"]]);
        let total = self.call(query).await?[0][1]["total"].as_u64();
        Ok(total.ok_or("Email/query gives no total")? as usize)
    }

    /// One request; an error of any of its methods is one of the whole.
    async fn call(&mut self, calls: Value) -> Result<Value, Fail> {
        let request = json!({"using": USING, "methodCalls": calls}).to_string();
        let path = self.session.api.clone();
        let answer = self.http.post(&path, &request).await?;
        if answer.status != 200 {
            return Err(format!(
                "{path}: {} {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            )
            .into());
        }
        let mut value: Value = serde_json::from_slice(&answer.body)?;
        let answers = value["methodResponses"].take();
        let failed = |answer: &Value| answer[0] == "error" || answer[1]["notUpdated"].is_object();
        match answers
            .as_array()
            .and_then(|answers| answers.iter().find(|answer| failed(answer)))
        {
            Some(error) => Err(format!("{request}: {error}").into()),
            None => Ok(answers),
        }
    }

    async fn first_page(&mut self) -> Result<(), Fail> {
        let account = &self.session.account;
        let calls = json!([
            ["Email/query", {"accountId": account, "filter": {"inMailbox": self.inbox},
                "sort": [{"property": "receivedAt", "isAscending": false}], "limit": PAGE}, "0"],
            ["Email/get", {"accountId": account,
                "#ids": {"resultOf": "0", "name": "Email/query", "path": "/ids"},
                "properties": ["id", "threadId", "mailboxIds", "keywords", "from", "to", "subject", "receivedAt", "size",
                    "preview", "hasAttachment"]}, "1"],
        ]);
        let want = PAGE.min(self.newest.len());
        let answers = self.call(calls).await?;
        match answers[1][1]["list"].as_array().map_or(0, Vec::len) {
            got if got == want => Ok(()),
            got => Err(format!("first page: {got} messages, want {want}").into()),
        }
    }

    async fn whole(&mut self, pick: usize) -> Result<(), Fail> {
        let (_, blob) = &self.newest[pick % self.newest.len()];
        let path = self
            .session
            .download
            .replace("{accountId}", &self.session.account)
            .replace("{blobId}", blob)
            .replace("{name}", "message.eml")
            .replace("{type}", "message%2Frfc822");
        match self.http.get(&path).await?.status {
            200 => Ok(()),
            status => Err(format!("{path}: {status}").into()),
        }
    }
}

impl Reader for Jmap {
    async fn act(&mut self, act: &Act) -> Result<(), Fail> {
        let account = self.session.account.clone();
        let id = |pick: &usize| self.newest[*pick % self.newest.len()].0.clone();
        let calls = match act {
            Act::FirstPage => return self.first_page().await,
            Act::Whole(pick) => return self.whole(*pick).await,
            Act::Text(pick) => json!([["Email/get", {"accountId": account, "ids": [id(pick)],
                "properties": ["id", "headers", "bodyStructure", "textBody", "htmlBody", "attachments", "bodyValues"],
                "fetchTextBodyValues": true, "fetchHTMLBodyValues": true}, "0"]]),
            Act::Search(word) => {
                json!([["Email/query", {"accountId": account, "filter": {"text": word},
                "sort": [{"property": "receivedAt", "isAscending": false}], "limit": PAGE}, "0"]])
            }
            Act::Flag(pick, on) => {
                let value = if *on { json!(true) } else { Value::Null };
                json!([["Email/set", {"accountId": account, "update": {id(pick): {"keywords/$flagged": value}}}, "0"]])
            }
        };
        self.call(calls).await.map(drop)
    }

    fn octets(&self) -> u64 {
        self.http.octets
    }
}
