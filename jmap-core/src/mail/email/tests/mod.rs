//! Tests of the Email methods over an engine in memory: calls as JSON, answers as JSON.

mod copy;
mod corpus;
mod damage;
mod get;
mod guests;
mod import;
mod limits;
mod parse;
mod remembered;
mod set;

use std::sync::Arc;

use bytes::Bytes;
use expect_test::Expect;
use jmap_types::{AccountId, Arguments, BlobId, Value, method::MethodResponse};
use store::{
    Record as _,
    engine::{Batch, Engine, MemoryEngine},
    keys,
    search::{SearchIndex, SearchOptions},
};

use crate::{
    Caller, Core, Handle, Limits, Parts, Role,
    caller::Identity,
    clock::{TestClock, UtcMillis},
    directory::records::{AccountKind, AccountRecord},
    mail::write::{self, INBOX, Message, Placement},
    rng::SeededRng,
};

/// 2020-01-02T03:04:05Z
const NOW: UtcMillis = UtcMillis(1_577_934_245_000);
pub(crate) const OWNER: u64 = 1;
pub(crate) const OTHER: u64 = 2;
pub(crate) const GUEST: u64 = 3;

/// A core with accounts, and somebody to call it.
pub(crate) struct Bench {
    pub core: Core,
    pub engine: Arc<dyn Engine>,
    pub clock: Arc<TestClock>,
    _folder: tempfile::TempDir,
}

/// Somebody without groups, who sees the accounts of `shares` as a guest.
pub(crate) fn caller(account: u64, shares: &[u64]) -> Caller {
    Caller::new(Identity {
        domains: Vec::new(),
        account: AccountId::new(account),
        name: format!("u{account}@example.com"),
        role: Role::User,
        credential: 1,
        kind: None,
        groups: Vec::new(),
        shares: shares.iter().copied().map(AccountId::new).collect(),
    })
}

impl Bench {
    pub async fn new() -> Self {
        Self::with_limits(Limits::default()).await
    }

    pub async fn with_limits(limits: Limits) -> Self {
        Self::made(limits, false).await
    }

    /// One of several nodes.
    pub async fn of_node() -> Self {
        Self::made(Limits::default(), true).await
    }

    async fn made(limits: Limits, is_node: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SearchOptions {
            shards: 1,
            ..SearchOptions::default()
        };
        let engine: Arc<dyn Engine> = MemoryEngine::new();
        let clock = Arc::new(TestClock::new(NOW));
        let parts = Parts {
            push: Default::default(),
            engine: engine.clone(),
            clock: clock.clone(),
            rng: Arc::new(SeededRng::new(1)),
            limits,
            hostname: "mail.example.com".to_owned(),
            search: Arc::new(SearchIndex::open(folder.path(), &options).unwrap()),
        };
        let core = match is_node {
            false => Core::open(parts).await.unwrap(),
            true => {
                let own = folder.path().join("node");
                std::fs::create_dir(&own).unwrap();
                let settings = crate::cluster::Settings::new(own, "node");
                Core::open_node(parts, settings).await.unwrap()
            }
        };
        for account in [OWNER, OTHER] {
            let handle = core.accounts.handle(AccountId::new(account));
            let mut txn = handle.writer.begin().await.unwrap();
            write::provision(&mut txn, NOW);
            txn.commit().await.unwrap();
        }
        Self {
            core,
            engine,
            clock,
            _folder: folder,
        }
    }

    /// Somebody whom the directory knows, without any mail.
    pub async fn add_account(&self, account: u64) {
        let record = AccountRecord {
            name: format!("u{account}@example.com"),
            kind: AccountKind::Person,
            description: String::new(),
            quota_octets: None,
            disabled: false,
            role: Role::User,
            generation: 1,
            created: NOW.seconds(),
            addresses: Vec::new(),
            last_credential: 1,
            removed: false,
            forward: None,
            list: None,
            recipients_per_hour: None,
            recipients_per_day: None,
            administers: None,
            role_from_outside: None,
        };
        let mut batch = Batch::new();
        batch.put(keys::account(AccountId::new(account)), record.to_bytes());
        self.engine.commit(batch).await.unwrap();
    }

    /// Puts a message into the inbox: its number.
    pub async fn deliver(&self, octets: impl Into<Bytes>) -> u64 {
        self.place(octets, &[INBOX]).await
    }

    pub async fn place(&self, octets: impl Into<Bytes>, mailboxes: &[u64]) -> u64 {
        let message = Message::parse(octets.into());
        let handle = self.core.accounts.handle(AccountId::new(OWNER));
        let mut txn = handle.writer.begin().await.unwrap();
        let placement = Placement {
            mailboxes: mailboxes.to_vec(),
            keywords: vec!["$seen".to_owned(), "work".to_owned()],
            received_at: NOW.seconds() - 60,
            quota_octets: 0,
            is_delivery: true,
            is_deleted: false,
        };
        let inserted = write::insert_email(&mut txn, &message, &placement, NOW)
            .await
            .unwrap();
        txn.commit().await.unwrap();
        inserted.id
    }

    pub async fn upload(&self, octets: impl Into<Bytes>) -> BlobId {
        let account = AccountId::new(OWNER);
        let who = caller(OWNER, &[]);
        self.core
            .write_blob(&who, account, octets.into(), "message/rfc822")
            .await
            .unwrap()
    }

    /// The answer to a call whose arguments are JSON, as JSON; implied answers follow.
    pub async fn json<C: Handle>(&self, who: &Caller, arguments: &str) -> serde_json::Value {
        let map = Value::parse_json(arguments.to_owned().leak())
            .unwrap_or_else(|error| panic!("{error}: {arguments}"))
            .into_object()
            .unwrap();
        let result = match C::from_arguments(Arguments::new(map)) {
            Ok(call) => self.core.call(who, call).await,
            Err(error) => Err(error),
        };
        let mut response = match result {
            Ok(response) => response,
            Err(error) => return serde_json::to_value(Value::Object(error.into_map())).unwrap(),
        };
        let implied = response.take_implicit();
        let mut answer = serde_json::to_value(Value::Object(response.into_map())).unwrap();
        for (name, result) in implied {
            let map = result.unwrap_or_else(|error| error.into_map());
            answer[name] = serde_json::to_value(Value::Object(map)).unwrap();
        }
        answer
    }

    /// Compares the answer of the owner's call at `pointer`.
    pub async fn check<C: Handle>(&self, arguments: &str, pointer: &str, expected: Expect) {
        self.check_as::<C>(&caller(OWNER, &[]), arguments, pointer, expected)
            .await;
    }

    pub async fn check_as<C: Handle>(
        &self,
        who: &Caller,
        arguments: &str,
        pointer: &str,
        expected: Expect,
    ) {
        let answer = self.json::<C>(who, arguments).await;
        let part = answer.pointer(pointer).unwrap_or(&answer);
        let text = serde_json::to_string_pretty(part).unwrap();
        expected.assert_eq(&shortened(&text));
    }
}

/// Hashes by their first octets.
fn shortened(text: &str) -> String {
    let mut short = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\"b") {
        let (head, tail) = rest.split_at(at + 2);
        short.push_str(head);
        let digits = tail.bytes().take_while(u8::is_ascii_hexdigit).count();
        rest = if digits == 64 {
            short.push_str(&tail[..4]);
            short.push('~');
            &tail[64..]
        } else {
            tail
        };
    }
    short.push_str(rest);
    short
}

/// A mail with CRLF line ends from lines.
pub(super) fn mail(lines: &[&str]) -> String {
    lines.join("\r\n")
}

/// One of most things.
pub(super) fn rich_mail() -> String {
    mail(&[
        "Received: from a.example by b.example; Wed, 1 Jan 2020 10:00:00 +0100",
        "Message-ID: <1@example.org>",
        "In-Reply-To: <0@example.org>",
        "References: <00@example.org> <0@example.org>",
        "Date: Wed, 1 Jan 2020 09:59:58 +0100",
        "From: =?utf-8?Q?J=C3=B6?= <joe@example.org>",
        "Sender: sender@example.org",
        "To: Team: a@example.com, B <b@example.com>;, c@example.com",
        "Cc: d@example.com",
        "Bcc: e@example.com",
        "Reply-To: <f@example.com>",
        "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=",
        "List-Post: <mailto:list@example.org>",
        "X-Loop: one",
        "X-Loop: two",
        "MIME-Version: 1.0",
        "Content-Type: multipart/mixed; boundary=m",
        "",
        "--m",
        "Content-Type: multipart/alternative; boundary=a",
        "",
        "--a",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: quoted-printable",
        "Content-Language: de, en",
        "",
        "Sch=C3=B6n",
        "und gut",
        "--a",
        "Content-Type: text/html",
        "",
        "<p>Nice <a href=\"https://example.com\">link</a></p>",
        "--a--",
        "--m",
        "Content-Type: application/pdf; name=x.pdf",
        "Content-Disposition: attachment; filename=x.pdf",
        "Content-Id: <cid@x>",
        "Content-Location: https://example.com/x.pdf",
        "Content-Transfer-Encoding: base64",
        "",
        "aGFsbG8=",
        "--m--",
        "",
    ])
}
