//! Much mail, many destinations, slow and dead ones.

use std::time::Instant;

use super::*;
use crate::{
    Limits,
    inproc::queue::{Delivery, DomainLimits},
    mail::submission::records::Delivered,
};

fn limits() -> Limits {
    Limits {
        max_submissions: 100_000,
        max_recipients_per_hour: 0,
        max_recipients_per_day: 0,
        ..Limits::default()
    }
}

async fn fill(server: &Server, count: usize, domain: impl Fn(usize) -> String) {
    let to: Vec<String> = (0..count).map(|n| format!("u{n}@{}", domain(n))).collect();
    let each = to.chunks(64).map(|to| async move {
        for to in to {
            insert(server, &[], &[EnvelopeAddress::plain(to)]).await;
        }
    });
    futures_util::future::join_all(each).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_to_a_hundred_destinations() {
    const COUNT: usize = 10_000;
    let server = Server::with(store::engine::MemoryEngine::new(), limits()).await;
    let others = Others::new(takes);
    // Five of a hundred are very slow.
    for n in 0..5 {
        let slow = Duration::from_millis(400);
        others.slow.lock().insert(format!("d{n}.example"), slow);
    }
    server.core.send_with(others.clone());
    let settings = Delivery {
        at_once: 100,
        domain: DomainLimits {
            at_once: 10,
            rate: None,
        },
        ..Delivery::default()
    };
    server.core.set_delivery(settings);
    fill(&server, COUNT, |n| format!("d{}.example", n % 100)).await;
    let began = Instant::now();
    let core = server.core.clone();
    let sending = tokio::spawn(async move { core.send_due().await });
    // The fast ones don't wait for the slow ones, which take four seconds.
    let fast = COUNT * 95 / 100;
    let mut fast_done = None;
    while !sending.is_finished() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let taken = others.taken.lock();
        let count = taken.keys().filter(|to| {
            let domain = to.split('@').nth(1).unwrap();
            !others.slow.lock().contains_key(domain)
        });
        if fast_done.is_none() && count.count() == fast {
            fast_done = Some(began.elapsed());
        }
    }
    sending.await.unwrap().unwrap();
    eprintln!(
        "{COUNT} in {:?}, the fast ones in {fast_done:?}",
        began.elapsed()
    );
    assert_eq!(others.taken.lock().len(), COUNT);
    assert!(others.taken.lock().values().all(|count| *count == 1));
    assert!(others.most_of_one.load(Ordering::Relaxed) <= 10);
    assert!(others.most.load(Ordering::Relaxed) <= 100);
    assert_eq!(server.core.gauges().queue_length, 0);
    check_is_clean(&server.core).await;
}

#[tokio::test]
async fn two_domains_of_one_message_do_not_wait_for_each_other() {
    let server = Server::new().await;
    let others = Others::new(takes);
    let slow = Duration::from_millis(500);
    others.slow.lock().insert("slow.example".to_owned(), slow);
    server.core.send_with(others.clone());
    submit(
        &server,
        &["x@slow.example", "y@fast.example", "bob@example.org"],
    )
    .await;
    let core = server.core.clone();
    let sending = tokio::spawn(async move { core.send_due().await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let now: Vec<Delivered> = recipients(&server.core, &server.ann)
        .await
        .iter()
        .map(|recipient| recipient.delivered)
        .collect();
    assert_eq!(now, [Delivered::Queued, Delivered::Unknown, Delivered::Yes]);
    sending.await.unwrap().unwrap();
    assert_eq!(others.taken("x@slow.example"), 1);
    let record = records(&server.core, &server.ann).await.remove(0).1;
    assert!(record.is_done);
    check_is_clean(&server.core).await;
}

#[tokio::test]
async fn mail_to_a_dead_host_does_not_try_one_by_one() {
    let server = Server::with(store::engine::MemoryEngine::new(), limits()).await;
    let others = Others::new(|job| match &*job.domain {
        "dead.example" => all(job, Fate::Later, "450 4.4.1 Connection refused", None),
        _ => takes(job),
    });
    server.core.send_with(others.clone());
    fill(&server, 1000, |n| match n % 10 {
        0 => "alive.example".to_owned(),
        _ => "dead.example".to_owned(),
    })
    .await;
    let of_dead = || {
        let jobs = others.jobs.lock();
        jobs.iter()
            .filter(|(domain, _)| domain == "dead.example")
            .count()
    };
    // At first as many as may at the same time.
    server.core.send_due().await.unwrap();
    assert!(of_dead() <= 10, "{}", of_dead());
    assert_eq!(others.taken.lock().len(), 100);
    for _ in 0..120 {
        server.pass(60);
        server.core.send_due().await.unwrap();
    }
    let tries = of_dead();
    assert!(tries <= 20, "{tries} tries in two hours");
    // When it comes back, all of it goes.
    others.answers(takes);
    for _ in 0..60 {
        server.pass(60);
        server.core.send_due().await.unwrap();
    }
    assert_eq!(others.taken.lock().len(), 1000);
    check_is_clean(&server.core).await;
}

#[tokio::test]
async fn what_an_attempt_has_no_room_for_goes_at_once() {
    let server = Server::new().await;
    let others = Others::new(|job| {
        let mut attempt = takes(job);
        attempt.outcomes.truncate(2);
        attempt
    });
    server.core.send_with(others.clone());
    let to: Vec<String> = (0..5).map(|n| format!("u{n}@A.Example")).collect();
    submit(&server, &to.iter().map(|to| &**to).collect::<Vec<_>>()).await;
    server.core.send_due().await.unwrap();
    let sizes: Vec<usize> = others.jobs.lock().iter().map(|(_, to)| to.len()).collect();
    assert_eq!(sizes, [5, 3, 1]);
    assert_eq!(others.taken.lock().len(), 5);
    assert_eq!(others.jobs.lock()[0].0, "a.example");
}

#[tokio::test]
async fn a_domain_is_what_it_is_in_the_dns() {
    let server = Server::new().await;
    let others = Others::new(takes);
    server.core.send_with(others.clone());
    let to = [
        "a@bücher.example",
        "b@XN--BCHER-KVA.example",
        "c@[192.0.2.1]",
        "d@[IPv6:2001:db8::1]",
    ];
    submit(&server, &to).await;
    server.core.send_due().await.unwrap();
    let mut domains: Vec<String> = others.jobs.lock().iter().map(|(d, _)| d.clone()).collect();
    domains.sort();
    assert_eq!(
        domains,
        ["[192.0.2.1]", "[ipv6:2001:db8::1]", "xn--bcher-kva.example"]
    );
}

#[tokio::test]
async fn mail_for_here_waits_for_no_memory_of_others() {
    let server = Server::new().await;
    let settings = crate::inproc::queue::Delivery {
        octets_max: 1,
        ..Default::default()
    };
    server.core.set_delivery(settings);
    let others = Others::new(takes);
    let slow = Duration::from_secs(3);
    others.slow.lock().insert("slow.example".to_owned(), slow);
    server.core.send_with(others.clone());
    let send = |core: Core| tokio::spawn(async move { core.send_due().await });
    submit(&server, &["x@slow.example"]).await;
    let first = send(server.core.clone());
    while others.tries() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    submit(&server, &["bob@example.org"]).await;
    let second = send(server.core.clone());
    while server.inbox(&server.bob).await.is_empty() {
        assert_eq!(others.taken("x@slow.example"), 0, "bob's mail waits");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
}
