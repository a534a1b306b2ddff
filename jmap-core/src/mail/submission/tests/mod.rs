mod crash;
mod limits;
mod queue;
mod records;
mod set;
mod submit;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use jmap_types::{
    AccountId, Arguments, Value,
    mail::{Email, EmailSubmission, Identity},
    method::{Get, MethodCall, MethodResponse, Set},
};
use serde_json::{Value as Json, json};
use store::{
    engine::{Engine, MemoryEngine},
    search::{SearchIndex, SearchOptions},
};

use crate::{
    Caller, Core, Handle, Limits, Parts, Role, caller,
    clock::{TestClock, UtcMillis},
    directory::NewAccount,
    mail::write::{self, Message, Placement},
    rng::SeededRng,
};

/// A server with ann, bob and eve at example.org.
pub(crate) struct Server {
    pub core: Core,
    pub clock: Arc<TestClock>,
    pub ann: Caller,
    pub bob: Caller,
    pub eve: Caller,
    _search: tempfile::TempDir,
}

pub(crate) const ANN: &str = "ann@example.org";
pub(crate) const BOB: &str = "bob@example.org";

pub(crate) async fn core_over(
    engine: Arc<dyn Engine>,
    seed: u64,
    limits: Limits,
) -> (Core, Arc<TestClock>, tempfile::TempDir) {
    let clock = Arc::new(TestClock::new(UtcMillis(1_700_000_000_000)));
    let folder = tempfile::tempdir().unwrap();
    let search = SearchIndex::open(
        folder.path(),
        &SearchOptions {
            shards: 1,
            ..SearchOptions::default()
        },
    );
    let parts = Parts {
        engine,
        search: Arc::new(search.unwrap()),
        clock: clock.clone(),
        rng: Arc::new(SeededRng::new(seed)),
        limits,
        hostname: "mail.example.org".into(),
        push: Default::default(),
    };
    (Core::open(parts).await.unwrap(), clock, folder)
}

pub(crate) fn caller(account: AccountId, name: &str) -> Caller {
    Caller::new(caller::Identity {
        domains: Vec::new(),
        account,
        name: name.to_owned(),
        role: Role::User,
        credential: 1,
        kind: None,
        groups: Vec::new(),
        shares: Vec::new(),
    })
}

impl Server {
    pub async fn new() -> Self {
        Self::with(MemoryEngine::new(), Limits::default()).await
    }

    pub async fn with(engine: Arc<dyn Engine>, limits: Limits) -> Self {
        let (core, clock, folder) = core_over(engine, 1, limits).await;
        let admin = Caller::server();
        core.add_domain(&admin, "example.org").await.unwrap();
        let mut callers = Vec::new();
        for name in [ANN, BOB, "eve@example.org"] {
            let account = core
                .add_account(&admin, NewAccount::person(name, None))
                .await
                .unwrap();
            callers.push(caller(account.id, name));
        }
        let [ann, bob, eve] = callers.try_into().unwrap();
        Self {
            core,
            clock,
            ann,
            bob,
            eve,
            _search: folder,
        }
    }

    pub async fn call<C: MethodCall + Handle>(&self, who: &Caller, mut arguments: Json) -> Json {
        arguments["accountId"] = json!(who.account.to_string());
        let text: &'static str = arguments.to_string().leak();
        let map = Value::parse_json(text).unwrap().into_object().unwrap();
        let call = C::from_arguments(Arguments::new(map)).unwrap();
        let mut response = self.core.call(who, call).await.unwrap();
        let implicit: Vec<Json> = response
            .take_implicit()
            .into_iter()
            .map(|(name, answer)| {
                json!([
                    name,
                    serde_json::to_value(Value::Object(answer.unwrap())).unwrap()
                ])
            })
            .collect();
        let mut json = serde_json::to_value(Value::Object(response.into_map())).unwrap();
        json["implicit"] = json!(implicit);
        json
    }

    /// A message of ann's, in her Drafts: its id.
    pub async fn draft(&self, message: &str) -> String {
        let account = self.core.accounts.handle(self.ann.account);
        let mut txn = account.writer.begin().await.unwrap();
        let placement = Placement {
            mailboxes: vec![2],
            keywords: vec!["$draft".into()],
            received_at: 0,
            quota_octets: 0,
            is_delivery: false,
            is_deleted: false,
        };
        let message = Message::parse(Bytes::from(message.replace('\n', "\r\n")));
        let inserted = write::insert_email(&mut txn, &message, &placement, self.core.clock.now())
            .await
            .unwrap();
        txn.commit().await.unwrap();
        jmap_types::mail::EmailId::new(inserted.id).to_string()
    }

    pub async fn identity(&self, who: &Caller) -> String {
        let got = self.call::<Get<Identity>>(who, json!({"ids": null})).await;
        got["list"][0]["id"].as_str().unwrap().to_owned()
    }

    /// Submits a message of ann's; the answer of EmailSubmission/set.
    pub async fn send(&self, message: &str, envelope: Json) -> Json {
        let create = json!({
            "identityId": self.identity(&self.ann).await,
            "emailId": self.draft(message).await,
            "envelope": envelope,
        });
        self.call::<Set<EmailSubmission>>(&self.ann, json!({"create": {"k": create}}))
            .await
    }

    pub async fn submission(&self, id: &str) -> Json {
        let got = self
            .call::<Get<EmailSubmission>>(&self.ann, json!({"ids": [id]}))
            .await;
        got["list"].get(0).cloned().unwrap_or(Json::Null)
    }

    /// The subjects in an account's inbox, oldest first.
    pub async fn inbox(&self, who: &Caller) -> Vec<String> {
        let messages = self.inbox_messages(who).await;
        messages
            .iter()
            .map(|octets| {
                crate::mail::message::Summary::parse(octets)
                    .subject
                    .unwrap_or_default()
            })
            .collect()
    }

    pub async fn inbox_messages(&self, who: &Caller) -> Vec<Bytes> {
        let account = self.core.accounts.handle(who.account);
        let mut blobs = Vec::new();
        {
            let view = account.view().await.unwrap();
            let row = view.mailbox(write::INBOX).unwrap();
            let mut ids: Vec<u64> = row.by_received.iter().map(|(_, id)| *id).collect();
            ids.sort_unstable();
            blobs.extend(ids);
        }
        let mut messages = Vec::new();
        for id in blobs {
            let txn = account.writer.begin().await.unwrap();
            let record = write::email(&txn, id).await.unwrap().unwrap();
            messages.push(
                store::blob::get(&self.core.engine, &record.blob)
                    .await
                    .unwrap()
                    .unwrap(),
            );
        }
        messages
    }

    pub fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub async fn email_exists(&self, id: &str) -> bool {
        let got = self
            .call::<Get<Email>>(&self.ann, json!({"ids": [id], "properties": ["keywords"]}))
            .await;
        got["list"].as_array().unwrap().len() == 1
    }
}

pub(crate) const HELLO: &str =
    "From: Ann <ann@example.org>\nTo: bob@example.org\nSubject: hello\n\nHi\n";
