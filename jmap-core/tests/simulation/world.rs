//! A core over a faulty engine, and its only user.
//!
//! Holds: after a crash everything in memory is gone; the clock, the dice and the disk are what remains.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use jmap_core::{
    Caller, Core, Handle, Limits, Parts,
    auth::{Credentials, Origin, Protocol, Secret},
    clock::{TestClock, UtcMillis},
    directory::NewAccount,
    inproc::{
        deliver::Recipient,
        imap_view::{MailboxKey, ViewError, ViewRow, ViewStatus, Want},
    },
    mail::message::Summary,
    rng::SeededRng,
};
use jmap_types::{AccountId, Arguments, Value, method::MethodResponse};
use serde_json::json;
use store::{
    engine::{FaultPlan, FaultyEngine, SplitMix64},
    search::{SearchIndex, SearchOptions},
};

use crate::{
    laws::Observed,
    model::{Model, Outcome},
};

/// Faults follow each other only so often.
const TRIES_MAX: usize = 1000;
pub const ADDRESS: &str = "alice@example.org";
pub const OTHER_ADDRESS: &str = "bob@example.org";

pub struct World {
    pub engine: Arc<FaultyEngine>,
    pub core: Core,
    pub who: Caller,
    pub account: AccountId,
    pub other: AccountId,
    pub model: Model,
    /// What was seen before, oldest first.
    pub history: VecDeque<Observed>,
    pub dice: SplitMix64,
    /// Counts messages and mailboxes, for names.
    pub next: u64,
    pub inbox: String,
    plan: FaultPlan,
    token: Secret<String>,
    clock: Arc<TestClock>,
    rng: Arc<SeededRng>,
    index: Arc<SearchIndex>,
    _folder: tempfile::TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let journal = self.engine.journal();
            let first = journal.len().saturating_sub(30);
            eprintln!(
                "{:?}\nthe end of the journal:\n{}",
                self.plan,
                journal[first..].join("\n")
            );
        }
    }
}

impl World {
    /// Two accounts, made without faults.
    pub async fn new(seed: u64, plan: FaultPlan) -> World {
        let folder = tempfile::tempdir().expect("no temporary folder");
        let options = SearchOptions {
            shards: 1,
            ..SearchOptions::default()
        };
        let index = Arc::new(SearchIndex::open(folder.path(), &options).expect("no index"));
        let clock = Arc::new(TestClock::new(UtcMillis(1_700_000_000_000)));
        let rng = Arc::new(SeededRng::new(seed));
        let engine = FaultyEngine::new(FaultPlan::default());
        let core = open(&engine, &clock, &rng, &index)
            .await
            .expect("a new store can't be opened");
        let server = Caller::server();
        core.add_domain(&server, "example.org")
            .await
            .expect("no domain");
        let mut ids = Vec::new();
        for address in [ADDRESS, OTHER_ADDRESS] {
            let account = core
                .add_account(&server, NewAccount::person(address, None))
                .await
                .expect("no account");
            ids.push(account.id);
        }
        let token = core
            .add_token(&server, ids[0], "", None)
            .await
            .expect("no token")
            .secret;
        let who = login(&core, &token).await.expect("no login");
        let mut world = World {
            engine: engine.restart_with(plan),
            core,
            who,
            account: ids[0],
            other: ids[1],
            model: Model::default(),
            history: VecDeque::new(),
            dice: SplitMix64(seed),
            next: 0,
            inbox: String::new(),
            plan,
            token,
            clock,
            rng,
            index,
            _folder: folder,
        };
        world.reopen().await;
        world.learn_mailboxes().await;
        world
    }

    async fn learn_mailboxes(&mut self) {
        let response = self
            .read::<jmap_types::method::Get<jmap_types::mail::Mailbox>>(json!({"ids": null}))
            .await;
        for mailbox in response["list"].as_array().expect("no list") {
            let (id, name) = (text(&mailbox["id"]), text(&mailbox["name"]));
            if mailbox["role"] == "inbox" {
                self.inbox = id.clone();
            }
            self.model.mailboxes.insert(id, [Some(name)].into());
        }
    }

    /// The core as the next start finds it.
    async fn reopen(&mut self) {
        for _ in 0..TRIES_MAX {
            if self.engine.is_crashed() {
                self.engine = self.engine.restart();
            }
            let Ok(core) = open(&self.engine, &self.clock, &self.rng, &self.index).await else {
                continue;
            };
            if let Ok(who) = login(&core, &self.token).await {
                (self.core, self.who) = (core, who);
                return;
            }
        }
        panic!("the store can't be opened any more");
    }

    /// After a crash: everything is opened anew.
    pub async fn recover(&mut self) {
        if self.engine.is_crashed() {
            self.reopen().await;
        }
    }

    /// The end of all faults, with a last power failure.
    pub async fn calm(&mut self) {
        self.plan = FaultPlan {
            seed: self.plan.seed,
            ..FaultPlan::default()
        };
        self.engine = self.engine.restart_with(self.plan);
        self.reopen().await;
    }

    pub fn advance(&mut self, seconds: u64) {
        self.clock.advance(std::time::Duration::from_secs(seconds));
    }

    pub fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub fn recipient(&self, address: &str) -> Recipient {
        let target = if address == ADDRESS {
            self.account
        } else {
            self.other
        };
        Recipient {
            address: address.to_owned(),
            targets: vec![target],
        }
    }

    /// A call that reads, again and again until no fault comes in between.
    pub async fn read<C: Handle>(&mut self, arguments: serde_json::Value) -> serde_json::Value {
        for _ in 0..TRIES_MAX {
            self.recover().await;
            match call::<C>(&self.core, &self.who, self.account, arguments.clone()).await {
                Ok(response) => return response,
                Err(error) if is_fault(&error) => {}
                Err(error) => panic!("{} {arguments}: {error}", C::NAME),
            }
        }
        panic!("{} {arguments} fails each time", C::NAME);
    }

    /// What IMAP sees of a mailbox: its status, and its messages with their summaries.
    pub async fn view(&mut self, mailbox: u64) -> (ViewStatus, Vec<(ViewRow, Arc<Summary>)>) {
        let key = MailboxKey {
            account: self.account,
            mailbox,
        };
        for _ in 0..TRIES_MAX {
            self.recover().await;
            match self.try_view(key).await {
                Ok(view) => return view,
                Err(ViewError::Unavailable | ViewError::Failed) => {}
                Err(error) => panic!("mailbox {mailbox}: {error}"),
            }
        }
        panic!("mailbox {mailbox} can't be read");
    }

    async fn try_view(
        &self,
        key: MailboxKey,
    ) -> Result<(ViewStatus, Vec<(ViewRow, Arc<Summary>)>), ViewError> {
        let opened = self.core.view_open(&self.who, key).await?;
        let ids: Vec<u64> = opened.messages.iter().map(|(_, email)| email).collect();
        let rows = self.core.view_rows(&self.who, key, &ids).await?;
        let rows = rows.into_iter().collect::<Option<Vec<_>>>();
        let rows = rows.expect("a message is gone");
        // Of what JMAP sees, it has told.
        let hidden = rows.iter().filter(|row| row.is_deleted);
        let hidden: Vec<u64> = hidden.map(|row| row.email).collect();
        let want = Want {
            summary: true,
            ..Want::default()
        };
        let messages = self
            .core
            .view_messages(&self.who, key, &hidden, want)
            .await?;
        let mut summaries = messages.into_iter().map(|message| message?.summary);
        let rows = rows.into_iter().map(|row| {
            let summary = match row.is_deleted {
                true => summaries.next().flatten().expect("no summary"),
                false => Arc::default(),
            };
            (row, summary)
        });
        let rows = rows.collect();
        Ok((opened.status, rows))
    }

    /// What was left half-done is finished.
    pub async fn finish_deliveries(&mut self) {
        for _ in 0..TRIES_MAX {
            self.recover().await;
            if let Ok(0) = self.core.resume_deliveries().await {
                return;
            }
        }
        panic!("deliveries stay open");
    }
}

/// A call with JSON in and out; the error is that of the response.
pub async fn call<C: Handle>(
    core: &Core,
    who: &Caller,
    account: AccountId,
    mut arguments: serde_json::Value,
) -> Result<serde_json::Value, serde_json::Value> {
    arguments["accountId"] = json!(account.to_string());
    // The values borrow from their text for ever: what a test uses.
    let map = Value::parse_json(arguments.to_string().leak()).expect("bad JSON");
    let map = map.into_object().expect("no object");
    let result = match C::from_arguments(Arguments::new(map)) {
        Ok(call) => core.call(who, call).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(response) => Ok(json_of(response.into_map())),
        Err(error) => Err(json_of(error.into_map())),
    }
}

fn json_of(map: jmap_types::value::Map) -> serde_json::Value {
    serde_json::to_value(Value::Object(map)).expect("no JSON")
}

/// Whether an error of a method or an object comes from the engine.
pub fn is_fault(error: &serde_json::Value) -> bool {
    matches!(
        error["type"].as_str(),
        Some("serverFail" | "serverUnavailable" | "serverPartialFail")
    )
}

/// What a /set (or import) has done with the one object it was given. `kind` is `created`, `updated` or `destroyed`.
pub fn outcome(response: &Result<serde_json::Value, serde_json::Value>, kind: &str) -> Outcome {
    let not = format!("not{}{}", kind[..1].to_uppercase(), &kind[1..]);
    let error = match response {
        Err(error) => error,
        Ok(response) => match response[not.as_str()]
            .as_object()
            .and_then(|errors| errors.values().next())
        {
            Some(error) => error,
            None => {
                let is_done = match &response[kind] {
                    serde_json::Value::Array(ids) => !ids.is_empty(),
                    serde_json::Value::Object(objects) => !objects.is_empty(),
                    _ => false,
                };
                assert!(is_done, "neither {kind} nor {not}: {response}");
                return Outcome::Done;
            }
        },
    };
    match is_fault(error) {
        true => Outcome::Unknown,
        false => Outcome::Refused(error.to_string()),
    }
}

pub fn text(value: &serde_json::Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("not a string: {value}"))
        .to_owned()
}

async fn open(
    engine: &Arc<FaultyEngine>,
    clock: &Arc<TestClock>,
    rng: &Arc<SeededRng>,
    index: &Arc<SearchIndex>,
) -> Result<Core, store::Error> {
    let parts = Parts {
        push: Default::default(),
        engine: engine.clone(),
        clock: clock.clone(),
        rng: rng.clone(),
        // With a limit there is a Quota object, whose number is looked at.
        limits: Limits {
            default_quota_octets: 1 << 40,
            ..Limits::default()
        },
        hostname: "mail.example.org".to_owned(),
        search: index.clone(),
    };
    Core::open(parts).await
}

async fn login(core: &Core, token: &Secret<String>) -> Result<Caller, jmap_core::auth::AuthError> {
    let origin = Origin {
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        protocol: Protocol::Jmap,
        tls: false,
    };
    core.login(
        Credentials::Bearer {
            authzid: None,
            token: token.clone(),
        },
        origin,
    )
    .await
}
