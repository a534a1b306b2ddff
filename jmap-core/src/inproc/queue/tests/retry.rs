//! When it is tried again, and when no more.

use super::*;
use crate::mail::submission::records::Delivered;

fn later(job: &Job) -> Attempt {
    all(job, Fate::Later, "450 4.7.1 Greylisted", Some("mx"))
}

#[tokio::test]
async fn soon_at_first_then_less_often_until_it_is_given_up() {
    let server = Server::new().await;
    let others = Others::new(later);
    server.core.send_with(others.clone());
    submit(&server, &["x@a.example"]).await;
    let began = server.core.queue_now();
    let mut times = Vec::new();
    let mut next = server.core.send_due().await.unwrap().unwrap();
    loop {
        times.push((next - began) / 60_000);
        server.clock.set(crate::clock::UtcMillis(next as i64));
        server.clock.advance(Duration::from_secs(1));
        let tries = others.tries();
        next = server.core.send_due().await.unwrap().unwrap();
        let waits = recipients(&server.core, &server.ann).await.remove(0);
        if waits.delivered != Delivered::Queued {
            assert_eq!(others.tries(), tries + 1);
            break;
        }
    }
    // 1, 5, 10, 20 ... minutes, each up to a tenth longer.
    assert_eq!(times[0], 1);
    assert!((6..=7).contains(&times[1]), "{times:?}");
    assert!((16..=18).contains(&times[2]), "{times:?}");
    let days = times.last().unwrap() / 1440;
    assert_eq!(days, 5, "{times:?}");
    assert!(times.len() < 45, "{times:?}");
    let record = recipients(&server.core, &server.ann).await.remove(0);
    assert_eq!(record.delivered, Delivered::No);
    assert!(
        record.smtp_reply.starts_with(
            "554 5.4.7 The message could not be delivered in time; the last answer was: 450 4.7.1"
        ),
        "{record:?}"
    );
    // One notice of the delay after four hours, one of the failure.
    let subjects = server.inbox(&server.ann).await;
    assert_eq!(
        subjects,
        [
            "Your message is delayed",
            "Your message could not be delivered"
        ]
    );
    let texts = texts(&server, &server.ann).await;
    assert!(texts[0].contains("Action: delayed\r\nStatus: 4.7.1\r\n"));
    assert!(texts[0].contains("Will-Retry-Until: "));
    assert!(texts[1].contains("Action: failed\r\nStatus: 5.4.7\r\n"));
    check_is_clean(&server.core).await;
}

#[tokio::test]
async fn a_greylist_lets_it_through_at_the_second_try() {
    let server = Server::new().await;
    let others = Others::new(later);
    server.core.send_with(others.clone());
    submit(&server, &["x@a.example"]).await;
    server.core.send_due().await.unwrap();
    others.answers(takes);
    server.pass(67);
    server.core.send_due().await.unwrap();
    assert_eq!(others.taken("x@a.example"), 1);
    let record = records(&server.core, &server.ann).await.remove(0).1;
    let history = record.history.unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!(history[0].result, "450 4.7.1 Greylisted");
    assert_eq!(record.recipients[0].attempts, Some(2));
}

#[tokio::test]
async fn full_mailboxes_hold_nobody_else_up() {
    let server = Server::new().await;
    let others = Others::new(|job| match &*job.recipients[0].address.email {
        "full@a.example" => all(
            job,
            Fate::Later,
            "452 4.2.2 The mailbox is full",
            Some("mx"),
        ),
        _ => takes(job),
    });
    server.core.send_with(others.clone());
    for _ in 0..10 {
        submit(&server, &["full@a.example"]).await;
        server.core.send_due().await.unwrap();
    }
    submit(&server, &["x@a.example"]).await;
    server.core.send_due().await.unwrap();
    assert_eq!(others.taken("x@a.example"), 1);
}

#[tokio::test]
async fn each_recipient_has_a_schedule_of_its_own() {
    let server = Server::new().await;
    let others = Others::new(|job| match &*job.domain {
        "a.example" => later(job),
        _ => takes(job),
    });
    server.core.send_with(others.clone());
    submit(&server, &["x@a.example", "y@b.example"]).await;
    server.core.send_due().await.unwrap();
    server.pass(67);
    server.core.send_due().await.unwrap();
    let domains: Vec<String> = others.jobs.lock().iter().map(|(d, _)| d.clone()).collect();
    assert_eq!(
        domains.iter().filter(|d| *d == "a.example").count(),
        2,
        "{domains:?}"
    );
    assert_eq!(others.taken("y@b.example"), 1);
}

#[tokio::test]
async fn deliver_by_with_return() {
    let server = Server::new().await;
    let others = Others::new(later);
    server.core.send_with(others.clone());
    let to = [EnvelopeAddress::plain("x@a.example")];
    insert(&server, &[("BY", "30;R"), ("HOLDFOR", "0")], &to).await;
    let next = server.core.send_due().await.unwrap().unwrap();
    // The deadline comes before the next try would.
    assert_eq!(next, server.core.queue_now() + 30_000);
    {
        let job = others.last.lock().clone().unwrap();
        let by = job.mail_from.parameter("BY").unwrap().value.clone();
        assert_eq!(by.as_deref(), Some("30;R"));
        assert!(job.mail_from.parameter("HOLDFOR").is_none());
    }
    server.pass(30);
    server.core.send_due().await.unwrap();
    assert_eq!(others.tries(), 1);
    let text = texts(&server, &server.ann).await.remove(0);
    assert!(text.contains("Status: 5.4.7\r\n"), "{text}");
    assert!(text.contains("Deliver-By-Date: "));
}

#[tokio::test]
async fn deliver_by_with_notice_and_trace() {
    let server = Server::new().await;
    let others = Others::new(later);
    server.core.send_with(others.clone());
    let to = [EnvelopeAddress::plain("x@a.example")];
    insert(&server, &[("BY", "30;NT")], &to).await;
    server.core.send_due().await.unwrap();
    server.pass(30);
    server.core.send_due().await.unwrap();
    assert_eq!(server.inbox(&server.ann).await, ["Your message is delayed"]);
    others.answers(takes);
    server.pass(600);
    server.core.send_due().await.unwrap();
    assert_eq!(
        server.inbox(&server.ann).await,
        ["Your message is delayed", "Your message was passed on"]
    );
    let job = others.last.lock().clone().unwrap();
    let by = job.mail_from.parameter("BY").unwrap().value.clone();
    assert_eq!(by.as_deref(), Some("-600;NT"));
}

#[tokio::test]
async fn priorities_are_passed_on_and_kept() {
    let server = Server::new().await;
    let others = Others::new(takes);
    server.core.send_with(others.clone());
    let settings = crate::inproc::queue::Delivery {
        at_once: 1,
        ..Default::default()
    };
    server.core.set_delivery(settings);
    for priority in ["-3", "4", "0", "9"] {
        let to = [EnvelopeAddress::plain(format!("p{priority}@a.example"))];
        insert(&server, &[("MT-PRIORITY", priority)], &to).await;
    }
    server.core.send_due().await.unwrap();
    let order: Vec<String> = others
        .jobs
        .lock()
        .iter()
        .map(|(_, to)| to[0].clone())
        .collect();
    assert_eq!(
        order,
        [
            "p9@a.example",
            "p4@a.example",
            "p0@a.example",
            "p-3@a.example"
        ]
    );
    let job = others.last.lock().clone().unwrap();
    assert!(job.mail_from.parameter("MT-PRIORITY").is_some());
}
