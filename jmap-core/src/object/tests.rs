//! `ifInState`, `oldState` and `newState` (RFC 8620 §5.3): nothing comes between the look at the state and the last item, nor between the two
//! states of an answer. Items that refer to others, where another node gets in the way.

use jmap_types::{
    AccountId, SetErrorKind,
    email::Import,
    mail::{Email, EmailId, Mailbox},
    method::{CreatedIds, Get, MethodResponse as _, Set},
    value::{Map, MapExt as _},
};
use serde_json::{Value as Json, json};

use crate::{
    Core,
    mail::{
        email::tests::{Bench, OWNER, caller},
        view::ViewEvent,
        write::{self, INBOX, Message, Placement},
    },
    object::GetObject as _,
};

async fn state(bench: &Bench) -> String {
    let arguments = json!({"accountId": "a1", "ids": []}).to_string();
    let got = bench
        .json::<Get<Email>>(&caller(OWNER, &[]), &arguments)
        .await;
    got["state"].as_str().unwrap().to_owned()
}

fn placement() -> Placement {
    Placement {
        mailboxes: vec![INBOX],
        keywords: Vec::new(),
        received_at: 0,
        quota_octets: 0,
        is_delivery: true,
        is_deleted: false,
    }
}

async fn deliver(core: &Core, number: usize) {
    let message = Message::parse(format!("Subject: {number}\r\n\r\nx").into());
    let account = core.accounts.handle(AccountId::new(OWNER));
    let mut txn = account.writer.begin().await.unwrap();
    let now = core.clock.now();
    write::insert_email(&mut txn, &message, &placement(), now)
        .await
        .unwrap();
    txn.commit().await.unwrap();
}

fn wire(id: u64) -> String {
    EmailId::new(id).to_string()
}

async fn flagged(bench: &Bench, id: u64) -> bool {
    let account = bench.core.accounts.handle(AccountId::new(OWNER));
    let view = account.view().await.unwrap();
    let row = view.email(id).unwrap();
    view.has_keyword(row, "$flagged")
}

/// The call is made while a delivery holds the account's turn: it is not on disk when the call begins, and before it in
/// the account's sequence.
async fn check_delivery_in_between(
    bench: &Bench,
    call: impl AsyncFnOnce(&Bench) -> Json,
    what: &str,
) {
    let account = bench.core.accounts.handle(AccountId::new(OWNER));
    let mut txn = account.writer.begin().await.unwrap();
    let message = Message::parse(format!("Subject: {what}\r\n\r\nx").into());
    let now = bench.core.clock.now();
    write::insert_email(&mut txn, &message, &placement(), now)
        .await
        .unwrap();
    let delivery = async {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        txn.commit().await.unwrap();
    };
    let (answer, ()) = tokio::join!(call(bench), delivery);
    assert_eq!(answer["type"], "stateMismatch", "{what}: {answer}");
}

#[tokio::test]
async fn a_delivery_between_the_check_and_the_items_is_a_state_mismatch() {
    let bench = Bench::new().await;
    let id = bench.deliver("Subject: first\r\n\r\nx").await;
    let blob = bench.upload("Subject: import\r\n\r\nx").await;
    let set = async |bench: &Bench| {
        let arguments = json!({
            "accountId": "a1",
            "ifInState": state(bench).await,
            "update": {wire(id): {"keywords/$flagged": true}},
        });
        let who = caller(OWNER, &[]);
        bench.json::<Set<Email>>(&who, &arguments.to_string()).await
    };
    check_delivery_in_between(&bench, set, "Email/set").await;
    assert!(!flagged(&bench, id).await, "nothing of it was done");

    let import = async |bench: &Bench| {
        let arguments = json!({
            "accountId": "a1",
            "ifInState": state(bench).await,
            "emails": {"k": {"blobId": blob.to_string(), "mailboxIds": {"m1": true}}},
        });
        let who = caller(OWNER, &[]);
        bench.json::<Import>(&who, &arguments.to_string()).await
    };
    check_delivery_in_between(&bench, import, "Email/import").await;

    // A delivery changes the inbox, but no identity.
    let set = async |bench: &Bench| {
        let who = caller(OWNER, &[]);
        let got = bench.json::<Get<Mailbox>>(&who, r#"{"accountId": "a1", "ids": []}"#);
        let state = got.await["state"].clone();
        let arguments =
            json!({"accountId": "a1", "ifInState": state, "create": {"k": {"name": "new"}}});
        bench
            .json::<Set<Mailbox>>(&who, &arguments.to_string())
            .await
    };
    check_delivery_in_between(&bench, set, "Mailbox/set").await;
}

#[tokio::test]
async fn without_a_change_of_its_type_the_state_matches() {
    let bench = Bench::new().await;
    let id = bench.deliver("Subject: first\r\n\r\nx").await;
    let arguments = json!({
        "accountId": "a1",
        "ifInState": state(&bench).await,
        "update": {wire(id): {"keywords/$flagged": true}},
    });
    let who = caller(OWNER, &[]);
    let answer = bench.json::<Set<Email>>(&who, &arguments.to_string()).await;
    assert_eq!(answer["oldState"], arguments["ifInState"], "{answer}");
    assert_ne!(answer["newState"], answer["oldState"], "{answer}");
    assert!(flagged(&bench, id).await);
    let again = bench.json::<Set<Email>>(&who, &arguments.to_string()).await;
    assert_eq!(again["type"], "stateMismatch", "{again}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_items_of_a_set_in_a_state_follow_it_without_a_gap() {
    const ITEMS: usize = 8;
    let bench = Bench::new().await;
    let mut ids = Vec::new();
    for number in 0..ITEMS {
        ids.push(bench.deliver(format!("Subject: {number}\r\n\r\nx")).await);
    }
    let core = bench.core.clone();
    let delivering = tokio::spawn(async move {
        for number in 0..400 {
            deliver(&core, number).await;
            tokio::task::yield_now().await;
        }
    });
    let (mut done, mut refused) = (0, 0);
    for round in 0.. {
        // Set and taken away in turns: each round changes each email, and none gets too many keywords.
        let value = (done % 2 == 0).then_some(true);
        let update: serde_json::Map<String, Json> = ids
            .iter()
            .map(|id| (wire(*id), json!({"keywords/k": value})))
            .collect();
        let arguments =
            json!({"accountId": "a1", "ifInState": state(&bench).await, "update": update});
        let who = caller(OWNER, &[]);
        let answer = bench.json::<Set<Email>>(&who, &arguments.to_string()).await;
        if answer["type"] == "stateMismatch" {
            refused += 1;
        } else {
            done += 1;
            assert!(answer["notUpdated"].is_null(), "{answer}");
            let old: u64 = answer["oldState"].as_str().unwrap()[1..].parse().unwrap();
            let account = bench.core.accounts.handle(AccountId::new(OWNER));
            let view = account.view().await.unwrap();
            let sequences: Vec<u64> = ids
                .iter()
                .map(|id| view.email(*id).unwrap().modseq)
                .collect();
            let expected: Vec<u64> = (old + 1..=old + ITEMS as u64).collect();
            assert_eq!(sequences, expected, "round {round}");
        }
        if delivering.is_finished() && done > 0 {
            break;
        }
    }
    delivering.await.unwrap();
    println!("{done} done, {refused} refused");
}

/// Calls that change emails, without `ifInState`.
async fn change(bench: &Bench, id: u64, blob: &str, method: &str) -> Json {
    let who = caller(OWNER, &[]);
    if method == "Email/import" {
        let emails = json!({"k": {"blobId": blob, "mailboxIds": {"m1": true}}});
        let arguments = json!({"accountId": "a1", "emails": emails}).to_string();
        return bench.json::<Import>(&who, &arguments).await;
    }
    let update = json!({wire(id): {"keywords/$flagged": true}});
    let arguments = json!({"accountId": "a1", "update": update}).to_string();
    bench.json::<Set<Email>>(&who, &arguments).await
}

fn number_of(state: &Json) -> u64 {
    state.as_str().unwrap()[1..].parse().unwrap()
}

#[tokio::test]
async fn between_the_states_of_an_answer_there_is_no_delivery() {
    let bench = Bench::new().await;
    let id = bench.deliver("Subject: first\r\n\r\nx").await;
    let blob = bench.upload("Subject: import\r\n\r\nx").await.to_string();
    let account = bench.core.accounts.handle(AccountId::new(OWNER));
    for method in ["Email/set", "Email/import"] {
        let known = number_of(&json!(state(&bench).await));
        // Not on disk yet when the call begins, and before it.
        let mut txn = account.writer.begin().await.unwrap();
        let message = Message::parse(format!("Subject: {method} 1\r\n\r\nx").into());
        let now = bench.core.clock.now();
        write::insert_email(&mut txn, &message, &placement(), now)
            .await
            .unwrap();
        let earlier = async {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            // What is staged from now on waits for the later one.
            let still = account.writer.pause_commits().await;
            let ticket = txn.stage();
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            let mut txn = account.writer.begin().await.unwrap();
            let message = Message::parse(format!("Subject: {method} 2\r\n\r\nx").into());
            write::insert_email(&mut txn, &message, &placement(), now)
                .await
                .unwrap();
            let later = txn.stage();
            drop(still);
            ticket.durable().await.unwrap();
            later.durable().await.unwrap();
        };
        let (answer, ()) = tokio::join!(change(&bench, id, &blob, method), earlier);
        assert_eq!(number_of(&answer["oldState"]), known + 1, "{answer}");
        assert_eq!(number_of(&answer["newState"]), known + 2, "{answer}");
        assert_eq!(number_of(&json!(state(&bench).await)), known + 3);
        let undo = json!({"accountId": "a1", "update": {wire(id): {"keywords/$flagged": null}}});
        let who = caller(OWNER, &[]);
        bench.json::<Set<Email>>(&who, &undo.to_string()).await;
    }
}

#[tokio::test]
async fn an_answer_that_nothing_was_done_has_one_state() {
    let bench = Bench::new().await;
    bench.deliver("Subject: first\r\n\r\nx").await;
    let known = state(&bench).await;
    let who = caller(OWNER, &[]);
    let nothing = json!({"accountId": "a1", "update": {"e999": {"keywords/$seen": true}}});
    let answer = bench.json::<Set<Email>>(&who, &nothing.to_string()).await;
    assert_eq!(answer["oldState"], known, "{answer}");
    assert_eq!(answer["newState"], known, "{answer}");
}

/// Another node of the server, as far as its writes go.
fn other_node(bench: &Bench) -> store::AccountWriter<ViewEvent> {
    let sink = std::sync::Arc::new(|_: AccountId, _: Vec<store::Committed<ViewEvent>>| {});
    let account = AccountId::new(OWNER);
    store::AccountWriter::of_node(account, bench.engine.clone(), sink, 99)
}

/// While the call waits for the disk, another node makes a mailbox: it gets the number that the call has given.
async fn beside_another_node<C: crate::Handle>(bench: &Bench, arguments: Json) -> Json {
    let account = bench.core.accounts.handle(AccountId::new(OWNER));
    let node = other_node(bench);
    let who = caller(OWNER, &[]);
    let still = account.writer.pause_commits().await;
    let other = async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let mut txn = node.begin().await.unwrap();
        let record = crate::mail::records::MailboxRecord {
            name: "other".to_owned(),
            parent: None,
            role: None,
            sort_order: 0,
            is_subscribed: false,
            share_with: Vec::new(),
            uid_validity: write::uid_validity(&mut txn, bench.core.clock.now()),
        };
        write::insert_mailbox(&mut txn, record);
        txn.commit().await.unwrap();
        drop(still);
    };
    let arguments = arguments.to_string();
    let (answer, ()) = tokio::join!(bench.json::<C>(&who, &arguments), other);
    answer
}

async fn mailboxes(bench: &Bench) -> Vec<(String, String, Json)> {
    let who = caller(OWNER, &[]);
    let arguments =
        json!({"accountId": "a1", "ids": null, "properties": ["name", "parentId"]}).to_string();
    let got = bench.json::<Get<Mailbox>>(&who, &arguments).await;
    let list = got["list"].as_array().unwrap().iter();
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    list.map(|mailbox| {
        let name = text(&mailbox["name"]);
        (name, text(&mailbox["id"]), mailbox["parentId"].clone())
    })
    .collect()
}

#[tokio::test]
async fn what_refers_to_an_object_finds_it_when_another_node_has_taken_its_number() {
    let bench = Bench::of_node().await;
    let arguments = json!({
        "accountId": "a1",
        "create": {
            "a": {"name": "A"},
            "b": {"name": "B", "parentId": "#a"},
            "c": {"name": "C", "parentId": "#b"},
        },
        "update": {"#a": {"sortOrder": 7}},
    });
    let answer = beside_another_node::<Set<Mailbox>>(&bench, arguments).await;
    let a = &answer["created"]["a"]["id"];
    assert!(a.is_string(), "{answer}");
    assert!(answer["oldState"].is_null(), "{answer}");
    let updated = answer["updated"].as_object().unwrap();
    assert_eq!(updated.keys().collect::<Vec<_>>(), [a.as_str().unwrap()]);
    let all = mailboxes(&bench).await;
    let of = |name: &str| all.iter().find(|(known, ..)| known == name).unwrap();
    assert_eq!(&of("A").1, a.as_str().unwrap());
    assert_ne!(of("other").1, of("A").1);
    assert_eq!(&of("B").2, a, "{all:?}");
    assert_eq!(of("C").2, of("B").1, "{all:?}");
}

#[tokio::test]
async fn what_was_not_created_after_all_has_no_id() {
    let bench = Bench::of_node().await;
    // The other node takes the name.
    let arguments = json!({
        "accountId": "a1",
        "create": {"a": {"name": "other"}, "b": {"name": "B", "parentId": "#a"}},
    });
    let answer = beside_another_node::<Set<Mailbox>>(&bench, arguments).await;
    assert!(answer["created"].is_null(), "{answer}");
    let refused = answer["notCreated"].as_object().unwrap();
    assert_eq!(refused.keys().collect::<Vec<_>>(), ["a", "b"], "{answer}");
}

#[tokio::test]
async fn an_object_under_two_names_is_updated_and_destroyed_once() {
    let bench = Bench::new().await;
    let who = caller(OWNER, &[]);
    let created = CreatedIds::default();
    let id = Mailbox::wire_id(INBOX);
    created.insert("k".to_owned(), id.clone());
    let set = async |update: Vec<(&str, &str)>, destroy: Vec<&str>| {
        let patch = |name: &str| Map::new().with(jmap_types::Property::Name, name.to_owned());
        let update = update.into_iter();
        let call = Set::<Mailbox> {
            account_id: AccountId::new(OWNER),
            if_in_state: None,
            create: Vec::new(),
            update: update
                .map(|(id, name)| (id.to_owned(), patch(name)))
                .collect(),
            destroy: destroy.into_iter().map(str::to_owned).collect(),
            arguments: Default::default(),
            created_ids: created.clone(),
        };
        bench.core.call(&who, call).await.unwrap()
    };
    let both = set(vec![("#k", "One"), (id.as_str(), "Two")], Vec::new()).await;
    assert_eq!(both.updated.len(), 1, "{both:?}");
    let text = json_text(both.into_map());
    assert_eq!(text.matches("\"m1\"").count(), 1, "{text}");
    let both = set(vec![("#k", "Three")], vec![id.as_str(), "#k"]).await;
    assert_eq!(both.not_updated.len(), 1, "{both:?}");
    assert_eq!(both.not_updated[0].1.kind, SetErrorKind::WillDestroy);
    assert_eq!(both.destroyed.len() + both.not_destroyed.len(), 1);
}

fn json_text(map: Map) -> String {
    serde_json::to_string(&jmap_types::Value::Object(map)).unwrap()
}
