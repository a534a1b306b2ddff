//! Whose words a message of the queue has, as the one who signs it is told.

use store::{Record as _, engine::Page, keys};

use super::*;
use crate::mail::submission::records::SubmissionRecord;
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
        let is_forwarded = server
            .core
            .is_forwarded(server.bob.account, id, &octets)
            .await;
        kinds.push((octets.starts_with(b"Delivered-To: "), is_forwarded.unwrap()));
    }
    kinds.sort_unstable();
    assert_eq!(kinds, [(false, false), (true, true)]);
    // A user may begin a message as the server does: it is the user's all the same.
    let own = format!("Delivered-To: {BOB}\n{message}").replace('\n', "\r\n");
    let to = vec![crate::mail::submission::records::EnvelopeAddress::plain(
        "far@example.com",
    )];
    server
        .core
        .submit(
            &server.ann,
            crate::mail::submission::records::EnvelopeAddress::plain(ANN),
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
    assert!(
        !server
            .core
            .is_forwarded(server.ann.account, *id, octets)
            .await
            .unwrap()
    );
}
