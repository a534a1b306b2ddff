//! The queue in the hands of an administrator.

use super::*;
use crate::{
    inproc::queue::{QueueError, QueueFilter, QueueState, Which},
    mail::submission::{records::Delivered, tests::core_over},
};

fn later(job: &Job) -> Attempt {
    all(job, Fate::Later, "450 4.7.1 Later", Some("mx"))
}

fn everything() -> QueueFilter {
    QueueFilter {
        limit: 100,
        ..QueueFilter::default()
    }
}

#[tokio::test]
async fn nobody_else_sees_or_changes_it() {
    let server = Server::new().await;
    let (core, ann) = (&server.core, &server.ann);
    let refused = |result: Result<(), QueueError>| {
        assert!(matches!(result, Err(QueueError::Directory(_))));
    };
    refused(core.queue_entries(ann, &everything()).await.map(drop));
    refused(core.queue_entry(ann, ann.account, 1).await.map(drop));
    refused(core.pause_queue(ann, None).await);
    refused(core.resume_queue(ann, None).await);
    refused(core.retry_queue(ann, &Which::All).await.map(drop));
    refused(core.cancel_queue(ann, &Which::All, true).await.map(drop));
    refused(core.queue_places(ann).map(drop));
    refused(core.queue_pauses(ann).await.map(drop));
}

#[tokio::test]
async fn a_pause_of_everything_outlives_a_restart() {
    let engine = store::engine::MemoryEngine::new();
    let server = Server::with(engine.clone(), Default::default()).await;
    let admin = Caller::server();
    let others = Others::new(takes);
    server.core.send_with(others.clone());
    server.core.pause_queue(&admin, None).await.unwrap();
    submit(&server, &["x@a.example", "bob@example.org"]).await;
    server.core.send_due().await.unwrap();
    let (core, clock, _folder) = core_over(engine, 2, Default::default()).await;
    clock.advance(Duration::from_secs(300));
    core.send_with(others.clone());
    core.send_due().await.unwrap();
    assert_eq!(others.tries(), 0);
    assert!(server.inbox(&server.bob).await.is_empty());
    assert_eq!(core.queue_pauses(&admin).await.unwrap()[0].0, "");
    check_is_clean(&core).await;
    core.resume_queue(&admin, None).await.unwrap();
    core.send_due().await.unwrap();
    assert_eq!(others.taken("x@a.example"), 1);
}

#[tokio::test]
async fn a_pause_of_one_domain_holds_up_nobody_else() {
    let server = Server::new().await;
    let admin = Caller::server();
    let others = Others::new(takes);
    server.core.send_with(others.clone());
    server
        .core
        .pause_queue(&admin, Some("A.example"))
        .await
        .unwrap();
    submit(&server, &["x@a.example", "y@b.example", "bob@example.org"]).await;
    server.core.send_due().await.unwrap();
    assert_eq!(others.taken("y@b.example"), 1);
    assert_eq!(others.taken("x@a.example"), 0);
    assert_eq!(server.inbox(&server.bob).await.len(), 1);
    let places = server.core.queue_places(&admin).unwrap();
    assert!(
        places
            .iter()
            .any(|place| place.name == "a.example" && place.is_paused && place.waiting == 1)
    );
    server
        .core
        .resume_queue(&admin, Some("a.example"))
        .await
        .unwrap();
    server.core.send_due().await.unwrap();
    assert_eq!(others.taken("x@a.example"), 1);
}

#[tokio::test]
async fn what_is_in_it() {
    let server = Server::new().await;
    let admin = Caller::server();
    server.core.send_with(Others::new(later));
    submit(&server, &["x@a.example", "bob@example.org"]).await;
    submit(&server, &["y@b.example"]).await;
    server.core.send_due().await.unwrap();
    let (entries, has_more) = server
        .core
        .queue_entries(&admin, &everything())
        .await
        .unwrap();
    assert_eq!((entries.len(), has_more), (2, false));
    let filter = QueueFilter {
        domain: Some("A.EXAMPLE".into()),
        ..everything()
    };
    let (entries, _) = server.core.queue_entries(&admin, &filter).await.unwrap();
    let [entry] = &entries[..] else {
        panic!("{entries:?}")
    };
    assert_eq!(entry.account_name, ANN);
    assert_eq!(entry.state, QueueState::Deferred);
    let waits = &entry.record.recipients[0];
    assert_eq!(waits.smtp_reply, "450 4.7.1 Later");
    assert_eq!(waits.next_try, entry.due);
    assert_eq!(
        entry.record.history.as_ref().unwrap()[0].host,
        "mx.a.example"
    );
    let one = server
        .core
        .queue_entry(&admin, entry.account, entry.submission)
        .await
        .unwrap();
    assert_eq!(&one, entry);
    let limit = QueueFilter {
        limit: 1,
        ..QueueFilter::default()
    };
    let (entries, has_more) = server.core.queue_entries(&admin, &limit).await.unwrap();
    assert_eq!((entries.len(), has_more), (1, true));
    assert_eq!(server.core.gauges().queue_length, 2);
}

#[tokio::test]
async fn retry_now() {
    let server = Server::new().await;
    let admin = Caller::server();
    let others = Others::new(|job| all(job, Fate::Later, "450 4.4.1 No route", None));
    server.core.send_with(others.clone());
    submit(&server, &["x@a.example"]).await;
    submit(&server, &["y@a.example", "z@b.example"]).await;
    server.core.send_due().await.unwrap();
    others.answers(takes);
    server.core.send_due().await.unwrap();
    assert_eq!(others.taken.lock().len(), 0);
    let domain = Which::Domain("b.example".into());
    assert_eq!(server.core.retry_queue(&admin, &domain).await.unwrap(), 1);
    server.core.send_due().await.unwrap();
    assert_eq!(others.taken("z@b.example"), 1);
    assert_eq!(others.taken.lock().len(), 1);
    let first = records(&server.core, &server.ann).await[0].0;
    let one = Which::One(server.ann.account, first);
    assert_eq!(server.core.retry_queue(&admin, &one).await.unwrap(), 1);
    server.core.send_due().await.unwrap();
    assert_eq!(others.taken("x@a.example"), 1);
    assert_eq!(
        server.core.retry_queue(&admin, &Which::All).await.unwrap(),
        1
    );
    server.core.send_due().await.unwrap();
    assert_eq!(others.taken.lock().len(), 3);
    check_is_clean(&server.core).await;
}

#[tokio::test]
async fn what_was_put_off_before_its_first_try_is_tried_now() {
    let server = Server::new().await;
    let admin = Caller::server();
    let others = Others::new(|job| all(job, Fate::Later, "450 4.4.1 No route", None));
    server.core.send_with(others.clone());
    submit(&server, &["x@a.example"]).await;
    server.core.send_due().await.unwrap();
    // The host is left alone: this one isn't tried at all.
    submit(&server, &["y@a.example"]).await;
    server.core.send_due().await.unwrap();
    assert_eq!(others.tries(), 1);
    others.answers(takes);
    let count = server.core.retry_queue(&admin, &Which::All).await;
    assert_eq!(count.unwrap(), 2);
    server.core.send_due().await.unwrap();
    assert_eq!(others.taken("y@a.example"), 1);
}

#[tokio::test]
async fn cancel_with_and_without_a_report() {
    let server = Server::new().await;
    let admin = Caller::server();
    let others = Others::new(later);
    server.core.send_with(others.clone());
    submit(&server, &["x@a.example", "y@b.example"]).await;
    submit(&server, &["z@b.example"]).await;
    server.core.send_due().await.unwrap();
    let domain = Which::Domain("b.example".into());
    assert_eq!(
        server
            .core
            .cancel_queue(&admin, &domain, true)
            .await
            .unwrap(),
        2
    );
    assert_eq!(server.inbox(&server.ann).await.len(), 2);
    let all = records(&server.core, &server.ann).await;
    assert!(!all[0].1.is_done && all[1].1.is_done);
    assert_eq!(all[1].1.undo_status.as_str(), "canceled");
    assert_eq!(all[0].1.recipients[1].delivered, Delivered::No);
    let one = Which::One(server.ann.account, all[0].0);
    assert_eq!(
        server.core.cancel_queue(&admin, &one, false).await.unwrap(),
        1
    );
    assert_eq!(server.inbox(&server.ann).await.len(), 2);
    assert!(matches!(
        server.core.cancel_queue(&admin, &one, false).await,
        Err(QueueError::NotFound)
    ));
    server.pass(86_400);
    others.answers(takes);
    server.core.send_due().await.unwrap();
    assert_eq!(others.taken.lock().len(), 0);
    check_is_clean(&server.core).await;
}

#[tokio::test]
async fn what_is_being_sent_is_not_called_back() {
    let server = Server::new().await;
    let admin = Caller::server();
    let others = Others::new(takes);
    let slow = Duration::from_millis(200);
    others.slow.lock().insert("a.example".to_owned(), slow);
    server.core.send_with(others.clone());
    submit(&server, &["x@a.example"]).await;
    let core = server.core.clone();
    let sending = tokio::spawn(async move { core.send_due().await });
    while others.tries() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let id = records(&server.core, &server.ann).await[0].0;
    let one = Which::One(server.ann.account, id);
    assert!(matches!(
        server.core.cancel_queue(&admin, &one, true).await,
        Err(QueueError::IsBeingSent)
    ));
    sending.await.unwrap().unwrap();
    let record = records(&server.core, &server.ann).await.remove(0).1;
    assert_eq!(record.recipients[0].delivered, Delivered::Unknown);
    assert!(record.is_done);
}

#[tokio::test]
async fn a_store_from_before_they_were_counted() {
    use store::engine::{Batch, Engine as _};
    let engine = store::engine::MemoryEngine::new();
    let server = Server::with(engine.clone(), Default::default()).await;
    server.core.send_with(Others::new(later));
    submit(&server, &["x@a.example"]).await;
    submit(&server, &["bob@example.org"]).await;
    server.core.send_due().await.unwrap();
    let mut batch = Batch::new();
    batch.delete(keys::queue_length());
    engine.commit(batch).await.unwrap();
    let (core, _clock, _folder) = core_over(engine.clone(), 2, Default::default()).await;
    core.send_due().await.unwrap();
    assert_eq!(core.gauges().queue_length, 1);
    check_is_clean(&core).await;
    // What doesn't add up is found.
    let mut batch = Batch::new();
    batch.add(keys::queue_length(), 1);
    engine.commit(batch).await.unwrap();
    let report = core.check(Default::default(), &|_| ()).await.unwrap();
    assert_eq!(report.problems.len(), 1);
}

#[tokio::test]
async fn a_domain_that_is_paused_is_named_as_the_queue_knows_it() {
    let server = Server::new().await;
    let admin = Caller::server();
    for domain in ["bücher.example", "[IPv6:2001:DB8::1]"] {
        server.core.pause_queue(&admin, Some(domain)).await.unwrap();
    }
    let pauses = server.core.queue_pauses(&admin).await.unwrap();
    let names: Vec<String> = pauses.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["[ipv6:2001:db8::1]", "xn--bcher-kva.example"]);
    let wrong = server.core.pause_queue(&admin, Some("a b")).await;
    assert!(matches!(wrong, Err(QueueError::Directory(_))));
}

#[tokio::test]
async fn each_message_is_tried_once_by_one_retry() {
    let server = Server::new().await;
    let admin = Caller::server();
    // Nobody sends: what is tried is put off at once, to a later row.
    for n in 0..20 {
        submit(&server, &[&format!("x{n}@a.example")]).await;
    }
    server.core.send_due().await.unwrap();
    let core = server.core.clone();
    let working = tokio::spawn(async move { core.run_queue().await });
    for _ in 0..5 {
        let count = server.core.retry_queue(&admin, &Which::All).await.unwrap();
        assert_eq!(count, 20);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    working.abort();
}

#[tokio::test]
async fn what_one_node_holds_up_another_one_takes_out() {
    let engine = store::engine::MemoryEngine::new();
    let server = Server::with(engine.clone(), Default::default()).await;
    let (core, admin) = (&server.core, Caller::server());
    let others = Others::new(takes);
    core.send_with(others.clone());
    core.pause_queue(&admin, Some("a.example")).await.unwrap();
    for _ in 0..3 {
        submit(&server, &["x@a.example"]).await;
        core.send_due().await.unwrap();
    }
    let (other, _clock, _folder) = core_over(engine, 2, Default::default()).await;
    other.send_with(others.clone());
    let (account, (id, _)) = (
        server.ann.account,
        records(core, &server.ann).await.remove(0),
    );
    let one = Which::One(account, id);
    assert_eq!(other.cancel_queue(&admin, &one, true).await.unwrap(), 1);
    let domain = Which::Domain("a.example".into());
    assert_eq!(other.cancel_queue(&admin, &domain, true).await.unwrap(), 2);
    core.resume_queue(&admin, Some("a.example")).await.unwrap();
    core.send_due().await.unwrap();
    assert_eq!(others.tries(), 0);
    let records = records(core, &server.ann).await;
    assert!(records.iter().all(|(_, record)| record.is_done));
    check_is_clean(&other).await;
}

#[tokio::test]
async fn what_another_node_is_sending_is_said_to_be_sent() {
    let engine = store::engine::MemoryEngine::new();
    let server = Server::with(engine.clone(), Default::default()).await;
    let others = Others::new(takes);
    others
        .slow
        .lock()
        .insert("a.example".to_owned(), Duration::from_millis(300));
    server.core.send_with(others.clone());
    submit(&server, &["x@a.example"]).await;
    let sending = {
        let core = server.core.clone();
        tokio::spawn(async move { core.send_due().await })
    };
    while others.tries() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (other, _clock, _folder) = core_over(engine, 2, Default::default()).await;
    let (id, _) = records(&other, &server.ann).await.remove(0);
    let one = Which::One(server.ann.account, id);
    let refused = other.cancel_queue(&Caller::server(), &one, true).await;
    assert!(
        matches!(refused, Err(QueueError::IsBeingSent)),
        "{refused:?}"
    );
    sending.await.unwrap().unwrap();
    assert_eq!(others.taken("x@a.example"), 1);
}
