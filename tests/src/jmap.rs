//! A small JMAP client (RFC 8620) over [`Http`]: values of JSON in, values of JSON out.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::http::{Answer, Http};

/// What requests use, unless a test says otherwise.
const USING: &[&str] = &[
    "urn:ietf:params:jmap:core",
    "urn:ietf:params:jmap:mail",
    "urn:ietf:params:jmap:submission",
    "urn:ietf:params:jmap:vacationresponse",
    "urn:ietf:params:jmap:blob",
    "urn:ietf:params:jmap:quota",
    "urn:ietf:params:jmap:mdn",
    "urn:ietf:params:jmap:sieve",
    "urn:posthorn:params:jmap:trace",
    "urn:posthorn:params:jmap:undelete",
];

/// Emails asked for at a time.
const GET_AT_ONCE: usize = 500;

/// Every property of an Email (RFC 8621 §4.1), and a few header forms.
pub const ALL_EMAIL_PROPERTIES: &[&str] = &[
    "id",
    "blobId",
    "threadId",
    "mailboxIds",
    "keywords",
    "size",
    "receivedAt",
    "headers",
    "messageId",
    "inReplyTo",
    "references",
    "sender",
    "from",
    "to",
    "cc",
    "bcc",
    "replyTo",
    "subject",
    "sentAt",
    "bodyStructure",
    "bodyValues",
    "textBody",
    "htmlBody",
    "attachments",
    "hasAttachment",
    "preview",
    "header:Message-ID",
    "header:Subject:asText:all",
    "header:From:asAddresses",
    "header:From:asGroupedAddresses",
    "header:Message-ID:asMessageIds",
    "header:Date:asDate",
    "header:List-Unsubscribe:asURLs",
    "header:Received:asRaw:all",
];

/// A login over one connection.
#[derive(Debug)]
pub struct Jmap {
    pub http: Http,
    pub authorization: String,
    /// The Session object.
    pub session: Value,
    /// The primary account for mail.
    pub account: String,
    /// In `using`: of [`USING`], what the server has.
    using: Vec<String>,
}

impl Jmap {
    pub fn login(port: u16, user: &str, password: &str) -> Jmap {
        let authorization = basic(user, password);
        let mut http = Http::new(port);
        let answer = http.get("/.well-known/jmap", &[("Authorization", &authorization)]);
        assert_eq!(answer.status, 200, "no session: {}", answer.text());
        let session = answer.json();
        let account = session["primaryAccounts"]["urn:ietf:params:jmap:mail"].as_str();
        let account =
            account.or_else(|| session["primaryAccounts"]["urn:ietf:params:jmap:core"].as_str());
        let account = account
            .unwrap_or_else(|| panic!("no primary account: {session}"))
            .to_owned();
        let offered = |uri: &&&str| session["capabilities"].get(**uri).is_some();
        let using = USING
            .iter()
            .filter(offered)
            .map(|uri| (*uri).to_owned())
            .collect();
        Jmap {
            http,
            authorization,
            session,
            account,
            using,
        }
    }

    /// Sends a request object as it is.
    pub fn post_api(&mut self, body: &[u8]) -> Answer {
        let headers = [
            ("Authorization", self.authorization.as_str()),
            ("Content-Type", "application/json"),
        ];
        self.http.post("/jmap/api", &headers, body)
    }

    /// Makes calls, each `[name, arguments, id]`; returns the method responses.
    pub fn request(&mut self, calls: Value) -> Vec<Value> {
        let answer = self.post_api(
            json!({"using": self.using, "methodCalls": calls})
                .to_string()
                .as_bytes(),
        );
        assert_eq!(answer.status, 200, "{}", answer.text());
        match answer.json()["methodResponses"].take() {
            Value::Array(responses) => responses,
            _ => panic!("no methodResponses: {}", answer.text()),
        }
    }

    /// One call with the own account in its arguments. Returns the arguments of its response, or those of the error.
    pub fn try_call(&mut self, name: &str, mut arguments: Value) -> Result<Value, Value> {
        if arguments.get("accountId").is_none() && name != "Core/echo" {
            arguments["accountId"] = json!(self.account);
        }
        let mut responses = self.request(json!([[name, arguments, "0"]]));
        let response = responses
            .first_mut()
            .unwrap_or_else(|| panic!("{name}: no response"));
        let arguments = response[1].take();
        match response[0].as_str() {
            Some("error") => Err(arguments),
            _ => Ok(arguments),
        }
    }

    /// As [`Jmap::try_call`]; an error is a failure.
    pub fn call(&mut self, name: &str, arguments: Value) -> Value {
        let asked = arguments.to_string();
        self.try_call(name, arguments)
            .unwrap_or_else(|error| panic!("{name} {}: {error}", abbreviated(&asked)))
    }

    /// The type of the error that a call has.
    pub fn error_of(&mut self, name: &str, arguments: Value) -> String {
        match self.try_call(name, arguments) {
            Ok(response) => panic!(
                "{name} has no error: {}",
                abbreviated(&response.to_string())
            ),
            Err(error) => error["type"].as_str().unwrap_or_default().to_owned(),
        }
    }

    pub fn upload(&mut self, octets: &[u8], content_type: &str) -> String {
        let path = format!("/jmap/upload/{}", self.account);
        let headers = [
            ("Authorization", self.authorization.as_str()),
            ("Content-Type", content_type),
        ];
        let answer = self.http.post(&path, &headers, octets);
        assert!(
            matches!(answer.status, 200 | 201),
            "upload: {} {}",
            answer.status,
            answer.text()
        );
        string(&answer.json()["blobId"])
    }

    pub fn try_download(&mut self, blob: &str) -> Answer {
        let path = format!(
            "/jmap/download/{}/{blob}/blob?type=application/octet-stream",
            self.account
        );
        self.http
            .get(&path, &[("Authorization", &self.authorization)])
    }

    pub fn download(&mut self, blob: &str) -> Vec<u8> {
        let answer = self.try_download(blob);
        assert_eq!(answer.status, 200, "download of {blob}: {}", answer.text());
        answer.body
    }

    /// Ids of all emails that match; by pages.
    pub fn query_all(&mut self, filter: Value) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        loop {
            let sort = json!([{"property": "receivedAt", "isAscending": true}]);
            let arguments = json!({"filter": filter, "sort": sort, "position": ids.len(), "calculateTotal": true});
            let response = self.call("Email/query", arguments);
            let page = strings(&response["ids"]);
            let total = response["total"].as_u64().expect("no total") as usize;
            ids.extend(page.iter().cloned());
            if page.is_empty() || ids.len() >= total {
                assert_eq!(ids.len(), total, "Email/query: pages and total don't agree");
                return ids;
            }
        }
    }

    /// All of `ids`, in chunks.
    pub fn get_emails(&mut self, ids: &[String], properties: &[&str]) -> Vec<Value> {
        let mut emails = Vec::with_capacity(ids.len());
        for ids in ids.chunks(GET_AT_ONCE) {
            let mut response =
                self.call("Email/get", json!({"ids": ids, "properties": properties}));
            assert_eq!(response["notFound"], json!([]), "Email/get: not found");
            emails.append(response["list"].as_array_mut().expect("no list"));
        }
        emails
    }

    /// The id of the mailbox with a role.
    pub fn mailbox(&mut self, role: &str) -> String {
        let response = self.call("Mailbox/query", json!({"filter": {"role": role}}));
        strings(&response["ids"])
            .pop()
            .unwrap_or_else(|| panic!("no mailbox with the role {role}"))
    }

    /// The state of all emails.
    pub fn email_state(&mut self) -> String {
        string(&self.call("Email/get", json!({"ids": []}))["state"])
    }

    /// Follows Email/changes to its end: created, updated, destroyed, and the new state.
    pub fn email_changes(
        &mut self,
        since: &str,
    ) -> (BTreeSet<String>, BTreeSet<String>, BTreeSet<String>, String) {
        let (mut created, mut updated, mut destroyed) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut state = since.to_owned();
        loop {
            let response = self.call(
                "Email/changes",
                json!({"sinceState": state, "maxChanges": 400}),
            );
            created.extend(strings(&response["created"]));
            updated.extend(strings(&response["updated"]));
            destroyed.extend(strings(&response["destroyed"]));
            state = string(&response["newState"]);
            if response["hasMoreChanges"] != json!(true) {
                return (created, updated, destroyed, state);
            }
        }
    }

    /// Imports a message into a mailbox, and returns its id.
    pub fn import(&mut self, message: &[u8], mailbox: &str) -> String {
        let blob = self.upload(message, "message/rfc822");
        let email = json!({"blobId": blob, "mailboxIds": {mailbox: true}});
        let response = self.call("Email/import", json!({"emails": {"m": email}}));
        assert!(
            response["created"]["m"].is_object(),
            "Email/import: {response}"
        );
        string(&response["created"]["m"]["id"])
    }

    /// The counts of every mailbox have to be what counting the emails gives (RFC 8621 §2).
    pub fn check_counts(&mut self) {
        let mailboxes = self.call("Mailbox/get", json!({"ids": null}));
        let ids = self.query_all(Value::Null);
        let emails = self.get_emails(&ids, &["id", "threadId", "mailboxIds", "keywords"]);
        let trash = mailboxes["list"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|m| m["role"] == "trash");
        let trash = trash.map(|mailbox| string(&mailbox["id"]));
        for mailbox in mailboxes["list"].as_array().expect("no list") {
            let id = string(&mailbox["id"]);
            let counted = count(&emails, &id, trash.as_deref());
            let said = [
                "totalEmails",
                "unreadEmails",
                "totalThreads",
                "unreadThreads",
            ]
            .map(|name| mailbox[name].as_u64().unwrap_or(u64::MAX) as usize);
            assert_eq!(
                said, counted,
                "{}: totalEmails, unreadEmails, totalThreads, unreadThreads",
                mailbox["name"]
            );
        }
    }
}

/// totalEmails, unreadEmails, totalThreads, unreadThreads of a mailbox.
fn count(emails: &[Value], mailbox: &str, trash: Option<&str>) -> [usize; 4] {
    let is_in = |email: &Value, id: &str| email["mailboxIds"].get(id).is_some();
    let is_unread = |email: &Value| {
        email["keywords"].get("$seen").is_none() && email["keywords"].get("$draft").is_none()
    };
    let members: Vec<&Value> = emails
        .iter()
        .filter(|email| is_in(email, mailbox))
        .collect();
    let threads: BTreeSet<&str> = members
        .iter()
        .filter_map(|email| email["threadId"].as_str())
        .collect();
    // RFC 8621 §2: mail in the trash and mail elsewhere don't make each other's threads unread.
    let counts_here = |email: &Value| match trash {
        Some(trash) if trash == mailbox => is_in(email, trash),
        Some(trash) => email["mailboxIds"]
            .as_object()
            .is_some_and(|ids| ids.keys().any(|id| id != trash)),
        None => true,
    };
    let unread: BTreeSet<&str> = emails
        .iter()
        .filter(|email| is_unread(email) && counts_here(email))
        .filter_map(|email| email["threadId"].as_str())
        .filter(|thread| threads.contains(thread))
        .collect();
    let unread_emails = members.iter().filter(|email| is_unread(email)).count();
    [members.len(), unread_emails, threads.len(), unread.len()]
}

/// A string of JSON.
/// The value of an Authorization field (RFC 7617).
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

pub fn string(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("not a string: {value}"))
        .to_owned()
}

/// An array of strings of JSON.
pub fn strings(value: &Value) -> Vec<String> {
    value
        .as_array()
        .unwrap_or_else(|| panic!("not an array: {value}"))
        .iter()
        .map(string)
        .collect()
}

fn abbreviated(text: &str) -> String {
    text.chars().take(400).collect()
}
