//! Damage at random, by seed: the server serves what is left, repair leaves nothing to do, and no email is lost that was not touched.
//!
//! `POSTHORN_SEEDS` is how many stores are damaged; a failure prints its seed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use jmap_types::{
    AccountId, DataType,
    mail::{Email, EmailSubmission, Identity, Mailbox, Thread, VacationResponse},
    method::{Changes, Get, Query, Set},
    sieve::SieveScript,
};
use serde_json::json;
use store::{
    Record as _,
    engine::{Batch, Engine, MemoryEngine, Page},
    keys::{self, Subspace},
};

use super::{super::mend_before_open, CheckOptions, Code};
use crate::{
    Caller, Core, Limits,
    directory::NewAccount,
    inproc::{imap_view::MailboxKey, sts::StsPolicyRecord},
    mail::{
        records::{EmailRecord, MetadataEntry, MetadataRecord},
        submission::tests::{Server, core_over},
        write::INBOX,
    },
    rng::{Rng, SeededRng},
};

const SEEDS: u64 = 60;
/// Rows that are damaged at most.
const DAMAGED_MAX: u64 = 6;
const NAMES: [&str; 3] = ["ann@example.org", "bob@example.org", "eve@example.org"];

type Rows = BTreeMap<Vec<u8>, Bytes>;

/// A store with records of nearly all kinds.
async fn populated() -> Rows {
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    let server = Server::with(engine.clone(), Limits::default()).await;
    let core = &server.core;
    let admin = &Caller::server();
    for number in 0..8 {
        for name in NAMES {
            let answers = match number {
                0 => String::new(),
                number => format!("In-Reply-To: <{}@x>\r\n", number / 3),
            };
            let text = format!(
                "From: zoe@example.net\r\nTo: {name}\r\nSubject: Re: Post {}\r\nMessage-ID: <{number}@x>\r\n{answers}\r\nBody {number} for {name}.\r\n",
                number / 3
            );
            deliver(core, name, text.into()).await.unwrap();
        }
    }
    // One message for all.
    let mut all = Vec::new();
    for name in NAMES {
        all.push(core.resolve_recipient(name).await.unwrap());
    }
    let to_all = core.deliver(super::inbound(super::MAIL, all)).await;
    assert!(to_all.iter().all(Result::is_ok));
    let shared = json!({"create": {"m": {"name": "Shared", "shareWith": {
        server.bob.account.to_string(): {"mayReadItems": true}}},
        "n": {"name": "Below", "parentId": "#m"}}});
    let made = server.call::<Set<Mailbox>>(&server.ann, shared).await;
    assert!(made["notCreated"].is_null(), "{made}");
    let below = made["created"]["n"]["id"].as_str().unwrap();
    let ids = server.call::<Query<Email>>(&server.ann, json!({})).await;
    let ids = ids["ids"].as_array().unwrap().clone();
    let place = json!({"update": {ids[0].as_str().unwrap(): {"mailboxIds": {below: true}},
        ids[1].as_str().unwrap(): {"keywords": {"$seen": true, "work": true}}}});
    server.call::<Set<Email>>(&server.ann, place).await;
    for number in 0..3 {
        let message =
            format!("From: ann@example.org\nTo: x@far.example\nSubject: Out {number}\n\nGo.\n");
        let envelope = json!({"mailFrom": {"email": "ann@example.org"}, "rcptTo": [{"email": "x@far.example"}]});
        let sent = server.send(&message, envelope).await;
        assert!(sent["notCreated"].is_null(), "{sent}");
    }
    let script = Bytes::from_static(b"keep;");
    let blob = core
        .write_blob(&server.ann, server.ann.account, script, "application/sieve")
        .await
        .unwrap();
    let scripts = json!({"create": {"s": {"name": "mine", "blobId": blob.to_string()}},
        "onSuccessActivateScript": "#s"});
    server.call::<Set<SieveScript>>(&server.ann, scripts).await;
    let vacation = json!({"update": {"singleton": {"isEnabled": true, "textBody": "Away."}}});
    server
        .call::<Set<VacationResponse>>(&server.bob, vacation)
        .await;
    let upload = Bytes::from_static(b"an upload that waits");
    core.write_blob(&server.eve, server.eve.account, upload, "text/plain")
        .await
        .unwrap();
    let team = core
        .add_account(admin, NewAccount::group("team@example.org"))
        .await
        .unwrap();
    core.add_member(admin, team.id, server.bob.account)
        .await
        .unwrap();
    core.add_token(admin, server.eve.account, "phone", None)
        .await
        .unwrap();
    core.keep_sts_policy("far.example", &StsPolicyRecord::default())
        .await
        .unwrap();
    let annotations = MetadataRecord {
        entries: vec![MetadataEntry {
            name: "/shared/comment".into(),
            value: Some(b"mine".to_vec()),
            modseq: 1,
        }],
    };
    let mut batch = Batch::new();
    batch.put(
        keys::metadata(server.ann.account, INBOX, 0),
        annotations.to_bytes(),
    );
    batch.put(
        keys::report_in("example.org", 5, 1),
        crate::reports::records::ReportRecord::default().to_bytes(),
    );
    engine.commit(batch).await.unwrap();
    core.flush_traces().await.unwrap();
    core.index_now().await.unwrap();
    let report = core.check(CheckOptions::default(), &|_| ()).await.unwrap();
    assert_eq!(report.problems, []);
    rows_of(&engine).await
}

async fn deliver(core: &Core, to: &str, octets: Bytes) -> Result<AccountId, ()> {
    let recipient = core.resolve_recipient(to).await.map_err(drop)?;
    let account = recipient.targets.first().copied().ok_or(())?;
    let mut inbound = super::inbound("", vec![recipient]);
    inbound.message = octets;
    let done = core.deliver(inbound).await;
    match done.iter().all(Result::is_ok) {
        true => Ok(account),
        false => Err(()),
    }
}

async fn rows_of(engine: &Arc<dyn Engine>) -> Rows {
    let everything = Page::first(vec![]..vec![0xff; 64], usize::MAX);
    let rows = engine.scan(everything).await.unwrap();
    rows.into_iter().map(|(k, v)| (k.to_vec(), v)).collect()
}

async fn engine_of(rows: &Rows) -> Arc<dyn Engine> {
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    let mut batch = Batch::new();
    for (key, value) in rows {
        batch.put(key.clone(), value.clone());
    }
    engine.commit(batch).await.unwrap();
    engine
}

/// Damages some rows; returns their keys.
fn damage(rows: &mut Rows, dice: &dyn Rng) -> BTreeSet<Vec<u8>> {
    // The format is the first thing that is read; the store's own tests damage it.
    let keys: Vec<Vec<u8>> = rows
        .keys()
        .filter(|key| **key != keys::meta("format"))
        .cloned()
        .collect();
    let roll = |sides: usize| (dice.next_u64() % sides.max(1) as u64) as usize;
    let mut touched = BTreeSet::new();
    for _ in 0..=dice.next_u64() % DAMAGED_MAX {
        let key = keys[roll(keys.len())].clone();
        let Some(value) = rows.get(&key).cloned() else {
            continue;
        };
        touched.insert(key.clone());
        match roll(5) {
            0 if !value.is_empty() => {
                let mut value = value.to_vec();
                let at = roll(value.len());
                value[at] ^= 1 << roll(8);
                rows.insert(key, value.into());
            }
            1 => drop(rows.insert(key, value.slice(..value.len() / 2))),
            2 => drop(rows.remove(&key)),
            3 => {
                let other = keys[roll(keys.len())].clone();
                if let Some(others) = rows.get(&other).cloned() {
                    rows.insert(key, others);
                    rows.insert(other.clone(), value);
                    touched.insert(other);
                }
            }
            _ => drop(rows.insert(key, Bytes::from_static(b"\xff\x00garbage\x9f"))),
        }
    }
    touched
}

/// What a day brings. Nothing of it may panic; what is refused is refused. Returns the mails that were taken.
async fn serve(core: &Core, seed: u64) -> Vec<(AccountId, Bytes)> {
    let callers = NAMES
        .iter()
        .zip(1..)
        .map(|(name, id)| crate::mail::submission::tests::caller(AccountId::new(id), name));
    let mut taken = Vec::new();
    for who in callers {
        let account = who.account.to_string();
        let call = json!({"accountId": account, "ids": null});
        let _ = answer::<Get<Mailbox>>(core, &who, call.clone()).await;
        let _ = answer::<Get<Identity>>(core, &who, call.clone()).await;
        let _ = answer::<Get<VacationResponse>>(core, &who, call.clone()).await;
        let _ = answer::<Get<SieveScript>>(core, &who, call.clone()).await;
        let _ = answer::<Get<EmailSubmission>>(core, &who, call).await;
        let query = json!({"accountId": account});
        let found = answer::<Query<Email>>(core, &who, query).await;
        let ids = found.map_or(json!([]), |found| found["ids"].clone());
        for properties in [
            json!(["subject", "mailboxIds"]),
            json!(["headers", "textBody"]),
        ] {
            let get = json!({"accountId": account, "ids": ids, "properties": properties});
            let _ = answer::<Get<Email>>(core, &who, get).await;
        }
        let text = json!({"accountId": account, "filter": {"text": "body"}});
        let _ = answer::<Query<Email>>(core, &who, text).await;
        for since in ["s0", "s3"] {
            let changes = json!({"accountId": account, "sinceState": since});
            let _ = answer::<Changes<Email>>(core, &who, changes.clone()).await;
            let _ = answer::<Changes<Thread>>(core, &who, changes).await;
        }
        if let Some(id) = ids[0].as_str() {
            let set = json!({"accountId": account, "update": {id: {"keywords/$flagged": true}}});
            let _ = answer::<Set<Email>>(core, &who, set).await;
        }
        let key = MailboxKey {
            account: who.account,
            mailbox: INBOX,
        };
        let _ = core.view_open(&who, key).await;
        let name = who.name.as_str();
        let text = format!(
            "From: late@example.net\r\nTo: {name}\r\nSubject: Late {seed}\r\n\r\nLate.\r\n"
        );
        let octets = Bytes::from(text);
        if let Ok(account) = deliver(core, name, octets.clone()).await {
            taken.push((account, octets));
        }
    }
    let _ = core.index_now().await;
    let _ = core.resume_deliveries().await;
    let _ = core.accounts(&Caller::server()).await;
    taken
}

async fn answer<C: jmap_types::method::MethodCall + crate::Handle>(
    core: &Core,
    who: &Caller,
    arguments: serde_json::Value,
) -> Option<serde_json::Value> {
    let text: &'static str = arguments.to_string().leak();
    let map = jmap_types::Value::parse_json(text).unwrap().into_object()?;
    let call = C::from_arguments(jmap_types::Arguments::new(map)).ok()?;
    let response = core.call(who, call).await.ok()?;
    use jmap_types::method::MethodResponse as _;
    serde_json::to_value(jmap_types::Value::Object(response.into_map())).ok()
}

/// The emails whose record and message were not touched.
fn untouched(rows: &Rows, touched: &BTreeSet<Vec<u8>>) -> Vec<(Vec<u8>, EmailRecord)> {
    let emails = rows.iter().filter_map(|(key, value)| {
        let (_, data_type, _) = keys::decode_object(key)?;
        let record = EmailRecord::from_bytes(key, value).ok()?;
        let is_whole = data_type == DataType::Email
            && !touched.contains(key)
            && !touched.contains(&keys::blob(&record.blob));
        is_whole.then(|| (key.clone(), record))
    });
    emails.collect()
}

async fn one(rows: &Rows, seed: u64) {
    let dice = SeededRng::new(seed);
    let mut damaged = rows.clone();
    let touched = damage(&mut damaged, &dice);
    let told: Vec<String> = touched.iter().map(|key| keys::describe(key)).collect();
    let engine = engine_of(&damaged).await;
    mend_before_open(&engine, 1).await.unwrap();
    let (core, _clock, _folder) = core_over(engine.clone(), seed, Limits::default()).await;
    let taken = serve(&core, seed).await;
    // A repair that is broken off somewhere, first.
    let broken_off = core.repair(CheckOptions::default(), &|_| ());
    let patience = std::time::Duration::from_micros(dice.next_u64() % 20_000);
    let _ = tokio::time::timeout(patience, broken_off).await;
    let repair = core.repair(CheckOptions::default(), &|_| ()).await.unwrap();
    let codes: BTreeSet<&str> = repair.problems.iter().map(|p| p.code.name()).collect();
    let context = format!("seed {seed}: {told:#?}\n{codes:?}");
    assert_eq!(repair.remaining, [], "{context}");
    let checked = core.check(CheckOptions::default(), &|_| ()).await.unwrap();
    assert_eq!(checked.problems, [], "{context}");
    let again = core.repair(CheckOptions::default(), &|_| ()).await.unwrap();
    assert_eq!(again.repaired, 0, "{context}");
    // Nor does a server that is started anew find anything.
    drop(core);
    let (core, _clock, _folder) = core_over(engine.clone(), seed, Limits::default()).await;
    let is_other = |code: Code| code != Code::SearchOther;
    let checked = core.check(CheckOptions::default(), &|_| ()).await.unwrap();
    let left: Vec<_> = checked
        .problems
        .iter()
        .filter(|p| is_other(p.code))
        .collect();
    assert!(left.is_empty(), "{context}: {left:#?}");
    let now = rows_of(&engine).await;
    for (key, record) in untouched(rows, &touched) {
        let stored = now
            .get(&key)
            .map(|value| EmailRecord::from_bytes(&key, value).unwrap());
        let what = keys::describe(&key);
        let stored = stored.unwrap_or_else(|| panic!("{what} is gone: {context}"));
        assert_eq!(stored.blob, record.blob, "{what}: {context}");
        assert!(!stored.all_places.is_empty(), "{what}: {context}");
        let blob = keys::blob(&record.blob);
        assert_eq!(now.get(&blob), rows.get(&blob), "{what}: {context}");
        let (account, _, id) = keys::decode_object(&key).unwrap();
        let handle = core.accounts.handle(account);
        let view = handle.view().await.unwrap();
        assert!(view.any_email(id).is_some(), "{what}: {context}");
    }
    for (account, octets) in taken {
        let hash = store::blob::hash(&octets);
        let has = now.iter().any(|(key, value)| {
            let is_email = keys::decode_object(key)
                .is_some_and(|(of, data_type, _)| of == account && data_type == DataType::Email);
            is_email && EmailRecord::from_bytes(key, value).is_ok_and(|r| r.blob == hash)
        });
        assert!(has, "a mail that was taken is gone: {context}");
    }
    // What repair took away is in the quarantine.
    for key in &touched {
        let was = damaged.get(key).filter(|_| is_record(key));
        let Some(was) = was.filter(|was| rows.get(key) != Some(*was)) else {
            continue;
        };
        let is_there = now.get(key) == Some(was);
        let is_aside = now.contains_key(&keys::quarantine(key));
        let code = repair.problems.iter().find(|p| p.key == *key);
        assert!(
            is_there || is_aside || code.is_none() || now.contains_key(key),
            "{} is nowhere: {context}",
            keys::describe(key)
        );
    }
}

/// Rows that aren't made again from others.
fn is_record(key: &[u8]) -> bool {
    let kinds = [Subspace::Account, Subspace::Object, Subspace::Blob];
    kinds.iter().any(|kind| key.first() == Some(&(*kind as u8)))
}

#[tokio::test]
async fn no_email_that_was_not_touched_is_lost() {
    let seeds = std::env::var("POSTHORN_SEEDS").ok();
    let seeds = seeds.and_then(|text| text.parse().ok()).unwrap_or(SEEDS);
    let first = std::env::var("POSTHORN_SEED").ok();
    let first = first.and_then(|text| text.parse().ok()).unwrap_or(1);
    let rows = populated().await;
    for seed in first..first + seeds {
        println!("seed {seed}");
        one(&rows, seed).await;
    }
}
