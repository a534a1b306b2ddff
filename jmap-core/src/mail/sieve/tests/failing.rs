//! A script that fails never loses mail.

use std::time::Duration;

use super::*;
use crate::{
    Limits,
    mail::sieve::{
        ActiveRecord, FILINGS_MAX, INCLUDES_MAX, INCLUDES_NESTED_MAX, REDIRECTS_MAX, ScriptRecord,
        apart::HEADERS_OCTETS_MAX, script_key,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use store::{
    Record as _,
    engine::{Batch, MemoryEngine},
    keys,
};

const HELLO: &str =
    "From: ann@example.org\nTo: bob@example.org\nSubject: hello\nMessage-ID: <1@x>\n\nHi\n";

/// Runs a script that does what it may, and one that does one thing more.
async fn at_and_past(allowed: &str, past: &str) -> [Vec<String>; 2] {
    let server = Server::new().await;
    activate(&server, "a", allowed).await;
    arrives(&server, HELLO).await.unwrap();
    let first = filed(&server, &server.bob).await;
    activate(&server, "b", past).await;
    arrives(&server, &HELLO.replace("hello", "past"))
        .await
        .unwrap();
    let mut second = filed(&server, &server.bob).await;
    second.retain(|line| !first.contains(line));
    [first, second]
}

#[tokio::test]
async fn one_past_the_redirects() {
    let redirects = |count: usize| {
        let each = (0..count).map(|n| format!("redirect \"x{n}@example.net\";\n"));
        each.collect::<String>()
    };
    let got = at_and_past(&redirects(REDIRECTS_MAX), &redirects(REDIRECTS_MAX + 1)).await;
    assert_eq!(got, [vec![], vec!["past: Inbox".to_owned()]]);
}

#[tokio::test]
async fn one_past_the_filings() {
    let filings = |count: usize| {
        let each = (0..count).map(|n| format!("fileinto :create \"m{n:02}\";\n"));
        format!(
            "require [\"fileinto\", \"mailbox\"];\n{}",
            each.collect::<String>()
        )
    };
    let [first, past] = at_and_past(&filings(FILINGS_MAX), &filings(FILINGS_MAX + 1)).await;
    assert_eq!(first.len(), 1);
    assert!(first[0].starts_with("hello: m00,m01,"), "{first:?}");
    assert_eq!(past, ["past: Inbox"]);
}

#[tokio::test]
async fn one_past_the_instructions() {
    let server = Server::new().await;
    let inner = "if false { stop; }\n".repeat(3000);
    store_script(&server, "inner", &inner).await;
    let script = |count: usize| {
        let includes = "include \"inner\";\n".repeat(count);
        format!("require [\"include\", \"fileinto\"];\n{includes}fileinto \"Junk\";\n")
    };
    activate(&server, "few", &script(1)).await;
    arrives(&server, HELLO).await.unwrap();
    assert_eq!(filed(&server, &server.bob).await, ["hello: Junk"]);
    activate(&server, "many", &script(4)).await;
    arrives(&server, &HELLO.replace("hello", "past"))
        .await
        .unwrap();
    assert_eq!(
        filed(&server, &server.bob).await,
        ["hello: Junk", "past: Inbox"]
    );
}

#[tokio::test]
async fn one_past_the_includes() {
    // In a row.
    let server = Server::new().await;
    for n in 0..=INCLUDES_MAX {
        store_script(&server, &format!("i{n}"), "# nothing\n").await;
    }
    let script = |count: usize| {
        let includes: String = (0..count).map(|n| format!("include \"i{n}\";\n")).collect();
        format!("require [\"include\", \"fileinto\"];\n{includes}fileinto \"Junk\";\n")
    };
    activate(&server, "few", &script(INCLUDES_MAX)).await;
    arrives(&server, HELLO).await.unwrap();
    activate(&server, "many", &script(INCLUDES_MAX + 1)).await;
    arrives(&server, &HELLO.replace("hello", "past"))
        .await
        .unwrap();
    assert_eq!(
        filed(&server, &server.bob).await,
        ["hello: Junk", "past: Inbox"]
    );
    // Within each other.
    let server = Server::new().await;
    store_script(&server, "n0", "require \"fileinto\";\nfileinto \"Junk\";\n").await;
    for n in 1..=INCLUDES_NESTED_MAX {
        let text = format!("require \"include\";\ninclude \"n{}\";\n", n - 1);
        store_script(&server, &format!("n{n}"), &text).await;
    }
    let deep = |n: usize| format!("require \"include\";\ninclude \"n{n}\";\n");
    // The active script is the first of the nest.
    activate(&server, "few", &deep(INCLUDES_NESTED_MAX - 2)).await;
    arrives(&server, HELLO).await.unwrap();
    activate(&server, "many", &deep(INCLUDES_NESTED_MAX - 1)).await;
    arrives(&server, &HELLO.replace("hello", "past"))
        .await
        .unwrap();
    assert_eq!(
        filed(&server, &server.bob).await,
        ["hello: Junk", "past: Inbox"]
    );
    // In a circle.
    let server = Server::new().await;
    activate(
        &server,
        "me",
        "require \"include\";\ninclude \"me\";\ndiscard;\n",
    )
    .await;
    arrives(&server, HELLO).await.unwrap();
    assert_eq!(filed(&server, &server.bob).await, ["hello: Inbox"]);
}

#[tokio::test]
async fn what_fails_at_run_time() {
    let rows = [
        "require [\"ihave\", \"fileinto\"];\nfileinto \"Junk\";\nerror \"oops\";\n",
        "require [\"include\"];\ninclude \"missing\";\ndiscard;\n",
        "require [\"include\"];\ninclude :global \"x\";\ndiscard;\n",
        "require [\"reject\", \"fileinto\"];\nfileinto \"Junk\";\nreject \"no\";\n",
        "require [\"reject\"];\nreject \"no\";\nreject \"no\";\n",
        "require [\"vacation\"];\nvacation \"a\";\nvacation :handle \"b\" \"b\";\ndiscard;\n",
        "require [\"vacation\"];\nvacation :days 18446744073709551615 \"a\";\ndiscard;\n",
    ];
    for script in rows {
        let server = Server::new().await;
        let text = upload(&server, &server.bob, script).await;
        let create = json!({"create": {"k": {"blobId": text}}, "onSuccessActivateScript": "#k"});
        let answer = server.call::<Set<SieveScript>>(&server.bob, create).await;
        if answer["notCreated"]["k"]["type"] == "invalidSieve" {
            continue;
        }
        assert_eq!(arrives(&server, HELLO).await, Ok(()), "{script}");
        assert_eq!(
            filed(&server, &server.bob).await,
            ["hello: Inbox"],
            "{script}"
        );
        assert!(server.inbox(&server.ann).await.is_empty(), "{script}");
    }
}

#[tokio::test]
async fn a_run_that_takes_too_long() {
    let limits = Limits {
        max_sieve_run_ms: 0,
        ..Limits::default()
    };
    let server = Server::with(MemoryEngine::new(), limits).await;
    let keys = (0..2000)
        .map(|n| format!("\"(a|aa)+{n}$\""))
        .collect::<Vec<_>>();
    let script = format!(
        "require [\"regex\", \"body\"];\nif body :regex [{}] {{ discard; }}\ndiscard;\n",
        keys.join(", ")
    );
    activate(&server, "s", &script).await;
    let message = format!("{HELLO}{}\n", "a".repeat(60_000));
    arrives(&server, &message).await.unwrap();
    assert_eq!(filed(&server, &server.bob).await, ["hello: Inbox"]);
    // The next one doesn't wait for it.
    assert!(server.core.sieve.stuck.lock().contains(&server.bob.account));
    arrives(&server, &HELLO.replace("hello", "next"))
        .await
        .unwrap();
    assert!(server.core.sieve.stuck.lock().contains(&server.bob.account));
    assert_eq!(
        filed(&server, &server.bob).await,
        ["hello: Inbox", "next: Inbox"]
    );
}

/// A runtime whose only thread for what takes long is taken for so many milliseconds, by when a message arrives; what becomes of that.
fn while_threads_are_taken(
    busy_ms: u64,
    limits: Limits,
) -> (Result<(), DeliverError>, Vec<String>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(1).enable_all().build();
    runtime.unwrap().block_on(async {
        let server = Server::with(MemoryEngine::new(), limits).await;
        activate(&server, "s", "require \"fileinto\";\nfileinto \"Junk\";\n").await;
        // The script is compiled by then.
        let before = arrives(&server, &HELLO.replace("hello", "before")).await;
        assert_eq!(before, Ok(()));
        let busy = move || std::thread::sleep(Duration::from_millis(busy_ms));
        let busy = tokio::task::spawn_blocking(busy);
        let result = arrives(&server, HELLO).await;
        busy.await.unwrap();
        (result, filed(&server, &server.bob).await)
    })
}

#[test]
fn a_run_that_begins_late_has_all_its_time() {
    let limits = Limits {
        max_sieve_run_ms: 400,
        ..Limits::default()
    };
    let (result, filed) = while_threads_are_taken(1000, limits);
    assert_eq!(result, Ok(()));
    assert_eq!(filed, ["before: Junk", "hello: Junk"]);
}

#[test]
fn a_run_that_can_t_begin_puts_the_message_off() {
    let limits = Limits {
        max_sieve_wait_ms: 100,
        ..Limits::default()
    };
    let (result, filed) = while_threads_are_taken(1000, limits);
    assert_eq!(result, Err(DeliverError::Temporary));
    assert_eq!(filed, ["before: Junk"]);
}

#[tokio::test]
async fn what_is_missing_or_damaged() {
    let server = Server::new().await;
    let id = activate(&server, "s", "discard;\n").await;
    let number = jmap_types::WireId::parse(&id).unwrap();
    let number = number.as_id::<SieveScript>().unwrap().number();
    let account = server.bob.account;
    let key = script_key(account, number);
    let bytes = server.core.engine.get(&key).await.unwrap().unwrap();
    let record = ScriptRecord::from_bytes(&key, &bytes).unwrap();
    let change = async |batch: Batch| server.core.engine.commit(batch).await.unwrap();
    // Its octets are gone.
    let mut batch = Batch::new();
    batch.delete(keys::blob(&record.blob));
    change(batch).await;
    arrives(&server, &HELLO.replace("hello", "1"))
        .await
        .unwrap();
    // Its record is gone, or damaged.
    let mut batch = Batch::new();
    batch.delete(key.clone());
    change(batch).await;
    arrives(&server, &HELLO.replace("hello", "2"))
        .await
        .unwrap();
    let mut batch = Batch::new();
    batch.put(key.clone(), Bytes::from_static(b"\xff"));
    change(batch).await;
    arrives(&server, &HELLO.replace("hello", "3"))
        .await
        .unwrap();
    // So is the note of which one is active.
    let mut batch = Batch::new();
    batch.put(script_key(account, 0), Bytes::from_static(b"\xff"));
    change(batch).await;
    arrives(&server, &HELLO.replace("hello", "4"))
        .await
        .unwrap();
    let mut batch = Batch::new();
    batch.put(
        script_key(account, 0),
        ActiveRecord { script: Some(77) }.to_bytes(),
    );
    change(batch).await;
    arrives(&server, &HELLO.replace("hello", "5"))
        .await
        .unwrap();
    assert_eq!(
        filed(&server, &server.bob).await,
        ["1: Inbox", "2: Inbox", "3: Inbox", "4: Inbox", "5: Inbox"]
    );
}

/// A parser that takes messages within messages apart to any depth can't drop what it has found on a stack of this size, or copies it once a level.
#[tokio::test]
async fn messages_nested_very_deeply() {
    let server = Server::new().await;
    activate(&server, "s", "require [\"body\", \"fileinto\"];\nif allof (header :is \"subject\" \"hello\", not body :content \"text\" :contains \"inmost\") { fileinto \"Junk\"; }\n").await;
    let nest = |kind: &str| format!("Content-Type: {kind}\n\n").repeat(20_000) + "\ninmost\n";
    let encoded = STANDARD.encode(nest("message/rfc822"));
    let quoted = nest("message/rfc822").replace("822", "82=32");
    let rows = [
        nest("message/rfc822"),
        nest("message / global"),
        format!("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n{encoded}"),
        format!(
            "Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\n{quoted}"
        ),
        "Content-Type: multipart/digest; boundary=b\n\n--b\n\n".repeat(20_000),
    ];
    let count = rows.len();
    for body in rows {
        let message = format!("From: ann@example.org\nSubject: hello\n{body}");
        arrives(&server, &message).await.unwrap();
    }
    let filed = filed(&server, &server.bob).await;
    assert_eq!(filed, vec!["hello: Junk"; count]);
}

#[tokio::test]
async fn one_past_the_octets_of_header_fields() {
    let server = Server::new().await;
    activate(&server, "s", "require \"fileinto\";\nfileinto \"Junk\";\n").await;
    // Its line ends have one octet here, and two when it arrives.
    let message = |octets: usize| {
        let head = "Subject: hello\nContent-Type: multipart/mixed; boundary=b\n\n";
        let fields = octets - (head.len() + 3) - 2;
        let last = format!("A:{}\n", "x".repeat(fields % 4));
        let fields = "A:\n".repeat(fields / 4 - 1);
        format!("{head}--b\n{fields}{last}\nHi\n--b--\n")
    };
    for octets in [HEADERS_OCTETS_MAX, HEADERS_OCTETS_MAX + 1] {
        arrives(&server, &message(octets)).await.unwrap();
    }
    let mut filed = filed(&server, &server.bob).await;
    filed.sort_unstable();
    assert_eq!(filed, ["hello: Inbox", "hello: Junk"]);
}
