//! Whose words a message of the queue has, as the one who signs it is told.

use store::{Record as _, engine::Page, keys};

use super::*;
use crate::{
    inproc::origin::Author,
    mail::submission::records::{EnvelopeAddress, SubmissionRecord},
};
use jmap_types::DataType;

/// The submissions of an account: id, and the octets.
async fn queued(server: &Server, who: &Caller) -> Vec<(u64, Bytes)> {
    let range = keys::objects(who.account, DataType::EmailSubmission);
    let engine = &server.core.engine;
    let mut found = Vec::new();
    for (key, bytes) in engine.scan(Page::first(range, 100)).await.unwrap() {
        let (_, _, id) = keys::decode_object(&key).unwrap();
        let record = SubmissionRecord::from_bytes(&key, &bytes).unwrap();
        let octets = store::blob::get(engine, &record.blob).await.unwrap();
        found.push((id, octets.unwrap()));
    }
    found
}

async fn origin(server: &Server, who: &Caller, id: u64, octets: &[u8]) -> (bool, Author) {
    let origin = server.core.origin(who.account, id, octets).await.unwrap();
    (origin.is_forwarded, origin.author)
}

#[tokio::test]
async fn what_is_passed_on_is_told_from_what_is_written_here() {
    let server = Server::new().await;
    let script =
        "require \"vacation\";\nredirect \"far@example.com\";\nkeep;\nvacation \"away\";\n";
    activate(&server, "far", script).await;
    let message = format!("From: {ANN}\nTo: {BOB}\nSubject: hi\nMessage-ID: <1@a.b>\n\nhello\n");
    arrives_for(&server, Some("eve@example.com"), BOB, &message)
        .await
        .unwrap();
    let mut kinds = Vec::new();
    for (id, octets) in queued(&server, &server.bob).await {
        let origin = origin(&server, &server.bob, id, &octets).await;
        kinds.push((octets.starts_with(b"Delivered-To: "), origin));
    }
    kinds.sort_by_key(|(is_passed_on, _)| *is_passed_on);
    assert_eq!(
        kinds,
        [
            (false, (false, Author::Here)),
            (true, (true, Author::Unknown))
        ]
    );
    // A user may begin a message as the server does: it is the user's all the same.
    let own = format!("Delivered-To: {BOB}\n{message}").replace('\n', "\r\n");
    let to = vec![EnvelopeAddress::plain("far@example.com")];
    server
        .core
        .submit(
            &server.ann,
            EnvelopeAddress::plain(ANN),
            to,
            own.into(),
            None,
        )
        .await
        .unwrap();
    let queued = queued(&server, &server.ann).await;
    let [(id, octets)] = &queued[..] else {
        panic!("{queued:?}");
    };
    assert!(octets.starts_with(b"Delivered-To: "));
    let origin = origin(&server, &server.ann, *id, octets).await;
    assert_eq!(origin, (false, Author::Here));
}

/// Who vouches for what goes to an address elsewhere of a message to bob: one that ann sends, logged in, and one that says that she has
/// sent it.
async fn passed_on(script: Option<&str>) -> Vec<(bool, Author)> {
    let server = Server::new().await;
    match script {
        Some(script) => drop(activate(&server, "s", script).await),
        None => {
            let forward = crate::directory::Forward {
                to: vec!["far@example.com".to_owned()],
                keep: true,
            };
            let admin = Caller::server();
            let core = &server.core;
            let set = core.set_forward(&admin, server.bob.account, Some(forward));
            set.await.unwrap();
        }
    }
    let message = format!("From: {ANN}\nTo: {BOB}\nSubject: hi\nMessage-ID: <1@a.b>\n\nhello\n");
    let to = vec![EnvelopeAddress::plain(BOB)];
    let from = EnvelopeAddress::plain(ANN);
    let octets = Bytes::from(message.replace('\n', "\r\n"));
    let sent = server.core.submit(&server.ann, from, to, octets, None);
    sent.await.unwrap();
    server.core.send_due().await.unwrap();
    arrives_for(&server, Some(ANN), BOB, &message)
        .await
        .unwrap();
    let mut origins = Vec::new();
    for (id, octets) in queued(&server, &server.bob).await {
        origins.push(origin(&server, &server.bob, id, &octets).await);
    }
    origins
}

#[tokio::test]
async fn what_somebody_here_has_written_stays_theirs() {
    let both = [(true, Author::Here), (true, Author::Unknown)];
    assert_eq!(passed_on(None).await, both);
    assert_eq!(
        passed_on(Some("redirect \"far@example.com\";\n")).await,
        both
    );
    // Bob doesn't write in ann's name.
    let changed = "require \"editheader\";\ndeleteheader \"Subject\";\naddheader \"Subject\" \"x\";\nredirect \"far@example.com\";\n";
    let nobody = [(true, Author::Unknown), (true, Author::Unknown)];
    assert_eq!(passed_on(Some(changed)).await, nobody);
}
