//! `ifInState` (RFC 8620 §5.3): nothing comes between the look at the state and the last item.

use jmap_types::{
    AccountId,
    email::Import,
    mail::{Email, EmailId, Mailbox},
    method::{Get, Set},
};
use serde_json::{Value as Json, json};

use crate::{
    Core,
    mail::{
        email::tests::{Bench, OWNER, caller},
        write::{self, INBOX, Message, Placement},
    },
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
