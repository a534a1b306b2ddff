use super::*;

#[tokio::test(start_paused = true)]
async fn waits_for_those_that_end() {
    let shutdown = Shutdown::new();
    for _ in 0..10 {
        let signal = shutdown.clone();
        shutdown.spawn(async move {
            signal.requested().await;
            tokio::time::sleep(Duration::from_secs(3)).await;
        });
    }
    assert!(!shutdown.is_requested());
    assert_eq!(shutdown.live(), 10);
    let drained = shutdown.drain(Duration::from_secs(5)).await;
    assert_eq!(drained, Drained { aborted: 0 });
    assert_eq!(shutdown.live(), 0);
    assert!(shutdown.is_requested());
}

#[tokio::test(start_paused = true)]
async fn drops_those_that_do_not() {
    let shutdown = Shutdown::new();
    shutdown.spawn(std::future::pending());
    shutdown.spawn(async {});
    let drained = shutdown.drain(Duration::from_secs(5)).await;
    assert_eq!(drained, Drained { aborted: 1 });
    assert_eq!(shutdown.live(), 0);
}

#[tokio::test]
async fn a_panic_is_an_end() {
    let shutdown = Shutdown::new();
    shutdown.spawn(async { panic!("on purpose") });
    let drained = shutdown.drain(Duration::from_secs(5)).await;
    assert_eq!(drained, Drained { aborted: 0 });
}

#[tokio::test]
async fn an_idle_server_stops_at_once() {
    let shutdown = Shutdown::new();
    assert_eq!(shutdown.drain(Duration::ZERO).await.aborted, 0);
    shutdown.requested().await;
}
